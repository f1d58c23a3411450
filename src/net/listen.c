// SPDX-License-Identifier: MIT
#include "net/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { LISTEN_BACKLOG = 4096, UNIX_SOCKET_MODE = 0660 };

static enum err_code code_of(int error)
{
    switch (error) {
    case EADDRINUSE:
        return ERR_CONFLICT;
    case EACCES:
    case EPERM:
        return ERR_FORBIDDEN;
    case EADDRNOTAVAIL:
        return ERR_INVALID;
    default:
        return ERR_INTERNAL;
    }
}

static int fail(const char *what, int error, struct err *err)
{
    const char *reason = error == EADDRINUSE      ? "the address is already in use"
                         : error == EADDRNOTAVAIL ? "this machine has no such address"
                                                  : strerror(error);
    return err_set(err, code_of(error), "cannot listen on %s: %s", what, reason);
}

// Binds and listens; returns the socket, or -1 with errno set.
static int open_socket(const struct sockaddr *address, socklen_t n, bool both_families)
{
    int on = 1, off = 0;
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (address->sa_family != AF_UNIX)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on,
                   sizeof on); // after a restart; Linux allows no second listener by it
    if (address->sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, both_families ? &off : &on, sizeof on);
    if (address->sa_family == AF_UNIX)
        fchmod(fd, UNIX_SOCKET_MODE); // never more, not for a moment; the umask takes from it
    if (bind(fd, address, n) != 0 || listen(fd, LISTEN_BACKLOG) != 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

static int listen_everywhere(uint16_t port, struct err *err)
{
    struct sockaddr_in6 six = {
        .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_ANY_INIT, .sin6_port = htons(port)};
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};
    char name[32];
    int fd = open_socket((struct sockaddr *)&six, sizeof six, true);
    if (fd < 0 && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL)) // a machine without IPv6
        fd = open_socket((struct sockaddr *)&four, sizeof four, false);
    if (fd < 0) {
        snprintf(name, sizeof name, ":%u", port);
        return fail(name, errno, err);
    }
    return fd;
}

// IPv4 first: "localhost" means 127.0.0.1 to most clients.
static const struct addrinfo *choose(const struct addrinfo *list)
{
    for (const struct addrinfo *a = list; a != NULL; a = a->ai_next) {
        if (a->ai_family == AF_INET)
            return a;
    }
    return list;
}

int listen_tcp(const char *host, uint16_t port, struct err *err)
{
    if (host == NULL || host[0] == 0 || strcmp(host, "::") == 0)
        return listen_everywhere(port, err);
    char service[8], name[300];
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    snprintf(service, sizeof service, "%u", port);
    snprintf(name, sizeof name, strchr(host, ':') != NULL ? "[%.256s]:%u" : "%.256s:%u", host, port);
    int rc = getaddrinfo(host, service, &hints, &list);
    if (rc != 0)
        return err_set(err, ERR_INVALID, "cannot listen on %s: %s", name, gai_strerror(rc));
    const struct addrinfo *a = choose(list);
    int fd = open_socket(a->ai_addr, a->ai_addrlen, false);
    if (fd < 0)
        fail(name, errno, err);
    freeaddrinfo(list);
    return fd;
}

// True if the file is a socket on which nobody listens.
static bool is_dead_socket(const struct sockaddr_un *address)
{
    struct stat st;
    if (lstat(address->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode))
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool is_dead =
        connect(fd, (const struct sockaddr *)address, sizeof *address) != 0 && errno == ECONNREFUSED;
    close(fd);
    return is_dead;
}

int listen_unix(const char *path, struct err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (path[0] == 0)
        return err_set(err, ERR_INVALID, "cannot listen on a Unix socket without a path: write unix:///path");
    if (strlen(path) >= sizeof address.sun_path)
        return err_set(err, ERR_INVALID, "cannot listen on %s: the path is longer than %zu bytes", path,
                       sizeof address.sun_path - 1);
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = open_socket((struct sockaddr *)&address, sizeof address, false);
    if (fd < 0 && errno == EADDRINUSE && is_dead_socket(&address) && unlink(path) == 0)
        fd = open_socket((struct sockaddr *)&address, sizeof address, false);
    if (fd < 0)
        return fail(path, errno, err);
    if (chmod(path, UNIX_SOCKET_MODE) != 0) { // opened with less than that
        fail(path, errno, err);
        close(fd);
        unlink(path);
        return -1;
    }
    return fd;
}

static bool is_loopback_v6(const struct in6_addr *a)
{
    return IN6_IS_ADDR_LOOPBACK(a) || (IN6_IS_ADDR_V4MAPPED(a) && a->s6_addr[12] == 127);
}

void listen_describe(int fd, uint16_t *port, bool *is_loopback)
{
    struct sockaddr_storage address = {0};
    socklen_t n = sizeof address;
    *port = 0;
    *is_loopback = false;
    if (getsockname(fd, (struct sockaddr *)&address, &n) != 0)
        return;
    if (address.ss_family == AF_INET) {
        const struct sockaddr_in *four = (const struct sockaddr_in *)&address;
        *port = ntohs(four->sin_port);
        *is_loopback = ntohl(four->sin_addr.s_addr) >> 24 == 127;
    } else if (address.ss_family == AF_INET6) {
        const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&address;
        *port = ntohs(six->sin6_port);
        *is_loopback = is_loopback_v6(&six->sin6_addr);
    } else {
        *is_loopback = address.ss_family == AF_UNIX;
    }
}
