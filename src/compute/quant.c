// SPDX-License-Identifier: MIT
// Reads file blocks of each quantised type into struct quant_block. Blocks have no alignment in a file.
// A new type is one reader and one row here, plus a row in dtype.c.
#include "compute/quant.h"

#include <stddef.h>

#include "compute/half.h"

// Byte j holds element j in its low half and element j + 16 in its high half.
static void read_nibbles(const uint8_t *qs, uint8_t *codes)
{
    for (int j = 0; j < 16; j++) {
        codes[j] = qs[j] & 15;
        codes[j + 16] = qs[j] >> 4;
    }
}

static void add_fifth_bits(const uint8_t *qh, uint8_t *codes)
{
    for (int i = 0; i < QUANT_BLOCK; i++)
        codes[i] |= (uint8_t)((qh[i / 8] >> (i % 8) & 1) << 4);
}

static void read_q4_0(const void *block, struct quant_block *out)
{
    const uint8_t *b = block;
    out->d = half_load(b);
    read_nibbles(b + 2, out->codes);
}

static void read_q4_1(const void *block, struct quant_block *out)
{
    const uint8_t *b = block;
    out->d = half_load(b);
    out->m = half_load(b + 2);
    read_nibbles(b + 4, out->codes);
}

static void read_q5_0(const void *block, struct quant_block *out)
{
    const uint8_t *b = block;
    out->d = half_load(b);
    read_nibbles(b + 6, out->codes);
    add_fifth_bits(b + 2, out->codes);
}

static void read_q5_1(const void *block, struct quant_block *out)
{
    const uint8_t *b = block;
    out->d = half_load(b);
    out->m = half_load(b + 2);
    read_nibbles(b + 8, out->codes);
    add_fifth_bits(b + 4, out->codes);
}

static void read_q8_0(const void *block, struct quant_block *out)
{
    const uint8_t *b = block;
    out->d = half_load(b);
    for (int i = 0; i < QUANT_BLOCK; i++)
        out->codes[i] = b[2 + i] ^ 0x80;
}

// Eight pairs of 6-bit factors in 12 bytes.
static void read_scales_6bit(const uint8_t *s, struct quant_block *out)
{
    for (int j = 0; j < 4; j++) {
        out->sc[j] = s[j] & 63;
        out->mn[j] = s[j + 4] & 63;
        out->sc[j + 4] = (int8_t)((s[j + 8] & 15) | s[j] >> 6 << 4);
        out->mn[j + 4] = (uint8_t)(s[j + 8] >> 4 | s[j + 4] >> 6 << 4);
    }
}

// 64 elements share 32 bytes: the first 32 in the low halves.
static void read_nibbles_super(const uint8_t *qs, uint8_t *codes)
{
    for (int c = 0; c < 4; c++) {
        for (int l = 0; l < 32; l++) {
            codes[64 * c + l] = qs[32 * c + l] & 15;
            codes[64 * c + 32 + l] = qs[32 * c + l] >> 4;
        }
    }
}

static void read_q4_k(const void *block, struct quant_block *out)
{
    const uint8_t *b = block;
    out->d = half_load(b);
    out->m = half_load(b + 2);
    read_scales_6bit(b + 4, out);
    read_nibbles_super(b + 16, out->codes);
}

static void read_q5_k(const void *block, struct quant_block *out)
{
    const uint8_t *b = block;
    out->d = half_load(b);
    out->m = half_load(b + 2);
    read_scales_6bit(b + 4, out);
    read_nibbles_super(b + 48, out->codes);
    for (int i = 0; i < QUANT_SUPER; i++)
        out->codes[i] |= (uint8_t)((b[16 + i % 32] >> (i / 32) & 1) << 4);
}

static void read_q6_k(const void *block, struct quant_block *out)
{
    const uint8_t *b = block;
    out->d = half_load(b + 208);
    memcpy(out->sc, b + 192, 16);
    for (int i = 0; i < QUANT_SUPER; i++) {
        int n = i / 128, j = i % 128 / 32, l = i % 32;
        uint8_t low = b[64 * n + 32 * (j & 1) + l];
        uint8_t high = b[128 + 32 * n + l] >> (2 * j) & 3;
        out->codes[i] = (uint8_t)((j < 2 ? low & 15 : low >> 4) | high << 4);
    }
}

static const struct quant quants[] = {
    {DTYPE_Q4_0, 4, 8, false, QUANT_SCALE_D, read_q4_0},
    {DTYPE_Q4_1, 4, 0, true, QUANT_SCALE_D, read_q4_1},
    {DTYPE_Q5_0, 5, 16, false, QUANT_SCALE_D, read_q5_0},
    {DTYPE_Q5_1, 5, 0, true, QUANT_SCALE_D, read_q5_1},
    {DTYPE_Q8_0, 8, 128, false, QUANT_SCALE_D, read_q8_0},
    {DTYPE_Q4_K, 4, 0, true, QUANT_SCALE_D_SC32, read_q4_k},
    {DTYPE_Q5_K, 5, 0, true, QUANT_SCALE_D_SC32, read_q5_k},
    {DTYPE_Q6_K, 6, 32, false, QUANT_SCALE_D_SC16, read_q6_k},
};

const struct quant *quant_find(enum dtype type)
{
    for (size_t i = 0; i < sizeof quants / sizeof quants[0]; i++)
        if (quants[i].type == type)
            return &quants[i];
    return NULL;
}

void quant_decode(const struct quant *q, const struct quant_block *b, float *out)
{
    float d = half_to_float(b->d), m = half_to_float(b->m);
    int n = q->scale == QUANT_SCALE_D ? QUANT_BLOCK : QUANT_SUPER;
    for (int i = 0; i < n; i++) {
        float code = (float)(b->codes[i] - q->offset);
        int sub16 = i / 16, sub32 = i / 32;
        if (q->scale == QUANT_SCALE_D)
            out[i] = q->has_min ? d * code + m : d * code;
        else if (q->scale == QUANT_SCALE_D_SC32)
            out[i] = d * b->sc[sub32] * code - m * b->mn[sub32];
        else
            out[i] = d * b->sc[sub16] * code;
    }
}
