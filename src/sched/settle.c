// SPDX-License-Identifier: MIT
// What follows from an event. Each event changes what it is about and then settles: limits in time, requests
// that start where there is a slot, models that start, expire or are given up, room (room.c), causes
// (waits.c). Actions wait in two lists, a model's and a request's; each has at most one, a later one replaces
// it. All state that holds between events is what sched_check asserts.
#include "sched/devices.h"
#include "sched/estimate.h"
#include "sched/limits.h"
#include "sched/order.h"
#include "sched/room.h"
#include "sched/state.h"
#include "sched/waits.h"

enum { MAX_PROBES = 8, MAX_CRASHES = 2 };

int64_t settle_begin(struct sched *s, int64_t now_ns)
{
    s->now_ns = MAX(s->now_ns, now_ns);
    return s->now_ns;
}

// ---- Actions ----
void settle_act_on_model(struct sched *s, struct sched_model *m, enum sched_action_kind kind)
{
    list_remove(&m->actions);
    m->action = (int)kind;
    if (kind != SCHED_NO_ACTION)
        list_push(&s->model_actions, &m->actions);
}

void settle_act_on_request(struct sched *s, struct sched_request *r, enum sched_action_kind kind)
{
    list_remove(&r->actions);
    r->action = (int)kind;
    if (kind != SCHED_NO_ACTION)
        list_push(&s->request_actions, &r->actions);
}

// ---- Requests between places ----
void settle_leave(struct sched *s, struct sched_request *r, bool is_started)
{
    struct sched_model *m = r->model;
    if (r->place == SCHED_WAITING)
        waits_end(r, s->now_ns);
    list_remove(&r->in_model);
    if (r->place == SCHED_RUNNING) {
        m->n_running--;
    } else if (r->place == SCHED_WAITING) {
        m->n_waiting--;
        m->n_load_waiting -= r->is_load;
        m->n_preload_waiting -= r->is_preload;
        if (r->is_promised)
            m->n_promised--;
        else
            s->n_queued--;
        order_on_leave(s, r, is_started);
    }
    r->place = SCHED_NOWHERE;
}

void settle_wait(struct sched *s, struct sched_request *r)
{
    struct sched_model *m = r->model;
    struct list *before = &m->waiting;
    while (before->prev != &m->waiting && request_of(before->prev)->order > r->order)
        before = before->prev;
    list_insert_before(before, &r->in_model);
    r->place = SCHED_WAITING;
    m->n_waiting++;
    m->n_load_waiting += r->is_load;
    m->n_preload_waiting += r->is_preload;
    if (r->is_promised)
        m->n_promised++;
    else
        s->n_queued++;
    order_on_join(s, r);
    waits_begin(r, s->now_ns);
}

void sched_fail_request(struct sched *s, struct sched_request *r, const struct err *why)
{
    r->model->last_used_ns = s->now_ns;
    r->fail_tells_runner = r->place == SCHED_RUNNING && r->action == SCHED_NO_ACTION;
    settle_leave(s, r, false);
    r->place = SCHED_LEAVING;
    r->failure = *why;
    settle_act_on_request(s, r, SCHED_FAIL);
}

void settle_take_back(struct sched *s, struct sched_model *m, bool is_crash)
{
    struct err why = {0};
    err_set(&why, ERR_INTERNAL,
            "the model runner has unexpectedly stopped twice while it served this request");
    LIST_EACH_SAFE(&m->running, node, after)
    {
        struct sched_request *r = request_of(node);
        bool was_sent = r->action == SCHED_NO_ACTION;
        settle_act_on_request(s, r, SCHED_NO_ACTION);
        settle_leave(s, r, false);
        if (is_crash && was_sent && ++r->n_crashes >= MAX_CRASHES) {
            sched_fail_request(s, r, &why);
            continue;
        }
        r->is_promised = true; // it had a slot: it does not count as queued
        r->was_started = true;
        settle_wait(s, r);
    }
}

// ---- Models between states ----
// What was said of the model that goes does not count for the one that may come: a request that arrives while
// it goes finds the defaults, or says its own.
static void forget_keep_alive(const struct sched *s, struct sched_model *m)
{
    if (m->n_waiting > 0 || m->n_running > 0)
        return;
    m->keep_alive_ns = default_keep_alive(s, m);
    m->must_unload = false;
}

void sched_stop_model(struct sched *s, struct sched_model *m, enum sched_unload_reason reason)
{
    if (m->is_growing && m->state != SCHED_LOADING && reason != SCHED_UNLOAD_GROW) {
        m->sizes = (struct sched_sizes){0}; // only reserved so far
        m->is_growing = false;
    }
    m->state = SCHED_STOPPING;
    m->unload_reason = reason;
    m->expires_at_ns = INT64_MAX;
    m->wants_grow = false;
    forget_keep_alive(s, m);
    settle_act_on_model(s, m, SCHED_STOP);
}

static enum sched_load_reason reason_of_load(const struct sched_model *m)
{
    if (m->is_growing)
        return SCHED_LOAD_GROW;
    if (m->is_restarting)
        return SCHED_LOAD_CRASH;
    if (m->reloads_for_config)
        return SCHED_LOAD_CONFIG;
    return m->n_waiting > m->n_preload_waiting ? SCHED_LOAD_REQUEST : SCHED_LOAD_PRELOAD;
}

void sched_load_model(struct sched *s, struct sched_model *m, const struct sched_sizes *sizes)
{
    struct fit_wish wish = wish_of(s, m);
    m->sizes = *sizes;
    m->state = SCHED_LOADING;
    m->loaded_parallel = wish.num_parallel;
    m->loaded_context = wish.context_length;
    m->is_stale = false;
    m->load_reason = reason_of_load(m);
    m->progress_at_ns = m->last_used_ns = m->load_started_ns = s->now_ns;
    s->must_refuse |= m->options.is_pinned;
    settle_act_on_model(s, m, SCHED_LOAD);
}

void sched_grow_model(struct sched *s, struct sched_model *m, const struct sched_sizes *sizes)
{
    m->leaving_bytes = m->sizes.memory_bytes;
    m->leaving_device_i = m->sizes.device_i;
    m->leaving_pool_tokens = m->sizes.pool_tokens;
    m->sizes = *sizes;
    m->is_growing = true;
    m->is_draining = false;
    m->is_wanted |= m->options.is_pinned;
    s->must_refuse |= m->options.is_pinned;
    settle_take_back(s, m, false);
    sched_stop_model(s, m, SCHED_UNLOAD_GROW);
}

void settle_load_failed(struct sched *s, struct sched_model *m, const struct err *why)
{
    LIST_EACH_SAFE(&m->waiting, node, after)
    {
        struct sched_request *r = request_of(node);
        if (!m->is_growing || r->need_tokens > m->leaving_pool_tokens) // what ran before it grew, runs again
            sched_fail_request(s, r, why);
    }
    m->n_load_failures++;
    m->is_wanted = false;
    if (m->state == SCHED_LOADING)
        m->is_growing = false;
    sched_stop_model(s, m, SCHED_UNLOAD_FAILED);
}

// ---- Settling ----
static void finish_load(struct sched *s, struct sched_request *r)
{
    settle_leave(s, r, false);
    r->place = SCHED_LEAVING;
    r->model->last_used_ns = s->now_ns;
    settle_act_on_request(s, r, SCHED_LOADED);
}

// Those that only want the model loaded need no slot.
static void finish_loads(struct sched *s, struct sched_model *m)
{
    if (m->n_load_waiting == 0)
        return;
    LIST_EACH_SAFE(&m->waiting, node, after)
    {
        struct sched_request *r = request_of(node);
        if (r->is_load && r->need_tokens <= m->sizes.pool_tokens &&
            !(m->is_draining && r->order >= m->drain_order))
            finish_load(s, r);
    }
}

static void start(struct sched *s, struct sched_request *r)
{
    settle_leave(s, r, true);
    r->place = SCHED_RUNNING;
    r->started_ns = s->now_ns;
    list_push(&r->model->running, &r->in_model);
    r->model->n_running++;
    settle_act_on_request(s, r, SCHED_DISPATCH);
}

// Starts what may start, in the policy's order.
static void serve(struct sched *s, struct sched_model *m)
{
    m->wants_grow = false;
    if (m->state != SCHED_READY)
        return;
    finish_loads(s, m);
    while (m->n_waiting > 0 && m->n_running < m->sizes.n_slots) {
        struct sched_request *r = order_next(s, m);
        if (r == NULL)
            return;
        if (r->need_tokens > m->sizes.pool_tokens) {
            m->wants_grow = true;
            return;
        }
        start(s, r);
    }
}

bool sched_model_is_idle(const struct sched_model *m)
{
    return m->state == SCHED_READY && m->n_running == 0 && m->n_waiting == 0;
}

// The timer runs from the end of the last request.
static void expire_if_idle(struct sched *s, struct sched_model *m)
{
    m->expires_at_ns = INT64_MAX;
    if (!sched_model_is_idle(m))
        return;
    if (m->is_stale) {
        m->is_wanted = m->reloads_for_config = m->options.is_pinned;
        sched_stop_model(s, m, SCHED_UNLOAD_CONFIG);
        return;
    }
    if (m->must_unload) {
        sched_stop_model(s, m, SCHED_UNLOAD_STOP);
        return;
    }
    if (m->keep_alive_ns < 0 || m->options.is_pinned)
        return;
    m->expires_at_ns = clock_after_ns(m->last_used_ns, m->keep_alive_ns);
    if (m->expires_at_ns <= s->now_ns)
        sched_stop_model(s, m, SCHED_UNLOAD_EXPIRED);
}

static void give_up_stuck_load(struct sched *s, struct sched_model *m)
{
    struct err why = {0};
    if (!is_loading(m) || s->options.load_timeout_ns <= 0 ||
        s->now_ns - m->progress_at_ns < s->options.load_timeout_ns)
        return;
    err_set(&why, ERR_INTERNAL, "timed out waiting for the model to load: no progress for %lld s",
            (long long)(s->options.load_timeout_ns / 1000000000));
    settle_load_failed(s, m, &why);
}

static bool is_wanted(const struct sched_model *m)
{
    return m->n_waiting > 0 || m->is_wanted;
}

static void drop_unwanted(struct sched *s, struct sched_model *m)
{
    if ((m->state == SCHED_PROBING || m->state == SCHED_PLANNED) && !is_wanted(m))
        sched_stop_model(s, m, SCHED_UNLOAD_STOP);
}

static uint64_t wanted_order(const struct sched_model *m)
{
    return m->n_waiting > 0 ? oldest_of(m)->order : UINT64_MAX - 1;
}

// Starts the process of absent models that are wanted, oldest waiter first.
static void start_probes(struct sched *s)
{
    uint32_t n_probes = 0;
    LIST_EACH(&s->models, node)
    {
        const struct sched_model *m = model_of(node);
        n_probes += (m->state == SCHED_PROBING || m->state == SCHED_PLANNED) && m->n_waiting > 0;
    }
    while (n_probes < MAX_PROBES) {
        struct sched_model *first = NULL;
        LIST_EACH(&s->models, node)
        {
            struct sched_model *m = model_of(node);
            if (m->state == SCHED_ABSENT && is_wanted(m) && m->backoff_until_ns <= s->now_ns &&
                (first == NULL || wanted_order(m) < wanted_order(first)))
                first = m;
        }
        if (first == NULL)
            return;
        first->state = SCHED_PROBING;
        first->progress_at_ns = s->now_ns;
        settle_act_on_model(s, first, SCHED_PROBE);
        n_probes++;
    }
}

// What a new configuration allows less of, shrinks with what there is.
static void shrink_allowances(struct sched *s)
{
    s->queued_allowed = MAX(s->options.max_queue, MIN(s->queued_allowed, s->n_queued));
    s->loaded_allowed = MAX(s->options.max_loaded, MIN(s->loaded_allowed, devices_count_held(s)));
}

// Before anybody gives way: who waits behind a refused one may run on what is loaded.
static void refuse_impossible(struct sched *s)
{
    s->must_refuse = false;
    LIST_EACH(&s->models, node)
    {
        room_refuse_impossible(s, model_of(node));
        serve(s, model_of(node));
        drop_unwanted(s, model_of(node));
    }
}

void settle(struct sched *s)
{
    limits_enforce(s);
    LIST_EACH(&s->models, node)
    {
        struct sched_model *m = model_of(node);
        serve(s, m);
        give_up_stuck_load(s, m);
        expire_if_idle(s, m);
        drop_unwanted(s, m);
    }
    start_probes(s);
    do {
        if (s->must_refuse)
            refuse_impossible(s);
        room_assign(s);
    } while (s->must_refuse);
    LIST_EACH(&s->models, node)
    {
        struct sched_model *m = model_of(node);
        serve(s, m); // drains that were lifted
        expire_if_idle(s, m);
        drop_unwanted(s, m);
    }
    room_unload_excess(s);
    waits_update(s);
    shrink_allowances(s);
}
