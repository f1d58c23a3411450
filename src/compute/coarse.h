// SPDX-License-Identifier: MIT
// A smaller copy of a matrix that knows how far off it is: for every row r and every stored activation x,
//
//   |product(exact, x)[r] - product(coarse, x)[r]| <= sum over blocks b of 32 columns of errors[r][b] *
//   |x[b]|
//                                                  <= errors[r] * |x|
//
// by Cauchy-Schwarz over what the codes lost, with the rounding of both products counted in. So who wants the
// largest of many outputs reads the copy, and of the matrix itself only the rows that can be among them; the
// outputs found so have the bits of the whole product, since they are computed by it.
//
// The copy of q8_0 is q5_0 with eight times the scale (codes rounded to 5 bits): 65 % of the bytes, and
// errors that leave one row of a hundred or less to be looked at in the head of a language model.
#pragma once

#include "compute/compute.h"

enum { COARSE_MAX_COLUMNS = 1 << 15 };

struct coarse {
    struct matrix matrix; // of another type, the same shape
    float *errors;        // [rows rounded up to PANEL_ROWS]; NaN: nothing is known of the row
    float *units;         // [the same] what one of the row's parts stands for
    uint8_t *parts;       // [the same][n_cols / 32] errors of the blocks, in units, rounded up
};

// Lengths of an activation, whole and of each block.
struct coarse_norms {
    float whole, blocks[COARSE_MAX_COLUMNS / 32];
};
void coarse_norms(struct coarse_norms *norms, const struct acts *x); // of one column

// The copy's type; the matrix's own: matrices of it have none.
enum dtype coarse_type(enum dtype type);
// Bytes that the copy of such a matrix takes, a multiple of 64; 0: such matrices have none.
size_t coarse_bytes(enum dtype type, uint64_t n_rows, uint64_t n_cols);
// Describes the copy of a matrix in coarse_bytes() of memory, 64-byte aligned, the caller's.
void coarse_place(struct coarse *c, const struct matrix *exact, void *memory);
// As matrix_pack, from the rows of the exact matrix as they are in the file.
void coarse_pack(struct coarse *c, enum dtype type, const void *rows, uint32_t panel_begin,
                 uint32_t panel_end);
// Makes outputs of the copy, PANEL_ROWS of one panel and column, upper bounds of the exact ones, by
// errors[r]; about as far below the outputs lies `lower`, for comparing rows. A row whose error was set to
// -inf gets -inf and NaN.
void coarse_to_bounds(const struct coarse *c, uint32_t panel, float x_norm, float *outputs, float *lower);
// A bound made so, brought closer by the errors of the blocks.
float coarse_closer_bound(const struct coarse *c, uint32_t row, const struct coarse_norms *x, float bound);
