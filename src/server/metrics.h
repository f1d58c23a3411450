// SPDX-License-Identifier: MIT
// GET /metrics, and what is derived from the same figures.
#pragma once

#include "server/app.h"

struct http_request;

void metrics_scrape(struct app *app, struct http_request *r);
// Streams that could start now without waiting: free slots of loaded models; with nothing loaded, those that
// one model would have.
uint32_t metrics_free_slots(struct app *app);
