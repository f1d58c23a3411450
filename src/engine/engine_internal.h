// SPDX-License-Identifier: MIT
// What the engine's own files share.
#pragma once

#include "base/clock.h"
#include "engine/engine.h"
#include "engine/kvcache.h"
#include "engine/prompt.h"
#include "engine/sampler.h"
#include "engine/seq.h"
#include "model/decoder.h"
#include "text/pieces.h"

enum {
    ENGINE_MAX_PREFILL = 512,         // prompt tokens of one step when nobody decodes
    ENGINE_MIN_PREFILL = 16,          // and at least, when somebody does
    ENGINE_RENDERED_BYTES = 16 << 20, // of a text that is the answer
    ENGINE_ANSWER_IDS = 8 << 20,      // and of ids
    ENGINE_UNKNOWN_PREFILL = 64,      // and at most, before it is known how long they take
    ENGINE_DRAFT_COLUMNS = 4,         // a step of decoding streams may grow to so many by drafts
    ENGINE_APART_OF_ROW = SAMPLER_MAX_APART + ENGINE_DRAFT_COLUMNS,
};
// A step with prompt tokens takes no longer than this or two decode steps; when nobody decodes, no longer
// than the second: also a large model on a small machine must hear its front and show that it lives.
#define ENGINE_STEP_NS       (50 * NS_PER_MS)
#define ENGINE_ALONE_STEP_NS (5 * NS_PER_S)

// A request for vectors: its inputs that wait, and what is known of those that are done.
struct embedding {
    struct list node; // of the engine
    uint64_t request_id;
    struct request_text *inputs; // the text of one is dropped when its run begins
    size_t n_inputs, next_input;
    uint32_t limit; // tokens of an input
    bool cuts;      // the end of a longer one
    uint32_t n_runs;
    bool is_in_batch; // of the step being made
    uint32_t n_prompt, n_truncated;
    int64_t started_ns; // 0: not yet
};

struct engine {
    struct engine_options o;
    struct pool *pool;
    const struct kernels *kernels;
    struct weights weights;
    struct kvcache cache;
    struct decoder *decoder;
    struct tokenizer *tokenizer;
    struct template *template, *fallback_template;
    struct template *tool_template; // of the file, for conversations with tools; or NULL
    struct template_traits traits;  // of `template`
    struct reply_spec reply;        // of `template`
    uint32_t *banned, n_banned;     // padding entries of the vocabulary
    struct pieces *pieces;          // its tokens, for masks of grammars; NULL until the first constraint
    struct list seqs;               // in order of admission
    uint32_t n_seqs;
    struct list embeddings;
    uint64_t next_order;
    uint32_t rotation;               // whose prompt comes first this step
    struct sampler_scratch *scratch; // one per thread
    // the batch of the step being made
    uint32_t *batch_ids, *logit_columns, *hidden_columns;
    struct decoder_run *runs;
    struct decoder_top *tops; // of each row of logits
    uint32_t *apart;          // [rows of logits][ENGINE_APART_OF_ROW], the ids of tops
    struct seq **sampled;     // those whose next token is drawn
    uint32_t n_sampled;
    struct decoder_batch batch;
    uint32_t n_decoding; // sequences that were decoding in it
    uint32_t n_prefill;  // prompt tokens in it
    uint32_t n_sharing;  // models that have work
    bool drafts;         // engine_set_drafts()
    // measured, to keep steps short
    double decode_step_ns, prefill_token_ns;
    struct strbuf text;
    struct engine_stats stats;
};

void engine_remove_seq(struct engine *e, struct seq *s);
struct prompt_source engine_prompt_source(const struct engine *e);

// embed.c: the inputs that begin with the next step, and the end of requests whose inputs are done or cannot
// be taken.
void embed_submit(struct engine *e, const struct request *r, uint32_t limit);
void embed_cancel(struct engine *e, uint64_t request_id);
void embed_drop_all(struct engine *e);
void embed_refill(struct engine *e, engine_event_fn *on_event, void *user);
// Whether the hidden state of that position is a part of the run's vector.
bool embed_wants(const struct engine *e, const struct seq *s, uint32_t position);
// After a step: vectors that are whole are told.
void embed_take(struct engine *e, int64_t step_began_ns, engine_event_fn *on_event, void *user);

// Rows of logits, and tokens, that a batch may have.
static inline uint32_t engine_max_logits(uint32_t n_slots)
{
    return n_slots + ENGINE_DRAFT_COLUMNS - 1;
}
static inline uint32_t engine_max_tokens(uint32_t n_slots)
{
    return ENGINE_MAX_PREFILL + n_slots;
}

// batch.c: chooses the tokens of the next step, within the budget and the pages there are. False: nothing to
// compute.
bool batch_compose(struct engine *e);
// Learns from a step how long things take.
void batch_learn(struct engine *e, int64_t step_ns);
