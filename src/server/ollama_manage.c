// SPDX-License-Identifier: MIT
// POST /api/copy, DELETE /api/delete, HEAD and POST /api/blobs/:digest. Copying and deleting run on a worker;
// a blob goes to the store as it comes and is synced on a thread of its own.
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/options.h"
#include "server/fields.h"
#include "server/ollama.h"
#include "server/reply.h"
#include "server/transfer.h"
#include "server/worker.h"
#include "store/upload.h"

enum { PRUNE_AGE_S = 3600 };

static void answer(struct http_request *r, const struct err *err)
{
    if (err->code != ERR_NONE)
        reply_error(r, ERRORS_OLLAMA, err, NULL);
    else
        http_reply(r, 200, NULL, slice_of(""));
}

void ollama_copy(struct app *app, struct http_request *r)
{
    struct err err = {0};
    struct slice source = slice_of(""), destination = slice_of("");
    json_t *body = fields_parse(http_request_body(r), "api.CopyRequest", "missing request body", &err);
    if (body) {
        struct fields f = fields_open(body, "CopyRequest", &err);
        fields_text(&f, "source", &source);
        fields_text(&f, "destination", &destination);
    }
    char *from = transfer_name(source), *to = transfer_name(destination);
    if (err.code == ERR_NONE)
        store_copy(app->store, from, to, &err);
    answer(r, &err);
    free(from);
    free(to);
    json_decref(body);
}

void ollama_delete(struct app *app, struct http_request *r)
{
    struct err err = {0};
    struct slice name = slice_of(""), model = slice_of("");
    json_t *body = fields_parse(http_request_body(r), "api.DeleteRequest", "missing request body", &err);
    if (body) {
        struct fields f = fields_open(body, "DeleteRequest", &err);
        fields_text(&f, "name", &name);
        fields_text(&f, "model", &model);
    }
    if (err.code == ERR_NONE && model.n == 0 && name.n == 0)
        err_set(&err, ERR_INVALID, "model is required");
    char *text = transfer_name(model.n ? model : name);
    if (err.code == ERR_NONE)
        store_delete(app->store, text, &err);
    answer(r, &err);
    free(text);
    json_decref(body);
}

// ---- Blobs ----

struct incoming {
    struct upload *upload;
    struct err err;
};

static void incoming_free(void *user)
{
    struct incoming *in = user;
    upload_drop(in->upload);
    free(in);
}

static const char *digest_of_path(const struct http_request *r)
{
    return http_request_path(r) + strlen("/api/blobs/");
}

static int take_piece(void *user, struct slice bytes, const char **why)
{
    struct incoming *in = user;
    if (!in->upload) // refused below, when the body is over
        return 0;
    if (upload_push(in->upload, bytes, &in->err) == 0)
        return 0;
    *why = "the blob cannot be written: the disk may be full";
    return 500;
}

static struct incoming *begin(struct app *app, struct http_request *r)
{
    struct incoming *in = xcalloc(1, sizeof *in);
    upload_open(&in->upload, app->store, digest_of_path(r), &in->err);
    return in;
}

void ollama_blob_begin(struct app *app, struct http_request *r)
{
    struct incoming *in = begin(app, r);
    http_request_set_user(r, in, incoming_free);
    if (in->upload) // a bad digest gets no more room than any other body
        http_request_set_sink(r, take_piece, in);
}

static void finish(struct chore *c)
{
    struct incoming *in = c->data;
    bool is_new = false;
    if (in->err.code == ERR_NONE) {
        upload_commit(in->upload, &is_new, &in->err);
        in->upload = NULL;
    }
    if (in->err.code != ERR_NONE)
        reply_error(c->request, ERRORS_OLLAMA, &in->err, NULL);
    else
        http_reply(c->request, is_new ? 201 : 200, NULL, slice_of(""));
}

static void answer_head(struct app *app, struct http_request *r)
{
    struct err err = {0};
    char path[4096];
    uint64_t size = 0;
    store_find_blob(app->store, digest_of_path(r), path, &size, &err);
    answer(r, &err);
}

void ollama_blob(struct app *app, struct http_request *r)
{
    struct incoming *in = http_request_user(r);
    if (strcmp(http_request_method(r), "HEAD") == 0)
        answer_head(app, r);
    else
        chore_start_with(app, r, finish, in ? in : begin(app, r),
                         incoming_free); // without a body no beginning
}

// ---- At start ----

static void prune_old(void *user)
{
    struct app *app = user;
    struct store_pruned pruned;
    struct err err = {0};
    if (store_prune(app->store, PRUNE_AGE_S, &pruned, &err) != 0)
        log_warn("store", "nothing is pruned: %s", err.message);
    else if (pruned.n_files > 0)
        log_info("store", "pruned what no model uses files=%zu bytes=%llu", pruned.n_files,
                 (unsigned long long)pruned.size_bytes);
}

void ollama_prune_at_start(struct app *app)
{
    if (!options_uint(OPT_NOPRUNE))
        worker_push(app->worker, prune_old, app);
}
