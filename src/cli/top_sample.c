// SPDX-License-Identifier: MIT
// Four reads, taken together. Of Prometheus' text only what drover itself writes is understood: a name,
// perhaps labels with `model` first, a number.
#include "cli/top_sample.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/api.h"

enum { MAX_METRICS_BYTES = 32 << 20 };

void top_sample_fini(struct top_sample *s)
{
    json_decref(s->models);
    json_decref(s->queue);
    json_decref(s->recent);
    strbuf_fini(&s->metrics);
    *s = (struct top_sample){0};
}

int top_sample_read(struct top_sample *s, size_t n_recent, struct err *err)
{
    char path[64];
    top_sample_fini(s);
    strbuf_init(&s->metrics, MAX_METRICS_BYTES);
    snprintf(path, sizeof path, "/api/requests?limit=%zu", n_recent);
    if (api_get_text("/metrics", &s->metrics, err) != 0 ||
        api_call("/api/ps", slice_of(NULL), &s->models, err) != 0 ||
        api_call("/api/queue", slice_of(NULL), &s->queue, err) != 0 ||
        api_call(path, slice_of(NULL), &s->recent, err) != 0) {
        top_sample_fini(s);
        return -1;
    }
    s->at_ns = clock_monotonic_ns();
    return 0;
}

// Whether the line is a series of that name and model; `*value` is where its number begins.
static bool is_series(const char *line, const char *name, const char *model, const char **value)
{
    static const char label[] = "{model=\"";
    size_t n = strlen(name), n_model = model ? strlen(model) : 0;
    if (strncmp(line, name, n) != 0 || (line[n] != ' ' && line[n] != '{'))
        return false;
    const char *rest = line + n;
    if (model &&
        (strncmp(rest, label, sizeof label - 1) != 0 ||
         strncmp(rest + sizeof label - 1, model, n_model) != 0 || rest[sizeof label - 1 + n_model] != '"'))
        return false;
    const char *end = strchr(line, '\n'), *blank = end ? memrchr(line, ' ', (size_t)(end - line)) : NULL;
    *value = blank;
    return blank != NULL;
}

double top_metric(const struct top_sample *s, const char *name, const char *model)
{
    double sum = 0;
    const char *line = s->metrics.at, *value;
    while (line != NULL && *line) {
        if (is_series(line, name, model, &value))
            sum += strtod(value, NULL);
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
    return sum;
}
