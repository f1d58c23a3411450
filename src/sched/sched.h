// SPDX-License-Identifier: MIT
// The scheduler: which request runs where and when, which model is loaded and which has to go. A pure state
// machine: what happened goes in with the time at which it happened, what has to be done comes out as
// actions. No sockets, no threads, no clock, no allocation per request (they live in the caller's storage).
// Rules: DESIGN "Why the scheduler is pure"; sched_check() asserts its invariants.
//
// A model: ABSENT -> PROBING (its process reads the header, the plan of its memory comes back) -> PLANNED
// (waits for room) -> LOADING -> READY -> STOPPING -> ABSENT. Only LOADING, READY and STOPPING hold memory
// and a place; the few MiB of a process that probes come out of the reserve. A model that grows (a request
// wants more context than is loaded) goes STOPPING -> PROBING -> LOADING and keeps its room all the way; what
// ran in it waits and is dispatched again, first. A request: WAITING -> RUNNING -> gone.
//
// All functions of one struct sched belong to one thread at a time. Times are nanoseconds of one monotonic
// clock; a time before the latest one that was passed in counts as that one.
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

// ---- Devices ----
// A model lies on one device whole, or waits. Where there is a GPU, models are placed on GPUs only.
enum sched_device_kind { SCHED_CPU, SCHED_GPU };
enum { SCHED_MAX_DEVICES = 16 };
struct sched_device {
    enum sched_device_kind kind;
    uint64_t budget_bytes; // for all models on it together
};

// ---- Order within a model ----
// FIFO: as they arrived. ROUND_ROBIN: of the clients that wait, the one with the fewest streams in the model,
// then the one whose turn is longest ago; one client's requests keep their order.
enum sched_order { SCHED_ORDER_FIFO, SCHED_ORDER_ROUND_ROBIN, SCHED_ORDER_COUNT };
// With uses_priorities a better class goes first, and the order above holds within a class. A request rises
// one class for each priority_age that it has waited, so after two of them it stands in the first class: then
// no request that came later overtakes it (FIFO), or each other client overtakes it at most once in a turn.
enum sched_priority {
    SCHED_PRIORITY_INTERACTIVE,
    SCHED_PRIORITY_NORMAL,
    SCHED_PRIORITY_BATCH,
    SCHED_PRIORITY_COUNT
};

enum { SCHED_AUTO_SLOTS = 4 };

struct sched_options {
    uint32_t num_parallel;   // slots per model; 0: 4, or 1 when memory is short
    uint32_t max_queue;      // requests accepted but not running, over all models
    uint32_t max_loaded;     // models that hold memory at once; 0: 3 for each GPU, or 3
    uint32_t context_length; // 0: the smaller of training context and pool
    int64_t keep_alive_ns;   // negative: for ever
    int64_t load_timeout_ns; // without progress; <= 0: never
    int64_t swap_after_ns; // how long the oldest waiter for an absent model waits until a victim takes no new
                           // work
    int64_t min_resident_ns; // how long a model with work stays at least
    uint64_t front_bytes;    // of the front's buffers, per model
    enum sched_order order;
    bool uses_priorities;
    int64_t priority_age_ns;        // 0: SCHED_PRIORITY_AGE_NS
    int64_t max_queue_wait_ns;      // from arrival to the start; 0: none (a request may say its own)
    int64_t first_token_timeout_ns; // from arrival to the first token; 0: none
    int64_t request_timeout_ns;     // from arrival to the end; 0: none
    uint32_t n_devices;             // 0: one CPU
    struct sched_device devices[SCHED_MAX_DEVICES];
};
#define SCHED_SWAP_AFTER_NS   (5 * 1000000000LL)
#define SCHED_MIN_RESIDENT_NS (10 * 1000000000LL)
#define SCHED_PRIORITY_AGE_NS (30 * 1000000000LL)

// What one model has of its own. Zeroed: as sched_options say.
struct sched_model_options {
    uint32_t num_parallel;   // 0: as the options; counts at the next load
    uint32_t context_length; // 0: as the options; counts at the next load
    bool has_keep_alive;
    int64_t keep_alive_ns;
    bool is_pinned; // neither evicted nor expired; comes back by itself after a crash
};

struct sched_plan {
    uint64_t fixed_bytes, bytes_per_token;
    uint32_t train_context; // 0: unknown
};

struct sched_sizes {
    uint32_t n_slots, pool_tokens, context_length;
    uint32_t device_i;
    uint64_t memory_bytes;
    char reduced[200]; // what was reduced and why; "" if nothing
};

// ---- Why something waits, was loaded, was unloaded ----
// name for metrics, words for a sentence
#define SCHED_CAUSE_LIST(X)                                                                                  \
    X(SCHED_CAUSE_SLOT, "slot", "for a slot of the model")                                                   \
    X(SCHED_CAUSE_ROOM, "room", "for memory held by other models that were busy")                            \
    X(SCHED_CAUSE_UNLOAD, "unload", "while other models were unloaded")                                      \
    X(SCHED_CAUSE_LINE, "line", "behind other models that waited for memory")                                \
    X(SCHED_CAUSE_PROBE, "probe", "while the model's process started")                                       \
    X(SCHED_CAUSE_LOAD, "load", "loading")                                                                   \
    X(SCHED_CAUSE_STOP, "stop", "while the model was being unloaded")                                        \
    X(SCHED_CAUSE_SWAP, "swap", "while the model made room for another one")                                 \
    X(SCHED_CAUSE_GROW, "grow", "while the model grew for a larger context")                                 \
    X(SCHED_CAUSE_RESTART, "restart", "while the model was started again after a crash")                     \
    X(SCHED_CAUSE_BACKOFF, "backoff", "before the model was started again after crashes")
enum sched_cause {
#define X(cause, name, words) cause,
    SCHED_CAUSE_LIST(X)
#undef X
        SCHED_CAUSE_COUNT
};

#define SCHED_LOAD_LIST(X)                                                                                   \
    X(SCHED_LOAD_REQUEST, "request")                                                                         \
    X(SCHED_LOAD_PRELOAD, "preload")                                                                         \
    X(SCHED_LOAD_GROW, "grow")                                                                               \
    X(SCHED_LOAD_CRASH, "crash")                                                                             \
    X(SCHED_LOAD_CONFIG, "config")
enum sched_load_reason {
#define X(reason, name) reason,
    SCHED_LOAD_LIST(X)
#undef X
        SCHED_LOAD_REASON_COUNT
};

#define SCHED_UNLOAD_LIST(X)                                                                                 \
    X(SCHED_UNLOAD_EXPIRED, "expired") /* keep_alive */                                                      \
    X(SCHED_UNLOAD_ROOM, "room")       /* idle, another model needed its memory or place */                  \
    X(SCHED_UNLOAD_LIMIT, "limit")     /* idle, memory or places have become less */                         \
    X(SCHED_UNLOAD_STOP, "stop")       /* somebody asked for it */                                           \
    X(SCHED_UNLOAD_CRASH, "crash")                                                                           \
    X(SCHED_UNLOAD_GROW, "grow")                                                                             \
    X(SCHED_UNLOAD_CONFIG, "config")                                                                         \
    X(SCHED_UNLOAD_FAILED, "failed") /* the load failed or stood still */
enum sched_unload_reason {
#define X(reason, name) reason,
    SCHED_UNLOAD_LIST(X)
#undef X
        SCHED_UNLOAD_REASON_COUNT
};
const char *sched_cause_name(enum sched_cause cause);
const char *sched_cause_words(enum sched_cause cause);
const char *sched_load_reason_name(enum sched_load_reason reason);
const char *sched_unload_reason_name(enum sched_unload_reason reason);

// What a request waited for. The causes add up exactly to the time that it waited, crashes and growing
// included. Blockers: the models that held the room (ROOM, UNLOAD, LINE), the longest first; several may
// stand in the way at the same time, so they may add up to more.
enum { SCHED_MAX_BLOCKERS = 4 };
struct sched_waits {
    int64_t cause_ns[SCHED_CAUSE_COUNT];
    struct {
        const struct sched_model *model; // NULL: none
        uint32_t n_streams;              // the most that ran there meanwhile
        int64_t wait_ns;
    } blockers[SCHED_MAX_BLOCKERS];
    uint32_t n_streams; // the most that ran in the own model while it waited for a slot
};

struct sched_model {
    struct list all;              // in sched's list of models
    struct list waiting, running; // sched_request.in_model, in order of arrival / of start
    struct list actions;          // sched_model.actions of those with an action to take
    int action;                   // enum sched_action_kind
    uint32_t index;               // 0, 1, ... in the order of sched_add_model
    enum sched_state state;
    uint32_t n_waiting, n_running,
        n_promised; // promised: waiting, but admitted to a slot that will be free for it
    bool has_plan;
    struct sched_plan plan;
    struct sched_sizes sizes; // while LOADING, READY, STOPPING, or growing; n_slots 0: holds nothing
    struct sched_model_options options;
    int64_t keep_alive_ns; // of the last request that said one
    int64_t expires_at_ns; // when READY and idle; INT64_MAX: never
    int64_t progress_at_ns, ready_at_ns, last_used_ns;
    int64_t load_started_ns;
    bool is_draining; // takes only what was admitted before drain_order
    bool is_drain_needed;
    uint64_t drain_order;
    bool is_wanted;         // to be loaded although no request waits for it: preload, pinned
    bool is_growing;        // between SCHED_STOP and READY again
    bool wants_grow;        // READY, and the next request wants more context than is loaded
    bool is_stale;          // loaded with other options than are set now: reloads when idle
    bool is_restarting;     // it crashed, and was not READY since
    uint64_t leaving_bytes; // a growing model's old process, until it is gone
    uint32_t leaving_device_i, leaving_pool_tokens;
    uint32_t crashes_in_row;
    int64_t backoff_until_ns;
    enum sched_load_reason load_reason;                                              // of the load now
    enum sched_unload_reason unload_reason;                                          // while STOPPING
    uint64_t n_loads[SCHED_LOAD_REASON_COUNT], n_unloads[SCHED_UNLOAD_REASON_COUNT]; // since the start
    uint64_t n_load_failures;
    int64_t load_ns;                          // moving average of a load; 0: none yet
    int64_t service_ns;                       // moving average of how long a request runs; 0: none yet
    uint64_t ring;                            // round robin: the next turn
    bool must_unload;                         // sched_unload: when idle, pinned or not
    bool reloads_for_config;                  // after it was unloaded for that
    uint32_t n_load_waiting;                  // of those that wait, is_load
    uint32_t n_preload_waiting;               // of these, is_preload
    uint32_t loaded_parallel, loaded_context; // what was asked for when it was loaded
    bool is_marked, is_kept;                  // while victims are chosen
    enum sched_cause claim;                   // PLANNED or wants_grow: what stands in the way
    // why those that wait do so, since the last event that changed it
    enum sched_cause cause;
    uint64_t swap_order; // those from here on wait for the swap
    const struct sched_model *blockers[SCHED_MAX_BLOCKERS];
    uint32_t blocker_streams[SCHED_MAX_BLOCKERS], cause_streams;
    void *user; // the owner's
};

enum sched_place { SCHED_NOWHERE, SCHED_WAITING, SCHED_RUNNING, SCHED_LEAVING };

struct sched_request {
    // set by the caller before sched_submit
    uint32_t need_tokens; // explicit num_ctx; 0: none
    bool is_load;         // wants the model loaded and nothing else
    bool is_preload; // is_load, and only where there is room: for it no model goes, unless its own is pinned
    uint64_t client; // who asks; for ROUND_ROBIN
    enum sched_priority priority;
    int64_t max_queue_wait_ns, first_token_timeout_ns, request_timeout_ns; // 0: as sched_options
    // the scheduler's
    enum sched_place place;
    struct sched_model *model;
    struct list in_model, actions;
    int action;
    bool fail_tells_runner;
    uint64_t order;                                 // of arrival; names it in the event log
    int64_t arrived_ns, started_ns, first_token_ns; // started: the latest time; 0: not yet
    bool is_promised;
    bool was_started;   // it ran before and waits again: a crash, or its model grows
    uint32_t n_crashes; // runners that died while it ran
    uint32_t turn;      // ROUND_ROBIN: how many of its client and class are in front
    uint64_t ring;      // ROUND_ROBIN: its place in the ring while turn is 0
    int64_t waits_since_ns;
    struct sched_waits waits; // read with sched_read_waits
    struct err failure;
};

enum sched_action_kind {
    SCHED_NO_ACTION,
    SCHED_PROBE,    // model: start its process, have it read the header
    SCHED_LOAD,     // model: load with model->sizes
    SCHED_STOP,     // model: end its process (or do not start it); sched_on_gone follows. If it grows, the
                    // requests that ran there wait again and come back as SCHED_DISPATCH to the next process
    SCHED_DISPATCH, // request: send it to the model's process, with what it has generated so far
    SCHED_LOADED,   // request (is_load): the model is ready; forget the request
    SCHED_FAIL,     // request: has ended with request->failure; forget it
    SCHED_ACTION_COUNT
};

struct sched_action {
    enum sched_action_kind kind;
    struct sched_model *model;
    struct sched_request *request; // the last three
    bool tells_runner; // SCHED_FAIL of a request that runs (a timeout): tell the runner to drop it, as after
                       // sched_cancel
};

struct sched *sched_new(const struct sched_options *options);
void sched_free(struct sched *s); // requests stay their owners'
struct sched_model *sched_add_model(struct sched *s, void *user);

// ---- Configuration, at any time ----
// Devices stay what they are (their budgets: sched_set_budget). Models beyond a smaller max_loaded go as with
// a smaller budget.
void sched_configure(struct sched *s, const struct sched_options *options, int64_t now_ns);
// Slots and context count at the next load; a loaded model that has other ones is loaded anew when idle
// (unload reason "config"; a pinned one comes back by itself). All else counts at once.
void sched_configure_model(struct sched *s, struct sched_model *m, const struct sched_model_options *options,
                           int64_t now_ns);
// Loads it without a request, after those that requests wait for. Nothing if it is loaded.
void sched_preload(struct sched *s, struct sched_model *m, int64_t now_ns);
// From now on nothing is accepted (ERR_DRAINING); what was accepted is finished.
void sched_drain(struct sched *s, int64_t now_ns);
bool sched_is_drained(const struct sched *s); // and every request has ended and was told so

// ---- What happened ----
// 0: accepted. -1: ERR_QUEUE_FULL, ERR_BACKOFF or ERR_DRAINING.
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
// The process has ended, asked for or not: a crash, or killed by a watchdog because it stalled.
void sched_on_gone(struct sched *s, struct sched_model *m, int64_t now_ns);
void sched_on_first_token(struct sched *s, struct sched_request *r,
                          int64_t now_ns); // of a dispatched request
// A dispatched request has ended; also if it waits again because its runner died or grows.
void sched_on_finished(struct sched *s, struct sched_request *r, int64_t now_ns);
// Where models hold more than a smaller budget, idle ones go until it holds, cheapest reload and longest idle
// first; busy ones when they are idle, pinned ones never.
void sched_set_budget(struct sched *s, uint32_t device_i, uint64_t budget_bytes, int64_t now_ns);
void sched_on_time(struct sched *s, int64_t now_ns);

// ---- What to do ----
bool sched_next_action(struct sched *s, struct sched_action *out);
int64_t sched_deadline_ns(const struct sched *s); // call sched_on_time then; INT64_MAX: nothing is due

// What a model would be loaded with where room_bytes are free. Slots, context and what is reduced as
// everywhere; need_tokens as a request's. False: it does not fit, *sizes is then the smallest.
bool sched_fit(const struct sched_options *options, const struct sched_model_options *model,
               const struct sched_plan *plan, uint32_t need_tokens, uint64_t room_bytes,
               struct sched_sizes *sizes);

// ---- Looking in ----
struct sched_counts {
    uint32_t n_waiting, n_running;
    uint32_t n_queued;   // of those waiting, the ones that max_queue counts
    uint64_t held_bytes; // by LOADING, READY and STOPPING models
    bool wants_room;     // some model waits for memory: a new budget would help
};
void sched_read_counts(const struct sched *s, struct sched_counts *out);
bool sched_model_is_idle(const struct sched_model *m); // READY and without work
// Up to now_ns; for requests that wait, run, or have just ended.
void sched_read_waits(const struct sched_request *r, int64_t now_ns, struct sched_waits *out);
// Of a waiting request: why it waits now. The model's blockers go with ROOM, UNLOAD and LINE.
enum sched_cause sched_cause_of(const struct sched_request *r);
// Place among those that wait for the same model, in the order in which they would start now; the next is 1.
// 0: it does not wait.
uint32_t sched_position(const struct sched *s, const struct sched_request *r);
// When a request for m that comes now would start, or r would (its position): from moving averages of service
// and load times, slots and queue. An estimate: at least 0, and finite.
int64_t sched_estimate_ns(const struct sched *s, const struct sched_model *m, uint32_t position);
// For Retry-After, m NULL: for the model with the shortest wait.
int64_t sched_retry_after_ns(const struct sched *s, const struct sched_model *m);
void sched_check(const struct sched *s); // asserts what always holds

// ---- The event log ----
// Every event that goes in and every action that comes out as one line of text, complete enough for
// replay.h to do it again. Call it right after sched_new: a log without the beginning cannot be replayed.
typedef void sched_log_fn(void *user, const char *line);
void sched_set_log(struct sched *s, sched_log_fn *log, void *user, int64_t now_ns);
void sched_log_name(struct sched *s, const struct sched_model *m, const char *name); // for people
