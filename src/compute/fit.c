// SPDX-License-Identifier: MIT
// A fit tries some widths of the grid around the one that just covers the values, takes the nearest codes of
// each, solves for the scale and the offset that suit these codes best, and keeps the best of all. A grid
// that is a little too narrow often wins: it gives up the extremes for the many.
#include "compute/fit.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

typedef float f32x4 __attribute__((vector_size(16)));
typedef int32_t i32x4 __attribute__((vector_size(16)));

// Adding and taking away this rounds a small number to the nearest integer, ties to even.
#define ROUNDER     12582912.0f
#define ALMOST_ZERO 1e-20f

enum { N_WIDTHS = 15, MIDDLE = 7 };

static inline f32x4 load(const float *x)
{
    f32x4 v;
    memcpy(&v, x, sizeof v);
    return v;
}

static inline f32x4 choose(i32x4 mask, f32x4 a, f32x4 b)
{
    return (f32x4)((mask & (i32x4)a) | (~mask & (i32x4)b));
}

static inline f32x4 all_of(float v)
{
    return (f32x4){v, v, v, v};
}

static inline float sum_of(f32x4 v)
{
    return (v[0] + v[2]) + (v[1] + v[3]);
}

// Values to codes: round(x * factor + shift), kept in low..high.
struct grid {
    float factor, shift;
    float low, high;
};

static inline f32x4 nearest(f32x4 x, const struct grid *g)
{
    f32x4 v = x * g->factor + g->shift, low = all_of(g->low), high = all_of(g->high);
    v = choose(v < low, low, v);
    v = choose(v > high, high, v);
    return (v + ROUNDER) - ROUNDER;
}

static struct grid grid_of(struct fit f, int low, int high)
{
    float factor = f.scale != 0 ? 1 / f.scale : 0;
    return (struct grid){factor, -f.offset * factor, (float)low, (float)high};
}

void fit_codes(const float *x, int n, struct fit f, int low, int high, uint8_t *codes)
{
    struct grid g = grid_of(f, low, high);
    for (int i = 0; i < n; i += 4) {
        f32x4 q = nearest(load(x + i), &g);
        for (int k = 0; k < 4; k++)
            codes[i + k] = (uint8_t)((int)q[k] - low);
    }
}

float fit_error(const float *x, int n, struct fit f, int low, int high)
{
    struct grid g = grid_of(f, low, high);
    f32x4 sum = all_of(0);
    for (int i = 0; i < n; i += 4) {
        f32x4 v = load(x + i), miss = v - (nearest(v, &g) * f.scale + f.offset);
        sum += miss * miss;
    }
    return sum_of(sum);
}

// Over the values: sums of codes, their squares, and their products with the values.
struct sums {
    float q, qq, xq;
};

static struct sums sums_of(const float *x, int n, const struct grid *g)
{
    f32x4 q_sum = all_of(0), qq_sum = all_of(0), xq_sum = all_of(0);
    for (int i = 0; i < n; i += 4) {
        f32x4 v = load(x + i), q = nearest(v, g);
        q_sum += q;
        qq_sum += q * q;
        xq_sum += v * q;
    }
    return (struct sums){sum_of(q_sum), sum_of(qq_sum), sum_of(xq_sum)};
}

// The best scale and offset for codes with these sums; *gain is how much less the error is than with none.
static struct fit solve(struct sums s, float x_sum, int n, bool only_below, float *gain)
{
    float determinant = (float)n * s.qq - s.q * s.q;
    struct fit f = {0, 0};
    if (determinant > 0) {
        f.scale = ((float)n * s.xq - x_sum * s.q) / determinant;
        f.offset = (s.qq * x_sum - s.q * s.xq) / determinant;
    }
    if (determinant <= 0 || (only_below && f.offset > 0))
        f = (struct fit){s.qq > 0 ? s.xq / s.qq : 0, 0};
    *gain = f.scale * s.xq + f.offset * x_sum;
    return f;
}

static struct fit fit_range(const float *x, int n, int max_code, bool only_below)
{
    float low = x[0], high = x[0], x_sum = 0, best_gain = 0;
    for (int i = 0; i < n; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
        x_sum += x[i];
    }
    if (only_below && low > 0)
        low = 0;
    struct fit best = {0, low};
    if (!(high - low > ALMOST_ZERO))
        return best;
    for (int i = 0; i < N_WIDTHS; i++) {
        float factor = ((float)max_code + 0.15f * (float)(i - MIDDLE)) / (high - low), gain;
        struct grid g = {factor, -low * factor, 0, (float)max_code};
        struct fit f = solve(sums_of(x, n, &g), x_sum, n, only_below, &gain);
        if (f.scale > 0 && (i == 0 || gain > best_gain)) {
            best = f;
            best_gain = gain;
        }
    }
    return best;
}

struct fit fit_affine(const float *x, int n, int max_code)
{
    return fit_range(x, n, max_code, false);
}

struct fit fit_below(const float *x, int n, int max_code)
{
    return fit_range(x, n, max_code, true);
}

float fit_symmetric(const float *x, int n, int half)
{
    float largest = 0, best = 0, best_gain = 0;
    for (int i = 0; i < n; i++)
        if (fabsf(x[i]) > fabsf(largest))
            largest = x[i];
    if (!(fabsf(largest) > ALMOST_ZERO))
        return 0;
    for (int i = 0; i < N_WIDTHS; i++) { // the largest value has the code -half, or is beyond it
        struct grid g = {-((float)half + 0.15f * (float)(i - MIDDLE)) / largest, 0, (float)-half,
                         (float)(half - 1)};
        struct sums s = sums_of(x, n, &g);
        float gain = s.qq > 0 ? s.xq * s.xq / s.qq : 0;
        if (gain > best_gain) {
            best = s.xq / s.qq;
            best_gain = gain;
        }
    }
    return best;
}
