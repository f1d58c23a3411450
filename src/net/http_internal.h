// SPDX-License-Identifier: MIT
// What the server's files share: the request as a state machine, the server, and who may do what.
//
// One state a request, one mutex a request. `asleep` is true exactly while the library has the connection
// suspended; the one who clears it (under the mutex) resumes the connection, so nothing is resumed twice or
// without having been suspended. Only the connection's server thread suspends, and only from the two
// callbacks where the library allows it. All other calls into the library on a connection are made by its own
// thread.
//
// Order of locks: request, then watch or the library's own. The server's lock is never taken with another one
// held.
#pragma once

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "base/strbuf.h"
#include "net/guard.h"
#include "net/http.h"
#include "net/peers.h"
#include "net/watch.h"

enum request_state {
    REQUEST_RECEIVING, // headers and body come in; not yet the handler's
    REQUEST_OPEN,      // nobody has answered
    REQUEST_ANSWERED,  // a whole answer is ready or on its way
    REQUEST_STREAMING, // more may be written
    REQUEST_ENDING,    // what is pending, then the end
    REQUEST_CUT,       // the connection is to be closed
    REQUEST_CLOSED,    // the library is done with it
};

struct http_request {
    atomic_int refs;            // all
    atomic_int owners;          // those held through the door
    struct http_server *server; // a reference
    struct list node;           // of server->requests, under the server's lock
    uint64_t id;

    // Written by the connection's thread before the handler is called, constant from then on (the body may be
    // dropped).
    struct slice target; // raw
    char *path;
    const char *query;
    char method[24];
    char peer[64];
    char *header_text; // name NUL value NUL ...
    size_t n_header_bytes;
    char *body;
    size_t n_body, body_capacity;
    http_sink_fn *sink; // takes the body in place of `body`
    void *sink_user;
    uint64_t n_received; // bytes of the body
    struct guard_facts facts;
    int64_t body_start_ns;
    bool has_headers;
    bool is_refused; // answered by us while the body still comes: the rest is read and thrown away
    bool is_handled; // the handler was called
    bool is_prepared;
    size_t n_discarded;
    struct watch_connection *wire;
    void *user;
    void (*free_user)(void *user);

    pthread_mutex_t lock; // for what follows
    enum request_state state;
    bool asleep;
    bool gone;
    struct MHD_Connection *connection; // NULL once closed
    http_gone_fn *on_gone;
    void *on_gone_user;
    unsigned status;
    struct MHD_Response *response; // made, not yet queued
    struct strbuf added;           // headers: name NUL value NUL ...
    struct strbuf pending;         // of a stream
    size_t n_taken;                // of `pending`, from its front
};

struct http_server {
    atomic_int refs;
    struct http_server_options options;
    char *unix_path; // to unlink, if it still is
    uint64_t unix_inode;
    struct peers *peers;
    struct MHD_Daemon *daemon;
    struct watch *watch;
    uint16_t port;
    bool is_loopback;
    bool layout_is_known; // of a request's head in the library's memory: see guard_check_layout
    atomic_bool is_draining, is_stopping;
    int listen_fd;            // owned by the daemon
    atomic_int n_connections; // all
    atomic_int n_taken;       // those within the limits
    atomic_size_t waiting_body_bytes;
    pthread_mutex_t lock; // requests
    struct list requests;
};

void server_unref(struct http_server *s);

// --- http_intake.c: from the library's callbacks to a checked, whole request ---

// The library's access callback; *request is what intake_begin gave for it.
enum MHD_Result intake_access(struct http_request *r, const char *method, const char *version,
                              const char *bytes, size_t n);

// --- http_request.c: the state machine; the functions here are the server's side of it ---

struct http_request *request_new(struct http_server *s, struct MHD_Connection *connection,
                                 const char *target);
void request_ref(struct http_request *r);
void request_unref(struct http_request *r);
// Runs the handler, then request_settle. On the connection's thread.
enum MHD_Result request_handle(struct http_request *r);
// Queues the answer if there is one, puts the connection to sleep if not; MHD_NO cuts it. On the connection's
// thread, from the access callback.
enum MHD_Result request_settle(struct http_request *r);
// An answer of the server's own, that closes the connection; request_settle follows. Before the handler was
// called.
void request_refuse(struct http_request *r, int status, const char *message);
// The same, sent past the library while it still receives the body.
void request_refuse_midway(struct http_request *r, int status, const char *message);
// 408 on a connection whose request is late, past the library; `r` NULL: its head has not come in whole. On
// the watcher's thread.
void request_say_late(const struct http_server *s, const struct http_request *r, int fd);
// The client has left (or the server stops): tells who asked, wakes the connection so that it is closed.
void request_leave(struct http_request *r);
// The library is done with it.
void request_close(struct http_request *r);
