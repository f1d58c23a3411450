// SPDX-License-Identifier: MIT
// `drover list` and `drover ps`: one GET each, one table.
#include "cli/cli.h"

#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "cli/api.h"
#include "cli/format.h"
#include "cli/table.h"

const struct args_flag cli_list_flags[] = {
    {"json", 0, ARGS_SWITCH, NULL, "print the server's answer as JSON"}, {NULL}};

const struct args_flag cli_ps_flags[] = {
    {"json", 0, ARGS_SWITCH, NULL, "print the server's answer as JSON"},
    {"wide", 'w', ARGS_SWITCH, NULL, "also state, slots, queue and KV pool of each"},
    {NULL}};

static void add_id(struct table *t, const json_t *model)
{
    char id[13];
    snprintf(id, sizeof id, "%.12s", api_text(model, "digest"));
    table_add(t, id);
}

static void add_size(struct table *t, const json_t *model)
{
    char text[FORMAT_BYTES];
    format_size(api_number(model, "size"), text);
    table_add(t, text);
}

static void add_installed(struct table *t, const json_t *model)
{
    char when[FORMAT_BYTES] = "Never";
    int64_t modified = format_parse_time(api_text(model, "modified_at"));
    if (modified != INT64_MIN)
        format_when(modified, clock_wall_ns(), when);
    table_add(t, api_text(model, "name"));
    add_id(t, model);
    add_size(t, model);
    table_add(t, when);
}

static void add_running(struct table *t, const json_t *model)
{
    char where[FORMAT_BYTES], context[FORMAT_BYTES], until[FORMAT_BYTES] = "Never";
    uint64_t size = api_number(model, "size"), on_gpu = api_number(model, "size_vram");
    int64_t now = clock_wall_ns(), expires = format_parse_time(api_text(model, "expires_at"));
    unsigned gpu_percent = size > 0 ? (unsigned)((double)on_gpu * 100 / (double)size + 0.5) : 0;
    if (on_gpu == 0 || size == 0)
        snprintf(where, sizeof where, "100%% CPU");
    else if (on_gpu >= size)
        snprintf(where, sizeof where, "100%% GPU");
    else
        snprintf(where, sizeof where, "%u%%/%u%% CPU/GPU", 100 - gpu_percent, gpu_percent);
    snprintf(context, sizeof context, "%llu", (unsigned long long)api_number(model, "context_length"));
    if (expires != INT64_MIN && expires <= now)
        snprintf(until, sizeof until, "Stopping...");
    else if (expires != INT64_MIN)
        format_when(expires, now, until);
    table_add(t, api_text(model, "name"));
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
    uint64_t total = api_number(model, "kv_tokens_total");
    add_running(t, model);
    table_add(t, api_text(model, "state"));
    snprintf(text, sizeof text, "%llu/%llu", (unsigned long long)api_number(model, "running"),
             (unsigned long long)api_number(model, "slots"));
    table_add(t, text);
    snprintf(text, sizeof text, "%llu", (unsigned long long)api_number(model, "queued"));
    table_add(t, text);
    if (total > 0)
        snprintf(text, sizeof text, "%.0f%%",
                 100.0 * (double)api_number(model, "kv_tokens_used") / (double)total);
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
        const char *note = api_text(model, "reduced");
        if (note[0] != 0)
            fprintf(stderr, "%s: %s\n", api_text(model, "name"), note);
    }
}

static bool has_prefix(const json_t *model, const char *prefix)
{
    return strncasecmp(api_text(model, "name"), prefix, strlen(prefix)) == 0;
}

static void keep_matching(json_t *models, const char *prefix)
{
    for (size_t i = json_array_size(models); i > 0; i--)
        if (!has_prefix(json_array_get(models, i - 1), prefix))
            json_array_remove(models, i - 1);
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
    keep_matching(json_object_get(answer, "models"), prefix);
    if (args_has(a, "json")) {
        api_print_json(answer);
        json_decref(answer);
        return 0;
    }
    table_init(&t, n_headers);
    for (i = 0; i < n_headers; i++)
        table_add(&t, headers[i]);
    json_array_foreach(json_object_get(answer, "models"), i, model)
    {
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
