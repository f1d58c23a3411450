// SPDX-License-Identifier: MIT
// `drover pull` and `drover push`: the server does it, the lines that it sends are shown. Interrupting the
// command leaves, and the server stops the transfer; the next one goes on where it was.
#include "cli/pull.h"

#include <string.h>
#include <strings.h>

#include "cli/api.h"
#include "cli/cli.h"
#include "cli/progress.h"
#include "json/writer.h"

const struct args_flag cli_pull_flags[] = {
    {"insecure", 0, ARGS_SWITCH, NULL, "speak plain http with the registry"},
    {NULL},
};

static int on_line(void *user, const json_t *line, struct err *err)
{
    const char *status = json_string_value(json_object_get(line, "status"));
    const json_t *digest = json_object_get(line, "digest");
    json_int_t total = json_integer_value(json_object_get(line, "total"));
    json_int_t completed = json_integer_value(json_object_get(line, "completed"));
    if (status != NULL && json_is_string(digest) && total > 0)
        progress_bar(user, status, (uint64_t)total, completed > 0 ? (uint64_t)completed : 0);
    else if (status != NULL && !json_is_string(digest))
        progress_say(user, status);
    return 0;
}

int pull_watch(const char *path, struct slice body, struct progress *p, struct err *err)
{
    return api_stream(path, body, NULL, on_line, p, err);
}

static int run_transfer(const char *path, const char *model, bool insecure, struct err *err)
{
    struct strbuf body = STRBUF_INIT(64 << 10);
    struct json_writer w = json_writer_make(&body);
    json_begin_object(&w);
    json_member_text(&w, "model", model);
    if (insecure)
        json_member_bool(&w, "insecure", true);
    json_end_object(&w);
    struct progress *p = progress_new();
    int rc = pull_watch(path, strbuf_slice(&body), p, err);
    progress_end(p);
    strbuf_fini(&body);
    return rc;
}

int pull_model(const char *model, bool insecure, struct err *err)
{
    return run_transfer("/api/pull", model, insecure, err);
}

int cli_pull(const struct args *a)
{
    struct err err = {0};
    int rc = pull_model(a->operands[0], args_has(a, "insecure"), &err);
    return rc == 0 ? 0 : api_fail(&err);
}

// Models of Ollama's own registry have a page.
static void say_where(const char *model)
{
    const char *slash = strchr(model, '/');
    bool has_host = slash != NULL && strchr(slash + 1, '/') != NULL;
    if (slash != NULL && !has_host)
        printf("\nYou can find your model at:\n\n\thttps://ollama.com/%s\n", model);
}

int cli_push(const struct args *a)
{
    struct err err = {0};
    if (run_transfer("/api/push", a->operands[0], args_has(a, "insecure"), &err) != 0)
        return api_fail(&err);
    say_where(a->operands[0]);
    return 0;
}
