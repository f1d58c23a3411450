// SPDX-License-Identifier: MIT
// Who gets memory and a place: decides which models are loaded, which grow, which have to go, and which take
// no new work. Private to sched/.
#pragma once

#include "sched/state.h"

// Requests of m that can never run here end, and do not stand in the way of others.
void room_refuse_impossible(struct sched *s, struct sched_model *m);
// Gives room to the models that wait for it, in the order of their oldest waiters.
void room_assign(struct sched *s);
// Unloads idle models where more is held than memory or max_loaded now allow.
void room_unload_excess(struct sched *s);
// When room_assign might decide otherwise only because time passed; INT64_MAX: never.
int64_t room_deadline_ns(const struct sched *s);
// Whether m waits for room: to be loaded, or to grow.
bool room_is_claimant(const struct sched_model *m);
