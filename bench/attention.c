// SPDX-License-Identifier: MIT
// Measures attention and the barrier of the thread team. Keys and values rotate over more memory than any
// cache holds, their pages lie in mixed order. GMAC/s counts 2 x head_dim multiply-adds for each query and
// visible key. Each figure is the best of several repeats of all rows, since other work on the machine only
// ever slows one down. usage: attention [--level L] [--type T] [--repeats N] [--memory MIB] [--only
// decode|prefill]
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "compute/attention.h"
#include "compute/pool.h"

enum { MAX_QUERIES = 2048, MAX_KEYS = 4096, N_BARRIERS = 300 };

struct shape {
    const char *name;
    uint32_t n_positions, n_heads, head_dim, n_keys; // n_keys: what the last position sees
    double best_gmacs, best_gbs;
};

static struct shape shapes[] = {
    {"decode", 1, 3, 64, 128},     {"decode", 1, 3, 64, 512},      {"decode", 1, 3, 64, 2048},
    {"decode", 1, 7, 64, 128},     {"decode", 1, 7, 64, 512},      {"decode", 1, 7, 64, 2048},
    {"decode", 1, 4, 256, 128},    {"decode", 1, 4, 256, 512},     {"decode", 1, 4, 256, 2048},
    {"decode", 1, 1, 64, 512},     {"decode", 1, 4, 128, 512},     {"decode", 1, 8, 128, 512},
    {"prefill", 128, 3, 64, 128},  {"prefill", 128, 3, 64, 1024},  {"prefill", 512, 3, 64, 512},
    {"prefill", 128, 7, 64, 1024}, {"prefill", 128, 4, 256, 1024},
};

struct bench {
    const struct kernels *kn;
    enum kv_type type;
    char *memory;
    size_t memory_bytes;
    float *q, *out;
    uint32_t *page_ids;
    struct attention_query *queries;
    struct pool *pool;
};

static uint32_t random_next(uint32_t *state)
{
    *state = *state * 1664525 + 1013904223;
    return *state >> 8;
}

// Time that this thread ran: what others take of the core does not count.
static double cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void shuffle_pages(const struct bench *b, size_t n_pages)
{
    uint32_t seed = 7;
    for (size_t i = 0; i < n_pages; i++)
        b->page_ids[i] = (uint32_t)i;
    for (size_t i = n_pages - 1; i > 0; i--) {
        size_t j = random_next(&seed) % (i + 1);
        uint32_t id = b->page_ids[i];
        b->page_ids[i] = b->page_ids[j];
        b->page_ids[j] = id;
    }
}

static double make_queries(const struct bench *b, const struct shape *s)
{
    uint32_t n = s->n_positions * s->n_heads;
    double n_macs = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t end = s->n_keys - s->n_positions + 1 + i / s->n_heads;
        b->queries[i] = (struct attention_query){
            .q = b->q + (size_t)i * s->head_dim, .out = b->out + (size_t)i * s->head_dim, .key_end = end};
        n_macs += 2.0 * end * s->head_dim;
    }
    return n_macs;
}

static void measure(const struct bench *b, struct shape *s)
{
    size_t keys_bytes = kv_keys_bytes(b->type, s->head_dim);
    size_t stride = keys_bytes + kv_values_bytes(b->type, s->head_dim);
    size_t set_pages = (s->n_keys + KV_PAGE_TOKENS - 1) / KV_PAGE_TOKENS;
    size_t n_sets = MAX(b->memory_bytes / stride / set_pages, 1);
    struct attention a = {.type = b->type,
                          .head_dim = s->head_dim,
                          .scale = 0.125f,
                          .keys = b->memory,
                          .values = b->memory + keys_bytes,
                          .page_stride = stride};
    shuffle_pages(b, n_sets * set_pages);
    double n_macs = make_queries(b, s);
    uint32_t n_queries = s->n_positions * s->n_heads;
    size_t n_runs = MIN(n_sets, (size_t)(2e8 / n_macs) + 1);
    double start = cpu_ns();
    for (size_t i = 0; i < n_runs; i++) {
        a.page_ids = b->page_ids + i * set_pages;
        attention_run(b->kn, &a, b->queries, n_queries);
    }
    double ns = cpu_ns() - start;
    double gmacs = n_macs * (double)n_runs / ns;
    s->best_gmacs = MAX(s->best_gmacs, gmacs);
    s->best_gbs = MAX(s->best_gbs, (double)(stride * set_pages * n_runs) / ns);
}

static void many_barriers(void *arg, int thread_i, int n_threads)
{
    struct bench *b = arg;
    for (int i = 0; i < N_BARRIERS; i++)
        pool_barrier(b->pool);
}

static void measure_barrier(struct bench *b, int n_threads)
{
    double best_ns = 1e9;
    b->pool = pool_new(n_threads);
    for (int i = 0; i < 300; i++) {
        int64_t start = clock_monotonic_ns();
        pool_run(b->pool, many_barriers, b);
        best_ns = MIN(best_ns, (double)(clock_monotonic_ns() - start) / N_BARRIERS);
    }
    printf("barrier of %d threads: %.0f ns\n", n_threads, best_ns);
    pool_free(b->pool);
}

static void measure_vectors(const struct bench *b)
{
    enum { N = 1536 };
    static float x[N], y[N];
    double best_silu = 1e9, best_norm = 1e9;
    for (int i = 0; i < N; i++)
        x[i] = (float)(i % 97) / 20 - 2;
    for (int repeat = 0; repeat < 200; repeat++) {
        int64_t start = clock_monotonic_ns();
        for (int i = 0; i < 20; i++)
            vec_silu_mul(b->kn, y, x, x, N);
        int64_t middle = clock_monotonic_ns();
        for (int i = 0; i < 20; i++)
            vec_rms_norm(b->kn, y, x, x, N, 1e-5f);
        best_silu = MIN(best_silu, (double)(middle - start) / 20 / N);
        best_norm = MIN(best_norm, (double)(clock_monotonic_ns() - middle) / 20 / N);
    }
    printf("silu_mul %.3f ns, rms_norm %.3f ns a value\n", best_silu, best_norm);
}

static int usage(void)
{
    fprintf(stderr,
            "usage: attention [--level L] [--type T] [--repeats N] [--memory MIB] [--only decode|prefill]\n");
    return 2;
}

int main(int argc, char **argv)
{
    enum cpu_level level = cpu_best_level();
    struct bench b = {.type = KV_F16, .memory_bytes = (size_t)128 << 20};
    int n_repeats = 20;
    const char *only = "";

    for (int i = 1; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--level") == 0 && cpu_level_find(value, &level))
            continue;
        if (strcmp(argv[i], "--type") == 0 && kv_type_find(value, &b.type))
            continue;
        if (strcmp(argv[i], "--repeats") == 0 && (n_repeats = atoi(value)) > 0)
            continue;
        if (strcmp(argv[i], "--only") == 0) {
            only = value;
            continue;
        }
        if (strcmp(argv[i], "--memory") == 0 && atoi(value) > 0) {
            b.memory_bytes = (size_t)atoi(value) << 20;
            continue;
        }
        return usage();
    }
    if (level > cpu_best_level()) {
        fprintf(stderr, "this machine lacks %s\n", cpu_level_name(level));
        return 1;
    }
    b.kn = kernels_get(level);
    size_t map_bytes = b.memory_bytes + ((size_t)64 << 20);
    b.memory = mem_map(map_bytes);
    b.q = xcalloc(MAX_QUERIES * 512, sizeof(float));
    b.out = xcalloc(MAX_QUERIES * 512, sizeof(float));
    b.page_ids = xcalloc(b.memory_bytes / 64 + MAX_KEYS, sizeof *b.page_ids);
    b.queries = xcalloc(MAX_QUERIES, sizeof *b.queries);
    if (b.memory == NULL)
        return 1;
    memset(b.memory, 0x3c, map_bytes); // a small finite number in every type
    uint32_t seed = 3;
    for (size_t i = 0; i < MAX_QUERIES * 512; i++)
        b.q[i] = (float)random_next(&seed) / (1 << 23) - 1;

    for (int repeat = 0; repeat < n_repeats; repeat++)
        for (size_t i = 0; i < COUNT_OF(shapes); i++)
            if (strncmp(shapes[i].name, only, strlen(only)) == 0)
                measure(&b, &shapes[i]);
    printf("%s, %s, one thread; GB/s: keys and values once a run\n", cpu_level_name(level),
           kv_type_name(b.type));
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        const struct shape *s = &shapes[i];
        if (s->best_gmacs > 0)
            printf("%-8s %3u x %u heads, head dim %3u, %4u keys: %5.1f GMAC/s %5.1f GB/s\n", s->name,
                   s->n_positions, s->n_heads, s->head_dim, s->n_keys, s->best_gmacs, s->best_gbs);
    }
    measure_vectors(&b);
    for (int n = 2; n <= 4; n *= 2)
        measure_barrier(&b, n);
    mem_unmap(b.memory, map_bytes);
    free(b.q);
    free(b.out);
    free(b.page_ids);
    free(b.queries);
    return 0;
}
