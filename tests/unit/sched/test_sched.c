// SPDX-License-Identifier: MIT
// The scheduler's promises one by one, in a world where time is a number and processes are calls.
#include "../test.h"

#include "base/mem.h"
#include "sched/fit.h"
#include "sched/sched.h"

#define SECOND 1000000000LL
#define MIB    (1ull << 20)

struct world {
    struct sched *s;
    struct sched_model *a, *b;
    int64_t now;
    struct sched_request requests[256];
    int n_probe, n_load, n_stop, n_dispatch, n_loaded, n_fail;
    struct sched_request *dispatched[512];
    struct sched_request *failed[512];
    bool answers; // processes answer at once
};

static const struct sched_options defaults = {.max_queue = 512,
                                              .max_loaded = 1,
                                              .keep_alive_ns = 300 * SECOND,
                                              .load_timeout_ns = 300 * SECOND,
                                              .swap_after_ns = SCHED_SWAP_AFTER_NS,
                                              .min_resident_ns = SCHED_MIN_RESIDENT_NS};
static const struct sched_plan small_plan = {
    .fixed_bytes = 100 * MIB, .bytes_per_token = 1024, .train_context = 32768};

static void act(struct world *w)
{
    struct sched_action a;
    while (sched_next_action(w->s, &a)) {
        if (a.kind == SCHED_PROBE) {
            w->n_probe++;
            if (w->answers)
                sched_on_plan(w->s, a.model, &small_plan, w->now);
        } else if (a.kind == SCHED_LOAD) {
            w->n_load++;
            if (w->answers)
                sched_on_ready(w->s, a.model, w->now);
        } else if (a.kind == SCHED_STOP) {
            w->n_stop++;
            if (w->answers)
                sched_on_gone(w->s, a.model, w->now);
        } else if (a.kind == SCHED_DISPATCH) {
            w->dispatched[w->n_dispatch++] = a.request;
        } else if (a.kind == SCHED_LOADED) {
            w->n_loaded++;
        } else {
            w->failed[w->n_fail++] = a.request;
        }
        sched_check(w->s);
    }
    sched_check(w->s);
}

static void world_init(struct world *w, const struct sched_options *o)
{
    *w = (struct world){.s = sched_new(o), .now = 1000 * SECOND, .answers = true};
    w->a = sched_add_model(w->s, NULL);
    w->b = sched_add_model(w->s, NULL);
    sched_set_budget(w->s, 0, 1024 * MIB, w->now);
}

static bool submit(struct world *w, struct sched_model *m, int i)
{
    int rc = sched_submit(w->s, m, &w->requests[i], w->now, NULL);
    sched_check(w->s);
    act(w);
    return rc == 0;
}

static void finish(struct world *w, int i)
{
    sched_on_finished(w->s, &w->requests[i], w->now);
    act(w);
}

static void advance(struct world *w, int64_t ns)
{
    w->now += ns;
    sched_on_time(w->s, w->now);
    act(w);
}

static void test_load_and_run(void **unused)
{
    struct world w;
    world_init(&w, &defaults);
    for (int i = 0; i < 10; i++)
        assert_true(submit(&w, w.a, i));
    assert_int_equal(w.n_load, 1);
    assert_int_equal(w.n_dispatch, 4);
    for (int i = 0; i < 10; i++)
        finish(&w, i);
    assert_int_equal(w.n_dispatch, 10);
    for (int i = 0; i < 10; i++)
        assert_ptr_equal(w.dispatched[i], &w.requests[i]);
    sched_free(w.s);
}

// slots + max_queue are accepted, whether the model is loaded or not; the next is refused.
static void check_queue_limit(bool loaded_before, uint32_t max_queue)
{
    struct world w;
    struct sched_options o = defaults;
    o.max_queue = max_queue;
    world_init(&w, &o);
    if (loaded_before) {
        w.requests[200].is_load = true;
        assert_true(submit(&w, w.a, 200));
        assert_int_equal(w.n_loaded, 1);
    } else {
        w.answers = false;
    }
    for (int i = 0; i < 4 + (int)max_queue; i++)
        assert_true(submit(&w, w.a, i));
    for (int i = 100; i < 110; i++)
        assert_false(submit(&w, w.a, i));
    sched_cancel(w.s, &w.requests[max_queue > 0 ? 5 : 0], w.now); // a place is free at once
    act(&w);
    assert_true(submit(&w, w.a, 100));
    assert_false(submit(&w, w.a, 101));
    assert_int_equal(w.n_dispatch, !loaded_before ? 0 : max_queue > 0 ? 4 : 5);
    sched_free(w.s);
}

static void test_queue_limit(void **unused)
{
    check_queue_limit(true, 8);
    check_queue_limit(false, 8);
    check_queue_limit(true, 0);
    check_queue_limit(false, 0);
}

static void test_queue_is_for_the_whole_server(void **unused)
{
    struct world w;
    struct sched_options o = defaults;
    o.max_queue = 3;
    world_init(&w, &o);
    for (int i = 0; i < 4; i++)
        assert_true(submit(&w, w.a, i));
    assert_true(submit(&w, w.b, 10)); // waits for A's work: queued
    assert_true(submit(&w, w.a, 11));
    assert_true(submit(&w, w.b, 12));
    assert_false(submit(&w, w.a, 13));
    assert_false(submit(&w, w.b, 14));
    sched_free(w.s);
}

static void test_keep_alive(void **unused)
{
    struct world w;
    world_init(&w, &defaults);
    submit(&w, w.a, 0);
    submit(&w, w.a, 1);
    advance(&w, 1000 * SECOND); // the timer runs from the end of the last request
    finish(&w, 0);
    advance(&w, 299 * SECOND);
    finish(&w, 1);
    advance(&w, 299 * SECOND);
    assert_int_equal(w.n_stop, 0);
    assert_true(sched_deadline_ns(w.s) == w.now + SECOND);
    submit(&w, w.a, 2);
    advance(&w, 10 * SECOND);
    assert_int_equal(w.n_stop, 0);
    finish(&w, 2);
    advance(&w, 300 * SECOND);
    assert_int_equal(w.n_stop, 1);
    assert_int_equal(w.a->state, SCHED_ABSENT);

    submit(&w, w.a, 3); // sticky until the model is gone
    sched_set_keep_alive(w.s, w.a, -1, w.now);
    finish(&w, 3);
    submit(&w, w.a, 4);
    finish(&w, 4);
    advance(&w, 1000000 * SECOND);
    assert_int_equal(w.n_stop, 1);
    submit(&w, w.a, 5);
    sched_set_keep_alive(w.s, w.a, 0, w.now);
    assert_int_equal(w.n_stop, 1);
    finish(&w, 5);
    act(&w);
    assert_int_equal(w.n_stop, 2);
    submit(&w, w.a, 6);
    assert_true(w.a->keep_alive_ns == defaults.keep_alive_ns);
    sched_unload(w.s, w.a, w.now); // when it is idle
    assert_int_equal(w.n_stop, 2);
    finish(&w, 6);
    assert_int_equal(w.n_stop, 3);
    sched_free(w.s);
}

static void test_swap(void **unused)
{
    struct world w;
    world_init(&w, &defaults);
    submit(&w, w.a, 0);
    submit(&w, w.b, 1);
    assert_int_equal(w.n_load, 1);
    assert_int_equal(w.a->state, SCHED_READY);
    finish(&w, 0); // idle: makes room at once
    assert_int_equal(w.n_load, 2);
    assert_int_equal(w.b->state, SCHED_READY);
    assert_int_equal(w.n_dispatch, 2);
    sched_free(w.s);
}

// Two at once where count and memory allow it.
static void test_two_models(void **unused)
{
    struct world w;
    struct sched_options o = defaults;
    o.max_loaded = 3;
    world_init(&w, &o);
    submit(&w, w.a, 0);
    submit(&w, w.b, 1);
    assert_int_equal(w.n_dispatch, 2);
    assert_int_equal(w.n_stop, 0);
    sched_free(w.s);
    world_init(&w, &o);
    sched_set_budget(w.s, 0, 205 * MIB,
                     w.now); // both only one after the other: 100 + 16 of pool, beside it 89
    submit(&w, w.a, 0);
    submit(&w, w.b, 1);
    assert_int_equal(w.n_dispatch, 1);
    finish(&w, 0);
    assert_int_equal(w.n_dispatch, 2);
    assert_int_equal(w.n_stop, 1);
    sched_free(w.s);
}

static void test_alternating_models_swap_once(void **unused)
{
    struct world w;
    world_init(&w, &defaults);
    for (int i = 0; i < 100; i++)
        assert_true(submit(&w, i % 2 == 0 ? w.a : w.b, i));
    for (int round = 0, done = 0; done < 100; round++) {
        assert_true(round < 1000);
        int end = w.n_dispatch;
        for (; done < end; done++)
            sched_on_finished(w.s, w.dispatched[done], w.now);
        advance(&w, 2 * SECOND);
    }
    assert_int_equal(w.n_load, 2);
    sched_free(w.s);
}

// Endless work for A does not keep B waiting: what was admitted to A before the drain is finished, then B
// comes.
static void test_no_starvation(void **unused)
{
    struct world w;
    world_init(&w, &defaults);
    for (int i = 0; i < 8; i++)
        submit(&w, w.a, i);
    int64_t start = w.now;
    submit(&w, w.b, 8);
    int next = 9, done = 0;
    while (w.b->state != SCHED_READY) {
        assert_true(next < 250);
        if (w.dispatched[done] != NULL)
            sched_on_finished(w.s, w.dispatched[done++], w.now);
        submit(&w, w.a, next++); // A never runs out of work
        advance(&w, SECOND / 2);
    }
    assert_true(w.now - start >= 10 * SECOND && w.now - start < 20 * SECOND);
    finish(&w, 8); // B idle: A comes back and serves the rest
    assert_int_equal(w.a->state, SCHED_READY);
    sched_free(w.s);
}

static void test_load_failure(void **unused)
{
    struct world w;
    struct err why = {ERR_FORMAT, "x.gguf: broken"};
    world_init(&w, &defaults);
    w.answers = false;
    submit(&w, w.a, 0);
    submit(&w, w.a, 1);
    sched_on_failed(w.s, w.a, &why, w.now);
    act(&w);
    assert_int_equal(w.n_fail, 2);
    assert_string_equal(w.requests[1].failure.message, "x.gguf: broken");
    assert_int_equal(w.n_stop, 1);
    submit(&w, w.a, 2); // comes while it still stops: gets a new attempt
    sched_on_gone(w.s, w.a, w.now);
    act(&w);
    assert_int_equal(w.n_probe, 2);
    sched_free(w.s);
}

static void test_load_timeout(void **unused)
{
    struct world w;
    world_init(&w, &defaults);
    w.answers = false;
    submit(&w, w.a, 0);
    assert_true(sched_deadline_ns(w.s) == w.now + 300 * SECOND);
    advance(&w, 299 * SECOND);
    sched_on_progress(w.s, w.a, w.now);
    advance(&w, 299 * SECOND);
    assert_int_equal(w.n_fail, 0);
    advance(&w, SECOND);
    assert_int_equal(w.n_fail, 1);
    assert_int_equal(w.n_stop, 1);
    sched_free(w.s);
}

static void test_crashes(void **unused)
{
    struct world w;
    struct err err = {0};
    world_init(&w, &defaults);
    for (int i = 0; i < 6; i++)
        submit(&w, w.a, i);
    assert_int_equal(w.n_dispatch, 4);
    finish(&w, 1);
    sched_on_gone(w.s, w.a, w.now); // 0, 2, 3, 4 run on in a new process, in their order; 5 waits
    act(&w);
    assert_int_equal(w.n_load, 2);
    assert_int_equal(w.n_dispatch, 9);
    assert_ptr_equal(w.dispatched[5], &w.requests[0]);
    assert_ptr_equal(w.dispatched[8], &w.requests[4]);
    finish(&w, 0); // 5 runs for the first time
    sched_on_gone(w.s, w.a, w.now);
    act(&w);
    assert_int_equal(w.n_fail, 3); // 2, 3, 4 saw two
    assert_int_equal(w.requests[2].failure.code, ERR_INTERNAL);
    assert_ptr_equal(w.dispatched[w.n_dispatch - 1], &w.requests[5]);
    finish(&w, 5);
    assert_int_equal(w.a->crashes_in_row, 0);

    w.answers = false; // twice while loading: backs off
    sched_unload(w.s, w.a, w.now);
    sched_on_gone(w.s, w.a, w.now);
    submit(&w, w.a, 10);
    sched_on_gone(w.s, w.a, w.now);
    act(&w);
    assert_int_equal(w.n_fail, 3);
    sched_on_gone(w.s, w.a, w.now);
    act(&w);
    assert_int_equal(w.n_fail, 4);
    assert_int_equal(sched_submit(w.s, w.a, &w.requests[11], w.now, &err), -1);
    assert_int_equal(err.code, ERR_BACKOFF);
    advance(&w, SECOND);
    assert_true(submit(&w, w.a, 12));
    sched_free(w.s);
}

static void test_cancel_in_every_place(void **unused)
{
    struct world w;
    world_init(&w, &defaults);
    w.answers = false;
    submit(&w, w.a, 0);
    assert_false(
        sched_cancel(w.s, &w.requests[0], w.now)); // while its process starts: nobody wants it any more
    act(&w);
    assert_int_equal(w.n_stop, 1);
    sched_on_gone(w.s, w.a, w.now);
    submit(&w, w.a, 1);
    submit(&w, w.a, 2);
    sched_on_plan(w.s, w.a, &small_plan, w.now);
    act(&w);
    assert_false(sched_cancel(w.s, &w.requests[1], w.now)); // while loading: the load belongs to the model
    sched_on_ready(w.s, w.a, w.now);
    assert_false(sched_cancel(w.s, &w.requests[2], w.now)); // to be dispatched, but not told yet
    act(&w);
    assert_int_equal(w.n_dispatch, 0);
    for (int i = 3; i < 9; i++)
        submit(&w, w.a, i);
    assert_false(sched_cancel(w.s, &w.requests[7], w.now)); // queued
    assert_true(sched_cancel(w.s, &w.requests[3], w.now));  // running: its slot is free now
    act(&w);
    assert_ptr_equal(w.dispatched[w.n_dispatch - 1], &w.requests[8]);
    assert_false(sched_cancel(w.s, &w.requests[3], w.now)); // gone already
    sched_free(w.s);
}

static void test_sizes(void **unused)
{
    struct fit_wish o = {0};
    struct sched_sizes z;
    struct err err = {0};
    assert_true(fit_sizes(&o, &small_plan, 0, 1024 * MIB, &z));
    assert_true(z.n_slots == 4 && z.pool_tokens == 16384 && z.context_length == 16384 && z.reduced[0] == 0);
    assert_true(z.memory_bytes == 116 * MIB);
    assert_true(fit_sizes(&o, &small_plan, 0, 115 * MIB, &z));
    assert_true(z.n_slots == 1 && z.pool_tokens == 4096 && z.reduced[0] != 0);
    assert_true(fit_sizes(&o, &small_plan, 0, 103 * MIB, &z));
    assert_true(z.n_slots == 1 && z.pool_tokens == 2048);
    assert_false(fit_sizes(&o, &small_plan, 0, 101 * MIB, &z));
    fit_refuse(&o, &small_plan, 0, 101 * MIB, 0, &err);
    assert_int_equal(err.code, ERR_NO_MEMORY);
    assert_non_null(
        strstr(err.message, "model requires more system memory (0.10 GiB) than is available (0.10 GiB)"));

    assert_true(
        fit_sizes(&o, &small_plan, 20000, 1024 * MIB, &z)); // a request's own context: one whole sequence
    assert_true(z.pool_tokens == 20000 && z.n_slots == 4);
    o.context_length = 32768; // set by a person: never reduced
    assert_true(fit_sizes(&o, &small_plan, 0, 133 * MIB, &z));
    assert_true(z.pool_tokens == 32768 && z.context_length == 32768);
    assert_false(fit_sizes(&o, &small_plan, 0, 131 * MIB, &z));
    o.context_length = 1024;
    assert_true(fit_sizes(&o, &small_plan, 0, 1024 * MIB, &z));
    assert_true(z.pool_tokens == 4096 && z.context_length == 1024);
    o.context_length = 0;
    o.num_parallel = 8; // neither are slots
    assert_true(fit_sizes(&o, &small_plan, 0, 103 * MIB, &z));
    assert_true(z.n_slots == 8 && z.pool_tokens == 2048);
    struct sched_plan absurd = {.fixed_bytes = UINT64_MAX - 5, .bytes_per_token = UINT64_MAX / 2};
    assert_false(fit_sizes(&o, &absurd, UINT32_MAX, 1 << 30, &z));
}

// A larger context than is loaded: the model is started again with a larger pool, what runs is carried over.
static void test_context_that_grows(void **unused)
{
    struct world w;
    world_init(&w, &defaults);
    submit(&w, w.a, 0);
    w.requests[1].need_tokens = 20000;
    submit(&w, w.a, 1);
    submit(&w, w.a, 2); // behind it, in order
    assert_int_equal(w.n_load, 2);
    assert_int_equal(w.n_stop, 1);
    assert_int_equal(w.n_dispatch, 4); // 0, then 0 again, 1, 2
    assert_ptr_equal(w.dispatched[1], &w.requests[0]);
    assert_ptr_equal(w.dispatched[2], &w.requests[1]);
    assert_int_equal(w.requests[0].n_crashes, 0);
    assert_int_equal(w.a->crashes_in_row, 0);
    assert_int_equal(w.a->sizes.pool_tokens, 32768); // a power of two: the next one is not just above it
    assert_true(w.a->n_loads[SCHED_LOAD_GROW] == 1 && w.a->n_unloads[SCHED_UNLOAD_GROW] == 1);
    w.requests[3].need_tokens = 1000000; // no more than the model was trained for
    submit(&w, w.a, 3);
    assert_int_equal(w.n_load, 2);
    for (int i = 0; i < 4; i++)
        finish(&w, i);
    sched_set_budget(w.s, 0, 110 * MIB, w.now);
    w.requests[4].need_tokens = 8192; // fits what is loaded
    submit(&w, w.a, 4);
    assert_int_equal(w.n_fail, 0);
    sched_on_gone(w.s, w.a, w.now); // but not after a reload
    act(&w);
    sched_set_budget(w.s, 0, 105 * MIB, w.now);
    w.requests[5].need_tokens = 16384;
    submit(&w, w.a, 5);
    assert_int_equal(w.n_fail, 1);
    assert_ptr_equal(w.failed[0], &w.requests[5]);
    sched_free(w.s);
}

static void test_never_fits(void **unused)
{
    struct world w;
    world_init(&w, &defaults);
    submit(&w, w.a, 0);
    finish(&w, 0);
    w.answers = false;
    submit(&w, w.b, 1);
    struct sched_plan big = {.fixed_bytes = 4096 * MIB, .bytes_per_token = 1};
    sched_on_plan(w.s, w.b, &big, w.now);
    act(&w);
    assert_int_equal(w.n_fail, 1); // at once, and A was not sent away for it
    assert_int_equal(w.requests[1].failure.code, ERR_NO_MEMORY);
    assert_int_equal(w.a->state, SCHED_READY);
    sched_free(w.s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_load_and_run),
        cmocka_unit_test(test_queue_limit),
        cmocka_unit_test(test_queue_is_for_the_whole_server),
        cmocka_unit_test(test_keep_alive),
        cmocka_unit_test(test_swap),
        cmocka_unit_test(test_two_models),
        cmocka_unit_test(test_alternating_models_swap_once),
        cmocka_unit_test(test_no_starvation),
        cmocka_unit_test(test_load_failure),
        cmocka_unit_test(test_load_timeout),
        cmocka_unit_test(test_crashes),
        cmocka_unit_test(test_cancel_in_every_place),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_context_that_grows),
        cmocka_unit_test(test_never_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
