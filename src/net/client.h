// SPDX-License-Identifier: MIT
// The HTTP client: one blocking request, its answer whole or in pieces as they come. For the command line and
// for pulling models. Proxies of the environment are honoured, except for loopback addresses. Redirects are
// not followed unless asked for.
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "base/strbuf.h"

// Once in main, before threads are made.
int http_client_init(struct err *err);
void http_client_fini(void);

// A piece of the body of a 2xx answer, as it arrives. False cancels the request.
typedef bool http_client_data_fn(void *user, struct slice bytes);

// A body that is read from a file while it is sent. `on_sent` (may be NULL): how much of it has gone so far.
struct http_client_file {
    int fd;
    uint64_t offset, size_bytes;
    void (*on_sent)(void *user, uint64_t sent_bytes);
    void *user;
};

struct http_client_call {
    const char *method; // NULL: GET, or POST if there is a body
    const char *url;
    const char *unix_path;      // connect to this Unix socket, whatever the URL's host is; NULL: none
    const char *const *headers; // "Name: value" lines, NULL at the end; NULL: none
    struct slice body;          // sent if body.at is not NULL; JSON unless headers have a Content-Type
    const struct http_client_file *file; // sent in place of `body`; NULL: none
    int connect_timeout_ms;              // 0: 10 s
    int stall_timeout_s;                 // no byte for so long: timeout; 0: never
    size_t max_body_bytes;               // of an answer that is collected; 0: 64 MiB
    bool follow_redirects;               // to https only,
    bool allows_http;                    // or to http as well
    const volatile sig_atomic_t *cancel; // looked at about every 50 ms; non-zero cancels. NULL: none
    http_client_data_fn *on_data;        // NULL: collect the body
    void *user;
};

enum http_client_end {
    HTTP_CLIENT_OK,        // an answer came, whole; its status may still be an error
    HTTP_CLIENT_REFUSED,   // nobody listens there
    HTTP_CLIENT_UNKNOWN,   // no such host
    HTTP_CLIENT_TIMEOUT,   // connecting, or silence
    HTTP_CLIENT_CANCELLED, // by the flag or by on_data
    HTTP_CLIENT_BROKEN,    // the connection broke, before or amid the answer
    HTTP_CLIENT_FAILED,    // anything else: bad URL, TLS, too large ...
};

struct http_client_reply {
    enum http_client_end end;
    int status;            // 0: none came
    struct strbuf headers; // raw lines of the last answer
    struct strbuf
        body; // collected: all of it without on_data; with on_data that of an answer that is not 2xx
};

// 0 exactly if end == HTTP_CLIENT_OK. The error says what happened in a sentence with the host's name in it
// (codes: ERR_BUSY when refused, ERR_NOT_FOUND for an unknown host, ERR_TIMEOUT, ERR_CANCELLED, ERR_INVALID
// for a bad URL, ERR_TOO_LARGE, else ERR_INTERNAL). `reply` is always set; the caller calls fini.
int http_client_request(const struct http_client_call *call, struct http_client_reply *reply,
                        struct err *err);
void http_client_reply_fini(struct http_client_reply *reply);
// The value of a header of the answer, a copy to free, or NULL.
char *http_client_find_header(const struct http_client_reply *reply, const char *name);
