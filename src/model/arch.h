// SPDX-License-Identifier: MIT
// A model family is a row of facts; what only one family does is its hook. Adding a family: one row in arch.c
// and, if it needs a hook, one file in arch/.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "gguf/gguf.h"

struct hparams;

enum act_kind { ACT_SILU, ACT_GELU };
enum rope_kind { ROPE_NORM, ROPE_NEOX }; // neighbours; halves

struct arch {
    const char *name; // general.architecture
    enum rope_kind rope;
    enum act_kind act;
    bool qk_norm;           // RMS norm of each head of Q and K before the rotation
    bool post_norms;        // norms after attention and after the FFN, before the residual sum
    bool scales_embedding;  // token rows times sqrt(n_embd)
    uint32_t window_period; // with attention.sliding_window: layer i is local iff i % period < period - 1; 0:
                            // windows are ignored
    float window_rope_base; // rotation base of local layers when the file does not say; 0: as the global one
    void (*adjust)(struct hparams *h); // after the keys were read; NULL: nothing
};

const struct arch *arch_find(struct slice name); // NULL: not known
// "llama, qwen2, gemma3" for messages.
const char *arch_names(void);

enum { MODEL_MAX_LAYERS = 512 };

// How a text's vector is made of its tokens' (the numbers are the file's).
enum pooling { POOLING_NONE, POOLING_MEAN, POOLING_FIRST, POOLING_LAST, POOLING_RANK };

// What the file's keys say, checked. Sizes are per layer alike (files where they differ are refused by name).
struct hparams {
    const struct arch *arch;
    uint32_t n_ctx_train, n_embd, n_layer, n_vocab, n_ff;
    uint32_t n_head, n_head_kv, head_dim, n_rot;
    float norm_eps, attention_scale, embedding_scale; // embedding_scale 1: none
    float final_softcap;                              // 0: none
    float rope_base, rope_scale;                      // angle = rope_scale * pos * base^(-2k/n_rot)
    float window_rope_base;                           // for local layers, whose scale is 1
    uint32_t window;                                  // 0: all layers global
    bool is_local[MODEL_MAX_LAYERS];
    uint32_t
        pooling; // enum pooling; POOLING_LAST where the file says nothing: only the last token has seen all
};

// ERR_UNSUPPORTED names an unknown architecture or a feature that is not computed; ERR_FORMAT what is missing
// or impossible.
int hparams_read(struct hparams *h, const struct gguf *g, struct err *err);
