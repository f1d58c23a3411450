// SPDX-License-Identifier: MIT
// `drover list` and `drover ps`: one GET each, one table.
#include "cli/cli.h"

#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "cli/api.h"
#include "cli/format.h"
#include "cli/table.h"
#include "json/writer.h"

const struct args_flag cli_list_flags[] = {
    {"json", 0, ARGS_SWITCH, NULL, "print the server's answer as JSON"}, {NULL}};

const struct args_flag cli_ps_flags[] = {
    {"json", 0, ARGS_SWITCH, NULL, "print the server's answer as JSON"},
    {"wide", 'w', ARGS_SWITCH, NULL, "also state, slots, queue and KV pool of each"},
    {NULL}};

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

static uint64_t number_of(const json_t *object, const char *key)
{
    json_int_t value = json_integer_value(json_object_get(object, key));
    return value > 0 ? (uint64_t)value : 0;
}

static void print_json(const json_t *value)
{
    struct strbuf text = STRBUF_INIT(64 << 20);
    struct json_writer w = json_writer_make(&text);
    json_put_value(&w, value);
    puts(strbuf_text(&text));
    strbuf_fini(&text);
}

static void add_id(struct table *t, const json_t *model)
{
    char id[13];
    snprintf(id, sizeof id, "%.12s", text_of(model, "digest"));
    table_add(t, id);
}

static void add_size(struct table *t, const json_t *model)
{
    char text[FORMAT_BYTES];
    format_size(number_of(model, "size"), text);
    table_add(t, text);
}

static void add_installed(struct table *t, const json_t *model)
{
    char when[FORMAT_BYTES] = "Never";
    int64_t modified = format_parse_time(text_of(model, "modified_at"));
    if (modified != INT64_MIN)
        format_when(modified, clock_wall_ns(), when);
    table_add(t, text_of(model, "name"));
    add_id(t, model);
    add_size(t, model);
    table_add(t, when);
}

static void add_running(struct table *t, const json_t *model)
{
    char where[FORMAT_BYTES], context[FORMAT_BYTES], until[FORMAT_BYTES] = "Never";
    uint64_t size = number_of(model, "size"), on_gpu = number_of(model, "size_vram");
    int64_t now = clock_wall_ns(), expires = format_parse_time(text_of(model, "expires_at"));
    unsigned gpu_percent = size > 0 ? (unsigned)((double)on_gpu * 100 / (double)size + 0.5) : 0;
    if (on_gpu == 0 || size == 0)
        snprintf(where, sizeof where, "100%% CPU");
    else if (on_gpu >= size)
        snprintf(where, sizeof where, "100%% GPU");
    else
        snprintf(where, sizeof where, "%u%%/%u%% CPU/GPU", 100 - gpu_percent, gpu_percent);
    snprintf(context, sizeof context, "%llu", (unsigned long long)number_of(model, "context_length"));
    if (expires != INT64_MIN && expires <= now)
        snprintf(until, sizeof until, "Stopping...");
    else if (expires != INT64_MIN)
        format_when(expires, now, until);
    table_add(t, text_of(model, "name"));
    add_id(t, model);
    add_size(t, model);
    table_add(t, where);
    table_add(t, context);
    table_add(t, until);
}

// Beside Ollama's columns: what the model is doing.
static void add_running_wide(struct table *t, const json_t *model)
{
    char text[FORMAT_BYTES];
    uint64_t total = number_of(model, "kv_tokens_total");
    add_running(t, model);
    table_add(t, text_of(model, "state"));
    snprintf(text, sizeof text, "%llu/%llu", (unsigned long long)number_of(model, "running"),
             (unsigned long long)number_of(model, "slots"));
    table_add(t, text);
    snprintf(text, sizeof text, "%llu", (unsigned long long)number_of(model, "queued"));
    table_add(t, text);
    if (total > 0)
        snprintf(text, sizeof text, "%.0f%%",
                 100.0 * (double)number_of(model, "kv_tokens_used") / (double)total);
    else
        snprintf(text, sizeof text, "-");
    table_add(t, text);
}

// What the server could not give a model in full, and why.
static void print_notes(const json_t *models)
{
    size_t i;
    json_t *model;
    json_array_foreach(models, i, model)
    {
        const char *note = text_of(model, "reduced");
        if (note[0] != 0)
            fprintf(stderr, "%s: %s\n", text_of(model, "name"), note);
    }
}

static int print_models(const struct args *a, const char *path, const char *const *headers, size_t n_headers,
                        void (*add)(struct table *, const json_t *))
{
    struct err err = {0};
    json_t *answer = NULL, *model;
    struct table t;
    size_t i;
    const char *prefix = a->n_operands > 0 ? a->operands[0] : "";
    if (api_call(path, slice_of(NULL), &answer, &err) != 0)
        return api_fail(&err);
    if (args_has(a, "json")) {
        print_json(answer);
        json_decref(answer);
        return 0;
    }
    table_init(&t, n_headers);
    for (i = 0; i < n_headers; i++)
        table_add(&t, headers[i]);
    json_array_foreach(json_object_get(answer, "models"), i, model)
    {
        if (strncasecmp(text_of(model, "name"), prefix, strlen(prefix)) == 0)
            add(&t, model);
    }
    table_print(&t, "", stdout);
    print_notes(json_object_get(answer, "models"));
    table_fini(&t);
    json_decref(answer);
    return 0;
}

int cli_list(const struct args *a)
{
    static const char *const headers[] = {"NAME", "ID", "SIZE", "MODIFIED"};
    return print_models(a, "/api/tags", headers, 4, add_installed);
}

int cli_ps(const struct args *a)
{
    static const char *const headers[] = {"NAME",  "ID",    "SIZE",  "PROCESSOR", "CONTEXT",
                                          "UNTIL", "STATE", "SLOTS", "QUEUED",    "KV"};
    bool is_wide = args_has(a, "wide");
    return print_models(a, "/api/ps", headers, is_wide ? 10 : 6, is_wide ? add_running_wide : add_running);
}
