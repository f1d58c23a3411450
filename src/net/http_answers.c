// SPDX-License-Identifier: MIT
// The server as its own client: the smallest request there is, over a new connection, on the caller's thread.
// Any answer is one: that a thread accepted, read, and wrote is what is asked.
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/http_internal.h"

// Where a client on this machine reaches the listening socket.
static socklen_t own_address(int listen_fd, struct sockaddr_storage *out)
{
    socklen_t n = sizeof *out;
    if (getsockname(listen_fd, (struct sockaddr *)out, &n) != 0)
        return 0;
    struct sockaddr_in *four = (struct sockaddr_in *)out;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)out;
    if (out->ss_family == AF_INET && four->sin_addr.s_addr == htonl(INADDR_ANY))
        four->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (out->ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&six->sin6_addr))
        six->sin6_addr = in6addr_loopback;
    return n;
}

static bool wait_for(int fd, short what, int64_t deadline_ns)
{
    struct pollfd p = {.fd = fd, .events = what};
    int rc;
    do {
        int64_t left_ns = deadline_ns - clock_monotonic_ns();
        rc = left_ns > 0 ? poll(&p, 1, (int)(left_ns / NS_PER_MS) + 1) : 0;
    } while (rc < 0 && errno == EINTR);
    return rc > 0;
}

bool http_server_answers(struct http_server *s, int timeout_ms)
{
    static const char question[] = "HEAD / HTTP/1.0\r\n\r\n";
    int64_t deadline_ns = clock_monotonic_ns() + timeout_ms * NS_PER_MS;
    struct sockaddr_storage address = {0};
    socklen_t n = own_address(s->listen_fd, &address);
    char answer[5];
    bool is_answered = false;
    int fd = n > 0 ? socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) : -1;
    if (fd < 0)
        return false;
    if ((connect(fd, (struct sockaddr *)&address, n) == 0 || errno == EINPROGRESS) &&
        wait_for(fd, POLLOUT, deadline_ns) && send(fd, question, sizeof question - 1, MSG_NOSIGNAL) > 0 &&
        wait_for(fd, POLLIN, deadline_ns))
        is_answered = recv(fd, answer, sizeof answer, 0) == sizeof answer && memcmp(answer, "HTTP/", 5) == 0;
    close(fd);
    return is_answered;
}
