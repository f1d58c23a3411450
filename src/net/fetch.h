// SPDX-License-Identifier: MIT
// One large file by many ranged requests at once, into an open file. What came is counted per part, so that a
// fetch which was cut short goes on where it was. Redirects are followed; a header like Authorization stays
// with the first host. One thread: the caller's, until all is there.
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct fetch_part {
    uint64_t offset, size_bytes, done_bytes;
};

typedef void fetch_progress_fn(void *user, size_t part_i); // bytes of that part were written

struct fetch {
    const char *url;
    const char *const *headers; // "Name: value" lines, NULL at the end; NULL: none
    int fd;                     // written at the parts' offsets
    uint64_t total_bytes;       // of the file; another size is an error
    struct fetch_part *parts;   // done_bytes counts up
    size_t n_parts;
    int max_parallel;
    int max_tries;    // of a part that makes no progress; waits of 1, 2, 4 ... seconds between them
    int64_t stall_ns; // a part without data for so long is asked for again
    bool allows_http; // redirects to http, too
    const volatile sig_atomic_t *cancel; // looked at about every 50 ms. NULL: none
    fetch_progress_fn *on_progress;      // NULL: none
    void *user;
};

struct fetch_end {
    int status;         // HTTP status of the answer that ended it, 0: none did
    char *challenge;    // WWW-Authenticate of a 401, to free; else NULL
    bool has_no_ranges; // the server sends the whole file whatever is asked for: fetch it as one part, from 0
};

// 0: all parts are whole (what is in them is for the caller to check). Else an error, and `end` says more:
// ERR_UNAUTHORIZED, ERR_UNSUPPORTED (has_no_ranges), ERR_CANCELLED, ERR_NOT_FOUND, ERR_TIMEOUT, ERR_INTERNAL.
int fetch_run(const struct fetch *f, struct fetch_end *end, struct err *err);
void fetch_end_fini(struct fetch_end *end);
