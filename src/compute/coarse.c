// SPDX-License-Identifier: MIT
// Rounds the codes of q8_0 to 5 bits and adds up what that leaves out.
#include "compute/coarse.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "compute/encode.h"
#include "compute/half.h"
#include "compute/panel.h"
#include "compute/quant.h"

enum { STEP = 8, CODE_MAX = 31, Q5_0_BYTES = 22, PARTS_MAX = 254 };

// Above what is lost where numbers are too small to be rounded in proportion.
#define TINY 0x1p-120f

enum dtype coarse_type(enum dtype type)
{
    return type == DTYPE_Q8_0 ? DTYPE_Q5_0 : type;
}

// Errors and units of the rows; behind them parts.
static size_t floats_bytes(uint64_t n_rows)
{
    return 2 * ROUND_UP(n_rows, PANEL_ROWS) * sizeof(float);
}

static size_t errors_bytes(uint64_t n_rows, uint64_t n_cols)
{
    return ROUND_UP(floats_bytes(n_rows) + ROUND_UP(n_rows, PANEL_ROWS) * (n_cols / QUANT_BLOCK), 64);
}

size_t coarse_bytes(enum dtype type, uint64_t n_rows, uint64_t n_cols)
{
    size_t bytes;
    if (coarse_type(type) == type || n_cols > COARSE_MAX_COLUMNS)
        return 0;
    bytes = matrix_packed_bytes(coarse_type(type), n_rows, n_cols);
    return bytes > 0 && mem_add(bytes, errors_bytes(n_rows, n_cols), &bytes) ? bytes : 0;
}

void coarse_place(struct coarse *c, const struct matrix *exact, void *memory)
{
    c->errors = memory;
    c->units = c->errors + ROUND_UP((size_t)exact->n_rows, PANEL_ROWS);
    c->parts = (uint8_t *)memory + floats_bytes(exact->n_rows);
    c->matrix = *exact;
    c->matrix.type = coarse_type(exact->type);
    c->matrix.data = (char *)memory + errors_bytes(exact->n_rows, exact->n_cols);
}

// One block of q5_0, values 8 * d * (code - 16). Returns the square of the length of what was left out, in
// units of d.
static uint32_t write_block(uint8_t *to, const struct quant_block *b)
{
    uint16_t d = half_from_float(half_to_float(b->d) * STEP);
    uint8_t codes[QUANT_BLOCK];
    uint32_t left_out = 0;
    memcpy(to, &d, sizeof d);
    for (int i = 0; i < QUANT_BLOCK; i++) {
        codes[i] = (uint8_t)MIN((b->codes[i] + STEP / 2u) / STEP, CODE_MAX);
        int rest = b->codes[i] - codes[i] * STEP;
        left_out += (uint32_t)(rest * rest);
    }
    encode_q5_0_codes(codes, to);
    return left_out;
}

static uint32_t block_square(const struct quant_block *b, uint32_t offset)
{
    uint32_t sum = 0;
    for (int i = 0; i < QUANT_BLOCK; i++) {
        int code = b->codes[i] - (int)offset;
        sum += (uint32_t)(code * code);
    }
    return sum;
}

// The errors of a row, from those of its blocks.
static void set_errors(struct coarse *c, uint32_t row, const float *blocks, float rounding)
{
    uint32_t n_blocks = c->matrix.n_cols / QUANT_BLOCK;
    uint8_t *parts = c->parts + (size_t)row * n_blocks;
    float largest = 0;
    double sum = 0;
    for (uint32_t i = 0; i < n_blocks; i++) {
        largest = MAX(largest, blocks[i] + rounding);
        sum += (double)blocks[i] * (double)blocks[i];
    }
    c->errors[row] = (float)((sqrt(sum) + (double)rounding) * (1 + 0x1p-20));
    c->units[row] = largest / PARTS_MAX;
    for (uint32_t i = 0; i < n_blocks; i++)
        parts[i] = largest > 0 ? (uint8_t)ceilf((blocks[i] + rounding) / largest * PARTS_MAX) : 0;
}

// Writes a row of the copy, and its errors.
static void write_row(struct coarse *c, uint32_t row, uint8_t *to, const uint8_t *from, const struct quant *q)
{
    uint32_t n_blocks = c->matrix.n_cols / QUANT_BLOCK;
    float blocks[COARSE_MAX_COLUMNS / QUANT_BLOCK];
    double whole = 0;
    bool is_known = true;
    for (uint32_t i = 0; i < n_blocks; i++) {
        struct quant_block b;
        q->read(from + (size_t)i * dtype_find(q->type)->block_bytes, &b);
        float d = fabsf(half_to_float(b.d));
        blocks[i] = d * sqrtf((float)write_block(to + (size_t)i * Q5_0_BYTES, &b));
        whole += (double)d * (double)d * block_square(&b, q->offset);
        is_known &= d * STEP <= 65504; // or the copy's scale is not a number
    }
    // Each block's term is rounded twice and added with one rounding more, in both products; no sum on the
    // way is longer than the lengths multiplied. More than four times what that gives.
    float rounding = (float)((n_blocks + 3.0) * 0x1p-20 * sqrt(whole));
    if (is_known) {
        set_errors(c, row, blocks, rounding);
    } else {
        c->errors[row] = NAN;
        c->units[row] = 0;
    }
}

void coarse_pack(struct coarse *c, enum dtype type, const void *rows, uint32_t panel_begin,
                 uint32_t panel_end)
{
    const struct quant *q = quant_find(type);
    uint32_t n_blocks = c->matrix.n_cols / QUANT_BLOCK;
    size_t row_bytes = (size_t)n_blocks * Q5_0_BYTES,
           from_bytes = (size_t)n_blocks * dtype_find(type)->block_bytes;
    uint8_t *panel = xmalloc(PANEL_ROWS * row_bytes);
    assert(coarse_type(type) == c->matrix.type && panel_end <= matrix_panels(&c->matrix));
    for (uint32_t p = panel_begin; p < panel_end; p++) {
        uint32_t row = p * PANEL_ROWS, n = MIN(c->matrix.n_rows - row, PANEL_ROWS);
        for (uint32_t r = 0; r < n; r++)
            write_row(c, row + r, panel + r * row_bytes,
                      (const uint8_t *)rows + ((size_t)(p - panel_begin) * PANEL_ROWS + r) * from_bytes, q);
        for (uint32_t r = n; r < PANEL_ROWS; r++)
            c->errors[row + r] = c->units[row + r] = 0;
        matrix_pack(&c->matrix, panel, p, p + 1);
    }
    free(panel);
}

void coarse_to_bounds(const struct coarse *c, uint32_t panel, float x_norm, float *outputs, float *lower)
{
    const float *errors = c->errors + (size_t)panel * PANEL_ROWS;
    for (int r = 0; r < PANEL_ROWS; r++) {
        float error = errors[r] * x_norm + TINY;
        outputs[r] += error;
        lower[r] = outputs[r] - 2 * error; // NaN where the error is -inf
    }
}

void coarse_norms(struct coarse_norms *norms, const struct acts *x)
{
    norms->whole = acts_norms(x, 0, norms->blocks);
}

float coarse_closer_bound(const struct coarse *c, uint32_t row, const struct coarse_norms *x, float bound)
{
    uint32_t n_blocks = c->matrix.n_cols / QUANT_BLOCK;
    const uint8_t *parts = c->parts + (size_t)row * n_blocks;
    float sum = 0;
    for (uint32_t i = 0; i < n_blocks; i++)
        sum += (float)parts[i] * x->blocks[i];
    float closer = sum * c->units[row] * (1 + 0x1p-10f);
    float by_row = c->errors[row] * x->whole;
    return closer < by_row ? bound - (by_row - closer) : bound;
}
