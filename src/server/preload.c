// SPDX-License-Identifier: MIT
// A preload is a request that wants nothing but the model loaded: a model that is loaded already answers at
// once; where there is no room nothing is unloaded for it (a pinned one takes what is idle), the log says
// need and have.
#include "server/preload.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/options.h"
#include "server/models.h"

struct preload {
    char name[OPTION_MODEL_NAME_BYTES];
};

// On the host's thread; the last event frees it.
static void on_event(void *user, const struct event *e)
{
    struct preload *p = user;
    if (e->kind != EVENT_DONE && e->kind != EVENT_ERROR)
        return;
    if (e->kind == EVENT_DONE)
        log_info("server", "model preloaded model=%s", p->name);
    else
        log_warn("server", "model not preloaded model=%s error=\"%s\"", p->name, e->error.message);
    free(p);
}

static int submit(struct app *app, const struct stored_model *m, struct preload *p, struct err *err)
{
    struct strbuf details = STRBUF_INIT(64 << 10);
    struct host_submission s = {
        .model = models_for_host(m, &details),
        .is_preload = true,
        .on_event = on_event,
        .user = p,
    };
    struct job *job = host_submit(app->host, &s, err);
    strbuf_fini(&details);
    if (job == NULL)
        return -1;
    job_unref(job);
    return 0;
}

static void preload(struct app *app, const char *name)
{
    struct err err = {0};
    struct stored_model m = {0};
    struct preload *p = xcalloc(1, sizeof *p);
    snprintf(p->name, sizeof p->name, "%s", name);
    if (models_find(app, name, &m, &err) == 0 && (!m.model_digest || !m.model_path))
        err_set(&err, ERR_FORMAT, "model '%s' has no weights", name);
    if (err.code != ERR_NONE || submit(app, &m, p, &err) != 0) {
        log_warn("server", "model not preloaded model=%s error=\"%s\"", name, err.message);
        free(p);
    }
    stored_model_fini(&m);
}

void preload_models(struct app *app)
{
    struct model_settings m;
    for (size_t i = 0; options_read_model_at(i, &m); i++)
        if (m.at[MODEL_PRELOAD].uint != 0 || m.at[MODEL_PIN].uint != 0)
            preload(app, m.name);
}
