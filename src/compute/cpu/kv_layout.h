// SPDX-License-Identifier: MIT
// Where the numbers lie in a page of keys and in a page of values (one layer, one KV head, KV_PAGE_TOKENS
// positions).
//
//   keys     code[head_dim][16]; q8_0: after them, from a multiple of 64 bytes on, float scale[blocks][16]
//   values   code[16][row], row = head_dim rounded up to 16, the rest zero; q8_0: after them float
//   scale[16][blocks]
//
// code is float, f16, bf16 or int8; a block is 32 dims (the last may be shorter), value = code * scale in
// fp32. Rows of whole vectors let a kernel load without masks; it never reads outside its page.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "compute/attention.h"

enum { KV_ROW_STEP = 16, KV_BLOCK_DIMS = 32 };

static inline size_t kv_code_bytes(enum kv_type type)
{
    return type == KV_F32 ? 4 : type == KV_Q8_0 ? 1 : 2;
}

static inline uint32_t kv_blocks(uint32_t head_dim)
{
    return (head_dim + KV_BLOCK_DIMS - 1) / KV_BLOCK_DIMS;
}

static inline uint32_t kv_row(uint32_t head_dim)
{
    return ROUND_UP(head_dim, KV_ROW_STEP);
}

static inline size_t kv_key_scales_at(uint32_t head_dim)
{
    return ROUND_UP((size_t)head_dim * KV_PAGE_TOKENS, 64);
}

static inline size_t kv_value_scales_at(uint32_t head_dim)
{
    return (size_t)kv_row(head_dim) * KV_PAGE_TOKENS;
}

static inline const char *kv_keys_page(const struct attention *a, uint32_t page_i)
{
    return a->keys + a->page_ids[page_i] * a->page_stride;
}

static inline const char *kv_values_page(const struct attention *a, uint32_t page_i)
{
    return a->values + a->page_ids[page_i] * a->page_stride;
}
