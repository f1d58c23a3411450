// SPDX-License-Identifier: MIT
// One run of tokens being extended: prompt, answer so far, how much of both is computed, and the pages that
// hold it. A sequence that lost its pages (preemption) simply has nothing computed: prompt and answer are
// computed again, with the same bits.
#pragma once

#include "base/list.h"
#include "base/params.h"
#include "engine/draft.h"
#include "engine/kvcache.h"
#include "engine/output.h"
#include "frames/event.h"
#include "frames/request.h"
#include "text/constraint.h"
#include "text/matcher.h"
#include "text/reply.h"
#include "text/tokenizer.h"

struct embedding;

struct seq {
    struct list node; // of the engine, in order of admission
    uint64_t request_id, order;
    struct params params;
    char **stops;
    size_t n_stops;
    struct logit_bias *biases;
    size_t n_biases;
    struct tokens tokens; // prompt + answer
    uint32_t n_prompt, n_generated, n_cached, n_truncated;
    uint32_t limit;      // most tokens it may hold
    uint32_t n_computed; // tokens whose keys and values are in the pages
    uint32_t *pages;     // limit / KV_PAGE_TOKENS, rounded up
    uint32_t n_pages;    // of these: [0, n_nodes) are nodes of the tree, [0, n_published) published ones; the
                         // rest is private
    uint32_t n_nodes, n_published;
    bool was_preempted, prompt_told;
    enum request_task task;      // RENDER, TOKENIZE, DETOKENIZE: answered at once, nothing is computed
    struct strbuf rendered;      // the text that is the answer
    struct embedding *embedding; // TASK_EMBED: it is the run of one input; its pages are shared with nobody
    uint32_t input_i, n_pooled;  // n_pooled: positions, from the first, that are in `pooled`
    double *pooled;
    struct err error; // set: the request failed before it ran
    struct output output;
    struct reply_spec reply;            // how the answer is to be read
    struct constraint *constraint;      // what the answer must be; NULL: free
    struct matcher *matcher;            // where the answer stands in it
    int64_t started_ns, first_token_ns; // 0: not yet
    // of the step being made
    uint32_t n_columns, first_column;
    uint32_t logit_row; // and one row for each draft token behind it
    struct draft draft; // behind the last token, of the step being made
    struct sample sample;
};

struct seq *seq_new(const struct request *r);
// Its pages must have been released.
void seq_free(struct seq *s);
static inline uint32_t seq_n_left(const struct seq *s) // tokens to compute before the next one can be sampled
{
    return (uint32_t)s->tokens.n - s->n_computed;
}
void seq_set_limit(struct seq *s, uint32_t limit);

// Takes published pages that hold the next tokens, but never the last token. Returns true when the next page
// is just being computed by another sequence: wait for it.
bool seq_adopt(struct seq *s, struct kvcache *c);

// Makes sure of a page for the position n_computed + n_columns. SEQ_PAGE_STOP: what comes there can be
// adopted later, so end the chunk before it.
enum seq_page { SEQ_PAGE_READY, SEQ_PAGE_NEEDED, SEQ_PAGE_STOP };
enum seq_page seq_next_page(const struct seq *s, const struct kvcache *c);
void seq_add_page(struct seq *s, struct kvcache *c, uint32_t page); // after SEQ_PAGE_NEEDED
// After a step: n_computed has grown; full pages become nodes of the tree.
void seq_publish(struct seq *s, struct kvcache *c);
void seq_release_pages(struct seq *s, struct kvcache *c); // nothing is computed any more
