// SPDX-License-Identifier: MIT
#include "sched/fit.h"

#include <stdio.h>

#include "base/mem.h"

static uint64_t add_capped(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

uint64_t fit_bytes(const struct fit_wish *w, const struct sched_plan *plan, uint32_t pool_tokens)
{
    uint64_t pool;
    if (__builtin_mul_overflow(plan->bytes_per_token, (uint64_t)pool_tokens, &pool))
        pool = UINT64_MAX;
    return add_capped(add_capped(plan->fixed_bytes, pool), w->front_bytes);
}

static uint32_t clamp_context(const struct sched_plan *plan, uint32_t n_tokens)
{
    return plan->train_context > 0 ? MIN(n_tokens, plan->train_context) : n_tokens;
}

static uint32_t round_pool(uint64_t n_tokens)
{
    return (uint32_t)MIN(ROUND_UP(n_tokens, FIT_PAGE_TOKENS), (uint64_t)(UINT32_MAX - FIT_PAGE_TOKENS));
}

// Tries one choice of slots and pool.
static bool try_sizes(const struct fit_wish *w, const struct sched_plan *plan, uint32_t n_slots,
                      uint32_t pool_tokens, uint64_t room_bytes, struct sched_sizes *sizes)
{
    sizes->n_slots = n_slots;
    sizes->pool_tokens = pool_tokens;
    sizes->context_length = clamp_context(plan, w->context_length > 0 ? w->context_length : pool_tokens);
    sizes->memory_bytes = fit_bytes(w, plan, pool_tokens);
    return sizes->memory_bytes <= room_bytes;
}

bool fit_sizes(const struct fit_wish *w, const struct sched_plan *plan, uint32_t need_tokens,
               uint64_t room_bytes, struct sched_sizes *sizes)
{
    *sizes = (struct sched_sizes){0};
    uint32_t full_slots = w->num_parallel > 0 ? w->num_parallel : FIT_AUTO_SLOTS,
             least_slots = w->num_parallel > 0 ? w->num_parallel : 1;
    uint32_t slot_tokens = clamp_context(plan, w->context_length > 0 ? MIN(w->context_length, FIT_SLOT_TOKENS)
                                                                     : FIT_SLOT_TOKENS);
    uint32_t asked = clamp_context(plan, MAX(w->context_length, need_tokens)); // never reduced
    uint32_t full_pool = round_pool(MAX((uint64_t)full_slots * slot_tokens, asked));
    uint32_t less_pool = round_pool(MAX((uint64_t)least_slots * slot_tokens, asked));
    uint32_t least_pool = MIN(round_pool(MAX(MIN((uint32_t)FIT_LEAST_POOL, slot_tokens), asked)), less_pool);
    if (try_sizes(w, plan, full_slots, full_pool, room_bytes, sizes))
        return true;
    double have = (double)room_bytes / GIB, want = (double)sizes->memory_bytes / GIB;
    bool fits = try_sizes(w, plan, least_slots, less_pool, room_bytes, sizes) ||
                try_sizes(w, plan, least_slots, least_pool, room_bytes, sizes);
    if (least_slots < full_slots)
        snprintf(sizes->reduced, sizeof sizes->reduced,
                 "slots %u -> %u, pool %u -> %u tokens: %.2f GiB wanted, %.2f GiB available", full_slots,
                 least_slots, full_pool, sizes->pool_tokens, want, have);
    else
        snprintf(sizes->reduced, sizeof sizes->reduced,
                 "pool %u -> %u tokens: %.2f GiB wanted, %.2f GiB available", full_pool, sizes->pool_tokens,
                 want, have);
    return fits;
}

int fit_refuse(const struct fit_wish *w, const struct sched_plan *plan, uint32_t need_tokens,
               uint64_t room_bytes, uint64_t pinned_bytes, struct err *err)
{
    struct sched_sizes least;
    char pinned[80] = "";
    fit_sizes(w, plan, need_tokens, room_bytes, &least);
    double need = (double)least.memory_bytes / GIB, have = (double)room_bytes / GIB;
    uint64_t fixed = fit_bytes(w, plan, 0);
    uint64_t tokens =
        fixed < room_bytes && plan->bytes_per_token > 0 ? (room_bytes - fixed) / plan->bytes_per_token : 0;
    unsigned long long fitting = tokens / FIT_PAGE_TOKENS * FIT_PAGE_TOKENS;
    if (pinned_bytes > 0)
        snprintf(pinned, sizeof pinned, " beside the pinned models (%.2f GiB)", (double)pinned_bytes / GIB);
    if (tokens >= FIT_LEAST_POOL)
        return err_set(err, ERR_NO_MEMORY,
                       "model requires more system memory (%.2f GiB) than is available (%.2f GiB)%s; a "
                       "context of %llu tokens would fit",
                       need, have, pinned, fitting);
    return err_set(err, ERR_NO_MEMORY,
                   "model requires more system memory (%.2f GiB) than is available (%.2f GiB)%s; a model of "
                   "at most %.2f GiB would fit",
                   need, have, pinned, have);
}

bool sched_fit(const struct sched_options *options, const struct sched_model_options *model,
               const struct sched_plan *plan, uint32_t need_tokens, uint64_t room_bytes,
               struct sched_sizes *sizes)
{
    struct fit_wish wish = {
        .num_parallel = model->num_parallel > 0 ? model->num_parallel : options->num_parallel,
        .context_length = model->context_length > 0 ? model->context_length : options->context_length,
        .front_bytes = options->front_bytes};
    return fit_sizes(&wish, plan, need_tokens, room_bytes, sizes);
}
