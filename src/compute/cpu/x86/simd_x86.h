// SPDX-License-Identifier: MIT
// The processor's vector operations, and what keeps the compiler from undoing a loop's order.
#pragma once

#include <immintrin.h>

// Calls stay calls where inlining everything would take minutes to compile: in sanitizer builds, and in the
// test build for machines without AVX-512, where another immintrin.h stands in front, which takes the
// operations from SIMDe. Speed and order mean nothing there.
#if defined(SIMDE_X86_AVX512_H) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SIMD_PIN(x)           (void)(x)
#define SIMD_FENCE()          (void)0
#define SIMD_IN_MEMORY(array) (void)(array)
#define SIMD_INLINE           static __attribute__((unused))
#define SIMD_UNROLL
#else
// Holds an addition in its place: without it gcc moves the additions of an unrolled tile away from their
// multiplications and spills dozens of registers.
#define SIMD_PIN(x)           __asm__ volatile("" : "+v"(x))
// Holds loads in their place: what is needed late is not loaded early and spilled.
#define SIMD_FENCE()          __asm__ volatile("" : : : "memory")
// Makes an array live in memory across fences rather than in registers.
#define SIMD_IN_MEMORY(array) __asm__ volatile("" : : "r"(array) : "memory")
#define SIMD_INLINE           static inline __attribute__((always_inline))
// Unrolls the next loop wholly, so that arrays indexed by it live in registers.
#ifdef __clang__
#define SIMD_UNROLL _Pragma("clang loop unroll(full)")
#else
#define SIMD_UNROLL _Pragma("GCC unroll 16")
#endif
#endif
