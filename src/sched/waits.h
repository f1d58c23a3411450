// SPDX-License-Identifier: MIT
// Why requests wait, in nanoseconds per cause. Private to sched/.
#pragma once

#include "sched/state.h"

void waits_begin(struct sched_request *r, int64_t now_ns); // it waits from now on
void waits_end(struct sched_request *r, int64_t now_ns);   // up to now; it still stands in its model's list
// After each event: finds the causes of now; what was waited under the old ones is written down first.
void waits_update(struct sched *s);
