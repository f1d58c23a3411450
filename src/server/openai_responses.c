// SPDX-License-Identifier: MIT
// POST /v1/responses: OpenAI's Responses, without state: nothing is stored, and what asks for storage is
// refused by name. As in Ollama the events of a stream have their members in alphabetical order, the whole
// answer has them in OpenAI's.
#include "server/openai.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

enum { MAX_CONTENT_BYTES = 32 << 20 };

// ---- The body ----
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

static void read_message(struct ask *a, struct fields *f, const json_t *item)
{
    struct strbuf text = STRBUF_INIT(MAX_CONTENT_BYTES);
    struct fields m = fields_open(item, "ResponsesRequest.input", f->err);
    struct slice role = slice_of("user");
    const json_t *content = fields_find(&m, "content");
    fields_text(&m, "role", &role);
    if (json_is_string(content))
        strbuf_push_slice(&text, json_slice(content));
    else if (json_is_array(content))
        for (size_t i = 0; i < json_array_size(content) && !m.failed; i++)
            read_part(a, &m, json_array_get(content, i), &text);
    else
        err_set(fields_fail(&m), ERR_INVALID, "the content of a message must be a string or an array");
    if (slice_is(role, "developer"))
        role = slice_of("system");
    ask_push_message(a->messages, role, strbuf_slice(&text));
    fields_accept(&m, (const char *const[]){"type", "id", "status", NULL});
    ask_note_unread(a, &m, "input.");
    f->failed |= m.failed;
    strbuf_fini(&text);
}

static void read_item(struct ask *a, struct fields *f, const json_t *item)
{
    struct slice type = json_slice(json_object_get(item, "type"));
    if (!json_is_object(item))
        fields_refuse_type(f, "input", item, "openai.ResponsesInputItem");
    else if (type.n == 0 || slice_is(type, "message"))
        read_message(a, f, item);
    else if (slice_is(type, "function_call") || slice_is(type, "function_call_output"))
        a->needs |= NEED_TOOLS;
    else if (slice_is(type, "reasoning"))
        ask_note(a, "input.", "reasoning"); // of earlier turns, which no model here reads
    else
        err_set(fields_fail(f), ERR_INVALID, "drover does not support input of type \"%.*s\" yet",
                (int)MIN(type.n, 64), type.at);
}

static void read_input(struct ask *a, struct fields *f)
{
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
            read_item(a, f, json_array_get(input, i));
    else if (input)
        err_set(fields_fail(f), ERR_INVALID, "input must be a string or an array of items");
    a->is_empty = json_array_size(a->messages) == 0;
}

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
    static const char *const refused[] = {"store",   "previous_response_id", "conversation",      "prompt",
                                          "include", "background",           "context_management"};
    for (size_t i = 0; i < COUNT_OF(refused); i++)
        if (!fields_is_empty(fields_find(f, refused[i])))
            refuse(f, refused[i]);
    refuse_unless_word(f, "tool_choice", "auto", "none");
    refuse_unless_word(f, "service_tier", "auto", "default");
}

static void read_text(struct ask *a, struct fields *f)
{
    const json_t *text = fields_object(f, "text", "openai.ResponsesText");
    const json_t *format = json_object_get(text, "format"), *verbosity = json_object_get(text, "verbosity");
    if (json_is_object(format) && !slice_is(json_slice(json_object_get(format, "type")), "text"))
        a->needs |= NEED_FORMAT;
    if (verbosity && !json_is_null(verbosity) && !slice_is(json_slice(verbosity), "medium"))
        refuse(f, "verbosity");
}

static void read_reasoning(struct ask *a, struct fields *f)
{
    const json_t *reasoning = fields_object(f, "reasoning", "openai.ResponsesReasoning");
    struct slice effort = json_slice(json_object_get(reasoning, "effort"));
    if (effort.n > 0 && !slice_is(effort, "none"))
        a->needs |= NEED_THINKING;
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

static int read_body(struct ask *a, struct err *err)
{
    static const char *const labels[] = {"metadata",
                                         "user",
                                         "safety_identifier",
                                         "prompt_cache_key",
                                         "max_tool_calls",
                                         "prompt_cache_retention",
                                         "parallel_tool_calls",
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
    if (!fields_is_empty(fields_array(&f, "tools", "[]openai.ResponsesTool")))
        a->needs |= NEED_TOOLS;
    refuse_state(&f);
    ask_read_stream(a, &f, false);
    openai_read_stream_options(a, &f);
    fields_accept(&f, labels);
    ask_note_unread(a, &f, "");
    return f.failed ? -1 : 0;
}

// ---- The replies ----
// A text that JSON can carry: ill-formed bytes become U+FFFD.
static json_t *text_value(struct slice text)
{
    json_t *v = json_stringn(text.n ? text.at : "", text.n);
    if (v)
        return v;
    struct strbuf json = STRBUF_INIT(6 * text.n + 16);
    struct json_writer w = json_writer_make(&json);
    json_put_slice(&w, text);
    v = json_parse(strbuf_slice(&json), NULL);
    strbuf_fini(&json);
    return v ? v : json_string("");
}

static json_t *id_value(const struct generation *g, const char *prefix)
{
    return json_sprintf("%s_%" PRIu64, prefix, g->id);
}

static json_t *part_value(struct slice text)
{
    return json_pack("{s:s, s:o, s:[], s:[]}", "type", "output_text", "text", text_value(text), "annotations",
                     "logprobs");
}

static json_t *item_value(const struct generation *g, bool is_done, struct slice text)
{
    json_t *item = json_pack("{s:o, s:s, s:s, s:s, s:[]}", "id", id_value(g, "msg"), "type", "message",
                             "status", is_done ? "completed" : "in_progress", "role", "assistant", "content");
    if (is_done)
        json_array_append_new(json_object_get(item, "content"), part_value(text));
    return item;
}

// What the request said, else `otherwise`.
static void echo(json_t *to, const struct generation *g, const char *name, json_t *otherwise)
{
    json_t *said = json_object_get(g->ask.body, name);
    if (said && !json_is_null(said)) {
        json_decref(otherwise);
        json_object_set(to, name, said);
    } else {
        json_object_set_new(to, name, otherwise);
    }
}

static json_t *usage_value(const struct generation *g)
{
    return json_pack("{s:i, s:i, s:i, s:{s:i}, s:{s:i}}", "input_tokens", (int)g->n_prompt, "output_tokens",
                     (int)g->n_generated, "total_tokens", (int)(g->n_prompt + g->n_generated),
                     "input_tokens_details", "cached_tokens", (int)g->n_cached, "output_tokens_details",
                     "reasoning_tokens", 0);
}

static json_t *response_value(const struct generation *g, bool is_done, struct slice text)
{
    json_t *r = json_object();
    json_object_set_new(r, "id", id_value(g, "resp"));
    json_object_set_new(r, "object", json_string("response"));
    json_object_set_new(r, "created_at", json_integer(g->created_s));
    json_object_set_new(r, "completed_at", is_done ? json_integer(clock_wall_ns() / NS_PER_S) : json_null());
    json_object_set_new(r, "status", json_string(is_done ? "completed" : "in_progress"));
    json_object_set_new(r, "incomplete_details", json_null());
    json_object_set_new(r, "model", text_value(slice_of(g->ask.model)));
    json_object_set_new(r, "previous_response_id", json_null());
    echo(r, g, "instructions", json_null());
    json_object_set_new(r, "output", json_array());
    if (is_done)
        json_array_append_new(json_object_get(r, "output"), item_value(g, true, text));
    json_object_set_new(r, "error", json_null());
    json_object_set_new(r, "tools", json_array());
    echo(r, g, "tool_choice", json_string("auto"));
    echo(r, g, "truncation", json_string("disabled"));
    echo(r, g, "parallel_tool_calls", json_true());
    echo(r, g, "text", json_pack("{s:{s:s}}", "format", "type", "text"));
    echo(r, g, "top_p", json_integer(1));
    json_object_set_new(r, "presence_penalty", json_integer(0));
    json_object_set_new(r, "frequency_penalty", json_integer(0));
    json_object_set_new(r, "top_logprobs", json_integer(0));
    echo(r, g, "temperature", json_integer(1));
    echo(r, g, "reasoning", json_null());
    json_object_set_new(r, "usage", is_done ? usage_value(g) : json_null());
    echo(r, g, "max_output_tokens", json_null());
    echo(r, g, "max_tool_calls", json_null());
    json_object_set_new(r, "store", json_false());
    json_object_set_new(r, "background", json_false());
    json_object_set_new(r, "service_tier", json_string("default"));
    echo(r, g, "metadata", json_object());
    echo(r, g, "safety_identifier", json_null());
    echo(r, g, "prompt_cache_key", json_null());
    return r;
}

// `members` is taken.
static void write_event(struct generation *g, const char *type, json_t *members, struct strbuf *out)
{
    json_object_set_new(members, "type", json_string(type));
    json_object_set_new(members, "sequence_number", json_integer(g->n_events++));
    char *text = json_dumps(members, JSON_COMPACT | JSON_SORT_KEYS);
    strbuf_printf(out, "event: %s\ndata: ", type);
    strbuf_push_text(out, text ? text : "{}");
    strbuf_push_text(out, "\n\n");
    free(text);
    json_decref(members);
}

// Where in the answer the event is.
static json_t *place(const struct generation *g)
{
    return json_pack("{s:o, s:i, s:i}", "item_id", id_value(g, "msg"), "output_index", 0, "content_index", 0);
}

static void write_first(struct generation *g, struct strbuf *out)
{
    struct slice none = slice_of("");
    write_event(g, "response.created", json_pack("{s:o}", "response", response_value(g, false, none)), out);
    write_event(g, "response.in_progress", json_pack("{s:o}", "response", response_value(g, false, none)),
                out);
}

static void write_start(struct generation *g, struct strbuf *out)
{
    json_t *part = place(g);
    json_object_set_new(part, "part", part_value(slice_of("")));
    write_event(g, "response.output_item.added",
                json_pack("{s:i, s:o}", "output_index", 0, "item", item_value(g, false, slice_of(""))), out);
    write_event(g, "response.content_part.added", part, out);
}

static void write_piece(struct generation *g, const struct piece *p, struct strbuf *out)
{
    json_t *delta = place(g);
    if (g->at->n_pieces == 0)
        write_start(g, out);
    json_object_set_new(delta, "delta", text_value(p->text));
    json_object_set_new(delta, "logprobs", json_array());
    write_event(g, "response.output_text.delta", delta, out);
}

static void write_last(struct generation *g, struct strbuf *out)
{
    struct slice text = generate_whole(g->at).text;
    json_t *done = place(g), *part = place(g);
    if (g->n_events == 0) // a model that was only loaded
        write_first(g, out);
    if (g->at->n_pieces == 0)
        write_start(g, out);
    json_object_set_new(done, "text", text_value(text));
    json_object_set_new(done, "logprobs", json_array());
    json_object_set_new(part, "part", part_value(text));
    write_event(g, "response.output_text.done", done, out);
    write_event(g, "response.content_part.done", part, out);
    write_event(g, "response.output_item.done",
                json_pack("{s:i, s:o}", "output_index", 0, "item", item_value(g, true, text)), out);
    write_event(g, "response.completed", json_pack("{s:o}", "response", response_value(g, true, text)), out);
}

static void write_whole(struct generation *g, struct strbuf *out)
{
    json_t *response = response_value(g, true, generate_whole(g->at).text);
    struct json_writer w = json_writer_make(out);
    json_put_value(&w, response);
    strbuf_push_char(out, '\n');
    json_decref(response);
}

static void write_error(struct generation *g, const struct err *err, struct strbuf *out)
{
    struct strbuf text = STRBUF_INIT(16 << 10);
    const char *code = reply_error_code(err);
    reply_write_error(&text, ERRORS_OPENAI, err, code);
    json_t *event = json_parse(strbuf_slice(&text), NULL);
    strbuf_fini(&text);
    event = event ? event : json_object();
    json_object_set_new(event, "message", text_value(slice_of(err->message)));
    json_object_set_new(event, "code", code ? json_string(code) : json_null());
    json_object_set_new(event, "param", json_null());
    write_event(g, "error", event, out);
}

const struct dialect openai_responses_dialect = {
    .route = "/v1/responses",
    .go_type = "openai.ResponsesRequest",
    .empty_text = "EOF",
    .verb = "chat",
    .stream_type = "text/event-stream",
    .whole_type = "application/json",
    .errors = ERRORS_OPENAI,
    .keeps_text = true,
    .read = read_body,
    .write_first = write_first,
    .write_piece = write_piece,
    .write_last = write_last,
    .write_whole = write_whole,
    .write_comment = openai_write_comment,
    .write_error = write_error,
};
