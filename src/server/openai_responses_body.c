// SPDX-License-Identifier: MIT
// The body of OpenAI's Responses in the neutral form. Nothing is stored here, and what asks for storage is
// refused by name. The items of an earlier answer (reasoning, message, calls), each an item of its own, are
// one message of the assistant again.
#include <string.h>

#include "base/mem.h"
#include "server/openai.h"
#include "server/tools.h"

enum { MAX_CONTENT_BYTES = 32 << 20 };

// ---- Items ----
struct input {
    struct ask *a;
    json_t *answer;         // the message of the assistant that the next items may belong to, or NULL
    struct slice reasoning; // of the next one
};

static void read_part(struct ask *a, struct fields *f, const json_t *part, struct strbuf *text)
{
    struct slice type = json_slice(json_object_get(part, "type"));
    bool is_text = slice_is(type, "input_text") || slice_is(type, "output_text") || slice_is(type, "text");
    if (slice_is(type, "input_image")) {
        a->needs |= NEED_VISION;
        return;
    }
    if (!is_text || !json_is_string(json_object_get(part, "text"))) {
        err_set(fields_fail(f), ERR_INVALID, "drover does not support content of type \"%.*s\" yet",
                (int)MIN(type.n, 64), type.n ? type.at : "");
        return;
    }
    if (text->n > 0)
        strbuf_push_char(text, '\n');
    strbuf_push_slice(text, json_slice(json_object_get(part, "text")));
}

static void read_parts(struct ask *a, struct fields *f, const char *name, struct strbuf *text)
{
    const json_t *content = fields_find(f, name);
    if (json_is_string(content))
        strbuf_push_slice(text, json_slice(content));
    else if (json_is_array(content))
        for (size_t i = 0; i < json_array_size(content) && !f->failed; i++)
            read_part(a, f, json_array_get(content, i), text);
    else
        err_set(fields_fail(f), ERR_INVALID, "the %s of %s must be a string or an array", name,
                strcmp(name, "output") == 0 ? "a call" : "a message");
}

// The message of the assistant that a call belongs to.
static json_t *open_answer(struct input *in)
{
    if (!in->answer)
        in->answer = ask_push_message(in->a->messages, slice_of("assistant"), slice_of(""));
    tools_set_thinking(in->answer, in->reasoning);
    in->reasoning = slice_of("");
    return in->answer;
}

// Thoughts that nothing came of are a message of their own.
static void close_answer(struct input *in)
{
    if (in->reasoning.n > 0) {
        in->answer = NULL;
        open_answer(in);
    }
    in->answer = NULL;
}

static void read_message(struct input *in, struct fields *m)
{
    struct strbuf text = STRBUF_INIT(MAX_CONTENT_BYTES);
    struct slice role = slice_of("user");
    fields_text(m, "role", &role);
    read_parts(in->a, m, "content", &text);
    if (slice_is(role, "developer"))
        role = slice_of("system");
    if (!slice_is(role, "assistant"))
        close_answer(in);
    in->answer = ask_push_message(in->a->messages, role, strbuf_slice(&text));
    if (slice_is(role, "assistant"))
        open_answer(in);
    else
        in->answer = NULL;
    strbuf_fini(&text);
}

static void read_call(struct input *in, struct fields *m)
{
    struct slice id = slice_of(""), name = slice_of(""), text = slice_of("");
    fields_text(m, "call_id", &id);
    fields_text(m, "name", &name);
    fields_text(m, "arguments", &text);
    tools_add_call(open_answer(in), id, name, tools_parse_arguments(text, m));
}

static void read_result(struct input *in, struct fields *m)
{
    struct strbuf text = STRBUF_INIT(MAX_CONTENT_BYTES);
    struct slice id = slice_of("");
    fields_text(m, "call_id", &id);
    read_parts(in->a, m, "output", &text);
    close_answer(in);
    tools_push_result(in->a->messages, id, slice_of(""), strbuf_slice(&text));
    strbuf_fini(&text);
}

// As this server wrote it: the thoughts themselves, which nobody has to hide here.
static void read_reasoning_item(struct input *in, struct fields *m)
{
    const json_t *summary = fields_find(m, "summary");
    struct slice text = json_slice(json_object_get(json_array_get(summary, 0), "text"));
    close_answer(in);
    if (!fields_text(m, "encrypted_content", &in->reasoning))
        in->reasoning = text;
    fields_accept(m, (const char *const[]){"content", NULL});
}

static const struct {
    const char *type;
    void (*read)(struct input *in, struct fields *m);
} items[] = {{"message", read_message},
             {"function_call", read_call},
             {"function_call_output", read_result},
             {"reasoning", read_reasoning_item}};

static void read_item(struct input *in, struct fields *f, const json_t *item)
{
    struct slice type = json_slice(json_object_get(item, "type"));
    struct fields m = fields_open(item, "ResponsesRequest.input", f->err);
    size_t i = 0;
    if (!json_is_object(item)) {
        fields_refuse_type(f, "input", item, "openai.ResponsesInputItem");
        return;
    }
    while (i < COUNT_OF(items) && type.n > 0 && !slice_is(type, items[i].type))
        i++;
    if (i < COUNT_OF(items))
        items[i].read(in, &m);
    else
        err_set(fields_fail(&m), ERR_INVALID, "drover does not support input of type \"%.*s\" yet",
                (int)MIN(type.n, 64), type.at);
    fields_accept(&m, (const char *const[]){"type", "id", "status", "phase", NULL});
    if (!m.failed)
        ask_note_unread(in->a, &m, "input.");
    f->failed |= m.failed;
}

static void read_input(struct ask *a, struct fields *f)
{
    struct input in = {.a = a};
    struct slice instructions = slice_of("");
    const json_t *input = fields_find(f, "input");
    a->is_chat = true;
    a->messages = json_array();
    if (fields_text(f, "instructions", &instructions) && instructions.n > 0)
        ask_push_message(a->messages, slice_of("system"), instructions);
    if (json_is_string(input))
        ask_push_message(a->messages, slice_of("user"), json_slice(input));
    else if (json_is_array(input))
        for (size_t i = 0; i < json_array_size(input) && !f->failed; i++)
            read_item(&in, f, json_array_get(input, i));
    else if (input)
        err_set(fields_fail(f), ERR_INVALID, "input must be a string or an array of items");
    close_answer(&in);
    a->is_empty = json_array_size(a->messages) == 0;
}

// ---- Tools ----
// One of a group has the group's name before its own.
static void read_function(struct ask *a, struct fields *t, struct slice group)
{
    struct tool tool = {.name = slice_of("")};
    struct strbuf name = STRBUF_INIT(4096);
    fields_text(t, "name", &tool.name);
    fields_text(t, "description", &tool.description);
    tool.parameters = fields_find(t, "parameters");
    openai_read_strict(a, t, "tools.strict");
    if (group.n > 0 && tool.name.n > 0) {
        strbuf_push_slice(&name, group);
        strbuf_push_char(&name, '.');
        strbuf_push_slice(&name, tool.name);
        tool.name = strbuf_slice(&name);
    }
    if (!t->failed)
        tools_add(a, t, &tool);
    strbuf_fini(&name);
}

static void read_tool(struct ask *a, struct fields *f, const json_t *value, struct slice group)
{
    struct slice type = slice_of("");
    struct fields t = fields_open(value, "ResponsesRequest.tools", f->err);
    if (!json_is_object(value)) {
        fields_refuse_type(f, "tools", value, "openai.ResponsesTool");
        return;
    }
    fields_text(&t, "type", &type);
    if (slice_is(type, "function")) {
        read_function(a, &t, group);
    } else if (slice_is(type, "namespace") && group.n == 0) {
        const json_t *list = fields_array(&t, "tools", "[]openai.ResponsesTool");
        fields_text(&t, "name", &group);
        fields_accept(&t, (const char *const[]){"description", NULL});
        for (size_t i = 0; i < json_array_size(list) && !t.failed; i++)
            read_tool(a, &t, json_array_get(list, i), group);
    } else {
        err_set(fields_fail(&t), ERR_INVALID, "drover does not support tools of type \"%.*s\" yet",
                (int)MIN(type.n, 64), type.n ? type.at : "");
    }
    ask_note_unread(a, &t, "tools.");
    f->failed |= t.failed;
}

static void read_tools(struct ask *a, struct fields *f)
{
    const json_t *list = fields_array(f, "tools", "[]openai.ResponsesTool");
    openai_read_tool_choice(a, f, NULL);
    for (size_t i = 0; i < json_array_size(list) && !f->failed; i++)
        read_tool(a, f, json_array_get(list, i), slice_of(""));
    tools_settle(a, f);
}

// ---- The rest ----
static void refuse(struct fields *f, const char *name)
{
    err_set(fields_fail(f), ERR_INVALID, "drover does not support \"%s\" yet", name);
}

static void refuse_unless_word(struct fields *f, const char *name, const char *idle, const char *other)
{
    const json_t *v = fields_find(f, name);
    if (v && !slice_is(json_slice(v), idle) && !slice_is(json_slice(v), other))
        refuse(f, name);
}

static void refuse_state(struct fields *f)
{
    static const char *const refused[] = {"store",  "previous_response_id", "conversation",
                                          "prompt", "background",           "context_management"};
    const json_t *include = fields_array(f, "include", "[]string");
    for (size_t i = 0; i < json_array_size(include); i++) // the first is always there
        if (!slice_is(json_slice(json_array_get(include, i)), "reasoning.encrypted_content"))
            refuse(f, "include");
    for (size_t i = 0; i < COUNT_OF(refused); i++)
        if (!fields_is_empty(fields_find(f, refused[i])))
            refuse(f, refused[i]);
    refuse_unless_word(f, "service_tier", "auto", "default");
}

static void read_text(struct ask *a, struct fields *f)
{
    const json_t *text = fields_object(f, "text", "openai.ResponsesText");
    const json_t *format = json_object_get(text, "format"), *verbosity = json_object_get(text, "verbosity");
    if (format && !json_is_null(format))
        openai_read_format(a, f, "text.format", format, false);
    if (verbosity && !json_is_null(verbosity) && !slice_is(json_slice(verbosity), "medium"))
        refuse(f, "verbosity");
}

static void read_reasoning(struct ask *a, struct fields *f)
{
    const json_t *reasoning = fields_object(f, "reasoning", "openai.ResponsesReasoning");
    struct slice effort = slice_of("");
    struct fields r = fields_open(reasoning, "ResponsesRequest.reasoning", f->err);
    if (fields_text(&r, "effort", &effort))
        openai_read_effort(a, &r, effort);
    fields_accept(&r, (const char *const[]){"summary", "generate_summary", NULL}); // all of it is told
    ask_note_unread(a, &r, "reasoning.");
    f->failed |= r.failed;
}

static void read_sampling(struct ask *a, struct fields *f)
{
    double value = 1.0;
    int64_t n = 0, top = 0;
    fields_double(f, "temperature", &value);
    json_object_set_new(a->options, "temperature", json_real(value));
    if (fields_double(f, "top_p", &value))
        json_object_set_new(a->options, "top_p", json_real(value));
    if (fields_int(f, "max_output_tokens", &n))
        json_object_set_new(a->options, "num_predict", json_integer(n));
    if (fields_find(f, "max_output_tokens") && n < 1 && !f->failed)
        err_set(fields_fail(f), ERR_INVALID, "max_output_tokens must be at least 1");
    if (fields_int(f, "top_logprobs", &top) && top != 0)
        refuse(f, "top_logprobs");
}

static void read_truncation(struct ask *a, struct fields *f)
{
    struct slice mode = slice_of("disabled");
    fields_text(f, "truncation", &mode);
    a->truncate = slice_is(mode, "auto") ? TRUNCATE_OLD_TURNS : TRUNCATE_REFUSE;
    if (!slice_is(mode, "auto") && !slice_is(mode, "disabled"))
        err_set(fields_fail(f), ERR_INVALID, "truncation must be \"auto\" or \"disabled\"");
}

int openai_responses_read(struct ask *a, struct err *err)
{
    static const char *const labels[] = {"metadata",
                                         "user",
                                         "safety_identifier",
                                         "prompt_cache_key",
                                         "max_tool_calls",
                                         "prompt_cache_retention",
                                         NULL};
    struct fields f = fields_open(a->body, "ResponsesRequest", err);
    ask_read_model(a, &f);
    if (!f.failed && a->model[0] == '\0')
        err_set(fields_fail(&f), ERR_INVALID, "model is required");
    a->options = json_object();
    read_input(a, &f);
    read_sampling(a, &f);
    read_text(a, &f);
    read_reasoning(a, &f);
    read_truncation(a, &f);
    read_tools(a, &f);
    refuse_state(&f);
    ask_read_stream(a, &f, false);
    openai_read_stream_options(a, &f);
    fields_accept(&f, labels);
    ask_note_unread(a, &f, "");
    return f.failed ? -1 : 0;
}
