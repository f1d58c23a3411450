// SPDX-License-Identifier: MIT
// Errors: one code, one sentence for a person. A function that can fail takes `struct err *err` last and
// returns 0 or -1 (or a pointer or NULL). The first error wins: err_set() on an error already set keeps the
// old one.
#pragma once

#include <stddef.h>

// code, HTTP status, default text
#define ERR_LIST(X)                                                                                          \
    X(ERR_NONE, 200, "no error")                                                                             \
    X(ERR_INVALID, 400, "invalid request")                                                                   \
    X(ERR_UNAUTHORIZED, 401, "unauthorized")                                                                 \
    X(ERR_FORBIDDEN, 403, "forbidden")                                                                       \
    X(ERR_NOT_FOUND, 404, "not found")                                                                       \
    X(ERR_METHOD, 405, "method not allowed")                                                                 \
    X(ERR_CONFLICT, 409, "conflict")                                                                         \
    X(ERR_TOO_LARGE, 413, "request too large")                                                               \
    X(ERR_CANCELLED, 499, "request canceled")                                                                \
    X(ERR_INTERNAL, 500, "internal error")                                                                   \
    X(ERR_FORMAT, 500, "broken file")                                                                        \
    X(ERR_NO_MEMORY, 500, "not enough memory")                                                               \
    X(ERR_UNSUPPORTED, 501, "not supported")                                                                 \
    X(ERR_BUSY, 503, "server busy")                                                                          \
    X(ERR_QUEUE_FULL, 503, "server busy, please try again.  maximum pending requests exceeded")              \
    X(ERR_QUEUE_BYTES, 503, "server busy, please try again.  too many bytes in waiting requests")            \
    X(ERR_UNREAD, 503, "server busy: too many requests wait to be read")                                     \
    X(ERR_DRAINING, 503, "server is shutting down")                                                          \
    X(ERR_BACKOFF, 503, "the model runner has unexpectedly stopped")                                         \
    X(ERR_TIMEOUT, 504, "timed out")

enum err_code {
#define X(code, status, text) code,
    ERR_LIST(X)
#undef X
        ERR_CODE_COUNT
};

struct err {
    enum err_code code;
    char message[1000];
};

// Sets the error unless one is set already; NULL `err` is allowed. Always returns -1, so that
// `return err_set(err, ...)` is the whole failure path.
int err_set(struct err *err, enum err_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
// Puts "prefix: " in front of the message of an error that is set. Returns -1.
int err_prefix(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
void err_clear(struct err *err);
int err_http_status(enum err_code code);
const char *err_text(enum err_code code);
