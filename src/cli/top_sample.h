// SPDX-License-Identifier: MIT
// What `drover top` reads from a server at one moment, over HTTP like any client. Private to the cli room.
#pragma once

#include <stdint.h>

#include "base/strbuf.h"
#include "json/json.h"

struct top_sample {
    json_t *models, *queue, *recent; // answers of /api/ps, /api/queue, /api/requests
    struct strbuf metrics;           // of /metrics
    int64_t at_ns;                   // monotonic
};

// Zeroed or filled before; what it held is freed. -1: nothing is held.
int top_sample_read(struct top_sample *s, size_t n_recent, struct err *err);
void top_sample_fini(struct top_sample *s);
// The sum of the series of that name; of one model only, if `model` is not NULL. 0 when there is none.
double top_metric(const struct top_sample *s, const char *name, const char *model);
