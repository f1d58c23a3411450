// SPDX-License-Identifier: MIT
// POST /v1/messages and /v1/messages/count_tokens: the answers of Anthropic's Messages. Unlike Ollama's, a
// stream begins with the true number of input tokens, and a stop sequence that ended the answer is named.
#include "server/anthropic.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "server/openai.h"

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
                     : g->at->n_calls > 0         ? "tool_use"
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

static void write_text_block(struct json_writer *w, const char *type, const char *member, struct slice text)
{
    json_begin_object(w);
    json_member_text(w, "type", type);
    json_member_slice(w, member, text);
    if (strcmp(type, "thinking") == 0)
        json_member_text(w, "signature", ""); // clients look for one; nothing here needs to be proved
    json_end_object(w);
}

// In a stream the input follows.
static void write_call_block(struct json_writer *w, const struct tool_call *call, const char *input)
{
    json_begin_object(w);
    json_member_text(w, "type", "tool_use");
    json_member_text(w, "id", call->id);
    json_member_text(w, "name", call->name);
    json_key(w, "input");
    json_put_raw(w, slice_of(input));
    json_end_object(w);
}

// ---- Blocks of a stream ----
static void begin_block_event(struct generation *g, const char *type, struct strbuf *out,
                              struct json_writer *w)
{
    begin_event(out, w, type);
    json_member_int(w, "index", (int64_t)g->at->n_parts - 1);
}

static void close_block(struct generation *g, struct strbuf *out)
{
    struct json_writer w;
    if (g->at->open_part == PART_NONE)
        return;
    begin_block_event(g, "content_block_stop", out, &w);
    end_event(out, &w);
    g->at->open_part = PART_NONE;
}

static void open_block(struct generation *g, enum part_kind kind, const struct piece *p, struct strbuf *out)
{
    struct json_writer w;
    if (g->at->open_part == kind && kind != PART_CALL)
        return;
    close_block(g, out);
    g->at->open_part = kind;
    g->at->n_parts++;
    begin_block_event(g, "content_block_start", out, &w);
    json_key(&w, "content_block");
    if (kind == PART_CALL)
        write_call_block(&w, p->calls, "{}");
    else if (kind == PART_THINKING)
        write_text_block(&w, "thinking", "thinking", slice_of(""));
    else
        write_text_block(&w, "text", "text", slice_of(""));
    end_event(out, &w);
}

static void write_piece(struct generation *g, const struct piece *p, struct strbuf *out)
{
    struct json_writer w;
    enum part_kind kind = piece_kind(p);
    if (kind == PART_NONE)
        return;
    open_block(g, kind, p, out);
    begin_block_event(g, "content_block_delta", out, &w);
    json_key(&w, "delta");
    if (kind == PART_CALL)
        write_text_block(&w, "input_json_delta", "partial_json", slice_of(p->calls->arguments));
    else if (kind == PART_THINKING)
        write_text_block(&w, "thinking_delta", "thinking", p->thinking);
    else
        write_text_block(&w, "text_delta", "text", p->text);
    end_event(out, &w);
}

static void write_last(struct generation *g, struct strbuf *out)
{
    struct json_writer w;
    close_block(g, out);
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
    if (all.thinking.n > 0)
        write_text_block(&w, "thinking", "thinking", all.thinking);
    if (all.text.n > 0)
        write_text_block(&w, "text", "text", all.text);
    for (uint32_t i = 0; i < all.n_calls; i++)
        write_call_block(&w, &all.calls[i], all.calls[i].arguments);
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
    .read = anthropic_read,
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
    .read = anthropic_read_counted,
    .write_whole = write_count,
};
