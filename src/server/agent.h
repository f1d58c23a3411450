// SPDX-License-Identifier: MIT
// HAProxy's agent-check: a TCP port that answers each connection with one line of what this host can take,
// `up ready 63%` or, while the server drains, `drain 0%`, and closes it. The share is that of free slots, at
// least 1 %. A thread of its own; it waits for nobody.
#pragma once

#include "server/app.h"

struct agent;

// NULL on failure, as listen_tcp. `host` as of the server itself.
struct agent *agent_new(struct app *app, const char *host, uint16_t port, struct err *err);
void agent_free(struct agent *a); // NULL is allowed
