// SPDX-License-Identifier: MIT
// The bodies of the three requests, and one reader for their streams: text goes through the word wrap at
// once, the last line's figures are kept for the statistics.
#include "cli/chat.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/options.h"
#include "base/utf8.h"
#include "cli/api.h"
#include "cli/format.h"
#include "cli/spinner.h"
#include "cli/wrap.h"
#include "json/writer.h"

enum { MAX_BODY_BYTES = 128 << 20, MAX_ANSWER_BYTES = 64 << 20 };

void chat_init(struct chat *c, const char *model)
{
    *c = (struct chat){.messages = json_array(), .options = json_object(), .wraps_words = true};
    snprintf(c->model, sizeof c->model, "%s", model);
}

void chat_fini(struct chat *c)
{
    json_decref(c->messages);
    json_decref(c->options);
    free(c->system);
    *c = (struct chat){0};
}

static bool is_seconds(const char *text)
{
    const char *digits = text + (text[0] == '-' || text[0] == '+');
    return digits[0] != 0 && digits[strspn(digits, "0123456789")] == 0 && strlen(digits) < 18;
}

int chat_check_keep_alive(const char *text, struct err *err)
{
    int64_t ns;
    return is_seconds(text) ? 0 : duration_parse(text, &ns, err);
}

// ---- Bodies ----

static void begin_body(struct json_writer *w, const struct chat *c)
{
    json_begin_object(w);
    json_member_text(w, "model", c->model);
    if (json_object_size(c->options) > 0) {
        json_key(w, "options");
        json_put_value(w, c->options);
    }
    if (c->keep_alive == NULL)
        return;
    if (is_seconds(c->keep_alive))
        json_member_int(w, "keep_alive", strtoll(c->keep_alive, NULL, 10));
    else
        json_member_text(w, "keep_alive", c->keep_alive);
}

static json_t *message(const char *role, struct slice content)
{
    struct strbuf valid = STRBUF_INIT(MAX_BODY_BYTES); // jansson takes nothing else
    utf8_push_valid(&valid, content);
    json_t *m = json_object();
    json_object_set_new(m, "role", json_string(role));
    json_object_set_new(m, "content", json_stringn(valid.at ? valid.at : "", valid.n));
    strbuf_fini(&valid);
    return m;
}

void chat_set_system(struct chat *c, const char *text)
{
    free(c->system);
    c->system = xstrdup(text);
}

void chat_clear(struct chat *c)
{
    json_array_clear(c->messages);
}

// ---- Answers ----

struct answer {
    struct wrap wrap;
    struct spinner *spinner; // until the first text
    struct strbuf text;
    json_t *last; // the line with "done": true
};

static int on_line(void *user, const json_t *line, struct err *err)
{
    struct answer *a = user;
    const json_t *content = json_object_get(json_object_get(line, "message"), "content");
    if (content == NULL)
        content = json_object_get(line, "response");
    struct slice text = json_slice(content);
    if (text.n > 0) {
        spinner_stop(a->spinner);
        a->spinner = NULL;
        strbuf_push_slice(&a->text, text);
        wrap_push(&a->wrap, text);
        wrap_flush(&a->wrap);
        if (ferror(stdout))
            return err_set(err, ERR_INTERNAL, "standard output: %s", strerror(errno));
    }
    if (json_is_true(json_object_get(line, "done")) && a->last == NULL)
        a->last = json_deep_copy(line);
    return 0;
}

static int64_t figure(const json_t *line, const char *key)
{
    return json_integer_value(json_object_get(line, key));
}

static void print_duration(const char *label, int64_t ns)
{
    char text[FORMAT_BYTES];
    if (ns <= 0)
        return;
    format_duration(ns, text);
    fprintf(stderr, "%-21s %s\n", label, text);
}

static void print_count(const char *label, int64_t n)
{
    if (n > 0)
        fprintf(stderr, "%-21s %lld token(s)\n", label, (long long)n);
}

static void print_rate(const char *label, int64_t n, int64_t ns)
{
    if (ns > 0)
        fprintf(stderr, "%-21s %.2f tokens/s\n", label, (double)n / ((double)ns / 1e9));
}

static void print_statistics(const json_t *line)
{
    int64_t n_prompt = figure(line, "prompt_eval_count"), n = figure(line, "eval_count");
    print_duration("total duration:", figure(line, "total_duration"));
    print_duration("load duration:", figure(line, "load_duration"));
    print_count("prompt eval count:", n_prompt);
    print_duration("prompt eval duration:", figure(line, "prompt_eval_duration"));
    print_rate("prompt eval rate:", n_prompt, figure(line, "prompt_eval_duration"));
    print_count("eval count:", n);
    print_duration("eval duration:", figure(line, "eval_duration"));
    print_rate("eval rate:", n, figure(line, "eval_duration"));
}

static void print_end(struct answer *a, const struct chat *c)
{
    if (a->wrap.wrote && !a->wrap.ends_line)
        putchar('\n');
    fflush(stdout);
    int64_t n_dropped = figure(a->last, "truncated");
    if (n_dropped > 0)
        fprintf(stderr,
                "(the conversation is longer than the context: its oldest %lld tokens were left out)\n",
                (long long)n_dropped);
    if (c->is_verbose && a->last != NULL)
        print_statistics(a->last);
}

// Sends a body and prints its answer; `said` (may be NULL) gets the text.
static int ask(struct chat *c, const char *path, struct strbuf *body, char **said, struct err *err)
{
    struct answer a = {.text = STRBUF_INIT(MAX_ANSWER_BYTES)};
    bool is_terminal = isatty(STDOUT_FILENO);
    bool wraps = c->wraps_words && is_terminal && !options_terminal_is_dumb();
    if (body->overflow)
        return err_set(err, ERR_TOO_LARGE, "that is too long to be sent");
    wrap_init(&a.wrap, stdout, is_terminal, wraps ? wrap_terminal_columns() : 0);
    a.spinner = spinner_start("");
    int rc = api_stream(path, strbuf_slice(body), c->cancel, on_line, &a, err);
    spinner_stop(a.spinner);
    print_end(&a, c);
    if (rc == 0 && a.last == NULL)
        rc = err_set(err, ERR_INTERNAL, "the server ended the answer early");
    if (said != NULL)
        *said = strbuf_take(&a.text);
    strbuf_fini(&a.text);
    json_decref(a.last);
    return rc;
}

int chat_load(struct chat *c, struct err *err)
{
    struct strbuf body = STRBUF_INIT(MAX_BODY_BYTES);
    struct json_writer w = json_writer_make(&body);
    begin_body(&w, c);
    json_member_text(&w, "prompt", "");
    json_end_object(&w);
    bool was_verbose = c->is_verbose;
    c->is_verbose = false; // no answer, no statistics
    int rc = ask(c, "/api/generate", &body, NULL, err);
    c->is_verbose = was_verbose;
    strbuf_fini(&body);
    return rc;
}

int chat_generate(struct chat *c, struct slice prompt, struct err *err)
{
    struct strbuf body = STRBUF_INIT(MAX_BODY_BYTES);
    struct json_writer w = json_writer_make(&body);
    begin_body(&w, c);
    json_member_slice(&w, "prompt", prompt);
    json_end_object(&w);
    int rc = ask(c, "/api/generate", &body, NULL, err);
    strbuf_fini(&body);
    return rc;
}

int chat_send(struct chat *c, struct slice text, struct err *err)
{
    struct strbuf body = STRBUF_INIT(MAX_BODY_BYTES);
    struct json_writer w = json_writer_make(&body);
    size_t n_before = json_array_size(c->messages), i;
    char *said = NULL;
    json_t *m;
    json_array_append_new(c->messages, message("user", text));
    begin_body(&w, c);
    json_key(&w, "messages");
    json_begin_array(&w);
    if (c->system != NULL) {
        m = message("system", slice_of(c->system));
        json_put_value(&w, m);
        json_decref(m);
    }
    json_array_foreach(c->messages, i, m)
    {
        json_put_value(&w, m);
    }
    json_end_array(&w);
    json_end_object(&w);
    int rc = ask(c, "/api/chat", &body, &said, err);
    bool has_answer = said != NULL && said[0] != 0;
    if (rc == 0 || (err->code == ERR_CANCELLED && has_answer))
        json_array_append_new(c->messages, message("assistant", slice_of(said)));
    else
        json_array_remove(c->messages, n_before);
    free(said);
    strbuf_fini(&body);
    return rc;
}
