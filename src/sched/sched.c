// SPDX-License-Identifier: MIT
// The door: configuration, admission, actions, looking in. Events that change something end in settle().
#include "sched/sched.h"

#include <stdlib.h>
#include <string.h>

#include "sched/estimate.h"
#include "sched/limits.h"
#include "sched/log.h"
#include "sched/order.h"
#include "sched/room.h"
#include "sched/state.h"

// ---- Configuration ----
static void fill_in(struct sched_options *o)
{
    uint32_t n_gpus = 0;
    if (o->n_devices == 0) {
        o->n_devices = 1;
        o->devices[0] = (struct sched_device){.kind = SCHED_CPU};
    }
    o->n_devices = MIN(o->n_devices, (uint32_t)SCHED_MAX_DEVICES);
    for (uint32_t i = 0; i < o->n_devices; i++)
        n_gpus += o->devices[i].kind == SCHED_GPU;
    if (o->max_loaded == 0)
        o->max_loaded = 3 * MAX(n_gpus, 1u);
    if (o->priority_age_ns <= 0)
        o->priority_age_ns = SCHED_PRIORITY_AGE_NS;
}

struct sched *sched_new(const struct sched_options *options)
{
    struct sched *s = xcalloc(1, sizeof *s);
    s->options = *options;
    fill_in(&s->options);
    s->limits_due_ns = INT64_MAX;
    s->queued_allowed = s->options.max_queue;
    s->loaded_allowed = s->options.max_loaded;
    list_init(&s->models);
    list_init(&s->model_actions);
    list_init(&s->request_actions);
    return s;
}

void sched_free(struct sched *s)
{
    if (s == NULL)
        return;
    LIST_EACH_SAFE(&s->models, node, after)
    free(model_of(node));
    free(s);
}

struct sched_model *sched_add_model(struct sched *s, void *user)
{
    struct sched_model *m = xcalloc(1, sizeof *m);
    list_init(&m->waiting);
    list_init(&m->running);
    list_init(&m->actions);
    list_push(&s->models, &m->all);
    m->index = s->n_models++;
    m->keep_alive_ns = s->options.keep_alive_ns;
    m->expires_at_ns = INT64_MAX;
    m->swap_order = UINT64_MAX;
    m->user = user;
    log_model(s, m);
    return m;
}

static void note_stale(const struct sched *s, struct sched_model *m)
{
    struct fit_wish wish = wish_of(s, m);
    m->is_stale = is_held(m) && m->state != SCHED_STOPPING &&
                  (wish.num_parallel != m->loaded_parallel || wish.context_length != m->loaded_context);
}

// A keep_alive that no request has set follows the configuration.
static void follow_keep_alive(struct sched_model *m, int64_t before_ns, int64_t after_ns)
{
    if (m->keep_alive_ns == before_ns)
        m->keep_alive_ns = after_ns;
}

void sched_configure(struct sched *s, const struct sched_options *options, int64_t now_ns)
{
    struct sched_options next = *options;
    settle_begin(s, now_ns);
    log_options(s, "configure", options);
    next.n_devices = s->options.n_devices;
    memcpy(next.devices, s->options.devices, sizeof next.devices);
    fill_in(&next);
    bool reorders = next.order != s->options.order || next.uses_priorities != s->options.uses_priorities;
    LIST_EACH(&s->models, node)
    {
        struct sched_model *m = model_of(node);
        if (!m->options.has_keep_alive)
            follow_keep_alive(m, s->options.keep_alive_ns, next.keep_alive_ns);
    }
    s->options = next;
    s->must_refuse = true;
    s->limits_due_ns = INT64_MIN;
    s->queued_allowed = MAX(s->queued_allowed, next.max_queue);
    s->loaded_allowed = MAX(s->loaded_allowed, next.max_loaded);
    LIST_EACH(&s->models, node)
    {
        note_stale(s, model_of(node));
        if (reorders)
            order_rebuild(s, model_of(node));
    }
    settle(s);
}

void sched_configure_model(struct sched *s, struct sched_model *m, const struct sched_model_options *options,
                           int64_t now_ns)
{
    int64_t before_ns = default_keep_alive(s, m);
    settle_begin(s, now_ns);
    log_model_options(s, m, options);
    m->options = *options;
    follow_keep_alive(m, before_ns, default_keep_alive(s, m));
    note_stale(s, m);
    m->is_draining = m->is_draining && !m->options.is_pinned;
    s->must_refuse = true;
    settle(s);
}

void sched_preload(struct sched *s, struct sched_model *m, int64_t now_ns)
{
    settle_begin(s, now_ns);
    log_event_of_model(s, "preload", m);
    m->is_wanted = !s->is_ending && !is_held(m);
    if (m->is_wanted)
        room_refuse_impossible(s, m);
    settle(s);
}

void sched_drain(struct sched *s, int64_t now_ns)
{
    settle_begin(s, now_ns);
    log_event(s, "drain");
    s->is_ending = true;
    LIST_EACH(&s->models, node)
    model_of(node)->is_wanted = false;
    settle(s);
}

bool sched_is_drained(const struct sched *s)
{
    return s->is_ending && s->n_alive == 0;
}

// ---- Admission ----
// Whether an absent model could be loaded without waiting for the work of others.
static bool has_place(const struct sched *s, const struct sched_model *m)
{
    uint32_t n_taken = 0;
    if (m->state == SCHED_LOADING || m->state == SCHED_READY || m->is_growing)
        return !m->is_draining;
    LIST_EACH(&s->models, node)
    {
        struct sched_model *other = model_of(node);
        n_taken += other != m && ((is_held(other) && (has_work(other) || other->options.is_pinned)) ||
                                  other->n_promised > 0);
    }
    return n_taken < max_loaded(s);
}

static bool is_promised_slot(const struct sched *s, const struct sched_model *m,
                             const struct sched_request *r)
{
    return (r->is_load || m->n_running + m->n_promised < expected_slots(s, m)) && has_place(s, m);
}

// -1: refused at the door.
static int admit(const struct sched *s, const struct sched_model *m, bool is_promised, struct err *err)
{
    if (s->is_ending)
        return err_set(err, ERR_DRAINING, "server is shutting down");
    if (m->state == SCHED_ABSENT && m->backoff_until_ns > s->now_ns)
        return err_set(
            err, ERR_BACKOFF,
            "the model runner has unexpectedly stopped %u times in a row; it is started again in %lld s",
            m->crashes_in_row, (long long)((m->backoff_until_ns - s->now_ns + 999999999) / 1000000000));
    if (!is_promised && s->n_queued >= s->options.max_queue)
        return err_set(err, ERR_QUEUE_FULL,
                       "server busy, please try again.  maximum pending requests exceeded");
    return 0;
}

static void init_request(struct sched *s, struct sched_model *m, struct sched_request *r)
{
    *r = (struct sched_request){.need_tokens = r->need_tokens,
                                .is_load = r->is_load,
                                .is_preload = r->is_load && r->is_preload,
                                .client = r->client,
                                .priority = MIN(r->priority, SCHED_PRIORITY_BATCH),
                                .max_queue_wait_ns = r->max_queue_wait_ns,
                                .first_token_timeout_ns = r->first_token_timeout_ns,
                                .request_timeout_ns = r->request_timeout_ns,
                                .model = m,
                                .order = s->next_order++,
                                .arrived_ns = s->now_ns};
    if (m->has_plan && m->plan.train_context > 0)
        r->need_tokens = MIN(r->need_tokens, m->plan.train_context);
    list_init(&r->in_model);
    list_init(&r->actions);
}

int sched_submit(struct sched *s, struct sched_model *m, struct sched_request *r, int64_t now_ns,
                 struct err *err)
{
    settle_begin(s, now_ns);
    bool promised = is_promised_slot(s, m, r);
    if (admit(s, m, promised, err) != 0) {
        log_submit(s, m, r, false);
        return -1;
    }
    log_submit(s, m, r, true);
    init_request(s, m, r);
    r->is_promised = promised;
    s->n_alive++;
    settle_wait(s, r);
    s->limits_due_ns = MIN(s->limits_due_ns, limits_due_ns(s, r));
    if (m->has_plan)
        room_refuse_impossible(s, m);
    settle(s);
    return 0;
}

bool sched_cancel(struct sched *s, struct sched_request *r, int64_t now_ns)
{
    if (r->place == SCHED_NOWHERE)
        return false;
    settle_begin(s, now_ns);
    log_event_of_request(s, "cancel", r);
    bool was_dispatched = r->place == SCHED_LEAVING
                              ? r->action == SCHED_FAIL && r->fail_tells_runner
                              : r->place == SCHED_RUNNING && r->action == SCHED_NO_ACTION;
    settle_act_on_request(s, r, SCHED_NO_ACTION);
    if (r->place != SCHED_LEAVING)
        r->model->last_used_ns = s->now_ns;
    settle_leave(s, r, false);
    s->n_alive--;
    settle(s);
    return was_dispatched;
}

void sched_set_keep_alive(struct sched *s, struct sched_model *m, int64_t keep_alive_ns, int64_t now_ns)
{
    settle_begin(s, now_ns);
    log_number(s, "keep_alive", m, keep_alive_ns);
    m->keep_alive_ns = keep_alive_ns;
    m->must_unload = m->must_unload && keep_alive_ns == 0;
    settle(s);
}

void sched_unload(struct sched *s, struct sched_model *m, int64_t now_ns)
{
    settle_begin(s, now_ns);
    log_event_of_model(s, "unload", m);
    m->is_wanted = false;
    bool goes_already = m->state == SCHED_ABSENT || m->state == SCHED_STOPPING;
    if (!goes_already || m->n_waiting > 0) {
        m->keep_alive_ns = 0;
        m->must_unload = true;
    }
    if (m->state == SCHED_LOADING && m->n_waiting == 0) {
        m->is_growing = false;
        sched_stop_model(s, m, SCHED_UNLOAD_STOP);
    }
    settle(s);
}

void sched_set_budget(struct sched *s, uint32_t device_i, uint64_t budget_bytes, int64_t now_ns)
{
    if (device_i >= s->options.n_devices)
        return;
    settle_begin(s, now_ns);
    log_budget(s, device_i, budget_bytes);
    s->must_refuse |= budget_bytes < s->options.devices[device_i].budget_bytes;
    s->options.devices[device_i].budget_bytes = budget_bytes;
    settle(s);
}

void sched_on_time(struct sched *s, int64_t now_ns)
{
    if (now_ns < sched_deadline_ns(s)) // nothing would change
        return;
    settle_begin(s, now_ns);
    log_event(s, "time");
    settle(s);
}

// ---- Actions ----
bool sched_next_action(struct sched *s, struct sched_action *out)
{
    *out = (struct sched_action){0};
    if (!list_is_empty(&s->model_actions)) {
        out->model = LIST_OWNER(s->model_actions.next, struct sched_model, actions);
        out->kind = (enum sched_action_kind)out->model->action;
        settle_act_on_model(s, out->model, SCHED_NO_ACTION);
        log_action(s, out);
        return true;
    }
    if (list_is_empty(&s->request_actions))
        return false;
    struct sched_request *r = LIST_OWNER(s->request_actions.next, struct sched_request, actions);
    *out = (struct sched_action){(enum sched_action_kind)r->action, r->model, r, r->fail_tells_runner};
    log_action(s, out);
    settle_act_on_request(s, r, SCHED_NO_ACTION);
    if (out->kind != SCHED_DISPATCH) {
        r->place = SCHED_NOWHERE;
        s->n_alive--;
    }
    return true;
}

int64_t sched_deadline_ns(const struct sched *s)
{
    int64_t deadline_ns = MIN(room_deadline_ns(s), s->limits_due_ns);
    LIST_EACH(&s->models, node)
    {
        const struct sched_model *m = model_of(node);
        deadline_ns = MIN(deadline_ns, m->expires_at_ns);
        if (is_loading(m) && s->options.load_timeout_ns > 0)
            deadline_ns = MIN(deadline_ns, clock_after_ns(m->progress_at_ns, s->options.load_timeout_ns));
        if (m->state == SCHED_ABSENT && (m->n_waiting > 0 || m->is_wanted) && m->backoff_until_ns > s->now_ns)
            deadline_ns = MIN(deadline_ns, m->backoff_until_ns);
    }
    return deadline_ns;
}

// ---- Looking in ----
void sched_read_counts(const struct sched *s, struct sched_counts *out)
{
    *out = (struct sched_counts){.n_queued = s->n_queued, .wants_room = s->wants_room};
    LIST_EACH(&s->models, node)
    {
        const struct sched_model *m = model_of(node);
        out->n_waiting += m->n_waiting;
        out->n_running += m->n_running;
        if (is_held(m))
            out->held_bytes += m->sizes.memory_bytes;
    }
}
