// SPDX-License-Identifier: MIT
// Tensor types of GGUF: ids as in the file. One row a type in dtype.c; a type that drover computes with has a
// decoder, one that it can write an encoder.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dtype {
    DTYPE_F32 = 0,
    DTYPE_F16 = 1,
    DTYPE_Q4_0 = 2,
    DTYPE_Q4_1 = 3,
    DTYPE_Q5_0 = 6,
    DTYPE_Q5_1 = 7,
    DTYPE_Q8_0 = 8,
    DTYPE_Q4_K = 12,
    DTYPE_Q5_K = 13,
    DTYPE_Q6_K = 14,
    DTYPE_BF16 = 30,
};

// Writes block_elems floats from one block.
typedef void dtype_decode_fn(const void *block, float *out);
// Writes one block of block_elems floats: the closest that a search by least squares finds.
typedef void dtype_encode_fn(const float *x, void *block);

struct dtype_info {
    int32_t id;
    const char *name;     // "Q4_K"
    uint32_t block_elems; // values in a block
    uint32_t block_bytes;
    dtype_decode_fn *decode; // NULL: drover knows the size but cannot compute with it
    dtype_encode_fn *encode; // NULL: drover cannot write it
};

// NULL for an id that GGUF does not define or has removed.
const struct dtype_info *dtype_find(int32_t id);
// Bytes of a row of n_elems; false when n_elems is not a multiple of the block or the result overflows.
bool dtype_row_bytes(const struct dtype_info *type, uint64_t n_elems, uint64_t *n_bytes);
// Exact fp32 values in ggml's order of operations. n_elems is a multiple of the block; the type has a
// decoder.
void dtype_decode_row(const struct dtype_info *type, const void *blocks, size_t n_elems, float *out);
// The inverse, for a type with an encoder. Values are finite and at most 65504, for F32 and BF16 of any size.
// The same floats give the same bytes on every machine.
void dtype_encode_row(const struct dtype_info *type, const float *x, size_t n_elems, void *blocks);
