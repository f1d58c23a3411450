// SPDX-License-Identifier: MIT
// Products with float weights on AVX2: the 16 virtual lanes of cpu/ref/matmul_ref.c are two registers of 8.
// Rows lie one after the other; tiles of 2 rows x up to 3 columns keep 12 independent sums.
#include <string.h>

#include "compute/cpu/x86/simd_x86.h"
#include "compute/kernels.h"
#include "compute/panel.h"

enum { TILE_ROWS = 2, TILE_COLUMNS = 3, PREFETCH_BYTES = 4096 };

SIMD_INLINE size_t elem_bytes(enum dtype type)
{
    return type == DTYPE_F32 ? 4 : 2;
}

// 8 weights.
SIMD_INLINE __m256 load_weights(enum dtype type, const uint8_t *p)
{
    if (type == DTYPE_F32)
        return _mm256_loadu_ps((const float *)p);
    __m128i half = _mm_loadu_si128((const __m128i *)p);
    if (type == DTYPE_F16)
        return _mm256_cvtph_ps(half);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
}

// Lane j + lane j + 8, then + 4, + 2, + 1.
SIMD_INLINE float reduce(__m256 low, __m256 high)
{
    __m256 s = _mm256_add_ps(low, high);
    __m128 t = _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
    t = _mm_add_ps(t, _mm_movehl_ps(t, t));
    t = _mm_add_ss(t, _mm_shuffle_ps(t, t, 1));
    return _mm_cvtss_f32(t);
}

// 2 rows times w columns; x: the first column, out: the first row's place in it.
SIMD_INLINE void rows_times_columns(enum dtype type, int w, const uint8_t *rows, const float *x, size_t width,
                                    float *out, size_t out_stride)
{
    __m256 acc[TILE_COLUMNS][TILE_ROWS][2];
    SIMD_UNROLL
    for (int c = 0; c < w; c++)
        for (int r = 0; r < TILE_ROWS; r++)
            acc[c][r][0] = acc[c][r][1] = _mm256_setzero_ps();
    size_t row_bytes = width * elem_bytes(type), step = 8 * elem_bytes(type);
    for (size_t i = 0; i < width; i += PANEL_LANES, rows += 2 * step, x += PANEL_LANES) {
        SIMD_UNROLL
        for (int r = 0; r < TILE_ROWS; r++) {
            _mm_prefetch((const char *)rows + r * row_bytes + PREFETCH_BYTES, _MM_HINT_T0);
            SIMD_UNROLL
            for (int part = 0; part < 2; part++) {
                __m256 weights = load_weights(type, rows + r * row_bytes + part * step);
                SIMD_UNROLL
                for (int c = 0; c < w; c++)
                    acc[c][r][part] =
                        _mm256_fmadd_ps(weights, _mm256_loadu_ps(x + c * width + 8 * part), acc[c][r][part]);
            }
        }
    }
    SIMD_UNROLL
    for (int c = 0; c < w; c++)
        for (int r = 0; r < TILE_ROWS; r++)
            out[c * out_stride + r] = reduce(acc[c][r][0], acc[c][r][1]);
}

SIMD_INLINE void matmul_float(enum dtype type, const struct matrix *m, const struct acts *a,
                              uint32_t panel_begin, uint32_t panel_end, float *out, size_t out_stride)
{
    size_t width = panel_float_width(m->n_cols), row_bytes = width * elem_bytes(type);
    for (size_t r = (size_t)panel_begin * PANEL_ROWS; r < (size_t)panel_end * PANEL_ROWS; r += TILE_ROWS) {
        const uint8_t *rows = (const uint8_t *)m->data + r * row_bytes;
        uint32_t c = 0;
        for (; c + TILE_COLUMNS <= a->n_columns; c += TILE_COLUMNS)
            rows_times_columns(type, TILE_COLUMNS, rows, (const float *)a->data + c * width, width,
                               out + c * out_stride + r, out_stride);
        if (a->n_columns - c == 2)
            rows_times_columns(type, 2, rows, (const float *)a->data + c * width, width,
                               out + c * out_stride + r, out_stride);
        else if (a->n_columns - c == 1)
            rows_times_columns(type, 1, rows, (const float *)a->data + c * width, width,
                               out + c * out_stride + r, out_stride);
    }
}

static void matmul_f32_avx2(const struct matrix *m, const struct acts *a, uint32_t panel_begin,
                            uint32_t panel_end, float *out, size_t out_stride)
{
    matmul_float(DTYPE_F32, m, a, panel_begin, panel_end, out, out_stride);
}

static void matmul_f16_avx2(const struct matrix *m, const struct acts *a, uint32_t panel_begin,
                            uint32_t panel_end, float *out, size_t out_stride)
{
    matmul_float(DTYPE_F16, m, a, panel_begin, panel_end, out, out_stride);
}

static void matmul_bf16_avx2(const struct matrix *m, const struct acts *a, uint32_t panel_begin,
                             uint32_t panel_end, float *out, size_t out_stride)
{
    matmul_float(DTYPE_BF16, m, a, panel_begin, panel_end, out, out_stride);
}

void matmul_float_init_avx2(struct kernels *k)
{
    k->matmul[DTYPE_F32] = matmul_f32_avx2;
    k->matmul[DTYPE_F16] = matmul_f16_avx2;
    k->matmul[DTYPE_BF16] = matmul_bf16_avx2;
}
