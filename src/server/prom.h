// SPDX-License-Identifier: MIT
// Prometheus' text format, version 0.0.4: a family (HELP, TYPE), then its series.
#pragma once

#include <stdint.h>

#include "base/histogram.h"
#include "base/strbuf.h"

// Names and values of labels, at most two; a NULL name ends them. Values are escaped.
struct prom_labels {
    const char *name[2], *value[2];
};

void prom_family(struct strbuf *out, const char *name, const char *type, const char *help);
void prom_value(struct strbuf *out, const char *name, const struct prom_labels *labels, double value);
// The series of a histogram: _bucket for each bound and +Inf, _sum, _count.
void prom_histogram(struct strbuf *out, const char *name, const struct prom_labels *labels,
                    const struct histogram *h, const double *bounds);
