// SPDX-License-Identifier: MIT
// sin and cos: reduction to [-pi/4, pi/4] with pi/2 in three parts (the products with the quadrant number are
// exact while it stays below 2^30), then Taylor polynomials whose first dropped term is below 1e-19.
#include "model/rope.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"

// pi/2 as a sum: two parts of 23 bits and the rest, so that n * part is exact in double for n < 2^30.
static const double half_pi_1 = 0x1.921fb4p+0;
static const double half_pi_2 = 0x1.4442d0p-24;
static const double half_pi_3 = 0x1.8469898cc5170p-48;

void rope_sin_cos(double x, double *sine, double *cosine)
{
    double n = rint(x * 0.63661977236758134308);
    double r = x - n * half_pi_1;
    r -= n * half_pi_2;
    r -= n * half_pi_3;
    double s = r * r;
    double sin_r =
        r * (1 + s * (-1.0 / 6 +
                      s * (1.0 / 120 + s * (-1.0 / 5040 +
                                            s * (1.0 / 362880 + s * (-1.0 / 39916800 +
                                                                     s * (1.0 / 6227020800.0 +
                                                                          s * (-1.0 / 1307674368000.0))))))));
    double cos_r =
        1 + s * (-1.0 / 2 +
                 s * (1.0 / 24 +
                      s * (-1.0 / 720 + s * (1.0 / 40320 + s * (-1.0 / 3628800 +
                                                                s * (1.0 / 479001600 +
                                                                     s * (-1.0 / 87178291200.0 +
                                                                          s * (1.0 / 20922789888000.0))))))));
    switch ((long long)n & 3) {
    case 0:
        *sine = sin_r;
        *cosine = cos_r;
        break;
    case 1:
        *sine = cos_r;
        *cosine = -sin_r;
        break;
    case 2:
        *sine = -sin_r;
        *cosine = -cos_r;
        break;
    default:
        *sine = -cos_r;
        *cosine = sin_r;
        break;
    }
}

void rope_init(struct rope *r, uint32_t n_rot, double base, double scale, const float *factors)
{
    r->n_rot = n_rot;
    r->inverse = xcalloc(n_rot / 2, sizeof *r->inverse);
    for (uint32_t k = 0; k < n_rot / 2; k++) {
        // long double, rounded once: hosts' math libraries differ in the last bit of double.
        double theta = (double)powl((long double)base, -2.0L * k / n_rot);
        r->inverse[k] = scale * theta / (factors ? (double)factors[k] : 1.0);
    }
}

void rope_fini(struct rope *r)
{
    free(r->inverse);
    r->inverse = NULL;
}

void rope_angles(const struct rope *r, uint32_t position, float *cos_sin)
{
    for (size_t k = 0; k < r->n_rot / 2; k++) {
        double sine, cosine;
        rope_sin_cos(position * r->inverse[k], &sine, &cosine);
        cos_sin[2 * k] = (float)cosine;
        cos_sin[2 * k + 1] = (float)sine;
    }
}
