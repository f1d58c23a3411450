// SPDX-License-Identifier: MIT
// The rows of facts and the reading of a file's keys. Everything is checked before a size is computed from
// it.
#include "model/arch.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

// The largest Gemma 3 scales queries by the width per head instead of the head size.
static void adjust_gemma3(struct hparams *h)
{
    if (h->n_layer == 62)
        h->attention_scale = 1.0f / sqrtf((float)h->n_embd / (float)h->n_head);
}

static const struct arch archs[] = {
    {.name = "llama", .rope = ROPE_NORM, .act = ACT_SILU},
    {.name = "qwen2", .rope = ROPE_NEOX, .act = ACT_SILU},
    {.name = "gemma3",
     .rope = ROPE_NEOX,
     .act = ACT_GELU,
     .qk_norm = true,
     .post_norms = true,
     .scales_embedding = true,
     .window_period = 6,
     .window_rope_base = 10000.0f,
     .adjust = adjust_gemma3},
};

const struct arch *arch_find(struct slice name)
{
    for (size_t i = 0; i < COUNT_OF(archs); i++)
        if (slice_is(name, archs[i].name))
            return &archs[i];
    return NULL;
}

const char *arch_names(void)
{
    static char names[256];
    if (names[0] == 0) {
        char text[256] = "";
        for (size_t i = 0; i < COUNT_OF(archs); i++) {
            strncat(text, i ? ", " : "", sizeof text - strlen(text) - 1);
            strncat(text, archs[i].name, sizeof text - strlen(text) - 1);
        }
        memcpy(names, text, sizeof names);
    }
    return names;
}

// "<arch>.<suffix>"
static const char *key_of(const struct hparams *h, const char *suffix, char buffer[128])
{
    snprintf(buffer, 128, "%s.%s", h->arch->name, suffix);
    return buffer;
}

static int get_u32(const struct hparams *h, const struct gguf *g, const char *suffix, uint32_t *out,
                   struct err *err)
{
    char key[128];
    return gguf_get_u32(g, key_of(h, suffix, key), out, err);
}

static int get_f32(const struct hparams *h, const struct gguf *g, const char *suffix, float *out,
                   struct err *err)
{
    char key[128];
    return gguf_get_f32(g, key_of(h, suffix, key), out, err);
}

static int get_required(const struct hparams *h, const struct gguf *g, const char *suffix, uint32_t *out,
                        struct err *err)
{
    char key[128];
    *out = 0;
    if (get_u32(h, g, suffix, out, err) != 0)
        return -1;
    if (*out == 0)
        return err_set(err, ERR_FORMAT, "%s is missing or 0", key_of(h, suffix, key));
    return 0;
}

// A key that may be a number or one number per layer; all layers must agree.
static int get_same(const struct hparams *h, const struct gguf *g, const char *suffix, uint32_t *out,
                    struct err *err)
{
    char key[128];
    uint32_t layers[MODEL_MAX_LAYERS];
    for (uint32_t i = 0; i < h->n_layer; i++)
        layers[i] = *out;
    if (gguf_get_u32_per_layer(g, key_of(h, suffix, key), layers, h->n_layer, err) != 0)
        return -1;
    for (uint32_t i = 1; i < h->n_layer; i++)
        if (layers[i] != layers[0])
            return err_set(err, ERR_UNSUPPORTED, "%s differs between layers, which is not supported", key);
    *out = layers[0];
    return 0;
}

static int read_sizes(struct hparams *h, const struct gguf *g, struct err *err)
{
    uint32_t n_experts = 0, head_dim_v, hidden_layers = 0;
    if (get_required(h, g, "context_length", &h->n_ctx_train, err) != 0 ||
        get_required(h, g, "embedding_length", &h->n_embd, err) != 0 ||
        get_required(h, g, "block_count", &h->n_layer, err) != 0)
        return -1;
    if (h->n_layer > MODEL_MAX_LAYERS)
        return err_set(err, ERR_FORMAT, "block_count is %u, the most is %d", h->n_layer, MODEL_MAX_LAYERS);
    if (get_u32(h, g, "nextn_predict_layers", &hidden_layers, err) != 0 ||
        get_u32(h, g, "expert_count", &n_experts, err) != 0 ||
        get_same(h, g, "feed_forward_length", &h->n_ff, err) != 0 ||
        get_same(h, g, "attention.head_count", &h->n_head, err) != 0)
        return -1;
    if (n_experts > 0 || hidden_layers > 0)
        return err_set(err, ERR_UNSUPPORTED, "%s models with %s are not supported", h->arch->name,
                       n_experts > 0 ? "experts" : "prediction layers");
    if (h->n_head == 0 || h->n_ff == 0)
        return err_set(err, ERR_FORMAT, "attention.head_count or feed_forward_length is missing or 0");
    h->n_head_kv = h->n_head;
    h->head_dim = h->n_embd / h->n_head;
    if (get_same(h, g, "attention.head_count_kv", &h->n_head_kv, err) != 0 ||
        get_u32(h, g, "attention.key_length", &h->head_dim, err) != 0)
        return -1;
    head_dim_v = h->n_embd / h->n_head;
    if (get_u32(h, g, "attention.value_length", &head_dim_v, err) != 0)
        return -1;
    h->n_rot = h->head_dim;
    if (get_u32(h, g, "rope.dimension_count", &h->n_rot, err) != 0)
        return -1;
    if (h->n_head_kv == 0 || h->n_head % h->n_head_kv != 0)
        return err_set(err, ERR_FORMAT, "%u heads cannot share %u KV heads", h->n_head, h->n_head_kv);
    if (h->head_dim == 0 || h->head_dim > 1024 || head_dim_v != h->head_dim)
        return err_set(err, ERR_UNSUPPORTED, "head sizes %u (keys) and %u (values) are not supported",
                       h->head_dim, head_dim_v);
    if (h->n_rot % 2 != 0 || h->n_rot > h->head_dim)
        return err_set(err, ERR_FORMAT, "rope.dimension_count %u does not fit a head of %u", h->n_rot,
                       h->head_dim);
    if (h->n_embd > 1 << 17 || h->n_ff > 1 << 20 || h->n_head > 4096)
        return err_set(err, ERR_FORMAT, "absurd sizes: width %u, feed-forward %u, heads %u", h->n_embd,
                       h->n_ff, h->n_head);
    return 0;
}

static int read_rope(struct hparams *h, const struct gguf *g, struct err *err)
{
    char key[128];
    struct slice scaling = slice_of("linear");
    float factor = 0;
    h->rope_base = 10000.0f;
    if (get_f32(h, g, "rope.freq_base", &h->rope_base, err) != 0 ||
        gguf_get_string(g, key_of(h, "rope.scaling.type", key), &scaling, err) != 0 ||
        get_f32(h, g, "rope.scale_linear", &factor, err) != 0 ||
        get_f32(h, g, "rope.scaling.factor", &factor, err) != 0)
        return -1;
    if (!slice_is(scaling, "linear") && !slice_is(scaling, "none"))
        return err_set(err, ERR_UNSUPPORTED, "rope scaling '%.*s' is not supported", (int)MIN(scaling.n, 40),
                       scaling.at);
    h->rope_scale = factor > 0 && slice_is(scaling, "linear") ? 1.0f / factor : 1.0f;
    h->window_rope_base = h->arch->window_rope_base > 0 ? h->arch->window_rope_base : h->rope_base;
    if (get_f32(h, g, "rope.freq_base_swa", &h->window_rope_base, err) != 0)
        return -1;
    if (!(h->rope_base > 0) || !isfinite(h->rope_base) || !(h->window_rope_base > 0) ||
        !isfinite(h->window_rope_base) || !isfinite(h->rope_scale))
        return err_set(err, ERR_FORMAT, "rope bases and factors must be positive numbers");
    return 0;
}

static int read_window(struct hparams *h, const struct gguf *g, struct err *err)
{
    char key[128];
    h->window = 0;
    if (h->arch->window_period == 0)
        return 0;
    uint32_t period = h->arch->window_period;
    if (get_u32(h, g, "attention.sliding_window", &h->window, err) != 0)
        return -1;
    const struct gguf_value *pattern = gguf_find(g, key_of(h, "attention.sliding_window_pattern", key));
    if (pattern != NULL && pattern->type == GGUF_ARRAY) {
        if (pattern->elem_type != GGUF_BOOL || pattern->count < h->n_layer)
            return err_set(err, ERR_FORMAT, "%s must hold one boolean per layer", key);
        for (uint32_t i = 0; i < h->n_layer; i++)
            h->is_local[i] = h->window > 0 && ((const uint8_t *)pattern->data)[i] != 0;
        return 0;
    }
    if (gguf_get_u32(g, key, &period, err) != 0)
        return -1;
    for (uint32_t i = 0; i < h->n_layer; i++)
        h->is_local[i] = h->window > 0 && period > 0 && i % period < period - 1;
    return 0;
}

int hparams_read(struct hparams *h, const struct gguf *g, struct err *err)
{
    struct slice name = slice_make("", 0);
    uint32_t n_parts = 1;
    memset(h, 0, sizeof *h);
    if (gguf_get_string(g, "general.architecture", &name, err) != 0 ||
        gguf_get_u32(g, "split.count", &n_parts, err) != 0)
        return -1;
    if (n_parts > 1)
        return err_set(err, ERR_UNSUPPORTED,
                       "the model is split over %u files, which is not supported: merge them first", n_parts);
    if (name.n == 0)
        return err_set(err, ERR_FORMAT, "general.architecture is missing");
    h->arch = arch_find(name);
    if (h->arch == NULL)
        return err_set(err, ERR_UNSUPPORTED, "unknown model architecture '%.*s' (supported: %s)",
                       (int)MIN(name.n, 60), name.at, arch_names());
    if (read_sizes(h, g, err) != 0 || read_rope(h, g, err) != 0 || read_window(h, g, err) != 0)
        return -1;
    h->norm_eps = -1;
    h->pooling = POOLING_LAST;
    h->attention_scale = 1.0f / sqrtf((float)h->head_dim);
    if (get_f32(h, g, "attention.layer_norm_rms_epsilon", &h->norm_eps, err) != 0 ||
        get_f32(h, g, "attention.scale", &h->attention_scale, err) != 0 ||
        get_f32(h, g, "final_logit_softcapping", &h->final_softcap, err) != 0 ||
        get_u32(h, g, "pooling_type", &h->pooling, err) != 0)
        return -1;
    if (!(h->norm_eps >= 0) || !isfinite(h->norm_eps) || !isfinite(h->attention_scale) ||
        !(h->final_softcap >= 0) || !isfinite(h->final_softcap))
        return err_set(err, ERR_FORMAT,
                       "attention.layer_norm_rms_epsilon is missing or a scale is not a number");
    h->embedding_scale = h->arch->scales_embedding ? sqrtf((float)h->n_embd) : 1.0f;
    if (h->arch->adjust != NULL)
        h->arch->adjust(h);
    return 0;
}
