// SPDX-License-Identifier: MIT
// Quantisers: how much error each type may make, on values of several kinds; what must be exact; and that the
// decoders, which read files of other programs, read the layout that is written.
#include "../test.h"

#include <float.h>
#include <math.h>

#include "compute/dtype.h"

enum { N = 256 * 64 };

static float values[N], decoded[N];
static unsigned char blocks[N * 4];
static uint32_t seed = 7;

static double uniform(void)
{
    seed = seed * 1664525 + 1013904223;
    return ((seed >> 8) + 0.5) / 16777216;
}

static double gaussian(void)
{
    return sqrt(-2 * log(uniform())) * cos(6.283185307179586 * uniform());
}

// A weight matrix has rows of different widths; a few values stand out.
static void fill_gaussian(void)
{
    for (int i = 0; i < N; i++)
        values[i] = (float)(gaussian() * 0.02);
}

static void fill_heavy_tail(void)
{
    for (int i = 0; i < N; i++)
        values[i] = (float)(gaussian() / sqrt(uniform() + 0.05) * 0.02);
}

static void fill_shifted(void)
{
    for (int i = 0; i < N; i++)
        values[i] = (float)(0.5 + gaussian() * 0.02);
}

// Relative to the root mean square of the values.
static double error_of(enum dtype id)
{
    const struct dtype_info *type = dtype_find(id);
    double miss = 0, all = 0;
    dtype_encode_row(type, values, N, blocks);
    dtype_decode_row(type, blocks, N, decoded);
    for (int i = 0; i < N; i++) {
        miss += pow((double)values[i] - (double)decoded[i], 2);
        all += pow((double)values[i], 2);
    }
    return sqrt(miss / all);
}

static void test_error_of_each_type(void **state)
{
    static const struct {
        enum dtype type;
        double gaussian, heavy_tail, shifted;
    } rows[] = {
        {DTYPE_F32, 0, 0, 0},
        {DTYPE_F16, 0.00023, 0.00023, 0.00023},
        {DTYPE_BF16, 0.0017, 0.0017, 0.0018},
        {DTYPE_Q8_0, 0.0055, 0.0068, 0.0025},
        {DTYPE_Q6_K, 0.0173, 0.0212, 0.0085},
        {DTYPE_Q5_0, 0.0410, 0.0535, 0.0177},
        {DTYPE_Q5_1, 0.0342, 0.0408, 0.0014},
        {DTYPE_Q5_K, 0.0353, 0.0413, 0.0097},
        {DTYPE_Q4_0, 0.0815, 0.1040, 0.0340},
        {DTYPE_Q4_1, 0.0715, 0.0830, 0.0029},
        {DTYPE_Q4_K, 0.0718, 0.0843, 0.0191},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *name = dtype_find(rows[i].type)->name;
        fill_gaussian();
        double a = error_of(rows[i].type);
        fill_heavy_tail();
        double b = error_of(rows[i].type);
        fill_shifted();
        double c = error_of(rows[i].type);
        if (a > rows[i].gaussian || b > rows[i].heavy_tail || c > rows[i].shifted)
            fail_msg("%s: errors %.5f %.5f %.5f, more than a good quantiser makes", name, a, b, c);
    }
}

// Whole numbers that the codes and scales of a type can say come back as they were.
static void test_what_fits_is_exact(void **state)
{
    static const struct {
        enum dtype type;
        int low, high;
    } rows[] = {{DTYPE_Q8_0, -127, 127}, {DTYPE_Q5_0, -16, 15}, {DTYPE_Q4_0, -8, 7},  {DTYPE_Q4_1, 0, 15},
                {DTYPE_Q5_1, 0, 31},     {DTYPE_Q4_1, 3, 18},   {DTYPE_Q6_K, -32, 31}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct dtype_info *type = dtype_find(rows[i].type);
        int low = rows[i].low, span = rows[i].high - low + 1;
        for (int k = 0; k < N; k++) // the ends stand in each 16 values
            values[k] = (float)(k % 16 == 0 ? low : k % 16 == 1 ? rows[i].high : low + k * 7 % span);
        dtype_encode_row(type, values, N, blocks);
        dtype_decode_row(type, blocks, N, decoded);
        for (int k = 0; k < N; k++)
            if (fabsf(values[k] - decoded[k]) > 0.01f)
                fail_msg("%s: %g came back as %g", type->name, (double)values[k], (double)decoded[k]);
    }
}

static const enum dtype all_types[] = {DTYPE_F32,  DTYPE_F16,  DTYPE_BF16, DTYPE_Q8_0, DTYPE_Q6_K, DTYPE_Q5_0,
                                       DTYPE_Q5_1, DTYPE_Q5_K, DTYPE_Q4_0, DTYPE_Q4_1, DTYPE_Q4_K};

static void check_finite(const char *what)
{
    for (size_t i = 0; i < sizeof all_types / sizeof all_types[0]; i++) {
        const struct dtype_info *type = dtype_find(all_types[i]);
        dtype_encode_row(type, values, N, blocks);
        dtype_decode_row(type, blocks, N, decoded);
        for (int k = 0; k < N; k++)
            if (!isfinite(decoded[k]) || (values[k] == 0 && type->block_elems == 1 && decoded[k] != 0))
                fail_msg("%s, %s: %g came back as %g", what, type->name, (double)values[k],
                         (double)decoded[k]);
    }
}

static void test_odd_values(void **state)
{
    memset(values, 0, sizeof values);
    check_finite("zeros");
    for (int k = 0; k < N; k++)
        assert_true(decoded[k] == 0);
    for (int k = 0; k < N; k++)
        values[k] = k % 2 ? 65504.0f : -65504.0f;
    check_finite("largest");
    for (int k = 0; k < N; k++)
        values[k] = -65504.0f;
    check_finite("all the least");
    for (int k = 0; k < N; k++)
        values[k] = (float)(k % 5) * FLT_TRUE_MIN;
    check_finite("subnormal");
    for (int k = 0; k < N; k++)
        values[k] = k % 97 == 0 ? 1000.0f : (float)gaussian() * 1e-7f;
    check_finite("outliers");
    for (int k = 0; k < N; k++)
        values[k] = (float)gaussian() * 3e-8f;
    check_finite("below what a half can scale");
}

// What was quantised once loses next to nothing when it is quantised again.
static void test_a_second_time(void **state)
{
    fill_gaussian();
    for (size_t i = 3; i < sizeof all_types / sizeof all_types[0]; i++) {
        double once = error_of(all_types[i]);
        memcpy(values, decoded, sizeof values);
        double again = error_of(all_types[i]);
        if (again > once / 4)
            fail_msg("%s: %.5f lost by quantising again", dtype_find(all_types[i])->name, again);
        fill_gaussian();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error_of_each_type),
        cmocka_unit_test(test_what_fits_is_exact),
        cmocka_unit_test(test_odd_values),
        cmocka_unit_test(test_a_second_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
