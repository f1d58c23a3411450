// SPDX-License-Identifier: MIT
// What one step computes: every decoding sequence, one token each and, when few do nothing but decode, a
// draft of what follows it; then prompt tokens, shared evenly between the waiting prompts, up to a budget of
// time. When pages run out the youngest sequence gives its pages back and is computed again later; nothing
// that was accepted is refused.
#include <assert.h>

#include "base/mem.h"
#include "engine/engine_internal.h"

static bool is_decoding(const struct seq *s)
{
    return s->embedding == NULL && seq_n_left(s) == 1;
}

static void preempt(struct engine *e, struct seq *s)
{
    seq_release_pages(s, &e->cache);
    s->was_preempted = true;
    e->stats.n_preemptions++;
}

// The youngest sequence that holds pages, is not in the batch, and is younger than `s`.
static struct seq *find_victim(const struct engine *e, const struct seq *s)
{
    for (struct list *node = e->seqs.prev; node != &e->seqs; node = node->prev) {
        struct seq *other = LIST_OWNER(node, struct seq, node);
        if (other->order <= s->order)
            return NULL;
        if (other->n_pages > 0 && other->n_columns == 0)
            return other;
    }
    return NULL;
}

static bool take_page(struct engine *e, struct seq *s)
{
    uint32_t page;
    struct seq *victim;
    while ((page = kvcache_alloc(&e->cache)) == PAGE_NONE) {
        if ((victim = find_victim(e, s)) == NULL)
            return false;
        preempt(e, victim);
    }
    seq_add_page(s, &e->cache, page);
    return true;
}

// Adds up to n tokens of a sequence; returns how many were added.
static uint32_t add_columns(struct engine *e, struct seq *s, uint32_t n)
{
    struct decoder_batch *b = &e->batch;
    s->first_column = b->n_tokens;
    while (s->n_columns < n) {
        enum seq_page page = seq_next_page(s, &e->cache);
        if (page == SEQ_PAGE_STOP || (page == SEQ_PAGE_NEEDED && !take_page(e, s)))
            break;
        if (s->embedding != NULL && embed_wants(e, s, s->n_computed + s->n_columns))
            e->hidden_columns[b->n_hidden++] = b->n_tokens;
        e->batch_ids[b->n_tokens++] = s->tokens.at[s->n_computed + s->n_columns];
        s->n_columns++;
    }
    if (s->n_columns == 0)
        return 0;
    e->runs[b->n_runs++] = (struct decoder_run){s->pages, s->n_computed, s->first_column, s->n_columns};
    if (s->n_columns == seq_n_left(s) && s->embedding == NULL) {
        s->logit_row = b->n_logits;
        e->sampled[e->n_sampled++] = s;
        e->logit_columns[b->n_logits++] = b->n_tokens - 1;
    }
    return s->n_columns;
}

// Behind the last token of `s`, whose run is the last one of the batch: its draft, as far as its pages
// reach, so that a draft never takes memory, and as it may still answer.
static void add_draft(struct engine *e, struct seq *s, uint32_t max, uint32_t n_streams)
{
    struct decoder_batch *b = &e->batch;
    uint32_t n_room = s->n_pages * KV_PAGE_TOKENS - (s->n_computed + s->n_columns);
    uint32_t n_asked = s->limit - (uint32_t)s->tokens.n;
    if (s->params.num_predict > 0)
        n_asked = MIN(n_asked, (uint32_t)s->params.num_predict - s->n_generated);
    max = MIN(max, MIN(n_room, MAX(n_asked, 1u) - 1));
    draft_propose(&s->draft, s->tokens.at, s->tokens.n, max, n_streams);
    for (uint32_t i = 0; i < s->draft.n; i++) {
        e->logit_columns[b->n_logits++] = b->n_tokens;
        e->batch_ids[b->n_tokens++] = s->draft.ids[i];
    }
    e->runs[b->n_runs - 1].n += s->draft.n;
}

// Draft tokens that each decoding sequence may have: none while somebody waits for a prompt.
static uint32_t max_draft(const struct engine *e, uint32_t *n_streams)
{
    *n_streams = 0;
    LIST_EACH(&e->seqs, node)
    {
        const struct seq *s = LIST_OWNER(node, struct seq, node);
        if (s->error.code != ERR_NONE || !is_decoding(s) || s->n_generated == 0)
            return 0;
        ++*n_streams;
    }
    if (!e->drafts || *n_streams == 0 || *n_streams >= ENGINE_DRAFT_COLUMNS)
        return 0;
    return (ENGINE_DRAFT_COLUMNS - *n_streams) / *n_streams;
}

// Prompt tokens that this step may compute.
static uint32_t prefill_budget(const struct engine *e)
{
    bool is_alone = e->n_decoding == 0 && e->n_sharing == 1;
    if (e->prefill_token_ns <= 0)
        return ENGINE_UNKNOWN_PREFILL;
    double decode_ns = e->n_decoding > 0 ? e->decode_step_ns : 0;
    double step_ns = is_alone ? (double)ENGINE_ALONE_STEP_NS : (double)ENGINE_STEP_NS / e->n_sharing;
    double n = (MAX(step_ns, 2 * decode_ns) - decode_ns) / e->prefill_token_ns;
    return (uint32_t)MAX(ENGINE_MIN_PREFILL, MIN(n, ENGINE_MAX_PREFILL));
}

// A sequence without pages begins only when what it needs is there, so that two do not take pages from each
// other for ever.
static bool may_begin(const struct engine *e, const struct seq *s, bool is_first)
{
    uint32_t needed = ((uint32_t)s->tokens.n + KV_PAGE_TOKENS) / KV_PAGE_TOKENS;
    return s->n_pages > 0 || is_first || e->cache.n_free + e->cache.n_idle >= needed;
}

// Tokens to compute of what `s` stands for: of all runs of a request for vectors.
static uint32_t n_left(const struct engine *e, const struct seq *s)
{
    uint32_t n = seq_n_left(s);
    for (struct list *node = s->node.next; s->embedding != NULL && node != &e->seqs; node = node->next) {
        const struct seq *other = LIST_OWNER(node, struct seq, node);
        n += other->embedding == s->embedding ? seq_n_left(other) : 0;
    }
    return n;
}

// Up to n tokens of a prompt; of a request for vectors, of one run after the other.
static uint32_t add_prompt(struct engine *e, struct seq *s, uint32_t n)
{
    uint32_t used = add_columns(e, s, MIN(seq_n_left(s), n));
    for (struct list *node = s->node.next; s->embedding != NULL && node != &e->seqs && used < n;
         node = node->next) {
        struct seq *other = LIST_OWNER(node, struct seq, node);
        if (other->embedding == s->embedding && may_begin(e, other, false))
            used += add_columns(e, other, MIN(seq_n_left(other), n - used));
    }
    return used;
}

static struct seq *find_shortest(const struct engine *e, struct seq **waiting, uint32_t n_waiting)
{
    struct seq *shortest = waiting[0];
    for (uint32_t i = 1; i < n_waiting; i++)
        if (n_left(e, waiting[i]) < n_left(e, shortest))
            shortest = waiting[i];
    return shortest;
}

// The prompt with the least left goes first, with at most half of the budget: a short one is through within
// two steps, whatever else is in its prompt. Every fourth step it does not, so that a small budget reaches
// the others too. Then one round over the waiting prompts, each getting an even share; what short ones leave
// goes to those after them.
static uint32_t share_budget(struct engine *e, struct seq **waiting, uint32_t n_waiting, uint32_t budget)
{
    struct seq *first = NULL;
    uint32_t used = 0;
    if (n_waiting > 1 && e->rotation % 4 != 3) {
        first = find_shortest(e, waiting, n_waiting);
        used = add_prompt(e, first, MIN(n_left(e, first), MAX(budget / 2, MIN(ENGINE_MIN_PREFILL, budget))));
    }
    uint32_t n_others = n_waiting - (first != NULL);
    for (uint32_t i = 0; i < n_waiting && used < budget; i++) {
        struct seq *s = waiting[(e->rotation + i) % n_waiting];
        if (s == first)
            continue;
        uint32_t even = MAX((budget - used) / n_others, MIN(ENGINE_MIN_PREFILL, budget - used));
        n_others--;
        used += add_prompt(e, s, MIN(n_left(e, s), even));
    }
    e->rotation++;
    return used;
}

bool batch_compose(struct engine *e)
{
    struct seq *waiting[1024];
    uint32_t n_waiting = 0;
    bool is_first = true;
    e->batch = (struct decoder_batch){.token_ids = e->batch_ids,
                                      .runs = e->runs,
                                      .logit_columns = e->logit_columns,
                                      .hidden_columns = e->hidden_columns};
    e->n_decoding = e->n_prefill = e->n_sampled = 0;
    LIST_EACH(&e->seqs, node)
    {
        struct seq *s = LIST_OWNER(node, struct seq, node);
        s->n_columns = 0;
        s->draft.n = 0;
    }
    uint32_t n_streams, n_draft = max_draft(e, &n_streams);
    LIST_EACH(&e->seqs, node)
    {
        struct seq *s = LIST_OWNER(node, struct seq, node);
        if (s->error.code != ERR_NONE || !is_decoding(s))
            continue;
        e->n_decoding += s->n_generated > 0;
        if (add_columns(e, s, 1) == 0)
            preempt(e, s);
        else if (n_draft > 0)
            add_draft(e, s, n_draft, n_streams);
    }
    LIST_EACH(&e->seqs, node)
    {
        struct seq *s = LIST_OWNER(node, struct seq, node);
        if (s->error.code != ERR_NONE || s->n_columns > 0 || n_waiting == COUNT_OF(waiting) ||
            (s->embedding != NULL && s->embedding->is_in_batch))
            continue;
        bool others_work = seq_adopt(s, &e->cache);
        if (!others_work && may_begin(e, s, is_first)) {
            waiting[n_waiting++] = s;
            if (s->embedding != NULL) // stands for all of its runs
                s->embedding->is_in_batch = true;
        }
        is_first = false;
    }
    if (n_waiting > 0)
        e->n_prefill = share_budget(e, waiting, n_waiting, prefill_budget(e));
    return e->batch.n_tokens > 0;
}

static void blend(double *average, double value)
{
    *average = *average <= 0 ? value : 0.8 * *average + 0.2 * value;
}

void batch_learn(struct engine *e, int64_t step_ns)
{
    if (e->n_prefill == 0)
        blend(&e->decode_step_ns, (double)step_ns);
    else
        blend(&e->prefill_token_ns,
              MAX((double)step_ns - (e->n_decoding > 0 ? e->decode_step_ns : 0), 1.0) / e->n_prefill);
}
