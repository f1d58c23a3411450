// SPDX-License-Identifier: MIT
// Building tools, calls and results as the templates see them. The order of members counts: some templates
// print them.
#include "server/tools.h"

#include <string.h>

static json_t *text_value(struct slice text)
{
    return json_stringn_nocheck(text.n ? text.at : "", text.n);
}

void tools_add(struct ask *a, struct fields *f, const struct tool *t)
{
    json_t *function = json_object(), *tool = json_object();
    if (t->name.n == 0)
        err_set(fields_fail(f), ERR_INVALID, "a tool has no name");
    if (t->parameters && !json_is_object(t->parameters))
        err_set(fields_fail(f), ERR_INVALID, "the parameters of tool \"%.*s\" must be an object",
                (int)(t->name.n < 64 ? t->name.n : 64), t->name.at);
    json_object_set_new(function, "name", text_value(t->name));
    if (t->description.n > 0)
        json_object_set_new(function, "description", text_value(t->description));
    if (t->parameters)
        json_object_set(function, "parameters", (json_t *)t->parameters);
    json_object_set_new(tool, "type", json_string("function"));
    json_object_set_new(tool, "function", function);
    if (!a->tools)
        a->tools = json_array();
    json_array_append_new(a->tools, tool);
}

static bool has_tool(const json_t *tools, struct slice name)
{
    for (size_t i = 0; i < json_array_size(tools); i++) {
        const json_t *function = json_object_get(json_array_get(tools, i), "function");
        if (slice_equals(json_slice(json_object_get(function, "name")), name))
            return true;
    }
    return false;
}

void tools_settle(struct ask *a, struct fields *f)
{
    if (a->tool_choice == TOOL_CHOICE_REQUIRED && json_array_size(a->tools) == 0)
        err_set(fields_fail(f), ERR_INVALID, "tool_choice: there are no tools to choose from");
    else if (a->tool_choice == TOOL_CHOICE_REQUIRED && a->tool_name.n > 0 &&
             !has_tool(a->tools, a->tool_name))
        err_set(fields_fail(f), ERR_INVALID, "tool_choice: no tool is named \"%.*s\"",
                (int)(a->tool_name.n < 64 ? a->tool_name.n : 64), a->tool_name.at);
    if (a->tool_choice == TOOL_CHOICE_NONE || json_array_size(a->tools) == 0) {
        json_decref(a->tools);
        a->tools = NULL;
    }
    a->needs |= a->tools ? NEED_TOOLS : 0;
}

void tools_add_call(json_t *message, struct slice id, struct slice name, json_t *arguments)
{
    json_t *calls = json_object_get(message, "tool_calls"), *function = json_object(), *call = json_object();
    if (!calls) {
        calls = json_array();
        json_object_set_new(message, "tool_calls", calls);
    }
    json_object_set_new(function, "index", json_integer((json_int_t)json_array_size(calls)));
    json_object_set_new(function, "name", text_value(name));
    json_object_set_new(function, "arguments", arguments ? arguments : json_object());
    if (id.n > 0)
        json_object_set_new(call, "id", text_value(id));
    json_object_set_new(call, "function", function);
    json_array_append_new(calls, call);
}

json_t *tools_parse_arguments(struct slice text, struct fields *f)
{
    struct err ignored = {0};
    json_t *value = json_parse(text, &ignored);
    if (json_is_object(value))
        return value;
    json_decref(value);
    err_set(fields_fail(f), ERR_INVALID, "invalid tool call arguments");
    return NULL;
}

// Of the last call with that id; "" if there is none.
static struct slice find_name(const json_t *messages, struct slice call_id)
{
    for (size_t i = json_array_size(messages); i > 0; i--) {
        const json_t *calls = json_object_get(json_array_get(messages, i - 1), "tool_calls");
        for (size_t k = json_array_size(calls); k > 0; k--) {
            const json_t *call = json_array_get(calls, k - 1);
            if (slice_equals(json_slice(json_object_get(call, "id")), call_id))
                return json_slice(json_object_get(json_object_get(call, "function"), "name"));
        }
    }
    return slice_of("");
}

void tools_push_result(json_t *messages, struct slice call_id, struct slice name, struct slice content)
{
    struct slice known = name.n > 0 ? name : find_name(messages, call_id);
    json_t *message = ask_push_message(messages, slice_of("tool"), content);
    if (known.n > 0)
        json_object_set_new(message, "tool_name", text_value(known));
    if (call_id.n > 0)
        json_object_set_new(message, "tool_call_id", text_value(call_id));
}

void tools_set_thinking(json_t *message, struct slice text)
{
    if (text.n > 0)
        json_object_set_new(message, "thinking", text_value(text));
}
