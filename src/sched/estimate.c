// SPDX-License-Identifier: MIT
// Moving averages (the latest weighs an eighth), and what follows from them: with n slots one gets free every
// n-th part of a service time.
#include "sched/estimate.h"

#define MAX_ESTIMATE_NS (3600LL * 1000000000)

static int64_t average(int64_t old_ns, int64_t new_ns)
{
    return old_ns == 0 ? MAX(new_ns, (int64_t)1) : MAX(old_ns + (new_ns - old_ns) / 8, (int64_t)1);
}

void estimate_on_finished(struct sched *s, const struct sched_request *r)
{
    int64_t ran_ns = s->now_ns - r->started_ns;
    r->model->service_ns = average(r->model->service_ns, ran_ns);
    s->service_ns = average(s->service_ns, ran_ns);
}

void estimate_on_loaded(struct sched *s, struct sched_model *m)
{
    m->load_ns = average(m->load_ns, s->now_ns - m->load_started_ns);
}

static int64_t service_of(const struct sched *s, const struct sched_model *m)
{
    return m->service_ns > 0 ? m->service_ns : s->service_ns;
}

// Until the model serves, if it does not yet: back-off, the work of a model in its way, its load.
static int64_t until_ready(const struct sched *s, const struct sched_model *m)
{
    int64_t ns = 0;
    if (m->state == SCHED_READY)
        return m->is_draining ? s->service_ns + m->load_ns : 0;
    if (m->state == SCHED_ABSENT && m->backoff_until_ns > s->now_ns)
        ns += m->backoff_until_ns - s->now_ns;
    if (m->state == SCHED_PLANNED && m->claim == SCHED_CAUSE_ROOM)
        ns += MAX(s->service_ns, MIN(s->options.swap_after_ns, MAX_ESTIMATE_NS));
    int64_t loading = m->state == SCHED_LOADING ? s->now_ns - m->load_started_ns : 0;
    return ns + MAX(m->load_ns - loading, (int64_t)0);
}

int64_t sched_estimate_ns(const struct sched *s, const struct sched_model *m, uint32_t position)
{
    uint32_t n_slots = MAX(expected_slots(s, m), 1u);
    uint32_t n_free = n_slots > m->n_running ? n_slots - m->n_running : 0;
    if (position == 0)
        position = m->n_waiting + 1;
    double turns = position > n_free ? (double)(position - n_free) / n_slots : 0;
    double ns = (double)until_ready(s, m) + turns * (double)service_of(s, m);
    return ns < (double)MAX_ESTIMATE_NS ? (int64_t)ns : MAX_ESTIMATE_NS;
}

int64_t sched_retry_after_ns(const struct sched *s, const struct sched_model *m)
{
    int64_t least = INT64_MAX;
    if (m != NULL)
        return sched_estimate_ns(s, m, 0);
    LIST_EACH(&s->models, node)
    {
        if (model_of(node)->state == SCHED_READY)
            least = MIN(least, sched_estimate_ns(s, model_of(node), 0));
    }
    return least == INT64_MAX ? MIN(s->service_ns, MAX_ESTIMATE_NS) : least;
}
