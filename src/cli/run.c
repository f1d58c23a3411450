// SPDX-License-Identifier: MIT
// `drover run`: a prompt from the arguments and from a piped stdin is answered once; without any, on a
// terminal, a conversation begins. A model that only embeds prints the prompt's vector.
#include "cli/cli.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/program.h"
#include "base/strbuf.h"
#include "cli/api.h"
#include "cli/chat.h"
#include "cli/line.h"
#include "cli/repl.h"
#include "cli/pull.h"

enum { MAX_PROMPT_BYTES = 32 << 20 };

const struct args_flag cli_run_flags[] = {
    {"keepalive", 0, ARGS_TEXT, "DURATION", "how long the model stays loaded afterwards (5m, 0, -1)"},
    {"verbose", 0, ARGS_SWITCH, NULL, "statistics after each answer"},
    {"insecure", 0, ARGS_SWITCH, NULL, "pull a missing model over plain http"},
    {"nowordwrap", 0, ARGS_SWITCH, NULL, "do not break long lines between words"},
    {"format", 0, ARGS_TEXT, "json|SCHEMA", "answers are JSON, or JSON of that schema"},
    {"think", 0, ARGS_MAYBE, "[=LEVEL]", "let the model think: true, false, high, medium, low or max"},
    {"hidethinking", 0, ARGS_SWITCH, NULL, "do not show what the model thinks"},
    {"truncate", 0, ARGS_MAYBE, "[=BOOL]", "of a text to embed that is too long: cut it (else an error)"},
    {"dimensions", 0, ARGS_UINT, "N", "of the vector that an embedding model gives"},
    {"context-size", 0, ARGS_UINT, "N", "most tokens of prompt and answer together (num_ctx)"},
    {NULL},
};

static int read_stdin(struct strbuf *out, struct err *err)
{
    char piece[65536];
    for (;;) {
        ssize_t n = read(STDIN_FILENO, piece, sizeof piece);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(err, ERR_INTERNAL, "standard input: %s", strerror(errno));
        if (n == 0)
            return 0;
        strbuf_push(out, piece, (size_t)n);
        if (out->overflow)
            return err_set(err, ERR_TOO_LARGE, "standard input: more than %d MiB", MAX_PROMPT_BYTES >> 20);
    }
}

// What is piped in first, then the words of the command line, with blanks between.
static int gather_prompt(const struct args *a, struct strbuf *prompt, struct err *err)
{
    if (!isatty(STDIN_FILENO) && read_stdin(prompt, err) != 0)
        return -1;
    for (int i = 1; i < a->n_operands; i++) {
        if (prompt->n > 0)
            strbuf_push_char(prompt, ' ');
        strbuf_push_text(prompt, a->operands[i]);
    }
    if (prompt->overflow)
        return err_set(err, ERR_TOO_LARGE, "the prompt is longer than %d MiB", MAX_PROMPT_BYTES >> 20);
    return 0;
}

static int fail(const struct err *err)
{
    int rc = api_fail(err);
    if (err->code == ERR_NOT_FOUND)
        fprintf(stderr, "'%1$s list' shows the models, '%1$s pull' and '%1$s import' add one\n",
                program_name());
    return rc;
}

// The members of a request to embed that flags give; NULL: none.
static json_t *embed_members(const struct args *a)
{
    const char *truncate = args_text(a, "truncate");
    json_t *extra = json_object();
    if (truncate != NULL)
        json_object_set_new(extra, "truncate", json_boolean(strcmp(truncate, "false") != 0));
    if (args_has(a, "dimensions"))
        json_object_set_new(extra, "dimensions", json_integer((json_int_t)args_uint(a, "dimensions", 0)));
    return extra;
}

static int embed(struct chat *c, const struct args *a, struct slice prompt, struct err *err)
{
    if (prompt.n == 0)
        return err_set(err, ERR_INVALID, "embedding models require input text: %s run %s \"your text here\"",
                       program_name(), c->model);
    json_t *extra = embed_members(a);
    int rc = chat_embed(c, prompt, extra, err);
    json_decref(extra);
    return rc;
}

// Ctrl-C ends the answer, and that is no failure.
static int generate(struct chat *c, struct slice prompt, struct err *err)
{
    line_catch_interrupt(true);
    c->cancel = &line_interrupted;
    int rc = chat_generate(c, prompt, err);
    line_catch_interrupt(false);
    if (rc == 0 || err->code != ERR_CANCELLED)
        return rc;
    err_clear(err);
    return 0;
}

static int ask(struct chat *c, const struct args *a, struct slice prompt, struct err *err)
{
    if (chat_look(c, err) != 0)
        return -1;
    if (c->only_embeds)
        return embed(c, a, prompt, err);
    if (args_has(a, "truncate") || args_has(a, "dimensions"))
        return err_set(err, ERR_INVALID, "--truncate and --dimensions: \"%s\" is no embedding model",
                       c->model);
    return prompt.n > 0 ? generate(c, prompt, err) : chat_load(c, err);
}

// A model that the server has not is pulled. Fails with the first error, and why the pull failed behind it.
static int pull(struct chat *c, const struct args *a, struct err *err)
{
    struct err first = *err, why = {0};
    int rc = pull_model(c->model, args_has(a, "insecure"), &why);
    err_clear(err);
    return rc == 0 ? 0
                   : err_set(err, first.code, "%s, and pulling it failed: %s", first.message, why.message);
}

static int answer(struct chat *c, const struct args *a)
{
    struct err err = {0};
    struct strbuf prompt = STRBUF_INIT(MAX_PROMPT_BYTES);
    bool is_interactive = a->n_operands == 1 && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    int rc = gather_prompt(a, &prompt, &err);
    if (rc == 0)
        rc = ask(c, a, strbuf_slice(&prompt), &err);
    if (rc != 0 && err.code == ERR_NOT_FOUND && pull(c, a, &err) == 0)
        rc = ask(c, a, strbuf_slice(&prompt), &err);
    strbuf_fini(&prompt);
    if (rc != 0)
        return fail(&err);
    return is_interactive ? repl_run(c) : 0;
}

// "json", or a schema as an object.
static int take_format(struct chat *c, const char *text, struct err *err)
{
    struct err why = {0};
    if (text == NULL || text[0] == 0)
        return 0;
    c->format = strcmp(text, "json") == 0 ? json_string("json") : json_parse(slice_of(text), &why);
    if (json_is_object(c->format) || json_is_string(c->format))
        return 0;
    return err_set(err, ERR_INVALID, "--format: neither json nor a JSON schema: \"%.200s\"", text);
}

static int take_flags(struct chat *c, const struct args *a, struct err *err)
{
    const char *think = args_text(a, "think"), *truncate = args_text(a, "truncate");
    uint64_t context = args_uint(a, "context-size", 0);
    c->keep_alive = args_text(a, "keepalive");
    c->is_verbose = args_has(a, "verbose");
    c->wraps_words = !args_has(a, "nowordwrap");
    c->hides_thinking = args_has(a, "hidethinking");
    if (c->keep_alive != NULL && chat_check_keep_alive(c->keep_alive, err) != 0)
        return err_prefix(err, "--keepalive");
    if (context > INT32_MAX)
        return err_set(err, ERR_INVALID, "--context-size: too large");
    if (context > 0)
        json_object_set_new(c->options, "num_ctx", json_integer((json_int_t)context));
    if (think != NULL && (c->think = chat_parse_think(think)) == NULL)
        return err_set(err, ERR_INVALID, "--think: must be true, false, high, medium, low or max, not \"%s\"",
                       think);
    if (truncate != NULL && truncate[0] != 0 && strcmp(truncate, "true") != 0 &&
        strcmp(truncate, "false") != 0)
        return err_set(err, ERR_INVALID, "--truncate: must be true or false, not \"%s\"", truncate);
    if (args_uint(a, "dimensions", 0) > INT32_MAX)
        return err_set(err, ERR_INVALID, "--dimensions: too large");
    return take_format(c, args_text(a, "format"), err);
}

int cli_run(const struct args *a)
{
    struct err err = {0};
    struct chat c;
    int rc = 2;
    chat_init(&c, a->operands[0]);
    if (take_flags(&c, a, &err) == 0)
        rc = answer(&c, a);
    else
        api_fail(&err);
    chat_fini(&c);
    return rc;
}
