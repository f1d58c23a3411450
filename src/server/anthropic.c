// SPDX-License-Identifier: MIT
// POST /v1/messages and /v1/messages/count_tokens: Anthropic's Messages. What a body may hold is honoured, a
// label, or refused by name. Unlike Ollama's, a stream begins with the true number of input tokens, and a
// stop sequence that ended the answer is named.
#include "server/anthropic.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "server/openai.h"

enum { MAX_CONTENT_BYTES = 32 << 20 };

// ---- The body ----
static void refuse(struct fields *f, const char *name)
{
    err_set(fields_fail(f), ERR_INVALID, "drover does not support \"%s\" yet", name);
}

static bool is_one_of(struct slice text, const char *const *words)
{
    for (; *words; words++)
        if (slice_is(text, *words))
            return true;
    return false;
}

static void read_block(struct ask *a, struct fields *f, const json_t *block, struct strbuf *text)
{
    static const char *const tools[] = {"tool_use", "tool_result", "server_tool_use",
                                        "web_search_tool_result", NULL};
    static const char *const thoughts[] = {"thinking", "redacted_thinking", NULL};
    struct slice type = json_slice(json_object_get(block, "type"));
    const json_t *value = json_object_get(block, "text");
    if (is_one_of(type, tools)) {
        a->needs |= NEED_TOOLS;
    } else if (slice_is(type, "image")) {
        a->needs |= NEED_VISION;
    } else if (is_one_of(type, thoughts)) {
        ask_note(a, "messages.", "thinking"); // of earlier turns, which no model here reads
    } else if (!slice_is(type, "text")) {
        err_set(fields_fail(f), ERR_INVALID, "drover does not support content of type \"%.*s\" yet",
                (int)MIN(type.n, 64), type.n ? type.at : "");
    } else if (!json_is_string(value)) {
        err_set(fields_fail(f), ERR_INVALID, "a block of type \"text\" has no \"text\"");
    } else {
        if (text->n > 0)
            strbuf_push_char(text, '\n');
        strbuf_push_slice(text, json_slice(value));
    }
}

// A text, or an array of blocks.
static void read_content(struct ask *a, struct fields *f, const json_t *content, const char *name,
                         struct strbuf *text)
{
    if (json_is_string(content))
        strbuf_push_slice(text, json_slice(content));
    else if (json_is_array(content))
        for (size_t i = 0; i < json_array_size(content) && !f->failed; i++)
            read_block(a, f, json_array_get(content, i), text);
    else
        err_set(fields_fail(f), ERR_INVALID, "%s must be a string or an array of blocks", name);
}

static void push_message(struct ask *a, struct fields *f, struct slice role, const json_t *content,
                         const char *name)
{
    struct strbuf text = STRBUF_INIT(MAX_CONTENT_BYTES);
    read_content(a, f, content, name, &text);
    ask_push_message(a->messages, role, strbuf_slice(&text));
    strbuf_fini(&text);
}

static void read_messages(struct ask *a, struct fields *f)
{
    const json_t *system = fields_find(f, "system");
    const json_t *list = fields_array(f, "messages", "[]anthropic.MessageParam");
    a->is_chat = true;
    a->messages = json_array();
    if (system)
        push_message(a, f, slice_of("system"), system, "system");
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
            push_message(a, &m, role, fields_find(&m, "content"), "content");
        else if (!m.failed)
            err_set(fields_fail(&m), ERR_INVALID, "a message has no \"role\"");
        ask_note_unread(a, &m, "messages.");
        f->failed |= m.failed;
    }
}

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

static void read_thinking(struct ask *a, struct fields *f)
{
    const json_t *thinking = fields_object(f, "thinking", "anthropic.ThinkingConfig");
    if (thinking && !slice_is(json_slice(json_object_get(thinking, "type")), "disabled"))
        a->needs |= NEED_THINKING;
}

static void read_rest(struct ask *a, struct fields *f)
{
    static const char *const labels[] = {"metadata", "service_tier", "cache_control", NULL};
    static const char *const idle_choices[] = {"auto", "none", NULL};
    static const char *const refused[] = {"output_config", "output_format",      "container",
                                          "mcp_servers",   "context_management", "inference_geo"};
    if (!fields_is_empty(fields_array(f, "tools", "[]anthropic.Tool")))
        a->needs |= NEED_TOOLS;
    const json_t *choice = fields_object(f, "tool_choice", "anthropic.ToolChoice");
    if (choice && !is_one_of(json_slice(json_object_get(choice, "type")), idle_choices))
        refuse(f, "tool_choice");
    for (size_t i = 0; i < COUNT_OF(refused); i++)
        if (!fields_is_empty(fields_find(f, refused[i])))
            refuse(f, refused[i]);
    read_thinking(a, f);
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
    read_stops(a, f);
    read_sampling(a, f);
    read_rest(a, f);
    ask_read_stream(a, f, false);
    ask_note_unread(a, f, "");
    return f->failed ? -1 : 0;
}

static int read_body(struct ask *a, struct err *err)
{
    struct fields f = fields_open(a->body, "MessagesRequest", err);
    return read_common(a, &f, false);
}

static int read_counted(struct ask *a, struct err *err)
{
    struct fields f = fields_open(a->body, "MessagesRequest", err);
    int rc = read_common(a, &f, true);
    a->stream = false;
    a->task = TASK_TOKENIZE;
    return rc;
}

// ---- The replies ----
static void begin_event(struct strbuf *out, struct json_writer *w, const char *type)
{
    strbuf_printf(out, "event: %s\ndata: ", type);
    *w = json_writer_make(out);
    json_begin_object(w);
    json_member_text(w, "type", type);
}

static void end_event(struct strbuf *out, struct json_writer *w)
{
    json_end_object(w);
    strbuf_push_text(out, "\n\n");
}

static void write_head(struct json_writer *w, const struct generation *g)
{
    char id[64];
    snprintf(id, sizeof id, "msg_%08" PRIx64 "%016" PRIx64, (uint64_t)g->created_s & UINT32_MAX, g->id);
    json_member_text(w, "id", id);
    json_member_text(w, "type", "message");
    json_member_text(w, "role", "assistant");
    json_member_text(w, "model", g->ask.model);
}

static void write_usage(struct json_writer *w, uint32_t n_input, uint32_t n_output)
{
    json_key(w, "usage");
    json_begin_object(w);
    json_member_int(w, "input_tokens", n_input);
    json_member_int(w, "output_tokens", n_output);
    json_end_object(w);
}

// The stop strings are the request's where it has any, else the model's own, which are no news.
static void write_reason(struct json_writer *w, const struct generation *g)
{
    const json_t *stops = json_object_get(g->ask.options, "stop");
    const json_t *stop = g->at->stop_i > 0 ? json_array_get(stops, g->at->stop_i - 1) : NULL;
    json_member_text(w, "stop_reason",
                     g->at->reason == DONE_LENGTH ? "max_tokens"
                     : stop                       ? "stop_sequence"
                                                  : "end_turn");
    if (stop)
        json_member_slice(w, "stop_sequence", json_slice(stop));
}

static void write_first(struct generation *g, struct strbuf *out)
{
    struct json_writer w;
    begin_event(out, &w, "message_start");
    json_key(&w, "message");
    json_begin_object(&w);
    write_head(&w, g);
    json_key(&w, "content");
    json_begin_array(&w);
    json_end_array(&w);
    write_usage(&w, g->n_prompt, 0);
    json_end_object(&w);
    end_event(out, &w);
}

static void write_text_block(struct json_writer *w, const char *type, struct slice text)
{
    json_begin_object(w);
    json_member_text(w, "type", type);
    json_member_slice(w, "text", text);
    json_end_object(w);
}

static void write_piece(struct generation *g, const struct piece *p, struct strbuf *out)
{
    struct json_writer w;
    if (g->at->n_pieces == 0) {
        begin_event(out, &w, "content_block_start");
        json_member_int(&w, "index", 0);
        json_key(&w, "content_block");
        write_text_block(&w, "text", slice_of(""));
        end_event(out, &w);
    }
    begin_event(out, &w, "content_block_delta");
    json_member_int(&w, "index", 0);
    json_key(&w, "delta");
    write_text_block(&w, "text_delta", p->text);
    end_event(out, &w);
}

static void write_last(struct generation *g, struct strbuf *out)
{
    struct json_writer w;
    if (g->at->n_pieces > 0) {
        begin_event(out, &w, "content_block_stop");
        json_member_int(&w, "index", 0);
        end_event(out, &w);
    }
    begin_event(out, &w, "message_delta");
    json_key(&w, "delta");
    json_begin_object(&w);
    write_reason(&w, g);
    json_end_object(&w);
    write_usage(&w, g->n_prompt, g->n_generated);
    end_event(out, &w);
    begin_event(out, &w, "message_stop");
    end_event(out, &w);
}

static void write_whole(struct generation *g, struct strbuf *out)
{
    struct piece all = generate_whole(g->at);
    struct json_writer w = json_writer_make(out);
    json_begin_object(&w);
    write_head(&w, g);
    json_key(&w, "content");
    json_begin_array(&w);
    if (all.text.n > 0)
        write_text_block(&w, "text", all.text);
    json_end_array(&w);
    write_reason(&w, g);
    write_usage(&w, g->n_prompt, g->n_generated);
    json_end_object(&w);
    strbuf_push_char(out, '\n');
}

static void write_count(struct generation *g, struct strbuf *out)
{
    struct json_writer w = json_writer_make(out);
    json_begin_object(&w);
    json_member_int(&w, "input_tokens", g->n_prompt);
    json_end_object(&w);
    strbuf_push_char(out, '\n');
}

static void write_error(struct generation *g, const struct err *err, struct strbuf *out)
{
    strbuf_push_text(out, "event: error\ndata: ");
    reply_write_error(out, ERRORS_ANTHROPIC, err, NULL);
    strbuf_push_text(out, "\n\n");
}

const struct dialect anthropic_messages_dialect = {
    .route = "/v1/messages",
    .go_type = "anthropic.MessagesRequest",
    .empty_text = "EOF",
    .verb = "chat",
    .stream_type = "text/event-stream",
    .whole_type = "application/json",
    .errors = ERRORS_ANTHROPIC,
    .read = read_body,
    .write_first = write_first,
    .write_piece = write_piece,
    .write_last = write_last,
    .write_whole = write_whole,
    .write_comment = openai_write_comment,
    .write_error = write_error,
};

const struct dialect anthropic_count_dialect = {
    .route = "/v1/messages/count_tokens",
    .go_type = "anthropic.MessagesRequest",
    .empty_text = "EOF",
    .verb = "chat",
    .whole_type = "application/json",
    .errors = ERRORS_ANTHROPIC,
    .read = read_counted,
    .write_whole = write_count,
};
