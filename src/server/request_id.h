// SPDX-License-Identifier: MIT
// What a request is called by, in the reply's X-Request-Id, in the logs, in /api/queue and /api/requests.
#pragma once

#include "net/http.h"
#include "server/app.h"

enum { REQUEST_ID_BYTES = 132, REQUEST_ID_MAX = 128, CLIENT_BYTES = 80 };

// The client's own X-Request-Id if it is 1 to 128 letters, digits and -_.:/+=@, else one made here; the same
// each time for one request.
void request_id_read(const struct app *app, const struct http_request *r, char out[REQUEST_ID_BYTES]);
// http_prepare_fn: every answer has the header.
void request_id_prepare(void *app, struct http_request *r);
// Who asks, for people who look in: a key is shown as a short hash that only means something within one run
// of the server, else the address without its port.
void request_client(const struct http_request *r, char out[CLIENT_BYTES]);
