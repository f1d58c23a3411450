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
