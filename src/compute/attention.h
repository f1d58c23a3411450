// SPDX-License-Identifier: MIT
// Attention over paged keys and values. A page holds KV_PAGE_TOKENS positions of one layer and one KV head:
// keys as [head_dim][KV_PAGE_TOKENS], so that one broadcast of a query value scores 16 keys; values as
// [KV_PAGE_TOKENS][head_dim].
//
// Fixed order: a score is one fma chain over dims in ascending order; softmax works in chunks of
// ATTENTION_CHUNK keys counted from position 0 (running maximum and rescaling between chunks, in ascending
// order, even if the window starts later); values are summed in ascending key order. So the bits do not
// depend on which queries are computed together. After "FlashAttention" (Dao et al. 2022), online softmax.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "compute/compute.h"

enum { KV_PAGE_TOKENS = 16, ATTENTION_CHUNK = 128 };
enum kv_type { KV_F32, KV_F16, KV_BF16, KV_Q8_0, KV_TYPE_COUNT };

const char *kv_type_name(enum kv_type type); // "f32", "f16", "bf16", "q8_0"
bool kv_type_find(const char *name, enum kv_type *type);
// Bytes that keys (or values) of one page, layer and KV head take; a multiple of 64.
size_t kv_keys_bytes(enum kv_type type, uint32_t head_dim);
size_t kv_values_bytes(enum kv_type type, uint32_t head_dim);

// Where one position's key and value of one KV head lie.
struct kv_place {
    enum kv_type type;
    uint32_t head_dim;
    void *keys, *values; // of the page
    uint32_t slot;       // the position's in the page
};

// Store one position's key, and its value: head_dim numbers each.
void kv_store_key(const struct kernels *kn, const struct kv_place *to, const float *k);
void kv_store_value(const struct kernels *kn, const struct kv_place *to, const float *v);

struct attention_query {
    const float *q;              // head_dim values, not scaled
    float *out;                  // head_dim values; overlaps no q and no other out
    uint32_t key_begin, key_end; // visible positions [begin, end), end > begin
};

struct attention {
    enum kv_type type;
    uint32_t head_dim;
    float scale;       // applied to q.k
    float softcap;     // 0: none
    const float *sink; // one extra logit per query in the denominator, or NULL; sink[i] belongs to queries[i]
    // Position p lies in page page_ids[p / 16]; its keys start at keys + page_id * page_stride.
    const uint32_t *page_ids;
    const char *keys, *values;
    size_t page_stride; // bytes from one page to the next
};

// All queries are of one sequence and one KV head (several query heads of a group, several positions). Any
// number.
void attention_run(const struct kernels *kn, const struct attention *a, const struct attention_query *queries,
                   uint32_t n_queries);
