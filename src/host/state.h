// SPDX-License-Identifier: MIT
// What the files of host/ share. Private.
//
// Who owns what: struct host and everything reached from it is guarded by `mutex`, held for short pieces
// only, never over a send, a spawn or on_event. Exceptions: a link and its wire belong to the host's thread
// alone; a job's `request` never changes after admission; a job's replay bookkeeping (ids, prompt_*) belongs
// to the host's thread.
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/list.h"
#include "frames/message.h"
#include "frames/wire.h"
#include "host/history.h"
#include "host/host.h"
#include "host/limit.h"
#include "host/spawn.h"
#include "sched/sched.h"

struct hosted; // a model that the host knows
struct link;   // its process

struct job {
    struct sched_request sched;
    struct list open; // host.jobs or host.unloads
    atomic_int refs;  // the submitter's, the host's until it is closed, the thread's while it works on it
    uint64_t id;
    struct hosted *model;
    struct request *request; // NULL: only loads
    size_t waiting_bytes;    // counted in host.waiting_bytes
    int64_t started_ns;      // dispatched, the last time
    int64_t first_started_ns;
    int64_t first_token_ns, last_token_ns;
    uint32_t n_prompt, n_cached, n_generated;
    char request_id[132], route[48], client[80];
    char model_name[sizeof(
        ((struct host_record *)0)->model)]; // that it was asked by, which may not be the runner's
    int64_t arrived_wall_ns;
    struct list to_cancel; // host.to_cancel
    struct list comments;  // host.comments
    int64_t comment_ns, comment_at_ns;
    host_event_fn *on_event;
    void *user;
    bool is_closed;     // the last event is delivered or being delivered, or it was cancelled
    bool is_delivering; // on_event runs
    // for a new runner after a crash
    uint32_t *ids; // generated so far
    size_t n_ids, ids_capacity;
    bool has_prompt;
    uint64_t prompt_hash;
};

struct hosted {
    struct list all; // host.models
    char *first_name;
    struct host_counters counters; // of processes that are gone, and what the front counts itself
    struct sched_model *sched;
    char *blob_digest, *kv_type;                             // the runner's key
    char *blob_path, *name, *manifest_digest, *details_json; // as the submission said that found it unloaded
    int n_threads;                                           // of its own; 0: the host's
    struct runner_stats stats;
    struct load_progress progress;
    int pid; // 0: no process
    uint64_t n_turns;
    int64_t load_started_ns;
    struct link *link; // the host's thread's
};

struct cancel_note {
    struct list all; // host.cancels
    struct hosted *model;
    uint64_t job_id;
};

struct host {
    pthread_mutex_t mutex;
    pthread_cond_t delivered;
    pthread_t thread;
    struct host_options options; // memory_limit_bytes may change: with the mutex
    char *kv_type, *cpu_level;
    bool has_no_drafts, has_no_coarse_head;
    int n_threads;
    _Atomic int64_t stall_timeout_ns;
    int epoll_fd, wake_fd;
    struct sched *sched;
    struct sched_options policy; // what it was told last
    FILE *event_log;             // NULL: none
    struct list models, jobs, cancels, unloads;
    struct list to_cancel; // jobs with a reference, whose last event the host's thread has to deliver
    struct list comments;  // jobs that are told while they wait, the next one first (all as often)
    struct history history;
    uint64_t budget_bytes; // of the last reading
    bool reads_budget;     // the host's thread is to read it anew: the limit may be another one
    uint64_t next_id, waiting_bytes;
    uint64_t n_started, n_finished, n_rejected, n_cancelled;
    bool is_stopping;
    atomic_uint_fast64_t n_rounds; // of the host's thread
    uint64_t n_rounds_seen;        // by host_is_alive
    // the host's thread's
    struct list links;
    struct strbuf scratch; // of event_decode
    struct strbuf message; // being encoded
    struct link *turn;     // who may compute; NULL: nobody
    bool turn_has_end;     // it comes back without being recalled (again)
    int64_t turn_began_ns, looked_at_ns;
};

// ---- host.c ----
struct hosted *host_find_model(struct host *h, const struct host_model *wanted); // with the mutex; never NULL

// ---- configure.c ----
struct sched_options configure_policy(const struct host_options *o);
// With the mutex.
const char *configure_kv_type(const struct host *h, const struct host_model_settings *settings);
void configure_model(struct host *h, struct hosted *m, const struct host_model_settings *settings);

// ---- plan.c ----
uint32_t plan_wanted_slots(const struct host *h, uint32_t of_the_model); // with the mutex

// ---- job.c ----
struct job *job_new(struct host *h, struct hosted *m, const struct host_submission *s);
void job_ref(struct job *j);
// Marks the end: no event follows. The caller holds the mutex, and unrefs afterwards. False: it was closed
// already.
bool job_close(struct host *h, struct job *j);
// Delivers an event unless the job is closed; the last one closes it. Without the mutex; host's thread.
void job_deliver(struct host *h, struct job *j, const struct event *e);
void job_deliver_error(struct host *h, struct job *j, const struct err *why);
// Remembers what a new runner has to replay. -1: the runner contradicts what was said before a crash, or
// itself.
int job_remember(struct job *j, const struct event *e, struct err *err);
void job_encode(const struct job *j, struct strbuf *out);

// ---- record.c: all with the mutex ----
// The job runs: what it waited for is known from now on.
void record_start(struct job *j, int64_t now_ns);
// Counts an event that is about to be delivered, and puts the waits into it.
void record_event(struct host *h, struct job *j, struct event *e);
// The job's end, of whatever kind: counts it and remembers it. `why` NULL: it ended well, with `reason`.
void record_end(struct host *h, struct job *j, enum done_reason reason, const struct err *why);
// What it waits for: "queued, position 3". False: it has its first token, or has ended.
bool record_waiting_text(const struct host *h, const struct job *j, char out[64]);
void record_waits(const struct job *j, int64_t now_ns, int64_t *queue_ns, int64_t *load_ns);
// The runner is gone: what it had counted is kept.
void record_runner_end(struct hosted *m);

// ---- link.c ----
struct link {
    struct list all; // host.links
    struct hosted *model;
    struct child child;
    struct limit limit;
    struct wire wire;
    bool said_hello;
    bool socket_open;   // watched and in use
    bool process_gone;  // reaped
    bool wants_write;   // EPOLLOUT is on
    int64_t kill_at_ns; // INT64_MAX: not ending
    struct list unsent; // of struct unsent_job: requests for which the send queue had no room
    // turns.c
    bool wants_turn;
    uint64_t n_submits;   // that were sent
    int64_t turn_time_ns; // that it has had
    int64_t silent_ns;    // since it said something of a step, or got the turn
    bool is_stalled;      // and was killed for it
};

int link_start(struct host *h, struct hosted *m, struct err *err);
void link_load(struct host *h, struct link *l, const struct sched_sizes *sizes);
void link_submit(struct host *h, struct link *l, struct job *j);
void link_cancel(struct host *h, struct link *l, uint64_t job_id);
void link_push(struct host *h, struct link *l, enum frame_type type); // h->message, and sends it
void link_end(struct host *h, struct link *l); // asks it to leave; kills it after a while
void link_on_socket(struct host *h, struct link *l);
void link_on_process(struct host *h, struct link *l); // it has ended: reads what it left, reports
void link_on_time(struct link *l, int64_t now_ns);
void link_free(struct host *h, struct link *l); // kills it if need be

// ---- turns.c ----
void turns_want(struct host *h, struct link *l); // a request was sent to it
int turns_on_release(struct host *h, struct link *l, const struct wire_message *m, struct err *err);
void turns_forget(struct host *h, struct link *l); // it is gone, or is not spoken to any more
void turns_settle(struct host *h);                 // gives or recalls the turn, as it has to be
void turns_watch(struct host *h, int64_t now_ns);  // kills who stalls
int64_t turns_deadline_ns(const struct host *h);   // call turns_watch then

// ---- thread.c ----
void *thread_run(void *host);
void thread_wake(struct host *h);
void thread_read_budget(struct host *h);
