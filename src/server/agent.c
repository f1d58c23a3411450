// SPDX-License-Identifier: MIT
// One connection at a time: the line fits every socket's buffer, so that writing it never waits, and what a
// client sends is not read.
#include "server/agent.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "net/listen.h"
#include "server/metrics.h"

struct agent {
    struct app *app;
    int listen_fd, stop_fd;
    pthread_t thread;
    bool has_thread;
};

static void write_line(struct app *app, char out[32])
{
    uint32_t n_free, n_slots;
    if (atomic_load(&app->is_draining) || !app_enter(app)) {
        snprintf(out, 32, "drain 0%%\n");
        return;
    }
    metrics_read_capacity(app, &n_free, &n_slots);
    app_leave(app);
    uint32_t percent = n_slots > 0 ? (uint32_t)((uint64_t)n_free * 100 / n_slots) : 0;
    snprintf(out, 32, "up ready %u%%\n", MIN(MAX(percent, 1u), 100u));
}

static void answer(struct agent *a)
{
    char line[32];
    int fd = accept4(a->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    write_line(a->app, line);
    if (send(fd, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        log_debug("server", "agent check: %s", strerror(errno));
    shutdown(fd, SHUT_WR);
    close(fd);
}

static void *run(void *user)
{
    struct agent *a = user;
    struct pollfd fds[2] = {{.fd = a->listen_fd, .events = POLLIN}, {.fd = a->stop_fd, .events = POLLIN}};
    for (;;) {
        if (poll(fds, 2, -1) < 0 && errno != EINTR) {
            log_error("server", "agent check: poll: %s", strerror(errno));
            return NULL;
        }
        if (fds[1].revents != 0)
            return NULL;
        if (fds[0].revents != 0)
            answer(a);
    }
}

struct agent *agent_new(struct app *app, const char *host, uint16_t port, struct err *err)
{
    struct agent *a = xcalloc(1, sizeof *a);
    a->app = app;
    a->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    a->listen_fd = listen_tcp(host, port, err);
    if (a->listen_fd < 0) {
        err_prefix(err, "agent_port %u", port);
        agent_free(a);
        return NULL;
    }
    int rc = a->stop_fd < 0 ? errno : pthread_create(&a->thread, NULL, run, a);
    a->has_thread = rc == 0;
    if (rc != 0) {
        err_set(err, ERR_INTERNAL, "cannot start the thread of agent checks: %s", strerror(rc));
        agent_free(a);
        return NULL;
    }
    log_info("server", "answering agent checks port=%u", port);
    return a;
}

void agent_free(struct agent *a)
{
    uint64_t one = 1;
    if (a == NULL)
        return;
    if (a->has_thread && write(a->stop_fd, &one, sizeof one) == (ssize_t)sizeof one)
        pthread_join(a->thread, NULL);
    if (a->listen_fd >= 0)
        close(a->listen_fd);
    if (a->stop_fd >= 0)
        close(a->stop_fd);
    free(a);
}
