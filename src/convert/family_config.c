// SPDX-License-Identifier: MIT
// config.json to keys. Members that change what is computed and that no key can say are refused by name.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "convert/family.h"
#include "convert/input.h"

enum { MAX_LAYERS = 512, MAX_HEAD_DIM = 1024, MAX_HEADS = 4096 };

struct reader {
    const struct family *family;
    const json_t *config;
    struct sizes *sizes;
    struct gguf_writer *w;
    struct err *err;
};

static const char *key_of(const struct reader *r, const char *suffix, char buffer[128])
{
    snprintf(buffer, 128, "%s.%s", r->family->architecture, suffix);
    return buffer;
}

static void put_u32(const struct reader *r, const char *suffix, uint32_t value)
{
    char key[128];
    gguf_writer_set_u32(r->w, key_of(r, suffix, key), value);
}

static void put_f32(const struct reader *r, const char *suffix, float value)
{
    char key[128];
    gguf_writer_set_f32(r->w, key_of(r, suffix, key), value);
}

static int unsupported(const struct reader *r, const char *member)
{
    return err_set(r->err, ERR_UNSUPPORTED, "config.json: '%s' of this value is not supported for %s", member,
                   r->family->name);
}

static int get_size(const struct reader *r, const char *member, uint32_t *out)
{
    if (input_get_u32(r->config, member, out, r->err) != 0)
        return err_prefix(r->err, "config.json");
    return *out > 0 ? 0 : err_set(r->err, ERR_FORMAT, "config.json: '%s' is missing or 0", member);
}

static int read_sizes(const struct reader *r)
{
    struct sizes *s = r->sizes;
    if (get_size(r, "max_position_embeddings", &s->n_ctx) != 0 ||
        get_size(r, "hidden_size", &s->n_embd) != 0 || get_size(r, "num_hidden_layers", &s->n_layers) != 0 ||
        get_size(r, "intermediate_size", &s->n_ff) != 0 ||
        get_size(r, "num_attention_heads", &s->n_head) != 0)
        return -1;
    s->n_head_kv = s->n_head;
    s->head_dim = r->family->head_dim > 0 ? r->family->head_dim : s->n_embd / s->n_head;
    s->is_tied = r->family->is_tied;
    if (get_size(r, "num_key_value_heads", &s->n_head_kv) != 0 || get_size(r, "head_dim", &s->head_dim) != 0)
        return -1;
    if (input_get_bool(r->config, "tie_word_embeddings", &s->is_tied, r->err) != 0)
        return err_prefix(r->err, "config.json");
    if (s->n_layers > MAX_LAYERS || s->head_dim > MAX_HEAD_DIM || s->n_head > MAX_HEADS ||
        s->head_dim % 2 != 0 || s->n_head % s->n_head_kv != 0)
        return err_set(r->err, ERR_FORMAT, "config.json: impossible sizes of layers or heads");
    put_u32(r, "context_length", s->n_ctx);
    put_u32(r, "embedding_length", s->n_embd);
    put_u32(r, "block_count", s->n_layers);
    put_u32(r, "feed_forward_length", s->n_ff);
    put_u32(r, "attention.head_count", s->n_head);
    put_u32(r, "attention.head_count_kv", s->n_head_kv);
    if (r->family->head_dim > 0 || s->head_dim != s->n_embd / s->n_head) {
        put_u32(r, "attention.key_length", s->head_dim);
        put_u32(r, "attention.value_length", s->head_dim);
    }
    put_u32(r, "rope.dimension_count", s->head_dim);
    return 0;
}

// Members whose presence, unless null or false, means another computation.
static int refuse_others(const struct reader *r)
{
    static const char *const members[] = {
        "quantization_config",        "num_local_experts", "num_experts",    "use_sliding_window",
        "attn_logit_softcapping",     "layer_types",       "sliding_window", "logit_scale",
        "use_bidirectional_attention"};
    const char *activation = json_string_value(json_object_get(r->config, "hidden_act"));
    bool has_windows =
        r->family->has_windows || json_is_false(json_object_get(r->config, "use_sliding_window"));
    float rotated = 1;
    if (input_get_f32(r->config, "partial_rotary_factor", &rotated, r->err) != 0 || rotated != 1)
        return unsupported(r, "partial_rotary_factor");
    for (size_t i = 0; i < COUNT_OF(members); i++) {
        const json_t *value = json_object_get(r->config, members[i]);
        bool is_of_windows =
            strcmp(members[i], "sliding_window") == 0 || strcmp(members[i], "layer_types") == 0;
        if (value == NULL || json_is_null(value) || json_is_false(value) || (is_of_windows && has_windows))
            continue;
        return unsupported(r, members[i]);
    }
    if (activation == NULL)
        activation = json_string_value(json_object_get(r->config, "hidden_activation"));
    return activation == NULL || strcmp(activation, r->family->activation) == 0
               ? 0
               : unsupported(r, "hidden_act");
}

static int read_norm(const struct reader *r)
{
    float eps = 1e-6f;
    if (input_get_f32(r->config, "rms_norm_eps", &eps, r->err) != 0)
        return err_prefix(r->err, "config.json");
    put_f32(r, "attention.layer_norm_rms_epsilon", eps);
    return 0;
}

// ---- Rotation ----

// Llama 3's: waves that are long against the context it was first trained on turn slower, short ones as
// before, those between in proportion.
static int make_llama3_factors(const struct reader *r, const json_t *scaling, float base, float **out)
{
    float factor = 0, low = 1, high = 4;
    uint32_t old_context = 0;
    if (input_get_f32(scaling, "factor", &factor, r->err) != 0 ||
        input_get_f32(scaling, "low_freq_factor", &low, r->err) != 0 ||
        input_get_f32(scaling, "high_freq_factor", &high, r->err) != 0 ||
        input_get_u32(scaling, "original_max_position_embeddings", &old_context, r->err) != 0)
        return err_prefix(r->err, "config.json: rope_scaling");
    if (!(factor >= 1) || !(low > 0) || !(high > low) || old_context == 0)
        return err_set(r->err, ERR_FORMAT, "config.json: rope_scaling: impossible numbers");
    *out = xcalloc(r->sizes->head_dim / 2, sizeof(float));
    for (uint32_t k = 0; k < r->sizes->head_dim / 2; k++) {
        double frequency = pow((double)base, -2.0 * k / r->sizes->head_dim);
        double wave = 2 * M_PI / frequency;
        double smooth = (old_context / wave - (double)low) / (double)(high - low);
        (*out)[k] = wave < (double)old_context / (double)high ? 1
                    : wave > (double)old_context / (double)low
                        ? factor
                        : (float)(1 / ((1 - smooth) / (double)factor + smooth));
    }
    return 0;
}

static int read_scaling(const struct reader *r, const json_t *scaling, float base, float **factors)
{
    float factor = 0;
    char key[128];
    const char *type = json_string_value(json_object_get(scaling, "rope_type"));
    if (type == NULL)
        type = json_string_value(json_object_get(scaling, "type"));
    if (type == NULL || strcmp(type, "default") == 0)
        return 0;
    if (strcmp(type, "llama3") == 0 && strcmp(r->family->architecture, "llama") == 0)
        return make_llama3_factors(r, scaling, base, factors);
    if (strcmp(type, "linear") != 0)
        return err_set(r->err, ERR_UNSUPPORTED, "config.json: rope scaling '%.40s' is not supported for %s",
                       type, r->family->name);
    if (input_get_f32(scaling, "factor", &factor, r->err) != 0 || !(factor > 0))
        return err_set(r->err, ERR_FORMAT, "config.json: rope_scaling: 'factor' is missing");
    gguf_writer_set_string(r->w, key_of(r, "rope.scaling.type", key), slice_of("linear"));
    put_f32(r, "rope.scaling.factor", factor);
    return 0;
}

// Both ways to say it: rope_theta and rope_scaling, or rope_parameters, for each kind of layer where there
// are two.
static int read_rope(const struct reader *r, float **factors)
{
    float base = r->family->rope_base, local_base = 10000;
    const json_t *both = json_object_get(r->config, "rope_parameters");
    const json_t *local = json_object_get(both, "sliding_attention");
    const json_t *global = json_is_object(local) ? json_object_get(both, "full_attention") : both;
    const json_t *scaling = json_object_get(r->config, "rope_scaling");
    if (input_get_f32(r->config, "rope_theta", &base, r->err) != 0 ||
        input_get_f32(r->config, "rope_local_base_freq", &local_base, r->err) != 0 ||
        input_get_f32(global, "rope_theta", &base, r->err) != 0 ||
        input_get_f32(local, "rope_theta", &local_base, r->err) != 0)
        return err_prefix(r->err, "config.json");
    if (!(base > 0) || !(local_base > 0))
        return err_set(r->err, ERR_FORMAT, "config.json: the base of the rotation is not above 0");
    put_f32(r, "rope.freq_base", base);
    if (r->family->has_windows)
        put_f32(r, "rope.freq_base_swa", local_base);
    return read_scaling(r, json_is_object(scaling) ? scaling : global, base, factors);
}

// ---- Windows ----

static int put_pattern(const struct reader *r, uint32_t period)
{
    const json_t *types = json_object_get(r->config, "layer_types");
    uint8_t is_local[MAX_LAYERS];
    char key[128];
    if (types != NULL && !json_is_null(types) && json_array_size(types) != r->sizes->n_layers)
        return err_set(r->err, ERR_FORMAT, "config.json: 'layer_types' has not one text for each layer");
    for (uint32_t i = 0; i < r->sizes->n_layers; i++) {
        const char *type = json_string_value(json_array_get(types, i));
        is_local[i] = type != NULL ? strcmp(type, "sliding_attention") == 0 : (i + 1) % period != 0;
        if (type != NULL && !is_local[i] && strcmp(type, "full_attention") != 0)
            return unsupported(r, "layer_types");
    }
    gguf_writer_set_array(r->w, key_of(r, "attention.sliding_window_pattern", key), GGUF_BOOL, is_local,
                          r->sizes->n_layers);
    return 0;
}

static int read_windows(const struct reader *r)
{
    uint32_t window = 4096, period = 6;
    float scalar = (float)r->sizes->head_dim, cap = 0;
    if (!r->family->has_windows)
        return 0;
    if (input_get_u32(r->config, "sliding_window", &window, r->err) != 0 ||
        input_get_u32(r->config, "sliding_window_pattern", &period, r->err) != 0 ||
        input_get_f32(r->config, "query_pre_attn_scalar", &scalar, r->err) != 0 ||
        input_get_f32(r->config, "final_logit_softcapping", &cap, r->err) != 0)
        return err_prefix(r->err, "config.json");
    if (period == 0 || !(scalar > 0))
        return err_set(r->err, ERR_FORMAT, "config.json: impossible numbers of attention");
    put_u32(r, "attention.sliding_window", window);
    if (scalar != (float)r->sizes->head_dim)
        put_f32(r, "attention.scale", 1 / sqrtf(scalar));
    if (cap > 0)
        put_f32(r, "final_logit_softcapping", cap);
    return put_pattern(r, period);
}

int family_read_config(const struct family *f, const json_t *config, struct sizes *out, struct gguf_writer *w,
                       float **rope_factors, struct err *err)
{
    struct reader r = {f, config, out, w, err};
    *out = (struct sizes){0};
    *rope_factors = NULL;
    if (refuse_others(&r) != 0 || read_sizes(&r) != 0 || read_norm(&r) != 0 || read_windows(&r) != 0)
        return -1;
    return read_rope(&r, rope_factors);
}
