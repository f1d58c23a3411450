// SPDX-License-Identifier: MIT
// The notification protocol is one datagram of NAME=value lines on a Unix socket (sd_notify(3)); a socket
// that is passed on is descriptor 3 (sd_listen_fds(3)). The watchdog's thread says WATCHDOG=1 only when the
// host's thread has gone round and an HTTP thread has answered, so that a server that hangs is restarted.
#include "server/service.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/options.h"

enum { FIRST_FD = 3 };

struct service {
    struct options_service said;
    struct host *host;
    struct http_server *http;
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock; // is_ending
    pthread_cond_t end;
    bool is_ending;
};

struct service *service_new(void)
{
    struct service *s = xcalloc(1, sizeof *s);
    options_take_service(&s->said);
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&s->end, &attributes);
    pthread_condattr_destroy(&attributes);
    return s;
}

void service_unwatch(struct service *s)
{
    if (!s->has_thread)
        return;
    pthread_mutex_lock(&s->lock);
    s->is_ending = true;
    pthread_cond_signal(&s->end);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    s->has_thread = false;
}

void service_free(struct service *s)
{
    if (s == NULL)
        return;
    service_unwatch(s);
    pthread_cond_destroy(&s->end);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

int service_take_socket(struct service *s, struct err *err)
{
    int is_listening = 0, type = 0, n = s->said.n_listen_fds;
    socklen_t size = sizeof is_listening;
    s->said.n_listen_fds = 0;
    if (n == 0)
        return -1;
    for (int i = 0; i < n; i++)
        fcntl(FIRST_FD + i, F_SETFD, FD_CLOEXEC);
    if (n > 1) {
        err_set(err, ERR_INVALID, "%d sockets were passed on; drover serves on one", n);
        return -2;
    }
    if (getsockopt(FIRST_FD, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &size) != 0 || !is_listening ||
        getsockopt(FIRST_FD, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_STREAM) {
        err_set(err, ERR_INVALID, "descriptor %d that was passed on is no listening stream socket", FIRST_FD);
        return -2;
    }
    fcntl(FIRST_FD, F_SETFL, fcntl(FIRST_FD, F_GETFL) | O_NONBLOCK);
    return FIRST_FD;
}

// ---- Telling ----

static void tell(const struct service *s, const char *text)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t n = strlen(s->said.notify_socket);
    if (n == 0)
        return;
    memcpy(address.sun_path, s->said.notify_socket, MIN(n, sizeof address.sun_path - 1));
    if (address.sun_path[0] == '@')
        address.sun_path[0] = 0;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t n_address = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
    if (fd < 0 || sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&address, n_address) < 0)
        log_warn("service", "the service manager cannot be told: %s", strerror(errno));
    if (fd >= 0)
        close(fd);
}

void service_ready(struct service *s, const char *status)
{
    char text[600];
    snprintf(text, sizeof text, "READY=1\nSTATUS=%.500s\n", status);
    tell(s, text);
}

void service_reloading(struct service *s)
{
    char text[100];
    snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%" PRId64 "\n", clock_monotonic_ns() / 1000);
    tell(s, text);
}

void service_stopping(struct service *s, int64_t may_take_ns)
{
    char text[100];
    snprintf(text, sizeof text, "STOPPING=1\nEXTEND_TIMEOUT_USEC=%" PRId64 "\n", may_take_ns / 1000);
    tell(s, text);
}

// ---- The watchdog ----

// Sleeps until then. True: it is time to end.
static bool sleep_or_end(struct service *s, int64_t until_ns)
{
    struct timespec until = {.tv_sec = until_ns / NS_PER_S, .tv_nsec = until_ns % NS_PER_S};
    pthread_mutex_lock(&s->lock);
    int rc = 0;
    while (!s->is_ending && rc != ETIMEDOUT)
        rc = pthread_cond_timedwait(&s->end, &s->lock, &until);
    bool is_ending = s->is_ending;
    pthread_mutex_unlock(&s->lock);
    return is_ending;
}

static void *watch(void *user)
{
    struct service *s = user;
    int64_t period_ns = (int64_t)(s->said.watchdog_us / 3) * 1000;
    while (!sleep_or_end(s, clock_monotonic_ns() + period_ns)) {
        bool host_is_well = host_is_alive(s->host);
        bool http_is_well = http_server_answers(s->http, (int)(period_ns / NS_PER_MS));
        if (host_is_well && http_is_well)
            tell(s, "WATCHDOG=1\n");
        else
            log_error("service", "not telling the watchdog that all is well: %s does not answer",
                      host_is_well ? "HTTP" : "the host's thread");
    }
    return NULL;
}

void service_watch(struct service *s, struct host *host, struct http_server *http)
{
    sigset_t all, old;
    s->host = host;
    s->http = http;
    if (s->said.watchdog_us == 0 || s->said.notify_socket[0] == 0)
        return;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &old);
    s->has_thread = pthread_create(&s->thread, NULL, watch, s) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (!s->has_thread)
        log_error("service", "no thread for the watchdog");
}
