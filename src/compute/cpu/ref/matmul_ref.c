// SPDX-License-Identifier: MIT
// Matrix products in plain C: the definition of what every level computes, bit for bit.
//
// Quantised weights. One fp32 accumulator an output, starting at 0. For each block b of 32 k in ascending
// order, with a the activation codes, dx their scale, s16 the sums of 16 of them, all integer sums exact:
//
//   SCALE_D, SCALE_D_SC32   isum = sum(code * a) - offset * sum(a)
//                           acc = fmaf((float)isum, scale * dx, acc)
//                           with a minimum: acc = fmaf(minimum, dx * (float)sum(a), acc)
//                           SCALE_D: scale = d, minimum = m; SC32: scale = d * sc (exact), minimum = -(dmin *
//                           mn) (exact)
//   SCALE_D_SC16            isum = sc0 * (sum over the first 16 of code * a - offset * s16[0]) + sc1 * (the
//   last 16)
//                           acc = fmaf((float)isum, d * dx, acc); |isum| < 2^24, so the conversion is exact
//
// Float weights. Element i is fma'd into lane i % 16, in ascending order of i, zero padding to a multiple of
// 16 included (it can turn -0 into 0). Then lane j += lane j + 8 for j < 8; j + 4; j + 2; j + 1.
#include <math.h>
#include <string.h>

#include "compute/acts.h"
#include "compute/half.h"
#include "compute/kernels.h"
#include "compute/panel.h"

// A unit of 32 k read out of the packed form.
struct unit {
    uint8_t codes[PANEL_ROWS][QUANT_BLOCK];
    float scale[PANEL_ROWS], minimum[PANEL_ROWS];
    int32_t factor[PANEL_ROWS][2]; // SC16 only
};

static void read_scales(const struct quant *q, const uint8_t *block, uint32_t sub, struct unit *u)
{
    const uint8_t *halves = q->scale == QUANT_SCALE_D ? block + panel_codes_bytes(q) : block;
    for (int r = 0; r < PANEL_ROWS; r++) {
        float d = half_to_float(half_load(halves + 2 * r));
        float m = q->has_min ? half_to_float(half_load(halves + 32 + 2 * r)) : 0;
        u->scale[r] = d;
        u->minimum[r] = m;
        if (q->scale == QUANT_SCALE_D_SC32) {
            u->scale[r] = d * block[64 + PANEL_ROWS * sub + r];
            u->minimum[r] = -(m * block[64 + PANEL_ROWS * (8 + sub) + r]);
        } else if (q->scale == QUANT_SCALE_D_SC16) {
            u->factor[r][0] = (int8_t)block[32 + PANEL_ROWS * 2 * sub + r];
            u->factor[r][1] = (int8_t)block[32 + PANEL_ROWS * (2 * sub + 1) + r];
        }
    }
}

// Adds one unit for one column.
static void add_unit(const struct quant *q, const struct unit *u, uint8_t *block, uint32_t w, uint32_t c,
                     float *acc)
{
    int8_t a[QUANT_BLOCK];
    for (int g = 0; g < PANEL_GROUPS; g++)
        memcpy(a + 4 * g, block + (g * w + c) * 4, 4);
    float dx = acts_d(block, w)[c], ds = acts_ds(block, w)[c];
    const int16_t *half = acts_half(block, w) + 2 * c;
    for (int r = 0; r < PANEL_ROWS; r++) {
        int32_t s[2] = {0, 0};
        for (int i = 0; i < QUANT_BLOCK; i++)
            s[i / 16] += u->codes[r][i] * a[i];
        int32_t isum;
        if (q->scale == QUANT_SCALE_D_SC16)
            isum = u->factor[r][0] * (s[0] - q->offset * half[0]) +
                   u->factor[r][1] * (s[1] - q->offset * half[1]);
        else
            isum = s[0] + s[1] - q->offset * acts_sum(block, w)[c];
        acc[r] = fmaf((float)isum, u->scale[r] * dx, acc[r]);
        if (q->has_min)
            acc[r] = fmaf(u->minimum[r], ds, acc[r]);
    }
}

static void panel_times_tile(const struct quant *q, const uint8_t *panel, const struct acts *a, uint32_t tile,
                             float acc[ACTS_TILE][PANEL_ROWS])
{
    uint32_t w = acts_tile_width(a, tile), n_units = a->k / QUANT_BLOCK;
    uint32_t n_sub = q->scale == QUANT_SCALE_D ? 1 : QUANT_SUPER / QUANT_BLOCK;
    struct unit u;
    memset(acc, 0, sizeof(float) * ACTS_TILE * PANEL_ROWS);
    for (uint32_t b = 0; b < n_units; b++) {
        const uint8_t *block = panel + b / n_sub * panel_block_bytes(q);
        const uint8_t *codes = block + panel_head_bytes(q) + b % n_sub * panel_codes_bytes(q);
        for (uint32_t r = 0; r < PANEL_ROWS; r++)
            panel_read_codes(q, codes, r, u.codes[r]);
        read_scales(q, block, b % n_sub, &u);
        for (uint32_t c = 0; c < w; c++)
            add_unit(q, &u, acts_tile(a, tile) + (size_t)b * w * ACTS_BLOCK_BYTES, w, c, acc[c]);
    }
}

static void matmul_quant_ref(const struct matrix *m, const struct acts *a, uint32_t panel_begin,
                             uint32_t panel_end, float *out, size_t out_stride)
{
    const struct quant *q = quant_find(m->type);
    float acc[ACTS_TILE][PANEL_ROWS];
    for (uint32_t p = panel_begin; p < panel_end; p++) {
        for (uint32_t t = 0; t < acts_tiles(a); t++) {
            panel_times_tile(q, (const uint8_t *)m->data + p * panel_bytes(m->type, m->n_cols), a, t, acc);
            for (uint32_t c = 0; c < acts_tile_width(a, t); c++)
                memcpy(out + (t * ACTS_TILE + c) * out_stride + (size_t)p * PANEL_ROWS, acc[c],
                       sizeof acc[c]);
        }
    }
}

static float dot_floats(enum dtype type, const uint8_t *row, const float *x, size_t width)
{
    float lane[PANEL_LANES] = {0}, w;
    for (size_t i = 0; i < width; i++) {
        if (type == DTYPE_F32)
            memcpy(&w, row + 4 * i, 4);
        else if (type == DTYPE_F16)
            w = half_to_float(half_load(row + 2 * i));
        else
            w = half_bf16_to_float(half_load(row + 2 * i));
        lane[i % PANEL_LANES] = fmaf(w, x[i], lane[i % PANEL_LANES]);
    }
    for (int step = PANEL_LANES / 2; step > 0; step /= 2)
        for (int j = 0; j < step; j++)
            lane[j] += lane[j + step];
    return lane[0];
}

static void matmul_float_ref(const struct matrix *m, const struct acts *a, uint32_t panel_begin,
                             uint32_t panel_end, float *out, size_t out_stride)
{
    size_t width = panel_float_width(m->n_cols), row_bytes = width * dtype_find(m->type)->block_bytes;
    for (uint32_t r = panel_begin * PANEL_ROWS; r < panel_end * PANEL_ROWS; r++)
        for (uint32_t c = 0; c < a->n_columns; c++)
            out[c * out_stride + r] = dot_floats(m->type, (const uint8_t *)m->data + r * row_bytes,
                                                 (const float *)a->data + c * width, width);
}

void matmul_init_ref(struct kernels *k)
{
    memset(k->matmul, 0, sizeof k->matmul);
    for (int type = 0; type < KERNELS_DTYPE_LIMIT; type++)
        if (quant_find((enum dtype)type) != NULL)
            k->matmul[type] = matmul_quant_ref;
    k->matmul[DTYPE_F32] = matmul_float_ref;
    k->matmul[DTYPE_F16] = matmul_float_ref;
    k->matmul[DTYPE_BF16] = matmul_float_ref;
    k->acts_store_q8 = acts_store_q8_ref;
    k->acts_residual_q8 = acts_residual_q8_ref;
}
