// SPDX-License-Identifier: MIT
// Measures matrix products: for each type, width and number of threads GMAC/s, GB/s of packed weights, and
// their shares of the machine's limits, which are measured in the same run. Weights rotate over more memory
// than any cache holds. Each figure is the best of several repeats, spread over the run, since other work on
// the machine only ever slows one down. usage: kernels [--level L] [--type T] [--rows R] [--k K] [--columns
// N,N,...] [--repeats N] [--threads N,N...]
//                [--clock wall|cpu] [--macs N]   cpu: time spent, for one thread on a busy machine
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "compute/kernels.h"
#include "compute/pool.h"
#include "machine.h"

enum { MAX_LIST = 16, MAX_COLUMNS = 1024, WEIGHT_BYTES = 256 << 20 };

struct options {
    enum cpu_level level;
    const char *type;
    uint32_t n_rows, k;
    int n_repeats;
    double macs_per_repeat; // least work between two looks at the clock
    uint32_t columns[MAX_LIST], threads[MAX_LIST];
    int n_columns, n_threads;
};

struct work {
    const struct kernels *kn;
    const struct matrix *matrices;
    int n_matrices, matrix_i;
    struct acts *acts;
    const float *values;
    float *out;
    size_t out_stride;
    struct pool *pool;
};

static void *map_bytes(size_t n_bytes)
{
    size_t huge = 2 << 20, whole = (n_bytes + 2 * huge - 1) / huge * huge;
    char *p = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
    p += (huge - (uintptr_t)p % huge) % huge;
    madvise(p, n_bytes, MADV_HUGEPAGE);
    return p;
}

// One product with its activations stored first, as a step of a model does it.
static void product(void *arg, int thread_i, int n_threads)
{
    struct work *w = arg;
    const struct matrix *m = &w->matrices[w->matrix_i];
    uint32_t n_panels = matrix_panels(m), n_blocks = w->acts->k / 32;
    uint32_t k_begin = n_blocks * thread_i / n_threads * 32,
             k_end = n_blocks * (thread_i + 1) / n_threads * 32;
    for (uint32_t c = 0; c < w->acts->n_columns; c++)
        acts_store(w->kn, w->acts, c, k_begin, k_end, w->values + (size_t)c * w->acts->k + k_begin);
    pool_barrier(w->pool);
    matmul(w->kn, m, w->acts, n_panels * thread_i / n_threads, n_panels * (thread_i + 1) / n_threads, w->out,
           w->out_stride);
}

// The level whose limits count; ref has none of its own.
static enum cpu_level limit_level(const struct options *o)
{
    return o->level == CPU_REF ? cpu_best_level() : o->level;
}

static void fill_matrices(struct matrix *matrices, int n, const struct dtype_info *type,
                          const struct options *o)
{
    size_t n_bytes = matrix_packed_bytes((enum dtype)type->id, o->n_rows, o->k);
    size_t row_bytes = (size_t)o->k / type->block_elems * type->block_bytes;
    char *all = map_bytes((size_t)n * n_bytes + WEIGHT_BYTES), *rows = malloc(row_bytes * o->n_rows);
    for (size_t i = 0; i < row_bytes * o->n_rows; i++)
        rows[i] = (char)((i * 2654435761u >> 13) & 0x1f);
    for (int i = 0; i < n; i++) {
        matrices[i] = (struct matrix){.type = (enum dtype)type->id,
                                      .n_rows = o->n_rows,
                                      .n_cols = o->k,
                                      .data = all + (size_t)i * n_bytes};
        if (i == 0)
            matrix_pack(&matrices[i], rows, 0, matrix_panels(&matrices[i]));
        else
            memcpy(matrices[i].data, matrices[0].data, n_bytes);
    }
    memset(all + (size_t)n * n_bytes, 1, WEIGHT_BYTES);
    free(rows);
}

static void measure(struct work *w, const struct dtype_info *type, const struct options *o, double multiplies)
{
    size_t n_bytes = matrix_packed_bytes((enum dtype)type->id, o->n_rows, o->k);
    double best[MAX_LIST], bandwidth = 0;
    double needed = machine_multiplies_per_256(limit_level(o), (enum dtype)type->id);
    for (int i = 0; i < o->n_columns; i++)
        best[i] = 1e9;
    for (int repeat = 0; repeat < o->n_repeats; repeat++) {
        double gbs = 1e-9 * machine_read_bytes_per_s(w->pool, w->matrices[0].data, WEIGHT_BYTES);
        bandwidth = gbs > bandwidth ? gbs : bandwidth;
        for (int i = 0; i < o->n_columns; i++) {
            *w->acts = (struct acts){acts_kind_for((enum dtype)type->id), o->columns[i], o->k, w->acts->data};
            int n_runs = 1 + (int)(o->macs_per_repeat / (double)o->columns[i] / o->n_rows / o->k);
            double start = machine_now_s();
            for (int run = 0; run < n_runs; run++) {
                w->matrix_i = (w->matrix_i + 1) % w->n_matrices;
                pool_run(w->pool, product, w);
            }
            double s = (machine_now_s() - start) / n_runs;
            best[i] = s < best[i] ? s : best[i];
        }
    }
    printf("%-5s %d thread%s, %ux%u, read %.1f GB/s, limit %.0f GMAC/s\n", type->name, pool_size(w->pool),
           pool_size(w->pool) > 1 ? "s" : "", o->n_rows, o->k, bandwidth,
           multiplies * pool_size(w->pool) * 256 / needed * 1e-9);
    for (int i = 0; i < o->n_columns; i++) {
        double macs = (double)o->columns[i] * o->n_rows * o->k / best[i];
        printf("  N=%-4u %7.1f GMAC/s %6.1f GB/s   %4.0f %% of the multiply limit  %4.0f %% of the read "
               "bandwidth\n",
               o->columns[i], macs * 1e-9, (double)n_bytes / best[i] * 1e-9,
               100 * macs * needed / 256 / multiplies / pool_size(w->pool),
               100 * (double)n_bytes / best[i] * 1e-9 / bandwidth);
    }
    fflush(stdout);
}

static void bench_type(const struct dtype_info *type, const struct options *o, double multiplies)
{
    size_t n_bytes = matrix_packed_bytes((enum dtype)type->id, o->n_rows, o->k);
    int n = (int)(WEIGHT_BYTES / n_bytes) + 1;
    struct matrix *matrices = calloc((size_t)n, sizeof *matrices);
    fill_matrices(matrices, n, type, o);
    float *values = malloc(sizeof(float) * MAX_COLUMNS * o->k);
    for (size_t i = 0; i < (size_t)MAX_COLUMNS * o->k; i++)
        values[i] = (float)(int)(i * 2654435761u >> 8 & 0xffff) / 32768 - 1;
    struct acts acts = {.data = map_bytes((size_t)MAX_COLUMNS * o->k * 4 + 4096)};
    size_t out_stride = (size_t)matrix_panels(matrices) * PANEL_ROWS;
    for (int i = 0; i < o->n_threads; i++) {
        struct work w = {.kn = kernels_get(o->level),
                         .matrices = matrices,
                         .n_matrices = n,
                         .acts = &acts,
                         .values = values,
                         .out = map_bytes(out_stride * MAX_COLUMNS * 4),
                         .out_stride = out_stride,
                         .pool = pool_new((int)o->threads[i])};
        measure(&w, type, o, multiplies);
        munmap(w.out, out_stride * MAX_COLUMNS * 4);
        pool_free(w.pool);
    }
    munmap(acts.data, (size_t)MAX_COLUMNS * o->k * 4 + 4096);
    munmap(matrices[0].data, (size_t)n * n_bytes + WEIGHT_BYTES);
    free(values);
    free(matrices);
}

static int read_list(const char *text, uint32_t *list)
{
    int n = 0;
    for (char *end; n < MAX_LIST && *text; text = *end == ',' ? end + 1 : end) {
        list[n++] = (uint32_t)strtoul(text, &end, 10);
        if (end == text || list[n - 1] < 1 || list[n - 1] > MAX_COLUMNS) {
            fprintf(stderr, "kernels: bad list\n");
            exit(2);
        }
    }
    return n;
}

int main(int argc, char **argv)
{
    struct options o = {.level = cpu_best_level(),
                        .n_rows = 1536,
                        .k = 1536,
                        .n_repeats = 25,
                        .macs_per_repeat = 5e7,
                        .columns = {1, 2, 4, 8, 16, 32, 64, 512},
                        .n_columns = 8,
                        .threads = {1, 2},
                        .n_threads = 2};
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--level") == 0 && !cpu_level_find(argv[i + 1], &o.level))
            return 2;
        else if (strcmp(argv[i], "--type") == 0)
            o.type = argv[i + 1];
        else if (strcmp(argv[i], "--rows") == 0)
            o.n_rows = (uint32_t)atoi(argv[i + 1]);
        else if (strcmp(argv[i], "--k") == 0)
            o.k = (uint32_t)atoi(argv[i + 1]);
        else if (strcmp(argv[i], "--repeats") == 0)
            o.n_repeats = atoi(argv[i + 1]);
        else if (strcmp(argv[i], "--columns") == 0)
            o.n_columns = read_list(argv[i + 1], o.columns);
        else if (strcmp(argv[i], "--macs") == 0)
            o.macs_per_repeat = atof(argv[i + 1]);
        else if (strcmp(argv[i], "--clock") == 0)
            machine_clock = strcmp(argv[i + 1], "cpu") == 0 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC;
        else if (strcmp(argv[i], "--threads") == 0)
            o.n_threads = read_list(argv[i + 1], o.threads);
    }
    double multiplies = machine_multiplies_per_s(limit_level(&o));
    printf("level %s, %.2f G multiplies/s\n", cpu_level_name(o.level), multiplies * 1e-9);
    for (int32_t id = 0; id < KERNELS_DTYPE_LIMIT; id++) {
        const struct dtype_info *type = dtype_find(id);
        if (type != NULL && matrix_packed_bytes((enum dtype)id, o.n_rows, o.k) > 0 &&
            (o.type == NULL || strcmp(o.type, type->name) == 0))
            bench_type(type, &o, multiplies);
    }
    return 0;
}
