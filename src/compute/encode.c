// SPDX-License-Identifier: MIT
// Plain types and those with blocks of 32: the scale is fitted, rounded to fp16, and only then the codes are
// taken, so that they suit the scale that a reader sees.
#include "compute/encode.h"

#include <math.h>
#include <string.h>

#include "compute/fit.h"
#include "compute/half.h"
#include "compute/quant.h"

void encode_f32(const float *x, void *block)
{
    memcpy(block, x, sizeof *x);
}

void encode_f16(const float *x, void *block)
{
    uint16_t h = half_from_float(*x);
    memcpy(block, &h, sizeof h);
}

void encode_bf16(const float *x, void *block)
{
    uint16_t h = half_bf16_from_float(*x);
    memcpy(block, &h, sizeof h);
}

static float store_half(uint8_t *at, float value)
{
    uint16_t h = half_from_float(value);
    memcpy(at, &h, sizeof h);
    return half_to_float(h);
}

// Byte j holds element j in its low half and element j + 16 in its high half.
static void store_nibbles(const uint8_t *codes, uint8_t *out)
{
    for (int j = 0; j < 16; j++)
        out[j] = (uint8_t)((codes[j] & 15) | codes[j + 16] << 4);
}

static void store_fifth_bits(const uint8_t *codes, uint8_t *out)
{
    memset(out, 0, 4);
    for (int i = 0; i < QUANT_BLOCK; i++)
        out[i / 8] |= (uint8_t)((codes[i] >> 4 & 1) << (i % 8));
}

static void encode_symmetric(const float *x, int half, uint8_t *d, uint8_t *codes)
{
    struct fit f = {store_half(d, fit_symmetric(x, QUANT_BLOCK, half)), 0};
    fit_codes(x, QUANT_BLOCK, f, -half, half - 1, codes);
}

static void encode_affine(const float *x, int max_code, uint8_t *d, uint8_t *codes)
{
    struct fit f = fit_affine(x, QUANT_BLOCK, max_code);
    f.scale = store_half(d, f.scale);
    f.offset = store_half(d + 2, f.offset);
    fit_codes(x, QUANT_BLOCK, f, 0, max_code, codes);
}

void encode_q4_0(const float *x, void *block)
{
    uint8_t *b = block, codes[QUANT_BLOCK];
    encode_symmetric(x, 8, b, codes);
    store_nibbles(codes, b + 2);
}

void encode_q5_0_codes(const uint8_t *codes, void *block)
{
    store_fifth_bits(codes, (uint8_t *)block + 2);
    store_nibbles(codes, (uint8_t *)block + 6);
}

void encode_q5_0(const float *x, void *block)
{
    uint8_t codes[QUANT_BLOCK];
    encode_symmetric(x, 16, block, codes);
    encode_q5_0_codes(codes, block);
}

void encode_q4_1(const float *x, void *block)
{
    uint8_t *b = block, codes[QUANT_BLOCK];
    encode_affine(x, 15, b, codes);
    store_nibbles(codes, b + 4);
}

void encode_q5_1(const float *x, void *block)
{
    uint8_t *b = block, codes[QUANT_BLOCK];
    encode_affine(x, 31, b, codes);
    store_fifth_bits(codes, b + 4);
    store_nibbles(codes, b + 8);
}

void encode_q8_0(const float *x, void *block)
{
    uint8_t *b = block, codes[QUANT_BLOCK];
    float largest = 0;
    for (int i = 0; i < QUANT_BLOCK; i++)
        largest = fabsf(x[i]) > largest ? fabsf(x[i]) : largest;
    struct fit f = {store_half(b, largest / 127), 0};
    fit_codes(x, QUANT_BLOCK, f, -127, 127, codes);
    for (int i = 0; i < QUANT_BLOCK; i++)
        b[2 + i] = (uint8_t)(codes[i] - 127);
}
