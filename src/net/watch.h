// SPDX-License-Identifier: MIT
// The watcher: one thread that notices what the HTTP library does not. A suspended connection is not looked
// at by the library, so a client that leaves meanwhile is found here (EPOLLRDHUP); and the library's timeout
// only knows silence, so a sender that drips is found by the deadlines here.
//
// All functions may be called from any thread, except that those on one connection come from its own server
// thread.
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"

struct http_request;
struct watch;

struct watch_connection {
    struct list node; // of watch, under its lock, as are all but the deadline
    int fd;
    bool is_registered;           // in the epoll set
    struct http_request *request; // armed for it (a reference), or NULL
    uint32_t serial;              // of the arming, so that an old event is known as one
    bool is_excess;               // beyond the limit of connections: constant
    atomic_llong deadline_ns;     // by which the request must have come in; 0: none
};

struct watch *watch_new(struct err *err);
void watch_free(struct watch *w); // stops the thread; all connections must have been removed

struct watch_connection *watch_add(struct watch *w, int fd, bool is_excess, int64_t deadline_ns);
void watch_remove(struct watch *w, struct watch_connection *c); // before its fd is closed; frees it
// From now on request_leave(r) is called, once, when the client closes or half-closes (or has done so
// already), until watch_disarm.
void watch_arm(struct watch *w, struct watch_connection *c, struct http_request *r);
void watch_disarm(struct watch *w, struct watch_connection *c);
