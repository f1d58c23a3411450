// SPDX-License-Identifier: MIT
// Attention over pages: every level and every grouping of queries equal to ref bit for bit, ref close to a
// computation in double, masked and unwritten slots without any influence, nothing read or written outside
// the pages and the outputs.
#include "levels.h"

#include <math.h>

#include "compute/attention.h"
#include "compute/cpu/kv_layout.h"
#include "compute/half.h"

enum { MAX_QUERIES = 64, CANARIES = 8 };
#define CANARY 0x1.5p+77f
// Absolute, for values up to 1 in magnitude: sums of some hundred fp32 numbers.
#define MAX_ERROR 2e-6

static struct level levels[LEVELS_MAX];
static int n_levels;

// Positions of one sequence in a pool whose pages lie in mixed order and end at an unreadable page.
struct world {
    struct attention a;
    uint32_t n_positions, page_ids[128];
    struct guarded pool;
    float *k, *v; // what was stored, as floats
    uint32_t seed;
};

static float uniform(uint32_t *seed)
{
    return (float)levels_random(seed) / (1 << 23) - 1;
}

// Pages are stored at `positions`; slots beyond keep all bits set, which is NaN in every float type.
static void world_init(struct world *w, enum kv_type type, uint32_t head_dim, uint32_t n_positions)
{
    uint32_t n_pages = (n_positions + KV_PAGE_TOKENS - 1) / KV_PAGE_TOKENS;
    size_t keys_bytes = kv_keys_bytes(type, head_dim), stride = keys_bytes + kv_values_bytes(type, head_dim);

    assert_int_equal(stride % 64, 0);
    *w = (struct world){.n_positions = n_positions, .seed = head_dim * 977 + n_positions * 31 + type};
    w->pool = guarded_new(stride * n_pages);
    memset(w->pool.data, 0xff, stride * n_pages);
    w->a = (struct attention){.type = type,
                              .head_dim = head_dim,
                              .scale = 1.0f / sqrtf((float)head_dim),
                              .page_ids = w->page_ids,
                              .keys = w->pool.data,
                              .values = (char *)w->pool.data + keys_bytes,
                              .page_stride = stride};
    for (uint32_t i = 0; i < n_pages; i++)
        w->page_ids[i] = i;
    for (uint32_t i = n_pages - 1; i > 0; i--) {
        uint32_t j = levels_random(&w->seed) % (i + 1), id = w->page_ids[i];
        w->page_ids[i] = w->page_ids[j];
        w->page_ids[j] = id;
    }
    size_t n = (size_t)n_positions * head_dim;
    w->k = malloc(n * sizeof(float));
    w->v = malloc(n * sizeof(float));
    for (size_t i = 0; i < n; i++) {
        w->k[i] = 2 * uniform(&w->seed);
        w->v[i] = uniform(&w->seed);
    }
}

// Stores with `kn`; then k and v become what the type holds of them.
static void world_store(struct world *w, const struct kernels *kn)
{
    const struct attention *a = &w->a;
    for (uint32_t p = 0; p < w->n_positions; p++) {
        size_t page = w->page_ids[p / KV_PAGE_TOKENS] * a->page_stride, at = (size_t)p * a->head_dim;
        struct kv_place to = {.type = a->type,
                              .head_dim = a->head_dim,
                              .keys = (char *)a->keys + page,
                              .values = (char *)a->values + page,
                              .slot = p % KV_PAGE_TOKENS};
        kv_store_key(kn, &to, w->k + at);
        kv_store_value(kn, &to, w->v + at);
    }
}

static float rounded(enum kv_type type, const float *block, uint32_t i, uint32_t n)
{
    if (type == KV_F16)
        return half_to_float(half_from_float(block[i]));
    if (type == KV_BF16)
        return half_bf16_to_float(half_bf16_from_float(block[i]));
    if (type == KV_F32)
        return block[i];
    float largest = 0;
    for (uint32_t j = 0; j < n; j++)
        largest = fmaxf(largest, fabsf(block[j]));
    float scale = largest / 127.0f;
    return nearbyintf(block[i] * (1.0f / scale)) * scale;
}

static double value_of(const struct world *w, const float *x, uint32_t position, uint32_t dim)
{
    uint32_t begin = dim / KV_BLOCK_DIMS * KV_BLOCK_DIMS, n = MIN(w->a.head_dim - begin, KV_BLOCK_DIMS);
    return (double)rounded(w->a.type, x + (size_t)position * w->a.head_dim + begin, dim - begin, n);
}

static void world_fini(struct world *w)
{
    guarded_free(&w->pool);
    free(w->k);
    free(w->v);
}

// Queries with their own canaried outputs.
struct asked {
    uint32_t n;
    struct attention_query queries[MAX_QUERIES];
    float sinks[MAX_QUERIES];
    float *q, *out;
    size_t out_stride;
};

static void asked_init(struct asked *s, uint32_t n, uint32_t head_dim, uint32_t *seed)
{
    s->n = n;
    s->out_stride = head_dim + CANARIES;
    s->q = malloc((size_t)n * head_dim * sizeof(float));
    s->out = malloc(n * s->out_stride * sizeof(float));
    for (size_t i = 0; i < (size_t)n * head_dim; i++)
        s->q[i] = 3 * uniform(seed);
    for (size_t i = 0; i < n * s->out_stride; i++)
        s->out[i] = CANARY;
    for (uint32_t i = 0; i < n; i++) {
        s->queries[i].q = s->q + (size_t)i * head_dim;
        s->queries[i].out = s->out + i * s->out_stride;
        s->sinks[i] = 2 * uniform(seed);
    }
}

static void asked_fini(struct asked *s)
{
    free(s->q);
    free(s->out);
}

// Runs in groups of `group` queries, each group with its own part of the sinks.
static void asked_run(const struct kernels *kn, const struct world *w, struct asked *s, uint32_t group)
{
    for (uint32_t i = 0; i < s->n; i += group) {
        struct attention a = w->a;
        a.sink = a.sink ? a.sink + i : NULL;
        attention_run(kn, &a, s->queries + i, MIN(group, s->n - i));
    }
}

static double exact_score(const struct world *w, const float *q, uint32_t position)
{
    double s = 0;
    for (uint32_t d = 0; d < w->a.head_dim; d++)
        s += (double)q[d] * value_of(w, w->k, position, d);
    s *= (double)w->a.scale;
    return w->a.softcap != 0 ? (double)w->a.softcap * tanh(s / (double)w->a.softcap) : s;
}

// The largest difference to a computation in double.
static double error_of(const struct world *w, const struct attention_query *query, const float *sink)
{
    static double weights[2048], out[1024];
    double max = sink ? (double)*sink : -INFINITY, sum = 0, worst = 0;
    for (uint32_t p = query->key_begin; p < query->key_end; p++) {
        weights[p] = exact_score(w, query->q, p);
        max = fmax(max, weights[p]);
    }
    memset(out, 0, sizeof out);
    for (uint32_t p = query->key_begin; p < query->key_end; p++) {
        double e = exp(weights[p] - max);
        sum += e;
        for (uint32_t d = 0; d < w->a.head_dim; d++)
            out[d] += e * value_of(w, w->v, p, d);
    }
    sum += sink ? exp((double)*sink - max) : 0;
    for (uint32_t d = 0; d < w->a.head_dim; d++)
        worst = fmax(worst, fabs(out[d] / sum - (double)query->out[d]));
    return worst;
}

static void check_canaries(const struct asked *s, uint32_t head_dim)
{
    for (uint32_t i = 0; i < s->n; i++)
        for (uint32_t c = 0; c < CANARIES; c++)
            assert_true(s->queries[i].out[head_dim + c] == CANARY);
}

// Ref one by one is the truth; ref in one call and every level in groups of 1, 2, .. must have its bits.
static void check_levels(const struct world *w, struct asked *s)
{
    size_t n_bytes = s->n * s->out_stride * sizeof(float);
    float *expected = malloc(n_bytes);
    asked_run(kernels_get(CPU_REF), w, s, 1);
    check_canaries(s, w->a.head_dim);
    memcpy(expected, s->out, n_bytes);
    asked_run(kernels_get(CPU_REF), w, s, s->n);
    assert_memory_equal(expected, s->out, n_bytes);
    for (int level = 0; level < n_levels; level++) {
        for (uint32_t group = 1; group <= s->n; group = group < 9       ? group + 1
                                                        : group == s->n ? group + 1
                                                                        : s->n) {
            for (size_t i = 0; i < s->n; i++)
                memset(s->queries[i].out, 0xff, w->a.head_dim * sizeof(float));
            asked_run(&levels[level].kernels, w, s, group);
            if (memcmp(expected, s->out, n_bytes) != 0)
                fail_msg("%s differs: %s, head dim %u, groups of %u", levels[level].name,
                         kv_type_name(w->a.type), w->a.head_dim, group);
        }
    }
    memcpy(s->out, expected, n_bytes);
    free(expected);
}

static void check_accuracy(const struct world *w, const struct asked *s, double bound)
{
    for (uint32_t i = 0; i < s->n; i++) {
        double error = error_of(w, &s->queries[i], w->a.sink ? &w->a.sink[i] : NULL);
        if (!(error < bound))
            fail_msg("error %g: %s, head dim %u, query %u", error, kv_type_name(w->a.type), w->a.head_dim, i);
    }
}

static void storing_has_the_same_bits_at_every_level(void **state)
{
    static const uint32_t dims[] = {1, 8, 15, 16, 31, 33, 64, 72, 96, 130, 256};
    for (int type = 0; type < KV_TYPE_COUNT; type++) {
        for (size_t i = 0; i < COUNT_OF(dims); i++) {
            for (int level = 0; level < n_levels; level++) {
                struct world expected, got;
                world_init(&expected, type, dims[i], 21);
                world_init(&got, type, dims[i], 21);
                world_store(&expected, kernels_get(CPU_REF));
                world_store(&got, &levels[level].kernels);
                assert_memory_equal(expected.pool.data, got.pool.data, 2 * got.a.page_stride);
                world_fini(&expected);
                world_fini(&got);
            }
        }
    }
}

// Positions of a prompt, several heads each, causal: position-major, as the engine asks.
static void ask_causal(struct asked *s, uint32_t first_position, uint32_t n_heads, uint32_t window)
{
    for (uint32_t i = 0; i < s->n; i++) {
        uint32_t end = first_position + i / n_heads + 1;
        s->queries[i].key_end = end;
        s->queries[i].key_begin = window > 0 && end > window ? end - window : 0;
    }
}

static void head_dims_of_all_kinds(void **state)
{
    static const uint32_t dims[] = {1,  3,  8,   15,  16,  17,  24,  32,  33,  64,  72,
                                    80, 96, 100, 112, 128, 130, 160, 192, 256, 512, 520};
    for (int type = 0; type < KV_TYPE_COUNT; type++) {
        for (size_t i = 0; i < COUNT_OF(dims); i++) {
            struct world w;
            struct asked s;
            world_init(&w, type, dims[i], 150);
            world_store(&w, kernels_get(CPU_REF));
            asked_init(&s, 7, dims[i], &w.seed);
            ask_causal(&s, 147, 3, 0);
            check_levels(&w, &s);
            check_accuracy(&w, &s, MAX_ERROR);
            asked_fini(&s);
            world_fini(&w);
        }
    }
}

static void lengths_from_one_key_over_several_chunks(void **state)
{
    static const uint32_t lengths[] = {1,   2,   15,  16,  17,  63,  64,  65, 127,
                                       128, 129, 144, 255, 256, 257, 383, 700};
    for (int type = 0; type < KV_TYPE_COUNT; type++) {
        for (size_t i = 0; i < COUNT_OF(lengths); i++) {
            struct world w;
            struct asked s;
            world_init(&w, type, 64, lengths[i]);
            world_store(&w, kernels_get(CPU_REF));
            asked_init(&s, 8, 64, &w.seed);
            ask_causal(&s, lengths[i] - 1, 8, 0);
            check_levels(&w, &s);
            check_accuracy(&w, &s, MAX_ERROR);
            asked_fini(&s);
            world_fini(&w);
        }
    }
}

static void prompts_and_windows_start_anywhere(void **state)
{
    static const uint32_t windows[] = {0, 1, 5, 16, 100, 128, 131};
    for (size_t i = 0; i < COUNT_OF(windows); i++) {
        struct world w;
        struct asked s;
        world_init(&w, KV_F16, 64, 290);
        world_store(&w, kernels_get(CPU_REF));
        asked_init(&s, 40, 64, &w.seed);
        ask_causal(&s, 270, 2, windows[i]);
        check_levels(&w, &s);
        check_accuracy(&w, &s, MAX_ERROR);
        ask_causal(&s, 0, 3, windows[i]);
        check_levels(&w, &s);
        asked_fini(&s);
        world_fini(&w);
    }
}

// Ranges that have little or nothing in common within one tile.
static void ranges_without_order(void **state)
{
    for (int round = 0; round < 12; round++) {
        struct world w;
        struct asked s;
        world_init(&w, round % KV_TYPE_COUNT, round % 2 ? 48 : 64, 400);
        world_store(&w, kernels_get(CPU_REF));
        w.seed += round;
        asked_init(&s, 17, w.a.head_dim, &w.seed);
        for (uint32_t i = 0; i < s.n; i++) {
            uint32_t begin = levels_random(&w.seed) % 400;
            s.queries[i].key_begin = begin;
            s.queries[i].key_end = begin + 1 + levels_random(&w.seed) % (400 - begin);
        }
        check_levels(&w, &s);
        check_accuracy(&w, &s, MAX_ERROR);
        asked_fini(&s);
        world_fini(&w);
    }
}

static void sink_and_softcap(void **state)
{
    for (int kind = 1; kind < 4; kind++) {
        struct world w;
        struct asked s;
        world_init(&w, KV_F16, 64, 300);
        world_store(&w, kernels_get(CPU_REF));
        asked_init(&s, 13, 64, &w.seed);
        ask_causal(&s, 290, 3, kind == 3 ? 70 : 0);
        w.a.sink = kind & 1 ? s.sinks : NULL;
        w.a.softcap = kind & 2 ? 1.5f : 0;
        check_levels(&w, &s);
        check_accuracy(&w, &s, MAX_ERROR);
        asked_fini(&s);
        world_fini(&w);
    }
}

static void equal_large_scores_give_the_mean(void **state)
{
    struct world w;
    struct asked s;
    world_init(&w, KV_F32, 16, 200);
    for (uint32_t i = 0; i < 200 * 16; i++)
        w.k[i] = 1e4f;
    world_store(&w, kernels_get(CPU_REF));
    asked_init(&s, 3, 16, &w.seed);
    for (uint32_t i = 0; i < 3 * 16; i++)
        s.q[i] = 1e4f;
    ask_causal(&s, 199, 3, 0);
    check_levels(&w, &s);
    check_accuracy(&w, &s, MAX_ERROR);
    asked_fini(&s);
    world_fini(&w);
}

static void infinite_and_nan_inputs_end(void **state)
{
    static const float strange[] = {INFINITY, -INFINITY, NAN, 3e38f, -3e38f};
    for (int type = 0; type < KV_TYPE_COUNT; type++) {
        for (size_t i = 0; i < COUNT_OF(strange); i++) {
            struct world w;
            struct asked s;
            world_init(&w, type, 24, 140);
            w.k[70 * 24 + 3] = strange[i];
            w.v[90 * 24 + 5] = strange[i];
            world_store(&w, kernels_get(CPU_REF));
            asked_init(&s, 5, 24, &w.seed);
            ask_causal(&s, 139, 5, 0);
            asked_run(kernels_get(CPU_REF), &w, &s, 5);
            for (int level = 0; level < n_levels; level++)
                asked_run(&levels[level].kernels, &w, &s, 5);
            check_canaries(&s, 24);
            asked_fini(&s);
            world_fini(&w);
        }
    }
}

static void names_go_both_ways(void **state)
{
    enum kv_type found;
    for (int type = 0; type < KV_TYPE_COUNT; type++) {
        assert_true(kv_type_find(kv_type_name(type), &found));
        assert_int_equal(found, type);
    }
    assert_false(kv_type_find("q4_0", &found));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_go_both_ways),
        cmocka_unit_test(storing_has_the_same_bits_at_every_level),
        cmocka_unit_test(head_dims_of_all_kinds),
        cmocka_unit_test(lengths_from_one_key_over_several_chunks),
        cmocka_unit_test(prompts_and_windows_start_anywhere),
        cmocka_unit_test(ranges_without_order),
        cmocka_unit_test(sink_and_softcap),
        cmocka_unit_test(equal_large_scores_give_the_mean),
        cmocka_unit_test(infinite_and_nan_inputs_end),
    };
    n_levels = levels_init(levels);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
