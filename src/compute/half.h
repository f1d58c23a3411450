// SPDX-License-Identifier: MIT
// fp16 and bf16 to fp32 and back, in plain integer arithmetic: the same bits as the processor's own
// instructions (round to nearest even, NaN made quiet). For ref kernels and for work that is not hot.
#pragma once

#include <stdint.h>
#include <string.h>

static inline float half_from_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline uint32_t half_to_bits(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

static inline uint16_t half_load(const void *bytes)
{
    uint16_t h;
    memcpy(&h, bytes, sizeof h);
    return h;
}

static inline float half_to_float(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = (h >> 10) & 31, mantissa = h & 0x3ff;
    if (exponent == 0) // zero or subnormal: mantissa * 2^-24, exact
        return half_from_bits(sign | half_to_bits((float)mantissa * 0x1p-24f));
    if (exponent == 31)
        return half_from_bits(sign | 0x7f800000 | (mantissa ? 0x400000 | mantissa << 13 : 0));
    return half_from_bits(sign | (exponent + 112) << 23 | mantissa << 13);
}

static inline uint16_t half_from_float(float f)
{
    uint32_t bits = half_to_bits(f), sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000)
        return (uint16_t)(sign | 0x7e00 | (magnitude >> 13 & 0x1ff));
    if (magnitude >= 0x477ff000) // 65520 and above round to infinity
        return (uint16_t)(sign | 0x7c00);
    if (magnitude < 0x38800000) // subnormal in fp16: the fp32 adder does the rounding
        return (uint16_t)(sign | (half_to_bits(half_from_bits(magnitude) + 0.5f) - half_to_bits(0.5f)));
    uint32_t odd = magnitude >> 13 & 1;
    return (uint16_t)(sign | ((magnitude - 0x38000000 + 0xfff + odd) >> 13));
}

static inline float half_bf16_to_float(uint16_t h)
{
    return half_from_bits((uint32_t)h << 16);
}

static inline uint16_t half_bf16_from_float(float f)
{
    uint32_t bits = half_to_bits(f);
    if ((bits & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
