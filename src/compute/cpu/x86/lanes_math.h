// SPDX-License-Identifier: MIT
// exp and tanh of sixteen lanes, bit for bit those of cpu/ref/math_ref.h. Include a lanes_*.h first.
#pragma once

#include <math.h>

SIMD_INLINE struct v16 v16_exp(struct v16 x)
{
    struct v16 t = v16_fma(x, v16_set1(EXP_LOG2E), v16_set1(EXP_MAGIC));
    struct v16 n = v16_sub(t, v16_set1(EXP_MAGIC));
    struct v16 r = v16_fma(n, v16_set1(-EXP_LN2_HI), x);
    r = v16_fma(n, v16_set1(-EXP_LN2_LO), r);
    struct v16 p = v16_fma(v16_set1(EXP_C6), r, v16_set1(EXP_C5));
    p = v16_fma(p, r, v16_set1(EXP_C4));
    p = v16_fma(p, r, v16_set1(EXP_C3));
    p = v16_fma(p, r, v16_set1(EXP_C2));
    p = v16_fma(p, r, v16_set1(1.0f));
    p = v16_fma(p, r, v16_set1(1.0f));
    struct v16 y = v16_scale_by_bits(p, t);
    y = v16_select_le(x, v16_set1(EXP_LOW), v16_set1(0.0f), y);
    return v16_select_le(x, v16_set1(EXP_HIGH), y, v16_mul(x, v16_set1(INFINITY)));
}

SIMD_INLINE struct v16 v16_tanh(struct v16 x)
{
    struct v16 a = v16_copysign(x, v16_set1(0.0f));
    struct v16 z = v16_mul(x, x);
    struct v16 p = v16_fma(v16_set1(TANH_C11), z, v16_set1(TANH_C9));
    p = v16_fma(p, z, v16_set1(TANH_C7));
    p = v16_fma(p, z, v16_set1(TANH_C5));
    p = v16_fma(p, z, v16_set1(TANH_C3));
    struct v16 small = v16_fma(v16_mul(x, z), p, x);
    struct v16 e = v16_add(v16_exp(v16_add(a, a)), v16_set1(1.0f));
    struct v16 large = v16_sub(v16_set1(1.0f), v16_div(v16_set1(2.0f), e));
    return v16_select_le(a, v16_set1(TANH_SMALL), small, v16_copysign(large, x));
}
