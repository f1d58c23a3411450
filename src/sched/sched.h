// SPDX-License-Identifier: MIT
// The scheduler: which request runs where and when, which model is loaded and which has to go. A pure state
// machine: what happened goes in with the time at which it happened, what has to be done comes out as
// actions. No sockets, no threads, no clock, no allocation per request (they live in the caller's storage).
// Rules: DESIGN "Why the scheduler is pure"; sched_check() asserts its invariants.
//
// A model: ABSENT -> PROBING (its process reads the header, the plan of its memory comes back) -> PLANNED
// (waits for room) -> LOADING -> READY -> STOPPING
// -> ABSENT. Only LOADING, READY and STOPPING hold memory and a place; the few MiB of a process that probes
// come out of the reserve. A request: WAITING -> RUNNING -> gone; it starts in order of arrival within its
// model.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"

struct sched;

enum sched_state {
    SCHED_ABSENT,
    SCHED_PROBING,
    SCHED_PLANNED,
    SCHED_LOADING,
    SCHED_READY,
    SCHED_STOPPING,
    SCHED_STATE_COUNT
};

struct sched_options {
    uint32_t num_parallel;   // slots per model; 0: 4, or 1 when memory is short
    uint32_t max_queue;      // requests accepted but not running, over all models
    uint32_t max_loaded;     // models that hold memory at once, at least 1
    uint32_t context_length; // 0: the smaller of training context and pool
    int64_t keep_alive_ns;   // negative: for ever
    int64_t load_timeout_ns; // without progress; <= 0: never
    int64_t swap_after_ns; // how long the oldest waiter for an absent model waits until a victim takes no new
                           // work
    int64_t min_resident_ns; // how long a model with work stays at least
    uint64_t front_bytes;    // of the front's buffers, per model
};
#define SCHED_SWAP_AFTER_NS   (5 * 1000000000LL)
#define SCHED_MIN_RESIDENT_NS (10 * 1000000000LL)

struct sched_plan {
    uint64_t fixed_bytes, bytes_per_token;
    uint32_t train_context; // 0: unknown
};

struct sched_sizes {
    uint32_t n_slots, pool_tokens, context_length;
    uint64_t memory_bytes;
    char reduced[200]; // what was reduced and why; "" if nothing
};

struct sched_model {
    struct list all;              // in sched's list of models
    struct list waiting, running; // sched_request.in_model, in order of arrival / of start
    struct list actions;          // sched_model.actions of those with an action to take
    int action;                   // enum sched_action_kind
    enum sched_state state;
    uint32_t n_waiting, n_running,
        n_promised; // promised: waiting, but admitted to a slot that will be free for it
    bool has_plan;
    struct sched_plan plan;
    struct sched_sizes sizes; // while LOADING, READY, STOPPING
    int64_t keep_alive_ns;    // of the last request that said one
    int64_t expires_at_ns;    // when READY and idle; INT64_MAX: never
    int64_t progress_at_ns, ready_at_ns, last_used_ns;
    bool is_draining; // takes only what was admitted before drain_order
    uint64_t drain_order;
    uint32_t crashes_in_row;
    int64_t backoff_until_ns;
    void *user; // the owner's
};

enum sched_place { SCHED_NOWHERE, SCHED_WAITING, SCHED_RUNNING, SCHED_LEAVING };

struct sched_request {
    // set by the caller
    uint32_t need_tokens; // explicit num_ctx; 0: none
    bool is_load;         // wants the model loaded and nothing else
    // the scheduler's
    enum sched_place place;
    struct sched_model *model;
    struct list in_model, actions;
    int action;
    uint64_t order; // of arrival
    int64_t arrived_ns;
    bool is_promised;
    uint32_t n_crashes; // runners that died while it ran
    struct err failure;
};

enum sched_action_kind {
    SCHED_NO_ACTION,
    SCHED_PROBE,    // model: start its process, have it read the header
    SCHED_LOAD,     // model: load with model->sizes
    SCHED_STOP,     // model: end its process (or do not start it); sched_on_gone follows
    SCHED_DISPATCH, // request: send it to the model's process
    SCHED_LOADED,   // request (is_load): the model is ready; forget the request
    SCHED_FAIL,     // request: has ended with request->failure; forget it
};

struct sched_action {
    enum sched_action_kind kind;
    struct sched_model *model;
    struct sched_request *request; // the last three
};

struct sched *sched_new(const struct sched_options *options);
void sched_free(struct sched *s); // requests stay their owners'
struct sched_model *sched_add_model(struct sched *s, void *user);

// ---- What happened ----
// 0: accepted. -1: ERR_BUSY, full or backing off.
int sched_submit(struct sched *s, struct sched_model *m, struct sched_request *r, int64_t now_ns,
                 struct err *err);
void sched_set_keep_alive(struct sched *s, struct sched_model *m, int64_t keep_alive_ns, int64_t now_ns);
void sched_unload(struct sched *s, struct sched_model *m, int64_t now_ns); // when idle; keep_alive becomes 0
// Forgets the request. True: it was dispatched, the runner has to be told.
bool sched_cancel(struct sched *s, struct sched_request *r, int64_t now_ns);
void sched_on_plan(struct sched *s, struct sched_model *m, const struct sched_plan *plan, int64_t now_ns);
void sched_on_progress(struct sched *s, struct sched_model *m, int64_t now_ns);
void sched_on_ready(struct sched *s, struct sched_model *m, int64_t now_ns);
void sched_on_failed(struct sched *s, struct sched_model *m, const struct err *why,
                     int64_t now_ns); // the runner said that it cannot load
void sched_on_gone(struct sched *s, struct sched_model *m,
                   int64_t now_ns); // the process has ended, asked for or not
void sched_on_finished(struct sched *s, struct sched_request *r,
                       int64_t now_ns); // a dispatched request has ended
void sched_set_budget(struct sched *s, uint64_t budget_bytes, int64_t now_ns); // for all models together
void sched_on_time(struct sched *s, int64_t now_ns);

// ---- What to do ----
bool sched_next_action(struct sched *s, struct sched_action *out);
int64_t sched_deadline_ns(const struct sched *s); // call sched_on_time then; INT64_MAX: nothing is due

// ---- Looking in ----
struct sched_counts {
    uint32_t n_waiting, n_running;
    uint32_t n_queued;   // of those waiting, the ones that max_queue counts
    uint64_t held_bytes; // by LOADING, READY and STOPPING models
    bool wants_room;     // some model waits for memory: a new budget would help
};
void sched_read_counts(const struct sched *s, struct sched_counts *out);
bool sched_model_is_idle(const struct sched_model *m); // READY and without work
void sched_check(const struct sched *s);               // asserts what always holds
