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
// http_proxy_fn: an address in trusted_proxies.
bool request_is_proxy(void *app, const char *address);
// Who asks, for round robin and for people who look in: the name of the key where keys are asked for, else
// what a trusted proxy's header says (trusted_proxies, client_header), else the peer's address without its
// port.
void request_client(const struct app *app, const struct http_request *r, char out[CLIENT_BYTES]);
// The header X-Priority (option priorities; without it all are normal), else default_priority. ERR_INVALID
// for a word that is none.
int request_priority(const struct http_request *r, enum sched_priority *out, struct err *err);
