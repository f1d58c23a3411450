// SPDX-License-Identifier: MIT
// Between two events nothing changes, so each moment of waiting has one cause, and it is that of the model
// (those that came after a drain began have one of their own). The model keeps the cause of now; a request is
// brought up to date when the cause changes, when it stops waiting, and when somebody looks. So an event
// costs nothing per request as long as the cause stays, and the parts add up exactly.
#include "sched/waits.h"

static enum sched_cause cause_for(const struct sched_request *r)
{
    return r->order >= r->model->swap_order ? SCHED_CAUSE_SWAP : r->model->cause;
}

static bool has_blockers(enum sched_cause cause)
{
    return cause == SCHED_CAUSE_ROOM || cause == SCHED_CAUSE_UNLOAD || cause == SCHED_CAUSE_LINE ||
           cause == SCHED_CAUSE_GROW || cause == SCHED_CAUSE_SWAP;
}

// The four that stand in the way longest: a new one takes the place of one that did so for less time.
static void add_blocker(struct sched_waits *w, const struct sched_model *model, uint32_t n_streams,
                        int64_t ns)
{
    int at = -1, least = 0;
    for (int i = 0; i < SCHED_MAX_BLOCKERS; i++) {
        if (w->blockers[i].model == model || (at < 0 && w->blockers[i].model == NULL))
            at = i;
        if (w->blockers[i].wait_ns < w->blockers[least].wait_ns)
            least = i;
    }
    if (at < 0) {
        if (w->blockers[least].wait_ns >= ns)
            return;
        at = least;
    }
    if (w->blockers[at].model != model) {
        w->blockers[at].model = model;
        w->blockers[at].n_streams = 0;
        w->blockers[at].wait_ns = 0;
    }
    w->blockers[at].n_streams = MAX(w->blockers[at].n_streams, n_streams);
    w->blockers[at].wait_ns += ns;
}

static void add_up_to(const struct sched_request *r, int64_t now_ns, struct sched_waits *w)
{
    const struct sched_model *m = r->model;
    enum sched_cause cause = cause_for(r);
    int64_t ns = now_ns - r->waits_since_ns;
    if (ns <= 0)
        return;
    w->cause_ns[cause] += ns;
    if (cause == SCHED_CAUSE_SLOT)
        w->n_streams = MAX(w->n_streams, m->cause_streams);
    for (int i = 0; i < SCHED_MAX_BLOCKERS && has_blockers(cause) && m->blockers[i] != NULL; i++)
        add_blocker(w, m->blockers[i], m->blocker_streams[i], ns);
}

void waits_begin(struct sched_request *r, int64_t now_ns)
{
    r->waits_since_ns = now_ns;
}

void waits_end(struct sched_request *r, int64_t now_ns)
{
    add_up_to(r, now_ns, &r->waits);
    r->waits_since_ns = MAX(now_ns, r->waits_since_ns);
}

// ---- The cause of now ----
struct reason {
    enum sched_cause cause;
    uint64_t swap_order;
    const struct sched_model *blockers[SCHED_MAX_BLOCKERS];
};

static enum sched_cause cause_now(const struct sched *s, const struct sched_model *m)
{
    enum sched_cause starting = m->is_growing      ? SCHED_CAUSE_GROW
                                : m->is_restarting ? SCHED_CAUSE_RESTART
                                                   : SCHED_CAUSE_COUNT;
    switch (m->state) {
    case SCHED_ABSENT:
        return m->backoff_until_ns > s->now_ns ? SCHED_CAUSE_BACKOFF
               : starting != SCHED_CAUSE_COUNT ? starting
                                               : SCHED_CAUSE_LINE;
    case SCHED_PROBING:
        return starting != SCHED_CAUSE_COUNT ? starting : SCHED_CAUSE_PROBE;
    case SCHED_PLANNED:
        return m->claim;
    case SCHED_LOADING:
        return starting != SCHED_CAUSE_COUNT ? starting : SCHED_CAUSE_LOAD;
    case SCHED_READY:
        return m->wants_grow ? SCHED_CAUSE_GROW : SCHED_CAUSE_SLOT;
    case SCHED_STOPPING:
    case SCHED_STATE_COUNT:
        break;
    }
    return m->is_growing                           ? SCHED_CAUSE_GROW
           : m->unload_reason == SCHED_UNLOAD_ROOM ? SCHED_CAUSE_SWAP
                                                   : SCHED_CAUSE_STOP;
}

static bool stands_in_the_way(const struct sched_model *other, const struct sched_model *m,
                              enum sched_cause cause)
{
    if (other == m)
        return false;
    if (cause == SCHED_CAUSE_UNLOAD)
        return other->state == SCHED_STOPPING && is_held(other);
    if (cause == SCHED_CAUSE_LINE || cause == SCHED_CAUSE_SWAP)
        return other->state == SCHED_PLANNED && other->claim != SCHED_CAUSE_LINE;
    return is_held(other) && (has_work(other) || other->options.is_pinned || other->is_growing);
}

// The largest ones, if there are more than have a place.
static void find_blockers(const struct sched *s, const struct sched_model *m, struct reason *why)
{
    int n = 0;
    LIST_EACH(&s->models, node)
    {
        const struct sched_model *other = model_of(node);
        if (!stands_in_the_way(other, m, why->cause == SCHED_CAUSE_SLOT ? SCHED_CAUSE_SWAP : why->cause))
            continue;
        int at = n < SCHED_MAX_BLOCKERS ? n++ : SCHED_MAX_BLOCKERS;
        for (; at > 0 && other->sizes.memory_bytes > why->blockers[at - 1]->sizes.memory_bytes; at--)
            if (at < SCHED_MAX_BLOCKERS)
                why->blockers[at] = why->blockers[at - 1];
        if (at < SCHED_MAX_BLOCKERS)
            why->blockers[at] = other;
    }
}

static void settle_reason(struct sched *s, struct sched_model *m)
{
    struct reason why = {.cause = cause_now(s, m), .swap_order = UINT64_MAX};
    if (m->is_draining)
        why.swap_order = m->drain_order;
    if (has_blockers(why.cause) || m->is_draining)
        find_blockers(s, m, &why);
    bool is_same = why.cause == m->cause && why.swap_order == m->swap_order;
    for (int i = 0; i < SCHED_MAX_BLOCKERS; i++)
        is_same = is_same && why.blockers[i] == m->blockers[i];
    if (!is_same) {
        LIST_EACH(&m->waiting, node)
        waits_end(request_of(node), s->now_ns);
        m->cause_streams = 0;
    }
    m->cause = why.cause;
    m->swap_order = why.swap_order;
    m->cause_streams = MAX(m->cause_streams, m->n_running);
    for (int i = 0; i < SCHED_MAX_BLOCKERS; i++) {
        uint32_t before = is_same ? m->blocker_streams[i] : 0;
        m->blockers[i] = why.blockers[i];
        m->blocker_streams[i] = why.blockers[i] != NULL ? MAX(before, why.blockers[i]->n_running) : 0;
    }
}

void waits_update(struct sched *s)
{
    LIST_EACH(&s->models, node)
    {
        if (model_of(node)->n_waiting > 0)
            settle_reason(s, model_of(node));
    }
}

// ---- Looking in ----
enum sched_cause sched_cause_of(const struct sched_request *r)
{
    return cause_for(r);
}

void sched_read_waits(const struct sched_request *r, int64_t now_ns, struct sched_waits *out)
{
    *out = r->waits;
    if (r->place == SCHED_WAITING)
        add_up_to(r, now_ns, out);
    for (int i = 1; i < SCHED_MAX_BLOCKERS; i++) // the longest first
        for (int k = i; k > 0 && out->blockers[k].wait_ns > out->blockers[k - 1].wait_ns; k--) {
            struct sched_waits t = *out;
            out->blockers[k] = t.blockers[k - 1];
            out->blockers[k - 1] = t.blockers[k];
        }
}

#define X(cause, name, words) name,
static const char *const cause_names[] = {SCHED_CAUSE_LIST(X)};
#undef X
#define X(cause, name, words) words,
static const char *const cause_words[] = {SCHED_CAUSE_LIST(X)};
#undef X
#define X(reason, name) name,
static const char *const load_names[] = {SCHED_LOAD_LIST(X)};
static const char *const unload_names[] = {SCHED_UNLOAD_LIST(X)};
#undef X

const char *sched_cause_name(enum sched_cause cause)
{
    return (unsigned)cause < SCHED_CAUSE_COUNT ? cause_names[cause] : "?";
}

const char *sched_cause_words(enum sched_cause cause)
{
    return (unsigned)cause < SCHED_CAUSE_COUNT ? cause_words[cause] : "?";
}

const char *sched_load_reason_name(enum sched_load_reason reason)
{
    return (unsigned)reason < SCHED_LOAD_REASON_COUNT ? load_names[reason] : "?";
}

const char *sched_unload_reason_name(enum sched_unload_reason reason)
{
    return (unsigned)reason < SCHED_UNLOAD_REASON_COUNT ? unload_names[reason] : "?";
}
