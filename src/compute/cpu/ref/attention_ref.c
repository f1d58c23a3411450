// SPDX-License-Identifier: MIT
// Attention of one query in plain C: the definition of its bits. Any thread; pure.
//
//   for each chunk of ATTENTION_CHUNK positions (counted from 0) with visible keys [lo, hi), ascending:
//     score  fma chain over dims from 0, times scale; with a softcap: cap * tanh(score / cap)
//     max    16 lanes (position % 16), pages ascending, keys out of [lo, hi) count as -inf; pairwise tree;
//     then with the old maximum w      exp(score - max); their sum by the same lanes and tree; sum = fma(old
//     sum, exp(old max - max), new sum) out    times exp(old max - max), then one fma for each visible key,
//     ascending
//   a sink joins maximum and sum at the end; out times 1 / sum
//
// Of two equal or unordered numbers "larger" takes the second, as the processors' max instructions do.
#include "compute/cpu/attention_kernels.h"

#include <math.h>

#include "compute/cpu/kv_layout.h"
#include "compute/cpu/ref/math_ref.h"

struct softmax {
    float max, sum;
};

static float larger(float a, float b)
{
    return a > b ? a : b;
}

static float code_at(enum kv_type type, const void *codes, size_t i)
{
    switch (type) {
    case KV_F32:
        return ((const float *)codes)[i];
    case KV_F16:
        return half_to_float(((const uint16_t *)codes)[i]);
    case KV_BF16:
        return half_bf16_to_float(((const uint16_t *)codes)[i]);
    default:
        return ((const int8_t *)codes)[i];
    }
}

static float key_at(const struct attention *a, uint32_t position, uint32_t dim)
{
    const char *page = kv_keys_page(a, position / KV_PAGE_TOKENS);
    uint32_t slot = position % KV_PAGE_TOKENS;
    float x = code_at(a->type, page, (size_t)dim * KV_PAGE_TOKENS + slot);
    if (a->type == KV_Q8_0) {
        const float *scales = (const float *)(page + kv_key_scales_at(a->head_dim));
        x *= scales[dim / KV_BLOCK_DIMS * KV_PAGE_TOKENS + slot];
    }
    return x;
}

static float value_at(const struct attention *a, uint32_t position, uint32_t dim)
{
    const char *page = kv_values_page(a, position / KV_PAGE_TOKENS);
    uint32_t slot = position % KV_PAGE_TOKENS;
    float x = code_at(a->type, page, (size_t)slot * kv_row(a->head_dim) + dim);
    if (a->type == KV_Q8_0) {
        const float *scales = (const float *)(page + kv_value_scales_at(a->head_dim));
        x *= scales[slot * kv_blocks(a->head_dim) + dim / KV_BLOCK_DIMS];
    }
    return x;
}

static float score(const struct attention *a, const float *q, uint32_t position)
{
    float s = 0;
    for (uint32_t d = 0; d < a->head_dim; d++)
        s = fmaf(q[d], key_at(a, position, d), s);
    s *= a->scale;
    return a->softcap != 0 ? a->softcap * tanh_ref(s / a->softcap) : s;
}

// Scores of the pages that hold [lo, hi), from the first of them on; returns their maximum.
static float score_pages(const struct attention *a, const float *q, uint32_t lo, uint32_t hi, float *scores)
{
    uint32_t first = lo / KV_PAGE_TOKENS * KV_PAGE_TOKENS, end = ROUND_UP(hi, KV_PAGE_TOKENS);
    float lanes[KV_PAGE_TOKENS];
    for (int j = 0; j < KV_PAGE_TOKENS; j++)
        lanes[j] = -INFINITY;
    for (uint32_t p = first; p < end; p++) {
        scores[p - first] = p >= lo && p < hi ? score(a, q, p) : -INFINITY;
        lanes[p % 16] = larger(lanes[p % 16], scores[p - first]);
    }
    for (int step = 8; step > 0; step /= 2)
        for (int j = 0; j < step; j++)
            lanes[j] = larger(lanes[j], lanes[j + step]);
    return lanes[0];
}

// Turns n scores into weights; returns their sum.
static float weigh(float *scores, uint32_t n, float max)
{
    float lanes[KV_PAGE_TOKENS] = {0};
    for (uint32_t i = 0; i < n; i++) {
        scores[i] = exp_ref(scores[i] - max);
        lanes[i % 16] += scores[i];
    }
    for (int step = 8; step > 0; step /= 2)
        for (int j = 0; j < step; j++)
            lanes[j] += lanes[j + step];
    return lanes[0];
}

static void add_chunk(const struct attention *a, const struct attention_query *query, uint32_t lo,
                      uint32_t hi, struct softmax *sm)
{
    float weights[ATTENTION_CHUNK];
    uint32_t first = lo / KV_PAGE_TOKENS * KV_PAGE_TOKENS, n = ROUND_UP(hi, KV_PAGE_TOKENS) - first;
    float max = larger(sm->max, score_pages(a, query->q, lo, hi, weights));
    float shrink = exp_ref(sm->max - max);
    sm->sum = fmaf(sm->sum, shrink, weigh(weights, n, max));
    sm->max = max;
    for (uint32_t d = 0; d < a->head_dim; d++) {
        float sum = query->out[d] * shrink;
        for (uint32_t p = lo; p < hi; p++)
            sum = fmaf(weights[p - first], value_at(a, p, d), sum);
        query->out[d] = sum;
    }
}

static void attention_tile_ref(const struct attention *a, const struct attention_query *query,
                               const float *sink, uint32_t n_queries)
{
    struct softmax sm = {.max = -INFINITY};
    memset(query->out, 0, a->head_dim * sizeof *query->out);
    for (uint32_t lo = query->key_begin; lo < query->key_end;) {
        uint32_t hi = MIN(query->key_end, lo / ATTENTION_CHUNK * ATTENTION_CHUNK + ATTENTION_CHUNK);
        add_chunk(a, query, lo, hi, &sm);
        lo = hi;
    }
    float shrink = 1;
    if (sink != NULL) {
        float max = larger(sm.max, *sink);
        shrink = exp_ref(sm.max - max);
        sm.sum = fmaf(sm.sum, shrink, exp_ref(*sink - max));
    }
    float factor = shrink / sm.sum;
    for (uint32_t d = 0; d < a->head_dim; d++)
        query->out[d] *= factor;
}

void attention_init_ref(struct attention_kernels *k)
{
    for (int type = 0; type < KV_TYPE_COUNT; type++)
        k->tile[type] = attention_tile_ref;
    k->tile_queries = 1;
    k->max_head_dim = UINT32_MAX;
}
