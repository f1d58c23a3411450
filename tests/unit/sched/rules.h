// SPDX-License-Identifier: MIT
// A scheduler for tests of single rules: time is a number, and processes answer when they are told to.
#pragma once

#include "base/mem.h"
#include "sched/sched.h"

#define SECOND 1000000000LL
#define MIB    (1ull << 20)
enum { N_MODELS = 16, N_REQUESTS = 256 };

static struct {
    struct sched *s;
    struct sched_model *m[N_MODELS];
    struct sched_plan plans[N_MODELS];
    struct sched_request r[N_REQUESTS];
    int64_t now;
    bool loads_wait; // for ready()
    bool stops_wait; // for sched_on_gone()
    int n_load, n_stop, n_fail, n_loaded, n_dispatch;
    int dispatched[1024], stopped[64];
    bool told_runner;
} w;

static inline struct sched_options defaults(void)
{
    return (struct sched_options){.num_parallel = 4,
                                  .max_queue = 512,
                                  .keep_alive_ns = 300 * SECOND,
                                  .swap_after_ns = SCHED_SWAP_AFTER_NS,
                                  .min_resident_ns = SCHED_MIN_RESIDENT_NS};
}

static inline void act(void)
{
    struct sched_action a;
    while (sched_next_action(w.s, &a)) {
        if (a.kind == SCHED_PROBE) {
            sched_on_plan(w.s, a.model, &w.plans[a.model->index], w.now);
        } else if (a.kind == SCHED_LOAD) {
            w.n_load++;
            if (!w.loads_wait)
                sched_on_ready(w.s, a.model, w.now);
        } else if (a.kind == SCHED_STOP) {
            w.stopped[w.n_stop++] = (int)a.model->index;
            if (!w.stops_wait)
                sched_on_gone(w.s, a.model, w.now);
        } else if (a.kind == SCHED_DISPATCH) {
            w.dispatched[w.n_dispatch++] = (int)(a.request - w.r);
        } else if (a.kind == SCHED_LOADED) {
            w.n_loaded++;
        } else {
            w.n_fail++;
            w.told_runner = a.tells_runner;
        }
        sched_check(w.s);
    }
    sched_check(w.s);
}

// Models of 100 MiB without a pool to speak of; `budget` MiB on each device.
static inline void begin(const struct sched_options *o, uint64_t budget)
{
    memset(&w, 0, sizeof w);
    w.s = sched_new(o);
    w.now = 1000 * SECOND;
    for (int i = 0; i < N_MODELS; i++) {
        w.m[i] = sched_add_model(w.s, NULL);
        w.plans[i] =
            (struct sched_plan){.fixed_bytes = 100 * MIB, .bytes_per_token = 0, .train_context = 32768};
    }
    for (uint32_t d = 0; d < MAX(o->n_devices, 1u); d++)
        sched_set_budget(w.s, d, budget * MIB, w.now);
}

static inline void end(void)
{
    sched_check(w.s);
    sched_free(w.s);
}

static inline bool submit(int model, int i)
{
    bool accepted = sched_submit(w.s, w.m[model], &w.r[i], w.now, NULL) == 0;
    sched_check(w.s);
    act();
    return accepted;
}

static inline void finish(int i)
{
    sched_on_finished(w.s, &w.r[i], w.now);
    act();
}

static inline void ready(int model)
{
    sched_on_ready(w.s, w.m[model], w.now);
    act();
}

static inline void advance(int64_t ns)
{
    w.now += ns;
    sched_on_time(w.s, w.now);
    act();
}

// Loads a model and leaves it idle; its load takes `load_ns`.
static inline void make_idle(int model, int i, int64_t load_ns)
{
    w.loads_wait = true;
    submit(model, i);
    w.now += load_ns;
    ready(model);
    finish(i);
    w.loads_wait = false;
}

static inline void pin(int model)
{
    struct sched_model_options o = {.is_pinned = true};
    sched_configure_model(w.s, w.m[model], &o, w.now);
    act();
}

// Finishes n requests in the order of their start.
static inline void serve_all(int n)
{
    for (int done = 0; done < n; done++) {
        assert_true(done < w.n_dispatch);
        finish(w.dispatched[done]);
    }
}
