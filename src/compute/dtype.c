// SPDX-License-Identifier: MIT
// The table of tensor types. Sizes are those of the GGUF format; ids 4, 5, 31 to 33 and 36 to 38 were removed
// from it.
#include "compute/dtype.h"

#include <assert.h>
#include <string.h>

#include "compute/encode.h"
#include "compute/half.h"
#include "compute/quant.h"

static void decode_f32(const void *block, float *out)
{
    memcpy(out, block, sizeof *out);
}

static void decode_f16(const void *block, float *out)
{
    *out = half_to_float(half_load(block));
}

static void decode_bf16(const void *block, float *out)
{
    *out = half_bf16_to_float(half_load(block));
}

static void decode_quant(enum dtype type, const void *block, float *out)
{
    const struct quant *q = quant_find(type);
    struct quant_block b = {0};
    q->read(block, &b);
    quant_decode(q, &b, out);
}

static void decode_q4_0(const void *block, float *out)
{
    decode_quant(DTYPE_Q4_0, block, out);
}

static void decode_q4_1(const void *block, float *out)
{
    decode_quant(DTYPE_Q4_1, block, out);
}

static void decode_q5_0(const void *block, float *out)
{
    decode_quant(DTYPE_Q5_0, block, out);
}

static void decode_q5_1(const void *block, float *out)
{
    decode_quant(DTYPE_Q5_1, block, out);
}

static void decode_q8_0(const void *block, float *out)
{
    decode_quant(DTYPE_Q8_0, block, out);
}

static void decode_q4_k(const void *block, float *out)
{
    decode_quant(DTYPE_Q4_K, block, out);
}

static void decode_q5_k(const void *block, float *out)
{
    decode_quant(DTYPE_Q5_K, block, out);
}

static void decode_q6_k(const void *block, float *out)
{
    decode_quant(DTYPE_Q6_K, block, out);
}

static const struct dtype_info dtypes[] = {
    {0, "F32", 1, 4, decode_f32, encode_f32},
    {1, "F16", 1, 2, decode_f16, encode_f16},
    {2, "Q4_0", 32, 18, decode_q4_0, encode_q4_0},
    {3, "Q4_1", 32, 20, decode_q4_1, encode_q4_1},
    {6, "Q5_0", 32, 22, decode_q5_0, encode_q5_0},
    {7, "Q5_1", 32, 24, decode_q5_1, encode_q5_1},
    {8, "Q8_0", 32, 34, decode_q8_0, encode_q8_0},
    {9, "Q8_1", 32, 36},
    {10, "Q2_K", 256, 84},
    {11, "Q3_K", 256, 110},
    {12, "Q4_K", 256, 144, decode_q4_k, encode_q4_k},
    {13, "Q5_K", 256, 176, decode_q5_k, encode_q5_k},
    {14, "Q6_K", 256, 210, decode_q6_k, encode_q6_k},
    {15, "Q8_K", 256, 292},
    {16, "IQ2_XXS", 256, 66},
    {17, "IQ2_XS", 256, 74},
    {18, "IQ3_XXS", 256, 98},
    {19, "IQ1_S", 256, 50},
    {20, "IQ4_NL", 32, 18},
    {21, "IQ3_S", 256, 110},
    {22, "IQ2_S", 256, 82},
    {23, "IQ4_XS", 256, 136},
    {24, "I8", 1, 1},
    {25, "I16", 1, 2},
    {26, "I32", 1, 4},
    {27, "I64", 1, 8},
    {28, "F64", 1, 8},
    {29, "IQ1_M", 256, 56},
    {30, "BF16", 1, 2, decode_bf16, encode_bf16},
    {34, "TQ1_0", 256, 54},
    {35, "TQ2_0", 256, 66},
    {39, "MXFP4", 32, 17},
    {40, "NVFP4", 64, 36},
    {41, "Q1_0", 128, 18},
    {42, "Q2_0", 64, 18},
};

const struct dtype_info *dtype_find(int32_t id)
{
    for (size_t i = 0; i < sizeof dtypes / sizeof dtypes[0]; i++)
        if (dtypes[i].id == id)
            return &dtypes[i];
    return NULL;
}

bool dtype_row_bytes(const struct dtype_info *type, uint64_t n_elems, uint64_t *n_bytes)
{
    if (n_elems % type->block_elems != 0)
        return false;
    return !__builtin_mul_overflow(n_elems / type->block_elems, (uint64_t)type->block_bytes, n_bytes);
}

void dtype_decode_row(const struct dtype_info *type, const void *blocks, size_t n_elems, float *out)
{
    assert(type->decode != NULL && n_elems % type->block_elems == 0);
    const char *b = blocks;
    for (size_t i = 0; i < n_elems; i += type->block_elems, b += type->block_bytes)
        type->decode(b, out + i);
}

void dtype_encode_row(const struct dtype_info *type, const float *x, size_t n_elems, void *blocks)
{
    assert(type->encode != NULL && n_elems % type->block_elems == 0);
    char *b = blocks;
    for (size_t i = 0; i < n_elems; i += type->block_elems, b += type->block_bytes)
        type->encode(x + i, b);
}
