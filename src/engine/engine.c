// SPDX-License-Identifier: MIT
// The door: loading, taking requests, and the step: compose a batch, run it, publish full pages, sample, turn
// tokens into events.
#include "engine/engine.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "engine/engine_internal.h"
#include "model/vocab.h"
#include "text/reply_form.h"

// Some files have a second template, for conversations with tools.
static int load_tool_template(struct engine *e, const struct gguf *g, struct err *err)
{
    struct slice source = slice_make("", 0);
    if (vocab_chat_template(g, "tool_use", &source, err) != 0)
        return -1;
    if (source.n > 0 && template_new(&e->tool_template, source, err) != 0)
        return err_prefix(err, "the model's chat template for tools");
    if (source.n > 0) {
        struct template_traits traits = traits_of_jinja(source);
        e->traits.takes_tools |= traits.takes_tools;
        e->traits.takes_tool_results |= traits.takes_tool_results;
        uint8_t family = reply_spec_of_jinja(source).family;
        e->reply.family = family != 0 ? family : e->reply.family;
    }
    return 0;
}

static int load_text(struct engine *e, const struct gguf *g, struct err *err)
{
    struct slice source = slice_make("", 0);
    if (vocab_load(&e->tokenizer, g, err) != 0 || vocab_chat_template(g, NULL, &source, err) != 0 ||
        template_new(&e->fallback_template, slice_of(template_default()), err) != 0)
        return -1;
    e->traits = traits_of_jinja(source);
    e->reply = reply_spec_of_jinja(source);
    if (source.n > 0 && template_new(&e->template, source, err) != 0)
        return err_prefix(err, "the model's chat template");
    if (load_tool_template(e, g, err) != 0)
        return -1;
    uint32_t n_vocab = e->weights.h.n_vocab, n_tokens = tokenizer_n_tokens(e->tokenizer);
    if (n_tokens > n_vocab)
        return err_set(err, ERR_FORMAT, "the vocabulary has %u tokens, the embedding has %u rows", n_tokens,
                       n_vocab);
    e->banned = xcalloc(n_vocab, sizeof *e->banned);
    for (uint32_t id = 0; id < n_vocab; id++)
        if (id >= n_tokens || tokenizer_is_unused(e->tokenizer, id))
            e->banned[e->n_banned++] = id;
    weights_ban_rows(&e->weights, e->banned, e->n_banned);
    return 0;
}

static int make_decoder(struct engine *e, struct err *err)
{
    struct kv_layout layout;
    kv_layout_init(&layout, &e->weights.h, e->o.kv_type);
    uint32_t n_pages = (e->o.pool_tokens + KV_PAGE_TOKENS - 1) / KV_PAGE_TOKENS;
    if (kvcache_init(&e->cache, &layout, n_pages, err) != 0)
        return -1;
    struct decoder_options d = {.weights = &e->weights,
                                .kernels = e->kernels,
                                .pool = e->pool,
                                .kv = layout,
                                .kv_memory = e->cache.memory,
                                .max_tokens = engine_max_tokens(e->o.n_slots),
                                .max_logits = engine_max_logits(e->o.n_slots)};
    return decoder_new(&e->decoder, &d, err);
}

int engine_open(struct engine **out, const struct gguf *g, const struct engine_options *o,
                engine_progress_fn *progress, void *user, struct err *err)
{
    struct engine *e = xcalloc(1, sizeof *e);
    e->o = *o;
    e->o.n_slots = MAX(1, MIN(o->n_slots, 1024));
    e->n_sharing = 1;
    e->drafts = true;
    e->kernels = kernels_get(o->level);
    e->pool = pool_new(o->n_threads);
    list_init(&e->seqs);
    list_init(&e->embeddings);
    strbuf_init(&e->text, 1 << 20);
    e->scratch = xcalloc((size_t)o->n_threads, sizeof *e->scratch);
    uint32_t n = engine_max_tokens(e->o.n_slots);
    e->batch_ids = xcalloc(n, sizeof *e->batch_ids);
    e->logit_columns = xcalloc(n, sizeof *e->logit_columns);
    e->hidden_columns = xcalloc(n, sizeof *e->hidden_columns);
    e->runs = xcalloc(n, sizeof *e->runs);
    e->sampled = xcalloc(n, sizeof(struct seq *));
    e->tops = xcalloc(engine_max_logits(e->o.n_slots), sizeof *e->tops);
    e->apart = xcalloc(engine_max_logits(e->o.n_slots), ENGINE_APART_OF_ROW * sizeof *e->apart);
    *out = NULL;
    if (weights_load(&e->weights, g, e->pool, !o->has_no_coarse_head, progress, user, err) != 0 ||
        load_text(e, g, err) != 0 || make_decoder(e, err) != 0) {
        engine_close(e);
        return -1;
    }
    uint32_t whole = MIN(e->weights.h.n_ctx_train, e->cache.n_pages * KV_PAGE_TOKENS);
    e->o.default_context = o->default_context > 0 ? MIN(o->default_context, whole) : whole;
    e->stats.memory_bytes =
        e->weights.memory_bytes + e->cache.memory_bytes +
        decoder_scratch_bytes(&e->weights.h, n, engine_max_logits(e->o.n_slots), o->n_threads);
    e->stats.context_length = e->o.default_context;
    e->stats.kv_tokens_total = (uint64_t)e->cache.n_pages * KV_PAGE_TOKENS;
    *out = e;
    return 0;
}

void engine_remove_seq(struct engine *e, struct seq *s)
{
    seq_release_pages(s, &e->cache);
    list_remove(&s->node);
    e->n_seqs--;
    seq_free(s);
}

void engine_close(struct engine *e)
{
    if (e == NULL)
        return;
    embed_drop_all(e);
    LIST_EACH_SAFE(&e->seqs, node, after)
    engine_remove_seq(e, LIST_OWNER(node, struct seq, node));
    decoder_free(e->decoder);
    kvcache_fini(&e->cache);
    weights_fini(&e->weights);
    pieces_free(e->pieces);
    tokenizer_free(e->tokenizer);
    template_free(e->template);
    template_free(e->tool_template);
    template_free(e->fallback_template);
    for (int i = 0; i < e->o.n_threads; i++)
        sampler_scratch_fini(&e->scratch[i]);
    pool_free(e->pool);
    free(e->scratch);
    free(e->banned);
    free(e->tops);
    free(e->apart);
    free(e->batch_ids);
    free(e->logit_columns);
    free(e->hidden_columns);
    free(e->runs);
    free(e->sampled);
    strbuf_fini(&e->text);
    free(e);
}

// ---- Requests ----

// The text of a token; control tokens have one only where they say what the answer means.
static struct slice piece_of(const struct engine *e, const struct seq *s, uint32_t id)
{
    struct slice piece = tokenizer_piece(e->tokenizer, id, false);
    if (piece.n > 0)
        return piece;
    struct slice text = tokenizer_piece(e->tokenizer, id, true);
    return reply_spec_keeps(&s->reply, text) ? text : piece;
}

// Tokens that an earlier runner made: through the same output state, without sending anything again.
static void replay(struct engine *e, struct seq *s, const struct request *r)
{
    for (size_t i = 0; i < r->n_replay_ids; i++) {
        struct sample sample = {.token_id = r->replay_ids[i]};
        size_t released;
        strbuf_reset(&e->text);
        tokens_push(&s->tokens, sample.token_id);
        s->n_generated++;
        output_push(&s->output, piece_of(e, s, sample.token_id), &sample, &e->text, &released);
        output_drop_released(&s->output, released);
        if (s->matcher != NULL && !matcher_push_token(s->matcher, e->tokenizer, sample.token_id))
            err_set(&s->error, ERR_INTERNAL, "the replayed answer does not fit its format");
    }
}

struct prompt_source engine_prompt_source(const struct engine *e)
{
    return (struct prompt_source){.tokenizer = e->tokenizer,
                                  .template = e->template,
                                  .with_tools = e->tool_template,
                                  .fallback = e->fallback_template,
                                  .traits = e->traits,
                                  .reply = e->reply};
}

static uint32_t limit_of(const struct engine *e, const struct request *r)
{
    uint32_t whole = MIN(e->weights.h.n_ctx_train, e->cache.n_pages * KV_PAGE_TOKENS);
    uint32_t limit = r->params.num_ctx > 0 ? MIN((uint32_t)r->params.num_ctx, whole) : e->o.default_context;
    return MAX(limit, 4);
}

// Texts and ids as answers: whatever their length, up to what a message carries.
static void build_answer(struct engine *e, struct seq *s, const struct request *r)
{
    struct prompt_source source = engine_prompt_source(e);
    uint32_t limit = r->task == TASK_RENDER ? limit_of(e, r) : UINT32_MAX;
    struct prompt prompt = {.tokens = &s->tokens, .text = r->task == TASK_RENDER ? &s->rendered : NULL};
    int rc = r->task == TASK_DETOKENIZE ? prompt_detokenize(&source, r, &s->rendered, &s->error)
                                        : prompt_build(&source, r, limit, &prompt, &s->error);
    s->n_truncated = prompt.n_truncated;
    if (rc == 0 && s->rendered.overflow)
        err_set(&s->error, ERR_TOO_LARGE, "the text is larger than %d MiB", ENGINE_RENDERED_BYTES >> 20);
    if (rc == 0 && s->tokens.n > ENGINE_ANSWER_IDS)
        err_set(&s->error, ERR_TOO_LARGE, "the text has more than %d tokens", ENGINE_ANSWER_IDS);
    s->n_prompt = (uint32_t)s->tokens.n;
}

static int check_biases(const struct engine *e, struct seq *s)
{
    uint32_t n = tokenizer_n_tokens(e->tokenizer);
    for (size_t i = 0; i < s->n_biases; i++)
        if (s->biases[i].token_id >= n)
            return err_set(&s->error, ERR_INVALID, "logit_bias: %u is no token id, the vocabulary has %u",
                           s->biases[i].token_id, n);
    return 0;
}

// What the answer must be, if the request says so. With tools and a format it may be calls, too, where the
// family's can be written by a grammar.
static int set_constraint(struct engine *e, struct seq *s, const struct request *r)
{
    struct reply_forms forms;
    if (r->format_json == NULL && !r->must_call)
        return 0;
    reply_forms_of(&forms, &s->reply);
    struct constraint_spec spec = {.format = slice_of(r->must_call ? NULL : r->format_json),
                                   .forms = forms.forms,
                                   .n_forms = r->tools_json != NULL ? forms.n_forms : 0,
                                   .tools_json = slice_of(r->tools_json),
                                   .only_tool = slice_of(r->one_tool),
                                   .one_call = r->one_call,
                                   .think_begin = slice_of(s->reply.opening),
                                   .think_end = slice_of(s->reply.closing),
                                   .after_thinking = forms.after_thinking,
                                   .in_thinking = s->reply.in_thinking,
                                   .before_content = forms.before_content};
    if (r->must_call && spec.n_forms == 0)
        return err_set(&s->error, ERR_INVALID, "a call of a tool cannot be required of this model");
    if (constraint_new(&s->constraint, &spec, &s->error) != 0)
        return err_prefix(&s->error, r->must_call ? "tools" : "invalid format");
    s->matcher = matcher_new(constraint_grammar(s->constraint));
    if (e->pieces == NULL)
        e->pieces = pieces_new(e->tokenizer);
    return 0;
}

void engine_submit(struct engine *e, const struct request *r)
{
    if (r->task == TASK_EMBED) {
        embed_submit(e, r, limit_of(e, r));
        return;
    }
    struct seq *s = seq_new(r);
    struct prompt_source source = engine_prompt_source(e);
    s->order = e->next_order++;
    list_push(&e->seqs, &s->node);
    e->n_seqs++;
    strbuf_init(&s->rendered, ENGINE_RENDERED_BYTES);
    if (s->task != TASK_GENERATE) {
        build_answer(e, s, r);
        return;
    }
    seq_set_limit(s, limit_of(e, r));
    struct prompt prompt = {.tokens = &s->tokens};
    if (prompt_build(&source, r, s->limit, &prompt, &s->error) != 0)
        return;
    s->n_truncated = prompt.n_truncated;
    s->reply = prompt.reply;
    s->n_prompt = (uint32_t)s->tokens.n;
    if (check_biases(e, s) != 0 || set_constraint(e, s, r) != 0)
        return;
    if (r->n_replay_ids + s->tokens.n > s->limit)
        err_set(&s->error, ERR_INTERNAL, "the replayed answer does not fit the context");
    else
        replay(e, s, r);
}

void engine_cancel(struct engine *e, uint64_t request_id)
{
    embed_cancel(e, request_id);
    LIST_EACH(&e->seqs, node)
    {
        struct seq *s = LIST_OWNER(node, struct seq, node);
        if (s->request_id == request_id) {
            engine_remove_seq(e, s);
            return;
        }
    }
}

void engine_set_sharing(struct engine *e, uint32_t n_sharing)
{
    e->n_sharing = MAX(n_sharing, 1u);
}

void engine_set_drafts(struct engine *e, bool is_on)
{
    e->drafts = is_on;
}

bool engine_has_work(const struct engine *e)
{
    return !list_is_empty(&e->seqs) || !list_is_empty(&e->embeddings);
}

// ---- Events ----

// A text as the whole answer, in pieces of whole characters.
static void tell_rendered(const struct seq *s, engine_event_fn *on_event, void *user)
{
    enum { PIECE_BYTES = 16 << 10 };
    struct slice left = strbuf_slice(&s->rendered);
    while (left.n > 0) {
        struct slice piece = slice_make(left.at, MIN(left.n, PIECE_BYTES));
        if (piece.n < left.n)
            piece.n -= utf8_incomplete_tail(piece);
        on_event(user, &(struct event){.kind = EVENT_TOKENS, .request_id = s->request_id, .text = piece});
        left = slice_make(left.at + piece.n, left.n - piece.n);
    }
    on_event(user, &(struct event){.kind = EVENT_DONE, .request_id = s->request_id, .reason = DONE_STOP});
}

static void tell_prompts(struct engine *e, engine_event_fn *on_event, void *user)
{
    LIST_EACH_SAFE(&e->seqs, node, after)
    {
        struct seq *s = LIST_OWNER(node, struct seq, node);
        struct event event = {.request_id = s->request_id};
        if (s->error.code != ERR_NONE) {
            event.kind = EVENT_ERROR;
            event.error = s->error;
            on_event(user, &event);
            engine_remove_seq(e, s);
        } else if (!s->prompt_told && s->embedding == NULL) {
            s->prompt_told = true;
            event.kind = EVENT_PROMPT;
            event.prompt_ids = s->tokens.at;
            event.n_prompt = s->n_prompt;
            event.n_cached = s->n_cached;
            event.n_truncated = s->n_truncated;
            event.reply = (struct reply_form){.family = s->reply.family,
                                              .in_thinking = s->reply.in_thinking,
                                              .opening = slice_of(s->reply.opening),
                                              .closing = slice_of(s->reply.closing),
                                              .tag = slice_of(s->reply.tag)};
            on_event(user, &event);
            if (s->task != TASK_GENERATE) {
                tell_rendered(s, on_event, user);
                engine_remove_seq(e, s);
            }
        }
    }
}

struct logprob_list {
    struct token_logprobs *tokens;
    struct logprob *tops;
};

static struct logprob logprob_of(const struct engine *e, uint32_t token_id, float value)
{
    return (struct logprob){token_id, value, tokenizer_piece(e->tokenizer, token_id, true)};
}

// The logprobs of the first n held tokens, in the event's form; freed by the caller.
static struct logprob_list list_logprobs(const struct engine *e, const struct output *o, size_t n)
{
    struct logprob_list list = {xcalloc(n, sizeof *list.tokens),
                                xcalloc(n * PARAMS_MAX_TOP_LOGPROBS, sizeof *list.tops)};
    for (size_t i = 0; i < n; i++) {
        const struct sample *s = &o->held[i].sample;
        struct logprob *top = list.tops + i * PARAMS_MAX_TOP_LOGPROBS;
        for (uint32_t k = 0; k < s->n_top; k++)
            top[k] = logprob_of(e, s->top[k].token_id, s->top[k].logprob);
        list.tokens[i] = (struct token_logprobs){logprob_of(e, s->token_id, s->logprob), s->n_top, top};
    }
    return list;
}

static void send_tokens(struct engine *e, struct seq *s, const uint32_t *id, size_t n_released,
                        engine_event_fn *on_event, void *user)
{
    struct event event = {.kind = EVENT_TOKENS,
                          .request_id = s->request_id,
                          .ids = id,
                          .n_ids = id != NULL,
                          .text = strbuf_slice(&e->text)};
    struct logprob_list list = {0};
    if (n_released > 0) {
        list = list_logprobs(e, &s->output, n_released);
        event.logprobs = list.tokens;
        event.n_logprobs = (uint32_t)n_released;
    }
    if (event.n_ids > 0 || event.text.n > 0 || event.n_logprobs > 0)
        on_event(user, &event);
    free(list.tokens);
    free(list.tops);
    output_drop_released(&s->output, n_released);
}

static void send_done(struct engine *e, struct seq *s, enum done_reason reason, engine_event_fn *on_event,
                      void *user)
{
    int64_t now = clock_monotonic_ns();
    struct event event = {.kind = EVENT_DONE,
                          .request_id = s->request_id,
                          .reason = reason,
                          .stop_i = s->output.stop_i,
                          .n_prompt = s->n_prompt,
                          .n_cached = s->n_cached,
                          .n_truncated = s->n_truncated,
                          .n_generated = s->n_generated,
                          .prompt_ns = s->first_token_ns - s->started_ns,
                          .generate_ns = now - s->first_token_ns};
    on_event(user, &event);
    engine_remove_seq(e, s);
}

static void finish(struct engine *e, struct seq *s, enum done_reason reason, engine_event_fn *on_event,
                   void *user)
{
    size_t n_released;
    strbuf_reset(&e->text);
    output_finish(&s->output, &e->text, &n_released);
    send_tokens(e, s, NULL, n_released, on_event, user);
    send_done(e, s, reason, on_event, user);
}

// The grammar allows what no token of the vocabulary says.
static void fail_token(struct engine *e, struct seq *s, engine_event_fn *on_event, void *user)
{
    struct event event = {.kind = EVENT_ERROR, .request_id = s->request_id};
    err_set(&event.error, ERR_INTERNAL, "the model's vocabulary cannot write what the format demands next");
    on_event(user, &event);
    engine_remove_seq(e, s);
}

// What a newly sampled token means for its sequence. False: it has ended and is gone.
static bool take_token(struct engine *e, struct seq *s, engine_event_fn *on_event, void *user)
{
    uint32_t id = s->sample.token_id;
    size_t n_released;
    if (id == TOKEN_NONE) {
        fail_token(e, s, on_event, user);
        return false;
    }
    s->n_generated++;
    e->stats.n_generated_tokens++;
    if (s->first_token_ns == 0)
        s->first_token_ns = clock_monotonic_ns();
    if (tokenizer_is_eog(e->tokenizer, id) && !s->params.ignore_eos) {
        finish(e, s, DONE_STOP, on_event, user);
        return false;
    }
    tokens_push(&s->tokens, id);
    if (s->matcher != NULL)
        matcher_push_token(s->matcher, e->tokenizer, id); // it may come: the sampler has asked
    strbuf_reset(&e->text);
    bool stopped = output_push(&s->output, piece_of(e, s, id), &s->sample, &e->text, &n_released);
    send_tokens(e, s, &id, n_released, on_event, user);
    bool is_full = (s->params.num_predict > 0 && s->n_generated >= (uint32_t)s->params.num_predict) ||
                   s->tokens.n >= s->limit;
    bool is_over = s->matcher != NULL && matcher_must_end(s->matcher);
    if (stopped)
        send_done(e, s, DONE_STOP, on_event, user);
    else if (is_over)
        finish(e, s, DONE_STOP, on_event, user);
    else if (is_full)
        finish(e, s, DONE_LENGTH, on_event, user);
    return !stopped && !is_over && !is_full;
}

// ---- The step ----

static struct sample_input input_of(const struct engine *e, const struct seq *s, float *logits)
{
    return (struct sample_input){.logits = logits,
                                 .n_vocab = e->weights.h.n_vocab,
                                 .params = &s->params,
                                 .tokens = s->tokens.at,
                                 .n_tokens = s->tokens.n,
                                 .index = s->n_generated,
                                 .banned = e->banned,
                                 .n_banned = e->n_banned,
                                 .biases = s->biases,
                                 .n_biases = s->n_biases,
                                 .matcher = s->matcher,
                                 .pieces = e->pieces,
                                 .tokenizer = e->tokenizer};
}

// Which logits the draws of a sequence will look at: those of a draft look at its tokens as well.
static void want_tops(struct engine *e, const struct seq *s)
{
    struct sample_input in = input_of(e, s, NULL);
    uint32_t *ids = e->apart + (size_t)s->logit_row * ENGINE_APART_OF_ROW;
    struct decoder_top top = {.apart = ids};
    top.k = sampler_wants(&in, ids, &top.n_apart);
    for (uint32_t i = 0; i < s->draft.n; i++)
        ids[top.n_apart++] = s->draft.ids[i];
    for (uint32_t i = 0; i <= s->draft.n; i++)
        e->tops[s->logit_row + i] = top;
}

static void draw(struct engine *e, struct seq *s, uint32_t logit_row, int thread_i)
{
    struct sample_input in = input_of(e, s, decoder_logits(e->decoder, logit_row));
    sampler_draw(e->kernels, &e->scratch[thread_i], &in, &s->sample);
}

static void sample_share(void *arg, int thread_i, int n_threads)
{
    struct engine *e = arg;
    for (uint32_t i = (uint32_t)thread_i; i < e->n_sampled; i += (uint32_t)n_threads)
        draw(e, e->sampled[i], e->sampled[i]->logit_row, thread_i);
}

static void sample_all(struct engine *e)
{
    if (e->n_sampled > 1)
        pool_run(e->pool, sample_share, e);
    else
        sample_share(e, 0, 1);
}

// The token that was drawn and, as long as it is that of the draft, the next ones: the keys and
// values of an accepted one are in the pages, and the logits behind it are there.
static void take_tokens(struct engine *e, struct seq *s, engine_event_fn *on_event, void *user)
{
    uint32_t n_draft = s->draft.n, n_accepted = 0;
    bool goes_on = take_token(e, s, on_event, user);
    e->stats.n_draft_tokens += n_draft;
    while (goes_on && n_accepted < n_draft && s->sample.token_id == s->draft.ids[n_accepted]) {
        s->n_computed++;
        n_accepted++;
        e->stats.n_accepted_tokens++;
        draw(e, s, s->logit_row + n_accepted, 0);
        goes_on = take_token(e, s, on_event, user);
    }
    if (goes_on && n_draft > 0) {
        draft_learn(&s->draft, n_accepted);
        seq_publish(s, &e->cache);
    }
}

static void count_step(struct engine *e, int64_t started_ns)
{
    int64_t step_ns = clock_monotonic_ns() - started_ns;
    batch_learn(e, step_ns);
    e->stats.n_steps++;
    e->stats.step_ns += step_ns;
    histogram_add(&e->stats.step_width, HISTOGRAM_WIDTHS, e->batch.n_runs, 1);
    e->stats.n_prompt_tokens += e->n_prefill;
}

void engine_step(struct engine *e, engine_event_fn *on_event, void *user)
{
    int64_t started_ns = clock_monotonic_ns();
    tell_prompts(e, on_event, user);
    embed_refill(e, on_event, user);
    if (!batch_compose(e))
        return;
    LIST_EACH(&e->seqs, node)
    {
        struct seq *s = LIST_OWNER(node, struct seq, node);
        if (s->n_columns > 0 && s->started_ns == 0)
            s->started_ns = started_ns;
    }
    for (uint32_t i = 0; i < e->n_sampled; i++)
        want_tops(e, e->sampled[i]);
    e->batch.tops = e->tops;
    decoder_run_batch(e->decoder, &e->batch);
    LIST_EACH(&e->seqs, node)
    {
        struct seq *s = LIST_OWNER(node, struct seq, node);
        s->n_computed += s->n_columns;
        if (s->n_columns > 0)
            seq_publish(s, &e->cache);
    }
    sample_all(e);
    count_step(e, started_ns);
    for (uint32_t i = 0; i < e->n_sampled; i++)
        take_tokens(e, e->sampled[i], on_event, user);
    embed_take(e, started_ns, on_event, user);
}

void engine_read_stats(const struct engine *e, struct engine_stats *out)
{
    *out = e->stats;
    out->n_running = e->n_seqs;
    out->kv_tokens_cached = (uint64_t)e->cache.n_idle * KV_PAGE_TOKENS;
    out->kv_tokens_used =
        out->kv_tokens_total - out->kv_tokens_cached - (uint64_t)e->cache.n_free * KV_PAGE_TOKENS;
}
