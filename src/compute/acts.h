// SPDX-License-Identifier: MIT
// How ACTS_Q8 lies in memory, the same for every level. Columns form tiles of ACTS_TILE; the last tile is as
// wide as what is left. A tile holds its blocks of 32 k in order; a block of a tile of w columns is 48 * w
// bytes:
//
//   int8  q[8][w][4]   k-group, column, k: the dword [g][c] is what a kernel broadcasts
//   float d[w]         scale: value = d * q
//   float ds[w]        d * (float)(sum of q), for types with a minimum
//   i32   sum[w]       sum of q
//   i16   half[w][2]   sums of the first and the last 16 q
//
// Quantising a block (ref; all levels give the same bits): amax = largest |x|. amax not finite: d is NaN, q =
// 0. amax below ACTS_TINY: d = 0, q = 0. Else d = amax / 127, q = x * (127 / amax) rounded to nearest even.
//
// ACTS_F32: column after column, each padded with zeros to a multiple of 16 values.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "compute/compute.h"
#include "compute/quant.h"

enum { ACTS_TILE = 4, ACTS_BLOCK_BYTES = 48 };

// Below this the reciprocal could overflow.
#define ACTS_TINY 0x1p-100f

static inline uint32_t acts_tiles(const struct acts *a)
{
    return (a->n_columns + ACTS_TILE - 1) / ACTS_TILE;
}

static inline uint32_t acts_tile_width(const struct acts *a, uint32_t tile)
{
    uint32_t left = a->n_columns - tile * ACTS_TILE;
    return left < ACTS_TILE ? left : ACTS_TILE;
}

static inline uint8_t *acts_tile(const struct acts *a, uint32_t tile)
{
    return (uint8_t *)a->data + (size_t)tile * ACTS_TILE * (a->k / QUANT_BLOCK) * ACTS_BLOCK_BYTES;
}

// The parts of a block of a tile of w columns.
static inline float *acts_d(uint8_t *block, uint32_t w)
{
    return (float *)(block + 32 * w);
}

static inline float *acts_ds(uint8_t *block, uint32_t w)
{
    return (float *)(block + 36 * w);
}

static inline int32_t *acts_sum(uint8_t *block, uint32_t w)
{
    return (int32_t *)(block + 40 * w);
}

static inline int16_t *acts_half(uint8_t *block, uint32_t w)
{
    return (int16_t *)(block + 44 * w);
}
