// SPDX-License-Identifier: MIT
// What the files of sched/ share: the whole state, and what they ask each other. Private to sched/.
#pragma once

#include "base/clock.h"
#include "base/mem.h"
#include "sched/fit.h"
#include "sched/sched.h"

struct sched {
    struct sched_options options;
    struct list models;          // sched_model.all
    struct list model_actions;   // sched_model.actions
    struct list request_actions; // sched_request.actions
    uint32_t n_models;
    uint64_t next_order;
    uint32_t n_queued;
    uint32_t n_alive;        // requests that were accepted and did not end, or whose end was not told yet
    int64_t now_ns;          // the latest time that was passed in
    int64_t limits_due_ns;   // no request runs out of time before
    int64_t service_ns;      // moving average over all models; 0: none yet
    uint32_t queued_allowed; // max_queue, or more while a new configuration has made it less
    uint32_t loaded_allowed; // max_loaded, the same way
    bool wants_room;         // a model waits for it
    bool is_ending;          // sched_drain
    bool must_refuse;        // what fits at all has become less
    sched_log_fn *log;       // NULL: off
    void *log_user;
};

static inline struct sched_request *request_of(struct list *node)
{
    return LIST_OWNER(node, struct sched_request, in_model);
}

static inline struct sched_model *model_of(struct list *node)
{
    return LIST_OWNER(node, struct sched_model, all);
}

static inline struct sched_request *oldest_of(const struct sched_model *m)
{
    return request_of(m->waiting.next);
}

static inline bool is_held(const struct sched_model *m)
{
    return m->sizes.n_slots > 0; // LOADING, READY, STOPPING after these, or growing
}

// Work that has a right to this residency: running, or waiting and admitted before the drain. A request that
// needs a larger pool has no right to this one.
static inline bool has_work(const struct sched_model *m)
{
    if (m->n_running > 0)
        return true;
    return m->n_waiting > 0 && !m->wants_grow && (!m->is_draining || oldest_of(m)->order < m->drain_order);
}

static inline bool is_loading(const struct sched_model *m)
{
    return m->state == SCHED_PROBING || m->state == SCHED_LOADING;
}

static inline uint32_t max_loaded(const struct sched *s)
{
    return s->options.max_loaded;
}

static inline struct fit_wish wish_of(const struct sched *s, const struct sched_model *m)
{
    return (struct fit_wish){m->options.num_parallel > 0 ? m->options.num_parallel : s->options.num_parallel,
                             m->options.context_length > 0 ? m->options.context_length
                                                           : s->options.context_length,
                             s->options.front_bytes};
}

static inline int64_t default_keep_alive(const struct sched *s, const struct sched_model *m)
{
    return m->options.has_keep_alive ? m->options.keep_alive_ns : s->options.keep_alive_ns;
}

static inline uint32_t largest_need(const struct sched_model *m)
{
    uint32_t need = 0;
    LIST_EACH(&m->waiting, node)
    need = MAX(need, request_of(node)->need_tokens);
    LIST_EACH(&m->running, node)
    need = MAX(need, request_of(node)->need_tokens);
    return need;
}

// Slots that it has, or will probably have.
static inline uint32_t expected_slots(const struct sched *s, const struct sched_model *m)
{
    uint32_t n = wish_of(s, m).num_parallel;
    return is_held(m) && m->state != SCHED_STOPPING ? m->sizes.n_slots : n > 0 ? n : (uint32_t)FIT_AUTO_SLOTS;
}

// ---- settle.c ----
// Brings time up to now; every event begins so.
int64_t settle_begin(struct sched *s, int64_t now_ns);
// After an event: requests start where there is a slot, models start, expire, time out, room is given.
void settle(struct sched *s);
void settle_act_on_model(struct sched *s, struct sched_model *m, enum sched_action_kind kind);
void settle_act_on_request(struct sched *s, struct sched_request *r, enum sched_action_kind kind);
void settle_leave(struct sched *s, struct sched_request *r, bool is_started); // its model's list
void settle_wait(struct sched *s, struct sched_request *r);                   // in the order of arrival
// Ends it with an error, wherever it stands.
void sched_fail_request(struct sched *s, struct sched_request *r, const struct err *why);
void sched_stop_model(struct sched *s, struct sched_model *m, enum sched_unload_reason reason);
void sched_load_model(struct sched *s, struct sched_model *m, const struct sched_sizes *sizes);
// Ends its process to start one with these sizes, which are held from now on; what runs waits again.
void sched_grow_model(struct sched *s, struct sched_model *m, const struct sched_sizes *sizes);
// The load failed: those whom it concerns end with the reason.
void settle_load_failed(struct sched *s, struct sched_model *m, const struct err *why);
void settle_take_back(struct sched *s, struct sched_model *m, bool is_crash); // those that run wait again
