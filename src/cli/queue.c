// SPDX-License-Identifier: MIT
// `drover queue`, `drover why` and `drover cancel`: the server's own record of its requests.
#include "cli/cli.h"

#include <ctype.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cli/api.h"
#include "cli/format.h"
#include "cli/queue.h"
#include "cli/table.h"
#include "cli/wrap.h"

enum { PATH_BYTES = 1024 };

const struct args_flag cli_queue_flags[] = {
    {"json", 0, ARGS_SWITCH, NULL, "print the server's answer as JSON"}, {NULL}};

static void add_seconds(struct table *t, const json_t *object, const char *key)
{
    char text[FORMAT_BYTES] = "-";
    const json_t *value = json_object_get(object, key);
    if (json_is_number(value))
        snprintf(text, sizeof text, "%.1f s", json_number_value(value));
    table_add(t, text);
}

static void add_number(struct table *t, const json_t *object, const char *key)
{
    char text[FORMAT_BYTES] = "-";
    if (json_is_integer(json_object_get(object, key)))
        snprintf(text, sizeof text, "%llu", (unsigned long long)api_number(object, key));
    table_add(t, text);
}

void queue_add_rows(struct table *t, const json_t *requests)
{
    size_t i;
    json_t *r;
    json_array_foreach(requests, i, r)
    {
        table_add(t, api_text(r, "id"));
        table_add(t, api_text(r, "state"));
        add_number(t, r, "position");
        table_add(t, api_text(r, "model"));
        table_add(t, api_text(r, "client"));
        add_seconds(t, r, "age_seconds");
        add_number(t, r, "generated_tokens");
    }
}

void queue_add_headers(struct table *t)
{
    static const char *const headers[QUEUE_COLUMNS] = {"ID",     "STATE", "POSITION", "MODEL",
                                                       "CLIENT", "AGE",   "TOKENS"};
    for (size_t i = 0; i < QUEUE_COLUMNS; i++)
        table_add(t, headers[i]);
}

int cli_queue(const struct args *a)
{
    struct err err = {0};
    json_t *answer = NULL;
    struct table t;
    if (api_call("/api/queue", slice_of(NULL), &answer, &err) != 0)
        return api_fail(&err);
    if (args_has(a, "json")) {
        api_print_json(answer);
    } else {
        table_init(&t, QUEUE_COLUMNS);
        queue_add_headers(&t);
        queue_add_rows(&t, json_object_get(answer, "requests"));
        table_print(&t, "", stdout);
        table_fini(&t);
    }
    json_decref(answer);
    return 0;
}

// Whatever is no plain character of a path is written as %XX.
static int make_path(const char *id, char out[PATH_BYTES], struct err *err)
{
    size_t n = (size_t)snprintf(out, PATH_BYTES, "/api/requests/");
    for (const char *p = id; *p; p++) {
        if (n + 4 > PATH_BYTES)
            return err_set(err, ERR_INVALID, "the id is too long");
        if (isalnum((unsigned char)*p) || strchr("-_.:/=@", *p))
            out[n++] = *p;
        else
            n += (size_t)snprintf(out + n, PATH_BYTES - n, "%%%02X", (unsigned char)*p);
    }
    out[n] = 0;
    return 0;
}

static void print_line(const char *before, const char *text)
{
    fputs(before, stdout);
    wrap_print(stdout, slice_of(text));
    fputc('\n', stdout);
}

static void print_reasons(const json_t *r)
{
    struct strbuf head = STRBUF_INIT(4096);
    size_t i;
    json_t *reason;
    strbuf_printf(&head, "%s: %s of %s from %s, %s", api_text(r, "id"), api_text(r, "route"),
                  api_text(r, "model"), api_text(r, "client"), api_text(r, "state"));
    print_line("", strbuf_text(&head));
    strbuf_fini(&head);
    json_array_foreach(json_object_get(r, "reasons"), i, reason)
    {
        print_line("  ", json_string_value(reason) ?: "");
    }
}

int cli_why(const struct args *a)
{
    struct err err = {0};
    char path[PATH_BYTES];
    json_t *answer = NULL;
    if (make_path(a->operands[0], path, &err) != 0 || api_call(path, slice_of(NULL), &answer, &err) != 0)
        return api_fail(&err);
    if (args_has(a, "json"))
        api_print_json(answer);
    else
        print_reasons(answer);
    json_decref(answer);
    return 0;
}

int cli_cancel(const struct args *a)
{
    struct err err = {0};
    char path[PATH_BYTES];
    if (make_path(a->operands[0], path, &err) != 0 || api_send("DELETE", path, slice_of(NULL), &err) != 0)
        return api_fail(&err);
    return 0;
}
