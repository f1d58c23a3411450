// SPDX-License-Identifier: MIT
// A metric is a row: name, type, words, and where its figure lies. A scrape copies the host's counters under
// its lock, then writes text without any; it asks no runner, and reading changes nothing. Two models that
// were known by one name (a name that was given to other weights) are one series.
#include "server/metrics.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/options.h"
#include "net/http.h"
#include "server/prom.h"
#include "server/routes.h"

enum { MAX_SCRAPE_BYTES = 32 << 20, DEFAULT_SLOTS = 4 };

#define TYPE_PROMETHEUS "text/plain; version=0.0.4; charset=utf-8"

enum kind { U64, U32, DOUBLE, FLAG };

struct row {
    const char *name, *type, *help;
    enum kind kind;
    size_t at; // in struct host_model_metrics
};
struct histogram_row {
    const char *name, *help;
    const double *bounds;
    size_t at;
};

#define AT(member) offsetof(struct host_model_metrics, member)

static const struct row rows[] = {
    {"drover_model_loaded", "gauge", "1 while the model is loaded and takes requests.", FLAG, AT(is_ready)},
    {"drover_model_slots", "gauge", "Requests that the model can answer at the same time.", U32, AT(n_slots)},
    {"drover_model_requests_running", "gauge", "Requests that have a slot of the model.", U32, AT(n_running)},
    {"drover_model_requests_waiting", "gauge", "Requests that wait for a slot of the model or for its load.",
     U32, AT(n_waiting)},
    {"drover_model_kv_tokens_used", "gauge", "Tokens of the model's KV pool held by running requests.", U64,
     AT(kv_tokens_used)},
    {"drover_model_kv_tokens_cached", "gauge",
     "Tokens of the model's KV pool kept for prompts that begin alike; given up when room is needed.", U64,
     AT(kv_tokens_cached)},
    {"drover_model_kv_tokens", "gauge", "Size of the model's KV pool in tokens.", U64, AT(kv_tokens_total)},
    {"drover_model_planned_bytes", "gauge", "Memory promised to the model before it was loaded.", U64,
     AT(plan_bytes)},
    {"drover_model_prompt_tokens_total", "counter", "Tokens of prompts, those from the cache included.", U64,
     AT(counters.n_prompt_tokens)},
    {"drover_model_cached_prompt_tokens_total", "counter",
     "Tokens of prompts that the cache held and that were not computed again.", U64,
     AT(counters.n_cached_tokens)},
    {"drover_model_generated_tokens_total", "counter", "Tokens generated.", U64,
     AT(counters.n_generated_tokens)},
    {"drover_model_steps_total", "counter", "Forward passes over a batch.", U64, AT(counters.n_steps)},
    {"drover_model_step_seconds_total", "counter", "Time spent in forward passes.", DOUBLE,
     AT(counters.step_s)},
    {"drover_model_preemptions_total", "counter",
     "Requests whose KV memory was taken for older ones; they are computed again.", U64,
     AT(counters.n_preemptions)},
    {"drover_model_draft_tokens_total", "counter",
     "Tokens computed in advance, guessed from what the stream had before.", U64,
     AT(counters.n_draft_tokens)},
    {"drover_model_accepted_draft_tokens_total", "counter",
     "Draft tokens that were the ones generated: each saved a step.", U64, AT(counters.n_accepted_tokens)},
    {"drover_model_crashes_total", "counter", "Processes of the model that ended unasked.", U64,
     AT(counters.n_crashes)},
    {"drover_model_resubmissions_total", "counter",
     "Requests that went on in a new process after theirs had ended.", U64, AT(counters.n_resubmissions)},
    {"drover_model_load_failures_total", "counter", "Loads that failed.", U64, AT(counters.n_load_failures)},
};

static const struct histogram_row histogram_rows[] = {
    {"drover_model_load_seconds", "From the start of the model's process until it took requests.",
     HISTOGRAM_DURATIONS, AT(counters.load)},
    {"drover_model_queue_wait_seconds", "Waits of requests for a slot or for other models to make room.",
     HISTOGRAM_WAITS, AT(counters.queue_wait)},
    {"drover_model_load_wait_seconds", "Waits of requests for the model to be loaded.", HISTOGRAM_WAITS,
     AT(counters.load_wait)},
    {"drover_model_first_token_seconds", "From the arrival of a request to its first token.", HISTOGRAM_WAITS,
     AT(counters.first_token)},
    {"drover_model_token_gap_seconds", "Between two tokens of one request.", HISTOGRAM_TOKEN_GAPS,
     AT(counters.token_gap)},
    {"drover_model_request_seconds", "From the arrival of a request to its end.", HISTOGRAM_DURATIONS,
     AT(counters.duration)},
    {"drover_model_request_prompt_tokens", "Tokens of one prompt.", HISTOGRAM_TOKENS,
     AT(counters.prompt_tokens)},
    {"drover_model_request_generated_tokens", "Tokens generated for one request.", HISTOGRAM_TOKENS,
     AT(counters.generated_tokens)},
    {"drover_model_step_requests", "Requests that one forward pass served: the width of the batch.",
     HISTOGRAM_WIDTHS, AT(counters.step_width)},
};

// ---- Models of one name are one ----
static void add_counters(struct host_counters *into, const struct host_counters *c)
{
    for (int i = 0; i < HOST_END_COUNT; i++)
        into->n_ended[i] += c->n_ended[i];
    for (int i = 0; i < SCHED_LOAD_REASON_COUNT; i++)
        into->n_loads[i] += c->n_loads[i];
    for (int i = 0; i < SCHED_UNLOAD_REASON_COUNT; i++)
        into->n_unloads[i] += c->n_unloads[i];
    into->step_s += c->step_s;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (rows[i].kind == U64 && rows[i].at >= AT(counters))
            *(uint64_t *)(void *)((char *)into + (rows[i].at - AT(counters))) +=
                *(const uint64_t *)(const void *)((const char *)c + (rows[i].at - AT(counters)));
    for (size_t i = 0; i < COUNT_OF(histogram_rows); i++) {
        size_t at = histogram_rows[i].at - AT(counters);
        histogram_merge((struct histogram *)(void *)((char *)into + at),
                        (const struct histogram *)(const void *)((const char *)c + at));
    }
}

static void merge_names(struct host_metrics *m)
{
    size_t n = 0;
    for (size_t i = 0; i < m->n_models; i++) {
        size_t k = 0;
        while (k < n && strcmp(m->models[k].name, m->models[i].name) != 0)
            k++;
        if (k == n) {
            m->models[n++] = m->models[i];
            continue;
        }
        struct host_counters sum = m->models[k].counters;
        add_counters(&sum, &m->models[i].counters);
        if (m->models[i].is_present) // the figures of now are the later one's
            m->models[k] = m->models[i];
        m->models[k].counters = sum;
    }
    m->n_models = n;
}

// ---- Series ----
static struct prom_labels of_model(const struct host_model_metrics *m)
{
    return (struct prom_labels){.name = {"model"}, .value = {m->name}};
}

static double read_row(const struct row *row, const struct host_model_metrics *m)
{
    const void *at = (const char *)m + row->at;
    switch (row->kind) {
    case U64:
        return (double)*(const uint64_t *)at;
    case U32:
        return *(const uint32_t *)at;
    case DOUBLE:
        return *(const double *)at;
    default:
        return *(const bool *)at ? 1 : 0;
    }
}

static void write_ends(struct strbuf *out, const struct host_metrics *m)
{
    prom_family(out, "drover_model_requests_total", "counter", "Requests that have ended, by how.");
    for (size_t i = 0; i < m->n_models; i++)
        for (int k = 0; k < HOST_END_COUNT; k++)
            prom_value(out, "drover_model_requests_total",
                       &(struct prom_labels){{"model", "outcome"}, {m->models[i].name, host_end_names[k]}},
                       (double)m->models[i].counters.n_ended[k]);
}

static void write_loads(struct strbuf *out, const struct host_metrics *m)
{
    prom_family(out, "drover_model_loads_total", "counter", "Loads of the model, by what caused them.");
    for (size_t i = 0; i < m->n_models; i++)
        for (int k = 0; k < SCHED_LOAD_REASON_COUNT; k++)
            prom_value(
                out, "drover_model_loads_total",
                &(struct prom_labels){{"model", "reason"},
                                      {m->models[i].name, sched_load_reason_name((enum sched_load_reason)k)}},
                (double)m->models[i].counters.n_loads[k]);
    prom_family(out, "drover_model_evictions_total", "counter", "Ends of the loaded model, by reason.");
    for (size_t i = 0; i < m->n_models; i++)
        for (int k = 0; k < SCHED_UNLOAD_REASON_COUNT; k++)
            prom_value(out, "drover_model_evictions_total",
                       &(struct prom_labels){
                           {"model", "reason"},
                           {m->models[i].name, sched_unload_reason_name((enum sched_unload_reason)k)}},
                       (double)m->models[i].counters.n_unloads[k]);
}

static void write_processes(struct strbuf *out, const struct host_metrics *m)
{
    prom_family(out, "drover_model_resident_bytes", "gauge",
                "Memory that the model's process has in use, from the kernel.");
    for (size_t i = 0; i < m->n_models; i++)
        if (m->models[i].pid > 0)
            prom_value(out, "drover_model_resident_bytes",
                       &(struct prom_labels){{"model"}, {m->models[i].name}},
                       (double)host_resident_bytes(m->models[i].pid));
    prom_family(out, "drover_model_swapped_bytes", "gauge",
                "Memory of the model's process that was swapped out, from the kernel.");
    for (size_t i = 0; i < m->n_models; i++)
        if (m->models[i].pid > 0)
            prom_value(out, "drover_model_swapped_bytes",
                       &(struct prom_labels){{"model"}, {m->models[i].name}},
                       (double)host_swapped_bytes(m->models[i].pid));
}

static void write_models(struct strbuf *out, const struct host_metrics *m)
{
    for (size_t k = 0; k < COUNT_OF(rows); k++) {
        prom_family(out, rows[k].name, rows[k].type, rows[k].help);
        for (size_t i = 0; i < m->n_models; i++) {
            struct prom_labels labels = of_model(&m->models[i]);
            prom_value(out, rows[k].name, &labels, read_row(&rows[k], &m->models[i]));
        }
    }
    write_ends(out, m);
    write_loads(out, m);
    write_processes(out, m);
    for (size_t k = 0; k < COUNT_OF(histogram_rows); k++) {
        const struct histogram_row *row = &histogram_rows[k];
        prom_family(out, row->name, "histogram", row->help);
        for (size_t i = 0; i < m->n_models; i++) {
            struct prom_labels labels = of_model(&m->models[i]);
            const void *at = (const char *)&m->models[i] + row->at;
            prom_histogram(out, row->name, &labels, at, row->bounds);
        }
    }
}

// ---- The server ----
static void write_one(struct strbuf *out, const char *name, const char *type, const char *help, double value)
{
    prom_family(out, name, type, help);
    prom_value(out, name, NULL, value);
}

// The fullest pool: what a router looks at before it sends one more request.
static double kv_usage(const struct host_metrics *m)
{
    double most = 0;
    for (size_t i = 0; i < m->n_models; i++)
        if (m->models[i].kv_tokens_total > 0)
            most = MAX(most, (double)m->models[i].kv_tokens_used / (double)m->models[i].kv_tokens_total);
    return MIN(most, 1.0);
}

static void write_server(struct strbuf *out, struct app *app, const struct host_metrics *m)
{
    prom_family(out, "drover_build_info", "gauge", "1, with the version of the program.");
    prom_value(out, "drover_build_info", &(struct prom_labels){{"version"}, {DROVER_VERSION}}, 1);
    write_one(out, "drover_start_time_seconds", "gauge", "When the server started, since 1970.",
              (double)app->started_wall_ns / (double)NS_PER_S);
    write_one(out, "drover_uptime_seconds", "gauge", "How long the server has been running.",
              (double)(clock_wall_ns() - app->started_wall_ns) / (double)NS_PER_S);
    write_one(out, "drover_ready", "gauge", "1 while new requests are taken, 0 while it drains.",
              atomic_load(&app->is_draining) ? 0 : 1);
    write_one(out, "drover_requests_running", "gauge", "Requests that have a slot, over all models.",
              m->n_running);
    write_one(out, "drover_requests_waiting", "gauge",
              "Requests that wait for a slot or for a load, over all models.", m->n_waiting);
    write_one(out, "drover_kv_cache_usage_ratio", "gauge",
              "Share of the KV pool held by running requests, from 0 to 1; of the fullest model.",
              kv_usage(m));
    write_one(out, "drover_queue_length", "gauge",
              "Waiting requests that count against the limit of the queue: no slot is promised to them.",
              m->n_queued);
    write_one(out, "drover_queue_limit", "gauge", "Most requests that may be queued; the next gets 503.",
              m->max_queue);
    write_one(out, "drover_waiting_request_bytes", "gauge", "Memory held by waiting requests.",
              (double)m->waiting_bytes);
    write_one(out, "drover_memory_budget_bytes", "gauge", "Memory that models may have together, now.",
              (double)m->budget_bytes);
    write_one(out, "drover_memory_planned_bytes", "gauge",
              "Memory promised to models that are loaded or loading.", (double)m->held_bytes);
    write_one(out, "drover_front_resident_bytes", "gauge", "Memory that the server's own process has in use.",
              (double)host_resident_bytes(getpid()));
    write_one(out, "drover_http_connections", "gauge", "Open connections of clients.",
              app->http ? (double)http_server_connection_count(app->http) : 0);
}

static void write_tally(struct strbuf *out, const struct tally *t)
{
    prom_family(out, "drover_requests_refused_total", "counter",
                "Generation requests that were not admitted, by reason.");
    for (size_t i = 0; tally_refusal_text(i); i++)
        prom_value(out, "drover_requests_refused_total",
                   &(struct prom_labels){{"reason"}, {tally_refusal_text(i)}},
                   (double)atomic_load_explicit(&t->refusals[i], memory_order_relaxed));
    prom_family(out, "drover_http_requests_total", "counter",
                "Answers by route and status; probes and scrapes are not counted.");
    for (size_t k = 0; k < routes_count(); k++)
        for (size_t i = 0; tally_status_text(i); i++) {
            uint64_t n = atomic_load_explicit(&t->answers[k][i], memory_order_relaxed);
            if (n > 0)
                prom_value(out, "drover_http_requests_total",
                           &(struct prom_labels){{"route", "status"}, {routes_name(k), tally_status_text(i)}},
                           (double)n);
        }
}

void metrics_scrape(struct app *app, struct http_request *r)
{
    struct strbuf out = STRBUF_INIT(MAX_SCRAPE_BYTES);
    struct host_metrics m;
    host_metrics_read(app->host, &m);
    merge_names(&m);
    write_server(&out, app, &m);
    write_tally(&out, &app->tally);
    write_models(&out, &m);
    host_metrics_fini(&m);
    http_reply(r, 200, TYPE_PROMETHEUS, strbuf_slice(&out));
    strbuf_fini(&out);
}

void metrics_read_capacity(struct app *app, uint32_t *n_free, uint32_t *n_slots)
{
    struct host_metrics m;
    uint64_t asked = options_uint(OPT_NUM_PARALLEL);
    *n_free = *n_slots = 0;
    host_metrics_read(app->host, &m);
    for (size_t i = 0; i < m.n_models; i++) {
        uint32_t taken = m.models[i].n_running + m.models[i].n_waiting;
        *n_slots += m.models[i].n_slots;
        *n_free += m.models[i].n_slots > taken ? m.models[i].n_slots - taken : 0;
    }
    host_metrics_fini(&m);
    if (*n_slots == 0)
        *n_free = *n_slots = asked > 0 ? (uint32_t)MIN(asked, (uint64_t)UINT32_MAX) : DEFAULT_SLOTS;
}
