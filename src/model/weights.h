// SPDX-License-Identifier: MIT
// The weights of one model, packed in one block of memory. Immutable after weights_load(); read by all
// compute threads.
#pragma once

#include "base/err.h"
#include "compute/coarse.h"
#include "compute/compute.h"
#include "compute/pool.h"
#include "gguf/gguf.h"
#include "model/arch.h"

// Vectors are fp32; a NULL vector and a matrix without data are absent from the file (and optional).
struct layer {
    float *attn_norm, *q_norm, *k_norm, *post_attn_norm, *ffn_norm, *post_ffn_norm;
    struct matrix q, k, v, o, gate, up, down;
    float *q_bias, *k_bias, *v_bias, *o_bias, *gate_bias, *up_bias, *down_bias;
};

struct weights {
    struct hparams h;
    struct layer *layers; // h.n_layer
    struct matrix head;   // the token embedding when tied
    struct coarse coarse; // of the head; matrix.data is NULL where its type has none
    float *head_norm;
    float *rope_factors;                     // n_rot / 2 divisors, or NULL
    const struct dtype_info *embedding_type; // rows as in the file, when the head is another matrix
    void *embedding_rows;                    // NULL: look up in `head`
    size_t embedding_row_bytes;
    void *memory;
    size_t memory_bytes;
};

typedef bool weights_progress_fn(void *user, uint64_t done_bytes, uint64_t total_bytes);

// Reads and checks hyperparameters and tensor shapes, and computes the memory needed, without touching tensor
// data.
int weights_plan(const struct gguf *g, bool with_coarse, struct hparams *h, size_t *memory_bytes,
                 struct err *err);
// Packs everything with all threads of the pool; file pages are dropped as they are done. The file may be
// closed afterwards.
// with_coarse: with a coarse copy of the head, where its type has one; decoder.h says what for.
int weights_load(struct weights *w, const struct gguf *g, struct pool *pool, bool with_coarse,
                 weights_progress_fn *progress, void *user, struct err *err);
void weights_fini(struct weights *w);
// Rows of the head that no answer may hold: they are not looked for among the largest logits. After
// weights_load(), before a decoder runs.
void weights_ban_rows(struct weights *w, const uint32_t *rows, size_t n);
// The fp32 row of a token, not scaled. token_id < h.n_vocab.
void weights_embed(const struct weights *w, uint32_t token_id, float *out);
