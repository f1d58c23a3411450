// SPDX-License-Identifier: MIT
// Many requests at once, stopping, draining, and whether the server is alive.
#include "../test.h"

#include <stdatomic.h>
#include <sys/resource.h>

#include "fixture.h"

// --- many, and stopping ---

static void many_requests_wait_at_once(void **state)
{
    enum { N = 500 };
    static struct fixture f;
    static int fds[N];
    start(&f);
    for (int i = 0; i < N; i++) {
        fds[i] = dial(&f);
        wire_send(fds[i], i % 2 ? GET("/wait") : GET("/stream"));
    }
    await(&f, &f.n_kept, N);
    assert_int_equal(http_server_connection_count(f.server), N);
    for (int i = N - 1; i >= 0; i--) { // f.kept is in order of arrival, the ids tell nothing about fds
        struct http_request *r = f.kept[i];
        if (!http_reply(r, 200, "text/plain", slice_of("answer"))) {
            assert_true(http_stream_write(r, slice_of("ans")));
            assert_true(http_stream_write(r, slice_of("wer")));
            http_stream_end(r);
        }
    }
    for (int i = 0; i < N; i++) {
        assert_answer(fds[i], 200, "answer");
        close(fds[i]);
    }
    stop(&f);
    assert_int_equal(f.n_gone, 0);
    assert_int_equal(f.n_user_freed, N);
}

struct writer {
    struct fixture *f;
    int first, step;
};

static void *write_all(void *user) // each stream gets its own number of lines, from its own thread
{
    struct writer *w = user;
    for (int round = 0; round < 200; round++) {
        for (int i = w->first; i < w->f->n_kept; i += w->step) {
            char line[32];
            snprintf(line, sizeof line, "%d\n", round);
            http_stream_write(w->f->kept[i], slice_of(line));
        }
    }
    for (int i = w->first; i < w->f->n_kept; i += w->step)
        http_stream_end(w->f->kept[i]);
    return NULL;
}

static void writers_of_many_threads_and_random_leavers(void **state)
{
    enum { N = 64, THREADS = 4 };
    static struct fixture f;
    int fds[N];
    start(&f);
    for (int i = 0; i < N; i++) {
        fds[i] = dial(&f);
        wire_send(fds[i], GET("/stream"));
        await(&f, &f.n_kept, i + 1);
    }
    pthread_t threads[THREADS];
    struct writer writers[THREADS];
    for (int t = 0; t < THREADS; t++) {
        writers[t] = (struct writer){&f, t, THREADS};
        pthread_create(&threads[t], NULL, write_all, &writers[t]);
    }
    for (int i = 0; i < N; i += 3)
        close(fds[i]);
    struct strbuf want = STRBUF_INIT(4096);
    for (int round = 0; round < 200; round++)
        strbuf_printf(&want, "%d\n", round);
    for (int i = 0; i < N; i++) {
        if (i % 3 == 0)
            continue;
        assert_answer(fds[i], 200, strbuf_text(&want));
        close(fds[i]);
    }
    for (int t = 0; t < THREADS; t++)
        pthread_join(threads[t], NULL);
    strbuf_fini(&want);
    stop(&f);
}

static void *reply_late(void *user)
{
    struct fixture *f = user;
    for (int i = 0; i < f->n_kept; i++) {
        if (!http_reply(f->kept[i], 200, NULL, slice_of("x")))
            http_stream_write(f->kept[i], slice_of("y"));
    }
    return NULL;
}

static void stopping_wakes_and_cuts_everything(void **state)
{
    enum { N = 100 };
    static struct fixture f;
    int fds[N];
    start(&f);
    for (int i = 0; i < N; i++) {
        fds[i] = dial(&f);
        wire_send(fds[i], i % 2 ? GET("/wait") : GET("/stream"));
    }
    await(&f, &f.n_kept, N);
    http_server_free(f.server);
    assert_int_equal(f.n_gone, N);
    for (int i = 0; i < N; i++) { // the references outlive the server
        assert_true(http_request_is_gone(f.kept[i]));
        assert_false(http_stream_write(f.kept[i], slice_of("x")));
        assert_string_equal(http_request_method(f.kept[i]), "GET");
        close(fds[i]);
    }
    drop_kept(&f);
    assert_int_equal(f.n_user_freed, N);
    // and with late answers at the same time
    for (int round = 0; round < 10; round++) {
        start(&f);
        for (int i = 0; i < N; i++) {
            fds[i] = dial(&f);
            wire_send(fds[i], i % 2 ? GET("/wait") : GET("/stream"));
        }
        await(&f, &f.n_kept, N);
        pthread_t late;
        pthread_create(&late, NULL, reply_late, &f);
        http_server_free(f.server);
        pthread_join(late, NULL);
        for (int i = 0; i < N; i++)
            close(fds[i]);
        drop_kept(&f);
        assert_int_equal(f.n_user_freed, N);
    }
}

struct arrivals {
    struct sockaddr_in address;
    atomic_bool is_over;
    atomic_int n_refused;
};

static void *arrive_all_the_time(void *user)
{
    struct arrivals *a = user;
    while (!atomic_load(&a->is_over)) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(fd, (struct sockaddr *)&a->address, sizeof a->address) == 0)
            wire_try_send(fd, GET("/any"), sizeof GET("/any") - 1);
        else
            atomic_fetch_add(&a->n_refused, 1);
        close(fd);
    }
    return NULL;
}

static void clients_that_arrive_do_not_keep_it_from_stopping(void **state)
{
    for (int round = 0; round < 100; round++) {
        static struct fixture f;
        pthread_t threads[2];
        start(&f);
        struct arrivals a = {.address = {.sin_family = AF_INET,
                                         .sin_port = htons(http_server_port(f.server)),
                                         .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
        for (size_t i = 0; i < COUNT_OF(threads); i++)
            pthread_create(&threads[i], NULL, arrive_all_the_time, &a);
        await(&f, &f.n_handled, 1);
        http_server_free(f.server);
        int n_before = atomic_load(&a.n_refused);
        while (atomic_load(&a.n_refused) < n_before + 4) // nobody listens there any more
            ;
        atomic_store(&a.is_over, true);
        for (size_t i = 0; i < COUNT_OF(threads); i++)
            pthread_join(threads[i], NULL);
    }
}

static void draining_serves_what_runs(void **state)
{
    static struct fixture f;
    start(&f);
    int fd = dial(&f);
    wire_send(fd, GET("/wait"));
    await(&f, &f.n_kept, 1);
    http_server_drain(f.server);
    reply_text(f.kept[0], "still here");
    assert_answer(fd, 200, "still here");
    assert_closed(fd);
    stop(&f);
}

static void draining_takes_new_connections_and_closes_them(void **state)
{
    static struct fixture f;
    start(&f);
    http_server_drain(f.server);
    for (int i = 0; i < 2; i++) {
        int fd = dial(&f);
        wire_send(fd, GET("/late"));
        assert_answer(fd, 200, "GET /late ? [-] peer");
        assert_closed(fd);
    }
    stop(&f);
}

static void it_knows_whether_it_answers(void **state)
{
    static struct fixture f;
    struct http_server_options o = test_options(&f);
    o.n_threads = 1;
    o.host = "";
    start_with(&f, &o);
    assert_true(http_server_answers(f.server, WIRE_PATIENCE_S * 1000));
    f.is_held = 1;
    int fd = dial(&f);
    int n_before = f.n_handled;
    wire_send(fd, GET("/hold"));
    await(&f, &f.n_handled, n_before + 1);
    assert_false(http_server_answers(f.server, 50)); // its only thread is held
    pthread_mutex_lock(&f.lock);
    f.is_held = 0;
    pthread_cond_broadcast(&f.changed);
    pthread_mutex_unlock(&f.lock);
    assert_answer(fd, 200, "held");
    assert_true(http_server_answers(f.server, WIRE_PATIENCE_S * 1000));
    close(fd);
    stop(&f);
}

static void waiting_outlasts_the_idle_timeout(void **state)
{
    static struct fixture f;
    struct http_server_options o = test_options(&f);
    o.idle_timeout_s = 4; // also what this process may be held up between dialling and sending
    start_with(&f, &o);
    int waits = dial(&f);
    wire_send(waits, GET("/wait"));
    await(&f, &f.n_kept, 1);
    int streams = dial(&f);
    wire_send(streams, GET("/stream"));
    await(&f, &f.n_kept, 2);
    int drips = dial(&f);
    wire_send(drips, "GET / HTTP/1.1\r\nHo");
    int idles = dial(&f);
    assert_closed(idles); // both are closed by the timeout: by then the others have outlasted it
    while (wire_byte(drips) >= 0)
        ;
    close(drips);
    assert_int_equal(f.n_gone, 0);
    reply_text(f.kept[0], "patient");
    assert_answer(waits, 200, "patient");
    http_stream_write(f.kept[1], slice_of("patient"));
    http_stream_end(f.kept[1]);
    assert_answer(streams, 200, "patient");
    close(waits);
    close(streams);
    stop(&f);
}

int main(int argc, char **argv) // an argument: only the tests of that name, '*' allowed
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_requests_wait_at_once),
        cmocka_unit_test(writers_of_many_threads_and_random_leavers),
        cmocka_unit_test(stopping_wakes_and_cuts_everything),
        cmocka_unit_test(clients_that_arrive_do_not_keep_it_from_stopping),
        cmocka_unit_test(draining_serves_what_runs),
        cmocka_unit_test(draining_takes_new_connections_and_closes_them),
        cmocka_unit_test(it_knows_whether_it_answers),
        cmocka_unit_test(waiting_outlasts_the_idle_timeout),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
