// SPDX-License-Identifier: MIT
// Matrix products with AVX2: tiles of 1 to 4 columns x 16 rows (two registers of 8), the bits of
// cpu/ref/matmul_ref.c.
//
// A unit is unpacked in registers, each k-group of it is multiplied with the broadcast activations of every
// column, and the products are added in i16 for as many k-groups as cannot overflow (largest code x 127 x 2 x
// groups < 32768), before one multiply-add widens them to i32: all 8 groups at 4 bits, 4 at 5 bits, 2 at 6.
// Codes of 8 bits go as two halves of 4. For many columns a piece of a 5- or 6-bit panel is unpacked to
// memory once for all tiles, which is a tenth to a fifth faster; at 4 and 8 bits unpacking in registers is.
//
// With one or two columns a product waits for memory. It then goes through several parts of the matrix side
// by side, each a long linear stream: the processor keeps more lines under way, which is worth a fifth of the
// time.
#include <string.h>

#include "compute/acts.h"
#include "compute/cpu/x86/kind_x86.h"
#include "compute/cpu/x86/simd_x86.h"
#include "compute/kernels.h"

enum { HALVES = 2, PREFETCH_BYTES = 4096, STREAM_PREFETCH_BYTES = 1024 };

// Scales of a unit that was unpacked.
struct wide_scales {
    float scale[PANEL_ROWS], minimum[PANEL_ROWS];
    uint32_t factor[2][PANEL_ROWS]; // SC16
} __attribute__((aligned(64)));

SIMD_INLINE __m256 load_half8(const uint8_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}

SIMD_INLINE __m256i load_line(const uint8_t *codes, int line, int h)
{
    return _mm256_loadu_si256((const __m256i *)(codes + PANEL_LINE * line + 32 * h));
}

// How many k-groups are added in i16, and in how many such runs a unit is done.
SIMD_INLINE int kind_run(struct kind kind)
{
    return kind.bits == 5 ? 4 : kind.bits == 6 ? 2 : 8;
}

SIMD_INLINE int kind_runs(struct kind kind)
{
    return kind.bits == 8 ? 2 : 8 / kind_run(kind);
}

// Codes that the i-th step of a run multiplies, 8 rows. Constant arguments; what two steps share is computed
// once.
SIMD_INLINE __m256i read_codes(struct kind kind, const uint8_t *codes, int run, int i, int h)
{
    int g = kind.bits == 8 ? i : run * kind_run(kind) + i;
    __m256i mask = _mm256_set1_epi8(15);
    if (kind.unpacked)
        return load_line(codes, run * kind_run(kind) + i, h);
    if (kind.bits == 8) {
        __m256i line = load_line(codes, g, h);
        return _mm256_and_si256(run == 1 ? _mm256_srli_epi16(line, 4) : line, mask);
    }
    __m256i line = load_line(codes, g / 2, h);
    __m256i low = _mm256_and_si256(g % 2 ? _mm256_srli_epi16(line, 4) : line, mask);
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
    __m256 m =
        load_half8((kind.scale == QUANT_SCALE_D ? block + kind_codes_bytes(kind) : block) + 32 + 16 * h);
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

// Adds run `run` of a unit to the integer sums of w columns. factor: SC16, [16 k][half].
SIMD_INLINE void add_run(struct kind kind, int w, int run, const uint8_t *codes, const __m256i *factor,
                         const uint8_t *block, __m256i isum[ACTS_TILE][HALVES])
{
    __m256i acc[ACTS_TILE][HALVES];
    SIMD_UNROLL
    for (int i = 0; i < kind_run(kind); i++) {
        int g = kind.bits == 8 ? i : run * kind_run(kind) + i;
        __m256i code[HALVES] = {read_codes(kind, codes, run, i, 0), read_codes(kind, codes, run, i, 1)};
        SIMD_UNROLL
        for (int c = 0; c < w; c++) {
            int32_t dword;
            memcpy(&dword, block + (g * w + c) * 4, 4);
            __m256i a = _mm256_set1_epi32(dword);
            SIMD_UNROLL
            for (int h = 0; h < HALVES; h++) {
                __m256i t = _mm256_maddubs_epi16(code[h], a);
                acc[c][h] = i == 0 ? t : _mm256_add_epi16(acc[c][h], t);
                SIMD_PIN(acc[c][h]);
            }
        }
    }
    SIMD_UNROLL
    for (int c = 0; c < w; c++) {
        SIMD_UNROLL
        for (int h = 0; h < HALVES; h++) {
            __m256i by = _mm256_set1_epi16(kind.bits == 8 && run == 1 ? 16 : 1);
            if (kind.scale == QUANT_SCALE_D_SC16)
                by = factor[run / 2 * 2 + h];
            __m256i t = _mm256_madd_epi16(acc[c][h], by);
            isum[c][h] = run == 0 ? t : _mm256_add_epi32(isum[c][h], t);
            SIMD_PIN(isum[c][h]);
        }
    }
}

SIMD_INLINE __m256i subtract_offset(struct kind kind, __m256i isum, __m256i pairs, const uint8_t *block,
                                    int w, int c)
{
    if (kind.offset_shift == 0)
        return isum;
    int32_t sum;
    if (kind.scale == QUANT_SCALE_D_SC16) {
        memcpy(&sum, block + 44 * w + 4 * c, 4);
        return _mm256_sub_epi32(isum, _mm256_madd_epi16(pairs, _mm256_set1_epi32(sum)));
    }
    memcpy(&sum, block + 40 * w + 4 * c, 4);
    return _mm256_sub_epi32(isum, _mm256_set1_epi32(sum * (1 << kind.offset_shift)));
}

struct panels {
    uint32_t begin, end;
};

// Where a unit's parts lie, packed or unpacked.
struct unit {
    const uint8_t *codes;
    const uint8_t *file_block;      // packed: the block that holds it
    uint32_t sub;                   // packed: which 32 of the block
    const struct wide_scales *wide; // unpacked
};

SIMD_INLINE __m256 unit_scale(struct kind kind, const struct unit *u, int h)
{
    return kind.unpacked ? _mm256_load_ps(u->wide->scale + 8 * h)
                         : read_scale(kind, u->file_block, u->sub, h);
}

SIMD_INLINE __m256 unit_minimum(struct kind kind, const struct unit *u, int h)
{
    return kind.unpacked ? _mm256_load_ps(u->wide->minimum + 8 * h)
                         : read_minimum(kind, u->file_block, u->sub, h);
}

SIMD_INLINE __m256i unit_factor(struct kind kind, const struct unit *u, int i, int h)
{
    return kind.unpacked ? _mm256_load_si256((const __m256i *)(u->wide->factor[i] + 8 * h))
                         : read_factor(u->file_block, 2 * u->sub + i, h);
}

// Adds one unit to the fp32 sums.
SIMD_INLINE void add_unit(struct kind kind, int w, const struct unit *u, const uint8_t *block,
                          __m256 acc[ACTS_TILE][HALVES])
{
    __m256i isum[ACTS_TILE][HALVES], factor[2 * HALVES];
    if (kind.scale == QUANT_SCALE_D_SC16)
        for (int i = 0; i < 4; i++)
            factor[i] = unit_factor(kind, u, i / 2, i % 2);
    SIMD_UNROLL
    for (int run = 0; run < kind_runs(kind); run++) {
        if (run > 0)
            SIMD_FENCE();
        add_run(kind, w, run, u->codes, factor, block, isum);
    }
    SIMD_FENCE();
    SIMD_UNROLL
    for (int h = 0; h < HALVES; h++) {
        __m256 scale = unit_scale(kind, u, h), minimum = scale;
        __m256i offset = factor[h];
        if (kind.has_min)
            minimum = unit_minimum(kind, u, h);
        if (kind.scale == QUANT_SCALE_D_SC16)
            offset = _mm256_slli_epi16(_mm256_blend_epi16(factor[h], factor[2 + h], 0xaa), kind.offset_shift);
        SIMD_UNROLL
        for (int c = 0; c < w; c++) {
            __m256 dx = _mm256_broadcast_ss((const float *)(block + 32 * w + 4 * c));
            __m256 ds = _mm256_broadcast_ss((const float *)(block + 36 * w + 4 * c));
            __m256 f = _mm256_cvtepi32_ps(subtract_offset(kind, isum[c][h], offset, block, w, c));
            f = _mm256_fmadd_ps(f, _mm256_mul_ps(scale, dx), acc[c][h]);
            if (kind.has_min)
                f = kind.scale == QUANT_SCALE_D_SC32 ? _mm256_fnmadd_ps(minimum, ds, f)
                                                     : _mm256_fmadd_ps(minimum, ds, f);
            SIMD_PIN(f);
            acc[c][h] = f;
        }
    }
}

SIMD_INLINE void prefetch_unit(struct kind kind, const uint8_t *codes, size_t ahead_bytes)
{
    SIMD_UNROLL
    for (size_t i = 0; i < kind_block_bytes(kind) / kind_subs(kind); i += PANEL_LINE)
        _mm_prefetch((const char *)codes + ahead_bytes + i, _MM_HINT_T0);
}

SIMD_INLINE void load_sums(int w, const struct piece *pc, __m256 acc[ACTS_TILE][HALVES])
{
    SIMD_UNROLL
    for (int c = 0; c < w; c++) {
        acc[c][0] = pc->is_first ? _mm256_setzero_ps() : _mm256_loadu_ps(pc->out + c * pc->out_stride);
        acc[c][1] = pc->is_first ? _mm256_setzero_ps() : _mm256_loadu_ps(pc->out + c * pc->out_stride + 8);
    }
    if (w > 2) // more than the registers hold beside the integer sums
        SIMD_IN_MEMORY(acc);
}

SIMD_INLINE void store_sums(int w, const struct piece *pc, __m256 acc[ACTS_TILE][HALVES])
{
    SIMD_UNROLL
    for (int c = 0; c < w; c++) {
        _mm256_storeu_ps(pc->out + c * pc->out_stride, acc[c][0]);
        _mm256_storeu_ps(pc->out + c * pc->out_stride + 8, acc[c][1]);
    }
}

// A piece of w columns, unpacked in registers.
SIMD_INLINE void packed_times_tile(struct kind kind, int w, const struct piece *pc)
{
    __m256 acc[ACTS_TILE][HALVES];
    const uint8_t *panel = pc->panel, *acts = pc->acts;
    uint32_t n_subs = kind_subs(kind);
    load_sums(w, pc, acc);
    for (uint32_t b = 0; b < pc->n_units; b += n_subs, panel += kind_block_bytes(kind)) {
        for (uint32_t sub = 0; sub < n_subs; sub++, acts += w * ACTS_BLOCK_BYTES) {
            const uint8_t *codes = panel + kind_head_bytes(kind) + sub * kind_codes_bytes(kind);
            struct unit u = {.codes = codes, .file_block = panel, .sub = sub};
            prefetch_unit(kind, codes, PREFETCH_BYTES);
            add_unit(kind, w, &u, acts, acc);
        }
    }
    store_sums(w, pc, acc);
}

// ---- Narrow products: whole panels of several streams side by side

// Panels `apart` panels from each other, from that of *pc on, times a tile of w columns.
SIMD_INLINE void streams_times_tile(struct kind kind, int w, int n_streams, const struct piece *pc,
                                    uint32_t apart)
{
    __m256 acc[PANEL_MAX_STREAMS][ACTS_TILE][HALVES];
    uint32_t n_subs = kind_subs(kind);
    size_t apart_bytes = (size_t)apart * (pc->n_units / n_subs) * kind_block_bytes(kind);
    const uint8_t *block = pc->panel, *acts = pc->acts;
    struct piece to = *pc;
    SIMD_UNROLL
    for (int i = 0; i < n_streams; i++)
        load_sums(w, pc, acc[i]);
    for (uint32_t b = 0; b < pc->n_units; b += n_subs, block += kind_block_bytes(kind)) {
        for (uint32_t sub = 0; sub < n_subs; sub++, acts += w * ACTS_BLOCK_BYTES) {
            SIMD_UNROLL
            for (int i = 0; i < n_streams; i++) {
                struct unit u = {.file_block = block + i * apart_bytes, .sub = sub};
                u.codes = u.file_block + kind_head_bytes(kind) + sub * kind_codes_bytes(kind);
                prefetch_unit(kind, u.codes, STREAM_PREFETCH_BYTES);
                add_unit(kind, w, &u, acts, acc[i]);
            }
        }
    }
    SIMD_UNROLL
    for (int i = 0; i < n_streams; i++, to.out += apart * PANEL_ROWS)
        store_sums(w, &to, acc[i]);
}

// All panels [panel_begin, panel_end) times the only tile, of w columns. Returns how many are done: a few may
// be left over.
SIMD_INLINE uint32_t panels_narrow(struct kind kind, int w, const struct matrix *m, const struct acts *a,
                                   struct panels panels, const struct output *out)
{
    int n_streams = panel_streams(w);
    uint32_t apart = (panels.end - panels.begin) / n_streams;
    for (uint32_t p = panels.begin; p < panels.begin + apart; p++) {
        struct piece pc = kind_piece(kind, m, a, p, 0, 0, a->k / QUANT_BLOCK);
        pc.out = out->at + (size_t)p * PANEL_ROWS;
        pc.out_stride = out->stride;
        streams_times_tile(kind, w, n_streams, &pc, apart);
    }
    return apart * n_streams;
}

// ---- Wide products: a piece of a panel is unpacked once, for all tiles

enum { WIDE_UNITS = 16, WIDE_TILES = 4 };

struct wide {
    uint8_t codes[WIDE_UNITS * 16 *
                  PANEL_LINE]; // 8 lines a unit; 16 at 8 bits: the low halves, then the high ones
    struct wide_scales scales[WIDE_UNITS];
} __attribute__((aligned(64)));

SIMD_INLINE size_t wide_codes_bytes(struct kind kind)
{
    return (size_t)kind_run(kind) * kind_runs(kind) * PANEL_LINE;
}

SIMD_INLINE void unpack(struct kind kind, struct wide *wide, const uint8_t *panel, uint32_t n_units)
{
    uint32_t n_subs = kind_subs(kind);
    for (uint32_t i = 0; i < n_units; i++) {
        const uint8_t *block = panel + i / n_subs * kind_block_bytes(kind);
        const uint8_t *codes = block + kind_head_bytes(kind) + i % n_subs * kind_codes_bytes(kind);
        __m256i *to = (__m256i *)(wide->codes + i * wide_codes_bytes(kind));
        struct wide_scales *scales = &wide->scales[i];
        struct unit u = {.file_block = block, .sub = i % n_subs};
        SIMD_UNROLL
        for (int line = 0; line < kind_run(kind) * kind_runs(kind); line++) {
            for (int h = 0; h < HALVES; h++)
                to[2 * line + h] = read_codes(kind, codes, line / kind_run(kind), line % kind_run(kind), h);
        }
        for (int h = 0; h < HALVES; h++) {
            _mm256_store_ps(scales->scale + 8 * h, unit_scale(kind, &u, h));
            if (kind.has_min)
                _mm256_store_ps(scales->minimum + 8 * h, unit_minimum(kind, &u, h));
            for (int j = 0; kind.scale == QUANT_SCALE_D_SC16 && j < 2; j++)
                _mm256_store_si256((__m256i *)(scales->factor[j] + 8 * h), unit_factor(kind, &u, j, h));
        }
    }
}

// An unpacked piece times 4 columns; acts_ahead: the piece of the next tile, fetched meanwhile.
SIMD_INLINE void unpacked_times_tile(struct kind kind, const struct wide *wide, const struct piece *pc,
                                     const uint8_t *acts_ahead)
{
    __m256 acc[ACTS_TILE][HALVES];
    load_sums(ACTS_TILE, pc, acc);
    for (uint32_t i = 0; i < pc->n_units; i++) {
        size_t at = (size_t)i * ACTS_TILE * ACTS_BLOCK_BYTES;
        SIMD_UNROLL
        for (int line = 0; line < ACTS_TILE * ACTS_BLOCK_BYTES / PANEL_LINE; line++)
            _mm_prefetch((const char *)acts_ahead + at + PANEL_LINE * line, _MM_HINT_T0);
        struct unit u = {.codes = wide->codes + i * wide_codes_bytes(kind), .wide = &wide->scales[i]};
        add_unit(kind, ACTS_TILE, &u, pc->acts + at, acc);
    }
    store_sums(ACTS_TILE, pc, acc);
}

// The whole tiles of panel p, units [begin, end).
SIMD_INLINE void panel_unpacked(struct kind kind, const struct matrix *m, const struct acts *a, uint32_t p,
                                uint32_t begin, uint32_t end, const struct output *out)
{
    struct kind unpacked = kind;
    unpacked.unpacked = true;
    struct wide wide;
    for (uint32_t u = begin; u < end; u += WIDE_UNITS) {
        uint32_t u_end = end - u < WIDE_UNITS ? end : u + WIDE_UNITS;
        for (uint32_t t = 0; t < a->n_columns / ACTS_TILE; t++) {
            struct piece pc = kind_piece(kind, m, a, p, t, u, u_end),
                         next = kind_piece(kind, m, a, p, t + 1, u, u_end);
            pc.out = out->at + t * ACTS_TILE * out->stride + (size_t)p * PANEL_ROWS;
            pc.out_stride = out->stride;
            if (t == 0)
                unpack(kind, &wide, pc.panel, pc.n_units);
            unpacked_times_tile(unpacked, &wide, &pc, next.acts);
        }
    }
}

// Tiles from tile_begin on of panel p, units [begin, end).
SIMD_INLINE void panel_packed(struct kind kind, const struct matrix *m, const struct acts *a, uint32_t p,
                              uint32_t begin, uint32_t end, const struct output *out)
{
    for (uint32_t t = out->tile_begin; t < acts_tiles(a); t++) {
        struct piece pc = kind_piece(kind, m, a, p, t, begin, end);
        pc.out = out->at + t * ACTS_TILE * out->stride + (size_t)p * PANEL_ROWS;
        pc.out_stride = out->stride;
        switch (acts_tile_width(a, t)) {
        case 1:
            packed_times_tile(kind, 1, &pc);
            break;
        case 2:
            packed_times_tile(kind, 2, &pc);
            break;
        case 3:
            packed_times_tile(kind, 3, &pc);
            break;
        default:
            packed_times_tile(kind, 4, &pc);
        }
    }
}

SIMD_INLINE void matmul_avx2(struct kind kind, const struct matrix *m, const struct acts *a,
                             uint32_t panel_begin, uint32_t panel_end, const struct output *out)
{
    uint32_t n_units = a->k / QUANT_BLOCK, range = kind_range(a);
    struct panels all = {panel_begin, panel_end};
    if (a->n_columns == 1)
        panel_begin += panels_narrow(kind, 1, m, a, all, out);
    else if (a->n_columns == 2)
        panel_begin += panels_narrow(kind, 2, m, a, all, out);
    for (uint32_t u = 0; u < n_units; u += range) {
        uint32_t end = n_units - u < range ? n_units : u + range;
        for (uint32_t p = panel_begin; p < panel_end; p++) {
            if (out->tile_begin > 0)
                panel_unpacked(kind, m, a, p, u, end, out);
            panel_packed(kind, m, a, p, u, end, out);
        }
    }
}

#define MATMUL(type, kind)                                                                                   \
    static void matmul_##type##_avx2(const struct matrix *m, const struct acts *a, uint32_t panel_begin,     \
                                     uint32_t panel_end, float *out, size_t out_stride)                      \
    {                                                                                                        \
        bool is_wide = (kind.bits == 5 || kind.bits == 6) && a->n_columns / ACTS_TILE > WIDE_TILES;          \
        struct output output = {out, out_stride, is_wide ? a->n_columns / ACTS_TILE : 0};                    \
        matmul_avx2(kind, m, a, panel_begin, panel_end, &output);                                            \
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
    k->acts_residual_q8 = acts_residual_q8_avx2;
}
