// SPDX-License-Identifier: MIT
// The list of those that wait is always in order of arrival; the policy only chooses from it. What ran before
// and waits again goes first.
//
// Round robin without a table of clients: the requests of one client (and class) form a flow; turn counts how
// many of the flow stand in front, so those with turn 0 are the flows' heads. A head takes a number from the
// model's ring when it becomes one (on arrival, or when its predecessor starts), and the lowest number goes
// first: every flow gets one turn before any gets a second. A head that leaves without having started gives
// its number to its successor.
#include "sched/order.h"

static bool is_ring(const struct sched *s)
{
    return s->options.order == SCHED_ORDER_ROUND_ROBIN;
}

static bool same_flow(const struct sched *s, const struct sched_request *a, const struct sched_request *b)
{
    return a->client == b->client && !a->was_started && !b->was_started &&
           (!s->options.uses_priorities || a->priority == b->priority);
}

// After two ages everything stands in the first class.
static int class_of(const struct sched *s, const struct sched_request *r)
{
    if (!s->options.uses_priorities)
        return 0;
    int64_t risen = (s->now_ns - r->arrived_ns) / s->options.priority_age_ns;
    return (int)MAX((int64_t)r->priority - risen, (int64_t)0);
}

static uint32_t count_streams(const struct sched_model *m, uint64_t client)
{
    uint32_t n = 0;
    LIST_EACH(&m->running, node)
    n += request_of(node)->client == client;
    return n;
}

struct key {
    bool is_new;
    int class;
    uint32_t turn, n_streams;
    uint64_t ring, order;
};

static struct key key_of(const struct sched *s, const struct sched_request *r)
{
    struct key k = {.is_new = !r->was_started, .class = class_of(s, r), .order = r->order};
    if (is_ring(s) && k.is_new) {
        k.turn = r->turn;
        k.n_streams = count_streams(r->model, r->client);
        k.ring = r->turn == 0 ? r->ring : 0; // further back only arrival tells them apart
    }
    return k;
}

static bool precedes(const struct key *a, const struct key *b)
{
    if (a->is_new != b->is_new)
        return b->is_new;
    if (a->class != b->class)
        return a->class < b->class;
    if (a->turn != b->turn)
        return a->turn < b->turn;
    if (a->n_streams != b->n_streams)
        return a->n_streams < b->n_streams;
    return a->ring != b->ring ? a->ring < b->ring : a->order < b->order;
}

struct sched_request *order_next(const struct sched *s, const struct sched_model *m)
{
    struct sched_request *best = NULL;
    struct key best_key = {0};
    LIST_EACH(&m->waiting, node)
    {
        struct sched_request *r = request_of(node);
        if (m->is_draining && r->order >= m->drain_order)
            break;
        if (!is_ring(s) && !s->options.uses_priorities)
            return r;
        struct key k = {0};
        if (is_ring(s) && r->turn > 0 && !r->was_started)
            continue;
        k = key_of(s, r);
        if (best == NULL || precedes(&k, &best_key)) {
            best = r;
            best_key = k;
        }
    }
    return best;
}

void order_on_join(const struct sched *s, struct sched_request *r)
{
    struct sched_model *m = r->model;
    r->turn = 0;
    r->ring = 0;
    if (!is_ring(s) || r->was_started)
        return;
    LIST_EACH(&m->waiting, node)
    {
        struct sched_request *other = request_of(node);
        if (other != r && same_flow(s, other, r))
            r->turn++;
    }
    if (r->turn == 0)
        r->ring = m->ring++;
}

void order_on_leave(const struct sched *s, const struct sched_request *r, bool is_started)
{
    struct sched_model *m = r->model;
    if (!is_ring(s) || r->was_started)
        return;
    LIST_EACH(&m->waiting, node)
    {
        struct sched_request *other = request_of(node);
        if (other->order <= r->order || !same_flow(s, other, r))
            continue;
        if (--other->turn == 0)
            other->ring = is_started ? m->ring++ : r->ring;
    }
}

void order_rebuild(const struct sched *s, struct sched_model *m)
{
    LIST_EACH(&m->waiting, node)
    {
        struct sched_request *r = request_of(node);
        r->turn = 0;
        r->ring = 0;
        if (!is_ring(s) || r->was_started)
            continue;
        LIST_EACH(&m->waiting, before)
        {
            if (before == node)
                break;
            r->turn += same_flow(s, request_of(before), r);
        }
        if (r->turn == 0)
            r->ring = m->ring++;
    }
}

uint32_t sched_position(const struct sched *s, const struct sched_request *r)
{
    uint32_t position = 1;
    if (r->place != SCHED_WAITING)
        return 0;
    struct key mine = key_of(s, r);
    LIST_EACH(&r->model->waiting, node)
    {
        struct key other = key_of(s, request_of(node));
        position += precedes(&other, &mine);
    }
    return position;
}
