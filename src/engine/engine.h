// SPDX-License-Identifier: MIT
// One loaded model that extends many sequences together: continuous batching over a paged KV cache with a
// prefix tree. It knows requests and events (frames/), tokenizers and templates (text/), and the model
// (model/); no sockets, no HTTP.
//
// One thread drives it; it has a team of compute threads of its own. engine_step() never writes a socket or
// reads the environment.
//
// The answer of a request depends on its own tokens, parameters and seed only: not on what runs beside it, on
// chunks, threads or CPU level.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/cpu.h"
#include "base/err.h"
#include "base/histogram.h"
#include "base/strbuf.h"
#include "compute/attention.h"
#include "frames/event.h"
#include "frames/request.h"

struct engine;
struct gguf;

struct engine_options {
    int n_threads; // compute threads, at least 1
    enum kv_type kv_type;
    enum cpu_level level;
    bool has_no_coarse_head; // see weights_load()
    uint32_t n_slots;        // most sequences that run together
    uint32_t pool_tokens;    // size of the KV pool, shared by all sequences
    uint32_t
        default_context; // num_ctx of a request that names none; 0: the smaller of training context and pool
};

// Called while weights are packed; returns false to give up (ERR_CANCELLED).
typedef bool engine_progress_fn(void *user, uint64_t done_bytes, uint64_t total_bytes);
typedef void engine_event_fn(void *user, const struct event *e);

// Loads. The file may be closed afterwards.
int engine_open(struct engine **out, const struct gguf *g, const struct engine_options *o,
                engine_progress_fn *progress, void *user, struct err *err);
void engine_close(struct engine *e); // takes NULL

// Takes a request (copied): renders the template, tokenises, checks lengths. Its first event, EVENT_PROMPT or
// EVENT_ERROR, comes with the next step.
void engine_submit(struct engine *e, const struct request *r);
// The request ends without a further event; its slot and pages are free at once.
void engine_cancel(struct engine *e, uint64_t request_id);
bool engine_has_work(const struct engine *e);
// How many models have work and share the machine's time, this one included; 1 at first. A step with prompt
// tokens then takes that part of its time only, also when nobody decodes here: somebody may elsewhere.
void engine_set_sharing(struct engine *e, uint32_t n_sharing);
// Whether draft tokens are computed along when few streams decode (draft.h): faster, the same tokens. On at
// first.
void engine_set_drafts(struct engine *e, bool is_on);
// One forward pass over the batch: every decoding sequence, then a share of the waiting prompts. Events are
// delivered inside.
void engine_step(struct engine *e, engine_event_fn *on_event, void *user);

struct engine_stats {
    uint64_t memory_bytes; // weights, pool (whole), scratch
    uint64_t kv_tokens_used, kv_tokens_cached,
        kv_tokens_total;                // by running sequences; kept for reuse; in all
    uint32_t n_running, context_length; // context_length: default num_ctx
    uint64_t n_steps, n_prompt_tokens, n_cached_tokens, n_generated_tokens, n_preemptions;
    uint64_t n_draft_tokens, n_accepted_tokens;
    int64_t step_ns;             // spent in steps
    struct histogram step_width; // HISTOGRAM_WIDTHS: sequences that a step served
};
void engine_read_stats(const struct engine *e, struct engine_stats *out);

// ---- From the header alone ----
struct engine_plan {
    uint64_t weights_bytes; // packed weights and vectors
    uint64_t kv_bytes_per_token;
    uint64_t scratch_bytes; // activations, logits
    uint64_t process_bytes; // vocabulary, tables, program
    uint32_t train_context;
};
int engine_plan(const struct gguf *g, const struct engine_options *o, struct engine_plan *out,
                struct err *err);
// The model card as JSON (host.h names the members).
int engine_write_card(const struct gguf *g, bool verbose, struct strbuf *json, struct err *err);
