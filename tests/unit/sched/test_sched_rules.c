// SPDX-License-Identifier: MIT
// What issue and design promise about several models, devices and growing: who is loaded, who has to go, who
// waits. One test each.
#include "../test.h"

#include "rules.h"

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

static void set_budget(uint64_t mib)
{
    sched_set_budget(w.s, 0, mib * MIB, w.now);
    act();
}

// Cheapest reload and longest idle first, until the budget holds and no more; a pinned one never.
static void test_smaller_budget_unloads_idle_models(void **unused)
{
    struct sched_options o = defaults();
    o.max_loaded = 4;
    begin(&o, 400);
    make_idle(0, 0, 60 * SECOND); // dear
    make_idle(1, 1, 2 * SECOND);
    make_idle(2, 2, SECOND);
    make_idle(3, 3, 20 * SECOND);
    pin(2);
    for (int i = 0; i < 4; i++) { // all idle since the same moment
        submit(i, 10 + i);
        finish(10 + i);
    }
    advance(SECOND);
    set_budget(400);
    assert_int_equal(w.n_stop, 0);
    set_budget(250);
    assert_int_equal(w.n_stop, 2);
    assert_int_equal(w.m[1]->n_unloads[SCHED_UNLOAD_LIMIT], 1);
    assert_int_equal(w.m[3]->n_unloads[SCHED_UNLOAD_LIMIT], 1);
    set_budget(50);
    assert_int_equal(w.m[0]->state, SCHED_ABSENT);
    assert_int_equal(w.m[2]->state, SCHED_READY);
    assert_int_equal(w.n_fail, 0);
    end();
}

static void test_smaller_budget_unloads_a_busy_model_when_it_is_idle(void **unused)
{
    struct sched_options o = defaults();
    begin(&o, 250);
    submit(0, 0);
    submit(0, 1);
    set_budget(50);
    finish(0);
    assert_int_equal(w.n_stop, 0);
    finish(1);
    assert_int_equal(w.m[0]->n_unloads[SCHED_UNLOAD_LIMIT], 1);
    assert_int_equal(w.n_fail, 0);
    end();
}

static void test_smaller_max_loaded_unloads_idle_models(void **unused)
{
    struct sched_options o = defaults();
    begin(&o, 1024);
    submit(0, 0);
    make_idle(1, 1, SECOND);
    make_idle(2, 2, SECOND);
    o.max_loaded = 1;
    sched_configure(w.s, &o, w.now);
    act();
    assert_int_equal(w.n_stop, 2);
    assert_int_equal(w.m[0]->n_running, 1);
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

// Limits as good as none: nothing is due, and the estimates stay finite.
static void test_the_longest_times_never_come(void **unused)
{
    struct sched_options o = defaults();
    o.load_timeout_ns = o.swap_after_ns = o.min_resident_ns = INT64_MAX;
    o.keep_alive_ns = o.max_queue_wait_ns = INT64_MAX;
    begin(&o, 150); // room for one
    w.loads_wait = true;
    submit(0, 0);
    assert_true(sched_deadline_ns(w.s) == INT64_MAX);
    ready(0);
    submit(1, 1);
    assert_true(sched_deadline_ns(w.s) == INT64_MAX);
    assert_true(sched_estimate_ns(w.s, w.m[1], 0) > 0);
    assert_int_equal(w.n_stop, 0);
    finish(0);
    assert_int_equal(w.n_stop, 1);
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

// A model that grows stays in its place: it needs no second one, also when max_loaded has become less and all
// places that are left are pinned models'.
static void test_growing_needs_no_second_place(void **unused)
{
    struct sched_options o = defaults();
    o.max_loaded = 2;
    begin(&o, 1024);
    w.plans[0].bytes_per_token = 1024;
    pin(1);
    submit(1, 0);
    submit(0, 1);
    o.max_loaded = 1;
    sched_configure(w.s, &o, w.now);
    w.r[2].need_tokens = 32768;
    submit(0, 2);
    assert_int_equal(w.m[0]->sizes.pool_tokens, 32768);
    assert_int_equal(w.m[0]->n_running, 2);
    assert_int_equal(w.n_fail, 0);
    assert_int_equal(w.n_stop, 1); // 0, to grow
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alternating_arrivals_load_twice),
        cmocka_unit_test(test_the_longest_times_never_come),
        cmocka_unit_test(test_busy_model_is_never_evicted),
        cmocka_unit_test(test_idle_longest_goes_first),
        cmocka_unit_test(test_cheapest_reload_goes_first),
        cmocka_unit_test(test_no_more_is_evicted_than_needed),
        cmocka_unit_test(test_smaller_budget_unloads_idle_models),
        cmocka_unit_test(test_smaller_budget_unloads_a_busy_model_when_it_is_idle),
        cmocka_unit_test(test_smaller_max_loaded_unloads_idle_models),
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
        cmocka_unit_test(test_growing_carries_streams_over),
        cmocka_unit_test(test_smaller_context_reloads_nothing),
        cmocka_unit_test(test_context_that_can_never_fit_is_refused_alone),
        cmocka_unit_test(test_growing_waits_for_busy_models),
        cmocka_unit_test(test_growing_needs_no_second_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
