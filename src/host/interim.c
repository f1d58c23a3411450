// SPDX-License-Identifier: MIT
// Weak doubles of what sched/sched.h declares and sched/ does not define yet; this file goes when it does.
#include "host/state.h"
#include "base/mem.h"
#include <string.h>
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
__attribute__((weak)) void sched_read_waits(const struct sched_request *r, int64_t now_ns,
                                            struct sched_waits *out)
{
    memset(out, 0, sizeof *out);
    const struct job *j = LIST_OWNER(r, struct job, sched);
    int64_t until = j->first_started_ns ? j->first_started_ns : now_ns,
            waited = MAX(until - r->arrived_ns, 0);
    const struct sched_model *m = j->model->sched;
    int64_t load = m->ready_at_ns ? MIN(MAX(m->ready_at_ns - r->arrived_ns, 0), waited) : waited;
    out->cause_ns[SCHED_CAUSE_LOAD] = load;
    out->cause_ns[SCHED_CAUSE_SLOT] = waited - load;
    out->n_streams = m->sizes.n_slots;
}
__attribute__((weak)) enum sched_cause sched_cause_of(const struct sched_request *r)
{
    return r->model->state == SCHED_READY || !r->is_promised ? SCHED_CAUSE_SLOT : SCHED_CAUSE_LOAD;
}
__attribute__((weak)) uint32_t sched_position(const struct sched *s, const struct sched_request *r)
{
    uint32_t p = 0;
    if (r->place != SCHED_WAITING)
        return 0;
    LIST_EACH(&r->model->waiting, node)
    {
        p++;
        if (node == &r->in_model)
            return p;
    }
    return 0;
}
__attribute__((weak)) const char *sched_cause_name(enum sched_cause c)
{
    static const char *const n[] = {
#define X(a, b, c) b,
        SCHED_CAUSE_LIST(X)
#undef X
    };
    return n[c];
}
__attribute__((weak)) const char *sched_cause_words(enum sched_cause c)
{
    static const char *const n[] = {
#define X(a, b, c) c,
        SCHED_CAUSE_LIST(X)
#undef X
    };
    return n[c];
}
__attribute__((weak)) const char *sched_load_reason_name(enum sched_load_reason c)
{
    static const char *const n[] = {
#define X(a, b) b,
        SCHED_LOAD_LIST(X)
#undef X
    };
    return n[c];
}
__attribute__((weak)) const char *sched_unload_reason_name(enum sched_unload_reason c)
{
    static const char *const n[] = {
#define X(a, b) b,
        SCHED_UNLOAD_LIST(X)
#undef X
    };
    return n[c];
}
