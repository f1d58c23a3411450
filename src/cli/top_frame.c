// SPDX-License-Identifier: MIT
// The picture is written whole into memory and cut to the size afterwards, so that tables need not know of
// it.
#include "cli/top_frame.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "cli/api.h"
#include "cli/format.h"
#include "cli/queue.h"
#include "cli/wrap.h"

static double rate(const struct top_sample *now, const struct top_sample *before, const char *name,
                   const char *model)
{
    double seconds = (double)(now->at_ns - before->at_ns) / (double)NS_PER_S;
    double grown = top_metric(now, name, model) - top_metric(before, name, model);
    return before->at_ns == 0 || seconds <= 0 || grown < 0 ? NAN : grown / seconds;
}

static void format_rate(double value, char out[FORMAT_BYTES])
{
    if (isnan(value))
        snprintf(out, FORMAT_BYTES, "-");
    else
        snprintf(out, FORMAT_BYTES, "%.1f", value);
}

static void format_metric(const struct top_sample *s, const char *name, const char *model,
                          char out[FORMAT_BYTES])
{
    format_size((uint64_t)MAX(top_metric(s, name, model), 0), out);
}

static void print_server(FILE *out, const struct top_sample *now, const struct top_sample *before)
{
    char generated[FORMAT_BYTES], prompt[FORMAT_BYTES], front[FORMAT_BYTES], models[FORMAT_BYTES],
        planned[FORMAT_BYTES], budget[FORMAT_BYTES], up[FORMAT_BYTES];
    format_rate(rate(now, before, "drover_model_generated_tokens_total", NULL), generated);
    format_rate(rate(now, before, "drover_model_prompt_tokens_total", NULL), prompt);
    format_metric(now, "drover_front_resident_bytes", NULL, front);
    format_metric(now, "drover_model_resident_bytes", NULL, models);
    format_metric(now, "drover_memory_planned_bytes", NULL, planned);
    format_metric(now, "drover_memory_budget_bytes", NULL, budget);
    format_duration((int64_t)top_metric(now, "drover_uptime_seconds", NULL) * NS_PER_S, up);
    fprintf(out, "drover %s   up %s%s\n", DROVER_VERSION, up,
            top_metric(now, "drover_ready", NULL) > 0 ? "" : "   draining");
    fprintf(out, "Requests   %.0f running   %.0f waiting   queue %.0f of %.0f   %.0f refused\n",
            top_metric(now, "drover_requests_running", NULL),
            top_metric(now, "drover_requests_waiting", NULL), top_metric(now, "drover_queue_length", NULL),
            top_metric(now, "drover_queue_limit", NULL),
            top_metric(now, "drover_requests_refused_total", NULL));
    fprintf(out, "Tokens/s   %s generated   %s of prompts\n", generated, prompt);
    fprintf(out, "Memory     models %s, planned %s of %s   server %s   swapped %.0f\n\n", models, planned,
            budget, front, top_metric(now, "drover_model_swapped_bytes", NULL));
}

static void add_ratio(struct table *t, uint64_t part, uint64_t whole)
{
    char text[FORMAT_BYTES];
    snprintf(text, sizeof text, "%llu/%llu", (unsigned long long)part, (unsigned long long)whole);
    table_add(t, text);
}

static void add_model(struct table *t, const json_t *m, const struct top_sample *now,
                      const struct top_sample *before)
{
    char text[FORMAT_BYTES], until[FORMAT_BYTES] = "Never";
    const char *name = api_text(m, "name"), *series = api_text(m, "metrics_name");
    int64_t expires_ns = format_parse_time(api_text(m, "expires_at"));
    const json_t *progress = json_object_get(m, "load_progress");
    table_add(t, name);
    if (json_is_number(progress))
        snprintf(text, sizeof text, "%.20s %.0f%%", api_text(m, "state"), 100 * json_number_value(progress));
    else
        snprintf(text, sizeof text, "%.40s", api_text(m, "state"));
    table_add(t, text);
    add_ratio(t, api_number(m, "running"), api_number(m, "slots"));
    snprintf(text, sizeof text, "%llu", (unsigned long long)api_number(m, "queued"));
    table_add(t, text);
    snprintf(text, sizeof text, "%.0f%%", 100 * json_number_value(json_object_get(m, "kv_usage")));
    table_add(t, text);
    format_rate(rate(now, before, "drover_model_generated_tokens_total", series), text);
    table_add(t, text);
    format_metric(now, "drover_model_resident_bytes", series, text);
    table_add(t, text);
    if (expires_ns != INT64_MIN)
        format_when(expires_ns, clock_wall_ns(), until);
    table_add(t, until);
}

static void print_models(FILE *out, const struct top_sample *now, const struct top_sample *before)
{
    static const char *const headers[] = {"MODEL", "STATE",    "SLOTS",  "QUEUED",
                                          "KV",    "TOKENS/S", "MEMORY", "UNTIL"};
    struct table t;
    size_t i;
    json_t *m;
    table_init(&t, COUNT_OF(headers));
    for (i = 0; i < COUNT_OF(headers); i++)
        table_add(&t, headers[i]);
    json_array_foreach(json_object_get(now->models, "models"), i, m)
    {
        add_model(&t, m, now, before);
    }
    table_print(&t, "", out);
    table_fini(&t);
}

static void print_queue(FILE *out, const struct top_sample *now)
{
    struct table t;
    table_init(&t, QUEUE_COLUMNS);
    queue_add_headers(&t);
    queue_add_rows(&t, json_object_get(now->queue, "requests"));
    fputc('\n', out);
    table_print(&t, "", out);
    table_fini(&t);
}

static void add_seconds(struct table *t, const json_t *r, const char *key, const char *more)
{
    char text[FORMAT_BYTES] = "-";
    const json_t *value = json_object_get(r, key), *other = more ? json_object_get(r, more) : NULL;
    if (json_is_number(value))
        snprintf(text, sizeof text, "%.1f s", json_number_value(value) + json_number_value(other));
    table_add(t, text);
}

static void print_recent(FILE *out, const struct top_sample *now)
{
    static const char *const headers[] = {"ENDED", "OUTCOME", "MODEL", "WAITED", "FIRST", "TOTAL", "TOKENS"};
    struct table t;
    size_t i;
    json_t *r;
    table_init(&t, COUNT_OF(headers));
    for (i = 0; i < COUNT_OF(headers); i++)
        table_add(&t, headers[i]);
    json_array_foreach(json_object_get(now->recent, "requests"), i, r)
    {
        char n[FORMAT_BYTES];
        table_add(&t, api_text(r, "id"));
        table_add(&t, api_text(r, "outcome"));
        table_add(&t, api_text(r, "model"));
        add_seconds(&t, r, "queue_seconds", "load_seconds");
        add_seconds(&t, r, "first_token_seconds", NULL);
        add_seconds(&t, r, "total_seconds", NULL);
        snprintf(n, sizeof n, "%llu", (unsigned long long)api_number(r, "generated_tokens"));
        table_add(&t, n);
    }
    fputc('\n', out);
    table_print(&t, "", out);
    table_fini(&t);
}

// As much of the line as fits.
static void print_cut(FILE *out, struct slice line, size_t columns)
{
    size_t used = 0;
    for (size_t i = 0, n; i < line.n; i += n) {
        uint32_t c;
        n = utf8_decode(line.at + i, line.n - i, &c);
        bool is_plain = c >= 0x20 && c != UTF8_INVALID && (c < 0x7F || c >= 0xA0);
        struct slice shown = is_plain ? slice_make(line.at + i, n) : slice_of("?");
        used += wrap_width(shown);
        if (columns > 0 && used > columns)
            return;
        fwrite(shown.at, 1, shown.n, out);
    }
}

void top_frame_print(FILE *out, const struct top_sample *now, const struct top_sample *before,
                     struct top_size size, const char *line_end)
{
    char *text = NULL;
    size_t n = 0;
    FILE *memory = open_memstream(&text, &n);
    if (memory == NULL)
        return;
    print_server(memory, now, before);
    print_models(memory, now, before);
    print_queue(memory, now);
    print_recent(memory, now);
    fclose(memory);
    const char *line = text;
    for (size_t row = 0; *line && (size.rows == 0 || row < size.rows); row++) {
        size_t length = strcspn(line, "\n");
        print_cut(out, slice_make(line, length), size.columns);
        fputs(line_end, out);
        line += length + (line[length] == '\n');
    }
    free(text);
}
