// SPDX-License-Identifier: MIT
// Sixteen fp32 lanes as one AVX-512 register: the names and the bits of lanes_avx2.h.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "compute/cpu/math_consts.h"
#include "compute/cpu/x86/simd_x86.h"

// One register, for tiles that count them.
typedef __m512 vreg;
enum { VREG_LANES = 16 };

SIMD_INLINE vreg vreg_set1(float x)
{
    return _mm512_set1_ps(x);
}

SIMD_INLINE vreg vreg_load(const float *p)
{
    return _mm512_loadu_ps(p);
}

SIMD_INLINE vreg vreg_load_f16(const uint16_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}

SIMD_INLINE vreg vreg_load_bf16(const uint16_t *p)
{
    __m512i bits = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(bits, 16));
}

SIMD_INLINE vreg vreg_load_i8(const int8_t *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
}

SIMD_INLINE void vreg_store(float *p, vreg a)
{
    _mm512_storeu_ps(p, a);
}

SIMD_INLINE vreg vreg_mul(vreg a, vreg b)
{
    return _mm512_mul_ps(a, b);
}

SIMD_INLINE vreg vreg_fma(vreg a, vreg b, vreg c)
{
    return _mm512_fmadd_ps(a, b, c);
}

struct v16 {
    __m512 v;
};
struct d16 {
    __m512d lo, hi;
};

SIMD_INLINE struct v16 v16_set1(float x)
{
    return (struct v16){_mm512_set1_ps(x)};
}

SIMD_INLINE struct v16 v16_load(const float *p)
{
    return (struct v16){_mm512_loadu_ps(p)};
}

SIMD_INLINE void v16_store(float *p, struct v16 a)
{
    _mm512_storeu_ps(p, a.v);
}

// Lanes [from, to); from <= to <= 16.
SIMD_INLINE __mmask16 v16_range(int from, int to)
{
    return (__mmask16)(((1u << to) - 1) & ~((1u << from) - 1));
}

// The first n lanes, n < 16; the others are 0. Touches no byte beyond them.
SIMD_INLINE struct v16 v16_load_part(const float *p, int n)
{
    return (struct v16){_mm512_maskz_loadu_ps(v16_range(0, n), p)};
}

SIMD_INLINE void v16_store_part(float *p, struct v16 a, int n)
{
    _mm512_mask_storeu_ps(p, v16_range(0, n), a.v);
}

// Lanes outside [from, to) become `other`.
SIMD_INLINE struct v16 v16_keep(struct v16 a, int from, int to, struct v16 other)
{
    return (struct v16){_mm512_mask_blend_ps(v16_range(from, to), other.v, a.v)};
}

SIMD_INLINE struct v16 v16_load_f16(const uint16_t *p)
{
    return (struct v16){vreg_load_f16(p)};
}

SIMD_INLINE struct v16 v16_load_bf16(const uint16_t *p)
{
    return (struct v16){vreg_load_bf16(p)};
}

SIMD_INLINE void v16_store_f16(uint16_t *p, struct v16 a)
{
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

SIMD_INLINE void v16_store_bf16(uint16_t *p, struct v16 a)
{
    __m512i bits = _mm512_castps_si512(a.v);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x400000));
    __mmask16 is_nan = _mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q);
    __m512i chosen = _mm512_mask_blend_epi32(is_nan, rounded, quiet);
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtepi32_epi16(_mm512_srli_epi32(chosen, 16)));
}

SIMD_INLINE struct v16 v16_add(struct v16 a, struct v16 b)
{
    return (struct v16){_mm512_add_ps(a.v, b.v)};
}

SIMD_INLINE struct v16 v16_sub(struct v16 a, struct v16 b)
{
    return (struct v16){_mm512_sub_ps(a.v, b.v)};
}

SIMD_INLINE struct v16 v16_mul(struct v16 a, struct v16 b)
{
    return (struct v16){_mm512_mul_ps(a.v, b.v)};
}

SIMD_INLINE struct v16 v16_div(struct v16 a, struct v16 b)
{
    return (struct v16){_mm512_div_ps(a.v, b.v)};
}

// a * b + c, rounded once.
SIMD_INLINE struct v16 v16_fma(struct v16 a, struct v16 b, struct v16 c)
{
    return (struct v16){_mm512_fmadd_ps(a.v, b.v, c.v)};
}

// Even lanes a * b - c, odd lanes a * b + c.
SIMD_INLINE struct v16 v16_fmaddsub(struct v16 a, struct v16 b, struct v16 c)
{
    return (struct v16){_mm512_fmaddsub_ps(a.v, b.v, c.v)};
}

// a * b - c
SIMD_INLINE struct v16 v16_fmsub(struct v16 a, struct v16 b, struct v16 c)
{
    return (struct v16){_mm512_fmsub_ps(a.v, b.v, c.v)};
}

// a > b ? a : b
SIMD_INLINE struct v16 v16_max(struct v16 a, struct v16 b)
{
    return (struct v16){_mm512_max_ps(a.v, b.v)};
}

// a <= b ? yes : no
SIMD_INLINE struct v16 v16_select_le(struct v16 a, struct v16 b, struct v16 yes, struct v16 no)
{
    return (struct v16){_mm512_mask_blend_ps(_mm512_cmp_ps_mask(a.v, b.v, _CMP_LE_OQ), no.v, yes.v)};
}

// One bit a lane.
SIMD_INLINE uint32_t v16_equal_bits(struct v16 a, struct v16 b)
{
    return _mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ);
}

// The magnitude of a, the sign of b.
SIMD_INLINE struct v16 v16_copysign(struct v16 a, struct v16 b)
{
    __m512i sign = _mm512_set1_epi32(INT32_MIN);
    __m512i magnitude = _mm512_andnot_si512(sign, _mm512_castps_si512(a.v));
    return (struct v16){
        _mm512_castsi512_ps(_mm512_or_si512(magnitude, _mm512_and_si512(sign, _mm512_castps_si512(b.v))))};
}

// p * 2^n where the low bits of t hold n: what exp needs.
SIMD_INLINE struct v16 v16_scale_by_bits(struct v16 p, struct v16 t)
{
    __m512i exponent = _mm512_slli_epi32(_mm512_castps_si512(t.v), 23);
    return (struct v16){_mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(p.v), exponent))};
}

// Lanes (0,1), (2,3).. exchanged; even lanes twice; odd lanes twice.
SIMD_INLINE struct v16 v16_swap_pairs(struct v16 a)
{
    return (struct v16){_mm512_permute_ps(a.v, 0xb1)};
}

SIMD_INLINE struct v16 v16_even_twice(struct v16 a)
{
    return (struct v16){_mm512_permute_ps(a.v, 0xa0)};
}

SIMD_INLINE struct v16 v16_odd_twice(struct v16 a)
{
    return (struct v16){_mm512_permute_ps(a.v, 0xf5)};
}

// The even (odd) lanes of a, then those of b.
SIMD_INLINE struct v16 v16_evens(struct v16 a, struct v16 b)
{
    __m512i index = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    return (struct v16){_mm512_permutex2var_ps(a.v, index, b.v)};
}

SIMD_INLINE struct v16 v16_odds(struct v16 a, struct v16 b)
{
    __m512i index = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
    return (struct v16){_mm512_permutex2var_ps(a.v, index, b.v)};
}

// The pairwise tree: lane j + lane j+8, then +4, +2, +1.
SIMD_INLINE float v16_tree_add(struct v16 a)
{
    __m256 v8 = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
    __m128 v4 = _mm_add_ps(_mm256_castps256_ps128(v8), _mm256_extractf128_ps(v8, 1));
    __m128 v2 = _mm_add_ps(v4, _mm_movehl_ps(v4, v4));
    return _mm_cvtss_f32(_mm_add_ss(v2, _mm_movehdup_ps(v2)));
}

SIMD_INLINE float v16_tree_max(struct v16 a)
{
    __m256 v8 = _mm256_max_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
    __m128 v4 = _mm_max_ps(_mm256_castps256_ps128(v8), _mm256_extractf128_ps(v8, 1));
    __m128 v2 = _mm_max_ps(v4, _mm_movehl_ps(v4, v4));
    return _mm_cvtss_f32(_mm_max_ss(v2, _mm_movehdup_ps(v2)));
}

SIMD_INLINE struct d16 d16_zero(void)
{
    return (struct d16){_mm512_setzero_pd(), _mm512_setzero_pd()};
}

SIMD_INLINE struct d16 d16_add_v16(struct d16 sum, struct v16 a)
{
    return (struct d16){_mm512_add_pd(sum.lo, _mm512_cvtps_pd(_mm512_castps512_ps256(a.v))),
                        _mm512_add_pd(sum.hi, _mm512_cvtps_pd(_mm512_extractf32x8_ps(a.v, 1)))};
}

SIMD_INLINE double d16_tree_add(struct d16 a)
{
    __m512d v8 = _mm512_add_pd(a.lo, a.hi);
    __m256d v4 = _mm256_add_pd(_mm512_castpd512_pd256(v8), _mm512_extractf64x4_pd(v8, 1));
    __m128d v2 = _mm_add_pd(_mm256_castpd256_pd128(v4), _mm256_extractf128_pd(v4, 1));
    return _mm_cvtsd_f64(_mm_add_sd(v2, _mm_unpackhi_pd(v2, v2)));
}
