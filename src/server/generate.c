// SPDX-License-Identifier: MIT
// The work of a generation: from a body through the store to the host, and from the host's events through the
// dialect to the client. See generation.c for who owns it and leave.c for clients that go.
#include "server/generate.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/options.h"
#include "server/build.h"
#include "server/card.h"
#include "server/models.h"
#include "server/worker.h"

// MAX_COPIES_BYTES: what the bodies of requests may take, twice, for their form on the way
enum { MAX_VECTORS_BYTES = 64 << 20, MAX_COPIES_BYTES = 64 << 20 };

// ---- Events ----
static void add_ids(struct generation *g, const uint32_t *ids, uint32_t n)
{
    if (!g->dialect->wants_ids || n == 0)
        return;
    if (g->n_ids + n > g->ids_capacity) {
        g->ids_capacity = (g->n_ids + n) * 2;
        g->ids = xrealloc(g->ids, g->ids_capacity * sizeof g->ids[0]);
    }
    memcpy(g->ids + g->n_ids, ids, n * sizeof ids[0]);
    g->n_ids += n;
}

static void begin_stream(struct generation *g)
{
    if (g->is_streaming || !g->ask.stream)
        return;
    g->is_streaming = true;
    if (g->dialect->errors != ERRORS_OLLAMA) {
        http_add_header(g->http, "Cache-Control", "no-cache");
        http_add_header(g->http, "X-Accel-Buffering", "no");
    }
    http_stream_begin(g->http, 200, g->dialect->stream_type);
}

static void send(struct generation *g)
{
    bool is_slow = http_stream_pending_bytes(g->http) + g->out.n > g->app->max_stream_bytes;
    if (g->out.n > 0 && is_slow && !g->is_cut) {
        g->is_cut = true;
        log_warn("server", "client reads too slowly, stream cut id=%s remote=%s", g->request_id, g->peer);
        http_abort(g->http);
        leave_from_event(g);
    } else if (g->out.n > 0 && !http_stream_write(g->http, strbuf_slice(&g->out)) && !g->is_cut) {
        g->is_cut = http_request_is_gone(g->http);
        if (g->is_cut)
            leave_from_event(g);
    }
    strbuf_reset(&g->out);
}

static void take_prompt(struct generation *g, const struct event *e)
{
    bool is_known = g->prompt_ns != 0;
    said_open(g->at, &e->reply);
    if (is_known) // by another choice
        return;
    g->prompt_ns = clock_monotonic_ns();
    g->n_prompt = e->n_prompt;
    g->n_cached = e->n_cached;
    g->n_truncated = e->n_truncated;
    add_ids(g, e->prompt_ids, e->prompt_ids ? e->n_prompt : 0);
    if (g->n_truncated > 0) {
        char text[24];
        snprintf(text, sizeof text, "%u", g->n_truncated);
        http_add_header(g->http, "X-Truncated", text);
        log_warn("server", "prompt shortened to fit the context id=%s dropped_tokens=%u", g->request_id,
                 g->n_truncated);
    }
    generation_log_start(g);
    begin_stream(g);
    if (g->is_streaming && g->dialect->write_first) {
        g->dialect->write_first(g, &g->out);
        send(g);
    }
}

static void take_tokens(struct generation *g, const struct event *e)
{
    struct choice *c = g->at;
    if (!g->first_token_ns)
        g->first_token_ns = clock_monotonic_ns();
    c->n_generated += e->n_ids;
    g->n_generated += e->n_ids;
    add_ids(g, e->ids, e->n_ids);
    said_take(c, e);
    if (g->ask.stream)
        send(g);
}

static void fail(struct generation *g, const struct err *err, const char *code)
{
    if (g->is_streaming) {
        g->dialect->write_error(g, err, &g->out);
        send(g);
        http_stream_end(g->http);
        return;
    }
    if (err_http_status(err->code) == 503) {
        bool has_host = !atomic_load(&g->app->is_draining);
        char text[24];
        snprintf(text, sizeof text, "%u", has_host ? host_retry_after_s(g->app->host, g->blob_digest) : 1);
        http_add_header(g->http, "Retry-After", text);
        snprintf(text, sizeof text, "%u", has_host ? host_queue_depth(g->app->host) : 0);
        http_add_header(g->http, "X-Queue-Depth", text);
    }
    reply_error(g->http, g->dialect->errors, err, code);
}

// Nothing more of it will be heard: the other choices go.
static void fail_all(struct generation *g, const struct err *err)
{
    g->has_failed = true;
    generation_log_end(g, err->code == ERR_CANCELLED ? "cancelled" : "error", err);
    fail(g, err, NULL);
    if (g->n_choices > 1 || err->code == ERR_TOO_LARGE)
        leave_from_event(g);
}

static void take_vector(struct generation *g, const struct event *e)
{
    size_t n_inputs = json_array_size(g->ask.inputs), n_bytes = e->n_vector * sizeof(float);
    struct err err = {0};
    if (e->input_i >= n_inputs || (g->vectors && g->vectors[e->input_i].at)) // once more, after a crash
        return;
    if (n_bytes * n_inputs > MAX_VECTORS_BYTES) {
        err_set(&err, ERR_TOO_LARGE,
                "%zu inputs with %u values each are too much for one answer: send fewer at a time", n_inputs,
                e->n_vector);
        fail_all(g, &err);
        return;
    }
    if (!g->vectors)
        g->vectors = xcalloc(n_inputs, sizeof *g->vectors);
    g->vectors[e->input_i] = (struct vector){xmalloc(n_bytes), e->n_vector};
    memcpy(g->vectors[e->input_i].at, e->vector, n_bytes);
}

// Bytes on the line, so that no proxy takes the stream for dead. From here on an error comes in the stream.
static void take_waiting(struct generation *g, const struct event *e)
{
    begin_stream(g);
    g->dialect->write_comment(e->text, &g->out);
    send(g);
}

static void answer_whole(struct generation *g)
{
    bool is_too_large = false;
    struct err why = {0};
    if (g->dialect->settle && g->dialect->settle(g, &why) != 0) {
        fail(g, &why, NULL);
        return;
    }
    for (uint32_t i = 0; i < g->n_choices; i++)
        is_too_large |= g->choices[i].text.overflow || g->choices[i].thinking.overflow;
    g->dialect->write_whole(g, &g->out);
    if (is_too_large || g->out.overflow) {
        struct err err = {0};
        err_set(&err, ERR_INTERNAL, "the answer is too large to be sent whole; ask for a stream");
        fail(g, &err, NULL);
        return;
    }
    http_reply(g->http, 200, g->dialect->whole_type, strbuf_slice(&g->out));
}

static void take_figures(struct generation *g, const struct event *e)
{
    struct choice *c = g->at;
    c->reason = e->reason;
    c->stop_i = e->stop_i;
    g->prompt_eval_ns = e->prompt_ns;
    g->eval_ns = e->generate_ns;
    if (e->reason != DONE_STOP && e->reason != DONE_LENGTH)
        return;
    g->n_generated += e->n_generated - c->n_generated; // with the token that ended it
    c->n_generated = e->n_generated;
    if (c->index == 0)
        g->n_cached = MAX(g->n_cached, e->n_cached);
    if (g->ask.task == TASK_EMBED) {
        g->n_prompt = e->n_prompt;
        g->n_truncated = e->n_truncated;
    }
}

static void finish(struct generation *g, const struct event *e)
{
    said_finish(g->at);
    take_figures(g, e);
    bool is_last = ++g->n_done == g->n_choices;
    if (is_last)
        generation_log_end(g, generate_reason_text(g->at->reason), NULL); // before the client can look for it
    if (!g->ask.stream) {
        if (is_last)
            answer_whole(g);
        return;
    }
    begin_stream(g);
    if (g->dialect->write_end)
        g->dialect->write_end(g, &g->out);
    if (is_last)
        g->dialect->write_last(g, &g->out);
    send(g);
    if (is_last)
        http_stream_end(g->http);
}

static void hear(struct generation *g, const struct event *e)
{
    generation_log_admission(g);
    g->queue_ns = e->queue_ns;
    g->load_ns = e->load_ns;
    switch (e->kind) {
    case EVENT_PROMPT:
        take_prompt(g, e);
        break;
    case EVENT_VECTOR:
        take_vector(g, e);
        break;
    case EVENT_TOKENS:
        take_tokens(g, e);
        break;
    case EVENT_WAITING:
        take_waiting(g, e);
        break;
    case EVENT_DONE:
        finish(g, e);
        break;
    default:
        fail_all(g, &e->error);
        break;
    }
}

static void on_event(void *user, const struct event *e)
{
    struct choice *c = user;
    struct generation *g = c->g;
    g->at = c;
    if (!g->has_failed)
        hear(g, e);
    if (e->kind == EVENT_DONE || e->kind == EVENT_ERROR)
        choice_end(c);
}

// ---- The start ----
static void refuse(struct generation *g, const struct err *err, const char *code)
{
    struct host_label label = {g->request_id, g->dialect->route, g->client};
    generation_log_refusal(g, err);
    tally_count_refusal(&g->app->tally, err);
    if (app_enter(g->app)) {
        host_note_refusal(g->app->host, &label, g->ask.model, err);
        app_leave(g->app);
    }
    fail(g, err, code);
    generation_end(g);
}

static void drop_request(struct request *r)
{
    if (r)
        request_fini(r);
    free(r);
}

// One submission a choice: the same request with a seed of its own.
static struct host_submission *spread(struct generation *g, const struct host_submission *s)
{
    struct host_submission *all = xcalloc(g->n_choices, sizeof *all);
    for (uint32_t i = 0; i < g->n_choices; i++) {
        all[i] = *s;
        all[i].on_event = on_event;
        all[i].user = &g->choices[i];
        if (i == 0)
            continue;
        all[i].comment_ns = 0;
        all[i].request = request_copy(s->request);
        all[i].request->params.seed += i;
    }
    return all;
}

static void keep_jobs(struct generation *g, struct job **jobs, bool is_gone)
{
    for (uint32_t i = 0; i < g->n_choices; i++) {
        struct choice *c = &g->choices[i];
        pthread_mutex_lock(&g->lock);
        bool is_ended = c->is_ended;
        c->job = is_ended ? NULL : jobs[i];
        g->is_cancelled |= is_gone;
        pthread_mutex_unlock(&g->lock);
        if (is_ended)
            job_unref(jobs[i]);
    }
}

static void submit(struct generation *g, const struct host_submission *s)
{
    struct http_request *http = http_request_ref(g->http);
    struct err err = {0};
    g->params = s->request ? s->request->params : PARAMS_DEFAULT;
    g->has_request = s->request != NULL;
    generation_ref(g); // the last event may come before host_submit_all returns
    atomic_fetch_add(&g->app->n_generations, 1);
    snprintf(g->blob_digest, sizeof g->blob_digest, "%s", s->model.blob_digest);
    generation_make_choices(g, g->has_request ? MAX(g->ask.n_choices, 1u) : 1);
    struct host_submission *all = spread(g, s);
    struct job **jobs = xcalloc(g->n_choices, sizeof(void *));
    if (!http_request_on_gone(http, leave_on_gone, g)) {
        err_set(&err, ERR_CANCELLED, "request canceled");
        for (uint32_t i = 0; i < g->n_choices; i++)
            drop_request(all[i].request);
    }
    if (err.code != ERR_NONE || host_submit_all(g->app->host, all, g->n_choices, jobs, &err) != 0) {
        atomic_fetch_sub(&g->app->n_generations, 1);
        bool is_full = err.code == ERR_QUEUE_FULL || err.code == ERR_QUEUE_BYTES;
        refuse(g, &err, is_full ? "queue_full" : NULL);
    } else {
        generation_log_admission(g);
        keep_jobs(g, jobs, http_request_is_gone(http));
        leave_send(g);
    }
    free(all);
    free(jobs);
    http_request_unref(http);
    generation_unref(g);
}

// Copies of a prompt wait in memory: no more of them than one large body takes.
static int check_copies(const struct generation *g, const struct request *r, struct err *err)
{
    if (g->ask.n_choices <= 1 || request_bytes(r) * g->ask.n_choices <= MAX_COPIES_BYTES)
        return 0;
    return err_set(err, ERR_TOO_LARGE, "%u answers to a prompt of this size are too much at a time",
                   g->ask.n_choices);
}

static void submit_model(struct generation *g, const struct stored_model *m, struct err *err)
{
    struct strbuf details = STRBUF_INIT(64 << 10);
    struct host_submission s = {
        .model = models_for_host(m, &details),
        .label = {g->request_id, g->dialect->route, g->client},
        .priority = g->priority,
        .comment_ns =
            g->ask.stream && g->dialect->write_comment ? options_duration_ns(OPT_QUEUE_COMMENTS) : 0,
        .has_keep_alive = g->ask.has_keep_alive,
        .keep_alive_ns = g->ask.keep_alive_ns,
        .unload = g->ask.is_empty && g->ask.has_keep_alive && g->ask.keep_alive_ns == 0,
    };
    bool is_built = true;
    if (g->ask.unread[0])
        http_add_header(g->http, "X-Ignored-Parameters", g->ask.unread);
    if (!g->ask.is_empty) {
        s.request = build_request(&g->ask, m, &g->has_drawn_seed, err);
        is_built = s.request != NULL && check_copies(g, s.request, err) == 0;
    }
    if (is_built) {
        g->seed = s.request ? s.request->params.seed : g->seed;
        submit(g, &s);
    } else {
        drop_request(s.request);
    }
    strbuf_fini(&details);
}

static void go_on(void *user);

// What the model's template takes. False: that must be read first, and a worker goes on from there; or `err`
// says why it cannot be.
static bool find_traits(struct generation *g, const struct stored_model *m, struct template_traits *out,
                        struct err *err)
{
    unsigned needs = g->ask.needs & (NEED_TOOLS | NEED_THINKING);
    struct template_traits file;
    *out = needs || (g->ask.needs & NEED_INSERT) ? models_traits(m, NULL) : (struct template_traits){0};
    bool is_met =
        (!(needs & NEED_TOOLS) || out->takes_tools) && (!(needs & NEED_THINKING) || out->takes_thinking);
    if ((is_met && models_go_template() != GO_TEMPLATE_NEVER) || !needs || !models_need_file_traits(m))
        return true;
    if (!g->is_on_worker && !card_find_traits(g->app->cards, m, &file)) {
        if (!worker_push(g->app->worker, go_on, g))
            err_set(err, ERR_UNREAD, "server busy: too many requests wait to be read");
        return false;
    }
    if (card_read_traits(g->app->cards, m, &file, err) != 0)
        return false;
    *out = models_traits(m, &file);
    return true;
}

// A model that cannot think answers without thinking where that is enough; the client is told.
static void drop_wish(struct ask *a, const struct template_traits *traits)
{
    if (!a->think_is_wish || traits->takes_thinking)
        return;
    a->think = THINK_UNSET;
    a->think_level[0] = 0;
    a->needs &= ~(unsigned)NEED_THINKING;
    ask_note(a, "", "thinking");
}

static void admit_model(struct generation *g, const struct stored_model *m, struct err *err)
{
    struct ask *a = &g->ask;
    bool is_unload = a->is_empty && a->has_keep_alive && a->keep_alive_ns == 0;
    bool has_texts = a->template_text.n || a->system.n || (a->context && json_array_size(a->context));
    struct template_traits traits = {0};
    if (!m->model_digest || !m->model_path)
        err_set(err, ERR_FORMAT, "model '%s' has no weights", a->model);
    else if (a->is_raw && has_texts && !is_unload)
        err_set(err, ERR_INVALID, "raw mode does not support template, system, or context");
    else if (!is_unload && !find_traits(g, m, &traits, err))
        return;
    drop_wish(a, &traits);
    if (err->code == ERR_NONE && (is_unload || build_check(a, m, &traits, g->dialect->verb, err) == 0))
        submit_model(g, m, err);
}

static void admit(struct generation *g, struct err *err)
{
    struct ask *a = &g->ask;
    struct stored_model m = {0};
    if (a->is_chat && a->model[0] == '\0') {
        err_set(err, ERR_INVALID, "model is required");
        return;
    }
    if (models_find(g->app, a->model, &m, err) != 0) {
        if (g->dialect->says_pull && err->code == ERR_NOT_FOUND && a->model[0])
            snprintf(err->message, sizeof err->message, "model \"%.400s\" not found, try pulling it first",
                     a->model);
        return;
    }
    admit_model(g, &m, err);
    stored_model_fini(&m);
}

// On a worker, once more from where the model was found.
static void go_on(void *user)
{
    struct generation *g = user;
    struct err err = {0};
    struct app *app = g->app;
    generation_ref(g);
    g->is_on_worker = true;
    bool is_inside = app_enter(app);
    if (is_inside)
        admit(g, &err);
    else
        err_set(&err, ERR_DRAINING, "server is shutting down");
    if (err.code != ERR_NONE)
        refuse(g, &err, NULL);
    if (is_inside)
        app_leave(app);
    generation_unref(g);
}

static void run(void *user)
{
    struct generation *g = user;
    struct err err = {0};
    struct app *app = g->app;
    generation_ref(g);
    bool is_inside = app_enter(app);
    const char *encoding = http_request_header(g->http, "Content-Encoding");
    if (!is_inside)
        err_set(&err, ERR_DRAINING, "server is shutting down");
    else if (encoding && strcasecmp(encoding, "identity") != 0)
        err_set(&err, ERR_INVALID, "drover does not support the Content-Encoding \"%.40s\" yet", encoding);
    else if (request_priority(g->http, &g->priority, &err) == 0)
        g->ask.body =
            fields_parse(http_request_body(g->http), g->dialect->go_type, g->dialect->empty_text, &err);
    http_request_drop_body(g->http);
    bool is_read = g->ask.body && g->dialect->read(&g->ask, &err) == 0 && err.code == ERR_NONE;
    if (is_read)
        admit(g, &err);
    if (err.code != ERR_NONE)
        refuse(g, &err, NULL);
    if (is_inside)
        app_leave(app);
    generation_unref(g);
}

static void run_on_worker(void *user)
{
    struct generation *g = user;
    g->is_on_worker = true;
    run(g);
}

void generate_start(struct app *app, struct http_request *r, const struct dialect *d)
{
    struct generation *g = generation_new(app, r, d);
    struct err err = {0};
    if (atomic_load(&app->is_draining)) {
        err_set(&err, ERR_DRAINING, "server is shutting down");
        refuse(g, &err, NULL);
    } else if (http_request_body(r).n <= app->inline_body_bytes) {
        run(g);
    } else if (!worker_push(app->worker, run_on_worker, g)) {
        err_set(&err, ERR_UNREAD, "server busy: too many large requests wait to be read");
        refuse(g, &err, NULL);
    }
}
