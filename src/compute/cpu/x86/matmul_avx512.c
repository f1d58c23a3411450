// SPDX-License-Identifier: MIT
// Matrix products with AVX-512 VNNI: one panel (16 rows, a register) x 1 to 4 or 8 columns, the bits of
// cpu/ref/matmul_ref.c.
//
// A line of codes is unpacked in registers and multiplied with the broadcast activations of every column by
// one dot-accumulate (unsigned codes x signed activations, straight into i32). The offset of the codes is
// taken off by one 16-bit dot-accumulate with the sums of the activations. Steps of fp32 whose results are
// exact may differ from ref's integer steps.
#include <string.h>

#include "compute/cpu/x86/kind_x86.h"
#include "compute/cpu/x86/simd_x86.h"
#include "compute/kernels.h"

enum { MAX_COLUMNS = 2 * ACTS_TILE, PREFETCH_BYTES = 4096 };

// The columns that are done together: one tile, or two full ones.
struct tiles {
    int w;                   // columns, 1 to 4, or 8
    const uint8_t *block[2]; // the current block of each tile
};

SIMD_INLINE int tile_width(int w)
{
    return w > ACTS_TILE ? ACTS_TILE : w;
}

// Dword or float at `offset` of column c within its tile's block.
SIMD_INLINE const void *column_at(const struct tiles *t, int per_column, int c)
{
    return t->block[c / ACTS_TILE] + per_column * tile_width(t->w) + 4 * (c % ACTS_TILE);
}

SIMD_INLINE __m512i broadcast_i32(const void *p)
{
    int32_t value;
    memcpy(&value, p, sizeof value);
    return _mm512_set1_epi32(value);
}

SIMD_INLINE __m512 broadcast_f32(const void *p)
{
    float value;
    memcpy(&value, p, sizeof value);
    return _mm512_set1_ps(value);
}

SIMD_INLINE __m512 load_halves(const uint8_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}

SIMD_INLINE __m512i load_line(const uint8_t *codes, int line)
{
    return _mm512_loadu_si512((const void *)(codes + PANEL_LINE * line));
}

// Codes of k-group g. Constant arguments; what two groups share is computed once.
SIMD_INLINE __m512i read_codes(struct kind kind, const uint8_t *codes, int g)
{
    if (kind.bits == 8)
        return load_line(codes, g);
    __m512i line = load_line(codes, g / 2);
    __m512i low = _mm512_and_si512(g % 2 ? _mm512_srli_epi16(line, 4) : line, _mm512_set1_epi8(15));
    if (kind.bits == 4)
        return low;
    __m512i high = load_line(codes, kind.bits == 5 ? 4 : 4 + g / 4);
    int shift = kind.bits == 5 ? g - 4 : 2 * (g % 4) - 4; // to the right, to bring the bits to bit 4
    high = shift < 0 ? _mm512_slli_epi16(high, (unsigned)-shift)
                     : _mm512_srli_epi16(high, (unsigned)(shift < 0 ? 0 : shift));
    // low | (high & mask)
    return _mm512_ternarylogic_epi32(low, high, _mm512_set1_epi8(kind.bits == 5 ? 0x10 : 0x30), 0xf8);
}

// d, or d * sc of the 32; `at` 32: the minimum (to be subtracted for SC32).
SIMD_INLINE __m512 read_scale(struct kind kind, const uint8_t *block, uint32_t sub, int at)
{
    __m512 d = load_halves((kind.scale == QUANT_SCALE_D ? block + kind_codes_bytes(kind) : block) + at);
    if (kind.scale != QUANT_SCALE_D_SC32)
        return d;
    const uint8_t *sc = block + 64 + PANEL_ROWS * (sub + (at == 0 ? 0 : 8));
    return _mm512_mul_ps(d, _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)sc))));
}

// SC16: the factor of 16 k.
SIMD_INLINE __m512 read_factor(const uint8_t *block, uint32_t half_block)
{
    const uint8_t *sc = block + 32 + PANEL_ROWS * half_block;
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)sc)));
}

// Integer sums of k-groups [begin, end), less the offset times the sums of the activations that `halves`
// selects.
SIMD_INLINE void add_groups(struct kind kind, const struct tiles *t, const uint8_t *codes, int begin, int end,
                            uint32_t halves, __m512i isum[MAX_COLUMNS])
{
    __m512i offset = _mm512_set1_epi32((int32_t)(halves * (0x10000u - (1u << kind.offset_shift))));
    if (halves == 0x10001) // both halves of the dword hold -offset
        offset = _mm512_set1_epi16((short)-(1 << kind.offset_shift));
    SIMD_UNROLL
    for (int c = 0; c < t->w; c++) {
        isum[c] = _mm512_setzero_si512();
        if (kind.offset_shift > 0)
            isum[c] = _mm512_dpwssd_epi32(isum[c], offset, broadcast_i32(column_at(t, 44, c)));
    }
    SIMD_UNROLL
    for (int g = begin; g < end; g++) {
        __m512i code = read_codes(kind, codes, g);
        SIMD_UNROLL
        for (int c = 0; c < t->w; c++) {
            isum[c] = _mm512_dpbusd_epi32(isum[c], code, broadcast_i32(column_at(t, 4 * g, c)));
            SIMD_PIN(isum[c]);
        }
    }
}

// The unit's sum as fp32, exact. SC16: factors applied; adding to +0 keeps zero positive, as an integer zero
// is.
SIMD_INLINE void sum_unit(struct kind kind, const struct tiles *t, const uint8_t *block, uint32_t sub,
                          __m512 sum[MAX_COLUMNS])
{
    const uint8_t *codes = block + kind_head_bytes(kind) + sub * kind_codes_bytes(kind);
    __m512i isum[MAX_COLUMNS];
    if (kind.scale != QUANT_SCALE_D_SC16) {
        add_groups(kind, t, codes, 0, PANEL_GROUPS, 0x10001, isum);
        SIMD_UNROLL
        for (int c = 0; c < t->w; c++)
            sum[c] = _mm512_cvtepi32_ps(isum[c]);
        return;
    }
    __m512 factor = read_factor(block, 2 * sub);
    add_groups(kind, t, codes, 0, PANEL_GROUPS / 2, 0x1, isum);
    SIMD_UNROLL
    for (int c = 0; c < t->w; c++)
        sum[c] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(isum[c]), factor, _mm512_setzero_ps());
    factor = read_factor(block, 2 * sub + 1);
    add_groups(kind, t, codes, PANEL_GROUPS / 2, PANEL_GROUPS, 0x10000, isum);
    SIMD_UNROLL
    for (int c = 0; c < t->w; c++)
        sum[c] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(isum[c]), factor, sum[c]);
}

SIMD_INLINE void add_unit(struct kind kind, const struct tiles *t, const uint8_t *block, uint32_t sub,
                          __m512 acc[MAX_COLUMNS])
{
    __m512 sum[MAX_COLUMNS];
    sum_unit(kind, t, block, sub, sum);
    SIMD_FENCE();
    __m512 scale = read_scale(kind, block, sub, 0), minimum = scale;
    if (kind.has_min)
        minimum = read_scale(kind, block, sub, 32);
    SIMD_UNROLL
    for (int c = 0; c < t->w; c++) {
        __m512 ds = broadcast_f32(column_at(t, 36, c));
        acc[c] = _mm512_fmadd_ps(sum[c], _mm512_mul_ps(scale, broadcast_f32(column_at(t, 32, c))), acc[c]);
        if (kind.has_min)
            acc[c] = kind.scale == QUANT_SCALE_D_SC32 ? _mm512_fnmadd_ps(minimum, ds, acc[c])
                                                      : _mm512_fmadd_ps(minimum, ds, acc[c]);
    }
}

// A piece of w columns; acts1: the second tile's place when w is 8.
SIMD_INLINE void times_tiles(struct kind kind, int w, const struct piece *pc, const uint8_t *acts1)
{
    __m512 acc[MAX_COLUMNS];
    struct tiles t = {.w = w, .block = {pc->acts, acts1}};
    const uint8_t *panel = pc->panel;
    uint32_t n_subs = kind_subs(kind);
    uint32_t sub_bytes = kind_block_bytes(kind) / n_subs;
    SIMD_UNROLL
    for (int c = 0; c < w; c++)
        acc[c] = pc->is_first ? _mm512_setzero_ps() : _mm512_loadu_ps(pc->out + c * pc->out_stride);
    for (uint32_t b = 0; b < pc->n_units; b += n_subs, panel += kind_block_bytes(kind)) {
        for (uint32_t sub = 0; sub < n_subs; sub++) {
            const uint8_t *codes = panel + kind_head_bytes(kind) + sub * kind_codes_bytes(kind);
            SIMD_UNROLL
            for (size_t i = 0; i < sub_bytes; i += PANEL_LINE)
                _mm_prefetch((const char *)codes + PREFETCH_BYTES + i, _MM_HINT_T0);
            add_unit(kind, &t, panel, sub, acc);
            t.block[0] += tile_width(w) * ACTS_BLOCK_BYTES;
            t.block[1] += tile_width(w) * ACTS_BLOCK_BYTES;
        }
    }
    SIMD_UNROLL
    for (int c = 0; c < w; c++)
        _mm512_storeu_ps(pc->out + c * pc->out_stride, acc[c]);
}

// All tiles of panel p, units [begin, end).
SIMD_INLINE void times_panel(struct kind kind, const struct matrix *m, const struct acts *a, uint32_t p,
                             uint32_t begin, uint32_t end, const struct output *out)
{
    for (uint32_t t = 0; t < acts_tiles(a); t++) {
        struct piece pc = kind_piece(kind, m, a, p, t, begin, end);
        pc.out = out->at + t * ACTS_TILE * out->stride + (size_t)p * PANEL_ROWS;
        pc.out_stride = out->stride;
        if ((t + 2) * ACTS_TILE <= a->n_columns) {
            t++;
            times_tiles(kind, 8, &pc, kind_piece(kind, m, a, p, t, begin, end).acts);
            continue;
        }
        switch (acts_tile_width(a, t)) {
        case 1:
            times_tiles(kind, 1, &pc, pc.acts);
            break;
        case 2:
            times_tiles(kind, 2, &pc, pc.acts);
            break;
        case 3:
            times_tiles(kind, 3, &pc, pc.acts);
            break;
        default:
            times_tiles(kind, 4, &pc, pc.acts);
        }
    }
}

SIMD_INLINE void matmul_avx512(struct kind kind, const struct matrix *m, const struct acts *a,
                               uint32_t panel_begin, uint32_t panel_end, const struct output *out)
{
    uint32_t n_units = a->k / QUANT_BLOCK, range = kind_range(a);
    for (uint32_t u = 0; u < n_units; u += range) {
        uint32_t end = n_units - u < range ? n_units : u + range;
        for (uint32_t p = panel_begin; p < panel_end; p++)
            times_panel(kind, m, a, p, u, end, out);
    }
}

#define MATMUL(type, kind)                                                                                   \
    static void matmul_##type##_avx512(const struct matrix *m, const struct acts *a, uint32_t panel_begin,   \
                                       uint32_t panel_end, float *out, size_t out_stride)                    \
    {                                                                                                        \
        struct output output = {out, out_stride};                                                            \
        matmul_avx512(kind, m, a, panel_begin, panel_end, &output);                                          \
    }
MATMUL(q4_0, KIND_Q4_0)
MATMUL(q4_1, KIND_Q4_1)
MATMUL(q5_0, KIND_Q5_0)
MATMUL(q5_1, KIND_Q5_1)
MATMUL(q8_0, KIND_Q8_0)
MATMUL(q4_k, KIND_Q4_K)
MATMUL(q5_k, KIND_Q5_K)
MATMUL(q6_k, KIND_Q6_K)

void matmul_init_avx512(struct kernels *k)
{
    k->matmul[DTYPE_Q4_0] = matmul_q4_0_avx512;
    k->matmul[DTYPE_Q4_1] = matmul_q4_1_avx512;
    k->matmul[DTYPE_Q5_0] = matmul_q5_0_avx512;
    k->matmul[DTYPE_Q5_1] = matmul_q5_1_avx512;
    k->matmul[DTYPE_Q8_0] = matmul_q8_0_avx512;
    k->matmul[DTYPE_Q4_K] = matmul_q4_k_avx512;
    k->matmul[DTYPE_Q5_K] = matmul_q5_k_avx512;
    k->matmul[DTYPE_Q6_K] = matmul_q6_k_avx512;
}
