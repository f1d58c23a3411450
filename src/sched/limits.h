// SPDX-License-Identifier: MIT
// Limits in time of a request: to its start, to its first token, to its end. Private to sched/.
#pragma once

#include "sched/state.h"

int64_t limits_due_ns(const struct sched *s, const struct sched_request *r); // INT64_MAX: never
void limits_enforce(struct sched *s);                                        // those that ran out end
