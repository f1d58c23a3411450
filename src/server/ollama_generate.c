// SPDX-License-Identifier: MIT
// POST /api/generate: the body, and the replies' members in Ollama's order.
#include "server/ollama.h"

#include "base/mem.h"

static int read_body(struct ask *a, struct err *err)
{
    struct fields f = fields_open(a->body, "GenerateRequest", err);
    ask_read_model(a, &f);
    fields_text(&f, "prompt", &a->prompt);
    if (fields_text(&f, "suffix", &a->suffix) && a->suffix.n > 0)
        a->needs |= NEED_INSERT;
    a->has_system = fields_text(&f, "system", &a->system);
    fields_text(&f, "template", &a->template_text);
    fields_bool(&f, "raw", &a->is_raw);
    ask_read_ids(a, &f, "context");
    if (!fields_is_empty(fields_array(&f, "images", "[]api.ImageData")))
        a->needs |= NEED_VISION;
    ask_read_ollama(a, &f);
    a->is_empty = a->prompt.n == 0;
    if (a->is_empty) {
        a->stream = false; // the answer to loading is one object
        a->task = TASK_GENERATE;
        a->needs = 0;
    }
    ask_note_unread(a, &f, "");
    return f.failed ? -1 : 0;
}

static void write_thinking(struct json_writer *w, const struct piece *p)
{
    if (p->thinking.n > 0)
        json_member_slice(w, "thinking", p->thinking);
}

static void write_piece(struct generation *g, const struct piece *p, struct strbuf *out)
{
    struct json_writer w = json_writer_make(out);
    json_begin_object(&w);
    ollama_write_head(&w, g);
    json_member_slice(&w, "response", p->text);
    write_thinking(&w, p);
    json_member_bool(&w, "done", false);
    ollama_write_logprobs(&w, p);
    json_end_object(&w);
    strbuf_push_char(out, '\n');
}

static void write_context(struct json_writer *w, const struct generation *g)
{
    if (g->n_ids == 0 || g->ask.is_raw)
        return;
    json_key(w, "context");
    json_begin_array(w);
    for (size_t i = 0; i < g->n_ids; i++)
        json_put_uint(w, g->ids[i]);
    json_end_array(w);
}

static void write_object(struct generation *g, const struct piece *all, struct strbuf *out)
{
    struct json_writer w = json_writer_make(out);
    json_begin_object(&w);
    ollama_write_head(&w, g);
    if (g->ask.task == TASK_RENDER) {
        json_member_text(&w, "response", "");
        ollama_write_rendered(&w, all);
        return;
    }
    json_member_slice(&w, "response", all->text);
    write_thinking(&w, all);
    json_member_bool(&w, "done", true);
    ollama_write_reason(&w, g);
    write_context(&w, g);
    ollama_write_metrics(&w, g);
    ollama_write_logprobs(&w, all);
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

const struct dialect ollama_generate_dialect = {
    .route = "/api/generate",
    .go_type = "api.GenerateRequest",
    .empty_text = "missing request body",
    .verb = "generate",
    .stream_type = "application/x-ndjson",
    .whole_type = REPLY_JSON,
    .errors = ERRORS_OLLAMA,
    .wants_ids = true,
    .read = read_body,
    .write_piece = write_piece,
    .write_last = write_last,
    .write_whole = write_whole,
    .write_error = ollama_write_error,
};
