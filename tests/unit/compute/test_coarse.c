// SPDX-License-Identifier: MIT
// The coarse copy of a matrix: what it says of its errors holds for every row and activation, also for those
// made to come as near to the bound as they can, at every level.
#include "levels.h"

#include <math.h>

#include "base/mem.h"
#include "compute/acts.h"
#include "compute/coarse.h"
#include "compute/half.h"

enum {
    ROWS = 53,
    COLUMNS = 352,
    BLOCK_BYTES = 34,
    N_BLOCKS = COLUMNS / 32,
    ROW_BYTES = N_BLOCKS * BLOCK_BYTES
};

static struct level levels[LEVELS_MAX];
static int n_levels;

struct pair {
    uint8_t rows[ROWS * ROW_BYTES];
    struct matrix exact;
    struct coarse coarse;
};

enum pattern { PATTERN_RANDOM, PATTERN_MAX, PATTERN_MIN, PATTERN_ZERO, PATTERN_TIES, PATTERN_COUNT };

static uint8_t code_of(enum pattern pattern, uint32_t *seed)
{
    switch (pattern) {
    case PATTERN_MAX:
        return 127;
    case PATTERN_MIN:
        return 0x80;
    case PATTERN_ZERO:
        return 0;
    case PATTERN_TIES: // halfway between two coarse codes
        return (uint8_t)(levels_random(seed) % 32 * 8 + 4);
    default:
        return (uint8_t)levels_random(seed);
    }
}

// Scales from subnormal to large, some zero, some negative.
static uint16_t scale_of(uint32_t i, uint32_t *seed)
{
    uint32_t random = levels_random(seed);
    return i % 17 == 0 ? 0 : (uint16_t)((random & 0x83ff) | (random >> 16) % 27 << 10);
}

static void pack(struct pair *p)
{
    size_t bytes = matrix_packed_bytes(DTYPE_Q8_0, ROWS, COLUMNS);
    p->exact = (struct matrix){DTYPE_Q8_0, ROWS, COLUMNS, aligned_alloc(64, bytes)};
    matrix_pack(&p->exact, p->rows, 0, matrix_panels(&p->exact));
    coarse_place(&p->coarse, &p->exact, aligned_alloc(64, coarse_bytes(DTYPE_Q8_0, ROWS, COLUMNS)));
    for (uint32_t i = 0; i < matrix_panels(&p->exact); i++) // in any pieces
        coarse_pack(&p->coarse, DTYPE_Q8_0, p->rows + (size_t)i * PANEL_ROWS * ROW_BYTES, i, i + 1);
}

static struct pair *pair_new(enum pattern pattern, uint32_t seed)
{
    struct pair *p = xcalloc(1, sizeof *p);
    for (uint32_t i = 0; i < ROWS * N_BLOCKS; i++) {
        uint8_t *block = p->rows + (size_t)i * BLOCK_BYTES;
        uint16_t d = scale_of(i, &seed);
        memcpy(block, &d, sizeof d);
        for (int j = 2; j < BLOCK_BYTES; j++)
            block[j] = code_of(pattern, &seed);
    }
    pack(p);
    return p;
}

static void pair_free(struct pair *p)
{
    free(p->exact.data);
    free(p->coarse.errors);
    free(p);
}

// Both products of a column with `x`, and what the copy says.
struct products {
    float exact[64], bounds[64], closer[64], coarse[64], lower[64];
};

static void multiply(const struct kernels *kn, const struct pair *p, const float *x, struct products *out)
{
    struct acts a = {ACTS_Q8, 1, COLUMNS, aligned_alloc(64, acts_bytes(ACTS_Q8, 1, COLUMNS))};
    struct coarse_norms norms;
    uint32_t n = matrix_panels(&p->exact);
    acts_store(kn, &a, 0, 0, COLUMNS, x);
    matmul(kn, &p->exact, &a, 0, n, out->exact, 64);
    matmul(kn, &p->coarse.matrix, &a, 0, n, out->coarse, 64);
    coarse_norms(&norms, &a);
    memcpy(out->bounds, out->coarse, sizeof out->bounds);
    for (uint32_t i = 0; i < n; i++)
        coarse_to_bounds(&p->coarse, i, norms.whole, out->bounds + i * PANEL_ROWS,
                         out->lower + i * PANEL_ROWS);
    for (uint32_t r = 0; r < ROWS; r++)
        out->closer[r] = coarse_closer_bound(&p->coarse, r, &norms, out->bounds[r]);
    free(a.data);
}

// Values of a row as the two copies hold them.
static void lost(const struct pair *p, uint32_t row, float *out)
{
    float coarse[COLUMNS];
    matrix_decode_row(&p->exact, row, out);
    matrix_decode_row(&p->coarse.matrix, row, coarse);
    for (int i = 0; i < COLUMNS; i++)
        out[i] -= coarse[i];
}

static void check_bounds(const struct pair *p, const float *x)
{
    for (int l = -1; l < n_levels; l++) {
        struct products y;
        multiply(l < 0 ? kernels_get(CPU_REF) : &levels[l].kernels, p, x, &y);
        for (uint32_t r = 0; r < ROWS; r++) {
            assert_true(y.exact[r] <= y.bounds[r]);
            assert_true(y.exact[r] <= y.closer[r]);
            assert_true(y.closer[r] <= y.bounds[r]);
            assert_true(y.coarse[r] <= y.bounds[r]);
            assert_true(y.lower[r] <= y.coarse[r]);
        }
    }
}

static void no_product_is_above_its_bound(void **state)
{
    uint32_t seed = 7;
    for (int pattern = 0; pattern < PATTERN_COUNT; pattern++) {
        struct pair *p = pair_new((enum pattern)pattern, seed++);
        for (int i = 0; i < 40; i++) {
            float x[COLUMNS];
            for (int k = 0; k < COLUMNS; k++) // one block is much larger than the others
                x[k] = ((float)(levels_random(&seed) & 0xffff) - 32768) *
                       (k / 32 == i % N_BLOCKS ? 1.0f : 0.01f);
            check_bounds(p, x);
            memset(x, 0, sizeof x);
            x[levels_random(&seed) % COLUMNS] = 3;
            check_bounds(p, x);
        }
        pair_free(p);
    }
}

// What was lost of a row, as activation, is what the bound is made for: exact - coarse = |lost| * |x|.
static void bounds_are_nearly_reached(void **state)
{
    struct pair *p = pair_new(PATTERN_RANDOM, 99);
    for (uint32_t r = 0; r < ROWS; r++) {
        float x[COLUMNS];
        struct products y;
        lost(p, r, x);
        check_bounds(p, x);
        multiply(kernels_get(cpu_best_level()), p, x, &y);
        double slack = (double)y.bounds[r] - (double)y.exact[r],
               off = (double)y.exact[r] - (double)y.coarse[r];
        assert_true(off > 0);
        assert_true(slack < 0.01 * off);
    }
    pair_free(p);
}

static void a_row_that_cannot_be_copied_says_so(void **state)
{
    struct pair *p = pair_new(PATTERN_RANDOM, 5);
    static const uint16_t scales[] = {0x7c00, 0x7e00, 0x7bff, 0xfbff,
                                      0x7000}; // inf, NaN, and too large times 8
    for (size_t i = 0; i < COUNT_OF(scales); i++)
        memcpy(p->rows + (3 * i + 1) * ROW_BYTES + i * BLOCK_BYTES, &scales[i], 2);
    free(p->exact.data);
    free(p->coarse.errors);
    pack(p);
    float x[COLUMNS];
    struct products y;
    for (int k = 0; k < COLUMNS; k++)
        x[k] = (float)(k % 7) - 3;
    multiply(kernels_get(CPU_REF), p, x, &y);
    for (uint32_t r = 0; r < ROWS; r++) {
        bool is_broken = r % 3 == 1 && r / 3 < COUNT_OF(scales);
        assert_int_equal(isnan(y.bounds[r]), is_broken);
        assert_int_equal(isnan(y.closer[r]), is_broken);
    }
    pair_free(p);
}

static void activations_that_are_no_numbers_bound_nothing(void **state)
{
    struct pair *p = pair_new(PATTERN_RANDOM, 6);
    float x[COLUMNS] = {1, NAN, INFINITY};
    struct products y;
    multiply(kernels_get(CPU_REF), p, x, &y);
    for (uint32_t r = 0; r < ROWS; r++)
        assert_false(y.closer[r] < 1e30f);
    pair_free(p);
}

static void only_what_has_more_bits_has_a_copy(void **state)
{
    size_t exact = matrix_packed_bytes(DTYPE_Q8_0, 49152, 576), coarse = coarse_bytes(DTYPE_Q8_0, 49152, 576);
    assert_true(coarse > 0 && coarse < exact * 3 / 4);
    static const enum dtype others[] = {DTYPE_F32, DTYPE_F16, DTYPE_Q4_0, DTYPE_Q5_0, DTYPE_Q4_K, DTYPE_Q6_K};
    for (size_t i = 0; i < COUNT_OF(others); i++)
        assert_int_equal(coarse_bytes(others[i], 64, 256), 0);
    assert_int_equal(coarse_bytes(DTYPE_Q8_0, UINT64_MAX / 2, 32), 0);
    assert_int_equal(coarse_bytes(DTYPE_Q8_0, 16, 2 * COARSE_MAX_COLUMNS), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_product_is_above_its_bound),
        cmocka_unit_test(bounds_are_nearly_reached),
        cmocka_unit_test(a_row_that_cannot_be_copied_says_so),
        cmocka_unit_test(activations_that_are_no_numbers_bound_nothing),
        cmocka_unit_test(only_what_has_more_bits_has_a_copy),
    };
    n_levels = levels_init(levels);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
