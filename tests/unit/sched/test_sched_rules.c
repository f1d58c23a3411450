// SPDX-License-Identifier: MIT
// What issue and design promise about several models, orders, limits and accounts, one test each, in a world
// where time is a number and processes answer when they are told to.
#include "../test.h"

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

static struct sched_options defaults(void)
{
    return (struct sched_options){.num_parallel = 4,
                                  .max_queue = 512,
                                  .keep_alive_ns = 300 * SECOND,
                                  .swap_after_ns = SCHED_SWAP_AFTER_NS,
                                  .min_resident_ns = SCHED_MIN_RESIDENT_NS};
}

static void act(void)
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
static void begin(const struct sched_options *o, uint64_t budget)
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

static void end(void)
{
    sched_check(w.s);
    sched_free(w.s);
}

static bool submit(int model, int i)
{
    bool accepted = sched_submit(w.s, w.m[model], &w.r[i], w.now, NULL) == 0;
    sched_check(w.s);
    act();
    return accepted;
}

static void finish(int i)
{
    sched_on_finished(w.s, &w.r[i], w.now);
    act();
}

static void ready(int model)
{
    sched_on_ready(w.s, w.m[model], w.now);
    act();
}

static void advance(int64_t ns)
{
    w.now += ns;
    sched_on_time(w.s, w.now);
    act();
}

// Loads a model and leaves it idle; its load takes `load_ns`.
static void make_idle(int model, int i, int64_t load_ns)
{
    w.loads_wait = true;
    submit(model, i);
    w.now += load_ns;
    ready(model);
    finish(i);
    w.loads_wait = false;
}

static void pin(int model)
{
    struct sched_model_options o = {.is_pinned = true};
    sched_configure_model(w.s, w.m[model], &o, w.now);
    act();
}

// ---- Several models ----
static void test_alternating_arrivals_load_twice(void **unused)
{
    struct sched_options o = defaults();
    begin(&o, 150); // room for one
    for (int i = 0; i < 100; i++)
        assert_true(submit(i % 2, i));
    for (int done = 0; done < 100; done++) {
        assert_true(done < w.n_dispatch);
        finish(w.dispatched[done]);
        advance(SECOND);
    }
    assert_int_equal(w.n_load, 2);
    end();
}

static void test_busy_model_is_never_evicted(void **unused)
{
    struct sched_options o = defaults();
    begin(&o, 150);
    submit(0, 0);
    submit(1, 1);
    for (int k = 0; k < 1000; k++)
        advance(SECOND);
    assert_int_equal(w.n_stop, 0);
    assert_int_equal(w.n_load, 1);
    finish(0);
    assert_int_equal(w.n_load, 2);
    end();
}

static void test_idle_longest_goes_first(void **unused)
{
    struct sched_options o = defaults();
    begin(&o, 350); // three
    for (int i = 0; i < 3; i++) {
        make_idle(i, i, SECOND);
        advance(10 * SECOND);
    }
    submit(1, 10); // used again
    finish(10);
    submit(3, 11);
    assert_int_equal(w.n_stop, 1);
    assert_int_equal(w.stopped[0], 0);
    end();
}

static void test_cheapest_reload_goes_first(void **unused)
{
    struct sched_options o = defaults();
    begin(&o, 350);
    make_idle(0, 0, 60 * SECOND); // dear
    make_idle(1, 1, 2 * SECOND);
    make_idle(2, 2, 20 * SECOND);
    for (int i = 0; i < 3; i++) { // all idle since the same moment
        submit(i, 10 + i);
        finish(10 + i);
    }
    advance(SECOND);
    submit(3, 20);
    assert_int_equal(w.n_stop, 1);
    assert_int_equal(w.stopped[0], 1);
    end();
}

// A set that is enough, without a member that is not needed: 300 MiB are wanted; the small one, cheapest of
// all, does not help once the large one goes.
static void test_no_more_is_evicted_than_needed(void **unused)
{
    struct sched_options o = defaults();
    begin(&o, 600);
    w.plans[0].fixed_bytes = 50 * MIB;
    w.plans[1].fixed_bytes = 350 * MIB;
    w.plans[2].fixed_bytes = 150 * MIB;
    w.plans[3].fixed_bytes = 350 * MIB;
    make_idle(0, 0, SECOND);
    make_idle(1, 1, 30 * SECOND);
    make_idle(2, 2, 60 * SECOND);
    submit(3, 3);
    assert_int_equal(w.n_stop, 1);
    assert_int_equal(w.stopped[0], 1);
    assert_true(w.m[1]->n_unloads[SCHED_UNLOAD_ROOM] == 1);
    end();
}

static void test_pinned_model_stays(void **unused)
{
    struct sched_options o = defaults();
    begin(&o, 250);
    make_idle(0, 0, SECOND);
    pin(0);
    make_idle(1, 1, SECOND);
    submit(2, 2); // takes the place of 1
    assert_int_equal(w.n_stop, 1);
    assert_int_equal(w.stopped[0], 1);
    finish(2);
    advance(100000 * SECOND); // and does not expire
    assert_int_equal(w.m[0]->state, SCHED_READY);
    w.plans[3].fixed_bytes = 200 * MIB; // can never fit beside it: at once
    submit(3, 3);
    assert_int_equal(w.n_fail, 1);
    assert_int_equal(w.r[3].failure.code, ERR_NO_MEMORY);
    assert_non_null(strstr(w.r[3].failure.message, "beside the pinned models (0.10 GiB)"));
    sched_on_gone(w.s, w.m[0], w.now); // a crash: comes back by itself
    act();
    assert_int_equal(w.m[0]->state, SCHED_READY);
    assert_true(w.m[0]->n_loads[SCHED_LOAD_CRASH] == 1);
    end();
}

static void test_never_fits_is_refused_at_once_with_the_numbers(void **unused)
{
    struct sched_options o = defaults();
    begin(&o, 1024);
    make_idle(0, 0, SECOND);
    w.plans[1] = (struct sched_plan){.fixed_bytes = 3072 * MIB, .train_context = 4096};
    submit(1, 1);
    assert_int_equal(w.n_fail, 1);
    assert_int_equal(w.n_stop, 1); // of the process that read the header: model 1
    assert_int_equal(w.stopped[0], 1);
    assert_non_null(strstr(w.r[1].failure.message, "requires more system memory (3.00 GiB)"));
    assert_non_null(strstr(w.r[1].failure.message, "available (1.00 GiB)"));
    assert_non_null(strstr(w.r[1].failure.message, "would fit"));
    submit(1, 2); // its plan is known: not even a process starts
    assert_int_equal(w.n_fail, 2);
    assert_int_equal(w.m[1]->state, SCHED_ABSENT);
    end();
}

static void test_waits_when_only_busy_models_stand_in_the_way(void **unused)
{
    struct sched_options o = defaults();
    begin(&o, 250);
    submit(0, 0);
    submit(1, 1);
    assert_true(submit(2, 2));
    assert_int_equal(w.n_fail, 0);
    assert_int_equal(sched_cause_of(&w.r[2]), SCHED_CAUSE_ROOM);
    finish(1);
    assert_int_equal(w.m[2]->state, SCHED_READY);
    assert_int_equal(w.m[0]->state, SCHED_READY);
    end();
}

static void test_loaded_model_never_waits_for_anothers_load(void **unused)
{
    struct sched_options o = defaults();
    begin(&o, 250);
    submit(0, 0);
    w.loads_wait = true;
    submit(1, 1); // loads
    submit(2, 2); // waits for room
    for (int i = 3; i < 6; i++) {
        advance(SECOND);
        submit(0, i);
        assert_int_equal(w.dispatched[w.n_dispatch - 1], i);
    }
    end();
}

static void test_fifty_first_requests_one_load(void **unused)
{
    struct sched_options o = defaults();
    begin(&o, 1024);
    w.loads_wait = true;
    for (int i = 0; i < 50; i++)
        assert_true(submit(0, i));
    ready(0);
    assert_int_equal(w.n_load, 1);
    for (int i = 0; i < 50; i++)
        finish(i);
    assert_int_equal(w.n_dispatch, 50);
    assert_int_equal(w.n_load, 1);
    end();
}

static void test_load_belongs_to_the_model(void **unused)
{
    struct sched_options o = defaults();
    begin(&o, 1024);
    w.loads_wait = true;
    submit(0, 0);
    submit(0, 1);
    sched_cancel(w.s, &w.r[0], w.now); // the first one leaves
    act();
    assert_int_equal(w.n_stop, 0);
    ready(0);
    assert_int_equal(w.n_load, 1);
    assert_int_equal(w.dispatched[0], 1);
    end();
}

// Endless work on either side: both are served, within swap_after + min_resident + admitted work.
static void check_no_starvation(int endless, int waiter)
{
    struct sched_options o = defaults();
    begin(&o, 150);
    int next = 2, done = 0;
    submit(endless, 0);
    advance(20 * SECOND);
    int64_t since = w.now;
    submit(waiter, 1);
    while (w.m[waiter]->state != SCHED_READY) {
        assert_true(w.now - since <= 5 * SECOND + 3 * SECOND); // swap_after, then three requests of a second
        submit(endless, next++);
        advance(SECOND / 2);
        for (; done < w.n_dispatch; done++)
            finish(w.dispatched[done]);
    }
    submit(endless, next);
    finish(1);
    assert_int_equal(w.m[endless]->state, SCHED_READY); // and the other one comes back
    end();
}

static void test_no_starvation_either_way(void **unused)
{
    check_no_starvation(0, 1);
    check_no_starvation(1, 0);
}

static void test_just_loaded_model_stays_min_resident(void **unused)
{
    struct sched_options o = defaults();
    begin(&o, 150);
    for (int i = 0; i < 4; i++)
        submit(0, i);
    submit(1, 10);
    advance(9 * SECOND); // the waiter waits longer than swap_after
    submit(0, 4);        // an event: what is due is seen
    assert_false(w.m[0]->is_draining);
    advance(SECOND);
    assert_true(w.m[0]->is_draining);
    submit(0, 5); // came after: waits for the swap
    finish(0);
    finish(1);
    assert_int_equal(w.n_dispatch, 5); // 4 was admitted before
    assert_int_equal(w.dispatched[4], 4);
    assert_int_equal(sched_cause_of(&w.r[5]), SCHED_CAUSE_SWAP);
    end();
}

// A small model would fit into the gap at once, but the large one was there first.
static void test_nobody_overtakes_for_room(void **unused)
{
    struct sched_options o = defaults();
    o.max_loaded = 8; // memory alone decides
    begin(&o, 350);
    w.plans[2].fixed_bytes = 200 * MIB;
    submit(0, 0);
    submit(1, 1);
    submit(2, 2);
    submit(3, 3);
    assert_int_equal(w.n_load, 2);
    assert_int_equal(sched_cause_of(&w.r[2]), SCHED_CAUSE_ROOM);
    finish(0);
    assert_int_equal(w.m[2]->state, SCHED_READY);
    assert_int_equal(w.m[3]->n_waiting, 1);
    finish(1);
    assert_int_equal(w.m[3]->state, SCHED_READY);
    end();
}

// Room that a model waits for while another one leaves is not given to those behind it.
static void test_room_that_gets_free_is_kept_for_the_first(void **unused)
{
    struct sched_options o = defaults();
    begin(&o, 250);
    make_idle(0, 0, SECOND);
    w.plans[1].fixed_bytes = 200 * MIB;
    w.stops_wait = true;
    submit(1, 1);
    assert_int_equal(w.n_stop, 1);
    assert_int_equal(sched_cause_of(&w.r[1]), SCHED_CAUSE_UNLOAD);
    submit(2, 2); // would fit beside the one that leaves
    assert_int_equal(w.n_load, 1);
    sched_on_gone(w.s, w.m[0], w.now);
    act();
    assert_int_equal(w.m[1]->state, SCHED_READY);
    assert_int_equal(w.m[2]->n_waiting, 1);
    end();
}

// ---- Devices ----
static struct sched_options gpus(uint32_t n)
{
    struct sched_options o = defaults();
    o.n_devices = n;
    for (uint32_t i = 0; i < n; i++)
        o.devices[i].kind = SCHED_GPU;
    return o;
}

static void test_three_models_per_gpu(void **unused)
{
    struct sched_options o = gpus(1);
    begin(&o, 10000);
    for (int i = 0; i < 4; i++)
        submit(i, i);
    assert_int_equal(w.n_load, 3); // the fourth waits
    end();
    o = gpus(4);
    begin(&o, 10000);
    for (int i = 0; i < 13; i++)
        submit(i, i);
    assert_int_equal(w.n_load, 12);
    end();
    o = defaults();
    begin(&o, 10000);
    for (int i = 0; i < 4; i++)
        submit(i, i);
    assert_int_equal(w.n_load, 3); // no GPU: three
    end();
}

static void test_full_memory_of_one_gpu_or_wait(void **unused)
{
    struct sched_options o = gpus(4);
    begin(&o, 150);
    for (int i = 0; i < 4; i++)
        submit(i, i);
    assert_int_equal(w.n_load, 4);
    for (uint32_t d = 0, seen = 0; d < 4; d++) {
        seen |= 1u << w.m[d]->sizes.device_i;
        assert_true(d < 3 || seen == 15); // one on each
    }
    submit(4, 4); // 4 x 50 MiB are free, but no device has 100
    assert_int_equal(w.n_load, 4);
    assert_int_equal(w.n_fail, 0);
    w.plans[5].fixed_bytes = 160 * MIB; // all devices together have 600
    submit(5, 5);
    assert_int_equal(w.n_fail, 1);
    finish(2);
    assert_int_equal(w.m[4]->state, SCHED_READY);
    assert_int_equal(w.stopped[w.n_stop - 1], 2);
    end();
}

static void test_gpu_with_most_room_then_cheapest_eviction(void **unused)
{
    struct sched_options o = gpus(2);
    begin(&o, 250);
    sched_set_budget(w.s, 1, 400 * MIB, w.now);
    make_idle(0, 0, 50 * SECOND);
    assert_int_equal(w.m[0]->sizes.device_i, 1);
    w.plans[1].fixed_bytes = 240 * MIB;
    make_idle(1, 1, 2 * SECOND); // 300 left on 1, 250 on 0
    assert_int_equal(w.m[1]->sizes.device_i, 1);
    make_idle(2, 2, 2 * SECOND);
    assert_int_equal(w.m[2]->sizes.device_i, 0);
    w.plans[3].fixed_bytes = 200 * MIB; // device 0: 2 goes, device 1: 1 goes; both loads took 2 s
    submit(2, 4);
    finish(4); // 1 is idle longer, so cheaper
    advance(SECOND);
    submit(3, 3);
    assert_int_equal(w.n_stop, 1);
    assert_int_equal(w.stopped[0], 1);
    end();
}

// ---- Order ----
static void start_four(const struct sched_options *o)
{
    begin(o, 1024);
    for (int i = 0; i < 4; i++) {
        w.r[i].client = 1;
        submit(0, i);
    }
}

static void serve_all(int n)
{
    for (int done = 0; done < n; done++) {
        assert_true(done < w.n_dispatch);
        finish(w.dispatched[done]);
    }
}

static void test_fifo_is_the_default(void **unused)
{
    struct sched_options o = defaults();
    start_four(&o);
    for (int i = 4; i < 50; i++) {
        w.r[i].client = (uint64_t)i % 3;
        w.r[i].priority = (enum sched_priority)(i % 3);
        submit(0, i);
    }
    serve_all(50);
    for (int i = 0; i < 50; i++)
        assert_int_equal(w.dispatched[i], i);
    end();
}

static void test_round_robin_between_clients(void **unused)
{
    struct sched_options o = defaults();
    o.order = SCHED_ORDER_ROUND_ROBIN;
    start_four(&o);
    for (int i = 4; i < 100; i++) {
        w.r[i].client = 1;
        submit(0, i);
    }
    w.r[100].client = 2;
    submit(0, 100); // behind 96 of client 1
    assert_int_equal(sched_position(w.s, &w.r[100]), 1);
    finish(0);
    assert_int_equal(w.dispatched[4], 100); // the next slot
    w.r[101].client = 3;
    w.r[102].client = 2;
    submit(0, 101);
    submit(0, 102);
    finish(1);
    assert_int_equal(w.dispatched[5], 101); // nothing of 3 runs yet
    end();
}

static void test_priorities_and_ageing(void **unused)
{
    struct sched_options o = defaults();
    o.uses_priorities = true;
    o.priority_age_ns = 30 * SECOND;
    start_four(&o);
    for (int i = 4; i < 8; i++) {
        w.r[i].priority = SCHED_PRIORITY_BATCH;
        submit(0, i);
    }
    w.r[8].priority = SCHED_PRIORITY_NORMAL;
    w.r[9].priority = SCHED_PRIORITY_INTERACTIVE;
    submit(0, 8);
    submit(0, 9);
    finish(0);
    finish(1);
    finish(2);
    assert_int_equal(w.dispatched[4], 9);
    assert_int_equal(w.dispatched[5], 8);
    assert_int_equal(w.dispatched[6], 4);
    advance(60 * SECOND); // two ages: nobody who comes now overtakes
    w.r[10].priority = SCHED_PRIORITY_INTERACTIVE;
    submit(0, 10);
    finish(3);
    finish(9);
    assert_int_equal(w.dispatched[7], 5);
    assert_int_equal(w.dispatched[8], 6);
    end();
}

// ---- Limits in time ----
static void test_max_queue_wait(void **unused)
{
    struct sched_options o = defaults();
    o.max_queue_wait_ns = 10 * SECOND;
    start_four(&o);
    submit(0, 4);
    w.r[5].max_queue_wait_ns = 20 * SECOND; // its own
    submit(0, 5);
    assert_true(sched_deadline_ns(w.s) == w.now + 10 * SECOND);
    advance(10 * SECOND);
    assert_int_equal(w.n_fail, 1);
    assert_int_equal(w.r[4].failure.code, ERR_BUSY);
    assert_non_null(strstr(w.r[4].failure.message, "waited 10.0 s in the queue (max_queue_wait)"));
    advance(10 * SECOND);
    assert_int_equal(w.n_fail, 2);
    advance(1000 * SECOND); // those that run have no such limit
    assert_int_equal(w.n_fail, 2);
    end();
}

static void test_first_token_and_request_timeout(void **unused)
{
    struct sched_options o = defaults();
    o.first_token_timeout_ns = 10 * SECOND;
    o.request_timeout_ns = 60 * SECOND;
    start_four(&o);
    submit(0, 4);
    sched_on_first_token(w.s, &w.r[0], w.now);
    sched_on_first_token(w.s, &w.r[1], w.now);
    finish(1);
    assert_int_equal(w.dispatched[4], 4);
    advance(10 * SECOND);
    assert_int_equal(w.n_fail, 3); // 2, 3, 4
    assert_true(w.told_runner);
    assert_int_equal(w.r[2].failure.code, ERR_TIMEOUT);
    assert_int_equal(w.m[0]->n_running, 1);
    advance(50 * SECOND);
    assert_int_equal(w.n_fail, 4);
    assert_non_null(strstr(w.r[0].failure.message, "60.0 s (request_timeout)"));
    assert_int_equal(w.m[0]->n_running, 0);
    end();
}

// ---- Growing ----
static void test_growing_carries_streams_over(void **unused)
{
    struct sched_options o = defaults();
    begin(&o, 1024);
    w.plans[0].bytes_per_token = 1024;
    for (int i = 0; i < 3; i++)
        submit(0, i);
    w.r[3].need_tokens = 20000;
    w.loads_wait = true;
    submit(0, 3);
    assert_int_equal(w.m[0]->state, SCHED_LOADING);
    assert_int_equal(w.m[0]->n_waiting, 4);
    advance(7 * SECOND);
    ready(0);
    assert_int_equal(w.m[0]->n_running, 4);
    for (int i = 0; i < 4; i++) {
        struct sched_waits waits;
        sched_read_waits(&w.r[i], w.now, &waits);
        assert_true(waits.cause_ns[SCHED_CAUSE_GROW] == 7 * SECOND);
        assert_int_equal(w.r[i].n_crashes, 0);
    }
    end();
}

static void test_smaller_context_reloads_nothing(void **unused)
{
    struct sched_options o = defaults();
    begin(&o, 1024);
    for (int i = 0; i < 50; i++) {
        w.r[i].need_tokens = (uint32_t)(100 + 300 * i);
        submit(0, i);
    }
    serve_all(50);
    assert_int_equal(w.n_load, 1);
    end();
}

static void test_context_that_can_never_fit_is_refused_alone(void **unused)
{
    struct sched_options o = defaults();
    begin(&o, 120);
    w.plans[0].bytes_per_token = 1024; // 16 MiB of pool
    submit(0, 0);
    w.r[1].need_tokens = 32768;
    submit(0, 1);
    assert_int_equal(w.n_fail, 1);
    assert_non_null(strstr(w.r[1].failure.message, "a context of 20480 tokens would fit"));
    assert_int_equal(w.m[0]->n_running, 1);
    assert_int_equal(w.n_stop, 0);
    end();
}

// A larger context waits while another model's streams hold the room; those behind it wait with it.
static void test_growing_waits_for_busy_models(void **unused)
{
    struct sched_options o = defaults();
    begin(&o, 230);
    w.plans[0].bytes_per_token = 1024;
    submit(1, 0);
    submit(0, 1);
    w.r[2].need_tokens = 32768;
    submit(0, 2);
    assert_int_equal(w.n_stop, 0);
    assert_int_equal(w.n_fail, 0);
    finish(0);                     // now 1 can go
    assert_int_equal(w.n_stop, 2); // it, and 0 to grow
    assert_int_equal(w.m[0]->sizes.pool_tokens, 32768);
    assert_int_equal(w.m[0]->n_running, 2);
    end();
}

// ---- Accounts ----
static void test_waits_add_up_and_name_the_cause(void **unused)
{
    struct sched_options o = defaults();
    struct sched_waits waits;
    begin(&o, 150);
    w.loads_wait = true;
    submit(0, 0);
    advance(2 * SECOND);
    ready(0);
    submit(0, 1);
    advance(SECOND);
    submit(1, 2);
    advance(3 * SECOND); // 2 waits for two streams of 0
    finish(0);
    finish(1);
    advance(SECOND / 2);
    ready(1);
    sched_read_waits(&w.r[2], w.now, &waits);
    assert_true(waits.cause_ns[SCHED_CAUSE_ROOM] == 3 * SECOND);
    assert_true(waits.cause_ns[SCHED_CAUSE_LOAD] == SECOND / 2);
    assert_ptr_equal(waits.blockers[0].model, w.m[0]);
    assert_true(waits.blockers[0].n_streams == 2 && waits.blockers[0].wait_ns == 3 * SECOND);
    sched_read_waits(&w.r[0], w.now, &waits);
    assert_true(waits.cause_ns[SCHED_CAUSE_LOAD] == 2 * SECOND);
    for (int i = 10; i < 16; i++)
        submit(1, i);
    advance(5 * SECOND);
    sched_read_waits(&w.r[15], w.now, &waits); // still waits
    assert_true(waits.cause_ns[SCHED_CAUSE_SLOT] == 5 * SECOND && waits.n_streams == 4);
    assert_int_equal(sched_position(w.s, &w.r[15]), 3);
    end();
}

static void test_waits_after_a_crash_and_back_off(void **unused)
{
    struct sched_options o = defaults();
    struct sched_waits waits;
    begin(&o, 150);
    submit(0, 0);
    w.loads_wait = true;
    sched_on_gone(w.s, w.m[0], w.now);
    act();
    advance(4 * SECOND);
    ready(0);
    sched_read_waits(&w.r[0], w.now, &waits);
    assert_true(waits.cause_ns[SCHED_CAUSE_RESTART] == 4 * SECOND);
    submit(0, 1);
    sched_on_gone(w.s, w.m[0], w.now); // twice in a row: 0 ends, 1 waits for the back-off
    act();
    assert_int_equal(w.n_fail, 1);
    assert_int_equal(w.r[0].failure.code, ERR_INTERNAL);
    advance(SECOND);
    sched_read_waits(&w.r[1], w.now, &waits);
    assert_true(waits.cause_ns[SCHED_CAUSE_BACKOFF] == SECOND);
    assert_int_equal(w.m[0]->state, SCHED_LOADING);
    end();
}

static void test_estimates(void **unused)
{
    struct sched_options o = defaults();
    begin(&o, 1024);
    assert_true(sched_retry_after_ns(w.s, w.m[0]) == 0); // nothing is known yet
    for (int i = 0; i < 4; i++)
        submit(0, i);
    advance(8 * SECOND);
    serve_all(4);
    assert_true(w.m[0]->service_ns == 8 * SECOND);
    for (int i = 10; i < 18; i++)
        submit(0, i);
    assert_true(sched_estimate_ns(w.s, w.m[0], 1) == 2 * SECOND); // the first of four streams to end
    assert_true(sched_estimate_ns(w.s, w.m[0], 4) == 8 * SECOND);
    assert_true(sched_retry_after_ns(w.s, w.m[0]) == 10 * SECOND);
    assert_true(sched_retry_after_ns(w.s, NULL) == 10 * SECOND);
    end();
}

// ---- Configuration and draining ----
static void test_configuration_counts_at_the_next_load(void **unused)
{
    struct sched_options o = defaults();
    begin(&o, 1024);
    submit(0, 0);
    struct sched_model_options mine = {
        .num_parallel = 2, .has_keep_alive = true, .keep_alive_ns = 10 * SECOND};
    sched_configure_model(w.s, w.m[0], &mine, w.now);
    act();
    assert_int_equal(w.m[0]->sizes.n_slots, 4); // it has work
    finish(0);
    assert_true(w.m[0]->n_unloads[SCHED_UNLOAD_CONFIG] == 1);
    submit(0, 1);
    assert_int_equal(w.m[0]->sizes.n_slots, 2);
    finish(1);
    advance(10 * SECOND);
    assert_true(w.m[0]->n_unloads[SCHED_UNLOAD_EXPIRED] == 1);
    end();
}

static void test_preload_needs_no_request(void **unused)
{
    struct sched_options o = defaults();
    begin(&o, 150);
    sched_preload(w.s, w.m[0], w.now);
    act();
    assert_int_equal(w.m[0]->state, SCHED_READY);
    assert_true(w.m[0]->n_loads[SCHED_LOAD_PRELOAD] == 1);
    sched_preload(w.s, w.m[1], w.now); // nothing goes for it
    act();
    assert_int_equal(w.m[0]->state, SCHED_READY);
    assert_int_equal(w.m[1]->state, SCHED_ABSENT);
    end();
}

// The configuration's own: loads in order until the room is full, then the rest is told so, and nothing goes.
static void test_preloads_that_do_not_all_fit_say_need_and_have(void **unused)
{
    struct sched_options o = defaults();
    begin(&o, 250); // room for two of them
    for (int i = 0; i < 4; i++) {
        w.r[i] = (struct sched_request){.is_load = true, .is_preload = true};
        submit(i, i);
    }
    assert_int_equal(w.n_loaded, 2);
    assert_int_equal(w.n_stop, 2); // processes that had read their headers
    assert_int_equal(w.m[0]->state, SCHED_READY);
    assert_int_equal(w.m[1]->state, SCHED_READY);
    assert_string_equal(w.r[3].failure.message,
                        "no room beside the models that are loaded: 0.10 GiB needed, 0.05 GiB available of "
                        "0.24 GiB");
    assert_true(w.m[0]->n_loads[SCHED_LOAD_PRELOAD] == 1);
    pin(3); // what is idle goes for a pinned one
    w.r[4] = (struct sched_request){.is_load = true, .is_preload = true};
    submit(3, 4);
    assert_int_equal(w.m[3]->state, SCHED_READY);
    pin(2);
    w.r[5] = (struct sched_request){.is_load = true, .is_preload = true};
    submit(2, 5);
    assert_int_equal(w.m[2]->state, SCHED_READY);
    pin(0);
    w.r[6] = (struct sched_request){.is_load = true, .is_preload = true};
    submit(0, 6);
    assert_int_equal(w.m[0]->state, SCHED_ABSENT);
    assert_non_null(strstr(w.r[6].failure.message,
                           "model requires more system memory (0.10 GiB) than is "
                           "available (0.05 GiB) beside the pinned models (0.20 GiB)"));
    end();
}

// keep_alive 0, or a stop, was said of the model that goes; who comes meanwhile finds the next one as ever.
static void test_what_arrives_while_a_model_stops_inherits_no_keep_alive(void **unused)
{
    struct sched_options o = defaults();
    for (int how = 0; how < 2; how++) {
        begin(&o, 1000);
        w.stops_wait = true;
        submit(0, 0);
        if (how == 0)
            sched_set_keep_alive(w.s, w.m[0], 0, w.now);
        finish(0);
        if (how == 1)
            sched_unload(w.s, w.m[0], w.now);
        act();
        assert_int_equal(w.m[0]->state, SCHED_STOPPING);
        sched_unload(w.s, w.m[0], w.now); // once more: it goes already
        submit(0, 1);
        sched_on_gone(w.s, w.m[0], w.now);
        act();
        finish(1);
        assert_int_equal(w.m[0]->state, SCHED_READY);
        advance(299 * SECOND);
        assert_int_equal(w.n_stop, 1);
        submit(0, 2);
        sched_set_keep_alive(w.s, w.m[0], 0, w.now);
        finish(2);
        submit(0, 3); // while it stops, and says so itself
        sched_set_keep_alive(w.s, w.m[0], 0, w.now);
        sched_on_gone(w.s, w.m[0], w.now);
        act();
        finish(3);
        assert_int_equal(w.n_stop, 3);
        w.stops_wait = false;
        end();
    }
}

static void test_drain_finishes_what_was_accepted(void **unused)
{
    struct sched_options o = defaults();
    struct err err = {0};
    start_four(&o);
    submit(0, 4);
    sched_drain(w.s, w.now);
    act();
    assert_int_equal(sched_submit(w.s, w.m[0], &w.r[5], w.now, &err), -1);
    assert_int_equal(err.code, ERR_DRAINING);
    assert_string_equal(err.message, "server is shutting down");
    for (int i = 0; i < 5; i++) {
        assert_false(sched_is_drained(w.s));
        finish(i);
    }
    assert_true(sched_is_drained(w.s));
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alternating_arrivals_load_twice),
        cmocka_unit_test(test_busy_model_is_never_evicted),
        cmocka_unit_test(test_idle_longest_goes_first),
        cmocka_unit_test(test_cheapest_reload_goes_first),
        cmocka_unit_test(test_no_more_is_evicted_than_needed),
        cmocka_unit_test(test_pinned_model_stays),
        cmocka_unit_test(test_never_fits_is_refused_at_once_with_the_numbers),
        cmocka_unit_test(test_waits_when_only_busy_models_stand_in_the_way),
        cmocka_unit_test(test_loaded_model_never_waits_for_anothers_load),
        cmocka_unit_test(test_fifty_first_requests_one_load),
        cmocka_unit_test(test_load_belongs_to_the_model),
        cmocka_unit_test(test_no_starvation_either_way),
        cmocka_unit_test(test_just_loaded_model_stays_min_resident),
        cmocka_unit_test(test_nobody_overtakes_for_room),
        cmocka_unit_test(test_room_that_gets_free_is_kept_for_the_first),
        cmocka_unit_test(test_three_models_per_gpu),
        cmocka_unit_test(test_full_memory_of_one_gpu_or_wait),
        cmocka_unit_test(test_gpu_with_most_room_then_cheapest_eviction),
        cmocka_unit_test(test_fifo_is_the_default),
        cmocka_unit_test(test_round_robin_between_clients),
        cmocka_unit_test(test_priorities_and_ageing),
        cmocka_unit_test(test_max_queue_wait),
        cmocka_unit_test(test_first_token_and_request_timeout),
        cmocka_unit_test(test_growing_carries_streams_over),
        cmocka_unit_test(test_smaller_context_reloads_nothing),
        cmocka_unit_test(test_context_that_can_never_fit_is_refused_alone),
        cmocka_unit_test(test_growing_waits_for_busy_models),
        cmocka_unit_test(test_waits_add_up_and_name_the_cause),
        cmocka_unit_test(test_waits_after_a_crash_and_back_off),
        cmocka_unit_test(test_estimates),
        cmocka_unit_test(test_configuration_counts_at_the_next_load),
        cmocka_unit_test(test_preload_needs_no_request),
        cmocka_unit_test(test_preloads_that_do_not_all_fit_say_need_and_have),
        cmocka_unit_test(test_what_arrives_while_a_model_stops_inherits_no_keep_alive),
        cmocka_unit_test(test_drain_finishes_what_was_accepted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
