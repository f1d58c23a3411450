// SPDX-License-Identifier: MIT
// What the server itself counts: answers by route and status, refusals by reason. Atomics that only grow; any
// thread.
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

// Prefix of the error's message that tells it, and the name for metrics. The first that fits counts; an empty
// prefix fits every error of that status.
#define REFUSAL_LIST(X)                                                                                      \
    X(503, "server busy, please try again.  too many bytes", "queue_bytes")                                  \
    X(503, "server busy, please try again.", "queue_full")                                                   \
    X(503, "server busy: too many", "unread_bodies")                                                         \
    X(503, "server is shutting down", "draining")                                                            \
    X(503, "the model runner has unexpectedly stopped", "backoff")                                           \
    X(503, "", "busy")                                                                                       \
    X(404, "", "not_found")                                                                                  \
    X(400, "", "invalid")                                                                                    \
    X(499, "", "left")                                                                                       \
    X(0, "", "other")

enum { TALLY_ROUTES = 64, TALLY_STATUSES = 32, TALLY_REFUSALS = 16 };

struct tally {
    atomic_uint_fast64_t answers[TALLY_ROUTES][TALLY_STATUSES];
    atomic_uint_fast64_t refusals[TALLY_REFUSALS];
};

void tally_count_answer(struct tally *t, size_t route_i, int status);
// Of status index i: the code as text, "other" for the last; NULL: there is no such index.
const char *tally_status_text(size_t i);
void tally_count_refusal(struct tally *t, const struct err *why);
const char *tally_refusal_text(size_t i); // NULL: there is no such index
