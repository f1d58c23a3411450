// SPDX-License-Identifier: MIT
// The memory plan of a model for people: the scheduler's own arithmetic on a model card's figures. Any
// thread.
#include "host/state.h"

#include <string.h>

#include "base/mem.h"
#include "host/memory.h"

// What other models hold by their plans, and what all of them hold by the kernel's count. With the mutex.
static void count_others(struct host *h, const struct host_model *model, uint64_t *planned,
                         uint64_t *resident)
{
    const char *kv_type = configure_kv_type(h, &model->settings);
    LIST_EACH(&h->models, node)
    {
        const struct hosted *m = LIST_OWNER(node, struct hosted, all);
        bool is_it = strcmp(m->blob_digest, model->blob_digest) == 0 && strcmp(m->kv_type, kv_type) == 0;
        if (m->pid > 0)
            *resident += memory_of_process(m->pid);
        if (!is_it)
            *planned += m->sched->sizes.memory_bytes;
    }
}

uint32_t plan_wanted_slots(const struct host *h, uint32_t of_the_model)
{
    return of_the_model > 0             ? of_the_model
           : h->policy.num_parallel > 0 ? h->policy.num_parallel
                                        : (uint32_t)SCHED_AUTO_SLOTS;
}

void host_plan_memory(struct host *h, const struct host_model *model, const struct host_memory_facts *facts,
                      uint32_t n_slots, uint32_t num_ctx, struct host_memory_plan *out)
{
    struct memory_reading reading;
    uint64_t planned = 0, resident = 0;
    memory_read(&reading, NULL);
    pthread_mutex_lock(&h->mutex);
    struct sched_options policy = h->policy;
    count_others(h, model, &planned, &resident);
    struct sched_model_options options = {.num_parallel =
                                              n_slots > 0 ? n_slots : model->settings.num_parallel,
                                          .context_length = model->settings.context_length};
    uint32_t slots = plan_wanted_slots(h, options.num_parallel);
    int n_threads = model->settings.n_threads;
    uint64_t limit_bytes = h->options.memory_limit_bytes;
    pthread_mutex_unlock(&h->mutex);
    n_threads = n_threads > 0 ? MIN(n_threads, h->n_threads) : h->n_threads;

    *out = (struct host_memory_plan){.n_threads = n_threads,
                                     .weights_bytes = facts->weights_bytes +
                                                      (h->has_no_coarse_head ? 0 : facts->coarse_head_bytes),
                                     .process_bytes = facts->process_bytes,
                                     .front_bytes = policy.front_bytes};
    out->scratch_bytes = facts->scratch_bytes + facts->scratch_bytes_per_slot * slots +
                         facts->scratch_bytes_per_thread * (uint64_t)n_threads;
    out->budget_bytes = memory_budget(&reading, resident, limit_bytes);
    out->available_bytes = out->budget_bytes - MIN(planned, out->budget_bytes);
    struct sched_plan plan = {out->weights_bytes + out->process_bytes + out->scratch_bytes,
                              facts->kv_bytes_per_token, facts->train_context};
    out->fits_now = sched_fit(&policy, &options, &plan, num_ctx, out->available_bytes, &out->sizes);
    out->can_fit =
        out->fits_now || sched_fit(&policy, &options, &plan, num_ctx, out->budget_bytes, &out->sizes);
    out->pool_bytes = facts->kv_bytes_per_token * out->sizes.pool_tokens;
}
