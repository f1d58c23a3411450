// SPDX-License-Identifier: MIT
// How the threads of a pass share work. Private to model/.
#pragma once

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "compute/compute.h"

struct range {
    uint32_t begin, end;
};

// Panels that nobody has taken yet, counted for the current region; all threads look at it. Three counters
// take turns, so that one can be set back while the others may be in use (decoder.c, next_region).
struct share_counters {
    atomic_uint taken[3];
};

struct worker {
    int thread_i, n_threads;
    uint32_t region; // how many barriers this thread has passed
    struct share_counters *counters;
};

// The even part of n things.
static inline struct range share(uint32_t n, const struct worker *me)
{
    uint64_t i = (uint64_t)me->thread_i, n_threads = (uint64_t)me->n_threads;
    assert(n_threads > 0);
    return (struct range){(uint32_t)(n * i / n_threads), (uint32_t)(n * (i + 1) / n_threads)};
}

// The part of a column's k values: whole blocks of 32.
struct range share_values(uint32_t k, const struct worker *me);

// Panels of a product, in pairs, so that a share of outputs is whole blocks of 32 as inputs of the next
// product. Three quarters are shared evenly; the rest is taken by whoever is free first, since the cores of a
// shared machine are not equally fast at every moment.
struct share_panels {
    struct worker *me;
    uint32_t n_panels, chunk_pairs;
    struct range even; // of pairs: this thread's
    uint32_t rest;     // the first pair that is not shared evenly
    bool has_begun;
};
struct share_panels share_begin(const struct matrix *m, struct worker *me);
// The next panels to compute; false when nothing is left. Once for each region and thread until it says
// false.
bool share_next(struct share_panels *s, struct range *panels);
// What share_next gives first.
struct range share_first(const struct matrix *m, struct worker *me);

// One thread's part of a layer's queries, keys and values, in panels. The three lie one behind the other on a
// line of work, keys and values first, which is cut evenly, but never within a head of keys or values: who
// computes such a head also rotates and stores it, without a barrier between.
struct share_qkv {
    struct range k, v, q;
};
struct qkv_sizes {
    uint32_t kv_panels, q_panels;
    uint32_t head_dim, n_tokens;
};
struct share_qkv share_qkv(const struct qkv_sizes *sizes, const struct worker *me);
