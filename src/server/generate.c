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
#include "server/build.h"
#include "server/config.h"
#include "server/kept.h"
#include "server/models.h"
#include "server/worker.h"

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
    if (g->dialect->errors == ERRORS_OPENAI) {
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
}

static void take_tokens(struct generation *g, const struct event *e)
{
    struct piece piece = {e->text, e->logprobs, g->ask.logprobs ? e->n_logprobs : 0};
    if (!g->first_token_ns)
        g->first_token_ns = clock_monotonic_ns();
    g->n_generated += e->n_ids;
    add_ids(g, e->ids, e->n_ids);
    if (piece.text.n == 0 && piece.n_logprobs == 0)
        return;
    if (!g->ask.stream) {
        strbuf_push_slice(&g->text, piece.text);
        kept_push(g->logprobs, piece.logprobs, piece.n_logprobs);
    } else {
        g->dialect->write_piece(g, &piece, &g->out);
        send(g);
    }
    g->n_pieces++;
}

// Bytes on the line, so that no proxy takes the stream for dead. From here on an error comes in the stream.
static void take_waiting(struct generation *g, const struct event *e)
{
    begin_stream(g);
    g->dialect->write_comment(e->text, &g->out);
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

static void answer_whole(struct generation *g)
{
    struct piece all = {.text = strbuf_slice(&g->text)};
    size_t n = 0;
    all.logprobs = kept_items(g->logprobs, &n);
    all.n_logprobs = (uint32_t)n;
    g->dialect->write_whole(g, &all, &g->out);
    if (g->text.overflow || g->out.overflow) {
        struct err err = {0};
        err_set(&err, ERR_INTERNAL, "the answer is too large to be sent whole; ask for a stream");
        fail(g, &err, NULL);
        return;
    }
    http_reply(g->http, 200, g->dialect->whole_type, strbuf_slice(&g->out));
}

static void finish(struct generation *g, const struct event *e)
{
    g->reason = e->reason;
    g->prompt_eval_ns = e->prompt_ns;
    g->eval_ns = e->generate_ns;
    if (e->reason == DONE_STOP || e->reason == DONE_LENGTH) {
        g->n_generated = e->n_generated;
        g->n_cached = MAX(g->n_cached, e->n_cached);
    }
    generation_log_end(g, generate_reason_text(g->reason), NULL); // before the client can look for it
    if (!g->ask.stream) {
        answer_whole(g);
    } else {
        begin_stream(g);
        g->dialect->write_last(g, &g->out);
        send(g);
        http_stream_end(g->http);
    }
}

static void on_event(void *user, const struct event *e)
{
    struct generation *g = user;
    g->queue_ns = e->queue_ns;
    g->load_ns = e->load_ns;
    switch (e->kind) {
    case EVENT_PROMPT:
        take_prompt(g, e);
        return;
    case EVENT_TOKENS:
        take_tokens(g, e);
        return;
    case EVENT_WAITING:
        take_waiting(g, e);
        return;
    case EVENT_DONE:
        finish(g, e);
        break;
    default:
        generation_log_end(g, e->error.code == ERR_CANCELLED ? "cancelled" : "error", &e->error);
        fail(g, &e->error, NULL);
        break;
    }
    atomic_fetch_sub(&g->app->n_generations, 1);
    generation_end(g);
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

static void submit(struct generation *g, struct host_submission *s)
{
    struct http_request *http = http_request_ref(g->http);
    struct params params = s->request ? s->request->params : PARAMS_DEFAULT;
    bool has_request = s->request != NULL;
    struct err err = {0};
    generation_ref(g); // the last event may come before host_submit returns
    atomic_fetch_add(&g->app->n_generations, 1);
    s->on_event = on_event;
    s->user = g;
    snprintf(g->blob_digest, sizeof g->blob_digest, "%s", s->model.blob_digest);
    if (!http_request_on_gone(http, leave_on_gone, g)) {
        err_set(&err, ERR_CANCELLED, "request canceled");
        drop_request(s->request);
    }
    struct job *job = err.code == ERR_NONE ? host_submit(g->app->host, s, &err) : NULL;
    if (!job) {
        atomic_fetch_sub(&g->app->n_generations, 1);
        bool is_full = err.code == ERR_QUEUE_FULL || err.code == ERR_QUEUE_BYTES;
        refuse(g, &err, is_full ? "queue_full" : NULL);
    } else {
        generation_log_admission(g, has_request ? &params : NULL);
        pthread_mutex_lock(&g->lock);
        bool is_ended = g->is_ended;
        g->job = is_ended ? NULL : job;
        g->is_cancelled |= http_request_is_gone(http);
        pthread_mutex_unlock(&g->lock);
        if (is_ended)
            job_unref(job);
        leave_send(g);
    }
    http_request_unref(http);
    generation_unref(g);
}

static void submit_model(struct generation *g, const struct stored_model *m, struct err *err)
{
    struct strbuf details = STRBUF_INIT(64 << 10);
    struct json_writer w = json_writer_make(&details);
    models_write_details(&w, m, NULL, false);
    struct host_submission s = {
        .model = {.blob_digest = m->model_digest,
                  .blob_path = m->model_path,
                  .name = m->display_name,
                  .manifest_digest = m->manifest_digest,
                  .details_json = strbuf_text(&details),
                  .settings = config_model_settings(m->display_name)},
        .label = {g->request_id, g->dialect->route, g->client},
        .priority = g->priority,
        .comment_ns =
            g->ask.stream && g->dialect->write_comment ? options_duration_ns(OPT_QUEUE_COMMENTS) : 0,
        .has_keep_alive = g->ask.has_keep_alive,
        .keep_alive_ns = g->ask.keep_alive_ns,
        .unload = g->ask.is_empty && g->ask.has_keep_alive && g->ask.keep_alive_ns == 0,
    };
    if (!g->ask.is_empty) {
        s.request = build_request(&g->ask, m, &g->has_drawn_seed, err);
        if (s.request) {
            g->seed = s.request->params.seed;
        }
    }
    if (err->code == ERR_NONE)
        submit(g, &s);
    strbuf_fini(&details);
}

static void admit(struct generation *g, struct err *err)
{
    struct ask *a = &g->ask;
    struct stored_model m = {0};
    if (a->is_chat && a->model[0] == '\0') {
        err_set(err, ERR_INVALID, "model is required");
        return;
    }
    if (models_find(g->app, a->model, &m, err) != 0)
        return;
    bool is_unload = a->is_empty && a->has_keep_alive && a->keep_alive_ns == 0;
    if (!m.model_digest || !m.model_path)
        err_set(err, ERR_FORMAT, "model '%s' has no weights", a->model);
    else if (a->is_raw &&
             (a->template_text.n || a->system.n || (a->context && json_array_size(a->context))) && !is_unload)
        err_set(err, ERR_INVALID, "raw mode does not support template, system, or context");
    else if (is_unload || build_check(a, &m, g->dialect->verb, err) == 0)
        submit_model(g, &m, err);
    stored_model_fini(&m);
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
    if (g->ask.body && g->dialect->read(&g->ask, &err) == 0 && err.code == ERR_NONE)
        admit(g, &err);
    if (err.code != ERR_NONE)
        refuse(g, &err, NULL);
    if (is_inside)
        app_leave(app);
    generation_unref(g);
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
    } else if (!worker_push(app->worker, run, g)) {
        err_set(&err, ERR_UNREAD, "server busy: too many large requests wait to be read");
        refuse(g, &err, NULL);
    }
}
