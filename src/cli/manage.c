// SPDX-License-Identifier: MIT
// `drover cp` and `drover rm`.
#include "cli/api.h"
#include "cli/cli.h"
#include "json/writer.h"

int cli_cp(const struct args *a)
{
    struct err err = {0};
    struct strbuf body = STRBUF_INIT(64 << 10);
    struct json_writer w = json_writer_make(&body);
    json_begin_object(&w);
    json_member_text(&w, "source", a->operands[0]);
    json_member_text(&w, "destination", a->operands[1]);
    json_end_object(&w);
    int rc = api_send("POST", "/api/copy", strbuf_slice(&body), &err);
    strbuf_fini(&body);
    if (rc != 0)
        return api_fail(&err);
    printf("copied '%s' to '%s'\n", a->operands[0], a->operands[1]);
    return 0;
}

// Unloaded first, so that its memory comes back at once; a model that is not there is told by the deletion.
static int remove_one(const char *model, struct err *err)
{
    struct err ignored = {0};
    struct strbuf body = STRBUF_INIT(64 << 10);
    struct json_writer w = json_writer_make(&body);
    json_begin_object(&w);
    json_member_text(&w, "model", model);
    json_member_int(&w, "keep_alive", 0);
    json_member_bool(&w, "stream", false);
    json_end_object(&w);
    api_send("POST", "/api/generate", strbuf_slice(&body), &ignored);
    strbuf_reset(&body);
    w = json_writer_make(&body);
    json_begin_object(&w);
    json_member_text(&w, "model", model);
    json_end_object(&w);
    int rc = api_send("DELETE", "/api/delete", strbuf_slice(&body), err);
    strbuf_fini(&body);
    return rc;
}

int cli_rm(const struct args *a)
{
    for (int i = 0; i < a->n_operands; i++) {
        struct err err = {0};
        if (remove_one(a->operands[i], &err) != 0)
            return api_fail(&err);
        printf("deleted '%s'\n", a->operands[i]);
    }
    return 0;
}
