// SPDX-License-Identifier: MIT
// Sums over the models, made when they are asked for: no count that could drift.
#include "sched/devices.h"

bool devices_may_hold(const struct sched *s, uint32_t device_i)
{
    bool has_gpu = false;
    for (uint32_t i = 0; i < s->options.n_devices; i++)
        has_gpu |= s->options.devices[i].kind == SCHED_GPU;
    return device_i < s->options.n_devices && (!has_gpu || s->options.devices[device_i].kind == SCHED_GPU);
}

bool devices_is_evictable(const struct sched_model *m)
{
    return (m->state == SCHED_READY || m->state == SCHED_LOADING) && !has_work(m) && !m->options.is_pinned &&
           !m->is_growing;
}

struct devices_use devices_count(const struct sched *s, const struct sched_model *except, uint32_t device_i,
                                 enum devices_without without)
{
    struct devices_use u = {0};
    LIST_EACH(&s->models, node)
    {
        const struct sched_model *m = model_of(node);
        if (m == except || !is_held(m))
            continue;
        bool gone = (without == DEVICES_WITHOUT_MARKED && m->is_marked) ||
                    (without == DEVICES_WITHOUT_DRAINING && m->is_draining && !m->options.is_pinned);
        uint64_t here = m->sizes.device_i == device_i ? m->sizes.memory_bytes : 0;
        if (m->is_growing && m->leaving_bytes > 0 && m->leaving_device_i == device_i && here == 0)
            u.leaving_bytes += m->leaving_bytes;
        if (m->state == SCHED_STOPPING && !m->is_growing) {
            u.leaving_bytes += here;
            u.n_leaving++;
        } else if (gone) {
            continue;
        } else if (devices_is_evictable(m)) {
            u.idle_bytes += here;
            u.n_idle++;
        } else {
            u.busy_bytes += here;
            u.n_busy++;
        }
    }
    return u;
}

uint64_t devices_most_bytes(const struct sched *s, const struct sched_model *m, uint64_t *pinned_bytes)
{
    uint64_t most = 0;
    *pinned_bytes = 0;
    for (uint32_t i = 0; i < s->options.n_devices; i++) {
        uint64_t pinned = 0, budget = s->options.devices[i].budget_bytes;
        if (!devices_may_hold(s, i))
            continue;
        LIST_EACH(&s->models, node)
        {
            const struct sched_model *other = model_of(node);
            if (other != m && is_held(other) && other->options.is_pinned && other->state != SCHED_STOPPING &&
                other->sizes.device_i == i)
                pinned += other->sizes.memory_bytes;
        }
        uint64_t left = pinned < budget ? budget - pinned : 0;
        if (left > most || (most == 0 && *pinned_bytes == 0)) {
            most = left;
            *pinned_bytes = pinned;
        }
    }
    return most;
}

uint32_t devices_count_pinned(const struct sched *s, const struct sched_model *except)
{
    uint32_t n = 0;
    LIST_EACH(&s->models, node)
    {
        const struct sched_model *m = model_of(node);
        n += m != except && is_held(m) && m->options.is_pinned && m->state != SCHED_STOPPING;
    }
    return n;
}

uint64_t devices_held_bytes(const struct sched *s, uint32_t device_i)
{
    uint64_t sum = 0;
    LIST_EACH(&s->models, node)
    {
        const struct sched_model *m = model_of(node);
        uint64_t here = is_held(m) && m->sizes.device_i == device_i ? m->sizes.memory_bytes : 0;
        if (m->leaving_bytes > 0 && m->leaving_device_i == device_i)
            here = MAX(here, m->leaving_bytes);
        sum += here;
    }
    return sum;
}

uint32_t devices_count_held(const struct sched *s)
{
    uint32_t n = 0;
    LIST_EACH(&s->models, node)
    n += is_held(model_of(node));
    return n;
}

bool devices_has_place(const struct sched *s, const struct sched_model *m, uint32_t n_others)
{
    return m->state == SCHED_READY || n_others < max_loaded(s);
}
