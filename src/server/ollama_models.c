// SPDX-License-Identifier: MIT
// GET /api/tags, /api/ps, /api/version, /api/status.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/program.h"
#include "server/card.h"
#include "server/models.h"
#include "server/ollama.h"

enum { MAX_LIST_BYTES = 64 << 20 };
// "For ever", as Ollama shows it: some 292 years, the longest duration of Go.
static const int64_t for_ever_ns = INT64_MAX;

void ollama_version(struct app *app, struct http_request *r)
{
    struct strbuf out = STRBUF_INIT(4096);
    struct json_writer w = json_writer_make(&out);
    json_begin_object(&w);
    json_member_text(&w, "version", OLLAMA_VERSION); // drover's own stands beside it
    json_member_text(&w, "drover", DROVER_VERSION);
    json_end_object(&w);
    reply_json(r, &out);
}

void ollama_status(struct app *app, struct http_request *r)
{
    struct strbuf out = STRBUF_INIT(4096);
    strbuf_push_text(&out, "{\"cloud\":{\"disabled\":true,\"source\":\"env\"}}");
    reply_json(r, &out);
}

static void write_tag(struct json_writer *w, struct app *app, const struct stored_model *m)
{
    char modified[40];
    struct err err = {0};
    json_t *card = card_read(app->cards, m, false, &err);
    if (!card)
        log_warn("server", "no details of model %s: %s", m->display_name, err.message);
    clock_format_rfc3339(m->modified_ns, modified);
    json_begin_object(w);
    json_member_text(w, "name", m->display_name);
    json_member_text(w, "model", m->display_name);
    json_member_text(w, "modified_at", modified);
    json_member_int(w, "size", (int64_t)m->size_bytes);
    json_member_text(w, "digest", m->manifest_digest);
    json_key(w, "details");
    models_write_details(w, m, card, true);
    json_key(w, "capabilities");
    models_write_capabilities(w, m, card);
    json_end_object(w);
    json_decref(card);
}

void ollama_tags(struct app *app, struct http_request *r)
{
    struct strbuf out = STRBUF_INIT(MAX_LIST_BYTES);
    struct json_writer w = json_writer_make(&out);
    struct stored_model *models = NULL;
    struct err err = {0};
    size_t n = 0;
    if (store_list(app->store, &models, &n, &err) != 0) {
        reply_error(r, ERRORS_OLLAMA, &err, NULL);
        return;
    }
    json_begin_object(&w);
    json_key(&w, "models");
    json_begin_array(&w);
    for (size_t i = 0; i < n; i++)
        write_tag(&w, app, &models[i]);
    json_end_array(&w);
    json_end_object(&w);
    store_list_free(models, n);
    reply_json(r, &out);
}

// Why the model is as it is, in sentences.
static void write_reasons(struct json_writer *w, const struct host_model_status *m)
{
    char text[256];
    json_key(w, "reasons");
    json_begin_array(w);
    snprintf(text, sizeof text, "loaded for: %s", sched_load_reason_name(m->load_reason));
    json_put_text(w, text);
    if (m->reduced[0])
        json_put_text(w, m->reduced);
    if (m->n_queued > 0) {
        snprintf(text, sizeof text, "%u %s %s", m->n_queued,
                 m->n_queued == 1 ? "request waits" : "requests wait", sched_cause_words(m->cause));
        json_put_text(w, text);
    }
    json_end_array(w);
}

// Ollama's members, then drover's own: what runs, what waits, how full the cache is and what was reduced.
static void write_running(struct json_writer *w, const struct host_model_status *m)
{
    char expires[40];
    clock_format_rfc3339(m->expires_wall_ns ? m->expires_wall_ns : for_ever_ns, expires);
    json_begin_object(w);
    json_member_text(w, "name", m->name);
    json_member_text(w, "model", m->name);
    json_member_int(w, "size", (int64_t)m->size_bytes);
    json_member_text(w, "digest", m->manifest_digest);
    json_key(w, "details");
    json_put_raw(w, slice_of(m->details_json && m->details_json[0] ? m->details_json : "{}"));
    json_member_text(w, "expires_at", expires);
    json_member_int(w, "size_vram", 0);
    json_member_int(w, "context_length", m->context_length);
    json_member_text(w, "state", m->state);
    json_member_text(w, "metrics_name", m->metrics_name);
    json_member_int(w, "slots", m->n_slots);
    json_member_int(w, "running", m->n_running);
    json_member_int(w, "queued", m->n_queued);
    json_member_int(w, "kv_tokens_used", (int64_t)m->kv_tokens_used);
    json_member_int(w, "kv_tokens_total", (int64_t)m->kv_tokens_total);
    json_key(w, "kv_usage");
    json_put_double(w, m->kv_tokens_total ? (double)m->kv_tokens_used / (double)m->kv_tokens_total : 0);
    if (m->load_total_bytes > 0 && strcmp(m->state, "loading") == 0) {
        json_key(w, "load_progress");
        json_put_double(w, (double)m->load_done_bytes / (double)m->load_total_bytes);
    }
    if (m->reduced[0])
        json_member_text(w, "reduced", m->reduced);
    write_reasons(w, m);
    json_end_object(w);
}

static int by_expiry(const void *a, const void *b) // latest first; for ever is the latest
{
    const struct host_model_status *x = a, *y = b;
    uint64_t ex = x->expires_wall_ns ? (uint64_t)x->expires_wall_ns : UINT64_MAX;
    uint64_t ey = y->expires_wall_ns ? (uint64_t)y->expires_wall_ns : UINT64_MAX;
    return ex < ey ? 1 : ex > ey ? -1 : 0;
}

void ollama_ps(struct app *app, struct http_request *r)
{
    struct strbuf out = STRBUF_INIT(MAX_LIST_BYTES);
    struct json_writer w = json_writer_make(&out);
    struct host_status status = {0};
    host_status_read(app->host, &status);
    if (status.n_models > 1)
        qsort(status.models, status.n_models, sizeof status.models[0], by_expiry);
    json_begin_object(&w);
    json_key(&w, "models");
    json_begin_array(&w);
    for (size_t i = 0; i < status.n_models; i++)
        write_running(&w, &status.models[i]);
    json_end_array(&w);
    json_end_object(&w);
    host_status_fini(&status);
    reply_json(r, &out);
}
