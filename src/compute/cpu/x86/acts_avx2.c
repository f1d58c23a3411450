// SPDX-License-Identifier: MIT
// Quantising activations, 8 values a register. The same bits as cpu/ref/acts_ref.c.
#include "compute/acts.h"
#include "compute/cpu/x86/simd_x86.h"
#include "compute/kernels.h"

static inline uint32_t max_magnitude_bits(const __m256 x[4])
{
    __m256i mask = _mm256_set1_epi32(0x7fffffff);
    __m256i a = _mm256_max_epi32(_mm256_and_si256(_mm256_castps_si256(x[0]), mask),
                                 _mm256_and_si256(_mm256_castps_si256(x[1]), mask));
    __m256i b = _mm256_max_epi32(_mm256_and_si256(_mm256_castps_si256(x[2]), mask),
                                 _mm256_and_si256(_mm256_castps_si256(x[3]), mask));
    a = _mm256_max_epi32(a, b);
    __m128i m = _mm_max_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0x4e));
    m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0xb1));
    return (uint32_t)_mm_cvtsi128_si32(m);
}

// 32 values to 32 codes in order.
static inline __m256i quantise(const __m256 x[4], float inverse)
{
    __m256 scale = _mm256_set1_ps(inverse);
    __m256i q0 = _mm256_cvtps_epi32(_mm256_mul_ps(x[0], scale)),
            q1 = _mm256_cvtps_epi32(_mm256_mul_ps(x[1], scale));
    __m256i q2 = _mm256_cvtps_epi32(_mm256_mul_ps(x[2], scale)),
            q3 = _mm256_cvtps_epi32(_mm256_mul_ps(x[3], scale));
    __m256i q = _mm256_packs_epi16(_mm256_packs_epi32(q0, q1), _mm256_packs_epi32(q2, q3));
    return _mm256_permutevar8x32_epi32(q, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

static inline void store_block(uint8_t *block, uint32_t w, uint32_t c, const float *values)
{
    __m256 x[4] = {_mm256_loadu_ps(values), _mm256_loadu_ps(values + 8), _mm256_loadu_ps(values + 16),
                   _mm256_loadu_ps(values + 24)};
    __m256i q = _mm256_setzero_si256();
    union {
        uint32_t bits;
        float f;
    } amax = {.bits = max_magnitude_bits(x)}, d = {.bits = 0};
    if (amax.bits >= 0x7f800000) {
        d.bits = 0x7fc00000;
    } else if (amax.f >= ACTS_TINY) {
        d.f = amax.f / 127.0f;
        q = quantise(x, 127.0f / amax.f);
    }
    __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), q);
    __m256i fours = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
    __m256i sums = _mm256_hadd_epi32(fours, fours);
    sums = _mm256_hadd_epi32(sums, sums); // all lanes of a half alike
    int32_t half0 = _mm256_extract_epi32(sums, 0), half1 = _mm256_extract_epi32(sums, 4);

    uint32_t words[8];
    _mm256_storeu_si256((__m256i *)words, q);
    uint32_t *to = (uint32_t *)block + c;
    for (int g = 0; g < 8; g++)
        to[(size_t)g * w] = words[g];
    acts_d(block, w)[c] = d.f;
    acts_ds(block, w)[c] = d.f * (float)(half0 + half1);
    acts_sum(block, w)[c] = half0 + half1;
    acts_half(block, w)[2 * c] = (int16_t)half0;
    acts_half(block, w)[2 * c + 1] = (int16_t)half1;
}

void acts_store_q8_avx2(struct acts *a, uint32_t column, uint32_t block_begin, uint32_t block_end,
                        const float *values)
{
    uint32_t tile = column / ACTS_TILE, w = acts_tile_width(a, tile);
    uint8_t *block = acts_tile(a, tile) + (size_t)block_begin * w * ACTS_BLOCK_BYTES;
    for (uint32_t b = block_begin; b < block_end; b++, block += w * ACTS_BLOCK_BYTES, values += QUANT_BLOCK)
        store_block(block, w, column % ACTS_TILE, values);
}

void acts_residual_q8_avx2(const struct acts *a, uint32_t column, uint32_t block_begin, uint32_t block_end,
                           const float *values, float *out)
{
    uint32_t tile = column / ACTS_TILE, w = acts_tile_width(a, tile), c = column % ACTS_TILE;
    uint8_t *block = acts_tile(a, tile) + (size_t)block_begin * w * ACTS_BLOCK_BYTES;
    for (uint32_t b = block_begin; b < block_end; b++, block += w * ACTS_BLOCK_BYTES) {
        const int *words = (const int *)block + c;
        __m256 d = _mm256_broadcast_ss(acts_d(block, w) + c);
        for (int g = 0; g < 8; g += 2, values += 8, out += 8) {
            __m128i codes = _mm_unpacklo_epi32(_mm_cvtsi32_si128(words[(size_t)g * w]),
                                               _mm_cvtsi32_si128(words[(size_t)(g + 1) * w]));
            __m256 q = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(codes));
            _mm256_storeu_ps(out, _mm256_sub_ps(_mm256_loadu_ps(values), _mm256_mul_ps(d, q)));
        }
    }
}
