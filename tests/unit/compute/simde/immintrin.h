// SPDX-License-Identifier: MIT
// Stands in front of the compiler's immintrin.h when the *_avx512.c sources are built for tests on a machine
// without AVX-512: SIMDe gives their instructions in terms of AVX2, and what SIMDe lacks follows here, lane
// by lane or by halves.
#pragma once

#include_next <immintrin.h>

#include <stdint.h>
#include <string.h>

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>

union simde_halves {
    simde__m512 ps;
    simde__m512d pd;
    simde__m512i si;
    __m256 half_ps[2];
    __m256d half_pd[2];
    __m256i half_si[2];
    float f[16];
    uint32_t u[16];
};

static inline simde__m512 shim_loadu_part(simde__mmask16 mask, const void *p)
{
    union simde_halves r;
    memset(&r, 0, sizeof r);
    for (int i = 0; i < 16; i++)
        if (mask >> i & 1)
            memcpy(&r.f[i], (const float *)p + i, sizeof(float));
    return r.ps;
}
#undef _mm512_maskz_loadu_ps
#define _mm512_maskz_loadu_ps(mask, p) shim_loadu_part(mask, p)

static inline void shim_storeu_part(void *p, simde__mmask16 mask, simde__m512 a)
{
    union simde_halves r = {.ps = a};
    for (int i = 0; i < 16; i++)
        if (mask >> i & 1)
            memcpy((float *)p + i, &r.f[i], sizeof(float));
}
#undef _mm512_mask_storeu_ps
#define _mm512_mask_storeu_ps(p, mask, a) shim_storeu_part(p, mask, a)

static inline simde__m512 shim_cvtph_ps(__m256i a)
{
    union simde_halves r = {.half_ps = {_mm256_cvtph_ps(_mm256_castsi256_si128(a)),
                                        _mm256_cvtph_ps(_mm256_extracti128_si256(a, 1))}};
    return r.ps;
}
#undef _mm512_cvtph_ps
#define _mm512_cvtph_ps(a) shim_cvtph_ps(a)

static inline __m256i shim_cvtps_ph(simde__m512 a)
{
    union simde_halves r = {.ps = a};
    return _mm256_set_m128i(_mm256_cvtps_ph(r.half_ps[1], _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
                            _mm256_cvtps_ph(r.half_ps[0], _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
#undef _mm512_cvtps_ph
#define _mm512_cvtps_ph(a, rounding) shim_cvtps_ph(a) // always to nearest even

static inline simde__m512i shim_cvtepu16_epi32(__m256i a)
{
    union simde_halves r = {.half_si = {_mm256_cvtepu16_epi32(_mm256_castsi256_si128(a)),
                                        _mm256_cvtepu16_epi32(_mm256_extracti128_si256(a, 1))}};
    return r.si;
}
#undef _mm512_cvtepu16_epi32
#define _mm512_cvtepu16_epi32(a) shim_cvtepu16_epi32(a)

static inline simde__m512i shim_cvtepu8_epi32(__m128i a)
{
    union simde_halves r = {.half_si = {_mm256_cvtepu8_epi32(a), _mm256_cvtepu8_epi32(_mm_srli_si128(a, 8))}};
    return r.si;
}
#undef _mm512_cvtepu8_epi32
#define _mm512_cvtepu8_epi32(a) shim_cvtepu8_epi32(a)

static inline simde__m512i shim_cvtepi8_epi32(__m128i a)
{
    union simde_halves r = {.half_si = {_mm256_cvtepi8_epi32(a), _mm256_cvtepi8_epi32(_mm_srli_si128(a, 8))}};
    return r.si;
}
#undef _mm512_cvtepi8_epi32
#define _mm512_cvtepi8_epi32(a) shim_cvtepi8_epi32(a)

static inline simde__m512 shim_cvtepi32_ps(simde__m512i a)
{
    union simde_halves r = {.si = a};
    r.half_ps[0] = _mm256_cvtepi32_ps(r.half_si[0]);
    r.half_ps[1] = _mm256_cvtepi32_ps(r.half_si[1]);
    return r.ps;
}
#undef _mm512_cvtepi32_ps
#define _mm512_cvtepi32_ps(a) shim_cvtepi32_ps(a)

static inline __m256i shim_cvtepi32_epi16(simde__m512i a)
{
    union simde_halves r = {.si = a};
    union {
        uint16_t u[16];
        __m256i si;
    } out;
    for (int i = 0; i < 16; i++)
        out.u[i] = (uint16_t)r.u[i];
    return out.si;
}
#undef _mm512_cvtepi32_epi16
#define _mm512_cvtepi32_epi16(a) shim_cvtepi32_epi16(a)

static inline simde__m512d shim_cvtps_pd(__m256 a)
{
    union simde_halves r = {.half_pd = {_mm256_cvtps_pd(_mm256_castps256_ps128(a)),
                                        _mm256_cvtps_pd(_mm256_extractf128_ps(a, 1))}};
    return r.pd;
}
#undef _mm512_cvtps_pd
#define _mm512_cvtps_pd(a) shim_cvtps_pd(a)

static inline simde__m512 shim_fmaddsub_ps(simde__m512 a, simde__m512 b, simde__m512 c)
{
    union simde_halves x = {.ps = a}, y = {.ps = b}, z = {.ps = c};
    x.half_ps[0] = _mm256_fmaddsub_ps(x.half_ps[0], y.half_ps[0], z.half_ps[0]);
    x.half_ps[1] = _mm256_fmaddsub_ps(x.half_ps[1], y.half_ps[1], z.half_ps[1]);
    return x.ps;
}
#undef _mm512_fmaddsub_ps
#define _mm512_fmaddsub_ps(a, b, c) shim_fmaddsub_ps(a, b, c)

static inline __m256 shim_extractf32x8_ps(simde__m512 a, int half)
{
    union simde_halves r = {.ps = a};
    return r.half_ps[half];
}
#undef _mm512_extractf32x8_ps
#define _mm512_extractf32x8_ps(a, half) shim_extractf32x8_ps(a, half)

static inline simde__m512 shim_permute_ps(simde__m512 a, int control)
{
    union simde_halves x = {.ps = a}, r;
    for (int i = 0; i < 16; i++)
        r.f[i] = x.f[i / 4 * 4 + (control >> (i % 4 * 2) & 3)];
    return r.ps;
}
#undef _mm512_permute_ps
#define _mm512_permute_ps(a, control) shim_permute_ps(a, control)

// With SIMDe's own the count must be a constant, which it is only after inlining.
static inline simde__m512i shim_srli_epi16(simde__m512i a, unsigned n)
{
    union simde_halves r = {.si = a};
    r.half_si[0] = _mm256_srl_epi16(r.half_si[0], _mm_cvtsi32_si128((int)n));
    r.half_si[1] = _mm256_srl_epi16(r.half_si[1], _mm_cvtsi32_si128((int)n));
    return r.si;
}
#undef _mm512_srli_epi16
#define _mm512_srli_epi16(a, n) shim_srli_epi16(a, n)

static inline simde__m512i shim_slli_epi16(simde__m512i a, unsigned n)
{
    union simde_halves r = {.si = a};
    r.half_si[0] = _mm256_sll_epi16(r.half_si[0], _mm_cvtsi32_si128((int)n));
    r.half_si[1] = _mm256_sll_epi16(r.half_si[1], _mm_cvtsi32_si128((int)n));
    return r.si;
}
#undef _mm512_slli_epi16
#define _mm512_slli_epi16(a, n) shim_slli_epi16(a, n)
