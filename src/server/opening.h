// SPDX-License-Identifier: MIT
// Opening the server to its clients: who may ask (API keys), where it listens, and within which limits. Main
// thread.
#pragma once

#include "base/err.h"
#include "net/http.h"
#include "server/app.h"
#include "server/keys.h"
#include "server/service.h"

enum { OPENING_MAX_WAITING_BYTES = 256 << 20 }; // of bodies that came in and are not read yet

// The file of the option api_keys; an empty list without one. The caller's, for opening_take_keys.
int opening_read_keys(struct key_list *list, struct err *err);
// Puts them in force in place of the old ones; does nothing in a server that began without keys.
void opening_take_keys(struct app *app, struct key_list *list);
int opening_start_keys(struct app *app, struct err *err); // both, at start
// Listens, on a socket that was passed on if there is one, and says so. Without keys and without the option
// insecure only where no other machine reaches: ERR_FORBIDDEN says what to do.
int opening_start_http(struct http_server **http, struct app *app, struct service *service, struct err *err);
