// SPDX-License-Identifier: MIT
// Quantised tensor types: how a block looks in a file, read into one common form, and how the type looks when
// packed.
//
// A weight is scale * (code - offset), or scale * code + minimum. Codes are unsigned at every type, so that
// one integer kernel serves all; the offset is taken off the integer sum with the sum of the activation
// codes.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "compute/dtype.h"

enum { QUANT_BLOCK = 32, QUANT_SUPER = 256 };

// What gives the scale of a 32-block.
enum quant_scale {
    QUANT_SCALE_D,      // d of the block
    QUANT_SCALE_D_SC32, // d of 256 times a 6-bit factor of the 32 (and dmin times a 6-bit factor)
    QUANT_SCALE_D_SC16, // d of 256 times a signed 8-bit factor of each 16
};

struct quant_block {            // one block of the file
    uint16_t d, m;              // fp16; m: the minimum, or dmin
    int8_t sc[16];              // SC32: [0..7], 0..63; SC16: all
    uint8_t mn[8];              // SC32
    uint8_t codes[QUANT_SUPER]; // in order of k; block_elems of them
};

typedef void quant_read_fn(const void *block, struct quant_block *out);

struct quant {
    enum dtype type;
    uint8_t code_bits; // 4, 5, 6 or 8
    uint8_t offset;    // taken off each code
    bool has_min;      // m (or dmin) is there
    enum quant_scale scale;
    quant_read_fn *read;
};

// NULL for a type that is not quantised or that cannot be computed with.
const struct quant *quant_find(enum dtype type);
// Exact fp32 values of a block that was read, in ggml's order of operations.
void quant_decode(const struct quant *q, const struct quant_block *b, float *out);
