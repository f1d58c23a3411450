// SPDX-License-Identifier: MIT
// GET /metrics, and what is derived from the same figures.
#pragma once

#include "server/app.h"

struct http_request;

void metrics_scrape(struct app *app, struct http_request *r);
// Streams that could start now without waiting, of how many: slots of loaded models; with nothing loaded,
// those that one model would have.
void metrics_read_capacity(struct app *app, uint32_t *n_free, uint32_t *n_slots);
