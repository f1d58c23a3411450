// SPDX-License-Identifier: MIT
// The idea, for both kinds of victims: take the cheapest one until it is enough, then give back, dearest
// first, each one that turns out not to be needed. Nothing is left whose absence from the set would still be
// enough.
#include "sched/evict.h"

// Of a model whose load was not seen yet: as if a second loaded 1 GB.
static int64_t reload_ns(const struct sched_model *m)
{
    return m->load_ns > 0 ? m->load_ns : (int64_t)MIN(m->sizes.memory_bytes, (uint64_t)INT64_MAX);
}

// Cheapest reload and longest idle first: each second of idleness lowers the cost of taking it.
double evict_reload_cost(const struct sched *s, const struct sched_model *m)
{
    double idle_s = (double)MAX(s->now_ns - m->last_used_ns, (int64_t)0) / 1e9;
    return (double)reload_ns(m) / (1 + idle_s);
}

struct search {
    struct sched *s;
    const struct sched_model *claimant; // NULL: nobody comes, too much is held already
    uint32_t device_i;
    uint64_t bytes, taken_bytes; // bytes: of idle victims' search
    uint32_t n_taken;
    bool drains;
};

static bool is_candidate(const struct search *x, const struct sched_model *m)
{
    if (m == x->claimant)
        return false;
    if (!x->drains)
        return devices_is_evictable(m) && (x->claimant != NULL || m->n_waiting == 0);
    return m->state == SCHED_READY && has_work(m) && !m->is_draining && !m->options.is_pinned &&
           x->s->now_ns - m->ready_at_ns >= x->s->options.min_resident_ns;
}

static double cost_of(const struct search *x, const struct sched_model *m)
{
    return x->drains ? (double)(m->n_running + m->n_waiting) : evict_reload_cost(x->s, m);
}

static uint64_t left_of(uint64_t budget, uint64_t used)
{
    return used < budget ? budget - used : 0;
}

static bool has_place(const struct search *x, const struct devices_use *u)
{
    uint32_t n_stay = u->n_busy + (x->drains ? 0 : u->n_idle);
    if (x->claimant == NULL)
        return n_stay <= max_loaded(x->s);
    return devices_has_place(x->s, x->claimant, n_stay + x->n_taken);
}

static bool has_memory(const struct search *x, const struct devices_use *u)
{
    uint64_t budget = x->s->options.devices[x->device_i].budget_bytes;
    if (x->drains) {
        struct sched_sizes sizes;
        struct fit_wish wish = wish_of(x->s, x->claimant);
        return fit_sizes(&wish, &x->claimant->plan, largest_need(x->claimant),
                         left_of(budget, u->busy_bytes + x->taken_bytes), &sizes);
    }
    uint64_t used = u->busy_bytes + u->idle_bytes + x->taken_bytes;
    return used <= budget && x->bytes <= budget - used;
}

static struct devices_use count(const struct search *x)
{
    struct devices_use u = devices_count(x->s, x->claimant, x->device_i, DEVICES_WITHOUT_MARKED);
    return u;
}

// The cheapest candidate that is not marked, or the dearest that is.
static struct sched_model *find(const struct search *x, bool marked, bool on_device_only)
{
    struct sched_model *best = NULL;
    double best_cost = 0;
    LIST_EACH(&x->s->models, node)
    {
        struct sched_model *m = model_of(node);
        if (!is_candidate(x, m) || m->is_marked != marked || m->is_kept ||
            (on_device_only && m->sizes.device_i != x->device_i))
            continue;
        double cost = cost_of(x, m);
        if (best == NULL || (marked ? cost > best_cost : cost < best_cost)) {
            best = m;
            best_cost = cost;
        }
    }
    return best;
}

static void give_back(const struct search *x)
{
    struct sched_model *m;
    while ((m = find(x, true, false)) != NULL) {
        m->is_marked = false;
        m->is_kept = true; // looked at
        struct devices_use u = count(x);
        if (!has_place(x, &u) || !has_memory(x, &u))
            m->is_marked = true;
    }
    LIST_EACH(&x->s->models, node)
    model_of(node)->is_kept = false;
}

static bool choose(const struct search *x)
{
    struct devices_use u;
    LIST_EACH(&x->s->models, node)
    {
        struct sched_model *m = model_of(node);
        m->is_marked = x->drains && m->is_draining && !m->options.is_pinned;
        m->is_kept = false;
    }
    while (u = count(x), !has_memory(x, &u) || !has_place(x, &u)) {
        struct sched_model *victim = find(x, false, !has_memory(x, &u));
        if (victim == NULL)
            return false;
        victim->is_marked = true;
    }
    give_back(x);
    return true;
}

bool evict_choose_idle(struct sched *s, const struct sched_model *claimant, uint32_t device_i, uint64_t bytes,
                       uint64_t taken_bytes, uint32_t n_taken, double *cost)
{
    struct search x = {s, claimant, device_i, bytes, taken_bytes, n_taken, false};
    *cost = 0;
    if (!choose(&x))
        return false;
    LIST_EACH(&s->models, node)
    {
        if (model_of(node)->is_marked)
            *cost += cost_of(&x, model_of(node));
    }
    return true;
}

bool evict_choose_drain(struct sched *s, const struct sched_model *claimant, uint32_t device_i,
                        uint64_t taken_bytes, uint32_t n_taken, uint32_t *work)
{
    struct search x = {s, claimant, device_i, 0, taken_bytes, n_taken, true};
    *work = 0;
    if (!choose(&x))
        return false;
    LIST_EACH(&s->models, node)
    {
        if (model_of(node)->is_marked)
            *work += model_of(node)->n_running + model_of(node)->n_waiting;
    }
    return true;
}

void evict_choose_excess(struct sched *s, uint32_t device_i)
{
    struct search x = {.s = s, .device_i = device_i};
    choose(&x);
}
