// SPDX-License-Identifier: MIT
#include "text/conversation.h"

#include <stdlib.h>

static void copy_member(json_t *to, const char *to_key, const json_t *from, const char *key)
{
    json_t *value = json_object_get(from, key);
    if (value != NULL)
        json_object_set(to, to_key, value);
}

static json_t *arguments_of(const json_t *function, bool as_text)
{
    json_t *arguments = json_object_get(function, "arguments");
    if (!as_text)
        return arguments != NULL ? json_incref(arguments) : json_object();
    char *text = arguments != NULL ? json_dumps(arguments, JSON_ENCODE_ANY) : NULL;
    json_t *value = json_string(text != NULL ? text : "{}");
    free(text);
    return value;
}

static json_t *calls_of(const json_t *calls, bool as_texts)
{
    json_t *out = json_array(), *call;
    size_t i;
    json_array_foreach((json_t *)calls, i, call)
    {
        json_t *to = json_object(), *function = json_object();
        const json_t *from = json_object_get(call, "function");
        json_object_set_new(to, "type", json_string("function"));
        if (json_string_length(json_object_get(call, "id")) > 0)
            copy_member(to, "id", call, "id");
        copy_member(function, "name", from, "name");
        json_object_set_new(function, "arguments", arguments_of(from, as_texts));
        json_object_set_new(to, "function", function);
        json_array_append_new(out, to);
    }
    return out;
}

static json_t *message_of(const json_t *message, bool as_texts)
{
    const json_t *calls = json_object_get(message, "tool_calls");
    json_t *to = json_copy((json_t *)message);
    json_object_del(to, "thinking");
    json_object_del(to, "tool_name");
    copy_member(to, "reasoning_content", message, "thinking");
    copy_member(to, "name", message, "tool_name");
    if (json_array_size(calls) > 0)
        json_object_set_new(to, "tool_calls", calls_of(calls, as_texts));
    else
        json_object_del(to, "tool_calls");
    return to;
}

json_t *conversation_messages(const json_t *messages, bool as_texts)
{
    json_t *out = json_array(), *message;
    size_t i;
    json_array_foreach((json_t *)messages, i, message)
        json_array_append_new(out, message_of(message, as_texts));
    return out;
}

json_t *conversation_tools(const json_t *tools)
{
    json_t *out = json_array(), *tool;
    size_t i;
    if (json_array_size(tools) == 0) {
        json_decref(out);
        return NULL;
    }
    json_array_foreach((json_t *)tools, i, tool)
    {
        json_t *to = json_object(), *function = json_object();
        const json_t *from = json_object_get(tool, "function");
        json_object_set_new(to, "type", json_string("function"));
        copy_member(function, "name", from, "name");
        copy_member(function, "description", from, "description");
        copy_member(function, "parameters", from, "parameters");
        json_object_set_new(to, "function", function);
        json_array_append_new(out, to);
    }
    return out;
}

bool conversation_has_calls(const json_t *messages)
{
    size_t i;
    json_t *message;
    json_array_foreach((json_t *)messages, i,
                       message) if (json_array_size(json_object_get(message, "tool_calls")) > 0) return true;
    return false;
}
