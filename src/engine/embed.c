// SPDX-License-Identifier: MIT
// Vectors of texts: a request with any number of inputs, each a run of tokens (struct seq) that shares its
// step with everything else. Only some runs of a request exist at a time, so that a request of any size takes
// little memory and, in a step, no more than one prompt's share. Sums go from the first position to the last
// in double, so that a vector does not depend on how its text was cut into steps.
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "engine/engine_internal.h"

enum { MAX_RUNS = 64 };

void embed_submit(struct engine *e, const struct request *r, uint32_t limit)
{
    struct embedding *m = xcalloc(1, sizeof *m);
    m->request_id = r->id;
    m->limit = limit;
    m->cuts = r->truncate != TRUNCATE_REFUSE;
    m->inputs = xcalloc(r->n_inputs, sizeof *m->inputs);
    m->n_inputs = r->n_inputs;
    for (size_t i = 0; i < r->n_inputs; i++)
        m->inputs[i] = (struct request_text){xstrndup(r->inputs[i].at, r->inputs[i].n), r->inputs[i].n};
    list_push(&e->embeddings, &m->node);
}

static void drop_runs(struct engine *e, const struct embedding *m)
{
    LIST_EACH_SAFE(&e->seqs, node, after)
    {
        struct seq *s = LIST_OWNER(node, struct seq, node);
        if (s->embedding == m)
            engine_remove_seq(e, s);
    }
}

static void drop(struct engine *e, struct embedding *m)
{
    drop_runs(e, m);
    list_remove(&m->node);
    for (size_t i = 0; i < m->n_inputs; i++)
        free(m->inputs[i].at);
    free(m->inputs);
    free(m);
}

void embed_cancel(struct engine *e, uint64_t request_id)
{
    LIST_EACH_SAFE(&e->embeddings, node, after)
    {
        struct embedding *m = LIST_OWNER(node, struct embedding, node);
        if (m->request_id == request_id)
            drop(e, m);
    }
}

void embed_drop_all(struct engine *e)
{
    LIST_EACH_SAFE(&e->embeddings, node, after)
    drop(e, LIST_OWNER(node, struct embedding, node));
}

static int begin_run(struct engine *e, struct embedding *m, struct err *err)
{
    struct request r = {.id = m->request_id, .task = TASK_EMBED, .params = PARAMS_DEFAULT};
    struct prompt_source source = engine_prompt_source(e);
    uint32_t input_i = (uint32_t)m->next_input++;
    struct request_text *text = &m->inputs[input_i];
    struct seq *s = seq_new(&r);
    s->embedding = m;
    s->input_i = input_i;
    s->order = e->next_order++;
    s->pooled = xcalloc(e->weights.h.n_embd, sizeof *s->pooled);
    list_push(&e->seqs, &s->node);
    e->n_seqs++;
    m->n_runs++;
    if (prompt_encode_input(&source, slice_make(text->at, text->n), m->limit, m->cuts, &s->tokens,
                            &s->n_truncated, err) != 0)
        return -1;
    free(text->at);
    text->at = NULL;
    seq_set_limit(s, (uint32_t)s->tokens.n);
    return 0;
}

static int begin_runs(struct engine *e, struct embedding *m, struct err *err)
{
    if (e->weights.h.pooling > POOLING_LAST)
        return err_set(err, ERR_UNSUPPORTED, "this model ranks texts, it makes no vectors of them");
    while (m->n_runs < MAX_RUNS && m->next_input < m->n_inputs)
        if (begin_run(e, m, err) != 0)
            return -1;
    return 0;
}

static void end(struct engine *e, struct embedding *m, const struct err *err, engine_event_fn *on_event,
                void *user)
{
    struct event event = {.kind = err->code != ERR_NONE ? EVENT_ERROR : EVENT_DONE,
                          .request_id = m->request_id,
                          .error = *err,
                          .reason = DONE_STOP,
                          .n_prompt = m->n_prompt,
                          .n_truncated = m->n_truncated,
                          .prompt_ns = m->started_ns ? clock_monotonic_ns() - m->started_ns : 0};
    on_event(user, &event);
    drop(e, m);
}

void embed_refill(struct engine *e, engine_event_fn *on_event, void *user)
{
    LIST_EACH_SAFE(&e->embeddings, node, after)
    {
        struct embedding *m = LIST_OWNER(node, struct embedding, node);
        struct err err = {0};
        m->is_in_batch = false;
        if (begin_runs(e, m, &err) != 0 || m->n_runs == 0)
            end(e, m, &err, on_event, user);
    }
}

bool embed_wants(const struct engine *e, const struct seq *s, uint32_t position)
{
    switch (e->weights.h.pooling) {
    case POOLING_MEAN:
        return true;
    case POOLING_FIRST:
        return position == 0;
    default:
        return position + 1 == s->tokens.n;
    }
}

static void tell_vector(struct engine *e, const struct seq *s, engine_event_fn *on_event, void *user)
{
    uint32_t n = e->weights.h.n_embd;
    double parts = e->weights.h.pooling == POOLING_MEAN ? (double)s->tokens.n : 1;
    float *vector = xcalloc(n, sizeof *vector);
    for (uint32_t i = 0; i < n; i++)
        vector[i] = (float)(s->pooled[i] / parts);
    struct event event = {.kind = EVENT_VECTOR,
                          .request_id = s->request_id,
                          .input_i = s->input_i,
                          .n_prompt = (uint32_t)s->tokens.n,
                          .n_truncated = s->n_truncated,
                          .vector = vector,
                          .n_vector = n};
    on_event(user, &event);
    free(vector);
}

// What the step computed of a run; a position that was computed again, after its pages were lost, is in the
// sum already.
static void take_columns(struct engine *e, struct seq *s)
{
    for (uint32_t c = 0; c < s->n_columns; c++) {
        uint32_t position = s->n_computed - s->n_columns + c;
        if (position < s->n_pooled || !embed_wants(e, s, position))
            continue;
        const float *hidden = decoder_hidden(e->decoder, s->first_column + c);
        for (uint32_t i = 0; i < e->weights.h.n_embd; i++)
            s->pooled[i] += (double)hidden[i];
        s->n_pooled = position + 1;
    }
}

void embed_take(struct engine *e, int64_t step_began_ns, engine_event_fn *on_event, void *user)
{
    LIST_EACH_SAFE(&e->seqs, node, after)
    {
        struct seq *s = LIST_OWNER(node, struct seq, node);
        struct embedding *m = s->embedding;
        if (m == NULL || s->n_columns == 0)
            continue;
        if (m->started_ns == 0)
            m->started_ns = step_began_ns;
        take_columns(e, s);
        if (seq_n_left(s) > 0)
            continue;
        m->n_prompt += (uint32_t)s->tokens.n;
        m->n_truncated += s->n_truncated;
        tell_vector(e, s, on_event, user);
        m->n_runs--;
        engine_remove_seq(e, s);
        if (m->n_runs == 0 && m->next_input == m->n_inputs)
            end(e, m, &(struct err){0}, on_event, user);
    }
}
