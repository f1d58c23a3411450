// SPDX-License-Identifier: MIT
// The check in front of the HTTP library against request smuggling: what two parsers could understand
// differently is refused. Pure.
//
// guard_check sees header lines as the library has split them. What the library (0.9.75) hides in doing so
// shows in where the parts lie, since it splits in place: guard_check_layout thereby refuses folded lines (of
// which this library makes other names: a folded Content-Length would be lost), lines that end in a bare LF,
// and NUL in a value (which would end it).
//
// Not seen, and accepted: bare LF, extensions and trailers inside chunked framing (trailers are ignored).
// With a library that has another layout (http_server.c asks for its version) folded lines, bare LF and NUL
// are left to that library's own strictness.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct guard_header {
    struct slice name, value;
};

struct guard_facts {
    bool has_body;
    bool is_chunked;
    uint64_t content_length; // 0 if chunked
    bool expects_continue;
};

// Checks the header lines of one request; `is_http_1_1`: else HTTP/1.0. Returns 0, or the status to refuse
// with (400, 417) and a sentence in *why.
int guard_check(const struct guard_header *headers, size_t n, bool is_http_1_1, struct guard_facts *facts,
                const char **why);

// The bytes of the request's head: `start` is where its method lies, n_bytes its length up to and with the
// empty line.
struct guard_layout {
    const char *start;
    size_t n_bytes;
    size_t n_request_line; // with its CRLF, if it is written as it should be
};

// True if the headers lie one after the other as they must when each is one line that ends in CRLF. Compares
// addresses, reads nothing.
bool guard_check_layout(const struct guard_layout *layout, const struct guard_header *headers, size_t n);

bool guard_is_token(struct slice text);      // as names and methods are
struct slice guard_trim(struct slice value); // without blanks around

// Takes a request target apart: "/path?query", or "http://host/path?query" whose host must equal `host`; or
// "*". Writes the percent-decoded path (at most raw.n + 2 bytes with its NUL) and where the query starts (an
// offset into `raw`, raw.n if there is none). Returns 0, or 400 and *why.
int guard_split_target(struct slice raw, struct slice host, char *path, size_t *query, const char **why);
