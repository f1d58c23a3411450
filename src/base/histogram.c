// SPDX-License-Identifier: MIT
// The ranges, and finding one. At most two dozen bounds: a straight search is as quick as any.
#include "base/histogram.h"

const double HISTOGRAM_WAITS[] = {0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1,    2.5,
                                  5,     10,    20,   40,    60,   120, 300,  600, 1800, 0};
const double HISTOGRAM_TOKEN_GAPS[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15,
                                       0.2,   0.3,    0.5,   0.75, 1,     2.5,  5,     10,  0};
const double HISTOGRAM_DURATIONS[] = {0.05, 0.1, 0.25, 0.5, 1,   2.5, 5,    10,   15, 20,
                                      30,   60,  120,  240, 480, 960, 1920, 3840, 0};
const double HISTOGRAM_TOKENS[] = {1,    2,    5,    10,    20,    50,    100,    200,    500,
                                   1000, 2000, 5000, 10000, 20000, 50000, 100000, 200000, 0};
const double HISTOGRAM_WIDTHS[] = {1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 0};

void histogram_add(struct histogram *h, const double *bounds, double value, uint64_t times)
{
    int i = 0;
    while (bounds[i] != 0 && value > bounds[i])
        i++;
    h->counts[i] += times;
    h->sum += value * (double)times;
}

void histogram_merge(struct histogram *into, const struct histogram *other)
{
    for (int i = 0; i <= HISTOGRAM_MAX_BOUNDS; i++)
        into->counts[i] += other->counts[i];
    into->sum += other->sum;
}

uint64_t histogram_count(const struct histogram *h)
{
    uint64_t n = 0;
    for (int i = 0; i <= HISTOGRAM_MAX_BOUNDS; i++)
        n += h->counts[i];
    return n;
}
