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

enum {
    ENGINE_MAX_PREFILL = 512,         // prompt tokens of one step when nobody decodes
    ENGINE_MIN_PREFILL = 16,          // and at least, when somebody does
    ENGINE_RENDERED_BYTES = 16 << 20, // of a prompt's text as an answer
    ENGINE_UNKNOWN_PREFILL = 64,      // and at most, before it is known how long they take
};
// A step with prompt tokens takes no longer than this or two decode steps; when nobody decodes, no longer
// than the second: also a large model on a small machine must hear its front and show that it lives.
#define ENGINE_STEP_NS       (50 * NS_PER_MS)
#define ENGINE_ALONE_STEP_NS (5 * NS_PER_S)

struct engine {
    struct engine_options o;
    struct pool *pool;
    const struct kernels *kernels;
    struct weights weights;
    struct kvcache cache;
    struct decoder *decoder;
    struct tokenizer *tokenizer;
    struct template *template, *fallback_template;
    struct template_traits traits; // of `template`
    uint32_t *banned, n_banned;    // padding entries of the vocabulary
    struct list seqs;              // in order of admission
    uint32_t n_seqs;
    uint64_t next_order;
    uint32_t rotation;               // whose prompt comes first this step
    struct sampler_scratch *scratch; // one per thread
    // the batch of the step being made
    uint32_t *batch_ids, *logit_columns;
    struct decoder_run *runs;
    struct seq **sampled; // sampled[i] owns logits row i
    struct decoder_batch batch;
    uint32_t n_decoding; // sequences that were decoding in it
    uint32_t n_prefill;  // prompt tokens in it
    uint32_t n_sharing;  // models that have work
    // measured, to keep steps short
    double decode_step_ns, prefill_token_ns;
    struct strbuf text;
    struct engine_stats stats;
};

// batch.c: chooses the tokens of the next step, within the budget and the pages there are. False: nothing to
// compute.
bool batch_compose(struct engine *e);
// Learns from a step how long things take.
void batch_learn(struct engine *e, int64_t step_ns);
