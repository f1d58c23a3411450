// SPDX-License-Identifier: MIT
// What runners say, and that they have ended.
#include "sched/devices.h"
#include "sched/estimate.h"
#include "sched/log.h"
#include "sched/room.h"
#include "sched/state.h"

enum { MAX_CRASHES = 2, BACKOFF_STEPS = 6 };
#define BACKOFF_NS 1000000000LL

static void clamp_needs(struct sched_model *m)
{
    LIST_EACH(&m->waiting, node)
    {
        struct sched_request *r = request_of(node);
        if (m->plan.train_context > 0)
            r->need_tokens = MIN(r->need_tokens, m->plan.train_context);
    }
}

// The room for it is held already; but the budget may have become less.
static void load_grown(struct sched *s, struct sched_model *m)
{
    uint32_t device_i = m->sizes.device_i;
    struct fit_wish wish = wish_of(s, m);
    uint64_t need_bytes = fit_bytes(&wish, &m->plan, m->sizes.pool_tokens);
    struct sched_sizes sizes = m->sizes;
    if (need_bytes == m->sizes.memory_bytes &&
        devices_held_bytes(s, device_i) <= s->options.devices[device_i].budget_bytes) {
        sched_load_model(s, m, &sizes);
        return;
    }
    m->sizes = (struct sched_sizes){0};
    m->is_growing = false;
}

void sched_on_plan(struct sched *s, struct sched_model *m, const struct sched_plan *plan, int64_t now_ns)
{
    if (m->state != SCHED_PROBING)
        return;
    settle_begin(s, now_ns);
    log_plan(s, m, plan);
    m->plan = *plan;
    m->has_plan = true;
    m->state = SCHED_PLANNED;
    clamp_needs(m);
    if (m->is_growing)
        load_grown(s, m);
    room_refuse_impossible(s, m);
    settle(s);
}

void sched_on_progress(struct sched *s, struct sched_model *m, int64_t now_ns)
{
    settle_begin(s, now_ns);
    log_event_of_model(s, "progress", m);
    m->progress_at_ns = s->now_ns;
}

void sched_on_ready(struct sched *s, struct sched_model *m, int64_t now_ns)
{
    if (m->state != SCHED_LOADING)
        return;
    settle_begin(s, now_ns);
    log_event_of_model(s, "ready", m);
    m->state = SCHED_READY;
    m->n_loads[m->load_reason]++;
    estimate_on_loaded(s, m);
    if (!m->is_growing && !m->is_restarting) // else it goes on as it was
        m->ready_at_ns = s->now_ns;
    m->last_used_ns = s->now_ns;
    m->is_growing = m->is_restarting = m->is_wanted = m->reloads_for_config = false;
    settle(s);
}

void sched_on_failed(struct sched *s, struct sched_model *m, const struct err *why, int64_t now_ns)
{
    if (!is_loading(m))
        return;
    settle_begin(s, now_ns);
    log_failed(s, m, why);
    settle_load_failed(s, m, why);
    settle(s);
}

static void count_crash(struct sched *s, struct sched_model *m, bool while_loading)
{
    struct err why = {0};
    m->is_restarting = true;
    m->is_wanted |= m->options.is_pinned;
    m->n_load_failures += while_loading;
    if (++m->crashes_in_row < MAX_CRASHES)
        return;
    m->backoff_until_ns =
        s->now_ns + (BACKOFF_NS << MIN(m->crashes_in_row - MAX_CRASHES, (uint32_t)BACKOFF_STEPS));
    if (!while_loading)
        return;
    err_set(&why, ERR_INTERNAL,
            "the model runner has unexpectedly stopped while loading, %u times in a row; the file may be "
            "broken or memory short",
            m->crashes_in_row);
    LIST_EACH_SAFE(&m->waiting, node, after)
    sched_fail_request(s, request_of(node), &why);
}

// The old process of a model that grows has left: the next one starts, its room is held.
static void start_grown(struct sched *s, struct sched_model *m)
{
    m->n_unloads[SCHED_UNLOAD_GROW]++;
    m->leaving_bytes = 0;
    m->state = SCHED_PROBING;
    m->progress_at_ns = s->now_ns;
    settle_act_on_model(s, m, SCHED_PROBE);
}

void sched_on_gone(struct sched *s, struct sched_model *m, int64_t now_ns)
{
    enum sched_state was = m->state;
    if (was == SCHED_ABSENT)
        return;
    settle_begin(s, now_ns);
    log_event_of_model(s, "gone", m);
    settle_act_on_model(s, m, SCHED_NO_ACTION);
    if (was == SCHED_STOPPING && m->is_growing) {
        start_grown(s, m);
        settle(s);
        return;
    }
    bool was_held = is_held(m) && !(m->is_growing && was == SCHED_PROBING);
    m->state = SCHED_ABSENT;
    m->expires_at_ns = INT64_MAX;
    m->is_draining = m->is_growing = m->is_stale = m->must_unload = m->wants_grow = false;
    m->sizes = (struct sched_sizes){0};
    settle_take_back(s, m, true);
    if (was_held)
        m->n_unloads[was == SCHED_STOPPING ? m->unload_reason : SCHED_UNLOAD_CRASH]++;
    if (was != SCHED_STOPPING)
        count_crash(s, m, was != SCHED_READY);
    if (m->n_waiting == 0)
        m->keep_alive_ns = default_keep_alive(s, m);
    settle(s);
}

void sched_on_first_token(struct sched *s, struct sched_request *r, int64_t now_ns)
{
    if (r->place != SCHED_RUNNING || r->first_token_ns != 0)
        return;
    settle_begin(s, now_ns);
    log_event_of_request(s, "token", r);
    r->first_token_ns = MAX(s->now_ns, (int64_t)1);
}

void sched_on_finished(struct sched *s, struct sched_request *r, int64_t now_ns)
{
    bool waits_again = r->place == SCHED_WAITING && r->was_started;
    if (r->place != SCHED_RUNNING && !waits_again)
        return;
    settle_begin(s, now_ns);
    log_event_of_request(s, "finished", r);
    r->model->last_used_ns = s->now_ns;
    r->model->crashes_in_row = 0;
    if (!waits_again)
        estimate_on_finished(s, r);
    settle_act_on_request(s, r, SCHED_NO_ACTION);
    settle_leave(s, r, false);
    s->n_alive--;
    settle(s);
}
