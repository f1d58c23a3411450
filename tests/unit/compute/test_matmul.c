// SPDX-License-Identifier: MIT
// Packing, quantising of activations and matrix products: every level equal to ref bit for bit.
#include "levels.h"

#include "compute/acts.h"
#include "compute/half.h"
#include "compute/panel.h"

enum pattern { PATTERN_RANDOM, PATTERN_MAX, PATTERN_MIN, PATTERN_ALTERNATING, PATTERN_COUNT };

static const enum dtype all_types[] = {DTYPE_F32,  DTYPE_F16,  DTYPE_BF16, DTYPE_Q4_0, DTYPE_Q4_1, DTYPE_Q5_0,
                                       DTYPE_Q5_1, DTYPE_Q8_0, DTYPE_Q4_K, DTYPE_Q5_K, DTYPE_Q6_K};
enum { N_TYPES = sizeof all_types / sizeof all_types[0] };

static struct level levels[LEVELS_MAX];
static int n_levels;

static uint8_t pattern_byte(enum pattern pattern, size_t i, uint32_t *seed)
{
    switch (pattern) {
    case PATTERN_MAX:
        return 0xff;
    case PATTERN_MIN:
        return 0;
    case PATTERN_ALTERNATING:
        return i % 2 ? 0xff : 0;
    default:
        return (uint8_t)levels_random(seed);
    }
}

// fp16 in [2^-7, 2^-5) with either sign.
static uint16_t random_half(uint32_t *seed)
{
    uint32_t r = levels_random(seed);
    return (uint16_t)(0x2000 + (r & 0x7ff) + (r & 0x800 ? 0x8000 : 0));
}

static void put_half(uint8_t *at, uint16_t h)
{
    memcpy(at, &h, sizeof h);
}

static void fill_block(enum dtype type, uint8_t *block, uint32_t n_bytes, enum pattern pattern,
                       uint32_t *seed)
{
    for (uint32_t i = 0; i < n_bytes; i++)
        block[i] = pattern_byte(pattern, i, seed);
    if (type == DTYPE_F32) {
        float f = half_to_float(random_half(seed)) * 1.1f;
        memcpy(block, &f, 4);
        return;
    }
    put_half(block + (type == DTYPE_Q6_K ? 208 : 0), random_half(seed));
    if (type == DTYPE_Q4_1 || type == DTYPE_Q5_1 || type == DTYPE_Q4_K || type == DTYPE_Q5_K)
        put_half(block + 2, random_half(seed));
}

static uint8_t *rows_new(enum dtype type, uint32_t n_rows, uint32_t k, enum pattern pattern, uint32_t *seed)
{
    const struct dtype_info *info = dtype_find(type);
    size_t n_blocks = (size_t)n_rows * (k / info->block_elems);
    uint8_t *rows = malloc(n_blocks * info->block_bytes);
    assert_non_null(rows);
    for (size_t i = 0; i < n_blocks; i++)
        fill_block(type, rows + i * info->block_bytes, info->block_bytes, pattern, seed);
    return rows;
}

static void fill_values(float *x, size_t n, enum pattern pattern, uint32_t *seed)
{
    for (size_t i = 0; i < n; i++) {
        float r = (float)levels_random(seed) / (1 << 24) * 2 - 1;
        x[i] = pattern == PATTERN_RANDOM ? r : pattern == PATTERN_ALTERNATING && i % 2 ? -3.0f : 3.0f;
    }
}

static struct guarded acts_new(struct acts *a, const struct kernels *kn, enum dtype type, uint32_t n_columns,
                               uint32_t k, const float *values)
{
    *a = (struct acts){.kind = acts_kind_for(type), .n_columns = n_columns, .k = k};
    struct guarded g = guarded_new(acts_bytes(a->kind, n_columns, k));
    a->data = g.data;
    for (uint32_t c = 0; c < n_columns; c++)
        acts_store(kn, a, c, 0, k, values + (size_t)c * k);
    return g;
}

static struct guarded matrix_new(struct matrix *m, enum dtype type, uint32_t n_rows, uint32_t k,
                                 const uint8_t *rows)
{
    *m = (struct matrix){.type = type, .n_rows = n_rows, .n_cols = k};
    struct guarded g = guarded_new(matrix_packed_bytes(type, n_rows, k));
    m->data = g.data;
    matrix_pack(m, rows, 0, matrix_panels(m));
    return g;
}

static void test_pack_keeps_content(void **state)
{
    uint32_t seed = 1;
    for (int t = 0; t < N_TYPES; t++) {
        const struct dtype_info *info = dtype_find(all_types[t]);
        uint32_t n_rows = 37, k = info->block_elems == 1 ? 83 : 3 * info->block_elems;
        float expected[768], got[768];
        for (int pattern = 0; pattern < PATTERN_COUNT; pattern++) {
            uint8_t *rows = rows_new(all_types[t], n_rows, k, (enum pattern)pattern, &seed);
            size_t row_bytes = k / info->block_elems * info->block_bytes;
            struct matrix m;
            struct guarded g = matrix_new(&m, all_types[t], n_rows, k, rows);
            // Again in pieces: the same bytes.
            size_t n_bytes = matrix_packed_bytes(all_types[t], n_rows, k);
            struct matrix pieces = m;
            pieces.data = calloc(1, n_bytes);
            matrix_pack(&pieces, rows, 0, 1);
            matrix_pack(&pieces, rows + 16 * row_bytes, 1, 3);
            assert_memory_equal(pieces.data, m.data, n_bytes);
            for (uint32_t r = 0; r < n_rows; r++) {
                dtype_decode_row(info, rows + r * row_bytes, k, expected);
                matrix_decode_row(&m, r, got);
                assert_memory_equal(got, expected, k * sizeof(float));
            }
            free(pieces.data);
            free(rows);
            guarded_free(&g);
        }
    }
}

static void test_packed_bytes_refuses(void **state)
{
    assert_int_equal(matrix_packed_bytes(DTYPE_Q4_1, 16, 32), 320);
    assert_int_equal(matrix_packed_bytes(DTYPE_Q4_1, 17, 32), 640);
    assert_int_equal(matrix_packed_bytes(DTYPE_Q4_1, 16, 33), 0);
    assert_int_equal(matrix_packed_bytes(DTYPE_Q4_1, 0, 32), 0);
    assert_int_equal(matrix_packed_bytes(DTYPE_Q4_K, 16, 32), 0);
    assert_int_equal(matrix_packed_bytes((enum dtype)10, 16, 256), 0);
    assert_int_equal(matrix_packed_bytes(DTYPE_F32, UINT64_MAX, 32), 0);
    assert_int_equal(matrix_packed_bytes(DTYPE_F32, 1u << 31, UINT64_MAX), 0);
    assert_int_equal(matrix_packed_bytes(DTYPE_F32, UINT32_MAX - 16, UINT32_MAX - 16) % 64, 0);
}

// The integer products against a float64 sum of the decoded weights and activations.
static void test_ref_is_close(void **state)
{
    const struct kernels *ref = kernels_get(CPU_REF);
    uint32_t seed = 2, n_rows = 21, k = 512, n_columns = 6;
    float values[6 * 512], out[6 * 32], row[512];
    for (int t = 0; t < N_TYPES; t++) {
        uint8_t *rows = rows_new(all_types[t], n_rows, k, PATTERN_RANDOM, &seed);
        fill_values(values, n_columns * k, PATTERN_RANDOM, &seed);
        struct matrix m;
        struct acts a;
        struct guarded gm = matrix_new(&m, all_types[t], n_rows, k, rows);
        struct guarded ga = acts_new(&a, ref, all_types[t], n_columns, k, values);
        matmul(ref, &m, &a, 0, matrix_panels(&m), out, 32);
        for (uint32_t r = 0; r < n_rows; r++) {
            matrix_decode_row(&m, r, row);
            for (uint32_t c = 0; c < n_columns; c++) {
                double sum = 0, sum_abs = 0;
                for (uint32_t i = 0; i < k; i++) {
                    sum += (double)row[i] * (double)values[c * k + i];
                    sum_abs += row[i] * values[c * k + i] < 0 ? -(double)(row[i] * values[c * k + i])
                                                              : (double)(row[i] * values[c * k + i]);
                }
                double error = sum - (double)out[c * 32 + r];
                double bound = a.kind == ACTS_F32 ? 1e-6 : 2e-3;
                assert_true(error < bound * sum_abs && error > -bound * sum_abs);
            }
        }
        free(rows);
        guarded_free(&gm);
        guarded_free(&ga);
    }
}

static void test_acts_equal_ref(void **state)
{
    const struct kernels *ref = kernels_get(CPU_REF);
    enum { K = 320 };
    static float values[9 * K];
    uint32_t seed = 3;
    for (int pattern = 0; pattern < PATTERN_COUNT + 1; pattern++) {
        if (pattern < PATTERN_COUNT) {
            fill_values(values, 9 * K, (enum pattern)pattern, &seed);
        } else {
            for (int i = 0; i < 9 * K; i++) // any bits: NaN, infinity, subnormal, very large
                values[i] = half_from_bits(levels_random(&seed) << 8 | (levels_random(&seed) & 255));
            memset(values, 0, 64 * sizeof(float));
            values[40] = -0.0f;
            values[70] = 0x1p-101f;
        }
        for (uint32_t n = 1; n <= 9; n++) {
            struct acts want, got;
            struct guarded gw = acts_new(&want, ref, DTYPE_Q8_0, n, K, values);
            for (int l = 0; l < n_levels; l++) {
                struct guarded gg = acts_new(&got, &levels[l].kernels, DTYPE_Q8_0, n, K, values);
                if (memcmp(got.data, want.data, (size_t)n * K / 32 * ACTS_BLOCK_BYTES) != 0)
                    fail_msg("acts differ at level %s, pattern %d, %u columns", levels[l].name, pattern, n);
                memset(got.data, 0x55, acts_bytes(ACTS_Q8, n, K));
                for (uint32_t c = 0; c < n; c++) { // in pieces, in another order
                    acts_store(&levels[l].kernels, &got, c, 96, K, values + (size_t)c * K + 96);
                    acts_store(&levels[l].kernels, &got, c, 0, 96, values + (size_t)c * K);
                }
                assert_memory_equal(got.data, want.data, (size_t)n * K / 32 * ACTS_BLOCK_BYTES);
                guarded_free(&gg);
            }
            guarded_free(&gw);
        }
    }
}

enum { MAX_COLUMNS = 512, CANARY = 0x7e5a5a5a };

struct product_case {
    enum dtype type;
    uint32_t n_rows, k, n_columns;
    enum pattern weights, acts;
};

// Columns [0, n) of `want` (stride: rows rounded up) against a level, whole and in splits of panels.
static void check_level(const struct level *level, const struct matrix *m, const struct acts *a,
                        const float *want)
{
    uint32_t n_panels = matrix_panels(m), n_padded = n_panels * PANEL_ROWS;
    size_t stride = n_padded + 3;
    struct guarded out = guarded_new(a->n_columns * stride * sizeof(float));
    float *got = out.data;
    for (uint32_t split = 0; split < n_panels; split++) {
        for (size_t i = 0; i < a->n_columns * stride; i++)
            got[i] = half_from_bits(CANARY);
        matmul(&level->kernels, m, a, split, n_panels, got, stride);
        for (uint32_t c = 0; c < a->n_columns; c++)
            for (uint32_t r = 0; r < stride; r++)
                if ((r < split * PANEL_ROWS || r >= n_padded) && half_to_bits(got[c * stride + r]) != CANARY)
                    fail_msg("%s wrote row %u outside its panels", level->name, r);
        matmul(&level->kernels, m, a, 0, split, got, stride);
        for (uint32_t c = 0; c < a->n_columns; c++)
            if (memcmp(got + c * stride, want + (size_t)c * n_padded, n_padded * sizeof(float)) != 0)
                fail_msg("%s, %s, %u rows, k %u, %u columns, split at %u: column %u differs", level->name,
                         dtype_find(m->type)->name, m->n_rows, m->n_cols, a->n_columns, split, c);
    }
    guarded_free(&out);
}

// One matrix with up to n_columns columns; the counts below it that `counts` names are checked too, against
// the same values.
static void check_product(const struct product_case *pc, const uint32_t *counts, int n_counts)
{
    const struct kernels *ref = kernels_get(CPU_REF);
    uint32_t seed = pc->k * 31 + pc->n_rows + pc->n_columns + (uint32_t)pc->weights * 7;
    uint8_t *rows = rows_new(pc->type, pc->n_rows, pc->k, pc->weights, &seed);
    float *values = malloc((size_t)pc->n_columns * pc->k * sizeof(float));
    fill_values(values, (size_t)pc->n_columns * pc->k, pc->acts, &seed);
    struct matrix m;
    struct acts a;
    struct guarded gm = matrix_new(&m, pc->type, pc->n_rows, pc->k, rows);
    struct guarded ga = acts_new(&a, ref, pc->type, pc->n_columns, pc->k, values);
    size_t n_padded = (size_t)matrix_panels(&m) * PANEL_ROWS;
    float *want = malloc(n_padded * pc->n_columns * sizeof(float));
    matmul(ref, &m, &a, 0, matrix_panels(&m), want, n_padded);
    for (int l = 0; l < n_levels; l++)
        check_level(&levels[l], &m, &a, want);
    guarded_free(&ga);
    for (int i = 0; i < n_counts && counts[i] <= pc->n_columns; i++) {
        ga = acts_new(&a, ref, pc->type, counts[i], pc->k, values);
        for (int l = 0; l < n_levels; l++)
            check_level(&levels[l], &m, &a, want);
        guarded_free(&ga);
    }
    free(want);
    free(values);
    free(rows);
    guarded_free(&gm);
}

static void test_column_counts(void **state)
{
    uint32_t counts[40];
    for (uint32_t i = 0; i < 40; i++)
        counts[i] = i + 1;
    for (int t = 0; t < N_TYPES; t++) {
        uint32_t unit = dtype_find(all_types[t])->block_elems;
        struct product_case pc = {.type = all_types[t],
                                  .n_rows = 33,
                                  .k = unit == 1    ? 75
                                       : unit == 32 ? 96
                                                    : 256,
                                  .n_columns = 40};
        check_product(&pc, counts, 40);
    }
}

static void test_shapes(void **state)
{
    static const uint32_t row_counts[] = {1, 15, 16, 40}, few[] = {1, 2, 3, 4, 8}, blocks[] = {1, 2, 5, 9};
    for (int t = 0; t < N_TYPES; t++) {
        uint32_t unit = dtype_find(all_types[t])->block_elems;
        for (size_t r = 0; r < sizeof row_counts / sizeof row_counts[0]; r++) {
            for (size_t b = 0; b < sizeof blocks / sizeof blocks[0]; b++) {
                struct product_case pc = {
                    .type = all_types[t], .n_rows = row_counts[r], .k = blocks[b] * unit, .n_columns = 9};
                check_product(&pc, few, 5);
            }
        }
    }
}

static void test_extremes(void **state)
{
    static const uint32_t few[] = {1, 2, 4};
    for (int t = 0; t < N_TYPES; t++) {
        uint32_t unit = dtype_find(all_types[t])->block_elems;
        for (int w = 0; w < PATTERN_COUNT; w++) {
            for (int x = 0; x < PATTERN_COUNT; x++) {
                if (unit == 1 && w != PATTERN_RANDOM)
                    continue; // all bits set is no number there
                struct product_case pc = {.type = all_types[t],
                                          .n_rows = 16,
                                          .k = 2 * (unit == 1 ? 32 : unit),
                                          .n_columns = 18,
                                          .weights = (enum pattern)w,
                                          .acts = (enum pattern)x};
                check_product(&pc, few, 3);
            }
        }
    }
}

static void test_wide(void **state)
{
    for (int t = 0; t < N_TYPES; t++) {
        uint32_t unit = dtype_find(all_types[t])->block_elems;
        struct product_case pc = {.type = all_types[t],
                                  .n_rows = 20,
                                  .k = unit == 1    ? 100
                                       : unit == 32 ? 544
                                                    : 768,
                                  .n_columns = MAX_COLUMNS};
        check_product(&pc, NULL, 0);
    }
}

int main(void)
{
    n_levels = levels_init(levels);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_packed_bytes_refuses),
        cmocka_unit_test(test_pack_keeps_content),
        cmocka_unit_test(test_ref_is_close),
        cmocka_unit_test(test_acts_equal_ref),
        cmocka_unit_test(test_column_counts),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_wide),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
