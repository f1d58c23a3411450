// SPDX-License-Identifier: MIT
// Attention of a tile of queries over sixteen lanes, included by attention_avx2.c and attention_avx512.c
// after their lanes_*.h and three numbers: TILE_QUERIES, SCORE_PAGES(n), VALUE_REGS(n). The order of every
// sum is that of cpu/ref/attention_ref.c.
//
// The idea: all queries of a tile use a loaded key or value. Scores: 16 keys of a page lie in the lanes, n
// queries x SCORE_PAGES(n) pages stay in registers over all dims. Values: 16 dims lie in the lanes, n queries
// x VALUE_UNITS(n) units stay in registers over many keys. Where the visible ranges of the queries differ,
// only the keys that all of them see are added together; what is left before and after is added query by
// query, so a masked value is never touched.
#pragma once

#include "compute/cpu/attention_kernels.h"
#include "compute/cpu/kv_layout.h"
#include "compute/cpu/ref/math_ref.h"
#include "compute/cpu/x86/lanes_math.h"

enum {
    MAX_HEAD_DIM = 512,
    MAX_PAGES = 8, // of one score tile; also ATTENTION_CHUNK / KV_PAGE_TOKENS
    FETCH_DIMS = 8,
    PAGE_REGS = KV_PAGE_TOKENS / VREG_LANES,
    MAX_REGS = MAX_PAGES * PAGE_REGS,
    VALUE_BLOCK_BYTES = 16384, // values passed over at once: they stay in L1 while the dims are walked
};

struct tile {
    const struct attention *a;
    const struct attention_query *queries;
    int n;
    uint32_t row;        // floats of a row of acc
    uint32_t begin, end; // the union of what the queries see
    uint32_t chunk;      // first position of the current chunk
    float max[TILE_QUERIES], sum[TILE_QUERIES];
    _Alignas(64) float q[MAX_HEAD_DIM * TILE_QUERIES]; // [dim][query]
    float weights[TILE_QUERIES * ATTENTION_CHUNK];     // [query][position - chunk]
    float acc[TILE_QUERIES * MAX_HEAD_DIM];            // [query][row]
};

SIMD_INLINE vreg load_codes(enum kv_type type, const char *codes, size_t i)
{
    switch (type) {
    case KV_F32:
        return vreg_load((const float *)codes + i);
    case KV_F16:
        return vreg_load_f16((const uint16_t *)codes + i);
    case KV_BF16:
        return vreg_load_bf16((const uint16_t *)codes + i);
    default:
        return vreg_load_i8((const int8_t *)codes + i);
    }
}

// ---- Scores ----

struct score_tile {
    const char *pages[MAX_PAGES];
    const float *q; // of the next dim
    vreg acc[TILE_QUERIES][MAX_REGS], scales[MAX_REGS];
};

SIMD_INLINE vreg load_key(const struct score_tile *st, enum kv_type type, int r, uint32_t d)
{
    size_t at = (size_t)d * KV_PAGE_TOKENS + r % PAGE_REGS * VREG_LANES;
    vreg k = load_codes(type, st->pages[r / PAGE_REGS], at);
    return type == KV_Q8_0 ? vreg_mul(k, st->scales[r]) : k;
}

// What there is more of, queries or registers of keys, passes through; what there is less of stays in
// registers meanwhile.
SIMD_INLINE void score_dim(struct score_tile *st, enum kv_type type, int nq, int nr, uint32_t d)
{
    vreg few[MAX_REGS];
    if (nq <= nr) {
        SIMD_UNROLL
        for (int i = 0; i < nq; i++)
            few[i] = vreg_set1(st->q[i]);
        SIMD_UNROLL
        for (int r = 0; r < nr; r++) {
            vreg k = load_key(st, type, r, d);
            SIMD_UNROLL
            for (int i = 0; i < nq; i++)
                st->acc[i][r] = vreg_fma(few[i], k, st->acc[i][r]);
        }
    } else {
        SIMD_UNROLL
        for (int r = 0; r < nr; r++)
            few[r] = load_key(st, type, r, d);
        SIMD_UNROLL
        for (int i = 0; i < nq; i++) {
            vreg q = vreg_set1(st->q[i]);
            SIMD_UNROLL
            for (int r = 0; r < nr; r++)
                st->acc[i][r] = vreg_fma(q, few[r], st->acc[i][r]);
        }
    }
    st->q += nq;
}

// While keys are scored, the same part of their values and of the next pages' keys is fetched.
SIMD_INLINE void fetch_ahead(enum kv_type type, const char *values, const char *next, uint32_t d)
{
    size_t at = (size_t)d * KV_PAGE_TOKENS * kv_code_bytes(type);
    SIMD_UNROLL
    for (size_t i = 0; i < FETCH_DIMS * KV_PAGE_TOKENS * kv_code_bytes(type); i += 64) {
        __builtin_prefetch(values + at + i);
        __builtin_prefetch(next + at + i);
    }
}

// q.k of nq queries with the keys of np pages from page_i on; the score of position p of query i goes to
// weights[i][p - chunk].
SIMD_INLINE void score_pages(struct tile *t, enum kv_type type, int nq, int np, uint32_t page_i)
{
    const uint32_t head_dim = t->a->head_dim, last_page = (t->end - 1) / KV_PAGE_TOKENS;
    const char *values[MAX_PAGES], *next[MAX_PAGES];
    struct score_tile st = {.q = t->q};
    SIMD_UNROLL
    for (int p = 0; p < np; p++) {
        st.pages[p] = kv_keys_page(t->a, page_i + p);
        values[p] = kv_values_page(t->a, page_i + p);
        next[p] = kv_keys_page(t->a, MIN(page_i + np + p, last_page));
    }
    SIMD_UNROLL
    for (int i = 0; i < nq; i++) {
        SIMD_UNROLL
        for (int r = 0; r < np * PAGE_REGS; r++)
            st.acc[i][r] = vreg_set1(0.0f);
    }
    for (uint32_t d = 0; d < head_dim;) {
        uint32_t end = MIN(d + KV_BLOCK_DIMS, head_dim);
        if (type == KV_Q8_0) {
            SIMD_UNROLL
            for (int r = 0; r < np * PAGE_REGS; r++) {
                const float *scales = (const float *)(st.pages[r / PAGE_REGS] + kv_key_scales_at(head_dim));
                st.scales[r] =
                    vreg_load(scales + d / KV_BLOCK_DIMS * KV_PAGE_TOKENS + r % PAGE_REGS * VREG_LANES);
            }
        }
        while (d < end) {
            uint32_t stop = MIN(d + FETCH_DIMS, end);
            SIMD_UNROLL
            for (int p = 0; p < np; p++)
                fetch_ahead(type, values[p], next[p], d);
            for (; d < stop; d++)
                score_dim(&st, type, nq, np * PAGE_REGS, d);
        }
    }
    float *out = t->weights + (page_i * KV_PAGE_TOKENS - t->chunk);
    SIMD_UNROLL
    for (int i = 0; i < nq; i++) {
        SIMD_UNROLL
        for (int r = 0; r < np * PAGE_REGS; r++)
            vreg_store(out + i * ATTENTION_CHUNK + r * VREG_LANES, st.acc[i][r]);
    }
}

SIMD_INLINE void score_range(struct tile *t, enum kv_type type, int nq, uint32_t lo, uint32_t hi)
{
    uint32_t page_i = lo / KV_PAGE_TOKENS, end = (hi + KV_PAGE_TOKENS - 1) / KV_PAGE_TOKENS;
    for (; page_i + SCORE_PAGES(nq) <= end; page_i += SCORE_PAGES(nq))
        score_pages(t, type, nq, SCORE_PAGES(nq), page_i);
    if (SCORE_PAGES(nq) > 1)
        for (; page_i < end; page_i++)
            score_pages(t, type, nq, 1, page_i);
}

// ---- Softmax ----

// Scores of one query in [lo, hi) to weights; brings maximum, sum and what was added so far to the new
// maximum.
static void softmax_chunk(struct tile *t, int i, uint32_t lo, uint32_t hi)
{
    const struct attention *a = t->a;
    float *w = t->weights + i * ATTENTION_CHUNK, *acc = t->acc + i * t->row;
    int first = (int)(lo - t->chunk) / 16 * 16, from = (int)(lo - t->chunk), to = (int)(hi - t->chunk);
    struct v16 low = v16_set1(-INFINITY), max16 = low, scale = v16_set1(a->scale), cap = v16_set1(a->softcap);

    for (int p = first; p < to; p += 16) {
        struct v16 s = v16_mul(v16_load(w + p), scale);
        if (a->softcap != 0)
            s = v16_mul(cap, v16_tanh(v16_div(s, cap)));
        if (p < from || p + 16 > to)
            s = v16_keep(s, MAX(from - p, 0), MIN(to - p, 16), low);
        max16 = v16_max(max16, s);
        v16_store(w + p, s);
    }
    float new_max = v16_tree_max(max16);
    float max = t->max[i] > new_max ? t->max[i] : new_max;
    float shrink = exp_ref(t->max[i] - max);
    struct v16 sum = v16_set1(0.0f), m = v16_set1(max), f = v16_set1(shrink);
    for (int p = first; p < to; p += 16) {
        struct v16 e = v16_exp(v16_sub(v16_load(w + p), m));
        sum = v16_add(sum, e);
        v16_store(w + p, e);
    }
    t->max[i] = max;
    t->sum[i] = fmaf(t->sum[i], shrink, v16_tree_add(sum));
    if (shrink != 1.0f)
        for (uint32_t d = 0; d < t->row; d += 16)
            v16_store(acc + d, v16_mul(v16_load(acc + d), f));
}

// ---- Values ----

struct value_tile {
    const char *codes;   // of the next position, from the tile's first dim on
    const float *scales; // of the next position
    const float *w;      // weights of the next position
    vreg acc[TILE_QUERIES][MAX_REGS];
};

SIMD_INLINE vreg load_value(const struct value_tile *vt, enum kv_type type, int r, uint32_t dim)
{
    vreg v = load_codes(type, vt->codes, r * VREG_LANES);
    return type == KV_Q8_0 ? vreg_mul(v, vreg_set1(vt->scales[(dim + r * VREG_LANES) / KV_BLOCK_DIMS])) : v;
}

SIMD_INLINE void add_position(struct value_tile *vt, enum kv_type type, int nq, int nr, uint32_t dim)
{
    vreg few[MAX_REGS];
    if (nq <= nr) {
        SIMD_UNROLL
        for (int i = 0; i < nq; i++)
            few[i] = vreg_set1(vt->w[i * ATTENTION_CHUNK]);
        SIMD_UNROLL
        for (int r = 0; r < nr; r++) {
            vreg v = load_value(vt, type, r, dim);
            SIMD_UNROLL
            for (int i = 0; i < nq; i++)
                vt->acc[i][r] = vreg_fma(few[i], v, vt->acc[i][r]);
        }
    } else {
        SIMD_UNROLL
        for (int r = 0; r < nr; r++)
            few[r] = load_value(vt, type, r, dim);
        SIMD_UNROLL
        for (int i = 0; i < nq; i++) {
            vreg w = vreg_set1(vt->w[i * ATTENTION_CHUNK]);
            SIMD_UNROLL
            for (int r = 0; r < nr; r++)
                vt->acc[i][r] = vreg_fma(w, few[r], vt->acc[i][r]);
        }
    }
    vt->w++;
}

// acc[i] += weights[i][p] * value[p] for queries [q0, q0 + nq), positions [lo, hi), nr registers of dims from
// `dim` on.
SIMD_INLINE void add_dims(struct tile *t, enum kv_type type, int q0, int nq, int nr, uint32_t dim,
                          uint32_t lo, uint32_t hi)
{
    const uint32_t head_dim = t->a->head_dim, row = t->row, n_blocks = kv_blocks(head_dim);
    const size_t row_bytes = row * kv_code_bytes(type);
    float *acc = t->acc + q0 * row + dim;
    struct value_tile vt = {.w = t->weights + q0 * ATTENTION_CHUNK + (lo - t->chunk)};
    SIMD_UNROLL
    for (int i = 0; i < nq; i++) {
        SIMD_UNROLL
        for (int r = 0; r < nr; r++)
            vt.acc[i][r] = vreg_load(acc + i * row + r * VREG_LANES);
    }
    for (uint32_t p = lo; p < hi;) {
        uint32_t slot = p % KV_PAGE_TOKENS, end = MIN(hi, p - slot + KV_PAGE_TOKENS);
        const char *page = kv_values_page(t->a, p / KV_PAGE_TOKENS);
        vt.codes = page + slot * row_bytes + dim * kv_code_bytes(type);
        vt.scales = (const float *)(page + kv_value_scales_at(head_dim)) + slot * n_blocks;
        for (; p < end; p++, vt.codes += row_bytes, vt.scales += n_blocks)
            add_position(&vt, type, nq, nr, dim);
    }
    SIMD_UNROLL
    for (int i = 0; i < nq; i++) {
        SIMD_UNROLL
        for (int r = 0; r < nr; r++)
            vreg_store(acc + i * row + r * VREG_LANES, vt.acc[i][r]);
    }
}

SIMD_INLINE void add_values(struct tile *t, enum kv_type type, int q0, int nq, uint32_t lo, uint32_t hi)
{
    const uint32_t row = t->row, tile_dims = VALUE_REGS(nq) * VREG_LANES;
    uint32_t step =
        VALUE_BLOCK_BYTES / (row * (uint32_t)kv_code_bytes(type)) / KV_PAGE_TOKENS * KV_PAGE_TOKENS;
    step = MAX(step, KV_PAGE_TOKENS);
    while (lo < hi) {
        uint32_t end = MIN(hi, lo / step * step + step), dim = 0;
        for (; dim + tile_dims <= row; dim += tile_dims)
            add_dims(t, type, q0, nq, VALUE_REGS(nq), dim, lo, end);
        for (; dim < row; dim += 16)
            add_dims(t, type, q0, nq, PAGE_REGS, dim, lo, end);
        lo = end;
    }
}

// ---- Tile ----

// One copy of the loops for each number of queries.
SIMD_INLINE void score_tile(struct tile *t, enum kv_type type, uint32_t lo, uint32_t hi)
{
    switch (t->n) {
    case 1:
        return score_range(t, type, 1, lo, hi);
    case 2:
        return score_range(t, type, 2, lo, hi);
    case 3:
        return score_range(t, type, 3, lo, hi);
    case 4:
        return score_range(t, type, 4, lo, hi);
    case 5:
        return score_range(t, type, 5, lo, hi);
    case TILE_QUERIES:
        return score_range(t, type, TILE_QUERIES, lo, hi);
    default:
        if (t->n == 6 && TILE_QUERIES > 6)
            score_range(t, type, MIN(6, TILE_QUERIES), lo, hi);
        if (t->n == 7 && TILE_QUERIES > 7)
            score_range(t, type, MIN(7, TILE_QUERIES), lo, hi);
    }
}

SIMD_INLINE void add_tile(struct tile *t, enum kv_type type, uint32_t lo, uint32_t hi)
{
    switch (t->n) {
    case 1:
        return; // its keys are what is left over
    case 2:
        return add_values(t, type, 0, 2, lo, hi);
    case 3:
        return add_values(t, type, 0, 3, lo, hi);
    case 4:
        return add_values(t, type, 0, 4, lo, hi);
    case 5:
        return add_values(t, type, 0, 5, lo, hi);
    case TILE_QUERIES:
        return add_values(t, type, 0, TILE_QUERIES, lo, hi);
    default:
        if (t->n == 6 && TILE_QUERIES > 6)
            add_values(t, type, 0, MIN(6, TILE_QUERIES), lo, hi);
        if (t->n == 7 && TILE_QUERIES > 7)
            add_values(t, type, 0, MIN(7, TILE_QUERIES), lo, hi);
    }
}

// The loops of one type.
struct type_loops {
    void (*score)(struct tile *t, uint32_t lo, uint32_t hi);                // all queries
    void (*add)(struct tile *t, uint32_t lo, uint32_t hi);                  // all queries, at least two
    void (*add_one)(struct tile *t, int query_i, uint32_t lo, uint32_t hi); // nothing if hi <= lo
};

static void run_chunk(struct tile *t, const struct type_loops *loops)
{
    uint32_t lo[TILE_QUERIES], hi[TILE_QUERIES];
    uint32_t chunk_end = t->chunk + ATTENTION_CHUNK, all_lo = t->chunk, all_hi = chunk_end;

    loops->score(t, MAX(t->begin, t->chunk), MIN(t->end, chunk_end));
    for (int i = 0; i < t->n; i++) {
        lo[i] = MAX(t->queries[i].key_begin, t->chunk);
        hi[i] = MIN(t->queries[i].key_end, chunk_end);
        if (lo[i] < hi[i])
            softmax_chunk(t, i, lo[i], hi[i]);
        all_lo = MAX(all_lo, lo[i]);
        all_hi = MIN(all_hi, hi[i]);
    }
    if (all_lo >= all_hi || t->n == 1) // nothing in common: all of it is left over
        all_lo = all_hi = chunk_end;
    for (int i = 0; i < t->n; i++)
        loops->add_one(t, i, lo[i], MIN(all_lo, hi[i]));
    if (all_lo < all_hi)
        loops->add(t, all_lo, all_hi);
    for (int i = 0; i < t->n; i++)
        loops->add_one(t, i, MAX(all_hi, lo[i]), hi[i]);
}

static void begin_tile(struct tile *t)
{
    uint32_t head_dim = t->a->head_dim;
    t->row = kv_row(head_dim);
    t->begin = UINT32_MAX;
    t->end = 0;
    for (int i = 0; i < t->n; i++) {
        const struct attention_query *query = &t->queries[i];
        t->max[i] = -INFINITY;
        t->sum[i] = 0;
        t->begin = MIN(t->begin, query->key_begin);
        t->end = MAX(t->end, query->key_end);
        for (uint32_t d = 0; d < head_dim; d++)
            t->q[d * t->n + i] = query->q[d];
    }
    memset(t->acc, 0, t->n * t->row * sizeof *t->acc);
}

static void end_query(struct tile *t, int i, const float *sink)
{
    float shrink = 1, *out = t->queries[i].out;
    if (sink != NULL) {
        float max = t->max[i] > *sink ? t->max[i] : *sink;
        shrink = exp_ref(t->max[i] - max);
        t->sum[i] = fmaf(t->sum[i], shrink, exp_ref(*sink - max));
    }
    struct v16 factor = v16_set1(shrink / t->sum[i]);
    uint32_t d = 0, head_dim = t->a->head_dim;
    const float *acc = t->acc + i * t->row;
    for (; d + 16 <= head_dim; d += 16)
        v16_store(out + d, v16_mul(v16_load(acc + d), factor));
    if (d < head_dim)
        v16_store_part(out + d, v16_mul(v16_load(acc + d), factor), (int)(head_dim - d));
}

static void run_tile(const struct type_loops *loops, const struct attention *a,
                     const struct attention_query *queries, const float *sink, uint32_t n_queries)
{
    struct tile t;
    t.a = a;
    t.queries = queries;
    t.n = (int)n_queries;
    begin_tile(&t);
    for (t.chunk = t.begin / ATTENTION_CHUNK * ATTENTION_CHUNK; t.chunk < t.end; t.chunk += ATTENTION_CHUNK)
        run_chunk(&t, loops);
    for (int i = 0; i < t.n; i++)
        end_query(&t, i, sink ? sink + i : NULL);
}

static void score_f32(struct tile *t, uint32_t lo, uint32_t hi)
{
    score_tile(t, KV_F32, lo, hi);
}

static void add_f32(struct tile *t, uint32_t lo, uint32_t hi)
{
    add_tile(t, KV_F32, lo, hi);
}

static void add_one_f32(struct tile *t, int query_i, uint32_t lo, uint32_t hi)
{
    add_values(t, KV_F32, query_i, 1, lo, hi);
}

static void tile_f32(const struct attention *a, const struct attention_query *queries, const float *sink,
                     uint32_t n_queries)
{
    static const struct type_loops loops = {score_f32, add_f32, add_one_f32};
    run_tile(&loops, a, queries, sink, n_queries);
}

static void score_f16(struct tile *t, uint32_t lo, uint32_t hi)
{
    score_tile(t, KV_F16, lo, hi);
}

static void add_f16(struct tile *t, uint32_t lo, uint32_t hi)
{
    add_tile(t, KV_F16, lo, hi);
}

static void add_one_f16(struct tile *t, int query_i, uint32_t lo, uint32_t hi)
{
    add_values(t, KV_F16, query_i, 1, lo, hi);
}

static void tile_f16(const struct attention *a, const struct attention_query *queries, const float *sink,
                     uint32_t n_queries)
{
    static const struct type_loops loops = {score_f16, add_f16, add_one_f16};
    run_tile(&loops, a, queries, sink, n_queries);
}

static void score_bf16(struct tile *t, uint32_t lo, uint32_t hi)
{
    score_tile(t, KV_BF16, lo, hi);
}

static void add_bf16(struct tile *t, uint32_t lo, uint32_t hi)
{
    add_tile(t, KV_BF16, lo, hi);
}

static void add_one_bf16(struct tile *t, int query_i, uint32_t lo, uint32_t hi)
{
    add_values(t, KV_BF16, query_i, 1, lo, hi);
}

static void tile_bf16(const struct attention *a, const struct attention_query *queries, const float *sink,
                      uint32_t n_queries)
{
    static const struct type_loops loops = {score_bf16, add_bf16, add_one_bf16};
    run_tile(&loops, a, queries, sink, n_queries);
}

static void score_q8_0(struct tile *t, uint32_t lo, uint32_t hi)
{
    score_tile(t, KV_Q8_0, lo, hi);
}

static void add_q8_0(struct tile *t, uint32_t lo, uint32_t hi)
{
    add_tile(t, KV_Q8_0, lo, hi);
}

static void add_one_q8_0(struct tile *t, int query_i, uint32_t lo, uint32_t hi)
{
    add_values(t, KV_Q8_0, query_i, 1, lo, hi);
}

static void tile_q8_0(const struct attention *a, const struct attention_query *queries, const float *sink,
                      uint32_t n_queries)
{
    static const struct type_loops loops = {score_q8_0, add_q8_0, add_one_q8_0};
    run_tile(&loops, a, queries, sink, n_queries);
}

static void init_tiles(struct attention_kernels *k)
{
    k->tile[KV_F32] = tile_f32;
    k->tile[KV_F16] = tile_f16;
    k->tile[KV_BF16] = tile_bf16;
    k->tile[KV_Q8_0] = tile_q8_0;
    k->tile_queries = TILE_QUERIES;
    k->max_head_dim = MAX_HEAD_DIM;
}
