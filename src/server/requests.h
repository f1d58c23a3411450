// SPDX-License-Identifier: MIT
// GET /api/queue, GET /api/requests, GET and DELETE /api/requests/{id}.
#pragma once

#include "server/app.h"

struct http_request;

void requests_queue(struct app *app, struct http_request *r);
void requests_list(struct app *app, struct http_request *r);
void requests_one(struct app *app, struct http_request *r);
