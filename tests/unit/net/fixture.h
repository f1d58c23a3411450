// SPDX-License-Identifier: MIT
// A server over real sockets for tests, with routes that echo, wait, stream and hold. Events are awaited,
// never slept for.
#pragma once

#include <pthread.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/http.h"
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
static inline void await(struct fixture *f, const int *counter, int want)
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

static inline void count(struct fixture *f, int *counter)
{
    pthread_mutex_lock(&f->lock);
    ++*counter;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
}

static inline void on_gone(void *user, struct http_request *r)
{
    struct fixture *f = user;
    assert_true(http_request_is_gone(r));
    count(f, &f->n_gone);
}

static inline void free_user(void *user)
{
    struct fixture *f = user;
    count(f, &f->n_user_freed);
}

static inline void keep(struct fixture *f, struct http_request *r)
{
    http_request_set_user(r, f, free_user);
    http_request_on_gone(r, on_gone, f);
    http_request_ref(r);
    pthread_mutex_lock(&f->lock);
    f->kept[f->n_kept++] = r;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
}

static inline void reply_text(struct http_request *r, const char *text)
{
    http_reply(r, 200, "text/plain", slice_of(text));
}

static inline void describe(struct http_request *r)
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

static inline void handle(void *user, struct http_request *r)
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

static inline struct http_server_options test_options(struct fixture *f)
{
    struct http_server_options o = HTTP_SERVER_OPTIONS_DEFAULT;
    o.handler = handle;
    o.user = f;
    o.max_body_bytes = 1 << 20;
    o.max_waiting_body_bytes = 4 << 20;
    o.max_stream_bytes = 256 << 10;
    return o;
}

static inline void start_with(struct fixture *f, const struct http_server_options *o)
{
    struct err err = {0};
    memset(f, 0, sizeof *f);
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->changed, NULL);
    f->server = http_server_new(o, &err);
    if (f->server == NULL)
        fail_msg("%s", err.message);
}

static inline void start(struct fixture *f)
{
    struct http_server_options o = test_options(f);
    start_with(f, &o);
}

static inline void drop_kept(struct fixture *f)
{
    for (int i = 0; i < f->n_kept; i++)
        http_request_unref(f->kept[i]);
    f->n_kept = 0;
}

static inline void stop(struct fixture *f)
{
    drop_kept(f);
    http_server_free(f->server);
    pthread_mutex_destroy(&f->lock);
    pthread_cond_destroy(&f->changed);
}

static inline int dial(struct fixture *f)
{
    return wire_connect(http_server_port(f->server));
}

// A connection on which so much was sent at once: the server did not have to wait for this process.
static inline int dial_and_send(struct fixture *f, const char *text)
{
    for (;;) {
        int64_t start_ns = clock_monotonic_ns();
        int fd = dial(f);
        bool is_sent = wire_try_send(fd, text, strlen(text));
        if (clock_monotonic_ns() - start_ns < NS_PER_S) {
            assert_true(is_sent);
            return fd;
        }
        close(fd);
    }
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"

static inline void assert_answer(int fd, int status, const char *body)
{
    struct wire_answer a;
    wire_read(fd, &a);
    assert_int_equal(a.status, status);
    assert_true(a.is_complete);
    if (body != NULL)
        assert_string_equal(strbuf_text(&a.body), body);
    wire_free(&a);
}

static inline void assert_closed(int fd)
{
    assert_int_equal(wire_byte(fd), -1);
    close(fd);
}

enum farewell { FAREWELL_CLOSE, FAREWELL_RESET, FAREWELL_HALF, FAREWELL_COUNT };

static inline void leave(int fd, enum farewell how)
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
