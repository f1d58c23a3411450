// SPDX-License-Identifier: MIT
// POST /v1/chat/completions: the body, and the replies' members in OpenAI's order.
#include "server/openai.h"

#include <string.h>

#include "base/mem.h"
#include "server/logprobs.h"

// ---- The body ----
static void read_effort(struct ask *a, struct fields *f)
{
    struct slice effort = slice_of("");
    const json_t *reasoning = fields_object(f, "reasoning", "openai.Reasoning");
    if (!fields_text(f, "reasoning_effort", &effort))
        effort = json_slice(json_object_get(reasoning, "effort"));
    openai_read_effort(a, f, effort);
}

static int read_body(struct ask *a, struct err *err)
{
    struct fields f = fields_open(a->body, "ChatCompletionRequest", err);
    int64_t top = 0;
    ask_read_model(a, &f);
    openai_read_messages(a, &f);
    openai_read_tools(a, &f);
    openai_read_common(a, &f);
    read_effort(a, &f);
    fields_bool(&f, "logprobs", &a->logprobs);
    fields_int(&f, "top_logprobs", &top);
    if (top < 0 || top > PARAMS_MAX_TOP_LOGPROBS)
        err_set(fields_fail(&f), ERR_INVALID, "top_logprobs must be between 0 and 20");
    a->top_logprobs = (int32_t)top;
    ask_note_unread(a, &f, "");
    return f.failed ? -1 : 0;
}

// ---- The replies ----
static void write_logprobs(struct json_writer *w, const struct piece *p)
{
    if (p->n_logprobs == 0)
        return;
    json_key(w, "logprobs");
    json_begin_object(w);
    json_key(w, "content");
    logprobs_write(w, p->logprobs, p->n_logprobs, true);
    json_end_object(w);
}

// What an answer or a delta says. Thoughts and calls are there when they are.
static void write_said(struct json_writer *w, const struct piece *p)
{
    json_member_slice(w, "content", p->text);
    if (p->thinking.n > 0)
        json_member_slice(w, "reasoning", p->thinking);
    if (p->n_calls == 0)
        return;
    json_key(w, "tool_calls");
    json_begin_array(w);
    for (uint32_t i = 0; i < p->n_calls; i++) {
        json_begin_object(w);
        json_member_text(w, "id", p->calls[i].id);
        json_member_int(w, "index", p->calls[i].index);
        json_member_text(w, "type", "function");
        json_key(w, "function");
        json_begin_object(w);
        json_member_text(w, "name", p->calls[i].name);
        json_member_text(w, "arguments", p->calls[i].arguments);
        json_end_object(w);
        json_end_object(w);
    }
    json_end_array(w);
}

// One chunk; `p` NULL: the delta is empty, `is_first`: it names the role.
static void write_chunk(struct generation *g, const struct piece *p, bool is_first, bool is_last,
                        struct strbuf *out)
{
    openai_begin_event(out);
    struct json_writer w = json_writer_make(out);
    json_begin_object(&w);
    openai_write_head(&w, g, "chatcmpl", "chat.completion.chunk");
    json_key(&w, "choices");
    json_begin_array(&w);
    json_begin_object(&w);
    json_member_int(&w, "index", g->at->index);
    json_key(&w, "delta");
    json_begin_object(&w);
    if (is_first)
        json_member_text(&w, "role", "assistant");
    if (p)
        write_said(&w, p);
    json_end_object(&w);
    openai_write_reason(&w, is_last ? g->at : NULL);
    if (p)
        write_logprobs(&w, p);
    json_end_object(&w);
    json_end_array(&w);
    if (is_last)
        openai_write_own(&w, g);
    json_end_object(&w);
    openai_end_event(out);
}

static void write_piece(struct generation *g, const struct piece *p, struct strbuf *out)
{
    write_chunk(g, p, g->at->n_pieces == 0, false, out);
}

static void write_end(struct generation *g, struct strbuf *out)
{
    struct piece empty = {.text = slice_of("")};
    if (g->at->n_pieces == 0)
        write_chunk(g, &empty, true, false, out);
    write_chunk(g, NULL, false, true, out);
}

static void write_last(struct generation *g, struct strbuf *out)
{
    openai_end_stream(out, g, "chatcmpl", "chat.completion.chunk");
}

static void write_choice(struct json_writer *w, const struct choice *c)
{
    struct piece all = generate_whole(c);
    json_begin_object(w);
    json_member_int(w, "index", c->index);
    json_key(w, "message");
    json_begin_object(w);
    json_member_text(w, "role", "assistant");
    write_said(w, &all);
    json_end_object(w);
    openai_write_reason(w, c);
    write_logprobs(w, &all);
    json_end_object(w);
}

static void write_whole(struct generation *g, struct strbuf *out)
{
    openai_write_whole(out, g, "chatcmpl", "chat.completion", write_choice);
}

const struct dialect openai_chat_dialect = {
    .route = "/v1/chat/completions",
    .go_type = "openai.ChatCompletionRequest",
    .empty_text = "EOF",
    .verb = "chat",
    .stream_type = "text/event-stream",
    .whole_type = "application/json",
    .errors = ERRORS_OPENAI,
    .read = read_body,
    .write_piece = write_piece,
    .write_end = write_end,
    .write_last = write_last,
    .write_whole = write_whole,
    .write_comment = openai_write_comment,
    .write_error = openai_write_error,
};
