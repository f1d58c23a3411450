// SPDX-License-Identifier: MIT
// The rows, and the names of tensors.
#include "convert/family.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static const struct rename pre_norm[] = {
    {"input_layernorm", "attn_norm", DIM_WIDTH},
    {"self_attn.q_proj", "attn_q", DIM_HEADS, DIM_WIDTH},
    {"self_attn.k_proj", "attn_k", DIM_KV_HEADS, DIM_WIDTH},
    {"self_attn.v_proj", "attn_v", DIM_KV_HEADS, DIM_WIDTH},
    {"self_attn.o_proj", "attn_output", DIM_WIDTH, DIM_HEADS},
    {"post_attention_layernorm", "ffn_norm", DIM_WIDTH},
    {"mlp.gate_proj", "ffn_gate", DIM_FF, DIM_WIDTH},
    {"mlp.up_proj", "ffn_up", DIM_FF, DIM_WIDTH},
    {"mlp.down_proj", "ffn_down", DIM_WIDTH, DIM_FF},
    {NULL},
};

static const struct rename gemma3[] = {
    {"input_layernorm", "attn_norm", DIM_WIDTH},
    {"self_attn.q_proj", "attn_q", DIM_HEADS, DIM_WIDTH},
    {"self_attn.k_proj", "attn_k", DIM_KV_HEADS, DIM_WIDTH},
    {"self_attn.v_proj", "attn_v", DIM_KV_HEADS, DIM_WIDTH},
    {"self_attn.q_norm", "attn_q_norm", DIM_HEAD},
    {"self_attn.k_norm", "attn_k_norm", DIM_HEAD},
    {"self_attn.o_proj", "attn_output", DIM_WIDTH, DIM_HEADS},
    {"post_attention_layernorm", "post_attention_norm", DIM_WIDTH},
    {"pre_feedforward_layernorm", "ffn_norm", DIM_WIDTH},
    {"post_feedforward_layernorm", "post_ffw_norm", DIM_WIDTH},
    {"mlp.gate_proj", "ffn_gate", DIM_FF, DIM_WIDTH},
    {"mlp.up_proj", "ffn_up", DIM_FF, DIM_WIDTH},
    {"mlp.down_proj", "ffn_down", DIM_WIDTH, DIM_FF},
    {NULL},
};

static const struct family families[] = {
    {.name = "LlamaForCausalLM",
     .architecture = "llama",
     .renames = pre_norm,
     .pairs_halves = true,
     .rope_base = 10000,
     .activation = "silu"},
    {.name = "MistralForCausalLM",
     .architecture = "llama",
     .renames = pre_norm,
     .pairs_halves = true,
     .rope_base = 10000,
     .activation = "silu"},
    {.name = "Qwen2ForCausalLM",
     .architecture = "qwen2",
     .renames = pre_norm,
     .rope_base = 10000,
     .activation = "silu"},
    {.name = "Gemma3ForCausalLM",
     .architecture = "gemma3",
     .renames = gemma3,
     .added_to_norms = 1,
     .is_tied = true,
     .head_dim = 256,
     .rope_base = 1000000,
     .has_windows = true,
     .activation = "gelu_pytorch_tanh"},
};

int family_find(const struct family **out, const json_t *config, struct err *err)
{
    char known[256] = "";
    const char *name = json_string_value(json_array_get(json_object_get(config, "architectures"), 0));
    for (size_t i = 0, n = 0; i < COUNT_OF(families); i++) {
        *out = &families[i];
        if (name != NULL && strcmp(name, families[i].name) == 0)
            return 0;
        n += (size_t)snprintf(known + n, sizeof known - n, "%s%s", i > 0 ? ", " : "", families[i].name);
    }
    return err_set(err, ERR_UNSUPPORTED, "config.json: unknown architecture '%.60s' (supported: %s)",
                   name != NULL ? name : "", known);
}

// ---- Names of tensors ----

static const struct rename whole_model[] = {
    {"model.embed_tokens", "token_embd", DIM_NONE, DIM_WIDTH}, // as many rows as there are tokens
    {"model.norm", "output_norm", DIM_WIDTH},
    {"lm_head", "output", DIM_NONE, DIM_WIDTH},
    {NULL},
};

static const struct rename *find(const struct rename *renames, const char *name, size_t n)
{
    for (const struct rename *r = renames; r->from != NULL; r++)
        if (strlen(r->from) == n && memcmp(r->from, name, n) == 0)
            return r;
    return NULL;
}

static uint64_t dimension_of(const struct sizes *s, enum dimension d)
{
    const uint64_t sizes[] = {[DIM_NONE] = 0,
                              [DIM_WIDTH] = s->n_embd,
                              [DIM_FF] = s->n_ff,
                              [DIM_HEADS] = (uint64_t)s->n_head * s->head_dim,
                              [DIM_KV_HEADS] = (uint64_t)s->n_head_kv * s->head_dim,
                              [DIM_HEAD] = s->head_dim};
    return sizes[d];
}

static void expect_sizes(const struct rename *r, const struct sizes *s, bool is_weight, struct tensor *out)
{
    uint64_t rows = dimension_of(s, r->rows), cols = dimension_of(s, r->cols);
    out->n_dims = is_weight && r->cols != DIM_NONE ? 2 : 1;
    out->ne[0] = out->n_dims == 2 ? cols : rows;
    out->ne[1] = out->n_dims == 2 ? rows : 1;
}

// Tables of rotations, which follow from the config.
static bool is_left_out(const char *name)
{
    static const char tail[] = ".rotary_emb.inv_freq";
    size_t n = strlen(name);
    return n >= sizeof tail - 1 && strcmp(name + n - (sizeof tail - 1), tail) == 0;
}

bool family_place(const struct family *f, const struct sizes *s, const char *name, struct tensor *out)
{
    static const char prefix[] = "model.layers.";
    const char *dot = strrchr(name, '.');
    const struct rename *r;
    bool is_weight = dot != NULL && strcmp(dot, ".weight") == 0;
    if (is_left_out(name) || (s->is_tied && strcmp(name, "lm_head.weight") == 0)) {
        out->name[0] = 0;
        return true;
    }
    if (dot == NULL || (!is_weight && strcmp(dot, ".bias") != 0))
        return false;
    if (strncmp(name, prefix, sizeof prefix - 1) != 0) {
        r = find(whole_model, name, (size_t)(dot - name));
        if (r != NULL)
            snprintf(out->name, sizeof out->name, "%s%s", r->to, dot);
    } else {
        char *rest = NULL;
        unsigned long layer = strtoul(name + sizeof prefix - 1, &rest, 10);
        if (*rest != '.' || rest + 1 >= dot || layer >= s->n_layers)
            return false;
        r = find(f->renames, rest + 1, (size_t)(dot - rest - 1));
        if (r != NULL)
            snprintf(out->name, sizeof out->name, "blk.%lu.%s%s", layer, r->to, dot);
        if (r != NULL && f->pairs_halves && (r->rows == DIM_HEADS || strcmp(r->to, "attn_k") == 0))
            out->n_heads = r->rows == DIM_HEADS ? s->n_head : s->n_head_kv;
    }
    if (r == NULL || (!is_weight && (r->rows == DIM_NONE || r->cols == DIM_NONE)))
        return false; // only matrices of layers have a bias
    if (is_weight && r->cols == DIM_NONE)
        out->added = f->added_to_norms;
    expect_sizes(r, s, is_weight, out);
    return true;
}
