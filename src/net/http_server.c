// SPDX-License-Identifier: MIT
// The server over libmicrohttpd: an epoll thread pool on a listening socket of our own. The library's limits
// are set well above ours, so that we can answer where it would leave a client hanging.
#include "net/http.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/http_internal.h"
#include "net/listen.h"

enum {
    KERNEL_BUFFER_BYTES = 128 << 10, // of one connection, sending; the kernel doubles it
    SPARE_FDS = 512,                 // files, pipes and sockets that are not connections
    SPARE_CONNECTIONS = 1024,        // beyond the limit, to answer 503 on
    LEFT_GRACE_S = 1,                // for a next request of a client that has half-closed
    EXCESS_GRACE_S = 5,              // for those beyond a limit
    SPARE_PER_ADDRESS = 16,          // beyond its limit, to answer 503 on
    SPARE_POOL_BYTES = 4 << 10,      // of a connection's memory, for the headers of the answer
};

// --- the library's callbacks, on server threads ---

static void *on_target(void *user, const char *target, struct MHD_Connection *connection)
{
    return request_new(user, connection, target);
}

// NOLINTNEXTLINE(readability-function-size): the signature is the library's
static enum MHD_Result on_access(void *user, struct MHD_Connection *connection, const char *url,
                                 const char *method, const char *version, const char *bytes, size_t *n,
                                 void **request)
{
    size_t n_bytes = *n;
    *n = 0; // all are taken
    return *request != NULL ? intake_access(*request, method, version, bytes, n_bytes) : MHD_NO;
}

static int64_t in_seconds(int64_t seconds)
{
    return clock_monotonic_ns() + seconds * NS_PER_S;
}

// The library reads by edges and can miss an end that came together with the request: it would keep the
// connection until the idle timeout, and a client that waits for its end as long. Such a client may have sent
// a next request before, so it gets a moment.
static int64_t next_deadline(const struct http_server *s, const struct watch_connection *wire)
{
    char byte;
    if (recv(wire->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
        return in_seconds(LEFT_GRACE_S);
    return in_seconds(wire->excess != NULL ? EXCESS_GRACE_S
                                           : s->options.idle_timeout_s + s->options.header_timeout_s);
}

// A client that has sent nothing since is idle, and closed without a word.
static void on_late(void *user, struct watch_connection *c)
{
    bool is_head = c->phase == WATCH_HEAD && watch_bytes_received(c->fd) > c->n_bytes_before;
    if (is_head || (c->phase == WATCH_BODY && c->receiving != NULL))
        request_say_late(user, is_head ? NULL : c->receiving, c->fd);
}

static void on_completed(void *user, struct MHD_Connection *connection, void **request,
                         enum MHD_RequestTerminationCode why)
{
    struct http_request *r = *request;
    if (r == NULL)
        return;
    struct http_server *s = user;
    struct watch_connection *wire = r->wire;
    *request = NULL;
    request_close(r);
    if (wire != NULL) {
        watch_set_phase(s->watch, wire, WATCH_HEAD, NULL);
        atomic_store(&wire->deadline_ns, next_deadline(s, wire));
    }
}

// Else the kernel would take megabytes for a client that never reads, beside what max_stream_bytes allows.
static void bound_kernel_buffer(int fd)
{
    int bytes = KERNEL_BUFFER_BYTES;
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes) != 0)
        log_debug("net", "SO_SNDBUF: %s", strerror(errno));
}

static const struct sockaddr *peer_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    return info != NULL ? info->client_addr : NULL;
}

static bool is_proxy(const struct http_server *s, const struct sockaddr *address)
{
    char text[PEERS_ADDRESS_BYTES];
    if (s->options.is_proxy == NULL)
        return false;
    peers_format(address, text);
    return s->options.is_proxy(s->options.user, text);
}

// Who is far beyond the limit of one address gets no answer either, so that answers cost others nothing.
static enum MHD_Result on_accept(void *user, const struct sockaddr *address, socklen_t n)
{
    struct http_server *s = user;
    int most = s->options.max_connections_per_address;
    bool is_beyond = most > 0 && peers_count(s->peers, address) >= most + SPARE_PER_ADDRESS;
    return is_beyond && !is_proxy(s, address) ? MHD_NO : MHD_YES;
}

// Takes a place for a connection; else which limit it is beyond.
static const char *take_place(struct http_server *s, const struct sockaddr *address, bool is_counted)
{
    int most = s->options.max_connections_per_address, n = is_counted ? peers_enter(s->peers, address) : 0;
    if (most > 0 && n > most)
        return "too many connections from this address";
    if (atomic_fetch_add(&s->n_taken, 1) < s->options.max_connections)
        return NULL;
    atomic_fetch_sub(&s->n_taken, 1);
    return "too many connections";
}

static void on_connection(void *user, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode what)
{
    struct http_server *s = user;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        int fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
        bound_kernel_buffer(fd);
        bool is_counted = !is_proxy(s, peer_of(connection));
        const char *excess = take_place(s, peer_of(connection), is_counted);
        atomic_fetch_add(&s->n_connections, 1);
        struct watch_connection *wire = watch_add(
            s->watch, fd, excess, in_seconds(excess != NULL ? EXCESS_GRACE_S : s->options.header_timeout_s));
        wire->is_counted = is_counted;
        *context = wire;
    } else {
        struct watch_connection *wire = *context;
        if (wire->excess == NULL)
            atomic_fetch_sub(&s->n_taken, 1);
        if (wire->is_counted)
            peers_leave(s->peers, peer_of(connection));
        watch_remove(s->watch, wire);
        *context = NULL;
        atomic_fetch_sub(&s->n_connections, 1);
    }
}

static void on_log(void *user, const char *format, va_list args)
{
    char text[512];
    if (!log_is_on(LOG_DEBUG))
        return;
    vsnprintf(text, sizeof text, format, args);
    text[strcspn(text, "\r\n")] = 0;
    log_debug("net", "%s", text);
}

// --- start ---

// Raises the limit of open files to what `n` connections need; returns how many connections fit.
static int raise_fd_limit(int n)
{
    struct rlimit limit;
    rlim_t need = (rlim_t)n + SPARE_CONNECTIONS + SPARE_FDS;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return n;
    if (limit.rlim_cur < need) {
        limit.rlim_cur = MIN(need, limit.rlim_max);
        setrlimit(RLIMIT_NOFILE, &limit);
        getrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur >= need)
        return n;
    rlim_t spare = MIN((rlim_t)SPARE_CONNECTIONS + SPARE_FDS, limit.rlim_cur / 2);
    int fits = (int)(limit.rlim_cur - spare);
    log_warn("net", "the limit of open files is %llu: at most %d connections instead of %d",
             (unsigned long long)limit.rlim_cur, fits, n);
    return fits;
}

static int open_listener(const struct http_server_options *o, struct err *err)
{
    if (o->listen_fd >= 0)
        return o->listen_fd;
    return o->unix_path != NULL ? listen_unix(o->unix_path, err) : listen_tcp(o->host, o->port, err);
}

static struct MHD_Daemon *start_daemon(struct http_server *s, int listen_fd)
{
    const struct http_server_options *o = &s->options;
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
    unsigned n_threads = (unsigned)o->n_threads;
    // The library divides its limit among its threads, and connections need not spread evenly.
    unsigned limit = ((unsigned)o->max_connections + SPARE_CONNECTIONS) * n_threads;
    struct MHD_OptionItem pool[] = {{MHD_OPTION_THREAD_POOL_SIZE, n_threads, NULL},
                                    {MHD_OPTION_END, 0, NULL}};
    if (n_threads < 2)
        pool[0] = pool[1];
    return MHD_start_daemon(flags, 0, on_accept, s, on_access, s,  //
                            MHD_OPTION_EXTERNAL_LOGGER, on_log, s, // first: it serves the other options
                            MHD_OPTION_LISTEN_SOCKET, listen_fd,   //
                            MHD_OPTION_CONNECTION_LIMIT, limit,    //
                            MHD_OPTION_CONNECTION_MEMORY_LIMIT, o->max_header_bytes + SPARE_POOL_BYTES, //
                            MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)o->idle_timeout_s,                 //
                            MHD_OPTION_STRICT_FOR_CLIENT, 1,                                            //
                            MHD_OPTION_URI_LOG_CALLBACK, on_target, s,                                  //
                            MHD_OPTION_NOTIFY_COMPLETED, on_completed, s,                               //
                            MHD_OPTION_NOTIFY_CONNECTION, on_connection, s,                             //
                            MHD_OPTION_ARRAY, pool,                                                     //
                            MHD_OPTION_END);
}

void server_unref(struct http_server *s)
{
    if (atomic_fetch_sub(&s->refs, 1) != 1)
        return;
    free(s->unix_path);
    peers_free(s->peers);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static uint64_t inode_of(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 ? st.st_ino : 0;
}

// What somebody else has put in its place stays.
static void remove_unix_socket(struct http_server *s)
{
    if (s->unix_path != NULL && inode_of(s->unix_path) == s->unix_inode)
        unlink(s->unix_path);
}

struct http_server *http_server_new(const struct http_server_options *options, struct err *err)
{
    assert(options->handler != NULL);
    struct http_server *s = xcalloc(1, sizeof *s);
    atomic_init(&s->refs, 1);
    pthread_mutex_init(&s->lock, NULL);
    list_init(&s->requests);
    s->options = *options;
    s->options.max_headers = MIN(options->max_headers, (size_t)HTTP_MOST_HEADERS);
    s->peers = peers_new();
    s->options.n_threads = options->n_threads > 0 ? options->n_threads : 2;
    int listen_fd = open_listener(options, err);
    if (listen_fd < 0)
        goto failed;
    s->listen_fd = listen_fd;
    listen_describe(listen_fd, &s->port, &s->is_loopback);
    if (options->loopback_only && !s->is_loopback) {
        err_set(err, ERR_UNAUTHORIZED, "the address can be reached from other machines");
        goto failed;
    }
    if (options->unix_path != NULL && options->listen_fd < 0) {
        s->unix_path = xstrdup(options->unix_path);
        s->unix_inode = inode_of(s->unix_path);
    }
    s->options.max_connections = raise_fd_limit(options->max_connections);
    s->layout_is_known = strcmp(MHD_get_version(), "0.9.75") == 0;
    s->watch = watch_new(on_late, s, err);
    if (s->watch == NULL)
        goto failed;
    if (options->listening != NULL)
        options->listening(options->user, s);
    s->daemon = start_daemon(s, listen_fd);
    if (s->daemon != NULL)
        return s;
    err_set(err, ERR_INTERNAL, "cannot start the HTTP server (see the debug log)");
failed:
    remove_unix_socket(s);
    if (listen_fd >= 0)
        close(listen_fd);
    watch_free(s->watch);
    server_unref(s);
    return NULL;
}

// --- running and stopping ---

uint16_t http_server_port(const struct http_server *s)
{
    return s->port;
}

bool http_server_is_loopback(const struct http_server *s)
{
    return s->is_loopback;
}

size_t http_server_connection_count(struct http_server *s)
{
    return (size_t)atomic_load(&s->n_connections);
}

size_t http_server_waiting_body_bytes(struct http_server *s)
{
    return atomic_load(&s->waiting_body_bytes);
}

void http_server_drain(struct http_server *s)
{
    atomic_store(&s->is_draining, true);
}

// Wakes every sleeping connection: the library must not be stopped while one is suspended. Those that come to
// be later see is_stopping.
static void leave_all(struct http_server *s)
{
    size_t n = 0, capacity = 0;
    struct http_request **all = NULL;
    pthread_mutex_lock(&s->lock);
    LIST_EACH(&s->requests, node)
    {
        if (n == capacity) {
            capacity = MAX(capacity * 2, 64);
            all = xrealloc(all, capacity * sizeof(struct http_request *));
        }
        all[n] = LIST_OWNER(node, struct http_request, node);
        request_ref(all[n++]);
    }
    pthread_mutex_unlock(&s->lock);
    for (size_t i = 0; i < n; i++) {
        request_leave(all[i]);
        request_unref(all[i]);
    }
    free(all);
}

// The library shuts its listening socket down when it stops, which would end it for all who share it. So a
// socket that was given from outside is exchanged for one that nobody reaches. (Not MHD_quiesce_daemon():
// with epoll it may end the process, where a thread and it take the socket out of the same set.)
static void leave_shared_socket(const struct http_server *s)
{
    int nobodys = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (nobodys < 0 || dup3(nobodys, s->listen_fd, O_CLOEXEC) < 0)
        log_warn("net", "the socket that was passed on is shut: %s", strerror(errno));
    if (nobodys >= 0)
        close(nobodys);
}

void http_server_free(struct http_server *s)
{
    if (s == NULL)
        return;
    http_server_drain(s);
    remove_unix_socket(s);
    atomic_store(&s->is_stopping, true);
    leave_all(s);
    if (s->options.listen_fd >= 0)
        leave_shared_socket(s);
    MHD_stop_daemon(s->daemon);
    watch_free(s->watch);
    server_unref(s);
}
