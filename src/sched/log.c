// SPDX-License-Identifier: MIT
// Writing only; what is written is all that replay.c needs to do the same again.
#include "sched/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void write_line(struct sched *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void write_line(struct sched *s, const char *format, ...)
{
    char line[LOG_LINE_BYTES];
    va_list args;
    int n = snprintf(line, sizeof line, "%" PRId64 " ", s->now_ns);
    va_start(args, format);
    vsnprintf(line + n, sizeof line - (size_t)n, format, args);
    va_end(args);
    for (char *c = line; *c != 0; c++)
        if (*c == '\n' || *c == '\r')
            *c = ' ';
    s->log(s->log_user, line);
}

void log_options(struct sched *s, const char *event, const struct sched_options *o)
{
    char devices[SCHED_MAX_DEVICES * 32] = "";
    size_t n = 0;
    if (s->log == NULL)
        return;
    for (uint32_t i = 0; i < o->n_devices; i++)
        n += (size_t)snprintf(devices + n, sizeof devices - n, "%s%s:%" PRIu64, i > 0 ? "," : "",
                              o->devices[i].kind == SCHED_GPU ? "gpu" : "cpu", o->devices[i].budget_bytes);
    write_line(s,
               "%s num_parallel=%u max_queue=%u max_loaded=%u context=%u keep_alive=%" PRId64
               " load_timeout=%" PRId64 " swap_after=%" PRId64 " min_resident=%" PRId64 " front=%" PRIu64
               " order=%d priorities=%d age=%" PRId64 " queue_wait=%" PRId64 " first_token=%" PRId64
               " request=%" PRId64 " devices=%s",
               event, o->num_parallel, o->max_queue, o->max_loaded, o->context_length, o->keep_alive_ns,
               o->load_timeout_ns, o->swap_after_ns, o->min_resident_ns, o->front_bytes, (int)o->order,
               o->uses_priorities, o->priority_age_ns, o->max_queue_wait_ns, o->first_token_timeout_ns,
               o->request_timeout_ns, devices);
}

void log_model(struct sched *s, const struct sched_model *m)
{
    if (s->log != NULL)
        write_line(s, "model m=%u", m->index);
}

void log_model_options(struct sched *s, const struct sched_model *m, const struct sched_model_options *o)
{
    if (s->log != NULL)
        write_line(s,
                   "model_options m=%u num_parallel=%u context=%u has_keep_alive=%d keep_alive=%" PRId64
                   " pinned=%d",
                   m->index, o->num_parallel, o->context_length, o->has_keep_alive, o->keep_alive_ns,
                   o->is_pinned);
}

void log_submit(struct sched *s, const struct sched_model *m, const struct sched_request *r, bool accepted)
{
    char number[24] = "-";
    if (s->log == NULL)
        return;
    if (accepted)
        snprintf(number, sizeof number, "%" PRIu64, s->next_order);
    write_line(s,
               "submit m=%u r=%s need=%u load=%d preload=%d client=%" PRIu64
               " priority=%d queue_wait=%" PRId64 " first_token=%" PRId64 " request=%" PRId64,
               m->index, number, r->need_tokens, r->is_load, r->is_preload, r->client, (int)r->priority,
               r->max_queue_wait_ns, r->first_token_timeout_ns, r->request_timeout_ns);
}

void log_event(struct sched *s, const char *event)
{
    if (s->log != NULL)
        write_line(s, "%s", event);
}

void log_event_of_model(struct sched *s, const char *event, const struct sched_model *m)
{
    if (s->log != NULL)
        write_line(s, "%s m=%u", event, m->index);
}

void log_event_of_request(struct sched *s, const char *event, const struct sched_request *r)
{
    if (s->log != NULL)
        write_line(s, "%s r=%" PRIu64, event, r->order);
}

void log_number(struct sched *s, const char *event, const struct sched_model *m, int64_t value)
{
    if (s->log != NULL)
        write_line(s, "%s m=%u value=%" PRId64, event, m->index, value);
}

void log_plan(struct sched *s, const struct sched_model *m, const struct sched_plan *plan)
{
    if (s->log != NULL)
        write_line(s, "plan m=%u fixed=%" PRIu64 " per_token=%" PRIu64 " train=%u", m->index,
                   plan->fixed_bytes, plan->bytes_per_token, plan->train_context);
}

void log_failed(struct sched *s, const struct sched_model *m, const struct err *why)
{
    if (s->log != NULL)
        write_line(s, "failed m=%u code=%d %s", m->index, (int)why->code, why->message);
}

void log_budget(struct sched *s, uint32_t device_i, uint64_t bytes)
{
    if (s->log != NULL)
        write_line(s, "budget device=%u bytes=%" PRIu64, device_i, bytes);
}

void log_format_action(char *line, int64_t now_ns, const struct sched_action *a)
{
    const struct sched_model *m = a->model;
    const struct sched_request *r = a->request;
    int n = snprintf(line, LOG_LINE_BYTES, "%" PRId64 " > ", now_ns);
    char *at = line + n;
    size_t left = LOG_LINE_BYTES - (size_t)n;
    switch (a->kind) {
    case SCHED_PROBE:
        snprintf(at, left, "probe m=%u", m->index);
        break;
    case SCHED_LOAD:
        snprintf(at, left, "load m=%u device=%u slots=%u pool=%u context=%u bytes=%" PRIu64 " reason=%s",
                 m->index, m->sizes.device_i, m->sizes.n_slots, m->sizes.pool_tokens, m->sizes.context_length,
                 m->sizes.memory_bytes, sched_load_reason_name(m->load_reason));
        break;
    case SCHED_STOP:
        snprintf(at, left, "stop m=%u reason=%s", m->index, sched_unload_reason_name(m->unload_reason));
        break;
    case SCHED_DISPATCH:
        snprintf(at, left, "dispatch r=%" PRIu64 " m=%u", r->order, m->index);
        break;
    case SCHED_LOADED:
        snprintf(at, left, "loaded r=%" PRIu64 " m=%u", r->order, m->index);
        break;
    case SCHED_FAIL:
        snprintf(at, left, "fail r=%" PRIu64 " m=%u code=%d tells_runner=%d", r->order, m->index,
                 (int)r->failure.code, a->tells_runner);
        break;
    case SCHED_NO_ACTION:
    case SCHED_ACTION_COUNT:
        *at = 0;
        break;
    }
}

void log_action(struct sched *s, const struct sched_action *a)
{
    char line[LOG_LINE_BYTES];
    if (s->log == NULL)
        return;
    log_format_action(line, s->now_ns, a);
    s->log(s->log_user, line);
}

void sched_set_log(struct sched *s, sched_log_fn *log, void *user, int64_t now_ns)
{
    s->log = log;
    s->log_user = user;
    if (log == NULL)
        return;
    settle_begin(s, now_ns);
    log_options(s, "options", &s->options);
    LIST_EACH(&s->models, node)
    log_model(s, model_of(node));
}

void sched_log_name(struct sched *s, const struct sched_model *m, const char *name)
{
    if (s->log != NULL)
        write_line(s, "name m=%u %s", m->index, name);
}
