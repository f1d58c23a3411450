// SPDX-License-Identifier: MIT
// The bodies of the requests, and one reader for their streams: text goes through the word wrap at once, what
// the model thinks between two lines of its own, the last line's figures are kept for the statistics.
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
#include "cli/input.h"
#include "cli/show.h"
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
    json_decref(c->format);
    json_decref(c->think);
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

json_t *chat_parse_think(const char *text)
{
    static const char *const levels[] = {"high", "medium", "low", "max"};
    if (text[0] == 0 || strcmp(text, "true") == 0 || strcmp(text, "false") == 0)
        return json_boolean(text[0] != 'f');
    for (size_t i = 0; i < COUNT_OF(levels); i++)
        if (strcmp(text, levels[i]) == 0)
            return json_string(text);
    return NULL;
}

// ---- Bodies ----

static void put_member(struct json_writer *w, const char *key, const json_t *value)
{
    if (value == NULL)
        return;
    json_key(w, key);
    json_put_value(w, value);
}

static void begin_body(struct json_writer *w, const struct chat *c)
{
    json_begin_object(w);
    json_member_text(w, "model", c->model);
    if (json_object_size(c->options) > 0)
        put_member(w, "options", c->options);
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

// `text` without the images that it names; these into `images`. A model that takes none is told by name of
// the first, so that it does not answer as if it had seen it.
static int take_images(const struct chat *c, struct slice text, struct strbuf *rest, json_t *images,
                       struct err *err)
{
    char path[INPUT_PATH_BYTES];
    if (!input_names_image(text, path)) {
        strbuf_push_slice(rest, text);
        return 0;
    }
    if (!c->takes_images)
        return err_set(err, ERR_INVALID, "\"%s\" does not support images: %s", c->model, path);
    return input_take_images(text, rest, images, err);
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
    struct strbuf text, thought;
    bool shows_thinking, is_thinking;
    bool wraps;
    json_t *last; // the line with "done": true
};

static const char *grey(const struct answer *a)
{
    return a->wrap.is_terminal && !options_no_color() && !options_terminal_is_dumb() ? "\x1b[38;5;245m" : "";
}

static void print_text(struct answer *a, struct slice text)
{
    spinner_stop(a->spinner);
    a->spinner = NULL;
    if (a->wraps)
        wrap_resize(&a->wrap, wrap_terminal_columns());
    wrap_push(&a->wrap, text);
    wrap_flush(&a->wrap);
}

static void print_thinking(struct answer *a, struct slice text)
{
    strbuf_push_slice(&a->thought, text);
    if (!a->shows_thinking)
        return;
    if (!a->is_thinking) {
        print_text(a, slice_of(""));
        fputs(grey(a), stdout);
        print_text(a, slice_of("Thinking...\n"));
    }
    a->is_thinking = true;
    print_text(a, text);
}

static void end_thinking(struct answer *a)
{
    if (!a->is_thinking)
        return;
    a->is_thinking = false;
    if (!a->wrap.ends_line)
        print_text(a, slice_of("\n"));
    print_text(a, slice_of("...done thinking.\n\n"));
    fputs(grey(a)[0] != 0 ? "\x1b[0m" : "", stdout);
}

static int on_line(void *user, const json_t *line, struct err *err)
{
    struct answer *a = user;
    const json_t *said = json_object_get(line, "message");
    struct slice text = json_slice(json_object_get(said ? said : line, said ? "content" : "response"));
    struct slice thought = json_slice(json_object_get(said ? said : line, "thinking"));
    if (thought.n > 0)
        print_thinking(a, thought);
    if (text.n > 0) {
        end_thinking(a);
        strbuf_push_slice(&a->text, text);
        print_text(a, text);
    }
    if (ferror(stdout))
        return err_set(err, ERR_INTERNAL, "standard output: %s", strerror(errno));
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
    end_thinking(a);
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

// Sends a body and prints its answer. `said` (may be NULL) gets it as a message of a conversation, NULL if
// nothing was said.
static int ask(struct chat *c, const char *path, struct strbuf *body, json_t **said, struct err *err)
{
    struct answer a = {.text = STRBUF_INIT(MAX_ANSWER_BYTES),
                       .thought = STRBUF_INIT(MAX_ANSWER_BYTES),
                       .shows_thinking = !c->hides_thinking};
    bool is_terminal = isatty(STDOUT_FILENO);
    a.wraps = c->wraps_words && is_terminal && !options_terminal_is_dumb();
    if (body->overflow)
        return err_set(err, ERR_TOO_LARGE, "that is too long to be sent");
    wrap_init(&a.wrap, stdout, is_terminal, a.wraps ? wrap_terminal_columns() : 0);
    a.spinner = spinner_start("");
    int rc = api_stream(path, strbuf_slice(body), c->cancel, on_line, &a, err);
    spinner_stop(a.spinner);
    print_end(&a, c);
    if (rc == 0 && a.last == NULL)
        rc = err_set(err, ERR_INTERNAL, "the server ended the answer early");
    if (said != NULL)
        *said = a.text.n > 0 ? message("assistant", strbuf_slice(&a.text)) : NULL;
    if (said != NULL && *said != NULL && a.thought.n > 0) {
        json_t *thought = message("", strbuf_slice(&a.thought));
        json_object_set(*said, "thinking", json_object_get(thought, "content"));
        json_decref(thought);
    }
    strbuf_fini(&a.text);
    strbuf_fini(&a.thought);
    json_decref(a.last);
    return rc;
}

// Whether the server's account of the model names `word` among what it can.
static bool can(const json_t *model, const char *word)
{
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(model, "capabilities"), i, item)
    {
        if (json_is_string(item) && strcmp(json_string_value(item), word) == 0)
            return true;
    }
    return false;
}

int chat_look(struct chat *c, struct err *err)
{
    json_t *model = NULL;
    if (show_request(c->model, false, &model, err) != 0)
        return -1;
    c->takes_images = can(model, "vision");
    c->only_embeds = can(model, "embedding") && !can(model, "completion");
    json_decref(model);
    return 0;
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
    struct strbuf body = STRBUF_INIT(MAX_BODY_BYTES), text = STRBUF_INIT(MAX_BODY_BYTES);
    struct json_writer w = json_writer_make(&body);
    json_t *images = json_array();
    int rc = take_images(c, prompt, &text, images, err);
    if (rc == 0) {
        begin_body(&w, c);
        json_member_slice(&w, "prompt", strbuf_slice(&text));
        put_member(&w, "images", json_array_size(images) > 0 ? images : NULL);
        put_member(&w, "format", c->format);
        put_member(&w, "think", c->think);
        json_end_object(&w);
        rc = ask(c, "/api/generate", &body, NULL, err);
    }
    json_decref(images);
    strbuf_fini(&text);
    strbuf_fini(&body);
    return rc;
}

int chat_embed(struct chat *c, struct slice text, const json_t *extra, struct err *err)
{
    struct strbuf body = STRBUF_INIT(MAX_BODY_BYTES);
    struct json_writer w = json_writer_make(&body);
    const char *key;
    json_t *answer = NULL, *value;
    begin_body(&w, c);
    json_member_slice(&w, "input", text);
    json_object_foreach((json_t *)(uintptr_t)extra, key, value)
    {
        put_member(&w, key, value);
    }
    json_end_object(&w);
    int rc = api_call("/api/embed", strbuf_slice(&body), &answer, err);
    const json_t *vector = json_array_get(json_object_get(answer, "embeddings"), 0);
    if (rc == 0 && vector != NULL)
        api_print_json(vector);
    else if (rc == 0)
        rc = err_set(err, ERR_INTERNAL, "the server's answer has no vector");
    json_decref(answer);
    strbuf_fini(&body);
    return rc;
}

// Whatever is told while a model is made ends with "success" or with an error.
static int on_saved(void *user, const json_t *line, struct err *err)
{
    return 0;
}

int chat_save(const struct chat *c, const char *name, struct err *err)
{
    struct strbuf body = STRBUF_INIT(MAX_BODY_BYTES);
    struct json_writer w = json_writer_make(&body);
    json_begin_object(&w);
    json_member_text(&w, "model", name);
    json_member_text(&w, "from", c->model);
    if (c->system != NULL)
        json_member_text(&w, "system", c->system);
    if (json_object_size(c->options) > 0)
        put_member(&w, "parameters", c->options);
    if (json_array_size(c->messages) > 0)
        put_member(&w, "messages", c->messages);
    json_end_object(&w);
    int rc = body.overflow ? err_set(err, ERR_TOO_LARGE, "that is too long to be sent")
                           : api_stream("/api/create", strbuf_slice(&body), NULL, on_saved, NULL, err);
    strbuf_fini(&body);
    return rc;
}

// The message of a person, with the images that it names.
static json_t *user_message(const struct chat *c, struct slice text, struct err *err)
{
    struct strbuf rest = STRBUF_INIT(MAX_BODY_BYTES);
    json_t *images = json_array(), *m = NULL;
    if (take_images(c, text, &rest, images, err) == 0) {
        m = message("user", strbuf_slice(&rest));
        if (json_array_size(images) > 0)
            json_object_set(m, "images", images);
    }
    json_decref(images);
    strbuf_fini(&rest);
    return m;
}

int chat_send(struct chat *c, struct slice text, struct err *err)
{
    struct strbuf body = STRBUF_INIT(MAX_BODY_BYTES);
    struct json_writer w = json_writer_make(&body);
    size_t n_before = json_array_size(c->messages), i;
    json_t *m = user_message(c, text, err), *said = NULL;
    if (m == NULL)
        return -1;
    json_array_append_new(c->messages, m);
    begin_body(&w, c);
    put_member(&w, "format", c->format);
    put_member(&w, "think", c->think);
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
    if (rc == 0 || (err->code == ERR_CANCELLED && said != NULL))
        json_array_append_new(c->messages,
                              said != NULL ? json_incref(said) : message("assistant", slice_of("")));
    else
        json_array_remove(c->messages, n_before);
    json_decref(said);
    strbuf_fini(&body);
    return rc;
}
