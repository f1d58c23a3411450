// SPDX-License-Identifier: MIT
// The part of the kernel table (compute/kernels.h) that belongs to attention.
#pragma once

#include "compute/attention.h"

// attention_run() for at most tile_queries queries. sink[i] belongs to queries[i]; NULL: none.
typedef void attention_tile_fn(const struct attention *a, const struct attention_query *queries,
                               const float *sink, uint32_t n_queries);

struct attention_kernels {
    attention_tile_fn *tile[KV_TYPE_COUNT];
    uint32_t tile_queries; // how many share each load of a key or value
    uint32_t max_head_dim; // beyond it, attention_run() takes the tiles of ref
};

// Each sets only what its level overrides; ref sets all.
void attention_init_ref(struct attention_kernels *k);
void attention_init_avx2(struct attention_kernels *k);
void attention_init_avx512(struct attention_kernels *k);
