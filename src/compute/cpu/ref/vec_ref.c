// SPDX-License-Identifier: MIT
// Vector operations in plain C: the definition of their bits. Any thread; pure.
#include "compute/cpu/vec_kernels.h"

#include <math.h>

#include "base/mem.h"
#include "compute/cpu/ref/math_ref.h"

static double sum_squares_ref(const float *x, size_t n)
{
    double total = 0;
    for (size_t begin = 0; begin < n; begin += SUM_BLOCK) {
        float lanes[16] = {0};
        for (size_t i = begin; i < MIN(begin + SUM_BLOCK, n); i++)
            lanes[i % 16] = fmaf(x[i], x[i], lanes[i % 16]);
        for (int step = 8; step > 0; step /= 2)
            for (int j = 0; j < step; j++)
                lanes[j] += lanes[j + step];
        total += (double)lanes[0];
    }
    return total;
}

static void norm_apply_ref(float *out, const float *x, const float *w, size_t n, float factor)
{
    for (size_t i = 0; i < n; i++)
        out[i] = w ? x[i] * factor * w[i] : x[i] * factor;
}

static void add_ref(float *out, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = a[i] + b[i];
}

static void scale_ref(float *out, const float *x, float factor, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = x[i] * factor;
}

static void silu_mul_ref(float *out, const float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = gate[i] / (1.0f + exp_ref(-gate[i])) * up[i];
}

static void gelu_mul_ref(float *out, const float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float x = gate[i];
        float u = x * fmaf(x * x, GELU_B, GELU_A);
        out[i] = x / (1.0f + exp_ref(u)) * up[i];
    }
}

static void softcap_ref(float *out, const float *x, float cap, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = cap * tanh_ref(x[i] / cap);
}

static void rotate_ref(float *a, float *b, float cos, float sin)
{
    float a_old = *a;
    *a = fmaf(a_old, cos, -(*b * sin));
    *b = fmaf(*b, cos, a_old * sin);
}

static void rope_norm_ref(float *x, const float *cos_sin, uint32_t n_rot)
{
    for (uint32_t k = 0; k < n_rot / 2; k++)
        rotate_ref(&x[2 * k], &x[2 * k + 1], cos_sin[2 * k], cos_sin[2 * k + 1]);
}

static void rope_neox_ref(float *x, const float *cos_sin, uint32_t n_rot)
{
    uint32_t half = n_rot / 2;
    for (uint32_t k = 0; k < half; k++)
        rotate_ref(&x[k], &x[k + half], cos_sin[2 * k], cos_sin[2 * k + 1]);
}

static float max_ref(const float *x, size_t n)
{
    float max = -INFINITY;
    for (size_t i = 0; i < n; i++)
        max = x[i] > max ? x[i] : max;
    return max + 0.0f; // -0 becomes 0, as in the lanes, where the order differs
}

static size_t find_ref(const float *x, size_t n, float value)
{
    size_t i = 0;
    while (i < n && !(x[i] == value))
        i++;
    return i;
}

static double sum_exp_ref(const float *x, size_t n, float max)
{
    double lanes[16] = {0};
    for (size_t i = 0; i < n; i++)
        lanes[i % 16] += (double)exp_ref(x[i] - max);
    for (int step = 8; step > 0; step /= 2)
        for (int j = 0; j < step; j++)
            lanes[j] += lanes[j + step];
    return lanes[0];
}

static void to_f16_ref(uint16_t *out, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = half_from_float(x[i]);
}

static void from_f16_ref(float *out, const uint16_t *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = half_to_float(x[i]);
}

static void to_bf16_ref(uint16_t *out, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = half_bf16_from_float(x[i]);
}

static void from_bf16_ref(float *out, const uint16_t *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = half_bf16_to_float(x[i]);
}

void vec_init_ref(struct vec_kernels *k)
{
    *k = (struct vec_kernels){
        .sum_squares = sum_squares_ref,
        .norm_apply = norm_apply_ref,
        .add = add_ref,
        .silu_mul = silu_mul_ref,
        .gelu_mul = gelu_mul_ref,
        .scale = scale_ref,
        .softcap = softcap_ref,
        .rope_norm = rope_norm_ref,
        .rope_neox = rope_neox_ref,
        .max = max_ref,
        .find = find_ref,
        .sum_exp = sum_exp_ref,
        .to_f16 = to_f16_ref,
        .to_bf16 = to_bf16_ref,
        .from_f16 = from_f16_ref,
        .from_bf16 = from_bf16_ref,
    };
}
