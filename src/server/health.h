// SPDX-License-Identifier: MIT
// The root page and the probes of load balancers.
#pragma once

#include "net/http.h"
#include "server/app.h"

void health_root(struct app *app,
                 struct http_request *r); // "Ollama is running": clients look for these words
void health_live(struct app *app, struct http_request *r); // 200 while the process answers
// The number of streams that could start now, as plain text.
void health_capacity(struct app *app, struct http_request *r);
void health_ready(struct app *app, struct http_request *r); // 503 while draining; also /health
