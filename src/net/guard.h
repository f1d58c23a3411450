// SPDX-License-Identifier: MIT
// The check in front of the HTTP library against request smuggling: what two parsers could understand
// differently is refused. Pure.
//
// It sees header lines as the library has split them. So it cannot see, and the library accepts: folded lines
// (obs-fold, joined to one value), lines that end in a bare LF, and what is wrong inside chunked framing
// beyond the sizes (chunk extensions, trailers; both are ignored). A proxy in front that forwards such lines
// verbatim must not share one connection between clients.
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

struct slice guard_trim(struct slice value); // without blanks around

// Takes a request target apart: "/path?query", or "http://host/path?query" whose host must equal `host`; or
// "*". Writes the percent-decoded path (at most raw.n + 2 bytes with its NUL) and where the query starts (an
// offset into `raw`, raw.n if there is none). Returns 0, or 400 and *why.
int guard_split_target(struct slice raw, struct slice host, char *path, size_t *query, const char **why);
