// SPDX-License-Identifier: MIT
// Messages and tools of POST /v1/chat/completions in the neutral form: contents in parts become one text, the
// arguments of calls, which OpenAI writes as text, become objects, and a tool's answer gets the name of what
// was called.
#include "base/mem.h"
#include "server/openai.h"
#include "server/tools.h"

enum { MAX_CONTENT_BYTES = 32 << 20 };

// ---- Messages ----
static void read_part(struct fields *f, const json_t *part, struct strbuf *text)
{
    struct slice type = json_slice(json_object_get(part, "type"));
    const json_t *value = json_object_get(part, "text");
    if (!slice_is(type, "text")) {
        err_set(fields_fail(f), ERR_INVALID, "drover does not support content of type \"%.*s\" yet",
                (int)MIN(type.n, 64), type.n ? type.at : "");
        return;
    }
    if (!json_is_string(value))
        err_set(fields_fail(f), ERR_INVALID,
                "invalid message content: a part of type \"text\" has no \"text\"");
    if (text->n > 0)
        strbuf_push_char(text, '\n');
    strbuf_push_slice(text, json_slice(value));
}

static void read_content(struct fields *f, bool may_be_absent, struct strbuf *text)
{
    const json_t *content = fields_find(f, "content");
    if (json_is_string(content))
        strbuf_push_slice(text, json_slice(content));
    else if (json_is_array(content))
        for (size_t i = 0; i < json_array_size(content) && !f->failed; i++)
            read_part(f, json_array_get(content, i), text);
    else if (content || !may_be_absent)
        err_set(fields_fail(f), ERR_INVALID, "invalid message content type: %s",
                content ? fields_kind(content) : "null");
}

static void read_call(struct ask *a, struct fields *f, const json_t *value, json_t *message)
{
    struct slice type = slice_of("function"), id = slice_of(""), name = slice_of(""), text = slice_of("");
    struct fields c = fields_open(value, "ChatCompletionRequest.messages.tool_calls", f->err);
    fields_text(&c, "type", &type);
    fields_text(&c, "id", &id);
    if (!slice_is(type, "function"))
        err_set(fields_fail(&c), ERR_INVALID, "drover does not support tool calls of type \"%.*s\" yet",
                (int)MIN(type.n, 64), type.at);
    struct fields function = fields_open(fields_object(&c, "function", "openai.ToolCallFunction"),
                                         "ChatCompletionRequest.messages.tool_calls.function", f->err);
    fields_text(&function, "name", &name);
    fields_text(&function, "arguments", &text);
    json_t *arguments = tools_parse_arguments(text, &function);
    tools_add_call(message, id, name, arguments);
    fields_accept(&c, (const char *const[]){"index", NULL}); // of a stream
    ask_note_unread(a, &function, "messages.tool_calls.function.");
    ask_note_unread(a, &c, "messages.tool_calls.");
    f->failed |= c.failed || function.failed;
}

// What the assistant thought and called.
static void read_assistant(struct ask *a, struct fields *f, const json_t *calls, json_t *message)
{
    struct slice thinking = slice_of("");
    if (fields_text(f, "reasoning", &thinking) || fields_text(f, "reasoning_content", &thinking))
        tools_set_thinking(message, thinking);
    for (size_t i = 0; i < json_array_size(calls) && !f->failed; i++)
        read_call(a, f, json_array_get(calls, i), message);
}

static void read_message(struct ask *a, struct fields *f, const json_t *value)
{
    struct strbuf text = STRBUF_INIT(MAX_CONTENT_BYTES);
    struct slice role = slice_of(""), call_id = slice_of(""), name = slice_of("");
    struct fields m = fields_open(value, "ChatCompletionRequest.messages", f->err);
    if (!json_is_object(value)) {
        fields_refuse_type(f, "messages", value, "openai.Message");
        return;
    }
    fields_text(&m, "role", &role);
    const json_t *calls = fields_array(&m, "tool_calls", "[]openai.ToolCall");
    read_content(&m, json_array_size(calls) > 0, &text);
    if (slice_is(role, "tool")) {
        fields_text(&m, "tool_call_id", &call_id);
        fields_text(&m, "name", &name);
        tools_push_result(a->messages, call_id, name, strbuf_slice(&text));
    } else { // "developer" is OpenAI's newer word for the same
        role = slice_is(role, "developer") ? slice_of("system") : role;
        read_assistant(a, &m, calls, ask_push_message(a->messages, role, strbuf_slice(&text)));
    }
    strbuf_fini(&text);
    fields_accept(&m, (const char *const[]){"refusal", "annotations", NULL});
    ask_note_unread(a, &m, "messages.");
    f->failed |= m.failed;
}

void openai_read_messages(struct ask *a, struct fields *f)
{
    const json_t *list = fields_array(f, "messages", "[]openai.Message");
    a->is_chat = true;
    a->messages = json_array();
    if (!f->failed && json_array_size(list) == 0)
        err_set(fields_fail(f), ERR_INVALID, "[] is too short - 'messages'");
    for (size_t i = 0; i < json_array_size(list) && !f->failed; i++)
        read_message(a, f, json_array_get(list, i));
}

// ---- Tools ----
static void read_tool(struct ask *a, struct fields *f, const json_t *value)
{
    struct tool tool = {.name = slice_of("")};
    struct slice type = slice_of("");
    struct fields t = fields_open(value, "ChatCompletionRequest.tools", f->err);
    if (!json_is_object(value)) {
        fields_refuse_type(f, "tools", value, "api.Tool");
        return;
    }
    fields_text(&t, "type", &type);
    if (!slice_is(type, "function"))
        err_set(fields_fail(&t), ERR_INVALID, "drover does not support tools of type \"%.*s\" yet",
                (int)MIN(type.n, 64), type.n ? type.at : "");
    struct fields function = fields_open(fields_object(&t, "function", "api.ToolFunction"),
                                         "ChatCompletionRequest.tools.function", f->err);
    fields_text(&function, "name", &tool.name);
    fields_text(&function, "description", &tool.description);
    tool.parameters = fields_find(&function, "parameters");
    openai_read_strict(a, &function, "tools.function.strict");
    if (!t.failed)
        tools_add(a, &function, &tool);
    ask_note_unread(a, &function, "tools.function.");
    ask_note_unread(a, &t, "tools.");
    f->failed |= t.failed || function.failed;
}

void openai_read_tools(struct ask *a, struct fields *f)
{
    const json_t *list = fields_array(f, "tools", "[]api.Tool");
    openai_read_tool_choice(a, f, "function");
    for (size_t i = 0; i < json_array_size(list) && !f->failed; i++)
        read_tool(a, f, json_array_get(list, i));
    tools_settle(a, f);
}

void openai_read_tool_choice(struct ask *a, struct fields *f, const char *named_in)
{
    const json_t *v = fields_find(f, "tool_choice");
    bool is_parallel = true;
    struct slice word = json_slice(v), type = json_slice(json_object_get(v, "type"));
    if (slice_is(word, "none"))
        a->tool_choice = TOOL_CHOICE_NONE;
    else if (slice_is(word, "required"))
        a->tool_choice = TOOL_CHOICE_REQUIRED;
    else if (slice_is(type, "function")) {
        const json_t *in = named_in ? json_object_get(v, named_in) : v;
        a->tool_choice = TOOL_CHOICE_REQUIRED;
        a->tool_name = json_slice(json_object_get(in, "name"));
        if (a->tool_name.n == 0)
            err_set(fields_fail(f), ERR_INVALID, "tool_choice names no function");
    } else if (v && !slice_is(word, "auto")) {
        err_set(fields_fail(f), ERR_INVALID,
                "drover does not support \"tool_choice\" other than \"none\", \"auto\", \"required\" or a "
                "function yet");
    }
    if (fields_bool(f, "parallel_tool_calls", &is_parallel))
        a->one_call = !is_parallel;
}

void openai_read_strict(struct ask *a, struct fields *f, const char *label)
{
    bool is_strict = false;
    if (fields_bool(f, "strict", &is_strict) && is_strict && a->tool_choice != TOOL_CHOICE_REQUIRED)
        ask_note(a, "", label);
}
