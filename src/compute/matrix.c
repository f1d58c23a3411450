// SPDX-License-Identifier: MIT
// Packs matrices into the layout of panel.h, decodes rows of it, and is the door of the product.
// Packing works on words of 4 codes (one row, one k-group), since a line is 16 such words.
#include "compute/compute.h"

#include <assert.h>
#include <string.h>

#include "compute/half.h"
#include "compute/kernels.h"
#include "compute/panel.h"

enum { FETCH_BYTES = 1024 }; // of each stream

static bool is_float(enum dtype type)
{
    return type == DTYPE_F32 || type == DTYPE_F16 || type == DTYPE_BF16;
}

size_t panel_bytes(enum dtype type, uint32_t n_cols)
{
    if (is_float(type))
        return PANEL_ROWS * panel_float_width(n_cols) * dtype_find(type)->block_bytes;
    return n_cols / dtype_find(type)->block_elems * panel_block_bytes(quant_find(type));
}

size_t matrix_packed_bytes(enum dtype type, uint64_t n_rows, uint64_t n_cols)
{
    const struct quant *q = quant_find(type);
    if (q == NULL && !is_float(type))
        return 0;
    if (n_rows == 0 || n_cols == 0 || n_rows > UINT32_MAX - PANEL_ROWS || n_cols > UINT32_MAX - PANEL_LANES ||
        n_cols % dtype_find(type)->block_elems != 0)
        return 0;
    size_t n_bytes, n_panels = (n_rows + PANEL_ROWS - 1) / PANEL_ROWS;
    if (__builtin_mul_overflow(n_panels, panel_bytes(type, (uint32_t)n_cols), &n_bytes))
        return 0;
    return n_bytes > SIZE_MAX - 63 ? 0 : (n_bytes + 63) & ~(size_t)63;
}

// Writes row r's 8 words of codes into a unit that was zeroed.
static void pack_codes(const struct quant *q, uint8_t *unit, size_t r, const uint8_t *codes)
{
    uint32_t words[PANEL_GROUPS], lines[8] = {0};
    memcpy(words, codes, sizeof words);
    if (q->code_bits == 8) {
        memcpy(lines, words, sizeof lines);
    } else {
        for (size_t i = 0; i < 4; i++)
            lines[i] = (words[2 * i] & 0x0f0f0f0f) | (words[2 * i + 1] & 0x0f0f0f0f) << 4;
        for (int g = 0; g < PANEL_GROUPS && q->code_bits == 5; g++)
            lines[4] |= (words[g] >> 4 & 0x01010101) << g;
        for (int g = 0; g < PANEL_GROUPS && q->code_bits == 6; g++)
            lines[4 + g / 4] |= (words[g] >> 4 & 0x03030303) << 2 * (g % 4);
    }
    for (size_t i = 0; i < (size_t)q->code_bits; i++)
        memcpy(unit + PANEL_LINE * i + 4 * r, &lines[i], 4);
}

void panel_read_codes(const struct quant *q, const uint8_t *codes, size_t r, uint8_t out[QUANT_BLOCK])
{
    uint32_t words[PANEL_GROUPS], lines[8] = {0};
    for (size_t i = 0; i < (size_t)q->code_bits; i++)
        memcpy(&lines[i], codes + PANEL_LINE * i + 4 * r, 4);
    if (q->code_bits == 8) {
        memcpy(out, lines, sizeof lines);
        return;
    }
    for (int g = 0; g < PANEL_GROUPS; g++) {
        words[g] = lines[g / 2] >> 4 * (g % 2) & 0x0f0f0f0f;
        if (q->code_bits == 5)
            words[g] |= (lines[4] >> g & 0x01010101) << 4;
        else if (q->code_bits == 6)
            words[g] |= (lines[4 + g / 4] >> 2 * (g % 4) & 0x03030303) << 4;
    }
    memcpy(out, words, sizeof words);
}

// One file block of row r into the panel's block at `to`.
static void pack_block(const struct quant *q, uint8_t *to, size_t r, const struct quant_block *b)
{
    if (q->scale == QUANT_SCALE_D) {
        uint8_t *scales = to + panel_codes_bytes(q);
        pack_codes(q, to, r, b->codes);
        memcpy(scales + 2 * r, &b->d, 2);
        if (q->has_min)
            memcpy(scales + 32 + 2 * r, &b->m, 2);
        return;
    }
    uint8_t *factors = to + 32;
    memcpy(to + 2 * r, &b->d, 2);
    if (q->scale == QUANT_SCALE_D_SC32) {
        memcpy(to + 32 + 2 * r, &b->m, 2);
        factors += 32;
        for (size_t i = 0; i < 8; i++) {
            factors[PANEL_ROWS * i + r] = (uint8_t)b->sc[i];
            factors[PANEL_ROWS * (8 + i) + r] = b->mn[i];
        }
    } else {
        for (size_t i = 0; i < 16; i++)
            factors[PANEL_ROWS * i + r] = (uint8_t)b->sc[i];
    }
    for (size_t i = 0; i < QUANT_SUPER / QUANT_BLOCK; i++)
        pack_codes(q, to + panel_head_bytes(q) + i * panel_codes_bytes(q), r, b->codes + QUANT_BLOCK * i);
}

// The inverse of pack_block.
static void read_block(const struct quant *q, const uint8_t *from, size_t r, struct quant_block *b)
{
    if (q->scale == QUANT_SCALE_D) {
        const uint8_t *scales = from + panel_codes_bytes(q);
        panel_read_codes(q, from, r, b->codes);
        b->d = half_load(scales + 2 * r);
        b->m = q->has_min ? half_load(scales + 32 + 2 * r) : 0;
        return;
    }
    const uint8_t *factors = from + 32;
    b->d = half_load(from + 2 * r);
    if (q->scale == QUANT_SCALE_D_SC32) {
        b->m = half_load(from + 32 + 2 * r);
        factors += 32;
        for (size_t i = 0; i < 8; i++) {
            b->sc[i] = (int8_t)factors[PANEL_ROWS * i + r];
            b->mn[i] = factors[PANEL_ROWS * (8 + i) + r];
        }
    } else {
        for (size_t i = 0; i < 16; i++)
            b->sc[i] = (int8_t)factors[PANEL_ROWS * i + r];
    }
    for (size_t i = 0; i < QUANT_SUPER / QUANT_BLOCK; i++)
        panel_read_codes(q, from + panel_head_bytes(q) + i * panel_codes_bytes(q), r,
                         b->codes + QUANT_BLOCK * i);
}

static void pack_panel_floats(const struct matrix *m, uint8_t *to, const uint8_t *rows, uint32_t n_rows)
{
    size_t elem = dtype_find(m->type)->block_bytes;
    size_t row_bytes = m->n_cols * elem, width_bytes = panel_float_width(m->n_cols) * elem;
    memset(to, 0, PANEL_ROWS * width_bytes);
    for (uint32_t r = 0; r < n_rows; r++)
        memcpy(to + r * width_bytes, rows + r * row_bytes, row_bytes);
}

static void pack_panel_quant(const struct matrix *m, uint8_t *to, const uint8_t *rows, uint32_t n_rows)
{
    const struct dtype_info *type = dtype_find(m->type);
    const struct quant *q = quant_find(m->type);
    size_t n_blocks = m->n_cols / type->block_elems, block_bytes = panel_block_bytes(q);
    struct quant_block b = {0};
    memset(to, 0, n_blocks * block_bytes);
    for (size_t i = 0; i < n_blocks; i++) {
        for (uint32_t r = 0; r < n_rows; r++) {
            q->read(rows + (r * n_blocks + i) * type->block_bytes, &b);
            pack_block(q, to + i * block_bytes, r, &b);
        }
    }
}

void matrix_pack(struct matrix *m, const void *rows, uint32_t panel_begin, uint32_t panel_end)
{
    assert(panel_begin <= panel_end && panel_end <= matrix_panels(m));
    const struct dtype_info *type = dtype_find(m->type);
    size_t row_bytes = (size_t)m->n_cols / type->block_elems * type->block_bytes;
    for (uint32_t p = panel_begin; p < panel_end; p++) {
        uint32_t left = m->n_rows - p * PANEL_ROWS, n_rows = left < PANEL_ROWS ? left : PANEL_ROWS;
        uint8_t *to = (uint8_t *)m->data + p * panel_bytes(m->type, m->n_cols);
        const uint8_t *from = (const uint8_t *)rows + (size_t)(p - panel_begin) * PANEL_ROWS * row_bytes;
        if (is_float(m->type))
            pack_panel_floats(m, to, from, n_rows);
        else
            pack_panel_quant(m, to, from, n_rows);
    }
}

void matrix_decode_row(const struct matrix *m, uint32_t row, float *out)
{
    assert(row < m->n_rows);
    const struct dtype_info *type = dtype_find(m->type);
    const uint8_t *panel = (const uint8_t *)m->data + row / PANEL_ROWS * panel_bytes(m->type, m->n_cols);
    uint32_t r = row % PANEL_ROWS;
    if (is_float(m->type)) {
        dtype_decode_row(type, panel + r * panel_float_width(m->n_cols) * type->block_bytes, m->n_cols, out);
        return;
    }
    const struct quant *q = quant_find(m->type);
    struct quant_block b = {0};
    for (uint32_t i = 0; i < m->n_cols / type->block_elems; i++) {
        read_block(q, panel + i * panel_block_bytes(q), r, &b);
        quant_decode(q, &b, out + (size_t)i * type->block_elems);
    }
}

void matmul(const struct kernels *kn, const struct matrix *m, const struct acts *a, uint32_t panel_begin,
            uint32_t panel_end, float *out, size_t out_stride)
{
    assert(m->n_cols == a->k && acts_kind_for(m->type) == a->kind && panel_end <= matrix_panels(m));
    if (panel_begin < panel_end && a->n_columns > 0)
        kn->matmul[m->type](m, a, panel_begin, panel_end, out, out_stride);
}

void matmul_fetch(const struct matrix *m, uint32_t n_columns, uint32_t panel_begin, uint32_t panel_end)
{
    uint32_t n_streams = panel_streams(n_columns), apart = (panel_end - panel_begin) / n_streams;
    size_t each = panel_bytes(m->type, m->n_cols);
    if (n_streams == 1 || panel_begin >= panel_end)
        return;
    for (uint32_t i = 0; i < n_streams; i++) {
        const char *at = (const char *)m->data + (panel_begin + i * apart) * each;
        for (size_t byte = 0; byte < FETCH_BYTES && byte < each; byte += PANEL_LINE)
            __builtin_prefetch(at + byte);
    }
}
