// SPDX-License-Identifier: MIT
// What the server itself counts: answers by route and status, refusals by reason. Atomics that only grow; any
// thread.
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

// Code of the error, and the name for metrics; the last stands for all other codes.
#define REFUSAL_LIST(X)                                                                                      \
    X(ERR_QUEUE_FULL, "queue_full")                                                                          \
    X(ERR_QUEUE_BYTES, "queue_bytes")                                                                        \
    X(ERR_UNREAD, "unread_bodies")                                                                           \
    X(ERR_DRAINING, "draining")                                                                              \
    X(ERR_BACKOFF, "backoff")                                                                                \
    X(ERR_NOT_FOUND, "not_found")                                                                            \
    X(ERR_INVALID, "invalid")                                                                                \
    X(ERR_CANCELLED, "left")                                                                                 \
    X(ERR_NONE, "other")

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
