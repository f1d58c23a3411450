// SPDX-License-Identifier: MIT
// The one table of routes, and what holds for every request: Host and Origin are checked first, then path and
// method.
#pragma once

#include "net/http.h"

void routes_handle(void *app, struct http_request *r); // http_handler_fn; `app` is a struct app
// http_answered_fn: counts the answer by its route in app->tally.
void routes_answered(void *app, const struct http_request *r, int status);
// The routes as app->tally counts them: path of route i, "other" for the last.
size_t routes_count(void);
const char *routes_name(size_t i);
int routes_on_head(void *app, struct http_request *r, const char **why); // http_head_fn
// http_error_body_fn: in the shape of the route's dialect.
size_t routes_error_body(void *app, const struct http_request *r, int status, const char *message, char *out,
                         size_t n);
