// SPDX-License-Identifier: MIT
// The one table of routes, and what holds for every request: Host and Origin are checked first, then path and
// method.
#pragma once

#include "net/http.h"

void routes_handle(void *app, struct http_request *r); // http_handler_fn; `app` is a struct app
