// SPDX-License-Identifier: MIT
// POST /api/pull and /api/push: store/transfer.h as chores.
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/options.h"
#include "server/fields.h"
#include "server/ollama.h"
#include "server/transfer.h"
#include "store/transfer.h"

char *transfer_name(struct slice text)
{
    return text.n && memchr(text.at, 0, text.n) ? xstrdup("\x01") : xstrndup(text.at, text.n);
}

static void on_status(void *user, const struct transfer_status *s)
{
    chore_tell(user, &(struct chore_status){s->status, s->digest, s->total, s->completed});
}

typedef int transfer_fn(struct store *s, const struct transfer *t, struct err *err);

static int do_transfer(transfer_fn *how, struct chore *c, const char *name, bool insecure, struct err *err)
{
    const struct transfer t = {
        .name = name,
        .insecure = insecure,
        .prune = !options_uint(OPT_NOPRUNE),
        .stall_ns = options_duration_ns(OPT_PULL_STALL),
        .cancel = &c->is_cancelled,
        .on_status = on_status,
        .user = c,
    };
    return how(c->app->store, &t, err);
}

int transfer_pull(struct chore *c, const char *name, bool insecure, struct err *err)
{
    return do_transfer(store_pull, c, name, insecure, err);
}

// The name, the caller's; NULL: the error is set.
static char *read_body(struct chore *c, const char *type, const char *path, bool *insecure, struct err *err)
{
    struct slice name = slice_of(""), model = slice_of("");
    bool streams = true;
    c->body = fields_parse(http_request_body(c->request), type, "missing request body", err);
    if (!c->body)
        return NULL;
    struct fields f = fields_open(c->body, path, err);
    fields_text(&f, "name", &name);
    fields_text(&f, "model", &model);
    fields_bool(&f, "insecure", insecure);
    if (fields_bool(&f, "stream", &streams))
        c->is_whole = !streams;
    return f.failed ? NULL : transfer_name(model.n ? model : name);
}

static void run_pull(struct chore *c)
{
    struct err err = {0};
    bool insecure = false;
    char *name = read_body(c, "api.PullRequest", "PullRequest", &insecure, &err);
    struct model_name parsed;
    if (name && name_parse(&parsed, name, &err) == 0)
        transfer_pull(c, name, insecure, &err);
    chore_end(c, &err);
    free(name);
}

static void run_push(struct chore *c)
{
    struct err err = {0};
    bool insecure = false;
    char *name = read_body(c, "api.PushRequest", "PushRequest", &insecure, &err);
    struct model_name parsed;
    if (name && name[0] == '\0')
        err_set(&err, ERR_INVALID, "model is required");
    if (err.code == ERR_NONE && name_parse(&parsed, name, &err) == 0)
        do_transfer(store_push, c, name, insecure, &err);
    chore_end(c, &err);
    free(name);
}

void ollama_pull(struct app *app, struct http_request *r)
{
    chore_start(app, r, run_pull);
}

void ollama_push(struct app *app, struct http_request *r)
{
    chore_start(app, r, run_push);
}
