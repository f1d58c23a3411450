// SPDX-License-Identifier: MIT
// `drover run`: a prompt from the arguments and from a piped stdin is answered once; without any, on a
// terminal, a conversation begins.
#include "cli/cli.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/strbuf.h"
#include "cli/api.h"
#include "cli/chat.h"
#include "cli/repl.h"
#include "cli/pull.h"

enum { MAX_PROMPT_BYTES = 32 << 20 };

const struct args_flag cli_run_flags[] = {
    {"keepalive", 0, ARGS_TEXT, "DURATION", "how long the model stays loaded afterwards (5m, 0, -1)"},
    {"verbose", 0, ARGS_SWITCH, NULL, "statistics after each answer"},
    {"insecure", 0, ARGS_SWITCH, NULL, "pull a missing model over plain http"},
    {"nowordwrap", 0, ARGS_SWITCH, NULL, "do not break long lines between words"},
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
        fprintf(stderr, "'drover list' shows the models, 'drover pull' and 'drover import' add one\n");
    return rc;
}

static int ask(struct chat *c, struct slice prompt, struct err *err)
{
    return prompt.n > 0 ? chat_generate(c, prompt, err) : chat_load(c, err);
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
        rc = ask(c, strbuf_slice(&prompt), &err);
    if (rc != 0 && err.code == ERR_NOT_FOUND && pull(c, a, &err) == 0)
        rc = ask(c, strbuf_slice(&prompt), &err);
    strbuf_fini(&prompt);
    if (rc != 0)
        return fail(&err);
    return is_interactive ? repl_run(c) : 0;
}

int cli_run(const struct args *a)
{
    struct err err = {0};
    struct chat c;
    const char *keep_alive = args_text(a, "keepalive");
    uint64_t context = args_uint(a, "context-size", 0);
    if (keep_alive != NULL && chat_check_keep_alive(keep_alive, &err) != 0) {
        fprintf(stderr, "Error: --keepalive: %s\n", err.message);
        return 2;
    }
    if (context > INT32_MAX) {
        fprintf(stderr, "Error: --context-size: too large\n");
        return 2;
    }
    chat_init(&c, a->operands[0]);
    c.keep_alive = keep_alive;
    c.is_verbose = args_has(a, "verbose");
    c.wraps_words = !args_has(a, "nowordwrap");
    if (context > 0)
        json_object_set_new(c.options, "num_ctx", json_integer((json_int_t)context));
    int rc = answer(&c, a);
    chat_fini(&c);
    return rc;
}
