// SPDX-License-Identifier: MIT
// Vector operations over sixteen lanes, included by vec_avx2.c and vec_avx512.c after their lanes_*.h. A tail
// is a vector whose other lanes are 0 and are neither loaded nor stored, so a value does not depend on its
// place.
#pragma once

#include "base/mem.h"
#include "compute/cpu/vec_kernels.h"
#include "compute/cpu/x86/lanes_math.h"

SIMD_INLINE void map_one(float *out, const float *x, float parameter, size_t n,
                         struct v16 (*op)(struct v16, struct v16))
{
    struct v16 c = v16_set1(parameter);
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        v16_store(out + i, op(v16_load(x + i), c));
    if (i < n)
        v16_store_part(out + i, op(v16_load_part(x + i, (int)(n - i)), c), (int)(n - i));
}

SIMD_INLINE void map_two(float *out, const float *a, const float *b, size_t n,
                         struct v16 (*op)(struct v16, struct v16))
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        v16_store(out + i, op(v16_load(a + i), v16_load(b + i)));
    int rest = (int)(n - i);
    if (rest > 0)
        v16_store_part(out + i, op(v16_load_part(a + i, rest), v16_load_part(b + i, rest)), rest);
}

SIMD_INLINE struct v16 silu_mul(struct v16 gate, struct v16 up)
{
    struct v16 e = v16_exp(v16_mul(gate, v16_set1(-1.0f)));
    return v16_mul(v16_div(gate, v16_add(v16_set1(1.0f), e)), up);
}

SIMD_INLINE struct v16 gelu_mul(struct v16 x, struct v16 up)
{
    struct v16 u = v16_mul(x, v16_fma(v16_mul(x, x), v16_set1(GELU_B), v16_set1(GELU_A)));
    return v16_mul(v16_div(x, v16_add(v16_set1(1.0f), v16_exp(u))), up);
}

SIMD_INLINE struct v16 softcap(struct v16 x, struct v16 cap)
{
    return v16_mul(cap, v16_tanh(v16_div(x, cap)));
}

static double sum_squares_lanes(const float *x, size_t n)
{
    double total = 0;
    for (size_t begin = 0; begin < n; begin += SUM_BLOCK) {
        struct v16 sum = v16_set1(0.0f);
        size_t i = begin, end = MIN(begin + SUM_BLOCK, n);
        for (; i + 16 <= end; i += 16) {
            struct v16 v = v16_load(x + i);
            sum = v16_fma(v, v, sum);
        }
        if (i < end) {
            struct v16 v = v16_load_part(x + i, (int)(end - i));
            sum = v16_fma(v, v, sum);
        }
        total += (double)v16_tree_add(sum);
    }
    return total;
}

static void norm_apply_lanes(float *out, const float *x, const float *w, size_t n, float factor)
{
    if (w == NULL) {
        map_one(out, x, factor, n, v16_mul);
        return;
    }
    struct v16 f = v16_set1(factor);
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        v16_store(out + i, v16_mul(v16_mul(v16_load(x + i), f), v16_load(w + i)));
    int rest = (int)(n - i);
    if (rest > 0)
        v16_store_part(out + i, v16_mul(v16_mul(v16_load_part(x + i, rest), f), v16_load_part(w + i, rest)),
                       rest);
}

static void add_lanes(float *out, const float *a, const float *b, size_t n)
{
    map_two(out, a, b, n, v16_add);
}

static void silu_mul_lanes(float *out, const float *gate, const float *up, size_t n)
{
    map_two(out, gate, up, n, silu_mul);
}

static void gelu_mul_lanes(float *out, const float *gate, const float *up, size_t n)
{
    map_two(out, gate, up, n, gelu_mul);
}

static void scale_lanes(float *out, const float *x, float factor, size_t n)
{
    map_one(out, x, factor, n, v16_mul);
}

static void softcap_lanes(float *out, const float *x, float cap, size_t n)
{
    map_one(out, x, cap, n, softcap);
}

SIMD_INLINE struct v16 rotate_pairs(struct v16 x, struct v16 cos_sin)
{
    struct v16 crossed = v16_mul(v16_swap_pairs(x), v16_odd_twice(cos_sin));
    return v16_fmaddsub(x, v16_even_twice(cos_sin), crossed);
}

static void rope_norm_lanes(float *x, const float *cos_sin, uint32_t n_rot)
{
    map_two(x, x, cos_sin, n_rot / 2 * 2, rotate_pairs);
}

SIMD_INLINE void rotate_halves(struct v16 *a, struct v16 *b, struct v16 first, struct v16 second)
{
    struct v16 cos = v16_evens(first, second), sin = v16_odds(first, second);
    struct v16 a_old = *a;
    *a = v16_fmsub(a_old, cos, v16_mul(*b, sin));
    *b = v16_fma(*b, cos, v16_mul(a_old, sin));
}

static void rope_neox_lanes(float *x, const float *cos_sin, uint32_t n_rot)
{
    uint32_t half = n_rot / 2, k = 0;
    float *y = x + half;
    for (; k + 16 <= half; k += 16) {
        struct v16 a = v16_load(x + k), b = v16_load(y + k);
        rotate_halves(&a, &b, v16_load(cos_sin + 2 * k), v16_load(cos_sin + 2 * k + 16));
        v16_store(x + k, a);
        v16_store(y + k, b);
    }
    int rest = (int)(half - k);
    if (rest > 0) {
        const float *cs = cos_sin + 2 * k;
        struct v16 a = v16_load_part(x + k, rest), b = v16_load_part(y + k, rest);
        if (rest < 8)
            rotate_halves(&a, &b, v16_load_part(cs, 2 * rest), v16_set1(0.0f));
        else
            rotate_halves(&a, &b, v16_load(cs), v16_load_part(cs + 16, 2 * rest - 16));
        v16_store_part(x + k, a, rest);
        v16_store_part(y + k, b, rest);
    }
}

static float max_lanes(const float *x, size_t n)
{
    struct v16 low = v16_set1(-INFINITY), max = low;
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        max = v16_max(v16_load(x + i), max);
    if (i < n)
        max = v16_max(v16_keep(v16_load_part(x + i, (int)(n - i)), 0, (int)(n - i), low), max);
    return v16_tree_max(max) + 0.0f; // -0 and 0 are equal, their order differs by lane: make it 0
}

static size_t find_lanes(const float *x, size_t n, float value)
{
    struct v16 v = v16_set1(value);
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        uint32_t bits = v16_equal_bits(v16_load(x + i), v);
        if (bits != 0)
            return i + (size_t)__builtin_ctz(bits);
    }
    if (i == n)
        return n;
    uint32_t bits = v16_equal_bits(v16_load_part(x + i, (int)(n - i)), v) & ((1u << (n - i)) - 1);
    return bits != 0 ? i + (size_t)__builtin_ctz(bits) : n;
}

static double sum_exp_lanes(const float *x, size_t n, float max)
{
    struct d16 sum = d16_zero();
    struct v16 m = v16_set1(max);
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        sum = d16_add_v16(sum, v16_exp(v16_sub(v16_load(x + i), m)));
    int rest = (int)(n - i);
    if (rest > 0) {
        struct v16 e = v16_exp(v16_sub(v16_load_part(x + i, rest), m));
        sum = d16_add_v16(sum, v16_keep(e, 0, rest, v16_set1(0.0f)));
    }
    return d16_tree_add(sum);
}

SIMD_INLINE void map_to_half(uint16_t *out, const float *x, size_t n, void (*store)(uint16_t *, struct v16))
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        store(out + i, v16_load(x + i));
    if (i < n) {
        uint16_t last[16];
        store(last, v16_load_part(x + i, (int)(n - i)));
        memcpy(out + i, last, (n - i) * sizeof *out);
    }
}

SIMD_INLINE void map_from_half(float *out, const uint16_t *x, size_t n, struct v16 (*load)(const uint16_t *))
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        v16_store(out + i, load(x + i));
    if (i < n) {
        uint16_t last[16] = {0};
        memcpy(last, x + i, (n - i) * sizeof *x);
        v16_store_part(out + i, load(last), (int)(n - i));
    }
}

static void to_f16_lanes(uint16_t *out, const float *x, size_t n)
{
    map_to_half(out, x, n, v16_store_f16);
}

static void to_bf16_lanes(uint16_t *out, const float *x, size_t n)
{
    map_to_half(out, x, n, v16_store_bf16);
}

static void from_f16_lanes(float *out, const uint16_t *x, size_t n)
{
    map_from_half(out, x, n, v16_load_f16);
}

static void from_bf16_lanes(float *out, const uint16_t *x, size_t n)
{
    map_from_half(out, x, n, v16_load_bf16);
}

static void init_lanes(struct vec_kernels *k)
{
    *k = (struct vec_kernels){
        .sum_squares = sum_squares_lanes,
        .norm_apply = norm_apply_lanes,
        .add = add_lanes,
        .silu_mul = silu_mul_lanes,
        .gelu_mul = gelu_mul_lanes,
        .scale = scale_lanes,
        .softcap = softcap_lanes,
        .rope_norm = rope_norm_lanes,
        .rope_neox = rope_neox_lanes,
        .max = max_lanes,
        .find = find_lanes,
        .sum_exp = sum_exp_lanes,
        .to_f16 = to_f16_lanes,
        .to_bf16 = to_bf16_lanes,
        .from_f16 = from_f16_lanes,
        .from_bf16 = from_bf16_lanes,
    };
}
