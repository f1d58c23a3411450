// SPDX-License-Identifier: MIT
// Which of those that wait in a model is next. Private to sched/.
#pragma once

#include "sched/state.h"

// The next to start; NULL: none, or those that wait came after the drain began.
struct sched_request *order_next(const struct sched *s, const struct sched_model *m);
void order_on_join(const struct sched *s, struct sched_request *r); // it waits now
// It waits no more (it is out of the list): started, or gone.
void order_on_leave(const struct sched *s, const struct sched_request *r, bool is_started);
void order_rebuild(const struct sched *s, struct sched_model *m); // the policy has changed
