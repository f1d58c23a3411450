// SPDX-License-Identifier: MIT
// Probes read two atomics and never wait for a model.
#include "server/health.h"

#include <stdio.h>

#include "json/writer.h"
#include "server/metrics.h"
#include "server/reply.h"

void health_root(struct app *app, struct http_request *r)
{
    reply_text(r, 200, "Ollama is running");
}

static void answer(struct http_request *r, int status, const char *state, const char *reason)
{
    struct strbuf out = STRBUF_INIT(4096);
    struct json_writer w = json_writer_make(&out);
    json_begin_object(&w);
    json_member_text(&w, "status", state);
    if (reason)
        json_member_text(&w, "reason", reason);
    json_end_object(&w);
    http_reply(r, status, REPLY_JSON, strbuf_slice(&out));
    strbuf_fini(&out);
}

void health_live(struct app *app, struct http_request *r)
{
    answer(r, 200, "ok", NULL);
}

void health_capacity(struct app *app, struct http_request *r)
{
    char text[16];
    bool is_draining = atomic_load(&app->is_draining);
    uint32_t n_free, n_slots;
    metrics_read_capacity(app, &n_free, &n_slots);
    snprintf(text, sizeof text, "%u\n", is_draining ? 0 : n_free);
    reply_text(r, 200, text);
}

void health_ready(struct app *app, struct http_request *r)
{
    if (atomic_load(&app->is_draining))
        answer(r, 503, "draining", "the server is shutting down");
    else
        answer(r, 200, "ok", NULL);
}
