// SPDX-License-Identifier: MIT
// The shared part of reading a body: members that mean the same in several dialects. Everything a client
// sends is either honoured, known to mean nothing here, or refused by name.
#include "server/ask.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/options.h"
#include "server/knobs.h"
#include "server/tools.h"
#include "text/constraint.h"

void ask_fini(struct ask *a)
{
    json_decref(a->body);
    json_decref(a->messages);
    json_decref(a->tools);
    json_decref(a->options);
    json_decref(a->context);
    json_decref(a->format);
    json_decref(a->inputs);
    json_decref(a->biases);
    free(a->model);
    memset(a, 0, sizeof *a);
}

void ask_read_model(struct ask *a, struct fields *f)
{
    struct slice text = slice_of("");
    fields_text(f, "model", &text);
    if (text.n && memchr(text.at, 0, text.n))
        err_set(fields_fail(f), ERR_INVALID, "invalid model name");
    free(a->model);
    a->model = xstrndup(text.n ? text.at : "", text.n);
}

void ask_read_stream(struct ask *a, struct fields *f, bool by_default)
{
    a->stream = by_default;
    fields_bool(f, "stream", &a->stream);
}

// As many names as there is room for, each once.
void ask_note(struct ask *a, const char *prefix, const char *name)
{
    char text[96];
    size_t n = strlen(a->unread);
    snprintf(text, sizeof text, "%s%.40s", prefix, name);
    for (char *c = text; *c; c++)
        if (*c <= ' ' || *c > '~' || *c == ',')
            *c = '?';
    if (text[0] == 0) // a member may have an empty name
        return;
    for (const char *at = a->unread; (at = strstr(at, text)) != NULL; at++)
        if ((at == a->unread || at[-1] == ' ') && strchr(",", at[strlen(text)]))
            return;
    if (n + strlen(text) + 3 < sizeof a->unread)
        snprintf(a->unread + n, sizeof a->unread - n, "%s%s", n ? ", " : "", text);
}

void ask_note_unread(struct ask *a, const struct fields *f, const char *prefix)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)f->object, key, value) if (!json_is_null(value) && !fields_is_read(f, key))
        ask_note(a, prefix, key);
}

static void note_options(struct ask *a)
{
    const char *key;
    json_t *value;
    json_object_foreach(a->options, key, value) if (!json_is_null(value) && !knobs_is_honoured(key))
        ask_note(a, "options.", key);
}

void ask_read_options(struct ask *a, struct fields *f)
{
    const json_t *options = fields_object(f, "options", "map[string]interface {}");
    if (!options)
        return;
    a->options = json_incref((json_t *)options);
    note_options(a);
}

bool ask_read_ids(struct ask *a, struct fields *f, const char *name)
{
    const json_t *list = fields_array(f, name, "[]int");
    for (size_t i = 0; list && i < json_array_size(list); i++) {
        const json_t *id = json_array_get(list, i);
        if (!json_is_integer(id)) {
            fields_refuse_type(f, name, id, "int");
            return false;
        }
        if (json_integer_value(id) < 0 || json_integer_value(id) > INT32_MAX) {
            err_set(fields_fail(f), ERR_INVALID, "%s: %lld is no token id", name,
                    (long long)json_integer_value(id));
            return false;
        }
    }
    if (list && json_array_size(list) > 0)
        a->context = json_incref((json_t *)list);
    return list != NULL;
}

static const char *go_type_word(const json_t *v)
{
    return json_is_object(v) ? "map[string]interface {}" : json_is_array(v) ? "[]interface {}" : "bool";
}

void ask_read_keep_alive(struct ask *a, struct fields *f)
{
    const json_t *v = fields_find(f, "keep_alive");
    if (!v)
        return;
    a->has_keep_alive = true;
    if (json_is_string(v)) {
        if (strlen(json_string_value(v)) != json_string_length(v))
            err_set(fields_fail(f), ERR_INVALID, "time: invalid duration");
        else if (duration_parse(json_string_value(v), &a->keep_alive_ns, f->err) != 0)
            f->failed = true;
    } else if (json_is_number(v)) {
        double seconds = json_number_value(v);
        a->keep_alive_ns = seconds < 0 ? -1 : seconds >= 9e9 ? INT64_MAX : (int64_t)(seconds * 1e9);
    } else {
        err_set(fields_fail(f), ERR_INVALID, "Unsupported type: '%s'", go_type_word(v));
    }
}

void ask_set_format(struct ask *a, struct fields *f, const char *name, const json_t *format)
{
    char *text = json_dumps(format, JSON_COMPACT | JSON_ENCODE_ANY);
    struct constraint *c;
    struct err why = {0};
    json_decref(a->format);
    a->format = json_incref((json_t *)format);
    if (constraint_new(&c, &(struct constraint_spec){.format = slice_of(text)}, &why) != 0)
        err_set(fields_fail(f), ERR_INVALID, "invalid %s: %s", name, why.message);
    constraint_free(c);
    free(text);
}

static void read_format(struct ask *a, struct fields *f)
{
    const json_t *v = fields_find(f, "format");
    if (!v || (json_is_string(v) && json_string_length(v) == 0))
        return;
    if (json_is_object(v) || (json_is_string(v) && strcmp(json_string_value(v), "json") == 0)) {
        ask_set_format(a, f, "format", v);
        return;
    }
    char *text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
    f->failed = true;
    err_set(f->err, ERR_INTERNAL,
            "invalid format: \"%.200s\"; expected \"json\" or a valid JSON Schema object",
            json_is_string(v) ? json_string_value(v)
            : text            ? text
                              : "");
    free(text);
}

static void read_think(struct ask *a, struct fields *f)
{
    static const char *const levels[] = {"high", "medium", "low", "max"};
    const json_t *v = fields_find(f, "think");
    a->think = !v ? THINK_UNSET : json_is_false(v) ? THINK_OFF : THINK_ON;
    if (a->think != THINK_ON)
        return;
    bool is_level = json_is_true(v);
    for (size_t i = 0; i < COUNT_OF(levels) && json_is_string(v); i++)
        is_level |= strcmp(json_string_value(v), levels[i]) == 0;
    if (is_level)
        a->needs |= NEED_THINKING;
    if (is_level && json_is_string(v))
        snprintf(a->think_level, sizeof a->think_level, "%s", json_string_value(v));
    if (is_level)
        return;
    if (json_is_string(v))
        err_set(fields_fail(f), ERR_INVALID,
                "invalid think value: \"%.100s\" (must be \"high\", \"medium\", \"low\", \"max\", "
                "true, or false)",
                json_string_value(v));
    else
        err_set(fields_fail(f), ERR_INVALID,
                "think must be a boolean or string (\"high\", \"medium\", \"low\", \"max\", true, or false)");
}

void ask_read_ollama(struct ask *a, struct fields *f)
{
    bool flag = false, truncate = false;
    int64_t top = 0;
    ask_read_stream(a, f, true);
    ask_read_keep_alive(a, f);
    read_format(a, f);
    read_think(a, f);
    ask_read_options(a, f);
    if (fields_bool(f, "truncate", &truncate))
        a->truncate = truncate ? (a->is_chat ? TRUNCATE_OLD_TURNS : TRUNCATE_HEAD) : TRUNCATE_REFUSE;
    else
        a->truncate = a->is_chat ? TRUNCATE_OLD_TURNS : TRUNCATE_REFUSE;
    if (fields_bool(f, "shift", &flag) && flag) // the answer ends with "length" at the end of the context
        ask_note(a, "", "shift");
    flag = false;
    if (fields_bool(f, "_debug_render_only", &flag) && flag) {
        a->task = TASK_RENDER;
        a->stream = false;
    }
    fields_bool(f, "logprobs", &a->logprobs);
    fields_int(f, "top_logprobs", &top);
    if (!f->failed && (top < 0 || top > PARAMS_MAX_TOP_LOGPROBS))
        err_set(fields_fail(f), ERR_INVALID, "top_logprobs must be between 0 and 20");
    a->top_logprobs = (int32_t)top;
}

json_t *ask_push_message(json_t *messages, struct slice role, struct slice content)
{
    char *lower = xstrndup(role.n ? role.at : "", role.n);
    json_t *message = json_object();
    for (size_t i = 0; i < role.n; i++)
        lower[i] = (char)tolower((unsigned char)lower[i]);
    json_object_set_new(message, "role", json_stringn_nocheck(lower, role.n));
    json_object_set_new(message, "content", json_stringn_nocheck(content.n ? content.at : "", content.n));
    json_array_append_new(messages, message);
    free(lower);
    return message;
}

// Members that some templates know, kept as they are.
static void keep_text(json_t *message, struct fields *m, const char *name)
{
    struct slice text = slice_of("");
    if (fields_text(m, name, &text) && text.n > 0)
        json_object_set_new_nocheck(message, name, json_stringn_nocheck(text.at, text.n));
}

// In the neutral form; what else a call says counts for nothing.
static void keep_tool_calls(json_t *message, struct fields *m)
{
    const json_t *calls = fields_array(m, "tool_calls", "[]api.ToolCall");
    size_t i;
    json_t *call;
    json_array_foreach((json_t *)calls, i, call)
    {
        const json_t *function = json_object_get(call, "function");
        json_t *arguments = json_object_get(function, "arguments");
        if (!json_is_object(call) || (function && !json_is_object(function)))
            fields_refuse_type(m, "tool_calls", json_is_object(call) ? function : call, "api.ToolCall");
        else if (arguments && !json_is_object(arguments) && !json_is_null(arguments))
            fields_refuse_type(m, "tool_calls", arguments, "api.ToolCallFunctionArguments");
        else
            tools_add_call(message, json_slice(json_object_get(call, "id")),
                           json_slice(json_object_get(function, "name")),
                           json_is_object(arguments) ? json_incref(arguments) : NULL);
    }
}

static void read_message(struct ask *a, struct fields *f, const json_t *value)
{
    struct slice role = slice_of(""), content = slice_of("");
    if (!json_is_object(value)) {
        fields_refuse_type(f, "messages", value, "api.Message");
        return;
    }
    struct fields m = fields_open(value, "ChatRequest.messages", f->err);
    fields_text(&m, "role", &role);
    fields_text(&m, "content", &content);
    json_t *message = ask_push_message(a->messages, role, content);
    keep_text(message, &m, "thinking");
    keep_text(message, &m, "tool_name");
    keep_text(message, &m, "tool_call_id");
    keep_tool_calls(message, &m);
    if (!fields_is_empty(fields_array(&m, "images", "[]api.ImageData")))
        a->needs |= NEED_VISION;
    ask_note_unread(a, &m, "messages.");
    f->failed |= m.failed;
}

json_t *ask_convert_messages(const json_t *list, bool *has_images, struct err *err)
{
    struct ask a = {.messages = json_array()};
    struct fields f = fields_open(NULL, "ChatRequest", err);
    for (size_t i = 0; i < json_array_size(list) && !f.failed; i++)
        read_message(&a, &f, json_array_get(list, i));
    *has_images = a.needs & NEED_VISION;
    json_t *messages = f.failed ? NULL : json_incref(a.messages);
    ask_fini(&a);
    return messages;
}

void ask_read_messages(struct ask *a, struct fields *f)
{
    const json_t *list = fields_array(f, "messages", "[]api.Message");
    a->is_chat = true;
    a->messages = json_array();
    for (size_t i = 0; list && i < json_array_size(list) && !f->failed; i++)
        read_message(a, f, json_array_get(list, i));
    a->is_empty = json_array_size(a->messages) == 0;
}
