// SPDX-License-Identifier: MIT
// Sixteen fp32 lanes as two AVX2 registers. lanes_avx512.h offers the same names; vec_body.h and
// attention_body.h are written once over them. Every operation is exact per lane as in cpu/ref, so both
// levels give the bits of ref.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "compute/cpu/math_consts.h"
#include "compute/cpu/x86/simd_x86.h"

// One register, for tiles that count them.
typedef __m256 vreg;
enum { VREG_LANES = 8 };

SIMD_INLINE vreg vreg_set1(float x)
{
    return _mm256_set1_ps(x);
}

SIMD_INLINE vreg vreg_load(const float *p)
{
    return _mm256_loadu_ps(p);
}

SIMD_INLINE vreg vreg_load_f16(const uint16_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}

SIMD_INLINE vreg vreg_load_bf16(const uint16_t *p)
{
    __m256i bits = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(bits, 16));
}

SIMD_INLINE vreg vreg_load_i8(const int8_t *p)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}

SIMD_INLINE void vreg_store(float *p, vreg a)
{
    _mm256_storeu_ps(p, a);
}

SIMD_INLINE vreg vreg_mul(vreg a, vreg b)
{
    return _mm256_mul_ps(a, b);
}

SIMD_INLINE vreg vreg_fma(vreg a, vreg b, vreg c)
{
    return _mm256_fmadd_ps(a, b, c);
}

struct v16 {
    __m256 lo, hi;
};
struct d16 {
    __m256d part[4];
};

SIMD_INLINE struct v16 v16_set1(float x)
{
    return (struct v16){_mm256_set1_ps(x), _mm256_set1_ps(x)};
}

SIMD_INLINE struct v16 v16_load(const float *p)
{
    return (struct v16){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}

SIMD_INLINE void v16_store(float *p, struct v16 a)
{
    _mm256_storeu_ps(p, a.lo);
    _mm256_storeu_ps(p + 8, a.hi);
}

// Lanes [from, to) all ones; from <= to <= 16.
SIMD_INLINE void v16_range(int from, int to, __m256i *lo, __m256i *hi)
{
    __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7),
            high = _mm256_add_epi32(index, _mm256_set1_epi32(8));
    __m256i before = _mm256_set1_epi32(from - 1), end = _mm256_set1_epi32(to);
    *lo = _mm256_and_si256(_mm256_cmpgt_epi32(index, before), _mm256_cmpgt_epi32(end, index));
    *hi = _mm256_and_si256(_mm256_cmpgt_epi32(high, before), _mm256_cmpgt_epi32(end, high));
}

// The first n lanes, n < 16; the others are 0. Touches no byte beyond them.
SIMD_INLINE struct v16 v16_load_part(const float *p, int n)
{
    __m256i lo, hi;
    v16_range(0, n, &lo, &hi);
    return (struct v16){_mm256_maskload_ps(p, lo), _mm256_maskload_ps(p + 8, hi)};
}

SIMD_INLINE void v16_store_part(float *p, struct v16 a, int n)
{
    __m256i lo, hi;
    v16_range(0, n, &lo, &hi);
    _mm256_maskstore_ps(p, lo, a.lo);
    _mm256_maskstore_ps(p + 8, hi, a.hi);
}

// Lanes outside [from, to) become `other`.
SIMD_INLINE struct v16 v16_keep(struct v16 a, int from, int to, struct v16 other)
{
    __m256i lo, hi;
    v16_range(from, to, &lo, &hi);
    return (struct v16){_mm256_blendv_ps(other.lo, a.lo, _mm256_castsi256_ps(lo)),
                        _mm256_blendv_ps(other.hi, a.hi, _mm256_castsi256_ps(hi))};
}

SIMD_INLINE struct v16 v16_load_f16(const uint16_t *p)
{
    return (struct v16){vreg_load_f16(p), vreg_load_f16(p + 8)};
}

SIMD_INLINE struct v16 v16_load_bf16(const uint16_t *p)
{
    return (struct v16){vreg_load_bf16(p), vreg_load_bf16(p + 8)};
}

SIMD_INLINE void v16_store_f16(uint16_t *p, struct v16 a)
{
    _mm_storeu_si128((__m128i *)p, _mm256_cvtps_ph(a.lo, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    _mm_storeu_si128((__m128i *)(p + 8),
                     _mm256_cvtps_ph(a.hi, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

SIMD_INLINE __m256i bf16_narrow(__m256 a)
{
    __m256i bits = _mm256_castps_si256(a);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_UNORD_Q));
    return _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, is_nan), 16);
}

SIMD_INLINE void v16_store_bf16(uint16_t *p, struct v16 a)
{
    __m256i both = _mm256_packus_epi32(bf16_narrow(a.lo), bf16_narrow(a.hi));
    _mm256_storeu_si256((__m256i *)p, _mm256_permute4x64_epi64(both, 0xd8));
}

SIMD_INLINE struct v16 v16_add(struct v16 a, struct v16 b)
{
    return (struct v16){_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)};
}

SIMD_INLINE struct v16 v16_sub(struct v16 a, struct v16 b)
{
    return (struct v16){_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)};
}

SIMD_INLINE struct v16 v16_mul(struct v16 a, struct v16 b)
{
    return (struct v16){_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)};
}

SIMD_INLINE struct v16 v16_div(struct v16 a, struct v16 b)
{
    return (struct v16){_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)};
}

// a * b + c, rounded once.
SIMD_INLINE struct v16 v16_fma(struct v16 a, struct v16 b, struct v16 c)
{
    return (struct v16){_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}

// Even lanes a * b - c, odd lanes a * b + c.
SIMD_INLINE struct v16 v16_fmaddsub(struct v16 a, struct v16 b, struct v16 c)
{
    return (struct v16){_mm256_fmaddsub_ps(a.lo, b.lo, c.lo), _mm256_fmaddsub_ps(a.hi, b.hi, c.hi)};
}

// a * b - c
SIMD_INLINE struct v16 v16_fmsub(struct v16 a, struct v16 b, struct v16 c)
{
    return (struct v16){_mm256_fmsub_ps(a.lo, b.lo, c.lo), _mm256_fmsub_ps(a.hi, b.hi, c.hi)};
}

// a > b ? a : b
SIMD_INLINE struct v16 v16_max(struct v16 a, struct v16 b)
{
    return (struct v16){_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)};
}

// a <= b ? yes : no
SIMD_INLINE struct v16 v16_select_le(struct v16 a, struct v16 b, struct v16 yes, struct v16 no)
{
    return (struct v16){_mm256_blendv_ps(no.lo, yes.lo, _mm256_cmp_ps(a.lo, b.lo, _CMP_LE_OQ)),
                        _mm256_blendv_ps(no.hi, yes.hi, _mm256_cmp_ps(a.hi, b.hi, _CMP_LE_OQ))};
}

// One bit a lane.
SIMD_INLINE uint32_t v16_equal_bits(struct v16 a, struct v16 b)
{
    int lo = _mm256_movemask_ps(_mm256_cmp_ps(a.lo, b.lo, _CMP_EQ_OQ));
    int hi = _mm256_movemask_ps(_mm256_cmp_ps(a.hi, b.hi, _CMP_EQ_OQ));
    return (uint32_t)(lo | hi << 8);
}

// The magnitude of a, the sign of b.
SIMD_INLINE struct v16 v16_copysign(struct v16 a, struct v16 b)
{
    __m256 sign = _mm256_set1_ps(-0.0f);
    return (struct v16){_mm256_or_ps(_mm256_andnot_ps(sign, a.lo), _mm256_and_ps(sign, b.lo)),
                        _mm256_or_ps(_mm256_andnot_ps(sign, a.hi), _mm256_and_ps(sign, b.hi))};
}

SIMD_INLINE __m256 scale_by_bits(__m256 p, __m256 t)
{
    __m256i exponent = _mm256_slli_epi32(_mm256_castps_si256(t), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), exponent));
}

// p * 2^n where the low bits of t hold n: what exp needs.
SIMD_INLINE struct v16 v16_scale_by_bits(struct v16 p, struct v16 t)
{
    return (struct v16){scale_by_bits(p.lo, t.lo), scale_by_bits(p.hi, t.hi)};
}

// Lanes (0,1), (2,3).. exchanged; even lanes twice; odd lanes twice.
SIMD_INLINE struct v16 v16_swap_pairs(struct v16 a)
{
    return (struct v16){_mm256_permute_ps(a.lo, 0xb1), _mm256_permute_ps(a.hi, 0xb1)};
}

SIMD_INLINE struct v16 v16_even_twice(struct v16 a)
{
    return (struct v16){_mm256_moveldup_ps(a.lo), _mm256_moveldup_ps(a.hi)};
}

SIMD_INLINE struct v16 v16_odd_twice(struct v16 a)
{
    return (struct v16){_mm256_movehdup_ps(a.lo), _mm256_movehdup_ps(a.hi)};
}

SIMD_INLINE __m256 take_evens(__m256 a, __m256 b)
{
    __m256d mixed = _mm256_castps_pd(_mm256_shuffle_ps(a, b, 0x88));
    return _mm256_castpd_ps(_mm256_permute4x64_pd(mixed, 0xd8));
}

SIMD_INLINE __m256 take_odds(__m256 a, __m256 b)
{
    __m256d mixed = _mm256_castps_pd(_mm256_shuffle_ps(a, b, 0xdd));
    return _mm256_castpd_ps(_mm256_permute4x64_pd(mixed, 0xd8));
}

// The even (odd) lanes of a, then those of b.
SIMD_INLINE struct v16 v16_evens(struct v16 a, struct v16 b)
{
    return (struct v16){take_evens(a.lo, a.hi), take_evens(b.lo, b.hi)};
}

SIMD_INLINE struct v16 v16_odds(struct v16 a, struct v16 b)
{
    return (struct v16){take_odds(a.lo, a.hi), take_odds(b.lo, b.hi)};
}

// The pairwise tree: lane j + lane j+8, then +4, +2, +1.
SIMD_INLINE float v16_tree_add(struct v16 a)
{
    __m256 v8 = _mm256_add_ps(a.lo, a.hi);
    __m128 v4 = _mm_add_ps(_mm256_castps256_ps128(v8), _mm256_extractf128_ps(v8, 1));
    __m128 v2 = _mm_add_ps(v4, _mm_movehl_ps(v4, v4));
    return _mm_cvtss_f32(_mm_add_ss(v2, _mm_movehdup_ps(v2)));
}

SIMD_INLINE float v16_tree_max(struct v16 a)
{
    __m256 v8 = _mm256_max_ps(a.lo, a.hi);
    __m128 v4 = _mm_max_ps(_mm256_castps256_ps128(v8), _mm256_extractf128_ps(v8, 1));
    __m128 v2 = _mm_max_ps(v4, _mm_movehl_ps(v4, v4));
    return _mm_cvtss_f32(_mm_max_ss(v2, _mm_movehdup_ps(v2)));
}

SIMD_INLINE struct d16 d16_zero(void)
{
    __m256d zero = _mm256_setzero_pd();
    return (struct d16){{zero, zero, zero, zero}};
}

SIMD_INLINE struct d16 d16_add_v16(struct d16 sum, struct v16 a)
{
    return (struct d16){{_mm256_add_pd(sum.part[0], _mm256_cvtps_pd(_mm256_castps256_ps128(a.lo))),
                         _mm256_add_pd(sum.part[1], _mm256_cvtps_pd(_mm256_extractf128_ps(a.lo, 1))),
                         _mm256_add_pd(sum.part[2], _mm256_cvtps_pd(_mm256_castps256_ps128(a.hi))),
                         _mm256_add_pd(sum.part[3], _mm256_cvtps_pd(_mm256_extractf128_ps(a.hi, 1)))}};
}

SIMD_INLINE double d16_tree_add(struct d16 a)
{
    __m256d v4 = _mm256_add_pd(_mm256_add_pd(a.part[0], a.part[2]), _mm256_add_pd(a.part[1], a.part[3]));
    __m128d v2 = _mm_add_pd(_mm256_castpd256_pd128(v4), _mm256_extractf128_pd(v4, 1));
    return _mm_cvtsd_f64(_mm_add_sd(v2, _mm_unpackhi_pd(v2, v2)));
}
