// SPDX-License-Identifier: MIT
// The forward pass of a decoder-only transformer over a batch of tokens from any number of sequences: a
// straight program that every compute thread runs side by side (SPMD), with barriers between regions. No
// graph, no mask tensor: causality and windows are integer ranges.
//
// A row of logits depends on its own sequence only; see compute.h for why the bits are always the same.
// One thread drives a decoder; its pool's threads work inside decoder_run() only.
#pragma once

#include "compute/attention.h"
#include "compute/pool.h"
#include "model/weights.h"

// Where keys and values live: pages of KV_PAGE_TOKENS positions, each holding all layers and KV heads of
// these positions. Whoever owns the pages (engine/kvcache) says which belong to which sequence.
struct kv_layout {
    enum kv_type type;
    size_t keys_bytes, head_bytes, layer_bytes, page_bytes;
};
void kv_layout_init(struct kv_layout *l, const struct hparams *h, enum kv_type type);

// Consecutive positions of one sequence that sit in consecutive columns of the batch.
struct decoder_run {
    const uint32_t *page_ids; // covers every position below first_position + n
    uint32_t first_position;
    uint32_t first_column, n;
};

// Which logits of a column are wanted: those of `apart`, and the k largest of the others, the lower id first
// among equals. k is 0 or above DECODER_MAX_TOP: all. What is not wanted may be -inf instead.
enum { DECODER_MAX_TOP = 128 };
struct decoder_top {
    uint32_t k;
    const uint32_t *apart; // ids, in any order, may repeat
    uint32_t n_apart;
};

struct decoder_batch {
    const uint32_t *token_ids; // n_tokens, each < n_vocab
    uint32_t n_tokens;
    const struct decoder_run *runs;
    uint32_t n_runs;
    const uint32_t *logit_columns; // columns whose logits are wanted
    uint32_t n_logits;
    const uint32_t
        *hidden_columns; // columns whose hidden states are wanted; none of them is in logit_columns
    uint32_t n_hidden;
    const struct decoder_top *tops; // of each of logit_columns; NULL: all logits of all
};

struct decoder;

struct decoder_options {
    const struct weights *weights;
    const struct kernels *kernels;
    struct pool *pool;
    struct kv_layout kv;
    char *kv_memory;     // pages, kv.page_bytes each
    uint32_t max_tokens; // of a batch
    uint32_t max_logits; // rows of logits of a batch
};

int decoder_new(struct decoder **out, const struct decoder_options *o, struct err *err);
void decoder_free(struct decoder *d);
// Bytes that decoder_new allocates.
size_t decoder_scratch_bytes(const struct hparams *h, uint32_t max_tokens, uint32_t max_logits,
                             int n_threads);
// Computes the batch and stores its keys and values. Logits of batch->logit_columns[i] are decoder_logits(d,
// i) until the next run.
void decoder_run_batch(struct decoder *d, const struct decoder_batch *batch);
float *decoder_logits(struct decoder *d, uint32_t i); // n_vocab values, the caller may change them
// After the last norm, of a column that is in batch->hidden_columns; n_embd values, until the next run.
const float *decoder_hidden(const struct decoder *d, uint32_t column);
