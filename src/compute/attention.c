// SPDX-License-Identifier: MIT
// Pages of keys and values (sizes, storing one position) and the cutting of queries into tiles. The
// arithmetic stands in cpu/ref/attention_ref.c. Any thread; different slots of a page may be stored by
// different threads at the same time.
#include "compute/attention.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "compute/cpu/kv_layout.h"
#include "compute/kernels.h"

static const char *const type_names[KV_TYPE_COUNT] = {"f32", "f16", "bf16", "q8_0"};

const char *kv_type_name(enum kv_type type)
{
    return type_names[type];
}

bool kv_type_find(const char *name, enum kv_type *type)
{
    for (int i = 0; i < KV_TYPE_COUNT; i++) {
        if (strcmp(name, type_names[i]) == 0) {
            *type = (enum kv_type)i;
            return true;
        }
    }
    return false;
}

size_t kv_keys_bytes(enum kv_type type, uint32_t head_dim)
{
    if (type == KV_Q8_0)
        return kv_key_scales_at(head_dim) + (size_t)kv_blocks(head_dim) * KV_PAGE_TOKENS * sizeof(float);
    return ROUND_UP((size_t)head_dim * KV_PAGE_TOKENS * kv_code_bytes(type), 64);
}

size_t kv_values_bytes(enum kv_type type, uint32_t head_dim)
{
    size_t codes = (size_t)kv_row(head_dim) * KV_PAGE_TOKENS * kv_code_bytes(type);
    return type == KV_Q8_0 ? codes + (size_t)kv_blocks(head_dim) * KV_PAGE_TOKENS * sizeof(float) : codes;
}

// One block of codes: scale = largest magnitude / 127, codes to nearest even. NaN and infinite values make
// the block NaN or infinite, as they would in the wider types.
static float quantise(int8_t *codes, const float *x, uint32_t n)
{
    float largest = 0;
    for (uint32_t i = 0; i < n; i++) {
        float magnitude = fabsf(x[i]);
        largest = magnitude <= largest ? largest : magnitude; // NaN stays unless something larger follows
        if (isnan(magnitude))
            largest = INFINITY;
    }
    float scale = largest / 127.0f;
    float inverse = scale > 0 ? 1.0f / scale : 0;
    for (uint32_t i = 0; i < n; i++) {
        float code = x[i] * inverse + 0x1.8p+23f - 0x1.8p+23f;
        code = code >= -127.0f ? code : -127.0f; // takes NaN too
        codes[i] = (int8_t)(code <= 127.0f ? code : 127.0f);
    }
    return scale;
}

static void store_key_q8_0(void *keys, uint32_t slot, const float *k, uint32_t head_dim)
{
    int8_t block[KV_BLOCK_DIMS], *codes = keys;
    float *scales = (float *)((char *)keys + kv_key_scales_at(head_dim));
    for (uint32_t begin = 0; begin < head_dim; begin += KV_BLOCK_DIMS) {
        uint32_t n = MIN(head_dim - begin, KV_BLOCK_DIMS);
        scales[begin / KV_BLOCK_DIMS * KV_PAGE_TOKENS + slot] = quantise(block, k + begin, n);
        for (uint32_t i = 0; i < n; i++)
            codes[(size_t)(begin + i) * KV_PAGE_TOKENS + slot] = block[i];
    }
}

static void store_value_q8_0(void *values, uint32_t slot, const float *v, uint32_t head_dim)
{
    int8_t *row = (int8_t *)values + (size_t)slot * kv_row(head_dim);
    float *scales =
        (float *)((char *)values + kv_value_scales_at(head_dim)) + (size_t)slot * kv_blocks(head_dim);
    for (uint32_t begin = 0; begin < head_dim; begin += KV_BLOCK_DIMS)
        scales[begin / KV_BLOCK_DIMS] =
            quantise(row + begin, v + begin, MIN(head_dim - begin, KV_BLOCK_DIMS));
    memset(row + head_dim, 0, kv_row(head_dim) - head_dim);
}

static vec_to_half_fn *half_converter(const struct kernels *kn, enum kv_type type)
{
    return type == KV_F16 ? kn->vec.to_f16 : kn->vec.to_bf16;
}

void kv_store_key(const struct kernels *kn, const struct kv_place *to, const float *k)
{
    assert(to->slot < KV_PAGE_TOKENS);
    if (to->type == KV_Q8_0) {
        store_key_q8_0(to->keys, to->slot, k, to->head_dim);
    } else if (to->type == KV_F32) {
        for (uint32_t d = 0; d < to->head_dim; d++)
            ((float *)to->keys)[(size_t)d * KV_PAGE_TOKENS + to->slot] = k[d];
    } else {
        uint16_t block[64], *keys = to->keys;
        for (uint32_t begin = 0; begin < to->head_dim; begin += COUNT_OF(block)) {
            uint32_t n = MIN(to->head_dim - begin, COUNT_OF(block));
            half_converter(kn, to->type)(block, k + begin, n);
            for (uint32_t i = 0; i < n; i++)
                keys[(size_t)(begin + i) * KV_PAGE_TOKENS + to->slot] = block[i];
        }
    }
}

void kv_store_value(const struct kernels *kn, const struct kv_place *to, const float *v)
{
    assert(to->slot < KV_PAGE_TOKENS);
    size_t n = to->head_dim, row = kv_row(to->head_dim);
    if (to->type == KV_Q8_0) {
        store_value_q8_0(to->values, to->slot, v, to->head_dim);
    } else if (to->type == KV_F32) {
        float *at = (float *)to->values + to->slot * row;
        memcpy(at, v, n * sizeof *v);
        memset(at + n, 0, (row - n) * sizeof *at);
    } else {
        uint16_t *at = (uint16_t *)to->values + to->slot * row;
        half_converter(kn, to->type)(at, v, n);
        memset(at + n, 0, (row - n) * sizeof *at);
    }
}

void attention_run(const struct kernels *kn, const struct attention *a, const struct attention_query *queries,
                   uint32_t n_queries)
{
    const struct attention_kernels *ak = &kn->attention;
    if (a->head_dim > ak->max_head_dim)
        ak = &kernels_get(CPU_REF)->attention;
    for (uint32_t i = 0; i < n_queries; i += ak->tile_queries) {
        uint32_t n = MIN(n_queries - i, ak->tile_queries);
        ak->tile[a->type](a, queries + i, a->sink ? a->sink + i : NULL, n);
    }
}
