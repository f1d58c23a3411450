// SPDX-License-Identifier: MIT
// A generation as an object: its references, its end, its two lines in the log. One reference is the HTTP
// request's (its user pointer), one the work's (from the start until generation_end()), so that neither the
// client leaving nor the last event can free it under the other. generation_end() is called exactly once, by
// whoever sees the work end: a failure before submission, or the last of its choices to end, which each does
// by its last event or by a cancellation that the host handed over.
#include "server/generate.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/kept.h"

enum { MAX_TEXT_BYTES = 32 << 20, MAX_OUT_BYTES = 256 << 20 };

struct generation *generation_new(struct app *app, struct http_request *r, const struct dialect *d)
{
    struct generation *g = xcalloc(1, sizeof *g);
    g->app = app;
    g->dialect = d;
    g->http = http_request_ref(r);
    g->peer = http_request_peer(r);
    g->id = atomic_fetch_add(&app->last_id, 1) + 1;
    g->start_ns = clock_monotonic_ns();
    g->created_s = clock_wall_ns() / NS_PER_S;
    strbuf_init(&g->out, MAX_OUT_BYTES);
    pthread_mutex_init(&g->lock, NULL);
    atomic_init(&g->refs, 2);
    http_request_set_user(r, g, generation_unref);
    request_id_read(app, r, g->request_id);
    request_client(app, r, g->client);
    return g;
}

void generation_make_choices(struct generation *g, uint32_t n)
{
    g->choices = xcalloc(n, sizeof *g->choices);
    g->n_choices = g->n_open = n;
    for (uint32_t i = 0; i < n; i++) {
        struct choice *c = &g->choices[i];
        c->g = g;
        c->index = i;
        c->logprobs = kept_new();
        strbuf_init(&c->text, MAX_TEXT_BYTES);
        strbuf_init(&c->thinking, MAX_TEXT_BYTES);
    }
}

void generation_ref(struct generation *g)
{
    atomic_fetch_add(&g->refs, 1);
}

void generation_unref(void *user)
{
    struct generation *g = user;
    if (atomic_fetch_sub(&g->refs, 1) != 1)
        return;
    for (size_t i = 0; g->vectors && i < json_array_size(g->ask.inputs); i++)
        free(g->vectors[i].at);
    free(g->vectors);
    for (uint32_t i = 0; i < g->n_choices; i++) {
        kept_free(g->choices[i].logprobs);
        said_fini(&g->choices[i]);
    }
    free(g->choices);
    ask_fini(&g->ask);
    strbuf_fini(&g->out);
    free(g->ids);
    pthread_mutex_destroy(&g->lock);
    free(g);
}

void generation_end(struct generation *g)
{
    struct http_request *http = g->http;
    g->http = NULL;
    http_request_unref(http);
    generation_unref(g);
}

void choice_end(struct choice *c)
{
    struct generation *g = c->g;
    struct job *job = NULL;
    pthread_mutex_lock(&g->lock);
    c->is_ended = true;
    if (!c->is_cancel_sent) { // else leave.c drops it, after host_cancel
        job = c->job;
        c->job = NULL;
    }
    bool is_last = --g->n_open == 0;
    pthread_mutex_unlock(&g->lock);
    if (job)
        job_unref(job);
    if (!is_last)
        return;
    atomic_fetch_sub(&g->app->n_generations, 1);
    generation_end(g);
}

uint32_t generate_count_thought(const struct generation *g)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->n_choices; i++)
        n += g->choices[i].has_thought ? g->choices[i].n_thought : 0;
    return n;
}

struct piece generate_whole(const struct choice *c)
{
    struct piece all = {.text = strbuf_slice(&c->text),
                        .thinking = strbuf_slice(&c->thinking),
                        .calls = c->calls,
                        .n_calls = c->n_calls};
    size_t n = 0;
    all.logprobs = kept_items(c->logprobs, &n);
    all.n_logprobs = (uint32_t)n;
    return all;
}

int64_t generate_elapsed_ns(const struct generation *g)
{
    return clock_monotonic_ns() - g->start_ns;
}

const char *generate_reason_text(enum done_reason reason)
{
    static const char *const texts[] = {
        [DONE_STOP] = "stop", [DONE_LENGTH] = "length", [DONE_LOAD] = "load", [DONE_UNLOAD] = "unload"};
    return texts[reason];
}

// ---- The log ----
static struct log_line begin_line(const struct generation *g, enum log_level level, const char *message)
{
    struct log_line l = log_begin(level, "server", message);
    log_add_text(&l, "id", g->request_id);
    log_add_text(&l, "route", g->dialect->route);
    log_add_text(&l, "model", g->ask.model);
    log_add_text(&l, "client", g->client);
    return l;
}

static void add_sampling(struct log_line *l, const struct params *p)
{
    log_add_int(l, "num_ctx", p->num_ctx);
    log_add_int(l, "num_predict", p->num_predict);
    log_add_number(l, "temperature", (double)p->temperature);
    log_add_int(l, "top_k", p->top_k);
    log_add_number(l, "top_p", (double)p->top_p);
    log_add_number(l, "min_p", (double)p->min_p);
    log_add_number(l, "repeat_penalty", (double)p->repeat_penalty);
    log_add_int(l, "seed", (int64_t)p->seed);
}

static void log_admission(const struct generation *g)
{
    struct log_line l = begin_line(g, LOG_INFO, "request admitted");
    log_add_text(&l, "remote", g->peer);
    log_add_bool(&l, "stream", g->ask.stream);
    log_add_int(&l, "queued", host_queue_depth(g->app->host));
    if (g->n_choices > 1)
        log_add_int(&l, "choices", g->n_choices);
    if (g->ask.unread[0])
        log_add_text(&l, "ignored", g->ask.unread);
    if (g->has_request)
        add_sampling(&l, &g->params);
    log_end(&l);
}

// The first event may come before the thread that submitted it goes on: whoever is first writes the line.
void generation_log_admission(struct generation *g)
{
    if (atomic_load(&g->is_admission_logged))
        return;
    pthread_mutex_lock(&g->lock);
    if (!atomic_load(&g->is_admission_logged))
        log_admission(g);
    atomic_store(&g->is_admission_logged, true);
    pthread_mutex_unlock(&g->lock);
}

void generation_log_start(const struct generation *g)
{
    struct log_line l = begin_line(g, LOG_DEBUG, "request started");
    log_add_ms(&l, "queue_ms", g->queue_ns);
    log_add_ms(&l, "load_ms", g->load_ns);
    log_add_int(&l, "prompt_tokens", g->n_prompt);
    log_add_int(&l, "cached_tokens", g->n_cached);
    log_end(&l);
}

void generation_log_end(struct generation *g, const char *outcome, const struct err *err)
{
    if (atomic_exchange(&g->is_end_logged, true))
        return;
    struct log_line l = begin_line(g, LOG_INFO, "request ended");
    log_add_text(&l, "outcome", outcome);
    log_add_int(&l, "status", err ? err_http_status(err->code) : 200);
    log_add_text(&l, "stage", !g->prompt_ns ? "waiting" : !g->first_token_ns ? "prompt" : "generating");
    log_add_ms(&l, "queue_ms", g->queue_ns);
    log_add_ms(&l, "load_ms", g->load_ns);
    if (g->first_token_ns)
        log_add_ms(&l, "first_token_ms", g->first_token_ns - g->start_ns);
    log_add_ms(&l, "total_ms", generate_elapsed_ns(g));
    log_add_int(&l, "prompt_tokens", g->n_prompt);
    log_add_int(&l, "cached_tokens", g->n_cached);
    if (g->n_truncated > 0)
        log_add_int(&l, "truncated_tokens", g->n_truncated);
    log_add_int(&l, "generated_tokens", g->n_generated);
    if (err)
        log_add_text(&l, "error", err->message);
    log_end(&l);
}

void generation_log_refusal(const struct generation *g, const struct err *err)
{
    struct log_line l = begin_line(g, LOG_INFO, "request refused");
    log_add_text(&l, "remote", g->peer);
    log_add_int(&l, "status", err_http_status(err->code));
    log_add_text(&l, "error", err->message);
    log_end(&l);
}
