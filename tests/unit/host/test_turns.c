// SPDX-License-Identifier: MIT
// The watchdog's arithmetic: which time counts as silence.
#include "../test.h"

#include <sys/socket.h>
#include <unistd.h>

#include "host/turns.c"

static void test_time_before_the_turn_is_no_silence(void **unused)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    struct hosted model = {.name = (char *)"a"};
    struct link l = {.model = &model, .socket_open = true, .kill_at_ns = INT64_MAX};
    struct host h = {.epoll_fd = -1};
    pthread_mutex_init(&h.mutex, NULL);
    list_init(&h.links);
    list_init(&l.unsent);
    list_push(&h.links, &l.all);
    wire_init(&l.wire, fds[0], 1 << 20, 1 << 20);
    strbuf_init(&h.message, 1 << 20);
    atomic_init(&h.stall_timeout_ns, 8 * NS_PER_S);

    turns_watch(&h, clock_monotonic_ns() - 100 * NS_PER_S); // then nobody had work
    turns_want(&h, &l);
    assert_ptr_equal(h.turn, &l);
    turns_watch(&h, h.turn_began_ns + 5 * NS_PER_MS);
    assert_true(l.silent_ns == 5 * NS_PER_MS);
    turns_watch(&h, h.turn_began_ns + 905 * NS_PER_MS);
    assert_true(l.silent_ns == 905 * NS_PER_MS);

    wire_fini(&l.wire);
    strbuf_fini(&h.message);
    pthread_mutex_destroy(&h.mutex);
    close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_time_before_the_turn_is_no_silence)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
