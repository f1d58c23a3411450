// SPDX-License-Identifier: MIT
// The processor's vector operations, or SIMDe's translation of them (test builds of the AVX-512 sources on
// machines without it), and what keeps the compiler from undoing a loop's order.
#pragma once

#ifdef DROVER_SIMDE
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx2.h>
#include <simde/x86/avx512.h>
#include <simde/x86/f16c.h>
#include <simde/x86/fma.h>
#define SIMD_PIN(x) (void)(x)
#define SIMD_FENCE() (void)0
#define SIMD_IN_MEMORY(array) (void)(array)
#else
#include <immintrin.h>
// Holds an addition in its place: without it gcc moves the additions of an unrolled tile away from their
// multiplications and spills dozens of registers.
#define SIMD_PIN(x) __asm__ volatile("" : "+x"(x))
// Holds loads in their place: what is needed late is not loaded early and spilled.
#define SIMD_FENCE() __asm__ volatile("" : : : "memory")
// Makes an array live in memory across fences rather than in registers.
#define SIMD_IN_MEMORY(array) __asm__ volatile("" : : "r"(array) : "memory")
#endif

#define SIMD_INLINE static inline __attribute__((always_inline))
// Unrolls the next loop wholly, so that arrays indexed by it live in registers.
#ifdef __clang__
#define SIMD_UNROLL _Pragma("clang loop unroll(full)")
#else
#define SIMD_UNROLL _Pragma("GCC unroll 16")
#endif
