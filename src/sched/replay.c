// SPDX-License-Identifier: MIT
// One row per event: its name and what does it again. Lines are read by their names=values, so that a later
// version may write more of them.
#include "sched/replay.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "sched/log.h"

enum { MAX_MODELS = 1 << 16, MAX_REQUESTS = 1 << 30 };

struct replay {
    struct sched *s;
    struct replay_hooks hooks;
    struct sched_model **models;
    struct sched_request **requests; // by order; NULL: ended
    size_t n_models, n_requests, requests_capacity;
    int64_t now_ns;
};

// ---- Fields ----
static const char *find_field(const char *line, const char *name)
{
    size_t n = strlen(name);
    for (const char *at = line; (at = strstr(at, name)) != NULL; at += n)
        if (at != line && at[-1] == ' ' && at[n] == '=')
            return at + n + 1;
    return NULL;
}

// False: absent, or not a number.
static bool read_number(const char *line, const char *name, int64_t *out)
{
    const char *text = find_field(line, name);
    char *end;
    if (text == NULL)
        return false;
    errno = 0;
    *out = *text == '-' ? strtoll(text, &end, 10) : (int64_t)strtoull(text, &end, 10);
    return end != text && errno == 0;
}

// 0 when it is absent.
static int64_t number(const char *line, const char *name)
{
    int64_t value = 0;
    return read_number(line, name, &value) ? value : 0;
}

static int broken(const char *line, struct err *err)
{
    return err_set(err, ERR_FORMAT, "not a line of an event log: %.200s", line);
}

static struct sched_model *find_model(const struct replay *p, const char *line)
{
    int64_t i;
    return read_number(line, "m", &i) && i >= 0 && (size_t)i < p->n_models ? p->models[i] : NULL;
}

static struct sched_request *find_request(const struct replay *p, const char *line)
{
    int64_t i;
    return read_number(line, "r", &i) && i >= 0 && (size_t)i < p->n_requests ? p->requests[i] : NULL;
}

static void forget(struct replay *p, struct sched_request *r)
{
    p->requests[r->order] = NULL;
    free(r);
}

// ---- Events ----
static bool read_devices(const char *line, struct sched_options *o)
{
    const char *text = find_field(line, "devices");
    for (o->n_devices = 0; text != NULL && o->n_devices < SCHED_MAX_DEVICES; o->n_devices++) {
        struct sched_device *d = &o->devices[o->n_devices];
        char *end;
        if (strncmp(text, "cpu:", 4) != 0 && strncmp(text, "gpu:", 4) != 0)
            return false;
        d->kind = text[0] == 'g' ? SCHED_GPU : SCHED_CPU;
        d->budget_bytes = strtoull(text + 4, &end, 10);
        text = *end == ',' ? end + 1 : NULL;
    }
    return o->n_devices > 0;
}

static struct sched_options read_options(const char *line)
{
    return (struct sched_options){
        .num_parallel = (uint32_t)number(line, "num_parallel"),
        .max_queue = (uint32_t)number(line, "max_queue"),
        .max_loaded = (uint32_t)number(line, "max_loaded"),
        .context_length = (uint32_t)number(line, "context"),
        .keep_alive_ns = number(line, "keep_alive"),
        .load_timeout_ns = number(line, "load_timeout"),
        .swap_after_ns = number(line, "swap_after"),
        .min_resident_ns = number(line, "min_resident"),
        .front_bytes = (uint64_t)number(line, "front"),
        .order =
            number(line, "order") == SCHED_ORDER_ROUND_ROBIN ? SCHED_ORDER_ROUND_ROBIN : SCHED_ORDER_FIFO,
        .uses_priorities = number(line, "priorities") != 0,
        .priority_age_ns = number(line, "age"),
        .max_queue_wait_ns = number(line, "queue_wait"),
        .first_token_timeout_ns = number(line, "first_token"),
        .request_timeout_ns = number(line, "request"),
    };
}

static int do_options(struct replay *p, const char *line, struct err *err)
{
    struct sched_options o = read_options(line);
    if (p->s != NULL || !read_devices(line, &o))
        return broken(line, err);
    p->s = sched_new(&o);
    return 0;
}

static int do_model(struct replay *p, const char *line, struct err *err)
{
    if (number(line, "m") != (int64_t)p->n_models || p->n_models >= MAX_MODELS)
        return broken(line, err);
    p->models = xrealloc(p->models, (p->n_models + 1) * sizeof(void *));
    p->models[p->n_models++] = sched_add_model(p->s, NULL);
    return 0;
}

static int do_name(struct replay *p, const char *line, struct err *err)
{
    const char *field = find_field(line, "m"), *name = field != NULL ? strchr(field, ' ') : NULL;
    if (name == NULL || find_model(p, line) == NULL)
        return broken(line, err);
    if (p->hooks.named != NULL)
        p->hooks.named(p->hooks.user, (uint32_t)number(line, "m"), name + 1);
    return 0;
}

static int do_configure(struct replay *p, const char *line, struct err *err)
{
    struct sched_options o = read_options(line);
    (void)err;
    sched_configure(p->s, &o, p->now_ns);
    return 0;
}

static int do_model_options(struct replay *p, const char *line, struct err *err)
{
    struct sched_model *m = find_model(p, line);
    struct sched_model_options o = {.num_parallel = (uint32_t)number(line, "num_parallel"),
                                    .context_length = (uint32_t)number(line, "context"),
                                    .has_keep_alive = number(line, "has_keep_alive") != 0,
                                    .keep_alive_ns = number(line, "keep_alive"),
                                    .is_pinned = number(line, "pinned") != 0};
    if (m == NULL)
        return broken(line, err);
    sched_configure_model(p->s, m, &o, p->now_ns);
    return 0;
}

static void keep_request(struct replay *p, struct sched_request *r)
{
    if (p->n_requests == p->requests_capacity) {
        p->requests_capacity = MAX(p->requests_capacity * 2, (size_t)256);
        p->requests = xrealloc(p->requests, p->requests_capacity * sizeof(void *));
    }
    p->requests[p->n_requests++] = r;
}

static int do_submit(struct replay *p, const char *line, struct err *err)
{
    struct sched_model *m = find_model(p, line);
    const char *name = find_field(line, "r");
    int64_t priority = number(line, "priority");
    if (m == NULL || name == NULL || p->n_requests >= MAX_REQUESTS || priority < 0 ||
        priority >= SCHED_PRIORITY_COUNT)
        return broken(line, err);
    bool was_accepted = *name != '-';
    struct sched_request *r = xcalloc(1, sizeof *r);
    r->need_tokens = (uint32_t)number(line, "need");
    r->is_load = number(line, "load") != 0;
    r->is_preload = number(line, "preload") != 0;
    r->client = (uint64_t)number(line, "client");
    r->priority = (enum sched_priority)priority;
    r->max_queue_wait_ns = number(line, "queue_wait");
    r->first_token_timeout_ns = number(line, "first_token");
    r->request_timeout_ns = number(line, "request");
    bool accepted = sched_submit(p->s, m, r, p->now_ns, NULL) == 0;
    if (p->hooks.submitted != NULL)
        p->hooks.submitted(p->hooks.user, r, m->index, accepted, p->now_ns);
    if (accepted)
        keep_request(p, r);
    else
        free(r);
    if (accepted != was_accepted || (accepted && number(line, "r") != (int64_t)(p->n_requests - 1)))
        return err_set(err, ERR_CONFLICT, "the request was %s then and is %s now: %.200s",
                       was_accepted ? "accepted" : "refused", accepted ? "accepted" : "refused", line);
    return 0;
}

static int do_cancel(struct replay *p, const char *line, struct err *err)
{
    struct sched_request *r = find_request(p, line);
    if (r == NULL)
        return broken(line, err);
    sched_cancel(p->s, r, p->now_ns);
    if (p->hooks.cancelled != NULL)
        p->hooks.cancelled(p->hooks.user, r, p->now_ns);
    forget(p, r);
    return 0;
}

static int do_token(struct replay *p, const char *line, struct err *err)
{
    struct sched_request *r = find_request(p, line);
    if (r == NULL)
        return broken(line, err);
    sched_on_first_token(p->s, r, p->now_ns);
    return 0;
}

static int do_finished(struct replay *p, const char *line, struct err *err)
{
    struct sched_request *r = find_request(p, line);
    bool runs = r != NULL && (r->place == SCHED_RUNNING || (r->place == SCHED_WAITING && r->was_started));
    if (!runs) // the scheduler would not hear of it, and keep the request
        return broken(line, err);
    sched_on_finished(p->s, r, p->now_ns);
    if (p->hooks.finished != NULL)
        p->hooks.finished(p->hooks.user, r, p->now_ns);
    forget(p, r);
    return 0;
}

static int do_budget(struct replay *p, const char *line, struct err *err)
{
    (void)err;
    sched_set_budget(p->s, (uint32_t)number(line, "device"), (uint64_t)number(line, "bytes"), p->now_ns);
    return 0;
}

static int do_time(struct replay *p, const char *line, struct err *err)
{
    (void)line;
    (void)err;
    sched_on_time(p->s, p->now_ns);
    return 0;
}

static int do_drain(struct replay *p, const char *line, struct err *err)
{
    (void)line;
    (void)err;
    sched_drain(p->s, p->now_ns);
    return 0;
}

// Of one model: what the line says more is read in here.
static int do_of_model(struct replay *p, const char *line, struct err *err)
{
    struct sched_model *m = find_model(p, line);
    const char *event = strchr(line, ' ') + 1;
    if (m == NULL)
        return broken(line, err);
    if (strncmp(event, "preload ", 8) == 0) {
        sched_preload(p->s, m, p->now_ns);
    } else if (strncmp(event, "keep_alive ", 11) == 0) {
        sched_set_keep_alive(p->s, m, number(line, "value"), p->now_ns);
    } else if (strncmp(event, "unload ", 7) == 0) {
        sched_unload(p->s, m, p->now_ns);
    } else if (strncmp(event, "progress ", 9) == 0) {
        sched_on_progress(p->s, m, p->now_ns);
    } else if (strncmp(event, "ready ", 6) == 0) {
        sched_on_ready(p->s, m, p->now_ns);
    } else if (strncmp(event, "gone ", 5) == 0) {
        sched_on_gone(p->s, m, p->now_ns);
    } else {
        return broken(line, err);
    }
    return 0;
}

static int do_plan(struct replay *p, const char *line, struct err *err)
{
    struct sched_model *m = find_model(p, line);
    struct sched_plan plan = {.fixed_bytes = (uint64_t)number(line, "fixed"),
                              .bytes_per_token = (uint64_t)number(line, "per_token"),
                              .train_context = (uint32_t)number(line, "train")};
    if (m == NULL)
        return broken(line, err);
    sched_on_plan(p->s, m, &plan, p->now_ns);
    return 0;
}

static int do_failed(struct replay *p, const char *line, struct err *err)
{
    struct sched_model *m = find_model(p, line);
    const char *field = find_field(line, "code"), *text = field != NULL ? strchr(field, ' ') : NULL;
    int64_t code = number(line, "code");
    struct err why = {0};
    if (m == NULL || text == NULL || code <= ERR_NONE || code >= ERR_CODE_COUNT)
        return broken(line, err);
    err_set(&why, (enum err_code)code, "%s", text + 1);
    sched_on_failed(p->s, m, &why, p->now_ns);
    return 0;
}

// ---- Actions ----
static int do_action(struct replay *p, const char *line, struct err *err)
{
    struct sched_action a;
    char now[LOG_LINE_BYTES] = "nothing";
    if (sched_next_action(p->s, &a)) {
        log_format_action(now, p->now_ns, &a);
        if (p->hooks.acted != NULL)
            p->hooks.acted(p->hooks.user, &a, p->now_ns);
        if (a.kind == SCHED_FAIL || a.kind == SCHED_LOADED)
            forget(p, a.request);
    }
    const char *is = strchr(now, '>'), *was = strchr(line, '>');
    if (is == NULL || strcmp(is, was) != 0)
        return err_set(err, ERR_CONFLICT, "then: %.300s; now: %.300s", line, now);
    return 0;
}

static const struct {
    const char *name;
    int (*again)(struct replay *p, const char *line, struct err *err);
} events[] = {
    {">", do_action},          {"submit", do_submit},       {"finished", do_finished},
    {"token", do_token},       {"cancel", do_cancel},       {"time", do_time},
    {"budget", do_budget},     {"options", do_options},     {"configure", do_configure},
    {"model", do_model},       {"name", do_name},           {"model_options", do_model_options},
    {"preload", do_of_model},  {"keep_alive", do_of_model}, {"unload", do_of_model},
    {"progress", do_of_model}, {"ready", do_of_model},      {"gone", do_of_model},
    {"plan", do_plan},         {"failed", do_failed},       {"drain", do_drain},
};

int replay_line(struct replay *p, const char *line, struct err *err)
{
    char *name;
    errno = 0;
    int64_t now_ns = strtoll(line, &name, 10);
    if (name == line || *name != ' ' || errno != 0)
        return broken(line, err);
    size_t n = strcspn(++name, " ");
    p->now_ns = MAX(p->now_ns, now_ns);
    for (size_t i = 0; i < COUNT_OF(events); i++) {
        if (strlen(events[i].name) != n || memcmp(events[i].name, name, n) != 0)
            continue;
        if (p->s == NULL && events[i].again != do_options)
            return err_set(err, ERR_FORMAT, "the event log does not begin at its beginning");
        return events[i].again(p, line, err);
    }
    return broken(line, err);
}

struct replay *replay_new(const struct replay_hooks *hooks)
{
    struct replay *p = xcalloc(1, sizeof *p);
    p->hooks = *hooks;
    return p;
}

void replay_free(struct replay *p)
{
    if (p == NULL)
        return;
    for (size_t i = 0; i < p->n_requests; i++)
        free(p->requests[i]);
    sched_free(p->s);
    free(p->models);
    free(p->requests);
    free(p);
}

const struct sched *replay_sched(const struct replay *p)
{
    return p->s;
}
