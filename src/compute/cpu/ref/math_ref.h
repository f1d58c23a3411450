// SPDX-License-Identifier: MIT
// Scalar exp and tanh: the definition of their bits at every level. Only +, -, *, /, fma
// and comparisons, which are exact by IEEE 754; -ffp-contract=off keeps the compiler from adding its own.
#pragma once

#include <math.h>
#include <stdint.h>

#include "compute/cpu/math_consts.h"
#include "compute/half.h"

static inline float exp_ref(float x)
{
    if (!(x <= EXP_HIGH))
        return x * INFINITY; // NaN stays NaN
    if (x <= EXP_LOW)
        return 0;
    float t = fmaf(x, EXP_LOG2E, EXP_MAGIC);
    float n = t - EXP_MAGIC;
    float r = fmaf(n, -EXP_LN2_HI, x);
    r = fmaf(n, -EXP_LN2_LO, r);
    float p = fmaf(EXP_C6, r, EXP_C5);
    p = fmaf(p, r, EXP_C4);
    p = fmaf(p, r, EXP_C3);
    p = fmaf(p, r, EXP_C2);
    p = fmaf(p, r, 1.0f);
    p = fmaf(p, r, 1.0f);
    return half_from_bits(half_to_bits(p) + (half_to_bits(t) << 23));
}

static inline float tanh_ref(float x)
{
    float a = fabsf(x);
    if (a <= TANH_SMALL) {
        float z = x * x;
        float p = fmaf(TANH_C11, z, TANH_C9);
        p = fmaf(p, z, TANH_C7);
        p = fmaf(p, z, TANH_C5);
        p = fmaf(p, z, TANH_C3);
        return fmaf(x * z, p, x);
    }
    float y = 1.0f - 2.0f / (exp_ref(a + a) + 1.0f);
    return half_from_bits((half_to_bits(y) & 0x7fffffffu) | (half_to_bits(x) & 0x80000000u));
}
