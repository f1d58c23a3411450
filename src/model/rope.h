// SPDX-License-Identifier: MIT
// Rotary position embedding (Su et al. 2021): cosines and sines of a position, computed in double with our
// own reduction and polynomials, so that they are the same on every machine.
#pragma once

#include <stdint.h>

struct rope {
    uint32_t n_rot;
    double *inverse; // n_rot / 2 angles per position
};

// inverse[k] = scale * base^(-2k / n_rot) / factors[k] (factors may be NULL).
void rope_init(struct rope *r, uint32_t n_rot, double base, double scale, const float *factors);
void rope_fini(struct rope *r);
// cos_sin[2k] and [2k+1] for pair k; n_rot values.
void rope_angles(const struct rope *r, uint32_t position, float *cos_sin);
// Exposed for its test: both in double, for 0 <= x < 2^30.
void rope_sin_cos(double x, double *sine, double *cosine);
