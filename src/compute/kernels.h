// SPDX-License-Identifier: MIT
// The table of functions of one level. All levels give the same bits as `ref`; only speed differs.
//
// kernels_init_ref sets every slot; each higher level then overrides what it is faster at. One init file a
// level (cpu/*/init_*.c) calls the init function of each part: matmul here, vec and attention in their own
// headers. A table is a plain struct, so a test holds several levels at once.
#pragma once

#include "compute/compute.h"
#include "compute/cpu/attention_kernels.h"
#include "compute/cpu/vec_kernels.h"

enum { KERNELS_DTYPE_LIMIT = 31 }; // above the highest type id that has a kernel

// The contract of matmul() in compute.h for one weight type. Reads nothing outside the packed matrix and the
// activations; writes exactly the rows of the panels asked for, in every column.
typedef void matmul_fn(const struct matrix *m, const struct acts *a, uint32_t panel_begin, uint32_t panel_end,
                       float *out, size_t out_stride);

// Quantises blocks [block_begin, block_end) of one column; `values` starts at block_begin. Layout: acts.h.
typedef void acts_store_q8_fn(struct acts *a, uint32_t column, uint32_t block_begin, uint32_t block_end,
                              const float *values);

// The same blocks, just stored there from `values`: out = values - d * q, in two roundings.
typedef void acts_residual_q8_fn(const struct acts *a, uint32_t column, uint32_t block_begin,
                                 uint32_t block_end, const float *values, float *out);

acts_store_q8_fn acts_store_q8_ref, acts_store_q8_avx2;
acts_residual_q8_fn acts_residual_q8_ref, acts_residual_q8_avx2;

struct kernels {
    enum cpu_level level;
    matmul_fn *matmul[KERNELS_DTYPE_LIMIT]; // by enum dtype; NULL: cannot be computed with
    acts_store_q8_fn *acts_store_q8;
    acts_residual_q8_fn *acts_residual_q8;
    struct vec_kernels vec;
    struct attention_kernels attention;
};

void kernels_init_ref(struct kernels *k);
void kernels_init_avx2(struct kernels *k);
void kernels_init_avx512(struct kernels *k);

void matmul_init_ref(struct kernels *k);
void matmul_init_avx2(struct kernels *k);
void matmul_float_init_avx2(struct kernels *k);
void matmul_init_avx512(struct kernels *k);
