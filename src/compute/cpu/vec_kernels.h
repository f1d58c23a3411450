// SPDX-License-Identifier: MIT
// The part of the kernel table (compute/kernels.h) that belongs to vector operations. Lengths are any,
// pointers need no alignment, nothing is read or written outside [0, n), out may be one of the inputs. Sums
// go by 16 virtual lanes: element i to lane i % 16 in ascending order, then the pairwise tree (lane j + lane
// j+8, then +4, +2, +1).
#pragma once

#include <stddef.h>
#include <stdint.h>

// Sum of x^2: fp32 fma in the lanes, tree, and total in double after every SUM_BLOCK values.
typedef double vec_sum_squares_fn(const float *x, size_t n);
// out = x * factor * w; w may be NULL (all ones).
typedef void vec_norm_apply_fn(float *out, const float *x, const float *w, size_t n, float factor);
typedef void vec_binary_fn(float *out, const float *a, const float *b, size_t n);
typedef void vec_unary_fn(float *out, const float *x, float parameter, size_t n);
typedef void vec_rope_fn(float *x, const float *cos_sin, uint32_t n_rot);
// Largest value, NaN left out; -inf if there is none.
typedef float vec_max_fn(const float *x, size_t n);
// Lowest index with x[i] == value; n if there is none.
typedef size_t vec_find_fn(const float *x, size_t n, float value);
// Sum of exp(x[i] - max), exp in fp32, lanes and tree in double.
typedef double vec_sum_exp_fn(const float *x, size_t n, float max);
// Round to nearest even; too large becomes infinite; NaN stays NaN.
typedef void vec_to_half_fn(uint16_t *out, const float *x, size_t n);
typedef void vec_from_half_fn(float *out, const uint16_t *x, size_t n);

struct vec_kernels {
    vec_sum_squares_fn *sum_squares;
    vec_norm_apply_fn *norm_apply;
    vec_binary_fn *add, *silu_mul, *gelu_mul;
    vec_unary_fn *scale, *softcap;
    vec_rope_fn *rope_norm, *rope_neox;
    vec_max_fn *max;
    vec_find_fn *find;
    vec_sum_exp_fn *sum_exp;
    vec_to_half_fn *to_f16, *to_bf16;
    vec_from_half_fn *from_f16, *from_bf16;
};

// Each sets only what its level overrides; ref sets all.
void vec_init_ref(struct vec_kernels *k);
void vec_init_avx2(struct vec_kernels *k);
void vec_init_avx512(struct vec_kernels *k);
