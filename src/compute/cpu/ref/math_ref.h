// SPDX-License-Identifier: MIT
// Scalar exp, tanh and half conversions: the definition of their bits at every level. Only +, -, *, /, fma
// and comparisons, which are exact by IEEE 754; -ffp-contract=off keeps the compiler from adding its own.
#pragma once

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "compute/cpu/math_consts.h"

static inline uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

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
    return float_of(bits_of(p) + (bits_of(t) << 23));
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
    return float_of((bits_of(y) & 0x7fffffffu) | (bits_of(x) & 0x80000000u));
}

static inline float f32_from_f16(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = (h >> 10) & 31, fraction = h & 0x3ff;
    if (exponent == 31)
        return float_of(sign | 0x7f800000u | (fraction ? 0x400000u : 0) | fraction << 13);
    if (exponent == 0) {
        float magnitude = (float)fraction * 0x1p-24f;
        return float_of(sign | bits_of(magnitude));
    }
    return float_of(sign | (exponent + 112) << 23 | fraction << 13);
}

static inline uint16_t f16_from_f32(float x)
{
    uint32_t bits = bits_of(x), sign = (bits >> 16) & 0x8000, a = bits & 0x7fffffffu;
    if (a > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00 | (a >> 13 & 0x3ff));
    if (a >= 0x477ff000u) // 65520 and above
        return (uint16_t)(sign | 0x7c00);
    if (a < 0x38800000u) { // subnormal: adding 0.5 rounds to a multiple of 2^-24
        float rounded = float_of(a) + 0.5f;
        return (uint16_t)(sign | (bits_of(rounded) - 0x3f000000u));
    }
    uint32_t round = 0xfff + (a >> 13 & 1);
    return (uint16_t)(sign | (a + round - 0x38000000u) >> 13);
}

static inline float f32_from_bf16(uint16_t h)
{
    return float_of((uint32_t)h << 16);
}

static inline uint16_t bf16_from_f32(float x)
{
    uint32_t bits = bits_of(x);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
