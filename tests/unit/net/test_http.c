// SPDX-License-Identifier: MIT
// Answers, streams, clients that leave, and listening.
#include "../test.h"

#include <sys/un.h>

#include "fixture.h"

// --- whole answers ---

static void requests_are_understood(void **state)
{
    static struct fixture f;
    start(&f);
    int fd = dial(&f);
    wire_send(fd,
              "GET /a%20b/c%C3%A4?x=1&y=%41 HTTP/1.1\r\nHost: localhost:1\r\nUser-Agent:  tester \r\n\r\n");
    struct wire_answer a;
    wire_read(fd, &a);
    assert_int_equal(a.status, 200);
    assert_string_equal(strbuf_text(&a.body), "GET /a b/c\xC3\xA4 ?x=1&y=%41 [tester] peer");
    assert_non_null(wire_header(&a, "X-Test: yes"));
    assert_null(wire_header(&a, "Injected"));
    assert_null(wire_header(&a, "X-Bad"));
    assert_non_null(wire_header(&a, "Content-Type: text/plain"));
    wire_free(&a);
    // the same connection again, absolute form, then HEAD, then a body
    wire_send(fd, "GET http://x/abs?q HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_answer(fd, 200, "GET /abs ?q [-] peer");
    wire_send(fd, "HEAD /h HTTP/1.1\r\nHost: x\r\n\r\n");
    wire_read_head(fd, &a);
    assert_int_equal(a.status, 200);
    assert_int_equal(atoi(wire_header(&a, "Content-Length: ")), (int)strlen("HEAD /h ? [-] peer"));
    wire_send(fd, "DELETE /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello");
    assert_answer(fd, 200, "hello");
    wire_send(fd, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
                  "chunked\r\n\r\n3\r\nabc\r\n4;ext=1\r\ndefg\r\n0\r\n\r\n");
    assert_answer(fd, 200, "abcdefg");
    wire_send(fd, "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    wire_read_head(fd, &a);
    assert_int_equal(a.status, 100);
    wire_send(fd, "xyz");
    assert_answer(fd, 200, "xyz");
    wire_send(fd, "GET /old HTTP/1.0\r\n\r\n");
    assert_answer(fd, 200, "GET /old ? [-] peer");
    assert_closed(fd);
    stop(&f);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    static struct fixture f;
    start(&f);
    int fd = dial(&f);
    wire_send(fd, GET("/1") GET("/wait")
                      GET("/3") "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi" GET("/5"));
    assert_answer(fd, 200, "GET /1 ? [-] peer");
    await(&f, &f.n_kept, 1);
    reply_text(f.kept[0], "two");
    assert_answer(fd, 200, "two");
    assert_answer(fd, 200, "GET /3 ? [-] peer");
    assert_answer(fd, 200, "hi");
    assert_answer(fd, 200, "GET /5 ? [-] peer");
    assert_int_equal(f.n_gone, 0); // pipelined bytes are no farewell
    close(fd);
    stop(&f);
}

static void a_late_answer_arrives_and_only_the_first_counts(void **state)
{
    static struct fixture f;
    start(&f);
    int fd = dial(&f);
    wire_send(fd, GET("/wait"));
    await(&f, &f.n_kept, 1);
    struct http_request *r = f.kept[0];
    assert_true(http_reply(r, 404, "text/plain", slice_of("first")));
    assert_false(http_reply(r, 200, "text/plain", slice_of("second")));
    assert_false(http_stream_begin(r, 200, NULL));
    assert_false(http_stream_write(r, slice_of("x")));
    assert_answer(fd, 404, "first");
    wire_send(fd, GET("/again"));
    assert_answer(fd, 200, NULL);
    close(fd);
    stop(&f);
    assert_int_equal(f.n_gone, 0);
    assert_int_equal(f.n_user_freed, 1);
}

static void a_forgotten_request_is_answered(void **state)
{
    static struct fixture f;
    start(&f);
    int fd = dial(&f);
    wire_send(fd, GET("/forget"));
    assert_answer(fd, 500, NULL);
    assert_closed(fd);
    fd = dial(&f);
    wire_send(fd, GET("/wait"));
    await(&f, &f.n_kept, 1);
    drop_kept(&f);
    assert_answer(fd, 500, NULL);
    assert_closed(fd);
    fd = dial(&f);
    wire_send(fd, GET("/stream"));
    await(&f, &f.n_kept, 1);
    assert_true(http_stream_write(f.kept[0], slice_of("part")));
    struct wire_answer a;
    wire_read_head(fd, &a); // the answer has begun
    assert_int_equal(a.status, 200);
    drop_kept(&f);
    wire_read_body(fd, &a);
    assert_false(a.is_complete);
    wire_free(&a);
    close(fd);
    stop(&f);
    assert_int_equal(f.n_gone, 0);
}

// --- streams ---

static void each_piece_is_sent_at_once(void **state)
{
    static struct fixture f;
    start(&f);
    int fd = dial(&f);
    wire_send(fd, GET("/stream") GET("/after"));
    struct wire_answer a;
    await(&f, &f.n_kept, 1);
    wire_read_head(fd, &a);
    assert_int_equal(a.status, 200);
    assert_non_null(wire_header(&a, "Transfer-Encoding: chunked"));
    assert_non_null(wire_header(&a, "Content-Type: application/x-ndjson"));
    bool is_last = false;
    for (int i = 0; i < 50; i++) { // the next is written only when the last has arrived
        char piece[32];
        snprintf(piece, sizeof piece, "{\"i\":%d}\n", i);
        assert_true(http_stream_write(f.kept[0], slice_of(piece)));
        strbuf_reset(&a.body);
        assert_true(wire_chunk(fd, &a, &is_last));
        assert_string_equal(strbuf_text(&a.body), piece);
    }
    http_stream_end(f.kept[0]);
    assert_false(http_stream_write(f.kept[0], slice_of("late")));
    assert_true(wire_chunk(fd, &a, &is_last));
    assert_true(is_last);
    wire_free(&a);
    assert_answer(fd, 200, "GET /after ? [-] peer");
    close(fd);
    stop(&f);
    assert_int_equal(f.n_gone, 0);
}

static void a_stream_may_begin_late_and_end_at_once(void **state)
{
    static struct fixture f;
    start(&f);
    int fd = dial(&f);
    wire_send(fd, GET("/wait"));
    await(&f, &f.n_kept, 1);
    assert_true(http_stream_begin(f.kept[0], 200, "text/event-stream"));
    assert_true(http_stream_write(f.kept[0], slice_of("data: 1\n\n")));
    assert_true(http_stream_write(f.kept[0], slice_of("")));
    http_stream_end(f.kept[0]);
    assert_answer(fd, 200, "data: 1\n\n");
    wire_send(fd, "GET /stream HTTP/1.0\r\n\r\n");
    await(&f, &f.n_kept, 2);
    assert_true(http_stream_write(f.kept[1], slice_of("until close")));
    http_stream_end(f.kept[1]);
    assert_answer(fd, 200, "until close");
    assert_closed(fd);
    fd = dial(&f);
    wire_send(fd, "HEAD /stream HTTP/1.1\r\nHost: x\r\n\r\n" GET("/after"));
    struct wire_answer a;
    wire_read_head(fd, &a);
    assert_int_equal(a.status, 200);
    assert_answer(fd, 200, "GET /after ? [-] peer");
    assert_int_equal(f.n_gone, 0); // only HEAD's stream is over, nobody left
    close(fd);
    stop(&f);
}

static void a_slow_reader_is_cut_at_the_bound(void **state)
{
    static struct fixture f;
    start(&f);
    int fd = dial(&f);
    wire_send(fd, GET("/stream"));
    await(&f, &f.n_kept, 1);
    static char piece[65536];
    memset(piece, 'x', sizeof piece);
    size_t written = 0;
    while (http_stream_write(f.kept[0], slice_make(piece, sizeof piece))) {
        written += sizeof piece;
        assert_true(http_stream_pending_bytes(f.kept[0]) <= 256 << 10);
        assert_true(written < (size_t)1 << 30); // the kernel's buffers are not endless
    }
    assert_true(http_request_is_gone(f.kept[0]));
    assert_int_equal(http_stream_pending_bytes(f.kept[0]), 0);
    struct wire_answer a;
    wire_read(fd, &a);
    assert_false(a.is_complete);
    wire_free(&a);
    close(fd);
    stop(&f);
    assert_int_equal(f.n_gone, 0);
}

static void a_reader_that_catches_up_gets_everything(void **state)
{
    static struct fixture f;
    struct http_server_options o = test_options(&f);
    o.max_stream_bytes = 8 << 20;
    start_with(&f, &o);
    int fd = dial(&f);
    wire_send(fd, GET("/stream"));
    await(&f, &f.n_kept, 1);
    struct strbuf want = STRBUF_INIT(16 << 20);
    for (int i = 0; i < 60000; i++) {
        char piece[64];
        int n = snprintf(piece, sizeof piece, "line %d of the stream\n", i);
        strbuf_push(&want, piece, (size_t)n);
        assert_true(http_stream_write(f.kept[0], slice_make(piece, (size_t)n)));
    }
    http_stream_end(f.kept[0]);
    assert_answer(fd, 200, strbuf_text(&want));
    strbuf_fini(&want);
    close(fd);
    stop(&f);
}

// --- leaving ---

static void who_leaves_while_waiting_is_noticed(void **state)
{
    static struct fixture f;
    start(&f);
    for (int i = 0; i < 30; i++) {
        int fd = dial(&f);
        wire_send(fd, GET("/wait"));
        await(&f, &f.n_kept, i + 1);
        assert_false(http_request_is_gone(f.kept[i]));
        leave(fd, (enum farewell)(i % FAREWELL_COUNT));
        await(&f, &f.n_gone, i + 1);
        assert_false(http_reply(f.kept[i], 200, NULL, slice_of("")));
        assert_false(http_stream_begin(f.kept[i], 200, NULL));
        assert_false(http_request_on_gone(f.kept[i], on_gone, &f));
    }
    stop(&f);
    assert_int_equal(f.n_gone, 30);
    assert_int_equal(f.n_user_freed, 30);
}

static void who_leaves_amid_a_stream_is_noticed(void **state)
{
    static struct fixture f;
    start(&f);
    for (int i = 0; i < 30; i++) {
        int fd = dial(&f);
        wire_send(fd, GET("/stream"));
        await(&f, &f.n_kept, i + 1);
        assert_true(http_stream_write(f.kept[i], slice_of("some")));
        struct wire_answer a;
        bool is_last;
        wire_read_head(fd, &a);
        assert_true(wire_chunk(fd, &a, &is_last));
        wire_free(&a);
        leave(fd, (enum farewell)(i % FAREWELL_COUNT));
        await(&f, &f.n_gone, i + 1);
        assert_false(http_stream_write(f.kept[i], slice_of("more")));
        http_stream_end(f.kept[i]);
    }
    stop(&f);
    assert_int_equal(f.n_gone, 30);
}

static void who_leaves_with_a_full_pipe_is_noticed(void **state)
{
    static struct fixture f;
    struct http_server_options o = test_options(&f);
    o.max_stream_bytes = 64 << 20;
    start_with(&f, &o);
    int fd = dial(&f);
    wire_send(fd, GET("/stream"));
    await(&f, &f.n_kept, 1);
    char *piece = calloc(1, 32 << 20);
    assert_true(http_stream_write(f.kept[0], slice_make(piece, 32 << 20)));
    free(piece);
    close(fd); // unread bytes: a reset
    await(&f, &f.n_gone, 1);
    assert_int_equal(http_stream_pending_bytes(f.kept[0]), 0);
    stop(&f);
    assert_int_equal(f.n_gone, 1);
}

// --- listening ---

static void a_taken_port_is_a_clear_error(void **state)
{
    static struct fixture f;
    struct err err = {0};
    start(&f);
    struct http_server_options o = test_options(&f);
    o.port = http_server_port(f.server);
    assert_true(http_server_is_loopback(f.server));
    assert_null(http_server_new(&o, &err));
    assert_int_equal(err.code, ERR_CONFLICT);
    char want[100];
    snprintf(want, sizeof want, "cannot listen on 127.0.0.1:%u: the address is already in use", o.port);
    assert_string_equal(err.message, want);
    o.host = "192.0.2.1"; // reserved for documentation
    err_clear(&err);
    assert_null(http_server_new(&o, &err));
    assert_int_equal(err.code, ERR_INVALID);
    o.host = "no.such.host.invalid";
    err_clear(&err);
    assert_null(http_server_new(&o, &err));
    assert_int_equal(err.code, ERR_INVALID);
    stop(&f);
}

static void all_interfaces_and_unix_sockets(void **state)
{
    static struct fixture f;
    struct http_server_options o = test_options(&f);
    o.host = "";
    start_with(&f, &o);
    assert_false(http_server_is_loopback(f.server));
    int fd = dial(&f);
    wire_send(fd, GET("/v4"));
    assert_answer(fd, 200, "GET /v4 ? [-] peer");
    close(fd);
    stop(&f);

    char path[100];
    snprintf(path, sizeof path, "/tmp/drover-test-%d.sock", (int)getpid());
    for (int round = 0; round < 2; round++) {
        o = test_options(&f);
        o.unix_path = path;
        start_with(&f, &o);
        assert_int_equal(http_server_port(f.server), 0);
        assert_true(http_server_is_loopback(f.server));
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        strcpy(address.sun_path, path);
        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
        wire_send(fd, GET("/u"));
        assert_answer(fd, 200, "GET /u ? [-] unix");
        wire_send(fd, GET("/wait"));
        await(&f, &f.n_kept, 1);
        close(fd);
        await(&f, &f.n_gone, 1);
        struct err err = {0};
        assert_null(http_server_new(&o, &err));
        assert_int_equal(err.code, ERR_CONFLICT);
        stop(&f);
        assert_int_equal(access(path, F_OK), -1);
        fd = socket(AF_UNIX, SOCK_STREAM, 0); // a dead socket file is replaced in the second round
        assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
        close(fd);
    }
    unlink(path);
}

int main(int argc, char **argv) // an argument: only the tests of that name, '*' allowed
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_understood),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(a_late_answer_arrives_and_only_the_first_counts),
        cmocka_unit_test(a_forgotten_request_is_answered),
        cmocka_unit_test(each_piece_is_sent_at_once),
        cmocka_unit_test(a_stream_may_begin_late_and_end_at_once),
        cmocka_unit_test(a_slow_reader_is_cut_at_the_bound),
        cmocka_unit_test(a_reader_that_catches_up_gets_everything),
        cmocka_unit_test(who_leaves_while_waiting_is_noticed),
        cmocka_unit_test(who_leaves_amid_a_stream_is_noticed),
        cmocka_unit_test(who_leaves_with_a_full_pipe_is_noticed),
        cmocka_unit_test(a_taken_port_is_a_clear_error),
        cmocka_unit_test(all_interfaces_and_unix_sockets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
