// SPDX-License-Identifier: MIT
// The HTTP/1.1 server: sockets in, requests out, answers and streams back. It knows no route and no JSON.
//
// Threads. A few server threads run all connections by epoll (none is made per connection). The handler runs
// on one of them, must not block and should leave long work (parsing more than about 64 KiB) to another
// thread. It answers at once with http_reply(), or keeps the request (http_request_ref) and returns: the
// connection then sleeps until somebody, on any thread, calls http_reply() or http_stream_begin(). All
// functions on a request may be called from any thread; none of them blocks.
//
// One request, one end. A request is answered once: http_reply(), or http_stream_begin() ...
// http_stream_end(). What comes later is ignored and returns false. A client that closes or half-closes its
// connection while its request is unanswered or streaming is *gone*: the on_gone callback is called once,
// writes return false. Pipelined bytes of a next request are not a sign of that.
//
// Lifetime. The handler borrows the request; who keeps it takes a reference. Strings and body belong to the
// request. Dropping the last reference of an unanswered request answers 500 (and cuts an unfinished stream),
// so no client waits for nothing. References may outlive the connection and the server: calls then do nothing
// and return false.
//
// Before the handler sees a request it was checked against request smuggling (guard.h); over-large ones were
// answered 413, 431 or 414, requests beyond the limits of connections or of waiting bodies 503, too slow
// senders 408.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

struct http_server;
struct http_request;

typedef void http_handler_fn(void *user, struct http_request *r);
// On a thread of the server, never from inside a call into this door; the request is valid during the call.
typedef void http_gone_fn(void *user, struct http_request *r);
// Builds the body of an answer that the server gives by itself (400, 413, 431, 503 ...), e.g. {"error":
// message}. `r` is what is known of the request (its path may still be ""), or NULL. Optional; must be
// thread-safe. Writes at most `n` bytes to `out` and returns their number.
typedef size_t http_error_body_fn(void *user, const struct http_request *r, int status, const char *message,
                                  char *out, size_t n);
// A request's head has passed the checks and a body will come: the moment for http_request_set_sink, and to
// refuse the body. 0, or the status to refuse with and a sentence in *why (a literal). Must not answer.
typedef int http_head_fn(void *user, struct http_request *r, const char **why);

// Called once for each request before its answer can begin, whoever gives it: the place for headers that
// every answer has. On the connection's thread; must not block.
typedef void http_prepare_fn(void *user, struct http_request *r);
// An answer of that status begins, whoever gives it. On any thread; must not block or answer.
typedef void http_answered_fn(void *user, const struct http_request *r, int status);
// Whether many clients come through this address ("10.0.0.1", "::1", "unix"). On any thread of the server;
// must not block.
typedef bool http_proxy_fn(void *user, const char *address);
// A body that is handed on as it comes and not collected, however long it is. Called on the connection's
// thread, which it may hold for a write to a file and not for longer. 0, or the status to refuse the rest
// with and a sentence in *why (a literal).
typedef int http_sink_fn(void *user, struct slice bytes, const char **why);

// The server listens, and takes its first request when this returns.
typedef void http_listening_fn(void *user, struct http_server *s);

enum { HTTP_MOST_HEADERS = 256 };

struct http_server_options {
    const char *host;      // address or name; "" or NULL: all interfaces, IPv4 and IPv6
    uint16_t port;         // 0: a free one, see http_server_port
    const char *unix_path; // listen on this Unix socket instead
    bool loopback_only;    // refuse to serve on a socket that other machines reach
    int listen_fd;         // a listening socket to take over instead (then owned by the server); -1: none
    int n_threads;         // 0: 2
    int max_connections;   // beyond it: 503 and close. Lowered (and logged) if RLIMIT_NOFILE cannot be raised
                           // to it
    int max_connections_per_address; // beyond it: 503, beyond some more none is taken; 0: no such limit.
                                     // Those of proxies and of Unix sockets are not counted
    http_proxy_fn *is_proxy;         // optional
    size_t max_header_bytes;         // of a request's line and headers: 431
    size_t max_headers;              // in number, at most HTTP_MOST_HEADERS: 431
    size_t max_body_bytes;           // of one request: 413
    size_t max_waiting_body_bytes;   // of all requests that still hold their body: 503
    size_t max_stream_bytes;         // written to one stream and not yet taken by its client
    int header_timeout_s;  // for a request's line and headers, from the connection's beginning; between
                           // requests beside idle_timeout_s: 408
    int body_timeout_s;    // for a body; longer by what came at 16 KiB/s: 408
    int idle_timeout_s;    // silence between requests, inside a request or inside an answer that has bytes to
                           // send; never for a request that waits or a stream that is empty
    http_head_fn *on_head; // optional
    http_handler_fn *handler;
    http_error_body_fn *error_body;
    const char *error_content_type; // of error_body; NULL: application/json; charset=utf-8
    http_listening_fn *listening;   // optional
    http_prepare_fn *prepare;       // optional
    http_answered_fn *answered;     // optional
    void *user;                     // for all these functions
};

#define HTTP_SERVER_OPTIONS_DEFAULT                                                                          \
    ((struct http_server_options){.host = "127.0.0.1",                                                       \
                                  .listen_fd = -1,                                                           \
                                  .n_threads = 2,                                                            \
                                  .max_connections = 16384,                                                  \
                                  .max_connections_per_address = 0,                                          \
                                  .max_header_bytes = 16 << 10,                                              \
                                  .max_headers = 128,                                                        \
                                  .header_timeout_s = 30,                                                    \
                                  .body_timeout_s = 60,                                                      \
                                  .max_body_bytes = 32 << 20,                                                \
                                  .max_waiting_body_bytes = 256 << 20,                                       \
                                  .max_stream_bytes = 1 << 20,                                               \
                                  .idle_timeout_s = 60})

// NULL on failure: ERR_CONFLICT when the address is in use, ERR_INVALID when it is no address of this
// machine, ERR_UNAUTHORIZED when loopback_only forbids it.
struct http_server *http_server_new(const struct http_server_options *options, struct err *err);
uint16_t http_server_port(const struct http_server *s);    // 0 for a Unix socket
bool http_server_is_loopback(const struct http_server *s); // listens on a loopback address (or a Unix socket)
size_t http_server_connection_count(struct http_server *s);   // open now
size_t http_server_waiting_body_bytes(struct http_server *s); // held now
// From now on each answer closes its connection; new connections are still taken.
void http_server_drain(struct http_server *s);
// Asks itself something over a connection of its own: whether some answer comes in time. Blocks, so not on a
// thread of the server.
bool http_server_answers(struct http_server *s, int timeout_ms);
// Closes the listening socket, cuts what is still running (on_gone is called for it), stops all threads. NULL
// is allowed. Not from a handler.
void http_server_free(struct http_server *s);

// --- a request ---
const char *http_request_method(const struct http_request *r); // "GET"
const char *http_request_path(
    const struct http_request *r); // percent-decoded, begins with '/', without the query, no NUL inside
const char *http_request_query(const struct http_request *r); // raw, without '?'; "" if none
const char *http_request_peer(const struct http_request *r);  // "127.0.0.1:50312", "[::1]:50312", "unix"
uint64_t http_request_id(const struct http_request *r);       // counts up within the process, for logs
// NULL when absent; names compare without case. Of several equal names (only such that may repeat pass the
// guard) the first.
const char *http_request_header(const struct http_request *r, const char *name);
// Of several equal names the last: the one that the nearest proxy put there.
const char *http_request_last_header(const struct http_request *r, const char *name);
struct slice http_request_body(const struct http_request *r);
// Frees the body early, so that it no longer counts as waiting. Nobody may use it any more.
void http_request_drop_body(struct http_request *r);

// Only in on_head. The handler is called when all of the body went into the sink; http_request_body is empty.
void http_request_set_sink(struct http_request *r, http_sink_fn *sink, void *user);

struct http_request *http_request_ref(struct http_request *r); // returns r
void http_request_unref(struct http_request *r);               // NULL is allowed

// A pointer of the caller's. `free_user` (may be NULL) is called with it when the last reference goes. Set it
// once, in the handler or in on_head.
void http_request_set_user(struct http_request *r, void *user, void (*free_user)(void *user));
void *http_request_user(const struct http_request *r);

// Asks to be told when the client leaves before the answer is complete. One callback a request. False: it is
// gone already, there will be no call.
bool http_request_on_gone(struct http_request *r, http_gone_fn *on_gone, void *user);
bool http_request_is_gone(const struct http_request *r);

// --- answers ---
// A header for the answer of this request, whichever it will be (copied). Before the answer begins. A value
// with control characters is dropped.
void http_add_header(struct http_request *r, const char *name, const char *value);
// The whole answer (body copied). `content_type` NULL: no such header. For HEAD the body is measured and not
// sent. False: gone or answered already.
bool http_reply(struct http_request *r, int status, const char *content_type, struct slice body);
// An answer that goes on: status and headers now, then pieces, each sent at once (chunked; for HTTP/1.0 until
// close).
bool http_stream_begin(struct http_request *r, int status, const char *content_type);
// False: the client is gone, the stream has ended, or its client reads too slowly and max_stream_bytes would
// be exceeded; the connection is then cut (http_request_is_gone tells true from then on; on_gone is not
// called for it). All of the bytes are taken or none.
bool http_stream_write(struct http_request *r, struct slice bytes);
size_t
http_stream_pending_bytes(struct http_request *r); // written and not yet taken by the client's connection
void http_stream_end(struct http_request *r);      // sends what is pending, then the end
// Cuts the connection in place of an answer or amid a stream, so that the client sees a broken transfer and
// no proper end.
void http_abort(struct http_request *r);
