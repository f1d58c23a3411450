// SPDX-License-Identifier: MIT
// Matrix products with AVX2: tiles of 1 to 4 columns x 16 rows (two registers of 8 rows), the bits of
// cpu/ref/matmul_ref.c.
//
// A unit is unpacked in registers, each k-group of it is multiplied with the broadcast activations of every
// column, and the products are added in i16 for as many k-groups as cannot overflow (the largest code x 127 x
// 2 x groups < 32768), before one multiply-add widens them to i32: all 8 groups at 4 bits, 4 at 5 bits, 2
// at 6. Codes of 8 bits go as two halves of 4 bits.
#include <string.h>

#include "compute/acts.h"
#include "compute/cpu/x86/kind_x86.h"
#include "compute/cpu/x86/simd_x86.h"
#include "compute/kernels.h"

enum { HALVES = 2, PREFETCH_BYTES = 4096 };

SIMD_INLINE __m256 load_half8(const uint8_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}

SIMD_INLINE __m256i load_line(const uint8_t *codes, int line, int h)
{
    return _mm256_loadu_si256((const __m256i *)(codes + PANEL_LINE * line + 32 * h));
}

// Codes of k-group g, 8 rows. Constant arguments; what two groups share is computed once.
SIMD_INLINE __m256i read_group(struct kind kind, const uint8_t *codes, int g, int h)
{
    if (kind.bits == 8)
        return load_line(codes, g, h);
    __m256i line = load_line(codes, g / 2, h);
    __m256i low = _mm256_and_si256(g % 2 ? _mm256_srli_epi16(line, 4) : line, _mm256_set1_epi8(15));
    if (kind.bits == 4)
        return low;
    __m256i high = load_line(codes, kind.bits == 5 ? 4 : 4 + g / 4, h);
    int shift = kind.bits == 5 ? g - 4 : 2 * (g % 4) - 4; // to the right, to bring the bits to bit 4
    high = shift < 0 ? _mm256_slli_epi16(high, -shift) : _mm256_srli_epi16(high, shift);
    return _mm256_or_si256(low, _mm256_and_si256(high, _mm256_set1_epi8(kind.bits == 5 ? 0x10 : 0x30)));
}

// block: the file block that holds the unit; sub: which 32 of it.
SIMD_INLINE __m256 read_scale(struct kind kind, const uint8_t *block, uint32_t sub, int h)
{
    __m256 d = load_half8((kind.scale == QUANT_SCALE_D ? block + kind_codes_bytes(kind) : block) + 16 * h);
    if (kind.scale != QUANT_SCALE_D_SC32)
        return d;
    const __m128i *sc = (const __m128i *)(block + 64 + PANEL_ROWS * sub + 8 * h);
    return _mm256_mul_ps(d, _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(sc))));
}

// For SC32 the value is to be subtracted.
SIMD_INLINE __m256 read_minimum(struct kind kind, const uint8_t *block, uint32_t sub, int h)
{
    __m256 m = load_half8((kind.scale == QUANT_SCALE_D ? block + kind_codes_bytes(kind) : block) + 32 + 16 * h);
    if (kind.scale != QUANT_SCALE_D_SC32)
        return m;
    const __m128i *mn = (const __m128i *)(block + 64 + PANEL_ROWS * (8 + sub) + 8 * h);
    return _mm256_mul_ps(m, _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(mn))));
}

// SC16: i16 pairs (sc, sc) of 8 rows, for 16 k.
SIMD_INLINE __m256i read_factor(const uint8_t *block, uint32_t half_block, int h)
{
    const __m128i *at = (const __m128i *)(block + 32 + PANEL_ROWS * half_block + 8 * h);
    __m256i sc = _mm256_cvtepi8_epi32(_mm_loadl_epi64(at));
    return _mm256_or_si256(_mm256_and_si256(sc, _mm256_set1_epi32(0xffff)), _mm256_slli_epi32(sc, 16));
}

// How many k-groups are added in i16.
SIMD_INLINE int kind_run(struct kind kind)
{
    return kind.bits == 5 ? 4 : kind.bits == 6 ? 2 : 8;
}

// Adds run `run` of a unit to the integer sums of w columns.
SIMD_INLINE void add_run(struct kind kind, int w, int run, const uint8_t *codes, const __m256i *factor,
                         const uint8_t *block, __m256i isum[ACTS_TILE][HALVES])
{
    __m256i acc[ACTS_TILE][HALVES], high[ACTS_TILE][HALVES];
    SIMD_UNROLL
    for (int i = 0; i < kind_run(kind); i++) {
        int g = run * kind_run(kind) + i;
        __m256i code[HALVES] = {read_group(kind, codes, g, 0), read_group(kind, codes, g, 1)};
        SIMD_UNROLL
        for (int c = 0; c < w; c++) {
            int32_t dword;
            memcpy(&dword, block + (g * w + c) * 4, 4);
            __m256i a = _mm256_set1_epi32(dword);
            SIMD_UNROLL
            for (int h = 0; h < HALVES; h++) {
                __m256i low = kind.bits == 8 ? _mm256_and_si256(code[h], _mm256_set1_epi8(15)) : code[h];
                __m256i t = _mm256_maddubs_epi16(low, a);
                acc[c][h] = i == 0 ? t : _mm256_add_epi16(acc[c][h], t);
                SIMD_PIN(acc[c][h]);
                if (kind.bits == 8) {
                    t = _mm256_maddubs_epi16(
                        _mm256_and_si256(_mm256_srli_epi16(code[h], 4), _mm256_set1_epi8(15)), a);
                    high[c][h] = i == 0 ? t : _mm256_add_epi16(high[c][h], t);
                    SIMD_PIN(high[c][h]);
                }
            }
        }
    }
    SIMD_UNROLL
    for (int c = 0; c < w; c++) {
        SIMD_UNROLL
        for (int h = 0; h < HALVES; h++) {
            __m256i by = kind.scale == QUANT_SCALE_D_SC16 ? factor[run / 2 * 2 + h] : _mm256_set1_epi16(1);
            __m256i t = _mm256_madd_epi16(acc[c][h], by);
            isum[c][h] = run == 0 ? t : _mm256_add_epi32(isum[c][h], t);
            if (kind.bits == 8)
                isum[c][h] =
                    _mm256_add_epi32(isum[c][h], _mm256_madd_epi16(high[c][h], _mm256_set1_epi16(16)));
            SIMD_PIN(isum[c][h]);
        }
    }
}

SIMD_INLINE __m256i subtract_offset(struct kind kind, __m256i isum, __m256i pairs, const uint8_t *block, int w, int c)
{
    if (kind.offset_shift == 0)
        return isum;
    int32_t sum;
    if (kind.scale == QUANT_SCALE_D_SC16) {
        memcpy(&sum, block + 44 * w + 4 * c, 4);
        return _mm256_sub_epi32(isum, _mm256_madd_epi16(pairs, _mm256_set1_epi32(sum)));
    }
    memcpy(&sum, block + 40 * w + 4 * c, 4);
    return _mm256_sub_epi32(isum, _mm256_set1_epi32(sum << kind.offset_shift));
}

// Adds one unit to the fp32 sums.
SIMD_INLINE void add_unit(struct kind kind, int w, const uint8_t *file_block, uint32_t sub, const uint8_t *block,
                          __m256 acc[ACTS_TILE][HALVES])
{
    const uint8_t *codes = file_block + kind_head_bytes(kind) + sub * kind_codes_bytes(kind);
    __m256i isum[ACTS_TILE][HALVES], factor[2 * HALVES];
    if (kind.scale == QUANT_SCALE_D_SC16)
        for (int i = 0; i < 4; i++)
            factor[i] = read_factor(file_block, 2 * sub + i / 2, i % 2);
    SIMD_UNROLL
    for (int run = 0; run < 8 / kind_run(kind); run++)
        add_run(kind, w, run, codes, factor, block, isum);
    SIMD_FENCE();
    SIMD_UNROLL
    for (int h = 0; h < HALVES; h++) {
        __m256 scale = read_scale(kind, file_block, sub, h), minimum = scale;
        __m256i offset = factor[h];
        if (kind.has_min)
            minimum = read_minimum(kind, file_block, sub, h);
        if (kind.scale == QUANT_SCALE_D_SC16)
            offset = _mm256_slli_epi16(_mm256_blend_epi16(factor[h], factor[2 + h], 0xaa), kind.offset_shift);
        SIMD_UNROLL
        for (int c = 0; c < w; c++) {
            __m256 dx = _mm256_broadcast_ss((const float *)(block + 32 * w + 4 * c));
            __m256 ds = _mm256_broadcast_ss((const float *)(block + 36 * w + 4 * c));
            __m256 f = _mm256_cvtepi32_ps(subtract_offset(kind, isum[c][h], offset, block, w, c));
            f = _mm256_fmadd_ps(f, _mm256_mul_ps(scale, dx), acc[c][h]);
            if (kind.has_min)
                f = kind.scale == QUANT_SCALE_D_SC32 ? _mm256_fnmadd_ps(minimum, ds, f) : _mm256_fmadd_ps(minimum, ds, f);
            SIMD_PIN(f);
            acc[c][h] = f;
        }
    }
}

// One panel times one tile of w columns.
SIMD_INLINE void panel_times_tile(struct kind kind, int w, const uint8_t *panel, const uint8_t *acts,
                                  uint32_t n_units, float *out, size_t out_stride)
{
    __m256 acc[ACTS_TILE][HALVES];
    SIMD_UNROLL
    for (int c = 0; c < w; c++)
        acc[c][0] = acc[c][1] = _mm256_setzero_ps();
    if (w > 2)
        SIMD_IN_MEMORY(acc);
    uint32_t n_subs = kind_subs(kind);
    for (uint32_t b = 0; b < n_units; b += n_subs, panel += kind_block_bytes(kind)) {
        for (uint32_t sub = 0; sub < n_subs; sub++, acts += w * ACTS_BLOCK_BYTES) {
            const uint8_t *ahead = panel + sub * kind_codes_bytes(kind) + PREFETCH_BYTES;
            SIMD_UNROLL
            for (size_t i = 0; i < kind_block_bytes(kind) / n_subs; i += PANEL_LINE)
                _mm_prefetch((const char *)ahead + i, _MM_HINT_T0);
            add_unit(kind, w, panel, sub, acts, acc);
        }
    }
    SIMD_UNROLL
    for (int c = 0; c < w; c++) {
        _mm256_storeu_ps(out + c * out_stride, acc[c][0]);
        _mm256_storeu_ps(out + c * out_stride + 8, acc[c][1]);
    }
}

SIMD_INLINE void matmul_avx2(struct kind kind, const struct matrix *m, const struct acts *a,
                             uint32_t panel_begin, uint32_t panel_end, float *out, size_t out_stride)
{
    uint32_t n_units = a->k / QUANT_BLOCK;
    size_t n_bytes = n_units / kind_subs(kind) * kind_block_bytes(kind);
    for (uint32_t p = panel_begin; p < panel_end; p++) {
        const uint8_t *panel = (const uint8_t *)m->data + p * n_bytes;
        for (uint32_t t = 0; t < acts_tiles(a); t++) {
            float *to = out + t * ACTS_TILE * out_stride + (size_t)p * PANEL_ROWS;
            const uint8_t *tile = acts_tile(a, t);
            switch (acts_tile_width(a, t)) {
            case 1:
                panel_times_tile(kind, 1, panel, tile, n_units, to, out_stride);
                break;
            case 2:
                panel_times_tile(kind, 2, panel, tile, n_units, to, out_stride);
                break;
            case 3:
                panel_times_tile(kind, 3, panel, tile, n_units, to, out_stride);
                break;
            default:
                panel_times_tile(kind, 4, panel, tile, n_units, to, out_stride);
            }
        }
    }
}

#define MATMUL(type, kind)                                                                                   \
    static void matmul_##type##_avx2(const struct matrix *m, const struct acts *a, uint32_t panel_begin,     \
                                     uint32_t panel_end, float *out, size_t out_stride)                      \
    {                                                                                                        \
        matmul_avx2(kind, m, a, panel_begin, panel_end, out, out_stride);                                    \
    }
MATMUL(q4_0, KIND_Q4_0)
MATMUL(q4_1, KIND_Q4_1)
MATMUL(q5_0, KIND_Q5_0)
MATMUL(q5_1, KIND_Q5_1)
MATMUL(q8_0, KIND_Q8_0)
MATMUL(q4_k, KIND_Q4_K)
MATMUL(q5_k, KIND_Q5_K)
MATMUL(q6_k, KIND_Q6_K)

void matmul_init_avx2(struct kernels *k)
{
    k->matmul[DTYPE_Q4_0] = matmul_q4_0_avx2;
    k->matmul[DTYPE_Q4_1] = matmul_q4_1_avx2;
    k->matmul[DTYPE_Q5_0] = matmul_q5_0_avx2;
    k->matmul[DTYPE_Q5_1] = matmul_q5_1_avx2;
    k->matmul[DTYPE_Q8_0] = matmul_q8_0_avx2;
    k->matmul[DTYPE_Q4_K] = matmul_q4_k_avx2;
    k->matmul[DTYPE_Q5_K] = matmul_q5_k_avx2;
    k->matmul[DTYPE_Q6_K] = matmul_q6_k_avx2;
    k->acts_store_q8 = acts_store_q8_avx2;
}
