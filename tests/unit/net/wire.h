// SPDX-License-Identifier: MIT
// A raw HTTP client for tests: bytes out, answers in. Waits at most WIRE_PATIENCE_S for a byte, then fails
// the test.
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/strbuf.h"

enum { WIRE_PATIENCE_S = 300 };

struct wire_answer {
    int status;         // 0: the connection ended before an answer
    char head[4096];    // lines, terminated
    struct strbuf body; // chunks joined
    bool is_complete;   // the end was a proper one
    int n_chunks;
};

static inline int wire_connect(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = WIRE_PATIENCE_S};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static inline bool wire_try_send(int fd, const void *bytes, size_t n)
{
    for (const char *at = bytes; n > 0;) {
        ssize_t sent = send(fd, at, n, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        at += sent;
        n -= (size_t)sent;
    }
    return true;
}

static inline void wire_send(int fd, const char *text)
{
    assert_true(wire_try_send(fd, text, strlen(text)));
}

// One byte, -1 at the end of the connection. Slow and exact: never takes a byte of the next answer.
static inline int wire_byte(int fd)
{
    unsigned char c;
    ssize_t n = recv(fd, &c, 1, 0);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        fail_msg("no byte from the server for %d s", WIRE_PATIENCE_S);
    return n == 1 ? c : -1;
}

static inline bool wire_line(int fd, char *line, size_t size)
{
    size_t n = 0;
    for (int c; (c = wire_byte(fd)) >= 0;) {
        if (c == '\n') {
            line[n > 0 && line[n - 1] == '\r' ? n - 1 : n] = 0;
            return true;
        }
        if (n + 1 < size)
            line[n++] = (char)c;
    }
    return false;
}

static inline bool wire_take(int fd, struct strbuf *out, size_t n)
{
    char piece[16384];
    while (n > 0) {
        ssize_t got = recv(fd, piece, n < sizeof piece ? n : sizeof piece, 0);
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            fail_msg("no byte from the server for %d s", WIRE_PATIENCE_S);
        if (got <= 0)
            return false;
        strbuf_push(out, piece, (size_t)got);
        n -= (size_t)got;
    }
    return true;
}

static inline bool wire_chunk(int fd, struct wire_answer *a, bool *is_last)
{
    char line[64];
    if (!wire_line(fd, line, sizeof line))
        return false;
    size_t n = strtoul(line, NULL, 16);
    *is_last = n == 0;
    a->n_chunks += n > 0;
    return wire_take(fd, &a->body, n) && wire_line(fd, line, sizeof line);
}

static inline const char *wire_header(const struct wire_answer *a,
                                      const char *name) // "Name: "; the rest of its line on
{
    const char *at = strcasestr(a->head, name);
    return at != NULL ? at + strlen(name) : NULL;
}

// Status line and headers only.
static inline void wire_read_head(int fd, struct wire_answer *a)
{
    char line[1024];
    *a = (struct wire_answer){.body = STRBUF_INIT(64 << 20)};
    if (!wire_line(fd, line, sizeof line))
        return;
    sscanf(line, "HTTP/1.%*c %d", &a->status);
    while (wire_line(fd, line, sizeof line) && line[0] != 0)
        snprintf(a->head + strlen(a->head), sizeof a->head - strlen(a->head), "%s\n", line);
}

static inline void wire_read_body(int fd, struct wire_answer *a)
{
    const char *length = wire_header(a, "Content-Length: ");
    if (length != NULL) {
        a->is_complete = wire_take(fd, &a->body, strtoul(length, NULL, 10));
    } else if (wire_header(a, "Transfer-Encoding: chunked") != NULL) {
        bool is_last = false;
        while (!is_last && wire_chunk(fd, a, &is_last))
            ;
        a->is_complete = is_last;
    } else {
        wire_take(fd, &a->body, SIZE_MAX); // until the connection closes
        a->is_complete = a->status != 0;
    }
}

static inline void wire_read(int fd, struct wire_answer *a)
{
    wire_read_head(fd, a);
    if (a->status == 100)
        wire_read_head(fd, a);
    wire_read_body(fd, a);
}

static inline void wire_free(struct wire_answer *a)
{
    strbuf_fini(&a->body);
}
