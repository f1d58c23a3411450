// SPDX-License-Identifier: MIT
// GET /v1/models and /v1/models/NAME. The name may have slashes.
#include <string.h>

#include "base/clock.h"
#include "server/models.h"
#include "server/openai.h"

enum { MAX_LIST_BYTES = 16 << 20 };

static void write_model(struct json_writer *w, const struct stored_model *m, const char *id)
{
    json_begin_object(w);
    json_member_text(w, "id", id);
    json_member_text(w, "object", "model");
    json_member_int(w, "created", m->modified_ns / NS_PER_S);
    json_member_text(w, "owned_by", m->name.ns);
    json_end_object(w);
}

static void reply(struct http_request *r, struct strbuf *out)
{
    strbuf_push_char(out, '\n');
    http_reply(r, 200, "application/json", strbuf_slice(out));
    strbuf_fini(out);
}

void openai_models(struct app *app, struct http_request *r)
{
    struct strbuf out = STRBUF_INIT(MAX_LIST_BYTES);
    struct json_writer w = json_writer_make(&out);
    struct stored_model *models = NULL;
    struct err err = {0};
    size_t n = 0;
    if (store_list(app->store, &models, &n, &err) != 0) {
        reply_error(r, ERRORS_OPENAI, &err, NULL);
        return;
    }
    json_begin_object(&w);
    json_member_text(&w, "object", "list");
    json_key(&w, "data");
    json_begin_array(&w);
    for (size_t i = 0; i < n; i++)
        write_model(&w, &models[i], models[i].display_name);
    json_end_array(&w);
    json_end_object(&w);
    store_list_free(models, n);
    reply(r, &out);
}

void openai_model(struct app *app, struct http_request *r)
{
    const char *name = http_request_path(r) + strlen("/v1/models/");
    struct strbuf out = STRBUF_INIT(64 << 10);
    struct json_writer w = json_writer_make(&out);
    struct stored_model m = {0};
    struct err err = {0};
    if (models_find(app, name, &m, &err) != 0) {
        reply_error(r, ERRORS_OPENAI, &err, NULL);
        return;
    }
    write_model(&w, &m, name);
    stored_model_fini(&m);
    reply(r, &out);
}
