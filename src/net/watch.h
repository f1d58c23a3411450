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

enum watch_phase {
    WATCH_HEAD,   // a request's head comes in, or the connection is idle
    WATCH_BODY,   // the body of `receiving` comes in
    WATCH_SILENT, // nothing may be said to the client from outside
};

struct watch_connection {
    struct list node; // of watch, under its lock, as are all but the deadline and the constants
    enum watch_phase phase;
    struct http_request *receiving; // borrowed; of WATCH_BODY
    uint64_t n_bytes_before;        // received on the connection before this head
    int fd;
    bool is_registered;           // in the epoll set
    struct http_request *request; // armed for it (a reference), or NULL
    uint32_t serial;              // of the arming, so that an old event is known as one
    bool is_counted;              // in the peers of the server, which alone looks at this
    const char *excess;           // which limit it is beyond, for the answer; NULL: none. Constant
    atomic_llong deadline_ns;     // by which the request must have come in; 0: none
};

// Called for a connection that is late, before it is cut: the moment for a last word. Under the watcher's
// lock, so it calls nothing of this door but watch_bytes_received.
typedef void watch_late_fn(void *user, struct watch_connection *c);

struct watch *watch_new(watch_late_fn *on_late, void *user, struct err *err);
void watch_free(struct watch *w); // stops the thread; all connections must have been removed

struct watch_connection *watch_add(struct watch *w, int fd, const char *excess, int64_t deadline_ns);
// All bytes that ever came in on a TCP connection; where the kernel does not say: 1.
uint64_t watch_bytes_received(int fd);
// What is being received now; `r` for WATCH_BODY, until watch_disarm or the next phase.
void watch_set_phase(struct watch *w, struct watch_connection *c, enum watch_phase phase,
                     struct http_request *r);
void watch_remove(struct watch *w, struct watch_connection *c); // before its fd is closed; frees it
// From now on request_leave(r) is called, once, when the client closes or half-closes (or has done so
// already), until watch_disarm.
void watch_arm(struct watch *w, struct watch_connection *c, struct http_request *r);
void watch_disarm(struct watch *w, struct watch_connection *c);
