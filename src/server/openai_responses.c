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
    .read = openai_responses_read,
    .write_first = write_first,
    .write_piece = write_piece,
    .write_last = write_last,
    .write_whole = write_whole,
    .write_comment = openai_write_comment,
    .write_error = write_error,
};
