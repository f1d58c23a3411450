// SPDX-License-Identifier: MIT
// POST /api/embed, /api/embeddings and /v1/embeddings: vectors of texts, from any model. A model gives the
// pooled hidden states as they are; here they are made unit vectors, and shortened if asked for.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "server/ollama.h"
#include "server/openai.h"

// ---- The bodies ----
// A text or an array of texts. `text_is_list`: an empty text is one input, else it is none.
static void read_input(struct ask *a, struct fields *f, bool text_is_list, const char *words)
{
    const json_t *v = fields_find(f, "input");
    a->inputs = json_array();
    if (json_is_string(v) && (text_is_list || json_string_length(v) > 0))
        json_array_append(a->inputs, (json_t *)v);
    if (json_is_array(v)) {
        json_decref(a->inputs);
        a->inputs = json_incref((json_t *)v);
    }
    bool is_valid = !v || json_is_string(v) || json_is_array(v);
    for (size_t i = 0; i < json_array_size(a->inputs); i++)
        is_valid &= json_is_string(json_array_get(a->inputs, i));
    if (!is_valid)
        err_set(fields_fail(f), ERR_INVALID, "%s", words);
}

static void read_dimensions(struct ask *a, struct fields *f)
{
    int64_t n = 0;
    fields_int(f, "dimensions", &n);
    a->dimensions = n > 0 && n < UINT32_MAX ? (uint32_t)n : 0;
    if (n < 0)
        err_set(fields_fail(f), ERR_INVALID, "dimensions must not be negative");
}

static void settle(struct ask *a)
{
    a->task = TASK_EMBED;
    a->stream = false;
    a->is_empty = json_array_size(a->inputs) == 0;
}

static int read_embed(struct ask *a, struct err *err)
{
    struct fields f = fields_open(a->body, "EmbedRequest", err);
    bool truncates = true;
    ask_read_model(a, &f);
    read_input(a, &f, false, "invalid input type");
    fields_bool(&f, "truncate", &truncates);
    a->truncate = truncates ? TRUNCATE_TAIL : TRUNCATE_REFUSE;
    read_dimensions(a, &f);
    ask_read_keep_alive(a, &f);
    ask_read_options(a, &f);
    ask_note_unread(a, &f, "");
    settle(a);
    return f.failed ? -1 : 0;
}

static int read_embeddings(struct ask *a, struct err *err)
{
    struct fields f = fields_open(a->body, "EmbeddingRequest", err);
    struct slice prompt = slice_of("");
    ask_read_model(a, &f);
    fields_text(&f, "prompt", &prompt);
    a->inputs = json_array();
    if (prompt.n > 0)
        json_array_append_new(a->inputs, json_stringn_nocheck(prompt.at, prompt.n));
    a->truncate = TRUNCATE_REFUSE;
    ask_read_keep_alive(a, &f);
    ask_read_options(a, &f);
    ask_note_unread(a, &f, "");
    settle(a);
    if (!f.failed && a->model[0] == '\0')
        err_set(fields_fail(&f), ERR_INVALID, "model is required");
    return f.failed ? -1 : 0;
}

static int read_openai(struct ask *a, struct err *err)
{
    struct fields f = fields_open(a->body, "EmbedRequest", err);
    struct slice format = slice_of("float");
    ask_read_model(a, &f);
    read_input(a, &f, true, "invalid input type");
    if (!f.failed && json_array_size(a->inputs) == 0)
        err_set(fields_fail(&f), ERR_INVALID, "invalid input");
    fields_text(&f, "encoding_format", &format);
    a->is_base64 = slice_is(format, "base64");
    if (!a->is_base64 && !slice_is(format, "float") && format.n > 0)
        err_set(fields_fail(&f), ERR_INVALID,
                "Invalid value for 'encoding_format' = %.*s. Supported values: ['float', 'base64'].",
                (int)MIN(format.n, 64), format.at);
    read_dimensions(a, &f);
    a->truncate = TRUNCATE_TAIL;
    fields_accept(&f, (const char *const[]){"user", NULL});
    ask_note_unread(a, &f, "");
    settle(a);
    return f.failed ? -1 : 0;
}

// ---- Vectors ----
static double length_of(const float *v, uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += (double)v[i] * (double)v[i];
    return sqrt(sum);
}

static int normalise(struct vector *v, uint32_t dimensions, struct err *err)
{
    if (dimensions > 0 && dimensions < v->n)
        v->n = dimensions;
    double length = length_of(v->at, v->n);
    if (!isfinite(length))
        return err_set(err, ERR_INVALID, "embedding contains NaN or Inf values");
    for (uint32_t i = 0; i < v->n; i++)
        v->at[i] = (float)((double)v->at[i] / fmax(length, 1e-12));
    return 0;
}

static int settle_vectors(struct generation *g, struct err *err)
{
    for (size_t i = 0; g->vectors && i < json_array_size(g->ask.inputs); i++)
        if (normalise(&g->vectors[i], g->ask.dimensions, err) != 0)
            return -1;
    return 0;
}

static void put_floats(struct json_writer *w, const struct vector *v)
{
    json_begin_array(w);
    for (uint32_t i = 0; i < v->n; i++)
        json_put_float(w, v->at[i]);
    json_end_array(w);
}

// ---- The replies ----
static void write_embed(struct generation *g, struct strbuf *out)
{
    struct json_writer w = json_writer_make(out);
    json_begin_object(&w);
    json_member_text(&w, "model", g->ask.model);
    json_key(&w, "embeddings");
    json_begin_array(&w);
    for (size_t i = 0; g->vectors && i < json_array_size(g->ask.inputs); i++)
        put_floats(&w, &g->vectors[i]);
    json_end_array(&w);
    if (g->vectors) {
        json_member_int(&w, "total_duration", generate_elapsed_ns(g));
        json_member_int(&w, "load_duration", MAX(g->queue_ns + g->load_ns, 1)); // Go leaves 0 out
        json_member_int(&w, "prompt_eval_count", g->n_prompt);
    }
    json_end_object(&w);
}

static void write_embeddings(struct generation *g, struct strbuf *out)
{
    struct json_writer w = json_writer_make(out);
    json_begin_object(&w);
    json_key(&w, "embedding");
    json_begin_array(&w);
    for (uint32_t i = 0; g->vectors && i < g->vectors[0].n; i++)
        json_put_double(&w, (double)g->vectors[0].at[i]);
    json_end_array(&w);
    json_end_object(&w);
}

// The floats as little-endian bytes, which is how they lie in memory.
static void put_base64(struct json_writer *w, const struct vector *v)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *at = (const unsigned char *)v->at;
    size_t n = v->n * sizeof *v->at;
    struct strbuf text = STRBUF_INIT(4 * (n / 3 + 1) + 1);
    for (size_t i = 0; i < n; i += 3) {
        unsigned bits = (unsigned)at[i] << 16 | (i + 1 < n ? (unsigned)at[i + 1] << 8 : 0) |
                        (i + 2 < n ? (unsigned)at[i + 2] : 0);
        strbuf_push_char(&text, digits[bits >> 18]);
        strbuf_push_char(&text, digits[bits >> 12 & 63]);
        strbuf_push_char(&text, i + 1 < n ? digits[bits >> 6 & 63] : '=');
        strbuf_push_char(&text, i + 2 < n ? digits[bits & 63] : '=');
    }
    json_put_slice(w, strbuf_slice(&text));
    strbuf_fini(&text);
}

static void write_openai(struct generation *g, struct strbuf *out)
{
    struct json_writer w = json_writer_make(out);
    json_begin_object(&w);
    json_member_text(&w, "object", "list");
    json_key(&w, "data");
    json_begin_array(&w);
    for (size_t i = 0; g->vectors && i < json_array_size(g->ask.inputs); i++) {
        json_begin_object(&w);
        json_member_text(&w, "object", "embedding");
        json_key(&w, "embedding");
        if (g->ask.is_base64)
            put_base64(&w, &g->vectors[i]);
        else
            put_floats(&w, &g->vectors[i]);
        json_member_int(&w, "index", (int64_t)i);
        json_end_object(&w);
    }
    json_end_array(&w);
    json_member_text(&w, "model", g->ask.model);
    json_key(&w, "usage");
    json_begin_object(&w);
    json_member_int(&w, "prompt_tokens", g->n_prompt);
    json_member_int(&w, "total_tokens", g->n_prompt);
    json_end_object(&w);
    json_end_object(&w);
    strbuf_push_char(out, '\n');
}

const struct dialect ollama_embed_dialect = {
    .route = "/api/embed",
    .go_type = "api.EmbedRequest",
    .empty_text = "missing request body",
    .whole_type = REPLY_JSON,
    .errors = ERRORS_OLLAMA,
    .says_pull = true,
    .read = read_embed,
    .settle = settle_vectors,
    .write_whole = write_embed,
};

const struct dialect ollama_embeddings_dialect = {
    .route = "/api/embeddings",
    .go_type = "api.EmbeddingRequest",
    .empty_text = "missing request body",
    .whole_type = REPLY_JSON,
    .errors = ERRORS_OLLAMA,
    .says_pull = true,
    .read = read_embeddings,
    .settle = settle_vectors,
    .write_whole = write_embeddings,
};

const struct dialect openai_embeddings_dialect = {
    .route = "/v1/embeddings",
    .go_type = "openai.EmbedRequest",
    .empty_text = "EOF",
    .whole_type = "application/json",
    .errors = ERRORS_OPENAI,
    .says_pull = true,
    .read = read_openai,
    .settle = settle_vectors,
    .write_whole = write_openai,
};
