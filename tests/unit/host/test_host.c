// SPDX-License-Identifier: MIT
// The host and one model: order, slots, the queue, leaving, keep_alive, large messages, many clients. Nothing
// here is timed; a test that waits for what never comes is ended by the test runner.
#include "../test.h"

#include "front.h"

static void test_streams_in_order(void **unused)
{
    enum { N = 32 };
    struct stream s[N];
    write_model("a", "weights=1000");
    struct host *h = start(&defaults);
    for (int i = 0; i < N; i++) {
        char prompt[64];
        snprintf(prompt, sizeof prompt, "marker %d n=%d", i, 3 + i % 5);
        submit(h, "a", prompt, &s[i]);
    }
    for (int i = 0; i < N; i++)
        check_whole(&s[i], (uint32_t)(3 + i % 5));
    for (int i = 1; i < N; i++)
        assert_true(s[i].start_order > s[i - 1].start_order);
    bool found;
    struct host_model_status m = status_of_first(h, &found);
    assert_true(found && m.n_slots == 4 && m.kv_tokens_total == 16384 && m.context_length == 16384 &&
                m.pid > 0 && m.expires_wall_ns == 0);
    assert_string_equal(m.state, "ready");
    for (int i = 0; i < N; i++)
        stream_fini(&s[i]);
    host_free(h);
    remove_model("a");
}

static void test_exactly_slots_and_queue(void **unused)
{
    enum { N = 12 };
    struct stream s[N], one_more;
    struct err err = {0};
    struct host_options o = defaults;
    o.max_queue = 8;
    write_model("a", "weights=1000");
    struct host *h = start(&o);
    for (int i = 0; i < N; i++) // also while the model is not loaded yet
        submit(h, "a", i < 4 ? "hold" : "n=2", &s[i]);
    assert_false(try_submit(h, "a", "n=1", &one_more, &err));
    assert_int_equal(err.code, ERR_QUEUE_FULL);
    assert_string_equal(err.message, "server busy, please try again.  maximum pending requests exceeded");
    stream_fini(&one_more);
    for (int i = 0; i < 4; i++)
        wait_prompt(&s[i]);
    struct host_status all;
    host_status_read(h, &all);
    assert_true(all.n_running == 4 && all.n_queued == 8 && all.n_rejected == 1 && all.n_started == 4);
    host_status_fini(&all);
    assert_int_equal(host_queue_depth(h), 8);
    assert_true(host_retry_after_s(h, NULL) >= 1);
    assert_false(try_submit(h, "a", "n=1", &one_more, NULL));
    stream_fini(&one_more);
    assert_true(host_cancel(h, s[5].job)); // its place is free at once
    submit(h, "a", "n=3", &one_more);
    for (int i = 0; i < 4; i++)
        assert_true(host_cancel(h, s[i].job));
    for (int i = 4; i < N; i++)
        if (i != 5)
            check_whole(&s[i], 2);
    check_whole(&one_more, 3);
    for (int i = 0; i < N; i++)
        stream_fini(&s[i]);
    stream_fini(&one_more);
    host_free(h);
    remove_model("a");
}

static void test_cancel_in_every_state(void **unused)
{
    struct stream loading, running, blocking, queued, beside, done;
    struct host_options o = defaults;
    o.num_parallel = 2;
    write_model("a", "load_steps=100 load_ms=10");
    struct host *h = start(&o);
    submit(h, "a", "hold", &loading); // if it should be loaded already, it still has not ended
    bool found = false;
    while (!found)
        status_of_first(h, &found);
    assert_true(host_cancel(h, loading.job));
    assert_false(host_cancel(h, loading.job)); // once
    write_model("a", "fast");
    submit(h, "a", "hold", &blocking);
    submit(h, "a", "hold", &running);
    submit(h, "a", "n=4", &queued);
    submit(h, "a", "n=6", &done);
    wait_prompt(&running);
    assert_true(host_cancel(h, queued.job));
    assert_true(host_cancel(h, running.job));
    check_whole(&done, 6); // took the place
    assert_false(host_cancel(h, done.job));
    submit(h, "a", "n=3000", &beside);
    wait_tokens(&beside, 1);
    assert_true(host_cancel(h, blocking.job));
    check_whole(&beside, 3000);
    assert_int_equal(loading.n_ends + queued.n_ends + running.n_ends + blocking.n_ends, 0);
    stream_fini(&blocking);
    stream_fini(&loading);
    stream_fini(&running);
    stream_fini(&queued);
    stream_fini(&beside);
    stream_fini(&done);
    host_free(h);
    remove_model("a");
}

static void test_keep_alive(void **unused)
{
    struct stream s;
    bool found;
    write_model("a", "weights=1000");
    struct host *h = start(&defaults);
    submit_bare(h, "a", false, &s, INT64_MAX); // preload
    struct host_model_status m = status_of_first(h, &found);
    assert_true(found && m.n_slots == 4);
    submit_bare(h, "a", true, &s, INT64_MAX); // unload
    wait_unloaded(h);
    assert_int_equal(kill(m.pid, 0), -1);           // the process is gone, and reaped
    submit_bare(h, "a", false, &s, 30 * NS_PER_MS); // expires by itself
    wait_unloaded(h);
    submit_bare(h, "a", false, &s, 3600 * NS_PER_S);
    m = status_of_first(h, &found);
    assert_true(found && m.expires_wall_ns > clock_wall_ns() + 3000 * NS_PER_S);
    submit(h, "a", "n=200 step_ms=1", &s); // an unload waits for who runs
    wait_tokens(&s, 3);
    struct stream u;
    submit_bare(h, "a", true, &u, INT64_MAX);
    check_whole(&s, 200);
    wait_unloaded(h);
    stream_fini(&s);
    host_free(h);
    remove_model("a");
}

static void test_large_messages(void **unused)
{
    enum { N_BYTES = 5000000, N = 40 };
    struct stream s[8], flood;
    char *prompt = malloc(N_BYTES + 1);
    memset(prompt, 'x', N_BYTES);
    memcpy(prompt, "n=2 ", 4);
    prompt[N_BYTES] = 0;
    write_model("a", "weights=1000");
    struct host *h = start(&defaults);
    for (int i = 0; i < 8; i++)
        submit(h, "a", prompt, &s[i]);
    for (int i = 0; i < 8; i++)
        check_whole(&s[i], 2);
    submit(h, "a", "n=40 flood=300000", &flood);
    wait_end(&flood);
    assert_int_equal(flood.n_tokens, N);
    assert_int_equal(flood.text.n, N * 300000);
    for (int i = 0; i < 8; i++)
        stream_fini(&s[i]);
    stream_fini(&flood);
    free(prompt);
    host_free(h);
    remove_model("a");
}

static void test_waiting_bytes_are_limited(void **unused)
{
    struct stream s[3], refused;
    struct err err = {0};
    struct host_options o = defaults;
    char prompt[3000];
    memset(prompt, 'x', sizeof prompt);
    memcpy(prompt, "hold ", 5);
    prompt[sizeof prompt - 1] = 0;
    o.num_parallel = 1;
    o.max_waiting_bytes = 7000;
    write_model("a", "weights=1000");
    struct host *h = start(&o);
    submit(h, "a", prompt, &s[0]);
    wait_prompt(&s[0]);
    submit(h, "a", prompt, &s[1]);
    submit(h, "a", prompt, &s[2]);
    assert_false(try_submit(h, "a", prompt, &refused, &err));
    assert_int_equal(err.code, ERR_QUEUE_BYTES);
    stream_fini(&refused);
    host_free(h);
    for (int i = 0; i < 3; i++) {
        wait_end(&s[i]);
        stream_fini(&s[i]);
    }
    remove_model("a");
}

static void test_a_thread_that_hangs_is_not_alive(void **unused)
{
    struct stream s;
    write_model("a", "fast");
    struct host *h = start(&defaults);
    for (int i = 0; i < 3; i++)
        while (!host_is_alive(h)) // also without work: the question wakes it
            usleep(1000);
    submit(h, "a", "n=16000000", &s); // more than it can say in the meantime
    wait_tokens(&s, 1);
    pthread_mutex_lock(&s.mutex); // the next event's callback waits for it
    while (host_is_alive(h))
        usleep(1000);
    assert_false(host_is_alive(h));
    pthread_mutex_unlock(&s.mutex);
    while (!host_is_alive(h))
        usleep(1000);
    host_cancel(h, s.job);
    stream_fini(&s);
    host_free(h);
    remove_model("a");
}

static void test_free_with_open_jobs(void **unused)
{
    struct stream s[8];
    write_model("a", "weights=1000");
    struct host *h = start(&defaults);
    for (int i = 0; i < 8; i++)
        submit(h, "a", "hold", &s[i]);
    wait_prompt(&s[3]);
    host_free(h);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(s[i].n_ends, 1);
        check_failed(&s[i], ERR_DRAINING, "server is shutting down");
        stream_fini(&s[i]);
    }
    remove_model("a");
}

// Clients that come and leave at random from several threads, with a runner that is killed in between.
struct client {
    struct host *h;
    unsigned seed;
    int n_whole, n_cancelled;
};

static void *be_a_client(void *user)
{
    struct client *c = user;
    for (int i = 0; i < 60; i++) {
        struct stream s;
        char prompt[64];
        unsigned n = (unsigned)rand_r(&c->seed) % 40;
        snprintf(prompt, sizeof prompt, "marker %u n=%u", (unsigned)rand_r(&c->seed), n);
        submit(c->h, "a", prompt, &s);
        if (rand_r(&c->seed) % 3 == 0) {
            wait_tokens(&s, (uint32_t)rand_r(&c->seed) % 10);
            c->n_cancelled += host_cancel(c->h, s.job);
        } else {
            check_whole(&s, n);
            c->n_whole++;
        }
        if (s.job != NULL && s.n_ends == 0)
            assert_false(host_cancel(c->h, s.job));
        stream_fini(&s);
    }
    return NULL;
}

static void test_many_clients(void **unused)
{
    enum { N = 8 };
    pthread_t threads[N];
    struct client clients[N];
    struct stream waiting;
    write_model("a", "weights=1000");
    struct host *h = start(&defaults);
    submit(h, "a", "hold", &waiting); // so that one runs for certain
    for (int i = 0; i < N; i++) {
        clients[i] = (struct client){.h = h, .seed = (unsigned)i + 1};
        assert_int_equal(pthread_create(&threads[i], NULL, be_a_client, &clients[i]), 0);
    }
    bool found = false;
    struct host_model_status m = {0};
    while (!found || m.n_running == 0)
        m = status_of_first(h, &found);
    kill(m.pid, SIGKILL);
    for (int i = 0; i < N; i++)
        pthread_join(threads[i], NULL);
    assert_true(host_cancel(h, waiting.job));
    stream_fini(&waiting);
    struct host_status all;
    host_status_read(h, &all);
    assert_true(all.n_running == 0 && all.n_queued == 0);
    host_status_fini(&all);
    host_free(h);
    remove_model("a");
}

static void test_cards(void **unused)
{
    char path[128], *json = NULL;
    struct err err = {0};
    write_model("a", "weights=1000");
    model_path("a", path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(host_read_card(fd, true, &json, NULL), 0);
    assert_string_equal(json, "{\"architecture\":\"fake\",\"verbose\":true}");
    free(json);
    write_model("a", "broken");
    assert_int_equal(host_read_card(fd, false, &json, &err), -1);
    assert_int_equal(err.code, ERR_FORMAT);
    assert_null(json);
    write_model("a", "plan_crashes");
    err_clear(&err);
    assert_int_equal(host_read_card(fd, false, &json, &err), -1);
    assert_non_null(strstr(err.message, "unexpectedly stopped"));
    write_model("a", "garbage");
    assert_int_equal(host_read_card(fd, false, &json, NULL), -1);
    close(fd);
    remove_model("a");
}

int main(int argc, char **argv)
{
    begin_tests(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_streams_in_order),
        cmocka_unit_test(test_exactly_slots_and_queue),
        cmocka_unit_test(test_cancel_in_every_state),
        cmocka_unit_test(test_keep_alive),
        cmocka_unit_test(test_large_messages),
        cmocka_unit_test(test_waiting_bytes_are_limited),
        cmocka_unit_test(test_a_thread_that_hangs_is_not_alive),
        cmocka_unit_test(test_free_with_open_jobs),
        cmocka_unit_test(test_many_clients),
        cmocka_unit_test(test_cards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
