// SPDX-License-Identifier: MIT
// The body of Anthropic's Messages in the neutral form. What it may hold is honoured, a label, or refused by
// name. A message's blocks become one message, what tools gave before it: the calls of an assistant, which
// are blocks, are members of its message, and the results of a user are messages of their own.
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "server/anthropic.h"
#include "server/openai.h"
#include "server/tools.h"

enum { MAX_CONTENT_BYTES = 32 << 20 };

static void refuse(struct fields *f, const char *name)
{
    err_set(fields_fail(f), ERR_INVALID, "drover does not support \"%s\" yet", name);
}

static void push_line(struct strbuf *text, struct slice line)
{
    if (text->n > 0)
        strbuf_push_char(text, '\n');
    strbuf_push_slice(text, line);
}

// ---- Blocks ----
struct message {
    struct ask *a;
    struct strbuf text, thinking;
    json_t *calls;   // object that gets "tool_calls"
    bool has_result; // messages of results were pushed
};

static void read_text(struct message *m, struct fields *f)
{
    struct slice text = slice_of("");
    if (fields_text(f, "text", &text))
        push_line(&m->text, text);
    else if (!f->failed)
        err_set(fields_fail(f), ERR_INVALID, "a block of type \"text\" has no \"text\"");
    fields_accept(f, (const char *const[]){"citations", NULL});
}

static void read_image(struct message *m, struct fields *f)
{
    m->a->needs |= NEED_VISION;
    fields_accept(f, (const char *const[]){"source", NULL});
}

static void read_thinking_block(struct message *m, struct fields *f)
{
    struct slice text = slice_of("");
    if (fields_text(f, "thinking", &text))
        push_line(&m->thinking, text);
    fields_accept(f, (const char *const[]){"signature", NULL}); // nothing here needs to be proved
}

// Thoughts that only their author can read.
static void read_redacted(struct message *m, struct fields *f)
{
    ask_note(m->a, "messages.", "redacted_thinking");
    fields_accept(f, (const char *const[]){"data", NULL});
}

static void read_call(struct message *m, struct fields *f)
{
    struct slice id = slice_of(""), name = slice_of("");
    fields_text(f, "id", &id);
    fields_text(f, "name", &name);
    const json_t *input = fields_object(f, "input", "map[string]interface {}");
    fields_accept(f, (const char *const[]){"caller", NULL});
    tools_add_call(m->calls, id, name, json_incref((json_t *)input));
}

static void read_result(struct message *m, struct fields *f);

struct block {
    const char *type;
    void (*read)(struct message *m, struct fields *f);
};

static const struct block text_blocks[] = {{"text", read_text}, {"image", read_image}, {NULL, NULL}};
static const struct block all_blocks[] = {{"text", read_text},
                                          {"image", read_image},
                                          {"thinking", read_thinking_block},
                                          {"redacted_thinking", read_redacted},
                                          {"tool_use", read_call},
                                          {"tool_result", read_result},
                                          {NULL, NULL}};

static void read_block(struct message *m, struct fields *f, const json_t *value, const struct block *known)
{
    struct slice type = json_slice(json_object_get(value, "type"));
    struct fields b = fields_open(value, "MessagesRequest.messages.content", f->err);
    while (known->type && !slice_is(type, known->type))
        known++;
    if (known->type)
        known->read(m, &b);
    else
        err_set(fields_fail(f), ERR_INVALID, "drover does not support content of type \"%.*s\" yet",
                (int)MIN(type.n, 64), type.n ? type.at : "");
    fields_accept(&b, (const char *const[]){"type", "cache_control", NULL});
    if (known->type)
        ask_note_unread(m->a, &b, "messages.content.");
    f->failed |= b.failed;
}

// A text, or an array of blocks.
static void read_content(struct message *m, struct fields *f, const char *name, const struct block *known)
{
    const json_t *content = fields_find(f, name);
    if (json_is_string(content))
        strbuf_push_slice(&m->text, json_slice(content));
    else if (json_is_array(content))
        for (size_t i = 0; i < json_array_size(content) && !f->failed; i++)
            read_block(m, f, json_array_get(content, i), known);
    else
        err_set(fields_fail(f), ERR_INVALID, "%s must be a string or an array of blocks", name);
}

static void read_result(struct message *m, struct fields *f)
{
    struct message inner = {.a = m->a, .text = STRBUF_INIT(MAX_CONTENT_BYTES)};
    struct slice id = slice_of("");
    bool is_error = false;
    fields_text(f, "tool_use_id", &id);
    if (fields_find(f, "content")) // some tools say nothing
        read_content(&inner, f, "content", text_blocks);
    if (fields_bool(f, "is_error", &is_error) && is_error)
        ask_note(m->a, "messages.", "is_error"); // no template has a place for it
    tools_push_result(m->a->messages, id, slice_of(""), strbuf_slice(&inner.text));
    m->has_result = true;
    strbuf_fini(&inner.text);
}

static void push_message(struct ask *a, struct fields *f, struct slice role, const char *name)
{
    struct message m = {.a = a,
                        .text = STRBUF_INIT(MAX_CONTENT_BYTES),
                        .thinking = STRBUF_INIT(MAX_CONTENT_BYTES),
                        .calls = json_object()};
    read_content(&m, f, name, strcmp(name, "system") == 0 ? text_blocks : all_blocks);
    if (m.text.n > 0 || !m.has_result) {
        json_t *message = ask_push_message(a->messages, role, strbuf_slice(&m.text));
        tools_set_thinking(message, strbuf_slice(&m.thinking));
        json_object_update(message, m.calls);
    }
    json_decref(m.calls);
    strbuf_fini(&m.text);
    strbuf_fini(&m.thinking);
}

static void read_messages(struct ask *a, struct fields *f)
{
    const json_t *list = fields_array(f, "messages", "[]anthropic.MessageParam");
    a->is_chat = true;
    a->messages = json_array();
    if (fields_find(f, "system"))
        push_message(a, f, slice_of("system"), "system");
    if (!f->failed && json_array_size(list) == 0)
        err_set(fields_fail(f), ERR_INVALID, "messages is required");
    for (size_t i = 0; i < json_array_size(list) && !f->failed; i++) {
        const json_t *message = json_array_get(list, i);
        struct fields m = fields_open(message, "MessagesRequest.messages", f->err);
        struct slice role = slice_of("");
        if (!json_is_object(message)) {
            fields_refuse_type(f, "messages", message, "anthropic.MessageParam");
            return;
        }
        if (fields_text(&m, "role", &role) && role.n > 0)
            push_message(a, &m, role, "content");
        else if (!m.failed)
            err_set(fields_fail(&m), ERR_INVALID, "a message has no \"role\"");
        ask_note_unread(a, &m, "messages.");
        f->failed |= m.failed;
    }
}

// ---- Tools ----
static void read_tool(struct ask *a, struct fields *f, const json_t *value)
{
    static const char *const labels[] = {"cache_control", "input_examples", "allowed_callers", NULL};
    struct tool tool = {.name = slice_of("")};
    struct slice type = slice_of("custom");
    bool is_strict = false;
    struct fields t = fields_open(value, "MessagesRequest.tools", f->err);
    if (!json_is_object(value)) {
        fields_refuse_type(f, "tools", value, "anthropic.Tool");
        return;
    }
    fields_text(&t, "type", &type);
    if (!slice_is(type, "custom"))
        err_set(fields_fail(&t), ERR_INVALID, "drover does not support tools of type \"%.*s\" yet",
                (int)MIN(type.n, 64), type.n ? type.at : "");
    fields_text(&t, "name", &tool.name);
    fields_text(&t, "description", &tool.description);
    tool.parameters = fields_find(&t, "input_schema");
    if (fields_bool(&t, "strict", &is_strict) && is_strict && a->tool_choice != TOOL_CHOICE_REQUIRED)
        ask_note(a, "tools.", "strict");
    if (!t.failed)
        tools_add(a, &t, &tool);
    fields_accept(&t, labels);
    ask_note_unread(a, &t, "tools.");
    f->failed |= t.failed;
}

static void read_choice(struct ask *a, struct fields *f)
{
    const json_t *choice = fields_object(f, "tool_choice", "anthropic.ToolChoice");
    struct slice type = slice_of("auto");
    struct fields c = fields_open(choice, "MessagesRequest.tool_choice", f->err);
    fields_text(&c, "type", &type);
    fields_bool(&c, "disable_parallel_tool_use", &a->one_call);
    if (slice_is(type, "none"))
        a->tool_choice = TOOL_CHOICE_NONE;
    else if (slice_is(type, "any") || slice_is(type, "tool"))
        a->tool_choice = TOOL_CHOICE_REQUIRED;
    else if (!slice_is(type, "auto"))
        err_set(fields_fail(&c), ERR_INVALID, "tool_choice must be \"auto\", \"any\", \"tool\" or \"none\"");
    if (slice_is(type, "tool") && !fields_text(&c, "name", &a->tool_name) && !c.failed)
        err_set(fields_fail(&c), ERR_INVALID, "tool_choice names no tool");
    ask_note_unread(a, &c, "tool_choice.");
    f->failed |= c.failed;
}

static void read_tools(struct ask *a, struct fields *f)
{
    const json_t *list = fields_array(f, "tools", "[]anthropic.Tool");
    read_choice(a, f);
    for (size_t i = 0; i < json_array_size(list) && !f->failed; i++)
        read_tool(a, f, json_array_get(list, i));
    tools_settle(a, f);
}

// ---- The rest ----
static void read_stops(struct ask *a, struct fields *f)
{
    const json_t *list = fields_array(f, "stop_sequences", "[]string");
    for (size_t i = 0; i < json_array_size(list); i++)
        if (json_string_length(json_array_get(list, i)) == 0)
            err_set(fields_fail(f), ERR_INVALID, "stop_sequences must be strings that are not empty");
    if (json_array_size(list) > 0)
        json_object_set(a->options, "stop", (json_t *)list);
}

static void read_sampling(struct ask *a, struct fields *f)
{
    static const char *const names[] = {"temperature", "top_p"};
    double value = 0;
    int64_t top_k = 0;
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (fields_double(f, names[i], &value))
            json_object_set_new(a->options, names[i], json_real(value));
    if (fields_int(f, "top_k", &top_k))
        json_object_set_new(a->options, "top_k", json_integer(top_k));
}

// How much is told, else a model that can thinks as it likes. One that cannot answers all the same, and the
// client is told (think_is_wish).
static void read_effort(struct ask *a, struct fields *f)
{
    static const struct {
        const char *effort, *level;
    } all[] = {{"low", "low"}, {"medium", "medium"}, {"high", "high"}, {"xhigh", "high"}, {"max", "max"}};
    const json_t *config = fields_object(f, "output_config", "anthropic.OutputConfig");
    struct slice effort = slice_of("");
    struct fields c = fields_open(config, "MessagesRequest.output_config", f->err);
    fields_text(&c, "effort", &effort);
    for (size_t i = 0; i < COUNT_OF(all); i++)
        if (slice_is(effort, all[i].effort))
            snprintf(a->think_level, sizeof a->think_level, "%s", all[i].level);
    if (effort.n > 0 && a->think_level[0] == 0)
        err_set(fields_fail(&c), ERR_INVALID,
                "output_config.effort must be \"low\", \"medium\", \"high\", \"xhigh\" or \"max\"");
    openai_read_format(a, &c, "output_config.format", fields_object(&c, "format", "anthropic.JSONFormat"),
                       false);
    ask_note_unread(a, &c, "output_config.");
    f->failed |= c.failed;
}

static void read_thinking(struct ask *a, struct fields *f)
{
    const json_t *thinking = fields_object(f, "thinking", "anthropic.ThinkingConfig");
    struct slice type = slice_of("");
    struct fields t = fields_open(thinking, "MessagesRequest.thinking", f->err);
    read_effort(a, f);
    if (fields_text(&t, "type", &type)) {
        bool is_on = slice_is(type, "enabled") || slice_is(type, "adaptive");
        if (!is_on && !slice_is(type, "disabled"))
            err_set(fields_fail(&t), ERR_INVALID,
                    "thinking.type must be \"enabled\", \"adaptive\" or \"disabled\"");
        a->think = is_on ? THINK_ON : THINK_OFF;
    }
    if (a->think == THINK_UNSET && a->think_level[0])
        a->think = THINK_ON;
    a->think_is_wish = a->think == THINK_ON;
    a->needs |= a->think_is_wish ? NEED_THINKING : 0;
    ask_note_unread(a, &t, "thinking."); // budget_tokens: a model thinks as long as it does
    f->failed |= t.failed;
}

static void read_rest(struct ask *a, struct fields *f)
{
    static const char *const labels[] = {"metadata", "service_tier", "cache_control", NULL};
    static const char *const refused[] = {"container", "mcp_servers", "context_management", "inference_geo"};
    const json_t *format = fields_object(f, "output_format", "anthropic.JSONFormat"); // its older place
    for (size_t i = 0; i < COUNT_OF(refused); i++)
        if (!fields_is_empty(fields_find(f, refused[i])))
            refuse(f, refused[i]);
    read_thinking(a, f);
    if (format)
        openai_read_format(a, f, "output_format", format, false);
    fields_accept(f, labels);
}

static int read_common(struct ask *a, struct fields *f, bool is_counted)
{
    int64_t max_tokens = 0;
    ask_read_model(a, f);
    a->options = json_object();
    a->truncate = TRUNCATE_REFUSE;
    if (!f->failed && a->model[0] == '\0')
        err_set(fields_fail(f), ERR_INVALID, "model is required");
    fields_int(f, "max_tokens", &max_tokens);
    if (!f->failed && !is_counted && max_tokens <= 0)
        err_set(fields_fail(f), ERR_INVALID, "max_tokens is required and must be positive");
    json_object_set_new(a->options, "num_predict", json_integer(MAX(max_tokens, 1)));
    read_messages(a, f);
    read_tools(a, f);
    read_stops(a, f);
    read_sampling(a, f);
    read_rest(a, f);
    ask_read_stream(a, f, false);
    ask_note_unread(a, f, "");
    return f->failed ? -1 : 0;
}

int anthropic_read(struct ask *a, struct err *err)
{
    struct fields f = fields_open(a->body, "MessagesRequest", err);
    return read_common(a, &f, false);
}

int anthropic_read_counted(struct ask *a, struct err *err)
{
    struct fields f = fields_open(a->body, "MessagesRequest", err);
    int rc = read_common(a, &f, true);
    a->stream = false;
    a->task = TASK_TOKENIZE;
    return rc;
}
