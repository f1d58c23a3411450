// SPDX-License-Identifier: MIT
// The messages between the front and a runner beside requests and events, and the order in which they come:
//
//     front -> runner   HELLO, then OPEN ... LOAD ... SUBMIT, CANCEL, TURN and RECALL as they come; or
//                       HELLO, then READ_CARD or CONVERT
//     runner -> front   HELLO, then PLAN (from the header alone), PROGRESS ..., READY, EVENT, STATS and
//                       RELEASE; or CARD; or STATE and PIECE ..., DONE; FAILED ends a load or a question
//
// A runner computes only while it has the turn: TURN gives it, RECALL asks for it, RELEASE gives it back.
// Turns and their ends alternate; a RECALL that crosses a RELEASE means nothing.
//
// Both sides refuse another version: the front runs its own file, so this only happens when the file was
// replaced under it.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/histogram.h"
#include "base/strbuf.h"

enum frame_type {
    FRAME_HELLO = 1, // both: struct hello
    FRAME_OPEN,      // front: struct open_options; answered by PLAN or FAILED
    FRAME_LOAD,      // front: struct load_options; answered by PROGRESS ..., then READY or FAILED
    FRAME_SUBMIT,    // front: struct request
    FRAME_CANCEL,    // front: u64 request id; an unknown one is ignored
    FRAME_READ_CARD, // front: u8 verbose; answered by CARD or FAILED
    FRAME_PLAN,      // runner: struct model_plan
    FRAME_PROGRESS,  // runner: struct load_progress
    FRAME_READY,     // runner: struct runner_stats
    FRAME_FAILED,    // runner: struct err
    FRAME_EVENT,     // runner: struct event
    FRAME_STATS,     // runner: struct runner_stats
    FRAME_CARD,      // runner: JSON text
    FRAME_TURN,      // front: struct turn
    FRAME_RECALL,  // front: nothing; RELEASE follows after the step that runs, of which there is at least one
    FRAME_RELEASE, // runner: struct turn_end
    FRAME_CONVERT, // front: struct convert_order; answered by STATE and PIECE ..., then DONE or FAILED
    FRAME_STATE,   // runner: struct convert_state
    FRAME_PIECE,   // runner: the next bytes of the new file
    FRAME_DONE,    // runner: nothing
    FRAME_TYPE_COUNT
};

#define FRAMES_MAGIC 0x72767264u // "drvr"
enum { FRAMES_VERSION = 5 };

// Caps of a wire: what a runner may be sent (a body of 32 MiB, its parts held apart), what it may send (a
// verbose model card).
#define FRAMES_MAX_REQUEST_BYTES (96ul << 20)
#define FRAMES_MAX_REPLY_BYTES   (64ul << 20)

struct open_options {
    uint32_t n_threads, n_slots; // n_slots: that are hoped for, the plan is made for them
    char kv_type[16];            // "f16", ...
    char cpu_level[16];          // "" the best of the machine
    uint8_t log_level;
    bool log_json;
    bool use_sandbox;
    bool has_no_drafts;      // see engine_set_drafts()
    bool has_no_coarse_head; // see weights_load()
};

// From the header of the file: bytes = weights + scratch + process + tokens of the pool * kv_bytes_per_token.
struct model_plan {
    uint64_t weights_bytes, kv_bytes_per_token, scratch_bytes, process_bytes;
    uint32_t train_context;
};

// The right to compute, for at least one step.
struct turn {
    uint64_t length_ns; // no step begins later than this; 0: until it is recalled or nothing is left to do
    uint32_t n_sharing; // how many models have work: each takes that part of a step's time
};

struct turn_end {
    bool has_work;      // it goes on when it has the turn again
    uint64_t n_steps;   // since it started
    uint64_t n_submits; // SUBMITs that it has read since it started: one on its way makes has_work stale
};

struct load_options {
    uint32_t n_slots, pool_tokens, default_context;
};

enum { CONVERT_MAX_FILES = 256, CONVERT_NAME_BYTES = 256 };

// Make a GGUF file of the files on descriptors 4 and following, whose names these are.
struct convert_order {
    char quantize[64]; // "Q4_K_M"; "" keeps the precision
    uint32_t n_threads, n_files;
    char (*names)[CONVERT_NAME_BYTES];
};

struct convert_state {
    char text[128]; // "quantizing F16 model to Q4_K_M"
    uint64_t done, total;
};

struct load_progress {
    uint64_t done, total;
};

// Counters start at 0 with the process.
struct runner_stats {
    uint64_t memory_bytes, kv_tokens_used, kv_tokens_cached, kv_tokens_total; // cached: kept for reuse
    uint32_t n_running;
    uint64_t n_steps, n_preemptions, n_draft_tokens, n_accepted_tokens;
    int64_t step_ns;             // spent in steps
    struct histogram step_width; // HISTOGRAM_WIDTHS: sequences that a step served
};

void hello_encode(struct strbuf *out);
int hello_decode(const void *bytes, size_t n, struct err *err); // ERR_UNSUPPORTED: another version
void open_options_encode(const struct open_options *o, struct strbuf *out);
int open_options_decode(struct open_options *o, const void *bytes, size_t n, struct err *err);
void model_plan_encode(const struct model_plan *p, struct strbuf *out);
int model_plan_decode(struct model_plan *p, const void *bytes, size_t n, struct err *err);
void load_options_encode(const struct load_options *o, struct strbuf *out);
int load_options_decode(struct load_options *o, const void *bytes, size_t n, struct err *err);
void load_progress_encode(const struct load_progress *p, struct strbuf *out);
int load_progress_decode(struct load_progress *p, const void *bytes, size_t n, struct err *err);
void runner_stats_encode(const struct runner_stats *s, struct strbuf *out);
int runner_stats_decode(struct runner_stats *s, const void *bytes, size_t n, struct err *err);
void turn_encode(const struct turn *t, struct strbuf *out);
int turn_decode(struct turn *t, const void *bytes, size_t n, struct err *err);
void turn_end_encode(const struct turn_end *t, struct strbuf *out);
int turn_end_decode(struct turn_end *t, const void *bytes, size_t n, struct err *err);
void convert_order_encode(const struct convert_order *o, struct strbuf *out);
// `names` is the caller's to free, also after a failure.
int convert_order_decode(struct convert_order *o, const void *bytes, size_t n, struct err *err);
void convert_state_encode(const struct convert_state *s, struct strbuf *out);
int convert_state_decode(struct convert_state *s, const void *bytes, size_t n, struct err *err);
void failure_encode(const struct err *failure, struct strbuf *out);
int failure_decode(struct err *failure, const void *bytes, size_t n, struct err *err);
int failure_take(const void *bytes, size_t n,
                 struct err *err); // the failure, or why it cannot be read, as err; -1
void cancel_encode(uint64_t request_id, struct strbuf *out);
int cancel_decode(uint64_t *request_id, const void *bytes, size_t n, struct err *err);
