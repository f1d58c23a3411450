// SPDX-License-Identifier: MIT
// Compute on the CPU: packed matrices, activations, matrix products and vector operations, at a level chosen
// once.
//
// Reproducible by construction: each output is summed in one fixed order that depends neither on the number
// of columns, nor on threads, nor on the level. So every level gives the same bits as `ref`, and tests
// compare with memcmp.
//
//   quantised weights   for each block of 32 k in ascending order: exact i32 sum of weight code x activation
//   code, then
//                       fp32 fma into ONE accumulator per output; rows (not k) lie in the lanes. What exactly
//                       is added per type stands in cpu/ref/matmul_ref.c, which is the definition.
//   float weights       16 virtual lanes: element i is fma'd into lane i % 16 in ascending order; then a
//   fixed
//                       pairwise tree (lane j + lane j+8, then +4, +2, +1).
//
// Nothing here knows transformers, allocates in a product, or reads the environment. All functions are pure
// with respect to their arguments and may run on any thread; callers split rows and columns among threads.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/cpu.h"
#include "base/err.h"
#include "compute/dtype.h"

struct kernels; // table of functions of one level; see kernels.h

// The table of a level. Asking for a level that the machine lacks is a caller's bug.
const struct kernels *kernels_get(enum cpu_level level);

// ---- Matrices
enum { PANEL_ROWS = 16 }; // rows that lie side by side in a packed matrix; the unit in which rows are split

// y[r] = sum over c of W[r][c] * x[c]. Rows are padded with zero rows to a multiple of PANEL_ROWS.
struct matrix {
    enum dtype type;
    uint32_t n_rows, n_cols; // n_cols: the input width, a multiple of the type's block
    void *data;              // 64-byte aligned, matrix_packed_bytes() long, the caller's
};

// Bytes of the packed form; 0 when the type cannot be computed with or the size overflows.
size_t matrix_packed_bytes(enum dtype type, uint64_t n_rows, uint64_t n_cols);
static inline uint32_t matrix_panels(const struct matrix *m)
{
    return (m->n_rows + PANEL_ROWS - 1) / PANEL_ROWS;
}
// Packs panels [panel_begin, panel_end). `rows` holds the file's rows from row panel_begin * PANEL_ROWS on,
// contiguous, as many of them as exist; rows beyond n_rows become zero. Bit-identical in content.
void matrix_pack(struct matrix *m, const void *rows, uint32_t panel_begin, uint32_t panel_end);
// Decodes one row of a packed matrix to fp32 exactly (embedding look-up in a tied head).
void matrix_decode_row(const struct matrix *m, uint32_t row, float *out);

// ---- Activations
// ---------------------------------------------------------------------------------------------- The
// right-hand side of a product: n columns (tokens) of k values each. Quantised types take int8 with one fp32
// scale per 32 values; float types take the floats. A buffer of acts_bytes() holds both forms' needs; the
// caller says which is wanted.
enum acts_kind { ACTS_Q8, ACTS_F32 };

struct acts {
    enum acts_kind kind;
    uint32_t n_columns, k;
    void *data; // 64-byte aligned, acts_bytes() long
};

enum acts_kind acts_kind_for(enum dtype weight_type);
size_t acts_bytes(enum acts_kind kind, uint32_t n_columns, uint32_t k);
// Stores values [k_begin, k_end) of one column. For ACTS_Q8 both ends are multiples of 32 (k_end may be k).
// Different blocks or columns may be stored by different threads at the same time.
void acts_store(const struct kernels *kn, struct acts *a, uint32_t column, uint32_t k_begin, uint32_t k_end,
                const float *values);
// What rounding to int8 left out: out[i] = values[i] - (the value that column `column` of `a`, just stored
// from the same values, holds). Stored as activations of its own and multiplied too, it makes a product
// precise to about 15 bits. a->kind is ACTS_Q8.
void acts_residual(const struct kernels *kn, const struct acts *a, uint32_t column, uint32_t k_begin,
                   uint32_t k_end, const float *values, float *out);
// The length of a column as it is stored (ACTS_Q8), sqrt of the sum of squares, and those of its blocks of
// 32; not below them.
float acts_norms(const struct acts *a, uint32_t column, float *blocks);

// ---- Products
// out[column * out_stride + row] for rows of panels [panel_begin, panel_end) and all columns of `a`.
// Whole panels are written: out_stride >= n_rows rounded up to PANEL_ROWS. acts_kind_for(m->type) == a->kind.
void matmul(const struct kernels *kn, const struct matrix *m, const struct acts *a, uint32_t panel_begin,
            uint32_t panel_end, float *out, size_t out_stride);
// Begins to bring the weights that such a product of `n_columns` reads first into the cache, and returns at
// once. For use before a barrier: with few columns a product waits for memory.
void matmul_fetch(const struct matrix *m, uint32_t n_columns, uint32_t panel_begin, uint32_t panel_end);

// ---- Vector operations (fp32, any length, unaligned allowed, fixed order of summing)
// ------------------------------ out = x * (1/sqrt(mean(x^2) + eps)) * w; w may be NULL (all ones). out may
// be x.
void vec_rms_norm(const struct kernels *kn, float *out, const float *x, const float *w, size_t n, float eps);
void vec_add(const struct kernels *kn, float *out, const float *a, const float *b, size_t n);
void vec_scale(const struct kernels *kn, float *out, const float *a, float factor, size_t n);
void vec_silu_mul(const struct kernels *kn, float *out, const float *gate, const float *up, size_t n);
void vec_gelu_mul(const struct kernels *kn, float *out, const float *gate, const float *up,
                  size_t n); // tanh form
void vec_softcap(const struct kernels *kn, float *out, const float *x, float cap,
                 size_t n); // cap * tanh(x / cap)
// Rotates n_rot values of one head: cos_sin[2k], cos_sin[2k+1] for pair k. NORM pairs (2k, 2k+1); NEOX pairs
// (k, k + n_rot/2).
void vec_rope_norm(const struct kernels *kn, float *x, const float *cos_sin, uint32_t n_rot);
void vec_rope_neox(const struct kernels *kn, float *x, const float *cos_sin, uint32_t n_rot);
// Largest value, the lowest index among equals; NaN never wins. Returns 0 when all are NaN.
uint32_t vec_argmax(const struct kernels *kn, const float *x, size_t n);
// log(sum(exp(x[i]))) in double, fixed order. A NaN among finite values gives NaN; of nothing: -inf.
double vec_log_sum_exp(const struct kernels *kn, const float *x, size_t n);
// Half precision and bfloat16, rounded to nearest even; what is too large becomes infinite.
void vec_to_f16(const struct kernels *kn, uint16_t *out, const float *x, size_t n);
void vec_from_f16(const struct kernels *kn, float *out, const uint16_t *x, size_t n);
void vec_to_bf16(const struct kernels *kn, uint16_t *out, const float *x, size_t n);
void vec_from_bf16(const struct kernels *kn, float *out, const uint16_t *x, size_t n);
