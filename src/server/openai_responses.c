// SPDX-License-Identifier: MIT
// POST /v1/responses: the answers of OpenAI's Responses. As in Ollama the events of a stream have their
// members in alphabetical order, the whole answer has them in OpenAI's.
#include "server/openai.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

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

// ---- Items of the output ----
static json_t *item_id(const struct generation *g, const char *prefix, uint32_t item_i)
{
    return item_i == 0 ? id_value(g, prefix) : json_sprintf("%s_%" PRIu64 "_%u", prefix, g->id, item_i);
}

static json_t *part_value(struct slice text)
{
    return json_pack("{s:s, s:o, s:[], s:[]}", "type", "output_text", "text", text_value(text), "annotations",
                     "logprobs");
}

static json_t *message_item(const struct generation *g, uint32_t item_i, bool is_done, struct slice text)
{
    json_t *item = json_pack("{s:o, s:s, s:s, s:s, s:[]}", "id", item_id(g, "msg", item_i), "type", "message",
                             "status", is_done ? "completed" : "in_progress", "role", "assistant", "content");
    if (is_done)
        json_array_append_new(json_object_get(item, "content"), part_value(text));
    return item;
}

// The thoughts are their own summary, and nothing about them is hidden.
static json_t *reasoning_item(const struct generation *g, uint32_t item_i, bool is_done, struct slice text)
{
    json_t *item =
        json_pack("{s:o, s:s, s:[]}", "id", item_id(g, "rs", item_i), "type", "reasoning", "summary");
    if (is_done) {
        json_array_append_new(json_object_get(item, "summary"),
                              json_pack("{s:s, s:o}", "type", "summary_text", "text", text_value(text)));
        json_object_set_new(item, "encrypted_content", text_value(text));
    }
    json_object_set_new(item, "status", json_string(is_done ? "completed" : "in_progress"));
    return item;
}

static json_t *call_item(const struct generation *g, uint32_t item_i, bool is_done,
                         const struct tool_call *call)
{
    return json_pack("{s:o, s:s, s:s, s:o, s:o, s:o}", "id", item_id(g, "fc", item_i), "type",
                     "function_call", "status", is_done ? "completed" : "in_progress", "call_id",
                     text_value(slice_of(call->id)), "name", text_value(slice_of(call->name)), "arguments",
                     text_value(slice_of(is_done ? call->arguments : "")));
}

static json_t *whole_output(const struct generation *g)
{
    struct piece all = generate_whole(g->at);
    json_t *output = json_array();
    uint32_t n = 0;
    if (all.thinking.n > 0)
        json_array_append_new(output, reasoning_item(g, n++, true, all.thinking));
    if (all.text.n > 0 || all.n_calls == 0)
        json_array_append_new(output, message_item(g, n++, true, all.text));
    for (uint32_t i = 0; i < all.n_calls; i++)
        json_array_append_new(output, call_item(g, n++, true, &all.calls[i]));
    return output;
}

// ---- The response ----
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
                     "reasoning_tokens", (int)generate_count_thought(g));
}

// `output`, taken, is there when the answer is.
static json_t *response_value(const struct generation *g, json_t *output)
{
    json_t *r = json_object();
    bool is_done = output != NULL;
    json_object_set_new(r, "id", id_value(g, "resp"));
    json_object_set_new(r, "object", json_string("response"));
    json_object_set_new(r, "created_at", json_integer(g->created_s));
    json_object_set_new(r, "completed_at", is_done ? json_integer(clock_wall_ns() / NS_PER_S) : json_null());
    json_object_set_new(r, "status", json_string(is_done ? "completed" : "in_progress"));
    json_object_set_new(r, "incomplete_details", json_null());
    json_object_set_new(r, "model", text_value(slice_of(g->ask.model)));
    json_object_set_new(r, "previous_response_id", json_null());
    echo(r, g, "instructions", json_null());
    json_object_set_new(r, "output", is_done ? output : json_array());
    json_object_set_new(r, "error", json_null());
    echo(r, g, "tools", json_array());
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

static uint32_t item_i(const struct generation *g)
{
    return g->at->n_parts - 1;
}

// Where in the answer the event is, with a member of its own. `value` is taken.
static json_t *place(const struct generation *g, const char *prefix, const char *name, json_t *value)
{
    json_t *at = json_pack("{s:o, s:i, s:o}", "item_id", item_id(g, prefix, item_i(g)), "output_index",
                           (int)item_i(g), name, value);
    if (strcmp(prefix, "msg") == 0)
        json_object_set_new(at, "content_index", json_integer(0));
    if (strcmp(prefix, "rs") == 0)
        json_object_set_new(at, "summary_index", json_integer(0));
    return at;
}

static json_t *with_no_logprobs(json_t *event)
{
    json_object_set_new(event, "logprobs", json_array());
    return event;
}

static void write_item(struct generation *g, const char *type, json_t *item, struct strbuf *out)
{
    write_event(g, type, json_pack("{s:i, s:o}", "output_index", (int)item_i(g), "item", item), out);
}

static void finish_item(struct generation *g, json_t *item, struct strbuf *out)
{
    if (!g->at->items)
        g->at->items = json_array();
    json_array_append(g->at->items, item);
    write_item(g, "response.output_item.done", item, out);
    g->at->open_part = PART_NONE;
}

static struct slice since(const struct strbuf *all, size_t start)
{
    return slice_make(all->n > start ? all->at + start : "", all->n > start ? all->n - start : 0);
}

static void close_item(struct generation *g, struct strbuf *out)
{
    const struct choice *c = g->at;
    if (c->open_part == PART_THINKING) {
        struct slice text = since(&c->thinking, c->part_start);
        write_event(g, "response.reasoning_summary_text.done", place(g, "rs", "text", text_value(text)), out);
        finish_item(g, reasoning_item(g, item_i(g), true, text), out);
    } else if (c->open_part == PART_TEXT) {
        struct slice text = since(&c->text, c->part_start);
        write_event(g, "response.output_text.done",
                    with_no_logprobs(place(g, "msg", "text", text_value(text))), out);
        write_event(g, "response.content_part.done", place(g, "msg", "part", part_value(text)), out);
        finish_item(g, message_item(g, item_i(g), true, text), out);
    }
}

// `start`: where its text begins in all that was said of its kind.
static void open_item(struct generation *g, enum part_kind kind, size_t start, struct strbuf *out)
{
    struct choice *c = g->at;
    struct slice none = slice_of("");
    if (c->open_part == kind)
        return;
    close_item(g, out);
    c->open_part = kind;
    c->part_start = start;
    c->n_parts++;
    if (kind == PART_THINKING)
        write_item(g, "response.output_item.added", reasoning_item(g, item_i(g), false, none), out);
    if (kind != PART_TEXT)
        return;
    write_item(g, "response.output_item.added", message_item(g, item_i(g), false, none), out);
    write_event(g, "response.content_part.added", place(g, "msg", "part", part_value(none)), out);
}

static void write_call(struct generation *g, const struct tool_call *call, struct strbuf *out)
{
    struct slice arguments = slice_of(call->arguments);
    open_item(g, PART_CALL, 0, out);
    write_item(g, "response.output_item.added", call_item(g, item_i(g), false, call), out);
    write_event(g, "response.function_call_arguments.delta", place(g, "fc", "delta", text_value(arguments)),
                out);
    write_event(g, "response.function_call_arguments.done",
                place(g, "fc", "arguments", text_value(arguments)), out);
    finish_item(g, call_item(g, item_i(g), true, call), out);
}

static void write_first(struct generation *g, struct strbuf *out)
{
    write_event(g, "response.created", json_pack("{s:o}", "response", response_value(g, NULL)), out);
    write_event(g, "response.in_progress", json_pack("{s:o}", "response", response_value(g, NULL)), out);
}

// Where the piece, which was just kept, begins.
static size_t start_of(const struct strbuf *all, struct slice piece)
{
    return all->n > piece.n ? all->n - piece.n : 0;
}

static void write_piece(struct generation *g, const struct piece *p, struct strbuf *out)
{
    const struct choice *c = g->at;
    enum part_kind kind = piece_kind(p);
    if (kind == PART_CALL) {
        write_call(g, p->calls, out);
    } else if (kind == PART_THINKING) {
        open_item(g, kind, start_of(&c->thinking, p->thinking), out);
        write_event(g, "response.reasoning_summary_text.delta",
                    place(g, "rs", "delta", text_value(p->thinking)), out);
    } else if (kind == PART_TEXT) {
        open_item(g, kind, start_of(&c->text, p->text), out);
        write_event(g, "response.output_text.delta",
                    with_no_logprobs(place(g, "msg", "delta", text_value(p->text))), out);
    }
}

static void write_last(struct generation *g, struct strbuf *out)
{
    if (g->n_events == 0) // a model that was only loaded
        write_first(g, out);
    if (g->at->n_parts == 0)
        open_item(g, PART_TEXT, 0, out);
    close_item(g, out);
    write_event(g, "response.completed",
                json_pack("{s:o}", "response", response_value(g, json_incref(g->at->items))), out);
}

static void write_whole(struct generation *g, struct strbuf *out)
{
    json_t *response = response_value(g, whole_output(g));
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
    .read = openai_responses_read,
    .write_first = write_first,
    .write_piece = write_piece,
    .write_last = write_last,
    .write_whole = write_whole,
    .write_comment = openai_write_comment,
    .write_error = write_error,
};
