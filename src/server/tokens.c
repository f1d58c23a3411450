// SPDX-License-Identifier: MIT
// POST /api/tokenize and /api/detokenize: a model's vocabulary, asked of its runner. A text is read as a raw
// prompt is, but without the token that begins one unless "add_special" asks for it.
#include "server/ollama.h"

static void read_rest(struct ask *a, struct fields *f)
{
    ask_read_keep_alive(a, f);
    ask_note_unread(a, f, "");
    a->stream = false;
    if (!f->failed && a->model[0] == '\0')
        err_set(fields_fail(f), ERR_INVALID, "model is required");
}

static int read_tokenize(struct ask *a, struct err *err)
{
    static const char *const names[] = {"text", "content", "prompt"}; // as different programs call it
    struct fields f = fields_open(a->body, "TokenizeRequest", err);
    bool adds = false, parses = true;
    int n_texts = 0;
    ask_read_model(a, &f);
    for (int i = 0; i < 3; i++)
        n_texts += fields_text(&f, names[i], &a->prompt);
    if (!f.failed && n_texts != 1)
        err_set(fields_fail(&f), ERR_INVALID, "one of \"text\", \"content\" and \"prompt\" is required");
    fields_bool(&f, "add_special", &adds);
    fields_bool(&f, "parse_special", &parses);
    a->task = TASK_TOKENIZE;
    a->is_raw = true;
    a->is_plain = !parses;
    a->has_no_bos = !adds;
    read_rest(a, &f);
    return f.failed ? -1 : 0;
}

static int read_detokenize(struct ask *a, struct err *err)
{
    struct fields f = fields_open(a->body, "DetokenizeRequest", err);
    ask_read_model(a, &f);
    if (!ask_read_ids(a, &f, "tokens") && !f.failed)
        err_set(fields_fail(&f), ERR_INVALID, "\"tokens\" is required");
    a->task = TASK_DETOKENIZE;
    read_rest(a, &f);
    return f.failed ? -1 : 0;
}

static void write_durations(struct json_writer *w, const struct generation *g)
{
    json_member_int(w, "total_duration", generate_elapsed_ns(g));
    json_member_int(w, "load_duration", g->queue_ns + g->load_ns);
}

static void write_tokens(struct generation *g, struct strbuf *out)
{
    struct json_writer w = json_writer_make(out);
    json_begin_object(&w);
    json_member_text(&w, "model", g->ask.model);
    json_key(&w, "tokens");
    json_begin_array(&w);
    for (size_t i = 0; i < g->n_ids; i++)
        json_put_uint(&w, g->ids[i]);
    json_end_array(&w);
    json_member_int(&w, "count", (int64_t)g->n_ids);
    write_durations(&w, g);
    json_end_object(&w);
}

static void write_text(struct generation *g, struct strbuf *out)
{
    struct piece all = generate_whole(g->at);
    struct json_writer w = json_writer_make(out);
    json_begin_object(&w);
    json_member_text(&w, "model", g->ask.model);
    json_member_slice(&w, "text", all.text);
    json_member_slice(&w, "content", all.text); // as other programs call it
    write_durations(&w, g);
    json_end_object(&w);
}

const struct dialect ollama_tokenize_dialect = {
    .route = "/api/tokenize",
    .go_type = "api.TokenizeRequest",
    .empty_text = "missing request body",
    .whole_type = REPLY_JSON,
    .errors = ERRORS_OLLAMA,
    .wants_ids = true,
    .read = read_tokenize,
    .write_whole = write_tokens,
};

const struct dialect ollama_detokenize_dialect = {
    .route = "/api/detokenize",
    .go_type = "api.DetokenizeRequest",
    .empty_text = "missing request body",
    .whole_type = REPLY_JSON,
    .errors = ERRORS_OLLAMA,
    .read = read_detokenize,
    .write_whole = write_text,
};
