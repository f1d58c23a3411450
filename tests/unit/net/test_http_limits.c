// SPDX-License-Identifier: MIT
// What is refused, cut or survived: sizes, smuggling, damage, slow senders.
#include "../test.h"

#include <sys/resource.h>

#include "fixture.h"
#include "net/watch.h"

// --- limits ---

static void big_bodies_are_refused_early(void **state)
{
    static struct fixture f;
    start(&f);
    struct wire_answer a;
    // announced, with and without asking first
    int fd = dial(&f);
    wire_send(fd,
              "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\nExpect: 100-continue\r\n\r\n");
    wire_read_head(fd, &a);
    assert_int_equal(a.status, 413);
    close(fd);
    fd = dial(&f);
    wire_send(fd, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\nbegin");
    assert_answer(fd, 413, NULL); // long before the end
    static char piece[65536];
    memset(piece, 'x', sizeof piece);
    for (int i = 0; i < 8; i++) // it may go on for a while without a reset
        assert_true(wire_try_send(fd, piece, sizeof piece));
    assert_closed(fd);
    // chunked, growing beyond the limit
    fd = dial(&f);
    wire_send(fd, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 17; i++) {
        wire_send(fd, "10000\r\n");
        wire_try_send(fd, piece, sizeof piece);
        wire_send(fd, "\r\n");
    }
    assert_answer(fd, 413, NULL);
    assert_closed(fd);
    assert_int_equal(http_server_waiting_body_bytes(f.server), 0);
    // exactly the limit is fine
    fd = dial(&f);
    wire_send(fd, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\n");
    for (int i = 0; i < 16; i++)
        assert_true(wire_try_send(fd, piece, sizeof piece));
    wire_read(fd, &a);
    assert_int_equal(a.status, 200);
    assert_int_equal(a.body.n, 1 << 20);
    wire_free(&a);
    close(fd);
    stop(&f);
    assert_int_equal(f.n_handled, 1);
}

static void waiting_bodies_are_bounded_together(void **state)
{
    static struct fixture f;
    start(&f);
    static char piece[1 << 20];
    int fds[5];
    for (int i = 0; i < 5; i++) {
        fds[i] = dial(&f);
        wire_send(fds[i], "POST /wait HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\n");
        wire_try_send(fds[i], piece, sizeof piece);
        if (i < 4)
            await(&f, &f.n_kept, i + 1);
    }
    struct wire_answer a;
    wire_read(fds[4], &a);
    assert_int_equal(a.status, 503);
    assert_non_null(wire_header(&a, "Retry-After: "));
    wire_free(&a);
    assert_int_equal(http_server_waiting_body_bytes(f.server), 4 << 20);
    http_request_drop_body(f.kept[0]);
    assert_int_equal(http_server_waiting_body_bytes(f.server), 3 << 20);
    int fd = dial(&f);
    wire_send(fd, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok");
    assert_answer(fd, 200, "ok");
    close(fd);
    for (int i = 0; i < 5; i++)
        close(fds[i]);
    await(&f, &f.n_gone, 4);
    drop_kept(&f);
    await(&f, &f.n_user_freed, 4);
    stop(&f);
}

static void connections_beyond_the_limit_get_503(void **state)
{
    static struct fixture f;
    struct http_server_options o = test_options(&f);
    o.max_connections = 4;
    start_with(&f, &o);
    int fds[4];
    for (int i = 0; i < 4; i++) {
        fds[i] = dial(&f);
        wire_send(fds[i], GET("/wait"));
        await(&f, &f.n_kept, i + 1);
    }
    for (int i = 0; i < 10; i++) {
        int fd = dial_and_send(&f, GET("/x"));
        assert_answer(fd, 503, NULL);
        assert_closed(fd);
    }
    reply_text(f.kept[0], "served");
    assert_answer(fds[0], 200, "served");
    for (int i = 0; i < 4; i++)
        close(fds[i]);
    stop(&f);
}

static void big_headers_are_refused(void **state)
{
    static struct fixture f;
    start(&f);
    char *text = malloc(64 << 10);
    strcpy(text, "GET / HTTP/1.1\r\nHost: x\r\nX-Long: ");
    memset(text + strlen(text), 'a', 40000);
    strcpy(text + 40034, "\r\n\r\n");
    int fd = dial(&f);
    wire_try_send(fd, text, strlen(text));
    struct wire_answer a;
    wire_read_head(fd, &a);
    assert_int_equal(a.status, 431);
    close(fd);
    strcpy(text, "GET / HTTP/1.1\r\nHost: x\r\n");
    for (int i = 0; i < 300; i++)
        strcat(text, "A: b\r\n");
    strcat(text, "\r\n");
    fd = dial(&f);
    wire_send(fd, text);
    assert_answer(fd, 431, NULL);
    close(fd);
    free(text);
    stop(&f);
    assert_int_equal(f.n_handled, 0);
}

// Sent raw; the answer must have the wanted status (0: closed without one).
static void smuggling_is_refused(void **state)
{
    static const struct {
        const char *text;
        int status;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 200},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
         400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3, 3\r\n\r\nabc", 400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\nabc", 400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0x3\r\n\r\nabc", 400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\nabc", 400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3 \r\n\r\nabc", 400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\nabc", 400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\nabc", 413},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length : 3\r\n\r\nabc", 400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\nabc", 400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
         "chunked\r\n\r\n0\r\n\r\n",
         400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400},
        {"POST /echo HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost:  a \r\n\r\n", 200},
        {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: x\r\nX : 1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: x\r\nA(b): 1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: x\r\nA: b\x01z\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: x\r\nA: b\x7fz\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: x\r\nOrigin: http://a\r\nOrigin: http://b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: x\r\nExpect: coffee\r\n\r\n", 417},
        {"GET http://other/ HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        {"GET x HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        {"GET /%00 HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        {"GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        {"GET /a%2 HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        {"GET /\x01 HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        {"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 200},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
        {"GET / HTTP/1.1\r\nHost:x\r\nA:\t b\r\nB:\r\nC: \r\nCookie: a=b; c=\"d\"; e\r\n\r\n", 200},
        {"GET /?a=%20b&c HTTP/1.1\r\nHost: x\r\n\r\n", 200},
        {"GET / HTTP/1.0\r\n\r\n", 200},
        {"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: x\r\nA:\r\n\tb\r\nC: d\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n \r\n\r\n", 400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n 3\r\n\r\nabc", 400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chu\r\n nked\r\n\r\n0\r\n\r\n", 400},
        {"GET / HTTP/1.1\nHost: x\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: x\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: x\r\nA: b\nC: d\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: x\r\n\n", 400},
        {"GET / HTTP/1.0\n\n", 400},
        {"G:T / HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        {"GARBAGE\r\n\r\n", 0},
    };
    static struct fixture f;
    start(&f);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct wire_answer a;
        int fd = dial(&f);
        wire_send(fd, cases[i].text);
        wire_read_head(fd, &a);
        if (a.status != cases[i].status)
            fail_msg("%d instead of %d: %s", a.status, cases[i].status, cases[i].text);
        if (cases[i].status != 200) {
            while (wire_byte(fd) >= 0)
                ; // whatever follows: the connection must be closed
        }
        close(fd);
    }
    stop(&f);
}

static void a_farewell_with_the_request_ends_the_connection(void **state)
{
    enum { N = 200 };
    static struct fixture f;
    int fds[N];
    start(&f);
    for (int i = 0; i < N; i++) { // the end may come together with the bytes or after them
        fds[i] = dial(&f);
        wire_send(fds[i], i % 2 ? GET("/bye") : GET("/bye") GET("/bye"));
        shutdown(fds[i], SHUT_WR);
    }
    for (int i = 0; i < N; i++) {
        for (int k = i % 2; k < 2; k++)
            assert_answer(fds[i], 200, "GET /bye ? [-] peer");
        assert_closed(fds[i]);
    }
    stop(&f);
}

// Every byte of a request changed to this and that: an answer or a closed connection, and the server goes on.
static void damaged_requests_are_survived(void **state)
{
    static const char request[] =
        "POST /echo?a=b HTTP/1.1\r\nHost: x\r\nAccept: */*\r\nTransfer-Encoding: chunked\r\n\r\n"
        "4\r\nabcd\r\n0\r\n\r\n";
    static const char changes[] = {0, '\n', '\r', ' ', ':', '%', '\x7f', '\xff'};
    static struct fixture f;
    start(&f);
    for (size_t i = 0; i < sizeof request - 1; i++) {
        for (size_t k = 0; k < sizeof changes; k++) {
            char text[sizeof request];
            memcpy(text, request, sizeof request);
            text[i] = changes[k];
            int fd = dial(&f);
            wire_try_send(fd, text, sizeof request - 1);
            leave(fd, FAREWELL_RESET);
        }
    }
    int fd = dial(&f);
    wire_send(fd, GET("/fine"));
    assert_answer(fd, 200, NULL);
    close(fd);
    stop(&f);
}

static void say_nothing(void *user, struct watch_connection *c)
{
}

static void who_does_not_send_in_time_is_cut(void **state)
{
    struct err err = {0};
    int late[2], early[2], unread[2];
    struct timeval patience = {.tv_sec = WIRE_PATIENCE_S};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, late), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, early), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, unread), 0);
    assert_int_equal(send(unread[1], "x", 1, 0), 1);
    setsockopt(unread[1], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(late[1], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    struct watch *w = watch_new(say_nothing, NULL, &err);
    assert_non_null(w);
    int64_t now = clock_monotonic_ns();
    struct watch_connection *u = watch_add(w, unread[0], NULL, now - 1);
    struct watch_connection *a = watch_add(w, late[0], NULL, now - 1);
    struct watch_connection *b = watch_add(w, early[0], NULL, now + 3600 * NS_PER_S);
    assert_int_equal(wire_byte(late[1]), -1); // shut down by the watcher
    char c;
    assert_int_equal(recv(early[1], &c, 1, MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(recv(unread[1], &c, 1, MSG_DONTWAIT), -1); // looked at before, and it had sent something
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(recv(unread[0], &c, 1, 0), 1);
    assert_int_equal(wire_byte(unread[1]), -1);
    watch_remove(w, u);
    watch_remove(w, a);
    watch_remove(w, b);
    watch_free(w);
    for (int i = 0; i < 2; i++) {
        close(late[i]);
        close(early[i]);
        close(unread[i]);
    }
}

static void nul_in_a_header_is_refused(void **state)
{
    static const char *const heads[] = {"GET / HTTP/1.1\r\nHost: x\r\nA: b@c\r\n\r\n",
                                        "GET / HTTP/1.1\r\nHost: x\r\nA: @\r\nB: c\r\n\r\n",
                                        "GET / HTTP/1.1\r\nHost: x\r\nA@: b\r\n\r\n",
                                        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3@5\r\n\r\nabc"};
    static struct fixture f;
    start(&f);
    for (size_t i = 0; i < COUNT_OF(heads); i++) {
        char text[200];
        strcpy(text, heads[i]);
        *strchr(text, '@') = 0;
        int fd = dial(&f);
        assert_true(wire_try_send(fd, text, strlen(heads[i])));
        struct wire_answer a;
        wire_read_head(fd, &a);
        assert_int_equal(a.status, 400);
        close(fd);
    }
    stop(&f);
    assert_int_equal(f.n_handled, 0);
}

static void heads_in_pieces_and_of_size_are_fine(void **state)
{
    static struct fixture f;
    start(&f);
    char *text = malloc(32 << 10);
    strcpy(text, "GET /big HTTP/1.1\r\nHost: x\r\n");
    for (int i = 0; i < 100; i++)
        sprintf(text + strlen(text), "X-Header-%d: %0100d\r\n", i, i);
    strcat(text, "User-Agent: last\r\n\r\n");
    int fd = dial(&f);
    for (int round = 0; round < 3; round++) {
        size_t n = strlen(text);
        for (size_t at = 0; at < n;) { // in pieces of growing size
            size_t piece = MIN(at / 10 + 1, n - at);
            assert_true(wire_try_send(fd, text + at, piece));
            at += piece;
        }
        assert_answer(fd, 200, "GET /big ? [last] peer");
        wire_send(fd, GET("/small"));
        assert_answer(fd, 200, "GET /small ? [-] peer");
    }
    close(fd);
    free(text);
    stop(&f);
}

int main(int argc, char **argv) // an argument: only the tests of that name, '*' allowed
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(big_bodies_are_refused_early),
        cmocka_unit_test(waiting_bodies_are_bounded_together),
        cmocka_unit_test(connections_beyond_the_limit_get_503),
        cmocka_unit_test(big_headers_are_refused),
        cmocka_unit_test(smuggling_is_refused),
        cmocka_unit_test(nul_in_a_header_is_refused),
        cmocka_unit_test(heads_in_pieces_and_of_size_are_fine),
        cmocka_unit_test(a_farewell_with_the_request_ends_the_connection),
        cmocka_unit_test(damaged_requests_are_survived),
        cmocka_unit_test(who_does_not_send_in_time_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
