// SPDX-License-Identifier: MIT
// What a kernel must know of a type, as constants: every function that takes a kind is always inlined with a
// constant one.
#pragma once

#include <stddef.h>
#include <stdint.h>

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
