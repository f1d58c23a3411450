// SPDX-License-Identifier: MIT
// The watcher's thread and tables. An event of epoll carries fd and serial; the connection is looked up under
// the lock, so an event that is older than its connection or its arming finds nothing. The set is one-shot:
// disarming need not touch it. An fd that is closed leaves the set by itself.
#include "net/watch.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/http_internal.h"

enum { WATCH_EVENTS = 64, SWEEP_MS = 1000 };

struct watch {
    int epoll_fd;
    int stop_fd;
    pthread_t thread;
    watch_late_fn *on_late;
    void *user;
    pthread_mutex_t lock; // for what follows
    struct list connections;
    struct watch_connection **by_fd;
    size_t n_by_fd;
    uint32_t last_serial;
};

static const uint64_t STOP_EVENT = UINT64_MAX;

static uint64_t event_key(const struct watch_connection *c)
{
    return (uint64_t)c->fd << 32 | c->serial;
}

// The armed request that the event is for, with a reference; NULL for an old event.
static struct http_request *take_armed(struct watch *w, uint64_t key)
{
    struct http_request *r = NULL;
    size_t fd = (size_t)(key >> 32);
    pthread_mutex_lock(&w->lock);
    struct watch_connection *c = fd < w->n_by_fd ? w->by_fd[fd] : NULL;
    if (c != NULL && event_key(c) == key) {
        r = c->request;
        c->request = NULL;
    }
    pthread_mutex_unlock(&w->lock);
    return r;
}

// It has sent something that nobody has read yet: not the client is late, but this process, which was held
// up.
static bool has_unread(int fd)
{
    char byte;
    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

// Closes what has not sent its request in time. The library sees the end of the connection and cleans up.
static void sweep(struct watch *w)
{
    int64_t now = clock_monotonic_ns();
    pthread_mutex_lock(&w->lock);
    LIST_EACH(&w->connections, node)
    {
        struct watch_connection *c = LIST_OWNER(node, struct watch_connection, node);
        int64_t deadline = atomic_load(&c->deadline_ns);
        if (deadline != 0 && now > deadline && !has_unread(c->fd)) {
            atomic_store(&c->deadline_ns, 0);
            w->on_late(w->user, c);
            shutdown(c->fd, SHUT_RDWR);
        }
    }
    pthread_mutex_unlock(&w->lock);
}

static void *watch_run(void *user)
{
    struct watch *w = user;
    struct epoll_event events[WATCH_EVENTS];
    int64_t next_sweep = clock_monotonic_ns() + SWEEP_MS * NS_PER_MS;
    for (;;) {
        int n = epoll_wait(w->epoll_fd, events, WATCH_EVENTS, SWEEP_MS);
        for (int i = 0; i < n; i++) {
            if (events[i].data.u64 == STOP_EVENT)
                return NULL;
            struct http_request *r = take_armed(w, events[i].data.u64);
            if (r != NULL) {
                request_leave(r);
                request_unref(r);
            }
        }
        if (clock_monotonic_ns() >= next_sweep) {
            sweep(w);
            next_sweep = clock_monotonic_ns() + SWEEP_MS * NS_PER_MS;
        }
    }
}

struct watch *watch_new(watch_late_fn *on_late, void *user, struct err *err)
{
    struct watch *w = xcalloc(1, sizeof *w);
    struct epoll_event stop = {.events = EPOLLIN, .data.u64 = STOP_EVENT};
    w->on_late = on_late;
    w->user = user;
    list_init(&w->connections);
    pthread_mutex_init(&w->lock, NULL);
    w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    w->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (w->epoll_fd < 0 || w->stop_fd < 0 || epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, w->stop_fd, &stop) != 0)
        err_set(err, ERR_INTERNAL, "cannot watch connections: %s", strerror(errno));
    else if (pthread_create(&w->thread, NULL, watch_run, w) != 0)
        err_set(err, ERR_INTERNAL, "cannot start the thread that watches connections");
    else
        return w;
    if (w->epoll_fd >= 0)
        close(w->epoll_fd);
    if (w->stop_fd >= 0)
        close(w->stop_fd);
    pthread_mutex_destroy(&w->lock);
    free(w);
    return NULL;
}

void watch_free(struct watch *w)
{
    if (w == NULL)
        return;
    eventfd_write(w->stop_fd, 1);
    pthread_join(w->thread, NULL);
    close(w->epoll_fd);
    close(w->stop_fd);
    pthread_mutex_destroy(&w->lock);
    free(w->by_fd);
    free(w);
}

struct watch_connection *watch_add(struct watch *w, int fd, const char *excess, int64_t deadline_ns)
{
    struct watch_connection *c = xcalloc(1, sizeof *c);
    c->fd = fd;
    c->excess = excess;
    atomic_init(&c->deadline_ns, deadline_ns);
    pthread_mutex_lock(&w->lock);
    size_t slot = (size_t)fd;
    if (slot >= w->n_by_fd) {
        size_t n = MAX(slot + 1, w->n_by_fd * 2);
        w->by_fd = xrealloc(w->by_fd, n * sizeof(struct watch_connection *));
        memset(w->by_fd + w->n_by_fd, 0, (n - w->n_by_fd) * sizeof(struct watch_connection *));
        w->n_by_fd = n;
    }
    w->by_fd[slot] = c;
    list_push(&w->connections, &c->node);
    pthread_mutex_unlock(&w->lock);
    return c;
}

uint64_t watch_bytes_received(int fd)
{
    struct tcp_info info = {0};
    socklen_t n = sizeof info;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &n) != 0 ||
        n < offsetof(struct tcp_info, tcpi_bytes_received) + sizeof info.tcpi_bytes_received)
        return 1;
    return info.tcpi_bytes_received;
}

void watch_set_phase(struct watch *w, struct watch_connection *c, enum watch_phase phase,
                     struct http_request *r)
{
    uint64_t n_bytes = phase == WATCH_HEAD ? watch_bytes_received(c->fd) : 0;
    pthread_mutex_lock(&w->lock);
    c->phase = phase;
    c->receiving = r;
    c->n_bytes_before = n_bytes;
    pthread_mutex_unlock(&w->lock);
}

void watch_remove(struct watch *w, struct watch_connection *c)
{
    watch_disarm(w, c);
    pthread_mutex_lock(&w->lock);
    w->by_fd[c->fd] = NULL;
    list_remove(&c->node);
    pthread_mutex_unlock(&w->lock);
    free(c);
}

void watch_arm(struct watch *w, struct watch_connection *c, struct http_request *r)
{
    pthread_mutex_lock(&w->lock);
    if (c->request == NULL) {
        request_ref(r);
        c->request = r;
        c->serial = ++w->last_serial;
        struct epoll_event event = {.events = EPOLLRDHUP | EPOLLONESHOT, .data.u64 = event_key(c)};
        if (epoll_ctl(w->epoll_fd, c->is_registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &event) == 0)
            c->is_registered = true;
        else
            log_warn("net", "cannot watch a connection: %s", strerror(errno));
    }
    pthread_mutex_unlock(&w->lock);
}

void watch_disarm(struct watch *w, struct watch_connection *c)
{
    pthread_mutex_lock(&w->lock);
    struct http_request *r = c->request;
    c->request = NULL;
    c->receiving = NULL;
    c->phase = WATCH_SILENT;
    pthread_mutex_unlock(&w->lock);
    if (r != NULL)
        request_unref(r);
}
