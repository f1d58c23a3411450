// SPDX-License-Identifier: MIT
// Vector operations of compute.h over the kernel table. What is computed once per vector stands here, in
// scalar arithmetic that is the same at every level: the factor of a norm, the logarithm of a sum. Any
// thread; pure.
#include <math.h>
#include <string.h>

#include "compute/kernels.h"

void vec_rms_norm(const struct kernels *kn, float *out, const float *x, const float *w, size_t n, float eps)
{
    float mean = n > 0 ? (float)(kn->vec.sum_squares(x, n) / (double)n) : 0;
    float factor = 1.0f / sqrtf(mean + eps); // both correctly rounded by IEEE 754
    kn->vec.norm_apply(out, x, w, n, factor);
}

void vec_add(const struct kernels *kn, float *out, const float *a, const float *b, size_t n)
{
    kn->vec.add(out, a, b, n);
}

void vec_scale(const struct kernels *kn, float *out, const float *a, float factor, size_t n)
{
    kn->vec.scale(out, a, factor, n);
}

void vec_silu_mul(const struct kernels *kn, float *out, const float *gate, const float *up, size_t n)
{
    kn->vec.silu_mul(out, gate, up, n);
}

void vec_gelu_mul(const struct kernels *kn, float *out, const float *gate, const float *up, size_t n)
{
    kn->vec.gelu_mul(out, gate, up, n);
}

void vec_softcap(const struct kernels *kn, float *out, const float *x, float cap, size_t n)
{
    kn->vec.softcap(out, x, cap, n);
}

void vec_rope_norm(const struct kernels *kn, float *x, const float *cos_sin, uint32_t n_rot)
{
    kn->vec.rope_norm(x, cos_sin, n_rot);
}

void vec_rope_neox(const struct kernels *kn, float *x, const float *cos_sin, uint32_t n_rot)
{
    kn->vec.rope_neox(x, cos_sin, n_rot);
}

uint32_t vec_argmax(const struct kernels *kn, const float *x, size_t n)
{
    size_t at = kn->vec.find(x, n, kn->vec.max(x, n));
    return at < n ? (uint32_t)at : 0;
}

// Natural logarithm of a positive normal number: m in [sqrt(1/2), sqrt(2)) and 2 atanh((m - 1) / (m + 1)) as
// a series; relative error about 1e-16.
static double log_of(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int exponent = (int)(bits >> 52) - 1023;
    bits = (bits & 0xfffffffffffffull) | 0x3ff0000000000000ull;
    double m;
    memcpy(&m, &bits, sizeof m);
    if (m > M_SQRT2) {
        m *= 0.5;
        exponent++;
    }
    double s = (m - 1) / (m + 1), z = s * s, series = 0;
    for (int k = 25; k >= 1; k -= 2)
        series = series * z + 1.0 / k;
    return exponent * M_LN2 + 2 * s * series;
}

double vec_log_sum_exp(const struct kernels *kn, const float *x, size_t n)
{
    float max = kn->vec.max(x, n);
    if (isinf(max)) // all -inf or NaN, nothing at all, or some +inf: exp(x - max) would be NaN
        return max < 0 && kn->vec.find(x, n, max) == n && n > 0 ? (double)NAN : (double)max;
    double sum = kn->vec.sum_exp(x, n, max);
    return isnan(sum) ? sum : (double)max + log_of(sum);
}

void vec_to_f16(const struct kernels *kn, uint16_t *out, const float *x, size_t n)
{
    kn->vec.to_f16(out, x, n);
}

void vec_from_f16(const struct kernels *kn, float *out, const uint16_t *x, size_t n)
{
    kn->vec.from_f16(out, x, n);
}

void vec_to_bf16(const struct kernels *kn, uint16_t *out, const float *x, size_t n)
{
    kn->vec.to_bf16(out, x, n);
}

void vec_from_bf16(const struct kernels *kn, float *out, const uint16_t *x, size_t n)
{
    kn->vec.from_bf16(out, x, n);
}
