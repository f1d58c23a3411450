// SPDX-License-Identifier: MIT
// POST /v1/completions: the body, and the replies' members. As in Ollama the prompt goes through the model's
// template; with include_usage every chunk has a usage of zeros and a last one the real numbers.
#include "server/openai.h"

#include <string.h>

// ---- The body ----
static void read_logprobs(struct ask *a, struct fields *f)
{
    int64_t n = 0;
    if (!fields_int(f, "logprobs", &n))
        return;
    if (n < 0 || n > PARAMS_MAX_TOP_LOGPROBS)
        err_set(fields_fail(f), ERR_INVALID, "logprobs must be between 0 and 20");
    a->logprobs = true;
    a->top_logprobs = (int32_t)n;
}

static int read_body(struct ask *a, struct err *err)
{
    struct fields f = fields_open(a->body, "CompletionRequest", err);
    ask_read_model(a, &f);
    fields_text(&f, "prompt", &a->prompt);
    if (fields_text(&f, "suffix", &a->suffix) && a->suffix.n > 0)
        a->needs |= NEED_INSERT;
    openai_read_common(a, &f);
    read_logprobs(a, &f);
    a->is_empty = a->prompt.n == 0;
    ask_note_unread(a, &f, "");
    return f.failed ? -1 : 0;
}

// ---- The replies ----
// OpenAI's older form: parallel arrays; the offsets count characters of the answer's text.
static size_t count_characters(struct slice text)
{
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++)
        n += ((unsigned char)text.at[i] & 0xC0) != 0x80;
    return n;
}

static void write_top(struct json_writer *w, const struct token_logprobs *t)
{
    json_begin_object(w);
    for (uint32_t i = 0; i < t->n_top; i++) {
        char token[256];
        size_t n = t->top[i].bytes.n < sizeof token ? t->top[i].bytes.n : sizeof token - 1;
        memcpy(token, n ? t->top[i].bytes.at : "", n);
        token[n] = '\0';
        json_key(w, token);
        json_put_double(w, (double)t->top[i].logprob);
    }
    json_end_object(w);
}

static void write_logprobs(struct json_writer *w, const struct piece *p, size_t offset)
{
    if (p->n_logprobs == 0)
        return;
    json_key(w, "logprobs");
    json_begin_object(w);
    json_key(w, "tokens");
    json_begin_array(w);
    for (uint32_t i = 0; i < p->n_logprobs; i++)
        json_put_slice(w, p->logprobs[i].chosen.bytes);
    json_end_array(w);
    json_key(w, "token_logprobs");
    json_begin_array(w);
    for (uint32_t i = 0; i < p->n_logprobs; i++)
        json_put_double(w, (double)p->logprobs[i].chosen.logprob);
    json_end_array(w);
    json_key(w, "top_logprobs");
    json_begin_array(w);
    for (uint32_t i = 0; i < p->n_logprobs; i++)
        write_top(w, &p->logprobs[i]);
    json_end_array(w);
    json_key(w, "text_offset");
    json_begin_array(w);
    for (uint32_t i = 0; i < p->n_logprobs; offset += count_characters(p->logprobs[i++].chosen.bytes))
        json_put_uint(w, offset);
    json_end_array(w);
    json_end_object(w);
}

static void write_choice(struct json_writer *w, const struct choice *c, const struct piece *p, bool is_last,
                         size_t offset)
{
    json_begin_object(w);
    json_member_slice(w, "text", p->text);
    json_member_int(w, "index", c->index);
    openai_write_reason(w, is_last ? c : NULL);
    write_logprobs(w, p, offset);
    json_end_object(w);
}

static void write_no_usage(struct json_writer *w, const struct generation *g)
{
    static const struct generation nothing;
    if (g->ask.include_usage)
        openai_write_usage(w, &nothing);
}

static void write_chunk(struct generation *g, const struct piece *p, bool is_last, struct strbuf *out)
{
    openai_begin_event(out);
    struct json_writer w = json_writer_make(out);
    json_begin_object(&w);
    openai_write_head(&w, g, "cmpl", "text_completion");
    json_key(&w, "choices");
    json_begin_array(&w);
    write_choice(&w, g->at, p, is_last, g->at->n_characters);
    json_end_array(&w);
    write_no_usage(&w, g);
    if (is_last)
        openai_write_own(&w, g);
    json_end_object(&w);
    openai_end_event(out);
}

static void write_piece(struct generation *g, const struct piece *p, struct strbuf *out)
{
    if (p->thinking.n > 0 && p->n_logprobs == 0) // there is no place for it
        return;
    write_chunk(g, p, false, out);
    g->at->n_characters += count_characters(p->text);
}

static void write_end(struct generation *g, struct strbuf *out)
{
    write_chunk(g, &(struct piece){.text = slice_of("")}, true, out);
}

static void write_last(struct generation *g, struct strbuf *out)
{
    openai_end_stream(out, g, "cmpl", "text_completion");
}

static void write_whole_choice(struct json_writer *w, const struct choice *c)
{
    struct piece all = generate_whole(c);
    write_choice(w, c, &all, true, 0);
}

static void write_whole(struct generation *g, struct strbuf *out)
{
    openai_write_whole(out, g, "cmpl", "text_completion", write_whole_choice);
}

const struct dialect openai_completions_dialect = {
    .route = "/v1/completions",
    .go_type = "openai.CompletionRequest",
    .empty_text = "EOF",
    .verb = "generate",
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
