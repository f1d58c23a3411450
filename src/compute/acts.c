// SPDX-License-Identifier: MIT
// Activations: sizes, storing. The layout is described in acts.h.
#include "compute/acts.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "compute/kernels.h"
#include "compute/panel.h"

enum acts_kind acts_kind_for(enum dtype weight_type)
{
    return quant_find(weight_type) != NULL ? ACTS_Q8 : ACTS_F32;
}

size_t acts_bytes(enum acts_kind kind, uint32_t n_columns, uint32_t k)
{
    size_t n_bytes = kind == ACTS_Q8 ? (size_t)n_columns * (k / QUANT_BLOCK) * ACTS_BLOCK_BYTES
                                     : (size_t)n_columns * panel_float_width(k) * sizeof(float);
    return (n_bytes + 63) & ~(size_t)63;
}

void acts_store(const struct kernels *kn, struct acts *a, uint32_t column, uint32_t k_begin, uint32_t k_end,
                const float *values)
{
    assert(column < a->n_columns && k_begin <= k_end && k_end <= a->k);
    if (a->kind == ACTS_Q8) {
        assert(k_begin % QUANT_BLOCK == 0 && k_end % QUANT_BLOCK == 0);
        kn->acts_store_q8(a, column, k_begin / QUANT_BLOCK, k_end / QUANT_BLOCK, values);
        return;
    }
    size_t width = panel_float_width(a->k);
    float *to = (float *)a->data + column * width;
    memcpy(to + k_begin, values, (k_end - k_begin) * sizeof(float));
    if (k_end == a->k)
        memset(to + k_end, 0, (width - k_end) * sizeof(float));
}

void acts_residual(const struct kernels *kn, const struct acts *a, uint32_t column, uint32_t k_begin,
                   uint32_t k_end, const float *values, float *out)
{
    assert(a->kind == ACTS_Q8 && k_begin % QUANT_BLOCK == 0 && k_end % QUANT_BLOCK == 0);
    kn->acts_residual_q8(a, column, k_begin / QUANT_BLOCK, k_end / QUANT_BLOCK, values, out);
}

float acts_norms(const struct acts *a, uint32_t column, float *blocks)
{
    uint32_t tile = column / ACTS_TILE, c = column % ACTS_TILE, w = acts_tile_width(a, tile);
    uint8_t *block = acts_tile(a, tile);
    double sum = 0;
    assert(a->kind == ACTS_Q8 && column < a->n_columns);
    for (uint32_t i = 0; i < a->k / QUANT_BLOCK; i++, block += (size_t)w * ACTS_BLOCK_BYTES) {
        double d = (double)acts_d(block, w)[c];
        int32_t square = 0;
        for (uint32_t g = 0; g < QUANT_BLOCK / 4; g++)
            for (uint32_t j = 0; j < 4; j++) {
                int8_t q = (int8_t)block[(g * w + c) * 4 + j];
                square += q * q;
            }
        sum += d * d * square;
        blocks[i] = (float)(sqrt(d * d * square) * (1 + 0x1p-20));
    }
    return (float)(sqrt(sum) * (1 + 0x1p-20));
}
