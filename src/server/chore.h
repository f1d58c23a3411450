// SPDX-License-Identifier: MIT
// A chore: long work for one request (pull, push, create, a blob's end) on a thread of its own, so that
// neither the HTTP threads nor the workers wait for networks and disks. It tells its progress as lines of a
// stream or, without `stream`, gives the last of them as the whole answer. Bounded: when too many run, the
// next is refused with 503. When its client leaves, or the server stops, it is cancelled.
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "json/json.h"
#include "server/app.h"

struct chores; // of one server
struct chores *chores_new(void);
size_t chores_count(struct chores *c);    // that run now
void chores_cancel_all(struct chores *c); // and no new ones
void chores_free(struct chores *c);       // after chores_cancel_all; waits until all have ended

struct chore {
    struct app *app;
    struct http_request *request;
    json_t *body; // for the one that runs it; freed with the chore
    void *data;
    void (*free_data)(void *data);
    bool is_whole;                      // `stream` was false: one answer, no lines
    bool has_begun;                     // a line was written
    char *last;                         // of a whole answer: the last status
    volatile sig_atomic_t is_cancelled; // atomically
    struct chore *next;                 // of those that run
};

// On the chore's own thread. It ends with chore_end, or answers the request by itself.
typedef void chore_fn(struct chore *c);
// From a handler. The request is answered in every case. `data` is freed with the chore, also when it is
// refused; it may be what the request's user pointer was until now.
void chore_start(struct app *app, struct http_request *r, chore_fn *run);
void chore_start_with(struct app *app, struct http_request *r, chore_fn *run, void *data,
                      void (*free_data)(void *data));
bool chore_is_cancelled(const struct chore *c);

struct chore_status {
    const char *status, *digest; // digest may be NULL
    uint64_t total, completed;   // shown unless 0
};
void chore_tell(struct chore *c, const struct chore_status *s);
void chore_say(struct chore *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
// The last thing: `success`, or the error: as the answer if nothing was said, else as the last line.
void chore_end(struct chore *c, const struct err *err);
