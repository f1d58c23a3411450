// SPDX-License-Identifier: MIT
// The idea: the model whose oldest waiter came first is looked at first, and nobody overtakes it. It gets the
// room that idle models leave; they are stopped, least recently used first, as many as are needed. If busy
// models stand in its way it waits, and after swap_after a victim drains: it serves what was admitted to it
// so far, and nothing newer, until the swap is done. What can never fit is refused at once, with the numbers.
#include "sched/room.h"

#include "base/mem.h"
#include "sched/fit.h"

static struct sched_request *oldest(const struct sched_model *m)
{
    return LIST_OWNER(m->waiting.next, struct sched_request, in_model);
}

static struct sched_model *owner(struct list *node)
{
    return LIST_OWNER(node, struct sched_model, all);
}

static uint32_t largest_need(const struct sched_model *m)
{
    uint32_t need = 0;
    LIST_EACH(&m->waiting, node)
    need = MAX(need, LIST_OWNER(node, struct sched_request, in_model)->need_tokens);
    return need;
}

void room_refuse_impossible(struct sched *s, struct sched_model *m, int64_t now_ns)
{
    LIST_EACH_SAFE(&m->waiting, node, after)
    {
        struct sched_request *r = LIST_OWNER(node, struct sched_request, in_model);
        struct sched_sizes sizes;
        struct err why = {0};
        if (!m->has_plan || (room_is_held(m) && r->need_tokens <= m->sizes.pool_tokens) ||
            fit_sizes(&s->options, &m->plan, r->need_tokens, s->budget_bytes, &sizes))
            continue;
        fit_refuse(&s->options, &m->plan, r->need_tokens, s->budget_bytes, &why);
        sched_fail_request(s, r, &why, now_ns);
    }
}

// What holds room and stays for now. STOPPING ones are on their way out and counted apart.
struct holders {
    uint64_t busy_bytes, idle_bytes, stopping_bytes;
    uint32_t n_busy, n_idle, n_stopping;
};

static struct holders count_holders(const struct sched *s, bool draining_are_busy)
{
    struct holders h = {0};
    LIST_EACH(&s->models, node)
    {
        struct sched_model *m = owner(node);
        if (!room_is_held(m))
            continue;
        bool busy = room_has_work(m) && (draining_are_busy || !m->is_draining);
        if (m->state == SCHED_STOPPING) {
            h.stopping_bytes += m->sizes.memory_bytes;
            h.n_stopping++;
        } else if (busy) {
            h.busy_bytes += m->sizes.memory_bytes;
            h.n_busy++;
        } else {
            h.idle_bytes += m->sizes.memory_bytes;
            h.n_idle++;
        }
    }
    return h;
}

static uint64_t left_of(uint64_t budget, uint64_t used)
{
    return used < budget ? budget - used : 0;
}

static bool fits_beside(const struct sched *s, const struct sched_model *m, const struct holders *h,
                        struct sched_sizes *sizes)
{
    return h->n_busy < s->options.max_loaded &&
           fit_sizes(&s->options, &m->plan, largest_need(m), left_of(s->budget_bytes, h->busy_bytes), sizes);
}

static struct sched_model *find_idle_victim(const struct sched *s)
{
    struct sched_model *victim = NULL;
    LIST_EACH(&s->models, node)
    {
        struct sched_model *m = owner(node);
        bool idle = (m->state == SCHED_READY || m->state == SCHED_LOADING) && !room_has_work(m);
        if (idle && (victim == NULL || m->last_used_ns < victim->last_used_ns))
            victim = m;
    }
    return victim;
}

// The busy model with the least to do, once it has stayed long enough.
static struct sched_model *find_drain_victim(const struct sched *s, int64_t now_ns)
{
    struct sched_model *victim = NULL;
    LIST_EACH(&s->models, node)
    {
        struct sched_model *m = owner(node);
        if (m->state != SCHED_READY || m->is_draining || !room_has_work(m) ||
            now_ns - m->ready_at_ns < s->options.min_resident_ns)
            continue;
        if (victim == NULL || m->n_running + m->n_waiting < victim->n_running + victim->n_waiting)
            victim = m;
    }
    return victim;
}

// Busy models stand in the way of m: after swap_after, enough of them drain.
static void drain_for(struct sched *s, struct sched_model *m, int64_t now_ns)
{
    if (now_ns - oldest(m)->arrived_ns < s->options.swap_after_ns)
        return;
    for (;;) {
        struct sched_sizes sizes;
        struct holders h = count_holders(s, false);
        if (fits_beside(s, m, &h, &sizes))
            return;
        struct sched_model *victim = find_drain_victim(s, now_ns);
        if (victim == NULL)
            return;
        victim->is_draining = true;
        victim->drain_order = s->next_order;
    }
}

static void load(struct sched *s, struct sched_model *m, const struct sched_sizes *sizes, int64_t now_ns)
{
    m->sizes = *sizes;
    m->state = SCHED_LOADING;
    m->progress_at_ns = m->last_used_ns = now_ns;
    sched_act_on_model(s, m, SCHED_LOAD);
}

// False: it has to wait, and so have those behind it.
static bool give_room(struct sched *s, struct sched_model *m, int64_t now_ns)
{
    struct sched_sizes sizes;
    struct holders h = count_holders(s, true);
    if (!fits_beside(s, m, &h, &sizes)) {
        drain_for(s, m, now_ns);
        return false;
    }
    while (h.n_busy + h.n_idle >= s->options.max_loaded ||
           h.busy_bytes + h.idle_bytes + sizes.memory_bytes > s->budget_bytes) {
        struct sched_model *victim = find_idle_victim(s);
        if (victim == NULL)
            return false;
        sched_stop_model(s, victim);
        h = count_holders(s, true);
    }
    if (h.n_busy + h.n_idle + h.n_stopping >= s->options.max_loaded ||
        h.busy_bytes + h.idle_bytes + h.stopping_bytes + sizes.memory_bytes > s->budget_bytes)
        return false; // until the stopping ones are gone
    load(s, m, &sizes, now_ns);
    return true;
}

static struct sched_model *find_first_planned(const struct sched *s)
{
    struct sched_model *first = NULL;
    LIST_EACH(&s->models, node)
    {
        struct sched_model *m = owner(node);
        if (m->state == SCHED_PLANNED && m->n_waiting > 0 &&
            (first == NULL || oldest(m)->order < oldest(first)->order))
            first = m;
    }
    return first;
}

void room_assign(struct sched *s, int64_t now_ns)
{
    struct sched_model *m;
    s->wants_room = false;
    while ((m = find_first_planned(s)) != NULL) {
        if (!give_room(s, m, now_ns)) {
            s->wants_room = true;
            return;
        }
    }
    LIST_EACH(&s->models, node)
    owner(node)->is_draining = false; // nobody waits for it any more
}

int64_t room_deadline_ns(const struct sched *s)
{
    struct sched_model *first = find_first_planned(s);
    if (first == NULL)
        return INT64_MAX;
    int64_t swap_ns = oldest(first)->arrived_ns + s->options.swap_after_ns, deadline_ns = INT64_MAX;
    LIST_EACH(&s->models, node)
    {
        struct sched_model *m = owner(node);
        int64_t drain_ns = MAX(swap_ns, m->ready_at_ns + s->options.min_resident_ns);
        if (m->state == SCHED_READY && !m->is_draining && drain_ns > s->now_ns)
            deadline_ns = MIN(deadline_ns, drain_ns);
    }
    return deadline_ns;
}
