// SPDX-License-Identifier: MIT
// The last requests that have ended: a ring of fixed size, the oldest is overwritten. Private to host/,
// guarded by the host's mutex.
#pragma once

#include <stddef.h>

#include "host/host.h"

struct history {
    struct host_record *ring;
    size_t capacity, n; // n: how many it holds
    size_t next;        // where the next one goes
};

void history_start(struct history *h,
                   size_t capacity); // at least 1; no "init": libedit has a function of that name
void history_fini(struct history *h);
void history_push(struct history *h, const struct host_record *r);       // copied
const struct host_record *history_at(const struct history *h, size_t i); // 0: the newest; i < n
const struct host_record *history_find(const struct history *h,
                                       const char *request_id); // the newest; or NULL
