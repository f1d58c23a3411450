// SPDX-License-Identifier: MIT
// What issue and design promise about orders, limits in time, accounts of waiting, configuration and
// draining, one test each.
#include "../test.h"

#include "rules.h"

// ---- Order ----
static void start_four(const struct sched_options *o)
{
    begin(o, 1024);
    for (int i = 0; i < 4; i++) {
        w.r[i].client = 1;
        submit(0, i);
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
        cmocka_unit_test(test_fifo_is_the_default),
        cmocka_unit_test(test_round_robin_between_clients),
        cmocka_unit_test(test_priorities_and_ageing),
        cmocka_unit_test(test_max_queue_wait),
        cmocka_unit_test(test_first_token_and_request_timeout),
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
