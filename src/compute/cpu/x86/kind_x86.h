// SPDX-License-Identifier: MIT
// What a kernel must know of a type, as constants: every function that takes a kind is always inlined with a
// constant one.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "compute/acts.h"
#include "compute/panel.h"

struct kind {
    int bits;         // of a code: 4, 5, 6 or 8
    int offset_shift; // the offset is 1 << offset_shift; 0: none
    bool has_min;
    enum quant_scale scale;
    bool unpacked; // the codes were unpacked to one byte each (wide products)
};

#define KIND_Q4_0 ((struct kind){4, 3, false, QUANT_SCALE_D})
#define KIND_Q4_1 ((struct kind){4, 0, true, QUANT_SCALE_D})
#define KIND_Q5_0 ((struct kind){5, 4, false, QUANT_SCALE_D})
#define KIND_Q5_1 ((struct kind){5, 0, true, QUANT_SCALE_D})
#define KIND_Q8_0 ((struct kind){8, 7, false, QUANT_SCALE_D})
#define KIND_Q4_K ((struct kind){4, 0, true, QUANT_SCALE_D_SC32})
#define KIND_Q5_K ((struct kind){5, 0, true, QUANT_SCALE_D_SC32})
#define KIND_Q6_K ((struct kind){6, 5, false, QUANT_SCALE_D_SC16})

static inline __attribute__((always_inline)) size_t kind_codes_bytes(struct kind kind)
{
    return (size_t)kind.bits * PANEL_LINE;
}

static inline __attribute__((always_inline)) uint32_t kind_subs(struct kind kind)
{
    return kind.scale == QUANT_SCALE_D ? 1 : QUANT_SUPER / QUANT_BLOCK;
}

static inline __attribute__((always_inline)) size_t kind_head_bytes(struct kind kind)
{
    if (kind.scale == QUANT_SCALE_D)
        return 0;
    return kind.scale == QUANT_SCALE_D_SC32 ? 64 + 16 * PANEL_ROWS : 32 + 16 * PANEL_ROWS;
}

static inline __attribute__((always_inline)) size_t kind_block_bytes(struct kind kind)
{
    if (kind.scale == QUANT_SCALE_D)
        return kind_codes_bytes(kind) + 32 * (kind.has_min ? 2 : 1);
    return kind_head_bytes(kind) + QUANT_SUPER / QUANT_BLOCK * kind_codes_bytes(kind);
}

struct output {
    float *at; // row 0, column 0
    size_t stride;
    uint32_t tile_begin; // tiles before it are done from unpacked panels
};

// A range of k of one panel times one tile of columns.
struct piece {
    const uint8_t *panel, *acts; // where the range begins in each
    uint32_t n_units;
    bool is_first; // the sums begin at 0; else they go on from what stands in `out`
    float *out;    // row 0 of the panel, column 0 of the tile
    size_t out_stride;
};

// Units of k to go through before the next panel: so few that the activations of all columns stay in L2.
enum { KIND_ACTS_BYTES = 256 << 10 };

static inline uint32_t kind_range(const struct acts *a)
{
    uint32_t n_subs = QUANT_SUPER / QUANT_BLOCK, column_bytes = a->n_columns * ACTS_BLOCK_BYTES;
    uint32_t range = KIND_ACTS_BYTES / column_bytes / (2 * n_subs) * (2 * n_subs);
    return range > 2 * n_subs ? range : 2 * n_subs;
}

// Units [unit_begin, unit_end) of panel p and tile t.
static inline __attribute__((always_inline)) struct piece kind_piece(struct kind kind, const struct matrix *m,
                                                                     const struct acts *a, uint32_t p,
                                                                     uint32_t t, uint32_t unit_begin,
                                                                     uint32_t unit_end)
{
    size_t panel_bytes = (size_t)(a->k / QUANT_BLOCK / kind_subs(kind)) * kind_block_bytes(kind);
    size_t acts_at = (size_t)unit_begin * acts_tile_width(a, t) * ACTS_BLOCK_BYTES;
    return (struct piece){
        .panel = (const uint8_t *)m->data + p * panel_bytes +
                 unit_begin / kind_subs(kind) * kind_block_bytes(kind),
        .acts = acts_tile(a, t) + acts_at,
        .n_units = unit_end - unit_begin,
        .is_first = unit_begin == 0,
    };
}
