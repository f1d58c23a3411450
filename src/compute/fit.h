// SPDX-License-Identifier: MIT
// Least-squares fits of few values by a scale, an offset and small integer codes: what every quantiser is
// made of. Sums have one fixed order, so the same weights give the same file everywhere. Values are finite
// and at most 65504; their number is a multiple of 4. Private to compute/.
#pragma once

#include <stdint.h>

// x is about scale * code + offset.
struct fit {
    float scale, offset;
};

// Codes 0..max_code, any offset.
struct fit fit_affine(const float *x, int n, int max_code);
// The same with an offset of at most 0.
struct fit fit_below(const float *x, int n, int max_code);
// Codes -half..half-1, no offset; the scale may be negative.
float fit_symmetric(const float *x, int n, int half);

// The nearest codes in low..high for a given fit, lowered by low; all those of 0 when the scale is 0.
void fit_codes(const float *x, int n, struct fit f, int low, int high, uint8_t *codes);
// The sum of squared errors that these codes would make.
float fit_error(const float *x, int n, struct fit f, int low, int high);
