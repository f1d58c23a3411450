// SPDX-License-Identifier: MIT
// Counts of measured values per range, as Prometheus has them: each bucket counts the values up to its bound;
// the last has none. Plain data, copied by assignment; whoever owns it guards it. It only ever grows.
#pragma once

#include <stdint.h>

enum { HISTOGRAM_MAX_BOUNDS = 24 };

struct histogram {
    uint64_t counts[HISTOGRAM_MAX_BOUNDS + 1]; // of each bucket alone
    double sum;
};

// Bounds in rising order, ended by 0 (no bound is 0). Seconds unless the name says something else.
extern const double HISTOGRAM_WAITS[], HISTOGRAM_TOKEN_GAPS[], HISTOGRAM_DURATIONS[], HISTOGRAM_TOKENS[],
    HISTOGRAM_WIDTHS[];

void histogram_add(struct histogram *h, const double *bounds, double value, uint64_t times);
void histogram_merge(struct histogram *into, const struct histogram *other); // of the same bounds
uint64_t histogram_count(const struct histogram *h);
