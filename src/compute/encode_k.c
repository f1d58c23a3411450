// SPDX-License-Identifier: MIT
// Types with blocks of 256, whose parts have scales that are themselves small integers: each part is fitted
// alone, the largest scales give the block's two (or one) fp16 factors, then each part takes the integer
// scales nearby that serve it best, and its codes last.
#include "compute/encode.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "compute/fit.h"
#include "compute/half.h"
#include "compute/quant.h"

enum { N_PARTS_32 = QUANT_SUPER / 32, N_PARTS_16 = QUANT_SUPER / 16, MAX_SCALE_6BIT = 63 };

static float round_to_half(float value, uint16_t *h)
{
    *h = half_from_float(value);
    return half_to_float(*h);
}

static int clamp_round(float value, int low, int high)
{
    return value <= (float)low ? low : value >= (float)high ? high : (int)lrintf(value);
}

static float divide(float a, float b)
{
    return b != 0 ? a / b : 0;
}

// ---- Q4_K, Q5_K: a 6-bit scale and a 6-bit offset for each 32 ----

// The best integers next to those that the fit asks for.
static struct fit choose_scales(const float *x, struct fit wanted, float d, float m, int max_code,
                                struct quant_block *b, size_t part)
{
    int sc = clamp_round(divide(wanted.scale, d), 0, MAX_SCALE_6BIT);
    int mn = clamp_round(divide(-wanted.offset, m), 0, MAX_SCALE_6BIT);
    struct fit best = {0, 0};
    float best_error = INFINITY;
    for (int s = MAX(sc - 1, 0); s <= MIN(sc + 1, MAX_SCALE_6BIT); s++) {
        for (int o = MAX(mn - 1, 0); o <= MIN(mn + 1, MAX_SCALE_6BIT); o++) {
            struct fit f = {d * (float)s, -m * (float)o};
            float error = fit_error(x, 32, f, 0, max_code);
            if (error < best_error) {
                best_error = error;
                best = f;
                b->sc[part] = (int8_t)s;
                b->mn[part] = (uint8_t)o;
            }
        }
    }
    return best;
}

static void fit_parts_32(const float *x, int max_code, struct quant_block *b)
{
    struct fit wanted[N_PARTS_32];
    float scale_max = 0, offset_max = 0;
    for (size_t i = 0; i < N_PARTS_32; i++) {
        wanted[i] = fit_below(x + 32 * i, 32, max_code);
        scale_max = MAX(scale_max, wanted[i].scale);
        offset_max = MAX(offset_max, -wanted[i].offset);
    }
    float d = round_to_half(scale_max / MAX_SCALE_6BIT, &b->d);
    float m = round_to_half(offset_max / MAX_SCALE_6BIT, &b->m);
    for (size_t i = 0; i < N_PARTS_32; i++) {
        struct fit f = choose_scales(x + 32 * i, wanted[i], d, m, max_code, b, i);
        fit_codes(x + 32 * i, 32, f, 0, max_code, b->codes + 32 * i);
    }
}

// Eight pairs of 6-bit numbers in 12 bytes: of the last four pairs the low halves share a byte, and the two
// high bits are those of the first eight bytes.
static void store_scales_6bit(const struct quant_block *b, uint8_t *out)
{
    for (int j = 0; j < 4; j++) {
        int sc = (uint8_t)b->sc[j + 4], mn = b->mn[j + 4];
        out[j] = (uint8_t)((uint8_t)b->sc[j] | sc >> 4 << 6);
        out[j + 4] = (uint8_t)(b->mn[j] | mn >> 4 << 6);
        out[j + 8] = (uint8_t)((sc & 15) | (mn & 15) << 4);
    }
}

// 64 elements share 32 bytes: the first 32 in the low halves.
static void store_nibbles_super(const uint8_t *codes, uint8_t *out)
{
    for (int c = 0; c < 4; c++)
        for (int l = 0; l < 32; l++)
            out[32 * c + l] = (uint8_t)((codes[64 * c + l] & 15) | codes[64 * c + 32 + l] << 4);
}

static void store_factors(const struct quant_block *b, uint8_t *out)
{
    memcpy(out, &b->d, 2);
    memcpy(out + 2, &b->m, 2);
    store_scales_6bit(b, out + 4);
}

void encode_q4_k(const float *x, void *block)
{
    struct quant_block b;
    uint8_t *out = block;
    fit_parts_32(x, 15, &b);
    store_factors(&b, out);
    store_nibbles_super(b.codes, out + 16);
}

void encode_q5_k(const float *x, void *block)
{
    struct quant_block b;
    uint8_t *out = block;
    fit_parts_32(x, 31, &b);
    store_factors(&b, out);
    memset(out + 16, 0, 32);
    for (int i = 0; i < QUANT_SUPER; i++)
        out[16 + i % 32] |= (uint8_t)((b.codes[i] >> 4 & 1) << (i / 32));
    store_nibbles_super(b.codes, out + 48);
}

// ---- Q6_K: a signed 8-bit scale for each 16 ----

static struct fit choose_scale(const float *x, float wanted, float d, int8_t *chosen)
{
    int sc = clamp_round(divide(wanted, d), -128, 127);
    struct fit best = {0, 0};
    float best_error = INFINITY;
    for (int s = MAX(sc - 1, -128); s <= MIN(sc + 1, 127); s++) {
        struct fit f = {d * (float)s, 0};
        float error = fit_error(x, 16, f, -32, 31);
        if (error < best_error) {
            best_error = error;
            best = f;
            *chosen = (int8_t)s;
        }
    }
    return best;
}

static void fit_parts_16(const float *x, struct quant_block *b)
{
    float wanted[N_PARTS_16], largest = 0;
    for (size_t i = 0; i < N_PARTS_16; i++) {
        wanted[i] = fit_symmetric(x + 16 * i, 16, 32);
        largest = fabsf(wanted[i]) > fabsf(largest) ? wanted[i] : largest;
    }
    float d = round_to_half(largest / -128, &b->d);
    for (size_t i = 0; i < N_PARTS_16; i++) {
        struct fit f = choose_scale(x + 16 * i, wanted[i], d, &b->sc[i]);
        fit_codes(x + 16 * i, 16, f, -32, 31, b->codes + 16 * i);
    }
}

void encode_q6_k(const float *x, void *block)
{
    struct quant_block b;
    uint8_t *out = block;
    fit_parts_16(x, &b);
    memset(out, 0, 192);
    for (int i = 0; i < QUANT_SUPER; i++) {
        int n = i / 128, j = i % 128 / 32, l = i % 32;
        out[64 * n + 32 * (j & 1) + l] |= (uint8_t)((b.codes[i] & 15) << (j < 2 ? 0 : 4));
        out[128 + 32 * n + l] |= (uint8_t)(b.codes[i] >> 4 << (2 * j));
    }
    memcpy(out + 192, b.sc, 16);
    memcpy(out + 208, &b.d, 2);
}
