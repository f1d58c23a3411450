// SPDX-License-Identifier: MIT
// `drover stop`: a model is unloaded by a request that keeps it alive for no time.
#include "cli/cli.h"

#include "cli/api.h"
#include "json/writer.h"

int cli_stop(const struct args *a)
{
    struct err err = {0};
    struct strbuf body = STRBUF_INIT(64 << 10);
    struct json_writer w = json_writer_make(&body);
    json_begin_object(&w);
    json_member_text(&w, "model", a->operands[0]);
    json_member_int(&w, "keep_alive", 0);
    json_member_bool(&w, "stream", false);
    json_end_object(&w);
    int rc = api_call("/api/generate", strbuf_slice(&body), NULL, &err);
    strbuf_fini(&body);
    if (rc != 0 && err.code == ERR_NOT_FOUND) {
        fprintf(stderr, "Error: couldn't find model \"%s\" to stop\n", a->operands[0]);
        return 1;
    }
    return rc == 0 ? 0 : api_fail(&err);
}
