// SPDX-License-Identifier: MIT
// Several models at once: turns, the stall watchdog, one place for two, growing, settings of a model.
#include "../test.h"

#include "front.h"

static void test_three_models_are_loaded_at_once(void **unused)
{
    struct stream s[6];
    static const char *const names[] = {"a", "b", "c"};
    for (int i = 0; i < 3; i++)
        write_model(names[i], "weights=1000");
    struct host *h = start(&several);
    for (int i = 0; i < 6; i++)
        submit(h, names[i % 3], "n=300", &s[i]);
    for (int i = 0; i < 6; i++)
        check_whole(&s[i], 300);
    for (int i = 0; i < 3; i++)
        assert_string_equal(status_of(h, names[i]).state, "ready");
    for (int i = 0; i < 6; i++)
        stream_fini(&s[i]);
    host_free(h);
    for (int i = 0; i < 3; i++)
        remove_model(names[i]);
}

static void test_one_busy_model_has_one_turn_for_all_its_steps(void **unused)
{
    struct stream s, again;
    write_model("a", "weights=1000");
    write_model("b", "weights=1000");
    struct host *h = start(&several);
    submit(h, "b", "n=1", &s); // loaded and idle beside it
    check_whole(&s, 1);
    stream_fini(&s);
    submit(h, "a", "n=500 step_ms=1", &s);
    check_whole(&s, 500);
    struct host_model_status m = status_of(h, "a");
    assert_int_equal(m.n_turns, 1);
    submit(h, "a", "n=500", &again);
    check_whole(&again, 500);
    while (m.n_steps < 1000)
        m = status_of(h, "a");
    assert_int_equal(m.n_turns, 2);
    assert_int_equal(status_of(h, "b").n_turns, 1);
    stream_fini(&s);
    stream_fini(&again);
    host_free(h);
    remove_model("a");
    remove_model("b");
}

// Two that would run for ever: both get on, and neither gets more than its share of the turns.
static void test_busy_models_take_turns(void **unused)
{
    struct stream a, b;
    struct host_model_status of_a, of_b;
    struct host_status all;
    write_model("a", "weights=1000");
    write_model("b", "weights=1000");
    struct host *h = start(&several);
    submit(h, "a", "hold", &a);
    submit(h, "b", "hold step_ms=3", &b);
    do { // both of one moment
        usleep(1000);
        host_status_read(h, &all);
        int i_of_a = all.n_models == 2 && strcmp(all.models[1].name, "a") == 0;
        of_a = all.models[i_of_a];
        of_b = all.models[all.n_models - 1 - (size_t)i_of_a];
        host_status_fini(&all);
    } while (of_a.n_turns < 30 || of_b.n_turns < 30);
    assert_true(of_a.n_turns < 3 * of_b.n_turns && of_b.n_turns < 3 * of_a.n_turns);
    assert_true(of_a.n_steps > of_b.n_steps); // of shorter steps more fit into a turn
    assert_true(host_cancel(h, b.job));
    stream_fini(&b);
    submit(h, "b", "n=3", &b); // once more beside it
    check_whole(&b, 3);
    host_cancel(h, a.job);
    stream_fini(&a);
    stream_fini(&b);
    host_free(h);
    remove_model("a");
    remove_model("b");
}

static void test_the_turn_of_a_runner_that_dies_goes_to_the_next(void **unused)
{
    struct stream a, b;
    write_model("a", "weights=1000");
    write_model("b", "weights=1000");
    struct host *h = start(&several);
    submit(h, "a", "n=300 step_ms=1", &a);
    submit(h, "b", "n=300 step_ms=1", &b);
    wait_tokens(&a, 5);
    wait_tokens(&b, 5);
    int pid = status_of(h, "b").pid;
    kill(status_of(h, "a").pid, SIGKILL);
    check_whole(&b, 300);
    check_whole(&a, 300);
    assert_int_equal(status_of(h, "b").pid, pid);
    stream_fini(&a);
    stream_fini(&b);
    host_free(h);
    remove_model("a");
    remove_model("b");
}

// The process of the model, which is stopped with much of the stream before it.
static int stop_amid(struct host *h, const char *model, struct stream *s)
{
    for (;;) {
        submit(h, model, "n=300 step_ms=1", s);
        wait_tokens(s, 5);
        int pid = status_of(h, model).pid;
        kill(pid, SIGSTOP);
        pthread_mutex_lock(&s->mutex);
        bool is_early = s->n_tokens < 200;
        pthread_mutex_unlock(&s->mutex);
        if (is_early)
            return pid;
        kill(pid, SIGCONT);
        check_whole(s, 300);
        stream_fini(s);
    }
}

// A runner that is stopped with the turn in its hands is killed; its stream goes on in the next one, and the
// other model gets its turn.
static void test_a_runner_that_stalls_is_killed_and_its_stream_goes_on(void **unused)
{
    struct stream a, b;
    struct host_options o = several;
    o.stall_timeout_ns = 3 * NS_PER_S;
    write_model("a", "weights=1000");
    write_model("b", "weights=1000");
    struct host *h = start(&o);
    int pid = stop_amid(h, "a", &a);
    submit(h, "b", "n=300", &b);
    check_whole(&b, 300);
    check_whole(&a, 300);
    assert_true(kill(pid, 0) == -1 && status_of(h, "a").pid != pid);
    stream_fini(&a);
    stream_fini(&b);
    host_free(h);
    remove_model("a");
    remove_model("b");
}

static void test_a_model_without_work_does_not_stall(void **unused)
{
    struct stream a;
    struct host_options o = several;
    o.stall_timeout_ns = 3 * NS_PER_S;
    write_model("a", "weights=1000");
    struct host *h = start(&o);
    submit(h, "a", "n=3", &a);
    check_whole(&a, 3);
    stream_fini(&a);
    int pid = status_of(h, "a").pid;
    usleep(3500000);
    submit(h, "a", "n=20 step_ms=50", &a); // steps that come slowly are steps
    check_whole(&a, 20);
    assert_int_equal(status_of(h, "a").pid, pid);
    stream_fini(&a);
    host_free(h);
    remove_model("a");
}

static void test_two_models_that_share_one_place_are_served_in_turn(void **unused)
{
    enum { N = 10 };
    struct stream s[N];
    write_model("a", "weights=1000");
    write_model("b", "weights=2000");
    struct host *h = start(&defaults);
    for (int i = 0; i < N; i++)
        submit(h, i % 2 ? "b" : "a", "n=7", &s[i]);
    for (int i = 0; i < N; i++)
        check_whole(&s[i], 7);
    for (int i = 0; i < N; i++)
        stream_fini(&s[i]);
    host_free(h);
    remove_model("a");
    remove_model("b");
}

static void test_context_grows(void **unused)
{
    struct stream s;
    char path[128];
    bool found;
    write_model("a", "ctx=40000");
    struct host *h = start(&defaults);
    submit(h, "a", "n=3", &s);
    check_whole(&s, 3);
    stream_fini(&s);
    stream_init(&s);
    struct host_submission what = submission("a", path, &s);
    s.prompt = xstrdup("n=4");
    what.request = make_request("n=4");
    what.request->params.num_ctx = 30000;
    s.job = host_submit(h, &what, NULL);
    check_whole(&s, 4);
    struct host_model_status m = status_of_first(h, &found);
    assert_true(m.kv_tokens_total == 32768);
    stream_fini(&s);
    host_free(h);
    remove_model("a");
}

static void submit_with_context(struct host *h, const char *model, const char *prompt, int32_t num_ctx,
                                struct stream *s)
{
    char path[128];
    stream_init(s);
    struct host_submission what = submission(model, path, s);
    s->prompt = xstrdup(prompt);
    what.request = make_request(prompt);
    what.request->params.num_ctx = num_ctx;
    s->job = host_submit(h, &what, NULL);
    assert_non_null(s->job);
}

// A larger context is asked for while streams run: the model grows, they go on as if nothing had happened,
// and a growth is no crash.
static void test_streams_are_carried_over_when_the_model_grows(void **unused)
{
    struct stream s[3], large, larger;
    write_model("a", "ctx=60000");
    struct host *h = start(&defaults);
    for (int i = 0; i < 3; i++)
        submit(h, "a", "n=400 step_ms=1", &s[i]);
    wait_tokens(&s[2], 5);
    int pid = status_of(h, "a").pid;
    submit_with_context(h, "a", "n=7", 30000, &large);
    check_whole(&large, 7);
    struct host_model_status m = status_of(h, "a");
    assert_true(m.pid != pid && m.kv_tokens_total >= 30000);
    submit_with_context(h, "a", "n=7", 50000,
                        &larger); // a second time: no stream ends for having moved twice
    check_whole(&larger, 7);
    for (int i = 0; i < 3; i++) {
        check_whole(&s[i], 400);
        stream_fini(&s[i]);
    }
    stream_fini(&large);
    stream_fini(&larger);
    host_free(h);
    remove_model("a");
}

static void test_a_context_that_can_never_fit_is_refused_and_disturbs_nobody(void **unused)
{
    struct stream s, beside, large;
    struct host_options o = several;
    o.memory_limit_bytes = 40 << 20;
    write_model("a", "weights=1000 ctx=4000000");
    write_model("b", "weights=1000");
    struct host *h = start(&o);
    submit(h, "a", "n=200 step_ms=1", &s);
    submit(h, "b", "n=200 step_ms=1", &beside);
    wait_tokens(&s, 3);
    wait_tokens(&beside, 3);
    int pid = status_of(h, "a").pid, pid_beside = status_of(h, "b").pid;
    submit_with_context(h, "a", "n=1", 1000000, &large);
    check_failed(&large, ERR_NO_MEMORY, "model requires more system memory");
    check_whole(&s, 200);
    check_whole(&beside, 200);
    assert_true(status_of(h, "a").pid == pid && status_of(h, "b").pid == pid_beside);
    stream_fini(&s);
    stream_fini(&beside);
    stream_fini(&large);
    host_free(h);
    remove_model("a");
    remove_model("b");
}

static uint32_t settled_slots;
static struct host_model_settings settings_now(const char *name)
{
    return (struct host_model_settings){.num_parallel = strcmp(name, "a") == 0 ? settled_slots : 0};
}

static void test_new_settings_count_at_the_next_load(void **unused)
{
    struct stream s;
    struct host_options o = defaults;
    char path[128];
    write_model("a", "weights=1000");
    struct host *h = start(&o);
    submit(h, "a", "n=200 step_ms=1", &s);
    wait_tokens(&s, 3);
    int pid = status_of(h, "a").pid;
    settled_slots = 7;
    o.max_queue = 5;
    host_configure(h, &o, settings_now);
    struct host_metrics metrics;
    host_metrics_read(h, &metrics);
    assert_int_equal(metrics.max_queue, 5);
    host_metrics_fini(&metrics);
    check_whole(&s, 200); // it runs where it is
    stream_fini(&s);
    wait_unloaded(h); // idle now
    stream_init(&s);
    struct host_submission what = submission("a", path, &s);
    what.model.settings = settings_now("a");
    s.prompt = xstrdup("n=3");
    what.request = make_request("n=3");
    s.job = host_submit(h, &what, NULL);
    check_whole(&s, 3);
    struct host_model_status m = status_of(h, "a");
    assert_true(m.n_slots == 7 && m.pid != pid);
    stream_fini(&s);
    host_free(h);
    remove_model("a");
}

int main(int argc, char **argv)
{
    begin_tests(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_three_models_are_loaded_at_once),
        cmocka_unit_test(test_one_busy_model_has_one_turn_for_all_its_steps),
        cmocka_unit_test(test_busy_models_take_turns),
        cmocka_unit_test(test_the_turn_of_a_runner_that_dies_goes_to_the_next),
        cmocka_unit_test(test_a_runner_that_stalls_is_killed_and_its_stream_goes_on),
        cmocka_unit_test(test_a_model_without_work_does_not_stall),
        cmocka_unit_test(test_two_models_that_share_one_place_are_served_in_turn),
        cmocka_unit_test(test_context_grows),
        cmocka_unit_test(test_streams_are_carried_over_when_the_model_grows),
        cmocka_unit_test(test_a_context_that_can_never_fit_is_refused_and_disturbs_nobody),
        cmocka_unit_test(test_new_settings_count_at_the_next_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
