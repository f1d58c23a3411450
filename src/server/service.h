// SPDX-License-Identifier: MIT
// Running under a service manager that speaks systemd's protocols: readiness and state by datagram, a socket
// that was opened for us, a watchdog. Without one all of it does nothing.
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "host/host.h"
#include "net/http.h"

struct service;

// Reads what the manager says in the environment. Before other threads exist.
struct service *service_new(void);
void service_free(struct service *s);
// A listening socket that was passed on, now the caller's; -1: none. ERR_INVALID (and -2): what was passed on
// is no such socket.
int service_take_socket(struct service *s, struct err *err);

void service_ready(struct service *s, const char *status);
void service_reloading(struct service *s); // service_ready follows
void service_stopping(struct service *s, int64_t may_take_ns);
// A thread that tells the manager that all is well as long as host and HTTP threads prove it.
void service_watch(struct service *s, struct host *host, struct http_server *http);
void service_unwatch(struct service *s); // before these are freed
