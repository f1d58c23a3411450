// SPDX-License-Identifier: MIT
// Runners that die, stall their load, or break the agreement; models that cannot load.
#include "../test.h"

#include "front.h"

static void test_killed_runner_goes_on(void **unused)
{
    enum { N = 6 };
    struct stream s[N], waiting;
    write_model("a", "weights=1000");
    struct host *h = start(&defaults);
    submit(h, "a", "hold", &waiting); // so that one runs for certain, and wants the next process
    for (int i = 0; i < N; i++) {
        char prompt[64];
        snprintf(prompt, sizeof prompt, "stream %d n=300 step_ms=1", i);
        submit(h, "a", prompt, &s[i]);
    }
    for (int i = 0; i < 3; i++)
        wait_tokens(&s[i], 5 + (uint32_t)i);
    bool found;
    struct host_model_status m = status_of_first(h, &found), next = m;
    assert_int_equal(kill(m.pid, SIGKILL), 0);
    for (int i = 0; i < N; i++)
        check_whole(&s[i], 300); // as if nothing had happened
    while (next.pid == m.pid || next.n_running == 0) {
        usleep(1000);
        next = status_of_first(h, &found);
    }
    assert_true(host_cancel(h, waiting.job));
    stream_fini(&waiting);
    for (int i = 0; i < N; i++)
        stream_fini(&s[i]);
    host_free(h);
    remove_model("a");
}

static void test_crashes_twice(void **unused)
{
    struct stream once, twice, after;
    struct host_options o = defaults;
    o.num_parallel = 1;
    write_model("a", "weights=1000");
    struct host *h = start(&o);
    submit(h, "a", "n=9 crash_at=4", &once);
    check_whole(&once, 9);
    submit(h, "a", "n=9 always_crash_at=4", &twice);
    submit(h, "a", "n=9", &after);
    check_failed(&twice, ERR_INTERNAL, "unexpectedly stopped twice");
    assert_int_equal(twice.n_tokens, 4);
    check_whole(&after, 9);
    stream_fini(&once);
    stream_fini(&twice);
    stream_fini(&after);
    host_free(h);
    remove_model("a");
}

static void check_load_error(const char *text, const struct host_options *o, enum err_code code,
                             const char *part)
{
    struct stream a, b;
    write_model("bad", text);
    struct host *h = start(o);
    submit_two(h, "bad", "n=1", &a, &b); // the second would be refused once the first has failed
    check_failed(&a, code, part);
    check_failed(&b, code, part);
    stream_fini(&a);
    stream_fini(&b);
    host_free(h);
    remove_model("bad");
}

static void test_models_that_cannot_load(void **unused)
{
    struct host_options small = defaults, hasty = defaults;
    small.memory_limit_bytes = 20 << 20;
    hasty.load_timeout_ns = 200 * NS_PER_MS;
    check_load_error("broken", &defaults, ERR_FORMAT, "unable to load model 'bad': not a model file");
    check_load_error("load_fails", &defaults, ERR_FORMAT, "unknown architecture 'fake9'");
    check_load_error("weights=50000000", &small, ERR_NO_MEMORY,
                     "model requires more system memory (0.05 GiB) than is available (0.02 GiB)");
    check_load_error("mute", &hasty, ERR_INTERNAL, "timed out waiting for the model to load");
    check_load_error("load_steps=1 load_ms=100000", &hasty, ERR_INTERNAL,
                     "timed out waiting for the model to load");
    check_load_error("load_crashes", &defaults, ERR_INTERNAL, "unexpectedly stopped while loading");
    check_load_error("plan_crashes", &defaults, ERR_INTERNAL, "unexpectedly stopped while loading");
}

static void test_runners_that_break_the_agreement(void **unused)
{
    static const char *const kinds[] = {"garbage", "half", "stranger", "early", "event", "exits", "release"};
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        check_load_error(kinds[i], &defaults, ERR_INTERNAL, "unexpectedly stopped while loading");
}

// It is ready, serves nothing, and then says once more that it is ready: a crash like any other.
static void test_a_runner_that_says_ready_twice(void **unused)
{
    struct stream s;
    write_model("bad", "twice");
    struct host *h = start(&defaults);
    submit(h, "bad", "n=1", &s);
    check_failed(&s, ERR_INTERNAL, "unexpectedly stopped");
    stream_fini(&s);
    host_free(h);
    remove_model("bad");
}

static void test_a_runner_that_floods_the_front_keeps_nobody_else_from_being_served(void **unused)
{
    struct stream s, beside;
    struct host_options o = several;
    o.load_timeout_ns = 5 * NS_PER_S; // the good one has to be loaded in it
    write_model("bad", "flood");
    write_model("good", "weights=1");
    struct host *h = start(&o);
    submit(h, "bad", "n=1", &s);
    submit(h, "good", "n=500", &beside);
    check_whole(&beside, 500);
    check_failed(&s, ERR_INTERNAL, "timed out waiting for the model to load");
    stream_fini(&s);
    stream_fini(&beside);
    host_free(h);
    remove_model("bad");
    remove_model("good");
}

// Frames of every type with random bytes in them, after a good start: the server lives, every request ends.
static void test_noise(void **unused)
{
    for (int seed = 0; seed < 12; seed++) {
        char model[32];
        struct stream s, after;
        snprintf(model, sizeof model, "noise %d", seed);
        write_model("bad", model);
        write_model("good", "weights=1");
        struct host *h = start(&defaults);
        submit(h, "bad", "n=1", &s);
        submit(h, "good", "n=5", &after);
        wait_end(&s);
        assert_int_equal(s.end.kind, EVENT_ERROR);
        check_whole(&after, 5);
        stream_fini(&s);
        stream_fini(&after);
        host_free(h);
    }
    remove_model("bad");
    remove_model("good");
}

static void test_missing_file(void **unused)
{
    struct stream s;
    struct host *h = start(&defaults);
    submit(h, "nowhere", "n=1", &s);
    check_failed(&s, ERR_INTERNAL, "cannot open the weights of model 'nowhere'");
    stream_fini(&s);
    host_free(h);
}

static void test_back_off_after_crashes(void **unused)
{
    struct stream next;
    struct err err = {0};
    write_model("a", "load_crashes");
    struct host *h = start(&defaults);
    while (
        try_submit(h, "a", "n=1", &next, &err)) { // each pause is longer, until one is long enough to be met
        check_failed(&next, ERR_INTERNAL, "unexpectedly stopped while loading");
        stream_fini(&next);
    }
    assert_int_equal(err.code, ERR_BACKOFF);
    stream_fini(&next);
    write_model("a", "good now");
    while (!try_submit(h, "a", "n=1", &next, NULL)) {
        stream_fini(&next);
        usleep(20000);
    }
    check_whole(&next, 1);
    stream_fini(&next);
    host_free(h);
    remove_model("a");
}

int main(int argc, char **argv)
{
    begin_tests(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_killed_runner_goes_on),
        cmocka_unit_test(test_crashes_twice),
        cmocka_unit_test(test_models_that_cannot_load),
        cmocka_unit_test(test_runners_that_break_the_agreement),
        cmocka_unit_test(test_a_runner_that_says_ready_twice),
        cmocka_unit_test(test_a_runner_that_floods_the_front_keeps_nobody_else_from_being_served),
        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_missing_file),
        cmocka_unit_test(test_back_off_after_crashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
