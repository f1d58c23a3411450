// SPDX-License-Identifier: MIT
// The server over real sockets. Events are awaited, never slept for.
#include "../test.h"

#include <pthread.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/http.h"
#include "net/watch.h"
#include "wire.h"

enum { MAX_KEPT = 4096 };

struct fixture {
    struct http_server *server;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct http_request *kept[MAX_KEPT]; // of /wait and /stream, with a reference
    int n_kept, n_gone, n_user_freed;
    int n_handled;
    int is_held; // /hold keeps its thread
};

// Waits until *counter >= want; fails the test after a long time.
static void await(struct fixture *f, const int *counter, int want)
{
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += WIRE_PATIENCE_S;
    pthread_mutex_lock(&f->lock);
    while (*counter < want) {
        if (pthread_cond_timedwait(&f->changed, &f->lock, &end) != 0) {
            int is = *counter;
            pthread_mutex_unlock(&f->lock);
            fail_msg("waited in vain: %d instead of %d", is, want);
        }
    }
    pthread_mutex_unlock(&f->lock);
}

static void count(struct fixture *f, int *counter)
{
    pthread_mutex_lock(&f->lock);
    ++*counter;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
}

static void on_gone(void *user, struct http_request *r)
{
    struct fixture *f = user;
    assert_true(http_request_is_gone(r));
    count(f, &f->n_gone);
}

static void free_user(void *user)
{
    struct fixture *f = user;
    count(f, &f->n_user_freed);
}

static void keep(struct fixture *f, struct http_request *r)
{
    http_request_set_user(r, f, free_user);
    http_request_on_gone(r, on_gone, f);
    http_request_ref(r);
    pthread_mutex_lock(&f->lock);
    f->kept[f->n_kept++] = r;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
}

static void reply_text(struct http_request *r, const char *text)
{
    http_reply(r, 200, "text/plain", slice_of(text));
}

static void describe(struct http_request *r)
{
    const char *agent = http_request_header(r, "user-agent");
    struct strbuf b = STRBUF_INIT(4096);
    strbuf_printf(&b, "%s %s ?%s [%s] %s", http_request_method(r), http_request_path(r),
                  http_request_query(r), agent ? agent : "-",
                  strchr(http_request_peer(r), ':') ? "peer" : http_request_peer(r));
    http_add_header(r, "X-Test", "yes");
    http_add_header(r, "X-Bad", "a\r\nInjected: 1");
    reply_text(r, strbuf_text(&b));
    strbuf_fini(&b);
}

static void handle(void *user, struct http_request *r)
{
    struct fixture *f = user;
    const char *path = http_request_path(r);
    count(f, &f->n_handled);
    if (strcmp(path, "/echo") == 0)
        http_reply(r, 200, "application/octet-stream", http_request_body(r));
    else if (strcmp(path, "/wait") == 0)
        keep(f, r);
    else if (strcmp(path, "/stream") == 0) {
        http_stream_begin(r, 200, "application/x-ndjson");
        keep(f, r);
    } else if (strcmp(path, "/hold") == 0) {
        pthread_mutex_lock(&f->lock);
        while (f->is_held)
            pthread_cond_wait(&f->changed, &f->lock);
        pthread_mutex_unlock(&f->lock);
        reply_text(r, "held");
    } else if (strcmp(path, "/forget") != 0)
        describe(r);
}

static struct http_server_options test_options(struct fixture *f)
{
    struct http_server_options o = HTTP_SERVER_OPTIONS_DEFAULT;
    o.handler = handle;
    o.user = f;
    o.max_body_bytes = 1 << 20;
    o.max_waiting_body_bytes = 4 << 20;
    o.max_stream_bytes = 256 << 10;
    return o;
}

static void start_with(struct fixture *f, const struct http_server_options *o)
{
    struct err err = {0};
    memset(f, 0, sizeof *f);
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->changed, NULL);
    f->server = http_server_new(o, &err);
    if (f->server == NULL)
        fail_msg("%s", err.message);
}

static void start(struct fixture *f)
{
    struct http_server_options o = test_options(f);
    start_with(f, &o);
}

static void drop_kept(struct fixture *f)
{
    for (int i = 0; i < f->n_kept; i++)
        http_request_unref(f->kept[i]);
    f->n_kept = 0;
}

static void stop(struct fixture *f)
{
    drop_kept(f);
    http_server_free(f->server);
    pthread_mutex_destroy(&f->lock);
    pthread_cond_destroy(&f->changed);
}

static int dial(struct fixture *f)
{
    return wire_connect(http_server_port(f->server));
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"

static void assert_answer(int fd, int status, const char *body)
{
    struct wire_answer a;
    wire_read(fd, &a);
    assert_int_equal(a.status, status);
    assert_true(a.is_complete);
    if (body != NULL)
        assert_string_equal(strbuf_text(&a.body), body);
    wire_free(&a);
}

static void assert_closed(int fd)
{
    assert_int_equal(wire_byte(fd), -1);
    close(fd);
}

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

enum farewell { FAREWELL_CLOSE, FAREWELL_RESET, FAREWELL_HALF, FAREWELL_COUNT };

static void leave(int fd, enum farewell how)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    if (how == FAREWELL_HALF) {
        shutdown(fd, SHUT_WR);
        assert_closed(fd); // the server closes its side too
        return;
    }
    if (how == FAREWELL_RESET)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close(fd);
}

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
        int fd = dial(&f);
        wire_send(fd, GET("/x"));
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
    int late[2], early[2];
    struct timeval patience = {.tv_sec = WIRE_PATIENCE_S};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, late), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, early), 0);
    setsockopt(late[1], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    struct watch *w = watch_new(say_nothing, NULL, &err);
    assert_non_null(w);
    int64_t now = clock_monotonic_ns();
    struct watch_connection *a = watch_add(w, late[0], NULL, now - 1);
    struct watch_connection *b = watch_add(w, early[0], NULL, now + 3600 * NS_PER_S);
    assert_int_equal(wire_byte(late[1]), -1); // shut down by the watcher
    char c;
    assert_int_equal(recv(early[1], &c, 1, MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
    watch_remove(w, a);
    watch_remove(w, b);
    watch_free(w);
    for (int i = 0; i < 2; i++) {
        close(late[i]);
        close(early[i]);
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

static void draining_serves_what_runs(void **state)
{
    static struct fixture f;
    start(&f);
    uint16_t port = http_server_port(f.server);
    int fd = dial(&f);
    wire_send(fd, GET("/wait"));
    await(&f, &f.n_kept, 1);
    http_server_stop_accepting(f.server);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int late = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(late, (struct sockaddr *)&address, sizeof address), -1);
    assert_int_equal(errno, ECONNREFUSED);
    close(late);
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
    o.idle_timeout_s = 1;
    start_with(&f, &o);
    int waits = dial(&f), streams = dial(&f), idles = dial(&f), drips = dial(&f);
    wire_send(waits, GET("/wait"));
    await(&f, &f.n_kept, 1);
    wire_send(streams, GET("/stream"));
    await(&f, &f.n_kept, 2);
    wire_send(drips, "GET / HTTP/1.1\r\nHo");
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
        cmocka_unit_test(many_requests_wait_at_once),
        cmocka_unit_test(writers_of_many_threads_and_random_leavers),
        cmocka_unit_test(stopping_wakes_and_cuts_everything),
        cmocka_unit_test(draining_serves_what_runs),
        cmocka_unit_test(draining_takes_new_connections_and_closes_them),
        cmocka_unit_test(it_knows_whether_it_answers),
        cmocka_unit_test(waiting_outlasts_the_idle_timeout),
        cmocka_unit_test(a_taken_port_is_a_clear_error),
        cmocka_unit_test(all_interfaces_and_unix_sockets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
