// SPDX-License-Identifier: MIT
// A generation as an object: its references, its end, its two lines in the log. One reference is the HTTP
// request's (its user pointer), one the work's (from the start until generation_end()), so that neither the
// client leaving nor the last event can free it under the other. generation_end() is called exactly once, by
// whoever sees the work end: a failure before submission, the last event, or a cancellation that the host
// handed over.
#include "server/generate.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/kept.h"

enum { MAX_TEXT_BYTES = 32 << 20, MAX_OUT_BYTES = 256 << 20 };

static void set_request_id(struct generation *g)
{
    const char *given = http_request_header(g->http, "X-Request-Id");
    size_t n = 0;
    while (given && n <= 128 && given[n] &&
           (isalnum((unsigned char)given[n]) || strchr("-_.:/+=@", given[n])))
        n++;
    if (given && n > 0 && n <= 128 && given[n] == '\0')
        memcpy(g->request_id, given, n + 1);
    else
        snprintf(g->request_id, sizeof g->request_id, "req-%" PRIx64 "-%" PRIu64,
                 (uint64_t)g->app->started_wall_ns / 1000, g->id);
    http_add_header(g->http, "X-Request-Id", g->request_id);
}

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
    g->logprobs = kept_new();
    strbuf_init(&g->out, MAX_OUT_BYTES);
    strbuf_init(&g->text, MAX_TEXT_BYTES);
    pthread_mutex_init(&g->lock, NULL);
    atomic_init(&g->refs, 2);
    http_request_set_user(r, g, generation_unref);
    set_request_id(g);
    return g;
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
    ask_fini(&g->ask);
    kept_free(g->logprobs);
    strbuf_fini(&g->out);
    strbuf_fini(&g->text);
    free(g->ids);
    pthread_mutex_destroy(&g->lock);
    free(g);
}

void generation_end(struct generation *g)
{
    struct http_request *http = g->http;
    struct job *job = NULL;
    pthread_mutex_lock(&g->lock);
    g->is_ended = true;
    if (!g->is_cancel_sent) { // else leave.c drops it, after host_cancel
        job = g->job;
        g->job = NULL;
    }
    pthread_mutex_unlock(&g->lock);
    if (job)
        job_unref(job);
    g->http = NULL;
    http_request_unref(http);
    generation_unref(g);
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
static double ms(int64_t ns)
{
    return (double)ns / (double)NS_PER_MS;
}

void generation_log_admission(const struct generation *g, const struct params *p)
{
    char sampling[200] = "";
    if (p)
        snprintf(sampling, sizeof sampling,
                 " num_ctx=%d num_predict=%d temperature=%g top_k=%d top_p=%g min_p=%g repeat_penalty=%g "
                 "seed=%" PRIu64,
                 p->num_ctx, p->num_predict, (double)p->temperature, p->top_k, (double)p->top_p,
                 (double)p->min_p, (double)p->repeat_penalty, p->seed);
    log_info("server", "request admitted id=%s route=%s model=%s remote=%s stream=%d queued=%u%s",
             g->request_id, g->dialect->route, g->ask.model, g->peer, g->ask.stream,
             host_queue_depth(g->app->host), sampling);
}

void generation_log_start(const struct generation *g)
{
    log_debug("server",
              "request started id=%s route=%s model=%s wait_ms=%.1f prompt_tokens=%u cached_tokens=%u",
              g->request_id, g->dialect->route, g->ask.model, ms(g->prompt_ns - g->start_ns), g->n_prompt,
              g->n_cached);
}

void generation_log_end(const struct generation *g, const char *outcome, const struct err *err)
{
    int64_t now = clock_monotonic_ns();
    const char *stage = !g->prompt_ns ? "waiting" : !g->first_token_ns ? "prompt" : "generating";
    log_info("server",
             "request ended id=%s route=%s model=%s outcome=%s stage=%s wait_ms=%.1f first_token_ms=%.1f "
             "total_ms=%.1f prompt_tokens=%u "
             "cached_tokens=%u truncated_tokens=%u generated_tokens=%u%s%s%s",
             g->request_id, g->dialect->route, g->ask.model, outcome, stage,
             ms((g->prompt_ns ? g->prompt_ns : now) - g->start_ns),
             g->first_token_ns ? ms(g->first_token_ns - g->start_ns) : 0.0, ms(now - g->start_ns),
             g->n_prompt, g->n_cached, g->n_truncated, g->n_generated, err ? " error=\"" : "",
             err ? err->message : "", err ? "\"" : "");
}
