// SPDX-License-Identifier: MIT
// Vector operations: every level equal to ref bit for bit on all lengths, with buffers that end at an
// unreadable page; ref close to double precision; NaN and infinities do no harm.
#include "levels.h"

#include <math.h>

#include "base/mem.h"
#include "compute/cpu/ref/math_ref.h"

enum { LENGTH_MAX = 1200 };

static struct level levels[LEVELS_MAX];
static int n_levels;
static const size_t lengths[] = {0,  1,  2,  3,  5,   7,   8,   9,   12,  15,  16,   17,
                                 31, 33, 47, 64, 100, 128, 255, 511, 512, 513, 1025, LENGTH_MAX};

static float uniform(uint32_t *seed)
{
    return (float)levels_random(seed) / (1 << 23) - 1;
}

// n floats that end at an unreadable page.
struct floats {
    struct guarded guarded;
    float *x;
    size_t n;
};

static struct floats floats_new(size_t n, float magnitude, uint32_t seed)
{
    struct floats f = {.guarded = guarded_new(n * sizeof(float)), .n = n};
    f.x = f.guarded.data;
    for (size_t i = 0; i < n; i++)
        f.x[i] = magnitude * uniform(&seed);
    return f;
}

static void floats_free(struct floats *f)
{
    guarded_free(&f->guarded);
}

static const float strange[] = {NAN,     INFINITY, -INFINITY, 0.0f,  -0.0f,  1e-40f,
                                -1e-40f, 88.8f,    -88.8f,    3e38f, -3e38f, 104.0f};

static void put_strange(struct floats *f)
{
    for (size_t i = 0; i < f->n; i++)
        if (i % 3 == 0)
            f->x[i] = strange[i / 3 % COUNT_OF(strange)];
}

// NaN equals NaN here: its sign is not promised.
static void check_same(const char *what, const char *level, const float *expected, const float *got, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (half_to_bits(expected[i]) != half_to_bits(got[i]) && !(isnan(expected[i]) && isnan(got[i])))
            fail_msg("%s at %s: element %zu of %zu is %a instead of %a", what, level, i, n, (double)got[i],
                     (double)expected[i]);
}

enum op {
    OP_NORM,
    OP_NORM_ALL_ONES,
    OP_ADD,
    OP_SCALE,
    OP_SILU,
    OP_GELU,
    OP_SOFTCAP,
    OP_ROPE_NORM,
    OP_ROPE_NEOX,
    OP_COUNT
};
static const char *const op_names[OP_COUNT] = {
    "rms_norm", "rms_norm without weights", "add", "scale", "silu_mul", "gelu_mul", "softcap", "rope_norm",
    "rope_neox"};

static void apply(const struct kernels *kn, enum op op, float *out, const float *a, const float *b, size_t n)
{
    switch (op) {
    case OP_NORM:
        return vec_rms_norm(kn, out, a, b, n, 1e-5f);
    case OP_NORM_ALL_ONES:
        return vec_rms_norm(kn, out, a, NULL, n, 1e-6f);
    case OP_ADD:
        return vec_add(kn, out, a, b, n);
    case OP_SCALE:
        return vec_scale(kn, out, a, 1.7f, n);
    case OP_SILU:
        return vec_silu_mul(kn, out, a, b, n);
    case OP_GELU:
        return vec_gelu_mul(kn, out, a, b, n);
    case OP_SOFTCAP:
        return vec_softcap(kn, out, a, 30.0f, n);
    case OP_ROPE_NORM:
        memmove(out, a, n * sizeof *out);
        return vec_rope_norm(kn, out, b, (uint32_t)n);
    default:
        memmove(out, a, n * sizeof *out);
        return vec_rope_neox(kn, out, b, (uint32_t)n);
    }
}

static void check_op(enum op op, size_t n, bool with_strange)
{
    struct floats a = floats_new(n, 20, 1 + (uint32_t)n), b = floats_new(n, 3, 77 + (uint32_t)n);
    struct floats expected = floats_new(n, 0, 0), got = floats_new(n, 0, 0);
    if (with_strange)
        put_strange(&a);
    apply(kernels_get(CPU_REF), op, expected.x, a.x, b.x, n);
    for (int i = 0; i < n_levels; i++) {
        apply(&levels[i].kernels, op, got.x, a.x, b.x, n);
        check_same(op_names[op], levels[i].name, expected.x, got.x, n);
        memcpy(got.x, a.x, n * sizeof(float)); // in place
        apply(&levels[i].kernels, op, got.x, got.x, b.x, n);
        check_same(op_names[op], levels[i].name, expected.x, got.x, n);
    }
    floats_free(&a);
    floats_free(&b);
    floats_free(&expected);
    floats_free(&got);
}

static void levels_have_the_bits_of_ref(void **state)
{
    for (int op = 0; op < OP_COUNT; op++) {
        for (size_t i = 0; i < COUNT_OF(lengths); i++) {
            size_t n = op == OP_ROPE_NORM || op == OP_ROPE_NEOX ? lengths[i] / 2 * 2 : lengths[i];
            check_op(op, n, false);
            check_op(op, n, true);
        }
    }
}

static void check_reductions(const float *x, size_t n)
{
    const struct kernels *ref = kernels_get(CPU_REF);
    double expected = vec_log_sum_exp(ref, x, n), sum = ref->vec.sum_squares(x, n);
    for (int i = 0; i < n_levels; i++) {
        const struct kernels *kn = &levels[i].kernels;
        assert_int_equal(vec_argmax(kn, x, n), vec_argmax(ref, x, n));
        double got = vec_log_sum_exp(kn, x, n), squares = kn->vec.sum_squares(x, n);
        assert_true(memcmp(&got, &expected, sizeof got) == 0 || (isnan(got) && isnan(expected)));
        assert_true(memcmp(&squares, &sum, sizeof sum) == 0 || (isnan(squares) && isnan(sum)));
    }
}

static void reductions_have_the_bits_of_ref(void **state)
{
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        struct floats x = floats_new(lengths[i], 12, (uint32_t)i);
        check_reductions(x.x, x.n);
        put_strange(&x);
        check_reductions(x.x, x.n);
        floats_free(&x);
    }
}

static void argmax_takes_the_first_largest_and_no_nan(void **state)
{
    for (int i = -1; i < n_levels; i++) {
        const struct kernels *kn = i < 0 ? kernels_get(CPU_REF) : &levels[i].kernels;
        float x[40];
        for (size_t n = 1; n <= 40; n++) {
            for (size_t at = 0; at < n; at++) {
                for (size_t j = 0; j < n; j++)
                    x[j] = j % 5 == 1 ? NAN : -(float)(j + 2);
                x[at] = x[n - 1] = 3;
                assert_int_equal(vec_argmax(kn, x, n), at);
                x[at] = x[n - 1] = -0.0f;
                x[n - 1] = n - 1 > at ? 0.0f : -0.0f; // equal to -0, so the first wins
                assert_int_equal(vec_argmax(kn, x, n), at);
                for (size_t j = 0; j < n; j++)
                    x[j] = NAN;
                assert_int_equal(vec_argmax(kn, x, n), 0);
                x[at] = -INFINITY;
                assert_int_equal(vec_argmax(kn, x, n), at);
            }
        }
    }
}

static void log_sum_exp_of_special_inputs(void **state)
{
    const struct kernels *kn = kernels_get(CPU_REF);
    float x[3] = {-INFINITY, -INFINITY, -INFINITY};
    assert_true(vec_log_sum_exp(kn, x, 0) == -INFINITY);
    assert_true(vec_log_sum_exp(kn, x, 3) == -INFINITY);
    x[1] = 4;
    assert_true(vec_log_sum_exp(kn, x, 3) == 4);
    x[2] = INFINITY;
    assert_true(vec_log_sum_exp(kn, x, 3) == INFINITY);
    x[2] = NAN;
    assert_true(isnan(vec_log_sum_exp(kn, x, 3)));
    x[0] = x[1] = NAN;
    assert_true(isnan(vec_log_sum_exp(kn, x, 3)));
}

static double relative_error(double got, double exact)
{
    return exact == 0 ? fabs(got) : fabs(got - exact) / fabs(exact);
}

// In units of 2^-23, which is between one and two ulp.
static void exp_and_tanh_are_accurate(void **state)
{
    double worst_exp = 0, worst_tanh = 0;
    for (int i = -87 * 4096; i <= 88 * 4096; i++) {
        float x = (float)i / 4096.0f + (float)(i % 7) * 1e-5f;
        worst_exp = fmax(worst_exp, relative_error((double)exp_ref(x), exp((double)x)));
    }
    for (int i = 1; i < 400000; i++) {
        float x = (float)i * 2.5e-5f;
        worst_tanh = fmax(worst_tanh, relative_error((double)tanh_ref(x), tanh((double)x)));
        assert_true(tanh_ref(-x) == -tanh_ref(x));
    }
    printf("exp %.2f, tanh %.2f x 2^-23\n", worst_exp * 0x1p23, worst_tanh * 0x1p23);
    assert_true(worst_exp < 1.2 * 0x1p-23);
    assert_true(worst_tanh < 1.6 * 0x1p-23);
    assert_true(exp_ref(0) == 1 && exp_ref(-0.0f) == 1);
    assert_true(exp_ref(-INFINITY) == 0 && exp_ref(-88.0f) == 0 && exp_ref(EXP_LOW) == 0);
    assert_true(isnormal(exp_ref(nextafterf(EXP_LOW, 0))));
    assert_true(isfinite(exp_ref(EXP_HIGH)) && exp_ref(nextafterf(EXP_HIGH, 100)) == INFINITY);
    assert_true(isnan(exp_ref(NAN)) && isnan(tanh_ref(NAN)));
    assert_true(tanh_ref(INFINITY) == 1 && tanh_ref(-INFINITY) == -1 && tanh_ref(1e-30f) == 1e-30f);
}

static double gelu_exact(double x)
{
    return x / (1 + exp(-2 * 0.79788456080286535588 * x * (1 + 0.044715 * x * x)));
}

static void activations_are_accurate(void **state)
{
    const struct kernels *kn = kernels_get(CPU_REF);
    double worst_silu = 0, worst_gelu = 0, worst_gelu_tail = 0;
    float one = 1, y;
    for (int i = -80000; i <= 80000; i++) {
        float x = (float)i * 1e-4f;
        vec_silu_mul(kn, &y, &x, &one, 1);
        worst_silu = fmax(worst_silu, relative_error((double)y, (double)x / (1 + exp(-(double)x))));
        vec_gelu_mul(kn, &y, &x, &one, 1);
        double error = relative_error((double)y, gelu_exact((double)x));
        if (x > -2)
            worst_gelu = fmax(worst_gelu, error);
        worst_gelu_tail = fmax(worst_gelu_tail, fabs((double)y - gelu_exact((double)x)));
    }
    printf("silu %.2f, gelu above -2 %.2f x 2^-23; gelu absolute %.2g\n", worst_silu * 0x1p23,
           worst_gelu * 0x1p23, worst_gelu_tail);
    assert_true(worst_silu < 2.5 * 0x1p-23);
    assert_true(worst_gelu < 6 * 0x1p-23); // the argument's own rounding, times its size
    assert_true(worst_gelu_tail < 1e-6);
}

static void norm_and_log_sum_exp_are_accurate(void **state)
{
    const struct kernels *kn = kernels_get(CPU_REF);
    for (size_t n = 1; n <= 200000; n = n * 3 + 1) {
        struct floats x = floats_new(n, 3, (uint32_t)n), out = floats_new(n, 0, 0);
        double squares = 0, sum = 0;
        for (size_t i = 0; i < n; i++) {
            squares += (double)x.x[i] * (double)x.x[i];
            sum += exp((double)x.x[i]);
        }
        vec_rms_norm(kn, out.x, x.x, NULL, n, 1e-5f);
        double factor = 1 / sqrt(squares / (double)n + (double)1e-5f);
        for (size_t i = 0; i < n; i++)
            assert_true(relative_error((double)out.x[i], (double)x.x[i] * factor) < 4e-7);
        assert_true(relative_error(vec_log_sum_exp(kn, x.x, n), log(sum)) < 1e-6);
        floats_free(&x);
        floats_free(&out);
    }
}

static void rope_turns_pairs(void **state)
{
    const struct kernels *kn = kernels_get(CPU_REF);
    float cos_sin[6] = {0.6f, 0.8f, 1, 0, 0, 1};
    float x[6] = {1, 2, 3, 4, 5, 6}, y[6] = {1, 2, 3, 4, 5, 6};
    vec_rope_norm(kn, x, cos_sin, 6);
    vec_rope_neox(kn, y, cos_sin, 6);
    const float expected_x[6] = {-1.0f, 2.0f, 3, 4, -6, 5}, expected_y[6] = {-2.6f, 2, -6, 3.2f, 5, 3};
    for (int i = 0; i < 6; i++) {
        assert_true(fabsf(x[i] - expected_x[i]) < 1e-6f);
        assert_true(fabsf(y[i] - expected_y[i]) < 1e-6f);
    }
}

// All 65536 halves back, and floats around every rounding border forth.
static void halves_convert_at_every_level(void **state)
{
    static uint16_t halves[65536], to_ref[2][65536], to[65536];
    static float from_ref[2][65536], from[65536], x[65536];
    const struct kernels *ref = kernels_get(CPU_REF);
    uint32_t seed = 5;
    for (int i = 0; i < 65536; i++) {
        halves[i] = (uint16_t)i;
        x[i] = half_from_bits((uint32_t)i << 16 | (levels_random(&seed) & 0xffff));
        if (i % 4 < 3) // a value exactly between two halves, or next to it
            x[i] =
                half_from_bits((half_to_bits(half_to_float((uint16_t)i)) | 0x1000) + (uint32_t)(i % 4) - 1);
    }
    vec_from_f16(ref, from_ref[0], halves, 65536);
    vec_from_bf16(ref, from_ref[1], halves, 65536);
    vec_to_f16(ref, to_ref[0], x, 65536);
    vec_to_bf16(ref, to_ref[1], x, 65536);
    for (int i = 0; i < n_levels; i++) {
        const struct kernels *kn = &levels[i].kernels;
        vec_from_f16(kn, from, halves, 65536);
        assert_memory_equal(from, from_ref[0], sizeof from);
        vec_from_bf16(kn, from, halves, 65536);
        assert_memory_equal(from, from_ref[1], sizeof from);
        vec_to_f16(kn, to, x, 65536);
        assert_memory_equal(to, to_ref[0], sizeof to);
        vec_to_bf16(kn, to, x, 65536);
        assert_memory_equal(to, to_ref[1], sizeof to);
    }
}

static void halves_of_any_length_stay_in_bounds(void **state)
{
    for (int i = 0; i < n_levels; i++) {
        const struct kernels *kn = &levels[i].kernels;
        for (size_t n = 0; n < 50; n++) {
            struct floats x = floats_new(n, 5, (uint32_t)n), back = floats_new(n, 0, 0);
            struct guarded half = guarded_new(n * sizeof(uint16_t));
            vec_to_f16(kn, half.data, x.x, n);
            vec_from_f16(kn, back.x, half.data, n);
            for (size_t j = 0; j < n; j++)
                assert_true(fabsf(back.x[j] - x.x[j]) <= 0x1p-11f * 5);
            vec_to_bf16(kn, half.data, x.x, n);
            vec_from_bf16(kn, back.x, half.data, n);
            for (size_t j = 0; j < n; j++)
                assert_true(fabsf(back.x[j] - x.x[j]) <= 0x1p-8f * 5);
            floats_free(&x);
            floats_free(&back);
            guarded_free(&half);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels_have_the_bits_of_ref),
        cmocka_unit_test(reductions_have_the_bits_of_ref),
        cmocka_unit_test(argmax_takes_the_first_largest_and_no_nan),
        cmocka_unit_test(log_sum_exp_of_special_inputs),
        cmocka_unit_test(exp_and_tanh_are_accurate),
        cmocka_unit_test(activations_are_accurate),
        cmocka_unit_test(norm_and_log_sum_exp_are_accurate),
        cmocka_unit_test(rope_turns_pairs),
        cmocka_unit_test(halves_convert_at_every_level),
        cmocka_unit_test(halves_of_any_length_stay_in_bounds),
    };
    n_levels = levels_init(levels);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
