// SPDX-License-Identifier: MIT
// The events. Each one changes what it is about and then settles: requests start where there is a slot,
// models start, expire, time out, and room is given (room.c). Actions wait in two lists, a model's and a
// request's; each has at most one, a later one replaces it. All state that holds between events is what
// sched_check asserts.
#include "sched/sched.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "sched/fit.h"
#include "sched/room.h"

enum { MAX_PROBES = 8, MAX_CRASHES = 2, BACKOFF_STEPS = 6 };
#define BACKOFF_NS 1000000000LL

static struct sched_request *request_of(struct list *node)
{
    return LIST_OWNER(node, struct sched_request, in_model);
}

static struct sched_model *model_of(struct list *node)
{
    return LIST_OWNER(node, struct sched_model, all);
}

struct sched *sched_new(const struct sched_options *options)
{
    struct sched *s = xcalloc(1, sizeof *s);
    s->options = *options;
    s->options.max_loaded = MAX(options->max_loaded, 1u);
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
    m->keep_alive_ns = s->options.keep_alive_ns;
    m->expires_at_ns = INT64_MAX;
    m->user = user;
    return m;
}

// ---- Actions ----
void sched_act_on_model(struct sched *s, struct sched_model *m, enum sched_action_kind kind)
{
    list_remove(&m->actions);
    m->action = kind;
    if (kind != SCHED_NO_ACTION)
        list_push(&s->model_actions, &m->actions);
}

static void act_on_request(struct sched *s, struct sched_request *r, enum sched_action_kind kind)
{
    list_remove(&r->actions);
    r->action = kind;
    if (kind != SCHED_NO_ACTION)
        list_push(&s->request_actions, &r->actions);
}

bool sched_next_action(struct sched *s, struct sched_action *out)
{
    *out = (struct sched_action){0};
    if (!list_is_empty(&s->model_actions)) {
        out->model = LIST_OWNER(s->model_actions.next, struct sched_model, actions);
        out->kind = (enum sched_action_kind)out->model->action;
        sched_act_on_model(s, out->model, SCHED_NO_ACTION);
        return true;
    }
    if (list_is_empty(&s->request_actions))
        return false;
    struct sched_request *r = LIST_OWNER(s->request_actions.next, struct sched_request, actions);
    *out = (struct sched_action){(enum sched_action_kind)r->action, r->model, r};
    act_on_request(s, r, SCHED_NO_ACTION);
    if (out->kind != SCHED_DISPATCH)
        r->place = SCHED_NOWHERE;
    return true;
}

// ---- Requests between places ----
static void leave_model(struct sched *s, struct sched_request *r)
{
    struct sched_model *m = r->model;
    list_remove(&r->in_model);
    if (r->place == SCHED_RUNNING) {
        m->n_running--;
    } else if (r->place == SCHED_WAITING) {
        m->n_waiting--;
        if (r->is_promised)
            m->n_promised--;
        else
            s->n_queued--;
    }
    r->place = SCHED_NOWHERE;
}

static void wait_in_model(struct sched *s, struct sched_request *r, bool at_its_place)
{
    struct sched_model *m = r->model;
    struct list *before = at_its_place ? m->waiting.next : &m->waiting;
    while (before != &m->waiting && request_of(before)->order < r->order)
        before = before->next;
    list_insert_before(before, &r->in_model);
    r->place = SCHED_WAITING;
    m->n_waiting++;
    if (r->is_promised)
        m->n_promised++;
    else
        s->n_queued++;
}

void sched_fail_request(struct sched *s, struct sched_request *r, const struct err *why, int64_t now_ns)
{
    r->model->last_used_ns = now_ns;
    leave_model(s, r);
    r->place = SCHED_LEAVING;
    r->failure = *why;
    act_on_request(s, r, SCHED_FAIL);
}

static void fail_waiting(struct sched *s, struct sched_model *m, const struct err *why, int64_t now_ns)
{
    LIST_EACH_SAFE(&m->waiting, node, after)
    sched_fail_request(s, request_of(node), why, now_ns);
}

void sched_stop_model(struct sched *s, struct sched_model *m)
{
    m->state = SCHED_STOPPING;
    m->expires_at_ns = INT64_MAX;
    sched_act_on_model(s, m, SCHED_STOP);
}

// ---- Settling ----
// Starts what may start, in order of arrival.
static void serve(struct sched *s, struct sched_model *m, int64_t now_ns)
{
    while (m->state == SCHED_READY && m->n_waiting > 0) {
        struct sched_request *r = request_of(m->waiting.next);
        if (m->is_draining && r->order >= m->drain_order)
            return;
        if (r->is_load) {
            leave_model(s, r);
            r->place = SCHED_LEAVING;
            m->last_used_ns = now_ns;
            act_on_request(s, r, SCHED_LOADED);
            continue;
        }
        if (r->need_tokens > m->sizes.pool_tokens) {
            if (m->n_running == 0)
                sched_stop_model(s, m); // comes back larger
            return;
        }
        if (m->n_running >= m->sizes.n_slots)
            return;
        leave_model(s, r);
        r->place = SCHED_RUNNING;
        list_push(&m->running, &r->in_model);
        m->n_running++;
        act_on_request(s, r, SCHED_DISPATCH);
    }
}

bool sched_model_is_idle(const struct sched_model *m)
{
    return m->state == SCHED_READY && m->n_running == 0 && m->n_waiting == 0;
}

// The timer runs from the end of the last request.
static void expire_if_idle(struct sched *s, struct sched_model *m, int64_t now_ns)
{
    m->expires_at_ns = INT64_MAX;
    if (!sched_model_is_idle(m) || m->keep_alive_ns < 0)
        return;
    if (m->keep_alive_ns < INT64_MAX - m->last_used_ns)
        m->expires_at_ns = m->last_used_ns + m->keep_alive_ns;
    if (m->expires_at_ns <= now_ns)
        sched_stop_model(s, m);
}

static bool is_loading(const struct sched_model *m)
{
    return m->state == SCHED_PROBING || m->state == SCHED_LOADING;
}

static void give_up_stuck_load(struct sched *s, struct sched_model *m, int64_t now_ns)
{
    struct err why = {0};
    if (!is_loading(m) || s->options.load_timeout_ns <= 0 ||
        now_ns - m->progress_at_ns < s->options.load_timeout_ns)
        return;
    err_set(&why, ERR_INTERNAL, "timed out waiting for the model to load: no progress for %lld s",
            (long long)(s->options.load_timeout_ns / 1000000000));
    fail_waiting(s, m, &why, now_ns);
    sched_stop_model(s, m);
}

static uint64_t oldest_order(const struct sched_model *m)
{
    return request_of(m->waiting.next)->order;
}

// Starts the process of absent models that are wanted, oldest waiter first.
static void start_probes(struct sched *s, int64_t now_ns)
{
    uint32_t n_probes = 0;
    LIST_EACH(&s->models, node)
    n_probes += model_of(node)->state == SCHED_PROBING || model_of(node)->state == SCHED_PLANNED;
    while (n_probes < MAX_PROBES) {
        struct sched_model *first = NULL;
        LIST_EACH(&s->models, node)
        {
            struct sched_model *m = model_of(node);
            if (m->state == SCHED_ABSENT && m->n_waiting > 0 && m->backoff_until_ns <= now_ns &&
                (first == NULL || oldest_order(m) < oldest_order(first)))
                first = m;
        }
        if (first == NULL)
            return;
        first->state = SCHED_PROBING;
        first->progress_at_ns = now_ns;
        sched_act_on_model(s, first, SCHED_PROBE);
        n_probes++;
    }
}

static void settle(struct sched *s, int64_t now_ns)
{
    s->now_ns = now_ns;
    LIST_EACH(&s->models, node)
    {
        struct sched_model *m = model_of(node);
        serve(s, m, now_ns);
        give_up_stuck_load(s, m, now_ns);
        expire_if_idle(s, m, now_ns);
        if ((m->state == SCHED_PROBING || m->state == SCHED_PLANNED) && m->n_waiting == 0)
            sched_stop_model(s, m); // nobody wants it any more
    }
    start_probes(s, now_ns);
    room_assign(s, now_ns);
    LIST_EACH(&s->models, node)
    serve(s, model_of(node), now_ns); // drains that were lifted
}

// ---- Admission ----
static uint32_t expected_slots(const struct sched *s, const struct sched_model *m)
{
    if (m->state == SCHED_LOADING || m->state == SCHED_READY)
        return m->sizes.n_slots;
    return s->options.num_parallel > 0 ? s->options.num_parallel : FIT_AUTO_SLOTS;
}

// Whether an absent model could be loaded without waiting for the work of others.
static bool has_place(const struct sched *s, const struct sched_model *m)
{
    uint32_t n_taken = 0;
    if (m->state == SCHED_LOADING || m->state == SCHED_READY)
        return !m->is_draining;
    LIST_EACH(&s->models, node)
    {
        struct sched_model *other = model_of(node);
        n_taken += other != m && ((room_is_held(other) && room_has_work(other)) || other->n_promised > 0);
    }
    return n_taken < s->options.max_loaded;
}

static bool is_promised_slot(const struct sched *s, const struct sched_model *m,
                             const struct sched_request *r)
{
    return (r->is_load || m->n_running + m->n_promised < expected_slots(s, m)) && has_place(s, m);
}

int sched_submit(struct sched *s, struct sched_model *m, struct sched_request *r, int64_t now_ns,
                 struct err *err)
{
    if (m->state == SCHED_ABSENT && m->backoff_until_ns > now_ns)
        return err_set(
            err, ERR_BUSY,
            "the model runner has unexpectedly stopped %u times in a row; it is started again in %lld s",
            m->crashes_in_row, (long long)((m->backoff_until_ns - now_ns + 999999999) / 1000000000));
    bool promised = is_promised_slot(s, m, r);
    if (!promised && s->n_queued >= s->options.max_queue)
        return err_set(err, ERR_BUSY, "server busy, please try again.  maximum pending requests exceeded");
    if (m->has_plan && m->plan.train_context > 0)
        r->need_tokens = MIN(r->need_tokens, m->plan.train_context);
    r->model = m;
    r->place = SCHED_NOWHERE;
    r->is_promised = promised;
    r->order = s->next_order++;
    r->arrived_ns = now_ns;
    r->n_crashes = 0;
    r->failure = (struct err){0};
    list_init(&r->in_model);
    list_init(&r->actions);
    r->action = SCHED_NO_ACTION;
    wait_in_model(s, r, false);
    if (m->has_plan)
        room_refuse_impossible(s, m, now_ns);
    settle(s, now_ns);
    return 0;
}

void sched_set_keep_alive(struct sched *s, struct sched_model *m, int64_t keep_alive_ns, int64_t now_ns)
{
    m->keep_alive_ns = keep_alive_ns;
    settle(s, now_ns);
}

void sched_unload(struct sched *s, struct sched_model *m, int64_t now_ns)
{
    m->keep_alive_ns = 0;
    if (m->state == SCHED_LOADING && m->n_waiting == 0)
        sched_stop_model(s, m);
    settle(s, now_ns);
}

bool sched_cancel(struct sched *s, struct sched_request *r, int64_t now_ns)
{
    bool was_dispatched = r->place == SCHED_RUNNING && r->action == SCHED_NO_ACTION;
    if (r->place == SCHED_NOWHERE)
        return false;
    act_on_request(s, r, SCHED_NO_ACTION);
    if (r->place != SCHED_LEAVING)
        r->model->last_used_ns = now_ns;
    leave_model(s, r);
    settle(s, now_ns);
    return was_dispatched;
}

// ---- What runners say ----
void sched_on_plan(struct sched *s, struct sched_model *m, const struct sched_plan *plan, int64_t now_ns)
{
    if (m->state != SCHED_PROBING)
        return;
    m->plan = *plan;
    m->has_plan = true;
    m->state = SCHED_PLANNED;
    LIST_EACH(&m->waiting, node)
    {
        struct sched_request *r = request_of(node);
        if (plan->train_context > 0)
            r->need_tokens = MIN(r->need_tokens, plan->train_context);
    }
    room_refuse_impossible(s, m, now_ns);
    settle(s, now_ns);
}

void sched_on_progress(struct sched *s, struct sched_model *m, int64_t now_ns)
{
    m->progress_at_ns = now_ns;
}

void sched_on_ready(struct sched *s, struct sched_model *m, int64_t now_ns)
{
    if (m->state != SCHED_LOADING)
        return;
    m->state = SCHED_READY;
    m->ready_at_ns = m->last_used_ns = now_ns;
    settle(s, now_ns);
}

void sched_on_failed(struct sched *s, struct sched_model *m, const struct err *why, int64_t now_ns)
{
    if (!is_loading(m))
        return;
    fail_waiting(s, m, why, now_ns);
    sched_stop_model(s, m);
    settle(s, now_ns);
}

// Those that ran go back to their places in the queue; who saw two runners die ends here.
static void take_back_running(struct sched *s, struct sched_model *m, int64_t now_ns)
{
    struct err why = {0};
    err_set(&why, ERR_INTERNAL,
            "the model runner has unexpectedly stopped twice while it served this request");
    LIST_EACH_SAFE(&m->running, node, after)
    {
        struct sched_request *r = request_of(node);
        bool was_sent = r->action == SCHED_NO_ACTION;
        act_on_request(s, r, SCHED_NO_ACTION);
        if (was_sent && ++r->n_crashes >= MAX_CRASHES) {
            sched_fail_request(s, r, &why, now_ns);
            continue;
        }
        leave_model(s, r);
        r->is_promised = true; // it had a slot: it does not count as queued
        wait_in_model(s, r, true);
    }
}

static void count_crash(struct sched *s, struct sched_model *m, bool while_loading, int64_t now_ns)
{
    struct err why = {0};
    if (++m->crashes_in_row < MAX_CRASHES)
        return;
    m->backoff_until_ns =
        now_ns + (BACKOFF_NS << MIN(m->crashes_in_row - MAX_CRASHES, (uint32_t)BACKOFF_STEPS));
    if (!while_loading)
        return;
    err_set(&why, ERR_INTERNAL,
            "the model runner has unexpectedly stopped while loading, %u times in a row; the file may be "
            "broken or memory short",
            m->crashes_in_row);
    fail_waiting(s, m, &why, now_ns);
}

void sched_on_gone(struct sched *s, struct sched_model *m, int64_t now_ns)
{
    enum sched_state was = m->state;
    sched_act_on_model(s, m, SCHED_NO_ACTION);
    m->state = SCHED_ABSENT;
    m->expires_at_ns = INT64_MAX;
    m->is_draining = false;
    m->sizes = (struct sched_sizes){0};
    take_back_running(s, m, now_ns);
    if (was != SCHED_STOPPING && was != SCHED_ABSENT)
        count_crash(s, m, was != SCHED_READY, now_ns);
    if (m->n_waiting == 0)
        m->keep_alive_ns = s->options.keep_alive_ns;
    settle(s, now_ns);
}

void sched_on_finished(struct sched *s, struct sched_request *r, int64_t now_ns)
{
    if (r->place != SCHED_RUNNING)
        return;
    r->model->last_used_ns = now_ns;
    r->model->crashes_in_row = 0;
    act_on_request(s, r, SCHED_NO_ACTION);
    leave_model(s, r);
    settle(s, now_ns);
}

void sched_set_budget(struct sched *s, uint32_t device_i, uint64_t budget_bytes, int64_t now_ns)
{
    if (device_i != 0)
        return;
    bool is_less = budget_bytes < s->budget_bytes;
    s->budget_bytes = budget_bytes;
    LIST_EACH(&s->models, node)
    {
        if (is_less)
            room_refuse_impossible(s, model_of(node), now_ns);
    }
    settle(s, now_ns);
}

void sched_on_time(struct sched *s, int64_t now_ns)
{
    settle(s, now_ns);
}

// ---- Looking in ----
int64_t sched_deadline_ns(const struct sched *s)
{
    int64_t deadline_ns = room_deadline_ns(s);
    LIST_EACH(&s->models, node)
    {
        const struct sched_model *m = model_of(node);
        deadline_ns = MIN(deadline_ns, m->expires_at_ns);
        if (is_loading(m) && s->options.load_timeout_ns > 0)
            deadline_ns = MIN(deadline_ns, m->progress_at_ns + s->options.load_timeout_ns);
        if (m->state == SCHED_ABSENT && m->n_waiting > 0 && m->backoff_until_ns > s->now_ns)
            deadline_ns = MIN(deadline_ns, m->backoff_until_ns);
    }
    return deadline_ns;
}

void sched_read_counts(const struct sched *s, struct sched_counts *out)
{
    *out = (struct sched_counts){.n_queued = s->n_queued, .wants_room = s->wants_room};
    LIST_EACH(&s->models, node)
    {
        const struct sched_model *m = model_of(node);
        out->n_waiting += m->n_waiting;
        out->n_running += m->n_running;
        if (room_is_held(m))
            out->held_bytes += m->sizes.memory_bytes;
    }
}
