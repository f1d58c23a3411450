// SPDX-License-Identifier: MIT
// Whole numbers are written as such up to 2^53, everything else with the digits that read back equal.
#include "server/prom.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#define EXACT 9007199254740992.0 // whole numbers below are doubles

void prom_family(struct strbuf *out, const char *name, const char *type, const char *help)
{
    strbuf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void push_escaped(struct strbuf *out, const char *text)
{
    for (const char *p = text; *p; p++) {
        if (*p == '\\' || *p == '"')
            strbuf_push_char(out, '\\');
        if (*p == '\n')
            strbuf_push_text(out, "\\n");
        else
            strbuf_push_char(out, *p);
    }
}

static void push_number(struct strbuf *out, double value)
{
    if (value == floor(value) && fabs(value) < EXACT)
        strbuf_printf(out, "%" PRId64, (int64_t)value);
    else
        strbuf_printf(out, "%.15g", value);
}

// `bound` NULL: no label "le".
static void push_labels(struct strbuf *out, const struct prom_labels *labels, const char *bound)
{
    const char *separator = "{";
    for (int i = 0; labels && i < 2 && labels->name[i]; i++) {
        strbuf_printf(out, "%s%s=\"", separator, labels->name[i]);
        push_escaped(out, labels->value[i]);
        strbuf_push_char(out, '"');
        separator = ",";
    }
    if (bound)
        strbuf_printf(out, "%sle=\"%s\"", separator, bound);
    if (bound || (labels && labels->name[0]))
        strbuf_push_char(out, '}');
}

static void push_series(struct strbuf *out, const char *name, const char *suffix,
                        const struct prom_labels *labels, const char *bound, double value)
{
    strbuf_printf(out, "%s%s", name, suffix);
    push_labels(out, labels, bound);
    strbuf_push_char(out, ' ');
    push_number(out, value);
    strbuf_push_char(out, '\n');
}

void prom_value(struct strbuf *out, const char *name, const struct prom_labels *labels, double value)
{
    push_series(out, name, "", labels, NULL, value);
}

void prom_histogram(struct strbuf *out, const char *name, const struct prom_labels *labels,
                    const struct histogram *h, const double *bounds)
{
    uint64_t n = 0;
    for (int i = 0; bounds[i] != 0; i++) {
        char bound[32];
        n += h->counts[i];
        snprintf(bound, sizeof bound, "%g", bounds[i]);
        push_series(out, name, "_bucket", labels, bound, (double)n);
    }
    n = histogram_count(h);
    push_series(out, name, "_bucket", labels, "+Inf", (double)n);
    push_series(out, name, "_sum", labels, NULL, h->sum);
    push_series(out, name, "_count", labels, NULL, (double)n);
}
