// SPDX-License-Identifier: MIT
// Constants of our own exp and tanh, shared by the scalar definition (ref/math_ref.h) and by the lanes
// (x86/lanes_*.h).
//
// exp: x = n ln2 + r, |r| <= ln2/2, n by adding and taking off 1.5 * 2^23; e^r by a polynomial of degree 6
// (minimax, relative error 3.1e-9); times 2^n by adding n to the exponent. Below EXP_LOW the result is 0 (no
// subnormals). tanh: an odd polynomial of degree 11 (4.5e-9) up to TANH_SMALL, above it 1 - 2 / (exp(2x) +
// 1).
#pragma once

#define EXP_LOW    (-0x1.5d589ep+6f) // -87.33654: e^x is just above the smallest normal number
#define EXP_HIGH   (0x1.62e42ep+6f)  // 88.72283: the largest x with a finite e^x
#define EXP_MAGIC  (0x1.8p+23f)
#define EXP_LOG2E  (0x1.715476p+0f)
#define EXP_LN2_HI (0x1.63p-1f) // 9 bits: n * hi is exact
#define EXP_LN2_LO (-0x1.bd0106p-13f)
#define EXP_C2     (0x1.fffffcp-2f)
#define EXP_C3     (0x1.555492p-3f)
#define EXP_C4     (0x1.5558f2p-5f)
#define EXP_C5     (0x1.123a02p-7f)
#define EXP_C6     (0x1.6a24p-10f)

#define TANH_SMALL (0.625f)
#define TANH_C3    (-0x1.555532p-2f)
#define TANH_C5    (0x1.11070ap-3f)
#define TANH_C7    (-0x1.b8384ep-5f)
#define TANH_C9    (0x1.520afap-6f)
#define TANH_C11   (-0x1.756158p-8f)

// gelu_tanh(x) = x / (1 + exp(x * (GELU_A + GELU_B * x^2))): A = -2 sqrt(2/pi), B = 0.044715 A.
#define GELU_A (-1.5957691216057308f)
#define GELU_B (-0.0713548162726009f)

// Squares are summed in fp32 lanes over this many values, then on in double: the error does not grow with the
// length.
enum { SUM_BLOCK = 512 };
