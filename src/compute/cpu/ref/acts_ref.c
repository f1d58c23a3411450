// SPDX-License-Identifier: MIT
// Quantising activations in plain C: the definition (acts.h has the words).
#include <math.h>
#include <string.h>

#include "compute/acts.h"
#include "compute/half.h"
#include "compute/kernels.h"

static void store_block(uint8_t *block, uint32_t w, uint32_t c, const float *x)
{
    int8_t q[QUANT_BLOCK] = {0};
    int32_t half[2] = {0, 0};
    uint32_t amax_bits = 0; // magnitudes order like their bits, and NaN comes out on top
    for (int i = 0; i < QUANT_BLOCK; i++) {
        uint32_t bits = half_to_bits(x[i]) & 0x7fffffff;
        amax_bits = bits > amax_bits ? bits : amax_bits;
    }
    float amax = half_from_bits(amax_bits), d = 0;
    if (amax_bits >= 0x7f800000) {
        d = half_from_bits(0x7fc00000);
    } else if (amax >= ACTS_TINY) {
        float inverse = 127.0f / amax;
        d = amax / 127.0f;
        for (int i = 0; i < QUANT_BLOCK; i++) {
            q[i] = (int8_t)rintf(x[i] * inverse);
            half[i / 16] += q[i];
        }
    }
    for (int g = 0; g < 8; g++)
        memcpy(block + (g * w + c) * 4, q + 4 * g, 4);
    acts_d(block, w)[c] = d;
    acts_ds(block, w)[c] = d * (float)(half[0] + half[1]);
    acts_sum(block, w)[c] = half[0] + half[1];
    acts_half(block, w)[2 * c] = (int16_t)half[0];
    acts_half(block, w)[2 * c + 1] = (int16_t)half[1];
}

void acts_store_q8_ref(struct acts *a, uint32_t column, uint32_t block_begin, uint32_t block_end,
                       const float *values)
{
    uint32_t tile = column / ACTS_TILE, w = acts_tile_width(a, tile);
    uint8_t *blocks = acts_tile(a, tile);
    for (uint32_t b = block_begin; b < block_end; b++)
        store_block(blocks + (size_t)b * w * ACTS_BLOCK_BYTES, w, column % ACTS_TILE,
                    values + (size_t)(b - block_begin) * QUANT_BLOCK);
}

void acts_residual_q8_ref(const struct acts *a, uint32_t column, uint32_t block_begin, uint32_t block_end,
                          const float *values, float *out)
{
    uint32_t tile = column / ACTS_TILE, w = acts_tile_width(a, tile), c = column % ACTS_TILE;
    uint8_t *block = acts_tile(a, tile) + (size_t)block_begin * w * ACTS_BLOCK_BYTES;
    for (uint32_t b = block_begin; b < block_end; b++, block += w * ACTS_BLOCK_BYTES) {
        float d = acts_d(block, w)[c];
        int8_t q[QUANT_BLOCK];
        for (size_t g = 0; g < QUANT_BLOCK / 4; g++)
            memcpy(q + 4 * g, block + (g * w + c) * 4, 4);
        for (int i = 0; i < QUANT_BLOCK; i++)
            *out++ = *values++ - d * (float)q[i];
    }
}
