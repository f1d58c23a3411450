// SPDX-License-Identifier: MIT
// What the configuration says, as the scheduler and the models take it: at the start, after a reload, and for
// each model. Any thread; with the mutex where state.h says so.
#include "host/state.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

// The two queues of a runner's socket, the assembly of messages, events on their way: part of each model's
// plan.
#define FRONT_BYTES (8ul << 20)

struct sched_options configure_policy(const struct host_options *o)
{
    return (struct sched_options){
        .num_parallel = o->num_parallel,
        .max_queue = o->max_queue,
        .max_loaded = o->max_loaded,
        .context_length = o->context_length,
        .keep_alive_ns = o->keep_alive_ns,
        .load_timeout_ns = o->load_timeout_ns,
        .swap_after_ns = o->swap_after_ns,
        .min_resident_ns = o->min_resident_ns,
        .front_bytes = FRONT_BYTES,
        .order = o->order,
        .uses_priorities = o->uses_priorities,
        .max_queue_wait_ns = MAX(o->max_queue_wait_ns, 0),
        .first_token_timeout_ns = MAX(o->first_token_timeout_ns, 0),
        .request_timeout_ns = MAX(o->request_timeout_ns, 0),
    };
}

const char *configure_kv_type(const struct host *h, const struct host_model_settings *settings)
{
    return settings->kv_type != NULL ? settings->kv_type : h->kv_type;
}

void configure_model(struct host *h, struct hosted *m, const struct host_model_settings *settings)
{
    struct sched_model_options options = {.num_parallel = settings->num_parallel,
                                          .context_length = settings->context_length,
                                          .has_keep_alive = settings->has_keep_alive,
                                          .keep_alive_ns = settings->keep_alive_ns,
                                          .is_pinned = settings->is_pinned};
    m->n_threads = settings->n_threads;
    sched_configure_model(h->sched, m->sched, &options, clock_monotonic_ns());
}

// Whoever asks after this meets the new limit. The host's thread reads the memory in its next round.
static void wait_for_budget(struct host *h)
{
    struct timespec tick = {.tv_nsec = NS_PER_MS};
    for (bool is_read = false; !is_read; nanosleep(&tick, NULL)) {
        pthread_mutex_lock(&h->mutex);
        is_read = !h->reads_budget || h->is_stopping;
        pthread_mutex_unlock(&h->mutex);
    }
}

void host_configure(struct host *h, const struct host_options *o, host_settings_fn *settings_of)
{
    struct sched_options policy = configure_policy(o);
    pthread_mutex_lock(&h->mutex);
    int64_t now_ns = clock_monotonic_ns();
    free(h->kv_type);
    h->kv_type = xstrdup(o->kv_type != NULL ? o->kv_type : "f16");
    atomic_store(&h->stall_timeout_ns, o->stall_timeout_ns);
    h->policy = policy;
    h->options.memory_limit_bytes = o->memory_limit_bytes;
    h->reads_budget = true;
    sched_configure(h->sched, &policy, now_ns);
    LIST_EACH(&h->models, node)
    {
        struct hosted *m = LIST_OWNER(node, struct hosted, all);
        struct host_model_settings settings = settings_of(m->name);
        if (strcmp(configure_kv_type(h, &settings), m->kv_type) != 0)
            sched_unload(h->sched, m->sched, now_ns); // whoever comes next gets another runner
        else
            configure_model(h, m, &settings);
    }
    pthread_mutex_unlock(&h->mutex);
    thread_wake(h);
    wait_for_budget(h);
}
