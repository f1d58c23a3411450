// SPDX-License-Identifier: MIT
// The front's side of the runners: it owns one thread with the scheduler (sched/, pure), the sockets to the
// runner processes, and every request from admission to its last event. It starts a runner per model
// (posix_spawn of /proc/self/exe), hands it the open file, watches it, and delivers events.
//
// Threads: host_* functions may be called from any thread. on_event runs on the host's thread, must not block
// and must not call host_free.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/histogram.h"
#include "frames/event.h"
#include "frames/request.h"
#include "sched/sched.h"

struct host;
struct job;

struct host_options {
    uint32_t num_parallel;    // slots per model; 0: 4, or 1 when memory is short
    uint32_t max_queue;       // requests accepted but not running, for the whole server; 0: no waiting
    uint32_t max_loaded;      // models at once; 0: automatic, 3
    uint32_t context_length;  // default num_ctx; 0: the smaller of training context and pool
    int64_t keep_alive_ns;    // default; negative: for ever
    int64_t load_timeout_ns;  // a load without progress is given up; <= 0: never
    int64_t stall_timeout_ns; // a runner with work and the turn but no step is killed; <= 0: never
    int64_t swap_after_ns, min_resident_ns; // see sched.h
    // Limits of a request's time: until it starts, until its first token, in all; <= 0: none.
    int64_t max_queue_wait_ns, first_token_timeout_ns, request_timeout_ns;
    enum sched_order order; // of the requests of one model
    bool uses_priorities;
    int n_threads;               // 0: what the machine grants
    uint64_t memory_limit_bytes; // 0: what the machine has
    const char *kv_type;         // "f16", ...
    const char *cpu_level;       // "" or NULL: the best
    bool has_no_drafts;          // streams compute no draft tokens along
    bool has_no_coarse_head;     // models are loaded without a coarse copy of their output weights
    const char *event_log;       // file that the scheduler's events go to; "" or NULL: none
    uint64_t max_waiting_bytes;  // of queued requests; 256 MiB
};

// What a configuration says of one model; it counts when the model is loaded next.
struct host_model_settings {
    uint32_t num_parallel;   // 0: as for all models
    uint32_t context_length; // 0: as for all models
    const char *kv_type;     // NULL: as for all models
    int n_threads;           // 0: as for all models
    bool has_keep_alive;     // else as for all models
    int64_t keep_alive_ns;   // negative: for ever
    bool is_pinned;          // never unloaded to make room or when idle
};

// Which model a request wants; copied by host_submit.
struct host_model {
    const char *blob_digest; // "sha256:..." of the weights: the runner's key
    const char *blob_path;
    const char *name;            // display name with tag, as /api/ps shows it
    const char *manifest_digest; // 64 hex
    const char *details_json;    // the object /api/ps and /api/tags show as "details"
    struct host_model_settings settings;
};

// Who asked, for those who look in (host_record). Copied by host_submit, cut where too long; NULL: unknown.
struct host_label {
    const char *request_id; // what people call it by; not necessarily unique
    const char *route;
    const char *client; // nothing secret
};

typedef void host_event_fn(void *user, const struct event *e);

// Settings of the model with that display name, as they are now.
typedef struct host_model_settings host_settings_fn(const char *display_name);

int host_new(struct host **out, const struct host_options *options, struct err *err);
void host_free(struct host *h); // stops every runner; every open job gets EVENT_ERROR (ERR_DRAINING, "server
                                // is shutting down")

// After a reload of the configuration: what counts from now on. Threads and CPU level stay; the KV type
// counts for models that are loaded from now on (a loaded one of another type goes when idle); slots and
// context count at a model's next load, which comes when it is idle. The memory is measured anew.
void host_configure(struct host *h, const struct host_options *options, host_settings_fn *settings_of);

struct host_submission {
    struct host_model model;
    struct host_label label;
    struct request *request; // from malloc; taken, also on failure; its id is set here. NULL: only load the
                             // model (EVENT_DONE with DONE_LOAD)
    uint64_t client;         // who asks, for the order round robin
    enum sched_priority priority;
    bool has_keep_alive;
    int64_t keep_alive_ns; // 0: unload when idle afterwards; negative: for ever
    bool is_preload; // with request NULL: fails where another model would have to go for it (not if pinned)
    bool
        unload; // with request NULL: unload now if idle, else when idle (EVENT_DONE with DONE_UNLOAD at once)
    int64_t comment_ns; // > 0: until the first token EVENT_WAITING comes that often
    host_event_fn *on_event;
    void *user;
};

// Admission: decided at once, never waits. NULL with ERR_QUEUE_FULL, ERR_QUEUE_BYTES, ERR_BACKOFF (after
// crashes of the model) or ERR_DRAINING; host_retry_after_s and host_queue_depth give the headers' values.
// Otherwise the job gets events, the last one being EVENT_DONE or EVENT_ERROR, after which `user` is never
// used again; the first may come before host_submit returns. FIFO per model.
struct job *host_submit(struct host *h, const struct host_submission *s, struct err *err);
// Several at once, of which all are admitted or none; `jobs` has room for n. 0, or -1 as above. The requests
// are taken in any case.
int host_submit_all(struct host *h, const struct host_submission *s, size_t n, struct job **jobs,
                    struct err *err);
// The client has left: its slot or place is free within one step. After it returns no event comes and `user`
// is not used any more; an event that is being delivered right now on the host's thread is waited for, so do
// not hold a lock that on_event takes (inside on_event itself nothing is waited for). True: the last event
// did not come. False: it did, or the job was cancelled before.
bool host_cancel(struct host *h, struct job *j);
void job_unref(struct job *j); // the submitter's reference; call once when done with j
// How long it waited so far, or in all once it runs: for a slot, and for its model to be loaded.
void host_read_waits(struct host *h, const struct job *j, int64_t *queue_ns, int64_t *load_ns);

// Wakes the host's thread; whether it has gone round since the last call. Two calls some seconds apart tell a
// thread that hangs. One caller.
bool host_is_alive(struct host *h);

// When a request for that model (NULL: for any) would start, from moving averages; in 1..60.
uint32_t host_retry_after_s(const struct host *h, const char *blob_digest);
uint32_t host_queue_depth(const struct host *h); // requests that wait and have no slot promised

// ---- Looking in ----
struct host_model_status {
    char metrics_name[256]; // as host_model_metrics.name
    char name[256], blob_digest[80], manifest_digest[72];
    char *details_json;  // owned
    char state[16];      // "loading", "ready", "stopping"
    uint64_t size_bytes; // memory plan
    uint32_t n_slots, n_running, n_queued;
    uint32_t context_length; // per sequence
    uint64_t kv_tokens_used, kv_tokens_total;
    int64_t expires_wall_ns; // 0: never
    char reduced[256];       // what was reduced and why; "" if nothing
    enum sched_cause cause;  // why those that are queued wait
    enum sched_load_reason load_reason;
    int pid;
    uint64_t n_steps, n_turns; // of its process: forward passes; how often it was given the turn to compute
    uint64_t load_done_bytes, load_total_bytes; // while loading
};
struct host_status {
    struct host_model_status *models;
    size_t n_models;
    uint32_t n_queued, n_running;
    uint64_t n_started, n_finished, n_rejected, n_cancelled;
};
void host_status_read(struct host *h, struct host_status *out); // never waits for a runner
void host_status_fini(struct host_status *s);

// ---- Requests, one by one ----
enum host_phase {
    HOST_QUEUED,   // waits for its turn
    HOST_LOADING,  // waits for its model to be loaded, a slot is promised to it
    HOST_PROMPT,   // has a slot, no token yet
    HOST_DECODING, // tokens come
    HOST_ENDED,
    HOST_PHASE_COUNT
};
enum { HOST_HISTORY = 1000 }; // ended requests that are remembered, the oldest goes

struct host_record {
    char request_id[132], route[48], client[80], model[256];
    const char *priority; // "interactive", "normal", "batch"
    enum host_phase phase;
    uint32_t position; // in its model's queue, 1: the next; 0: it does not wait
    int64_t arrived_wall_ns;
    enum sched_cause cause;              // why it waits now: HOST_QUEUED, HOST_LOADING
    int64_t cause_ns[SCHED_CAUSE_COUNT]; // waited so far, or in all
    int64_t queue_ns, load_ns;           // their sums: for others, and for the model to be there
    uint32_t n_streams;                  // the most that ran in the model while it waited for a slot
    struct {
        char model[128]; // "": none
        uint32_t n_streams;
        int64_t wait_ns;
    } blockers[SCHED_MAX_BLOCKERS]; // other models that held the room, the longest first
    int64_t first_token_ns;         // since its arrival; 0: none yet
    int64_t total_ns;               // since its arrival, until now or its end
    uint32_t n_prompt, n_cached, n_generated;
    uint32_t n_resubmissions; // to a new runner, after the one it ran on had died
    // HOST_ENDED
    char outcome[16]; // "stop", "length", "load", "unload", "error", "cancelled" (its client left, or on
                      // request), "refused"
    int status; // of HTTP, as its end was told: 200, 499 cancelled, ...; an error within a stream counts as
                // one
    char error[256]; // "" if none
};

// All requests that have not ended, in order of arrival; owned by the caller (free).
void host_read_queue(struct host *h, struct host_record **out, size_t *n);
// The newest of at most `max` that have ended, the newest first; owned by the caller.
void host_read_history(struct host *h, size_t max, struct host_record **out, size_t *n);
// The newest of that id, one that has not ended before one that has. False: unknown.
bool host_find_request(struct host *h, const char *request_id, struct host_record *out);
// Ends the newest open request of that id: its last event is EVENT_ERROR with ERR_CANCELLED. 0; or
// ERR_NOT_FOUND, or ERR_CONFLICT when it has ended already.
int host_cancel_request(struct host *h, const char *request_id, struct err *err);
// Remembers a request that was refused before it became a job. `model` may be NULL.
void host_note_refusal(struct host *h, const struct host_label *label, const char *model,
                       const struct err *why);

// ---- Counters ----
enum host_end { HOST_END_STOP, HOST_END_LENGTH, HOST_END_ERROR, HOST_END_CANCELLED, HOST_END_COUNT };
extern const char *const host_end_names[HOST_END_COUNT]; // as host_record.outcome

// Of one model since the server started; they only grow.
struct host_counters {
    uint64_t n_ended[HOST_END_COUNT]; // requests that were admitted; preloads are not counted
    uint64_t n_prompt_tokens, n_cached_tokens, n_generated_tokens; // cached ones are prompt tokens too
    uint64_t n_crashes, n_resubmissions;
    uint64_t n_loads[SCHED_LOAD_REASON_COUNT], n_unloads[SCHED_UNLOAD_REASON_COUNT], n_load_failures;
    uint64_t n_steps, n_preemptions;
    uint64_t n_draft_tokens,
        n_accepted_tokens; // computed along with a stream's last token; of these, generated
    double step_s;         // spent in steps
    struct histogram load; // HISTOGRAM_DURATIONS, of loads
    struct histogram queue_wait, load_wait, first_token; // HISTOGRAM_WAITS, of requests
    struct histogram token_gap;                          // HISTOGRAM_TOKEN_GAPS
    struct histogram duration;                           // HISTOGRAM_DURATIONS
    struct histogram prompt_tokens, generated_tokens;    // HISTOGRAM_TOKENS
    struct histogram step_width;                         // HISTOGRAM_WIDTHS: sequences that a step served
};

struct host_model_metrics {
    char name[256];  // the first name that it was known by: it stays
    bool is_present; // the figures of now mean something
    bool is_ready;
    int pid; // 0: no process
    uint32_t n_slots, n_running, n_waiting;
    uint64_t plan_bytes, kv_tokens_used, kv_tokens_cached, kv_tokens_total;
    struct host_counters counters;
};

struct host_metrics {
    struct host_model_metrics *models; // every model that was asked for since the start
    size_t n_models;
    uint32_t n_running, n_waiting, n_queued; // n_queued: of those waiting, the ones that max_queue counts
    uint32_t max_queue;
    uint64_t budget_bytes, held_bytes; // memory for models; promised to those that are loaded or loading
    uint64_t waiting_bytes;            // of queued requests
};
void host_metrics_read(struct host *h, struct host_metrics *out); // never waits for a runner
void host_metrics_fini(struct host_metrics *m);
// Of a process now, from the kernel; 0 when it is gone.
uint64_t host_resident_bytes(int pid);
uint64_t host_swapped_bytes(int pid);

// ---- The memory plan ----
// From a model card's "memory": what a plan is made of.
struct host_memory_facts {
    uint64_t weights_bytes, coarse_head_bytes, process_bytes, kv_bytes_per_token;
    uint64_t scratch_bytes, scratch_bytes_per_slot, scratch_bytes_per_thread;
    uint32_t train_context;
};
struct host_memory_plan {
    struct sched_sizes sizes; // as the model would be loaded; memory_bytes is the sum of the rows
    int n_threads;
    uint64_t weights_bytes, pool_bytes, scratch_bytes, process_bytes, front_bytes;
    uint64_t budget_bytes;    // of all models together
    uint64_t available_bytes; // of it, what no other model holds
    bool fits_now;            // beside all that is loaded
    bool can_fit;             // when idle models have gone
};
// How the model would be loaded now, with so many slots and so much context (0: as configured) if that is not
// too much. Reads the machine's memory; any thread.
void host_plan_memory(struct host *h, const struct host_model *model, const struct host_memory_facts *facts,
                      uint32_t n_slots, uint32_t num_ctx, struct host_memory_plan *out);

// ---- Model cards ----
// Reads a model file's metadata in a short-lived sandboxed child. `*json` (owned) is an object:
// "architecture", "parameter_count", "file_type" ("Q4_1"...), "context_length", "embedding_length",
// "block_count", "has_template", "template", "model_info" (all values but long arrays; `verbose`: all),
// "tensors", memory plan coefficients.
int host_read_card(int fd, bool verbose, char **json, struct err *err);

// ---- Making a model file ----
struct host_conversion_file {
    const char *name; // "model.safetensors"
    int fd;
};
struct host_conversion {
    const struct host_conversion_file *files; // one GGUF file, or those of a checkpoint
    size_t n_files;                           // at most CONVERT_MAX_FILES
    const char *quantize;                     // "Q4_K_M"; "" keeps the precision
    // Called on the caller's thread.
    void *user;
    int (*on_bytes)(void *user, struct slice bytes, struct err *err); // the next of the new file
    void (*on_state)(void *user, const char *text, uint64_t done, uint64_t total);
    bool (*is_cancelled)(void *user);
};
// Quantises or converts in a sandboxed child, which ends with the call. No bytes at all: the file has the
// asked type already. ERR_CANCELLED; ERR_FORMAT, ERR_UNSUPPORTED and ERR_INVALID say what is wrong.
int host_convert(const struct host_conversion *c, struct err *err);
