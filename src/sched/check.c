// SPDX-License-Identifier: MIT
// What always holds between two events (DESIGN, invariants 1, 2, 3, 5 as far as one moment shows them; what
// needs history is asserted by the random test). Aborts on a violation, in release builds too.
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "sched/devices.h"
#include "sched/order.h"

static void require(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "sched_check: violated: %s\n", what);
    abort();
}

static void check_waiting(const struct sched_model *m)
{
    uint32_t n = 0, n_promised = 0;
    uint64_t last_order = 0;
    LIST_EACH(&m->waiting, node)
    {
        const struct sched_request *r = LIST_OWNER(node, struct sched_request, in_model);
        require(r->place == SCHED_WAITING && r->model == m && r->action == SCHED_NO_ACTION,
                "a waiting request only waits");
        require(n == 0 || r->order > last_order, "requests wait in order of arrival");
        last_order = r->order;
        n++;
        n_promised += r->is_promised;
    }
    require(n == m->n_waiting && n_promised == m->n_promised, "the waiting are counted");
}

static void check_running(const struct sched_model *m)
{
    uint32_t n = 0;
    LIST_EACH(&m->running, node)
    {
        const struct sched_request *r = LIST_OWNER(node, struct sched_request, in_model);
        require(r->place == SCHED_RUNNING && r->model == m && !r->is_load, "a running request runs");
        require(r->action == SCHED_NO_ACTION || r->action == SCHED_DISPATCH,
                "a running request is dispatched, once");
        require(r->need_tokens <= m->sizes.pool_tokens, "a running request fits the pool");
        n++;
    }
    require(n == m->n_running, "the running are counted");
    require(n == 0 || m->state == SCHED_READY,
            "requests run in models that are ready; these are never stopped");
    require(n <= m->sizes.n_slots, "running <= slots");
}

static bool is_served(const struct sched *s, const struct sched_model *m)
{
    if (m->state != SCHED_READY || m->n_waiting == 0 || m->n_running >= m->sizes.n_slots)
        return true;
    if (m->wants_grow) // whoever was next when an event came; age alone starts nobody
        return largest_need(m) > m->sizes.pool_tokens;
    return order_next(s, m) == NULL; // drains
}

static void check_model(const struct sched *s, const struct sched_model *m)
{
    bool loaded = m->state == SCHED_LOADING || m->state == SCHED_READY;
    check_waiting(m);
    check_running(m);
    require(!m->is_draining || m->state == SCHED_READY || m->state == SCHED_STOPPING,
            "only a loaded model drains");
    require(!m->is_draining || !m->options.is_pinned || m->state == SCHED_STOPPING,
            "a pinned model does not drain");
    require(loaded ? is_held(m) : !is_held(m) || m->state == SCHED_STOPPING || m->is_growing,
            "sizes are set while memory is held");
    require(!m->is_growing || m->state == SCHED_STOPPING || is_loading(m), "a model grows between processes");
    require(m->leaving_bytes == 0 || (m->is_growing && m->state == SCHED_STOPPING),
            "an old process leaves only while its model grows");
    require(m->expires_at_ns == INT64_MAX || (sched_model_is_idle(m) && !m->options.is_pinned),
            "only an idle model has a timer");
    require(!sched_model_is_idle(m) || m->keep_alive_ns != 0 || m->options.is_pinned,
            "keep_alive 0 unloads at once");
    require(!is_held(m) ||
                (m->sizes.device_i < s->options.n_devices && devices_may_hold(s, m->sizes.device_i)),
            "a model lies on a device that may hold it");
    require(is_served(s, m), "a free slot never stays empty while a request waits for it");
}

// Where more is held than there is, nobody is idle who would have to go.
static void check_excess(const struct sched *s, uint32_t device_i)
{
    uint64_t bytes = 0;
    uint32_t n_models = 0, n_idle_here = 0, n_idle = 0;
    LIST_EACH(&s->models, node)
    {
        const struct sched_model *m = LIST_OWNER(node, struct sched_model, all);
        if (!is_held(m) || (m->state == SCHED_STOPPING && !m->is_growing))
            continue;
        bool is_here = m->sizes.device_i == device_i, is_idle = devices_is_evictable(m) && m->n_waiting == 0;
        bytes += is_here ? m->sizes.memory_bytes : 0;
        n_models++;
        n_idle += is_idle;
        n_idle_here += is_idle && is_here;
    }
    require(n_idle_here == 0 || bytes <= s->options.devices[device_i].budget_bytes,
            "no idle model stays in memory that there is not");
    require(n_idle == 0 || n_models <= s->options.max_loaded, "no idle model stays beyond max_loaded");
}

void sched_check(const struct sched *s)
{
    uint32_t n_queued = 0, n_requests = 0;
    LIST_EACH(&s->models, node)
    {
        const struct sched_model *m = model_of(node);
        check_model(s, m);
        n_queued += m->n_waiting - m->n_promised;
        n_requests += m->n_waiting + m->n_running;
    }
    LIST_EACH(&s->request_actions, node)
    n_requests += LIST_OWNER(node, struct sched_request, actions)->place == SCHED_LEAVING;
    require(n_requests == s->n_alive, "every accepted request is somewhere");
    require(n_queued == s->n_queued, "the queued are counted");
    require(n_queued <= s->queued_allowed, "queued <= max_queue");
    require(devices_count_held(s) <= s->loaded_allowed, "models with memory <= max_loaded");
    for (uint32_t i = 0; i < s->options.n_devices; i++)
        check_excess(s, i);
}
