// SPDX-License-Identifier: MIT
// POST /api/chat: the body, and the replies' members in Ollama's order.
#include "server/ollama.h"

static int read_body(struct ask *a, struct err *err)
{
    struct fields f = fields_open(a->body, "ChatRequest", err);
    ask_read_model(a, &f);
    ask_read_messages(a, &f);
    const json_t *tools = fields_array(&f, "tools", "api.Tools");
    if (!fields_is_empty(tools)) {
        a->needs |= NEED_TOOLS;
        a->tools = json_incref((json_t *)tools);
    }
    ask_read_ollama(a, &f);
    if (a->is_empty) {
        a->stream = false; // the answer to loading is one object
        a->task = TASK_GENERATE;
        a->needs = 0;
    }
    ask_note_unread(a, &f, "");
    return f.failed ? -1 : 0;
}

static void write_call(struct json_writer *w, const struct tool_call *call)
{
    json_begin_object(w);
    json_member_text(w, "id", call->id);
    json_key(w, "function");
    json_begin_object(w);
    json_member_int(w, "index", call->index);
    json_member_text(w, "name", call->name);
    json_key(w, "arguments");
    json_put_raw(w, slice_of(call->arguments));
    json_end_object(w);
    json_end_object(w);
}

static void write_message(struct json_writer *w, const char *role, const struct piece *p)
{
    json_key(w, "message");
    json_begin_object(w);
    json_member_text(w, "role", role);
    json_member_slice(w, "content", p->text);
    if (p->thinking.n > 0)
        json_member_slice(w, "thinking", p->thinking);
    if (p->n_calls > 0) {
        json_key(w, "tool_calls");
        json_begin_array(w);
        for (uint32_t i = 0; i < p->n_calls; i++)
            write_call(w, &p->calls[i]);
        json_end_array(w);
    }
    json_end_object(w);
}

static void write_piece(struct generation *g, const struct piece *p, struct strbuf *out)
{
    struct json_writer w = json_writer_make(out);
    json_begin_object(&w);
    ollama_write_head(&w, g);
    write_message(&w, "assistant", p);
    json_member_bool(&w, "done", false);
    ollama_write_logprobs(&w, p);
    json_end_object(&w);
    strbuf_push_char(out, '\n');
}

static void write_object(struct generation *g, const struct piece *all, struct strbuf *out)
{
    struct json_writer w = json_writer_make(out);
    struct piece empty = {.text = slice_of("")};
    json_begin_object(&w);
    ollama_write_head(&w, g);
    if (g->ask.task == TASK_RENDER) {
        write_message(&w, "", &empty);
        ollama_write_rendered(&w, all);
        return;
    }
    write_message(&w, "assistant", all);
    json_member_bool(&w, "done", true);
    ollama_write_reason(&w, g);
    ollama_write_logprobs(&w, all);
    ollama_write_metrics(&w, g);
    ollama_write_own(&w, g);
    json_end_object(&w);
}

static void write_whole(struct generation *g, struct strbuf *out)
{
    struct piece all = generate_whole(g->at);
    write_object(g, &all, out);
}

static void write_last(struct generation *g, struct strbuf *out)
{
    write_object(g, &(struct piece){.text = slice_of("")}, out);
    strbuf_push_char(out, '\n');
}

const struct dialect ollama_chat_dialect = {
    .route = "/api/chat",
    .go_type = "api.ChatRequest",
    .empty_text = "missing request body",
    .verb = "chat",
    .stream_type = "application/x-ndjson",
    .whole_type = REPLY_JSON,
    .errors = ERRORS_OLLAMA,
    .read = read_body,
    .write_piece = write_piece,
    .write_last = write_last,
    .write_whole = write_whole,
    .write_error = ollama_write_error,
};
