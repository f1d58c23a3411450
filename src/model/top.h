// SPDX-License-Identifier: MIT
// The k largest logits without reading the whole head. The head's coarse copy (compute/coarse.h) gives an
// upper bound of every logit; the rows that look best are computed exactly, and what the k-th of them reaches
// is a lower bound of the k-th largest of all. Every row whose upper bound is not below it is computed
// exactly, too. What is left is not among the k largest, and becomes -inf. So the k largest logits, and what
// else is exact, have the bits that the whole product would give. Private to model/.
//
// Rows are computed a panel at a time. Panels belong to the threads in turn, so that frequent tokens, which
// stand together in a vocabulary, do not all fall to one.
#pragma once

#include "model/decoder.h"
#include "model/share.h"

struct top {
    const struct kernels *kernels;
    const struct matrix *exact;
    const struct coarse *coarse;
    uint32_t max_logits, n_panels;
    int n_threads;
    struct acts *columns; // [max_logits], one column each: inputs of the head
    uint8_t *is_exact;    // [max_logits][n_panels]
    float *best;          // [max_logits][n_threads][...] the exact logits of rows that looked best
    atomic_uint n_exact;  // panels computed of columns, in this pass
    float exact_share;    // of all panels, average of the last passes
    uint32_t n_skipped;   // passes since then that were done in the usual way
};

// Bytes of the buffers, which top_place() takes from `memory` (NULL: only counts).
size_t top_place(struct top *t, uint32_t max_logits, uint32_t n_vocab, uint32_t n_embd, int n_threads,
                 char *memory);
// Whether a batch is to be done in this way. Thread that drives the decoder; resets the pass's state.
bool top_begin(struct top *t, const struct decoder_batch *batch);
// Learns from the pass how much had to be computed. After it, same thread.
void top_end(struct top *t, const struct decoder_batch *batch);

// The two regions behind the coarse product, with a barrier before each. Column i's input is `x`; logits of
// it [row]. Of this thread's panels: the rows that are wanted in any case and those that look best, exactly;
// the others become upper bounds.
void top_rank(struct top *t, const struct decoder_top *want, uint32_t i, const struct acts *x, float *logits,
              const struct worker *me);
// All rows that can be among the k largest; the others become -inf.
void top_refine(struct top *t, const struct decoder_top *want, uint32_t i, const struct acts *x,
                float *logits, const struct worker *me);
