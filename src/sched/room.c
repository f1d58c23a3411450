// SPDX-License-Identifier: MIT
// The idea: the models that wait for room are looked at in the order of their oldest waiters. One gets the
// device where it fits without sending anybody away, with most room left, else the one where those sent away
// are cheapest. If only busy models stand in its way it waits, and after swap_after victims drain: they serve
// what was admitted to them so far, and nothing newer, until the swap is done. Whoever waits for busy models
// keeps those behind it off every device on which it could ever lie, so nobody overtakes it there. What can
// never fit is refused at once, with the numbers.
#include "sched/room.h"

#include "sched/devices.h"
#include "sched/evict.h"

// What the claimants that were looked at already will hold.
struct pass {
    struct sched *s;
    uint64_t taken_bytes[SCHED_MAX_DEVICES];
    bool is_closed[SCHED_MAX_DEVICES];
    uint32_t n_taken;
};

static uint64_t left_of(uint64_t budget, uint64_t used)
{
    return used < budget ? budget - used : 0;
}

bool room_is_claimant(const struct sched_model *m)
{
    return (m->state == SCHED_PLANNED && (m->n_waiting > 0 || m->is_wanted)) ||
           (m->state == SCHED_READY && m->wants_grow && m->n_waiting > 0);
}

static void refuse(struct sched *s, struct sched_request *r, uint64_t most_bytes, uint64_t pinned_bytes)
{
    struct sched_model *m = r->model;
    struct fit_wish wish = wish_of(s, m);
    struct err why = {0};
    if (devices_count_pinned(s, m) >= max_loaded(s))
        err_set(&why, ERR_NO_MEMORY,
                "no place for another model: the limit is %u loaded models, and that many are pinned",
                max_loaded(s));
    else
        fit_refuse(&wish, &m->plan, r->need_tokens, most_bytes, pinned_bytes, &why);
    sched_fail_request(s, r, &why);
}

void room_refuse_impossible(struct sched *s, struct sched_model *m)
{
    uint64_t pinned_bytes, most_bytes;
    struct fit_wish wish = wish_of(s, m);
    struct sched_sizes sizes;
    if (!m->has_plan || (!is_held(m) && m->n_waiting == 0 && !m->is_wanted))
        return;
    most_bytes = devices_most_bytes(s, m, &pinned_bytes);
    bool has_place = is_held(m) || devices_count_pinned(s, m) < max_loaded(s);
    LIST_EACH_SAFE(&m->waiting, node, after)
    {
        struct sched_request *r = request_of(node);
        bool fits_now = is_held(m) && r->need_tokens <= m->sizes.pool_tokens;
        if (!fits_now && !(has_place && fit_sizes(&wish, &m->plan, r->need_tokens, most_bytes, &sizes)))
            refuse(s, r, most_bytes, pinned_bytes);
    }
    if (m->is_wanted && !is_held(m) && !(has_place && fit_sizes(&wish, &m->plan, 0, most_bytes, &sizes)))
        m->is_wanted = false;
}

// ---- Where a model could lie ----
struct choice {
    bool fits;
    uint32_t device_i;
    struct sched_sizes sizes;
    double cost; // of those that have to go
    uint64_t free_bytes;
};

static uint32_t power_of_two(uint32_t n)
{
    uint32_t p = 1;
    while (p < n && p < 1u << 31)
        p *= 2;
    return p;
}

// Sizes for the room. One that grows takes a step of at least a power of two where it can, so that a row of
// growing requests makes few reloads, and keeps a slot for everybody who runs.
static bool fit(const struct sched *s, const struct sched_model *m, uint64_t room_bytes,
                struct sched_sizes *sizes)
{
    struct fit_wish wish = wish_of(s, m);
    uint32_t need = largest_need(m);
    if (m->state != SCHED_READY)
        return fit_sizes(&wish, &m->plan, need, room_bytes, sizes);
    uint32_t step = power_of_two(need);
    if (m->plan.train_context > 0)
        step = MAX(MIN(step, m->plan.train_context), need);
    if (!fit_sizes(&wish, &m->plan, step, room_bytes, sizes) || sizes->n_slots < m->sizes.n_slots) {
        if (!fit_sizes(&wish, &m->plan, need, room_bytes, sizes))
            return false;
    }
    return sizes->n_slots >= m->n_running && sizes->pool_tokens > m->sizes.pool_tokens;
}

static struct choice look_at(struct pass *p, const struct sched_model *m, uint32_t device_i)
{
    struct choice c = {.device_i = device_i};
    uint64_t budget = p->s->options.devices[device_i].budget_bytes, taken = p->taken_bytes[device_i];
    struct devices_use u = devices_count(p->s, m, device_i, DEVICES_ALL);
    c.free_bytes = left_of(budget, u.busy_bytes + u.idle_bytes + taken);
    c.fits = devices_has_place(p->s, m, u.n_busy + p->n_taken) &&
             fit(p->s, m, left_of(budget, u.busy_bytes + taken), &c.sizes) &&
             evict_choose_idle(p->s, m, device_i, c.sizes.memory_bytes, taken, p->n_taken, &c.cost);
    return c;
}

static bool is_better(const struct choice *a, const struct choice *b)
{
    if (a->fits != b->fits)
        return a->fits;
    if ((a->sizes.reduced[0] == 0) != (b->sizes.reduced[0] == 0))
        return a->sizes.reduced[0] == 0;
    if (a->cost < b->cost || a->cost > b->cost)
        return a->cost < b->cost;
    return a->free_bytes > b->free_bytes;
}

static struct choice choose(struct pass *p, const struct sched_model *m)
{
    struct choice best = {0};
    for (uint32_t i = 0; i < p->s->options.n_devices; i++) {
        if (!devices_may_hold(p->s, i) || p->is_closed[i])
            continue;
        struct choice c = look_at(p, m, i);
        if (c.fits && (!best.fits || is_better(&c, &best)))
            best = c;
    }
    best.sizes.device_i = best.device_i;
    return best;
}

// ---- Busy models stand in the way ----
static int64_t waits_since_ns(const struct sched_model *m)
{
    return m->n_waiting > 0 ? oldest_of(m)->arrived_ns : INT64_MAX;
}

static bool fits_after_drains(const struct pass *p, const struct sched_model *m, uint32_t device_i)
{
    struct devices_use u = devices_count(p->s, m, device_i, DEVICES_WITHOUT_DRAINING);
    struct sched_sizes sizes;
    return devices_has_place(p->s, m, u.n_busy + p->n_taken) &&
           fit(p->s, m,
               left_of(p->s->options.devices[device_i].budget_bytes, u.busy_bytes + p->taken_bytes[device_i]),
               &sizes);
}

static void keep_drains(struct sched *s)
{
    LIST_EACH(&s->models, node)
    model_of(node)->is_drain_needed |= model_of(node)->is_draining;
}

static void begin_drains(struct sched *s)
{
    LIST_EACH(&s->models, node)
    {
        struct sched_model *m = model_of(node);
        if (!m->is_marked)
            continue;
        m->is_drain_needed = true;
        if (m->is_draining)
            continue;
        m->is_draining = true;
        m->drain_order = s->next_order;
    }
}

// Once its oldest waiter has waited swap_after, the victims with the least to do drain, all on one device.
static void drain_for(struct pass *p, struct sched_model *m)
{
    struct sched *s = p->s;
    int best = -1;
    uint32_t best_work = 0;
    if (m->n_waiting == 0 || s->now_ns - waits_since_ns(m) < s->options.swap_after_ns)
        return;
    for (uint32_t i = 0; i < s->options.n_devices; i++) {
        uint32_t work;
        if (!devices_may_hold(s, i) || p->is_closed[i])
            continue;
        if (fits_after_drains(p, m, i)) {
            keep_drains(s);
            return;
        }
        if (evict_choose_drain(s, m, i, p->taken_bytes[i], p->n_taken, &work) &&
            (best < 0 || work < best_work)) {
            best = (int)i;
            best_work = work;
        }
    }
    if (best < 0)
        return;
    evict_choose_drain(s, m, (uint32_t)best, p->taken_bytes[best], p->n_taken, &best_work);
    begin_drains(s);
}

// Nobody behind m takes the room that m waits for.
static void close_devices(struct pass *p, const struct sched_model *m)
{
    for (uint32_t i = 0; i < p->s->options.n_devices; i++) {
        struct sched_sizes sizes;
        if (fit(p->s, m, p->s->options.devices[i].budget_bytes, &sizes))
            p->is_closed[i] = true;
    }
    p->n_taken += m->state != SCHED_READY;
}

// ---- Giving ----
// For a preload nobody goes and nobody waits: it says what is missing.
static void refuse_preloads(const struct pass *p, struct sched_model *m)
{
    struct sched *s = p->s;
    struct err why = {0};
    struct fit_wish wish = wish_of(s, m);
    struct sched_sizes sizes;
    uint64_t most_bytes = 0, free_bytes = 0;
    for (uint32_t i = 0; i < s->options.n_devices; i++) {
        if (!devices_may_hold(s, i))
            continue;
        uint64_t budget = s->options.devices[i].budget_bytes;
        most_bytes = MAX(most_bytes, budget);
        free_bytes = MAX(free_bytes, left_of(budget, devices_held_bytes(s, i) + p->taken_bytes[i]));
    }
    fit_sizes(&wish, &m->plan, 0, most_bytes, &sizes);
    if (devices_count_held(s) + p->n_taken >= max_loaded(s))
        err_set(&why, ERR_NO_MEMORY, "no place beside the models that are loaded: the limit is %u of them",
                max_loaded(s));
    else
        err_set(&why, ERR_NO_MEMORY,
                "no room beside the models that are loaded: %.2f GiB needed, %.2f GiB available of %.2f GiB",
                (double)sizes.memory_bytes / GIB, (double)free_bytes / GIB, (double)most_bytes / GIB);
    LIST_EACH_SAFE(&m->waiting, node, after)
    sched_fail_request(s, request_of(node), &why);
    m->is_wanted = false;
}

static void evict_marked(struct sched *s, enum sched_unload_reason reason)
{
    LIST_EACH(&s->models, node)
    {
        if (model_of(node)->is_marked)
            sched_stop_model(s, model_of(node), reason);
    }
}

static void give_room(struct pass *p, struct sched_model *m)
{
    struct sched *s = p->s;
    struct choice c = choose(p, m);
    m->claim = SCHED_CAUSE_ROOM;
    if (m->n_waiting == m->n_preload_waiting && !m->options.is_pinned && (!c.fits || c.cost > 0)) {
        refuse_preloads(p, m);
        return;
    }
    if (!c.fits) {
        s->wants_room = true;
        drain_for(p, m);
        close_devices(p, m);
        return;
    }
    uint64_t *taken = &p->taken_bytes[c.device_i];
    double cost;
    evict_choose_idle(s, m, c.device_i, c.sizes.memory_bytes, *taken, p->n_taken, &cost);
    evict_marked(s, SCHED_UNLOAD_ROOM);
    struct devices_use u = devices_count(s, m, c.device_i, DEVICES_ALL);
    uint64_t used = u.busy_bytes + u.idle_bytes + u.leaving_bytes + *taken;
    if (c.sizes.memory_bytes <= left_of(s->options.devices[c.device_i].budget_bytes, used) &&
        devices_has_place(s, m, u.n_busy + u.n_idle + u.n_leaving + p->n_taken)) {
        if (m->state == SCHED_READY)
            sched_grow_model(s, m, &c.sizes);
        else
            sched_load_model(s, m, &c.sizes);
        return;
    }
    s->wants_room = true; // until those that leave are gone
    m->claim = SCHED_CAUSE_UNLOAD;
    *taken += c.sizes.memory_bytes;
    p->n_taken++;
}

static uint64_t claim_order(const struct sched_model *m)
{
    return m->n_waiting > 0 ? oldest_of(m)->order : UINT64_MAX - 1;
}

// The first of those that were not looked at yet; models without waiters come last, as they were added.
static struct sched_model *next_claimant(const struct sched *s)
{
    struct sched_model *first = NULL;
    LIST_EACH(&s->models, node)
    {
        struct sched_model *m = model_of(node);
        if (!room_is_claimant(m) || m->claim != SCHED_CAUSE_LINE)
            continue;
        if (first == NULL || claim_order(m) < claim_order(first))
            first = m;
    }
    return first;
}

void room_assign(struct sched *s)
{
    struct pass p = {.s = s};
    struct sched_model *m;
    s->wants_room = false;
    LIST_EACH(&s->models, node)
    {
        model_of(node)->is_drain_needed = false;
        model_of(node)->claim = SCHED_CAUSE_LINE;
    }
    while ((m = next_claimant(s)) != NULL)
        give_room(&p, m);
    LIST_EACH(&s->models, node)
    {
        m = model_of(node);
        m->is_draining = m->is_draining && m->is_drain_needed; // nobody waits for it any more
    }
}

void room_unload_excess(struct sched *s)
{
    for (uint32_t i = 0; i < s->options.n_devices; i++) {
        if (devices_held_bytes(s, i) <= s->options.devices[i].budget_bytes &&
            devices_count_held(s) <= max_loaded(s))
            continue;
        evict_choose_excess(s, i);
        evict_marked(s, SCHED_UNLOAD_LIMIT);
    }
}

int64_t room_deadline_ns(const struct sched *s)
{
    int64_t deadline_ns = INT64_MAX;
    LIST_EACH(&s->models, node)
    {
        const struct sched_model *m = model_of(node);
        if (!room_is_claimant(m) || m->n_waiting == 0)
            continue;
        int64_t swap_ns = clock_after_ns(waits_since_ns(m), s->options.swap_after_ns);
        LIST_EACH(&s->models, other)
        {
            const struct sched_model *o = model_of(other);
            int64_t drain_ns = MAX(swap_ns, clock_after_ns(o->ready_at_ns, s->options.min_resident_ns));
            if (o != m && o->state == SCHED_READY && !o->is_draining && drain_ns > s->now_ns)
                deadline_ns = MIN(deadline_ns, drain_ns);
        }
    }
    return deadline_ns;
}
