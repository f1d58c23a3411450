// SPDX-License-Identifier: MIT
// What always holds between two events (DESIGN, invariants 1, 2, 3, 5 as far as one moment shows them; what
// needs history is asserted by the random test). Aborts on a violation, in release builds too.
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "sched/room.h"

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

static void check_model(const struct sched *s, const struct sched_model *m)
{
    check_waiting(m);
    check_running(m);
    require(!m->is_draining || m->state == SCHED_READY || m->state == SCHED_STOPPING,
            "only a loaded model drains");
    bool loaded = m->state == SCHED_LOADING || m->state == SCHED_READY;
    require(loaded ? room_is_held(m) : !room_is_held(m) || m->state == SCHED_STOPPING,
            "sizes are set while memory is held");
    require(m->expires_at_ns == INT64_MAX || sched_model_is_idle(m), "only an idle model has a timer");
    require(!sched_model_is_idle(m) || m->keep_alive_ns != 0, "keep_alive 0 unloads at once");
    if (m->state != SCHED_READY || m->n_waiting == 0 || m->n_running >= m->sizes.n_slots)
        return;
    const struct sched_request *first = LIST_OWNER(m->waiting.next, struct sched_request, in_model);
    bool held_back =
        (m->is_draining && first->order >= m->drain_order) || first->need_tokens > m->sizes.pool_tokens;
    require(held_back, "a free slot never stays empty while a request waits for it");
}

void sched_check(const struct sched *s)
{
    uint32_t n_held = 0, n_queued = 0;
    LIST_EACH(&s->models, node)
    {
        const struct sched_model *m = LIST_OWNER(node, struct sched_model, all);
        check_model(s, m);
        n_held += room_is_held(m) && m->state != SCHED_STOPPING;
        n_queued += m->n_waiting - m->n_promised;
    }
    require(n_queued == s->n_queued, "the queued are counted");
    require(n_queued <= s->options.max_queue, "queued <= max_queue");
    require(n_held <= s->options.max_loaded, "loaded and loading <= max_loaded");
}
