// SPDX-License-Identifier: MIT
// Who gets memory and a place: decides which models are loaded, which have to go, and which take no new work.
// Private to sched/.
#pragma once

#include "sched/sched.h"

struct sched {
    struct sched_options options;
    struct list models;          // sched_model.all
    struct list model_actions;   // sched_model.actions
    struct list request_actions; // sched_request.actions
    uint64_t next_order;
    uint64_t budget_bytes;
    uint32_t n_queued;
    int64_t now_ns;  // the latest time that was passed in
    bool wants_room; // a model is PLANNED and waits
};

// Work that has a right to this residency: running, or waiting and admitted before the drain.
static inline bool room_has_work(const struct sched_model *m)
{
    if (m->n_running > 0)
        return true;
    if (m->n_waiting == 0)
        return false;
    return !m->is_draining ||
           LIST_OWNER(m->waiting.next, struct sched_request, in_model)->order < m->drain_order;
}

static inline bool room_is_held(const struct sched_model *m)
{
    return m->sizes.n_slots > 0; // LOADING, READY, or STOPPING after these
}

// Requests of m whose own context can never fit end here, and do not stand in the way of others.
void room_refuse_impossible(struct sched *s, struct sched_model *m, int64_t now_ns);
// Gives room to the models that wait for it, in the order of their oldest waiters.
void room_assign(struct sched *s, int64_t now_ns);
// When room_assign might decide otherwise only because time passed; INT64_MAX: never.
int64_t room_deadline_ns(const struct sched *s);

// Of sched.c: what room_assign decides with.
void sched_stop_model(struct sched *s, struct sched_model *m);
void sched_fail_request(struct sched *s, struct sched_request *r, const struct err *why, int64_t now_ns);
void sched_act_on_model(struct sched *s, struct sched_model *m, enum sched_action_kind kind);
