// SPDX-License-Identifier: MIT
// The packed form of a matrix ("W16"), the same for every level.
//
// A panel is 16 rows; panels follow each other. Within a panel everything lies in the order in which a
// product reads it: one linear stream. The unit is 16 rows x 32 k. A line of 64 bytes is 16 rows x 4 k: byte
// 4*r + j is row r, k = 4*g + j, where g (0..7) is the k-group. So one line is one AVX-512 register or two
// AVX2 registers of 8 rows, and the activations of a k-group are one broadcast dword.
//
//   codes of a unit   4 bits  4 lines: line i has group 2i in the low halves, group 2i + 1 in the high halves
//                     5 bits  the same, then 1 line: bit g of a byte is the fifth bit of group g
//                     6 bits  the same 4 lines, then 2 lines: bits 2(g % 4) and 2(g % 4) + 1 of line g / 4
//                     8 bits  8 lines, one a group
//   SCALE_D           per 32: codes, 16 fp16 d [, 16 fp16 m]
//   SCALE_D_SC32      per 256: 16 fp16 d, 16 fp16 dmin, [8][16] u8 factors, [8][16] u8 minimum factors, 8 x
//   codes SCALE_D_SC16      per 256: 16 fp16 d, [8][2][16] i8 factors, 8 x codes F32, F16, BF16    rows as in
//   the file, each padded with zeros to a multiple of 16 values
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "compute/compute.h"
#include "compute/quant.h"

enum { PANEL_LINE = 64, PANEL_GROUPS = 8, PANEL_LANES = 16 };

static inline size_t panel_codes_bytes(const struct quant *q)
{
    return (size_t)q->code_bits * PANEL_LINE;
}

// Bytes in front of the codes of 256 k; 0 for SCALE_D.
static inline size_t panel_head_bytes(const struct quant *q)
{
    if (q->scale == QUANT_SCALE_D)
        return 0;
    return q->scale == QUANT_SCALE_D_SC32 ? 2 * 32 + 16 * PANEL_ROWS : 32 + 16 * PANEL_ROWS;
}

// Bytes of one file block of all 16 rows.
static inline size_t panel_block_bytes(const struct quant *q)
{
    if (q->scale == QUANT_SCALE_D)
        return panel_codes_bytes(q) + 2 * PANEL_ROWS * (q->has_min ? 2 : 1);
    return panel_head_bytes(q) + QUANT_SUPER / QUANT_BLOCK * panel_codes_bytes(q);
}

// Width of a row of floats with its padding.
static inline size_t panel_float_width(uint64_t n_cols)
{
    return (n_cols + PANEL_LANES - 1) / PANEL_LANES * PANEL_LANES;
}

// A product of very few columns goes through a range of panels in this many parts side by side. (Two columns
// need twice the registers.)
enum { PANEL_MAX_STREAMS = 4 };
static inline __attribute__((always_inline)) uint32_t panel_streams(uint32_t n_columns)
{
    return n_columns == 1 ? PANEL_MAX_STREAMS : n_columns == 2 ? PANEL_MAX_STREAMS / 2 : 1;
}

// Bytes of one whole panel.
size_t panel_bytes(enum dtype type, uint32_t n_cols);

// Codes of row r in unit `codes`, in order of k (plain, for ref and decoding).
void panel_read_codes(const struct quant *q, const uint8_t *codes, size_t r, uint8_t out[QUANT_BLOCK]);
