// SPDX-License-Identifier: MIT
// Many clients of /api/generate at once, in one thread over poll(), so that measuring takes little of the
// machine that is measured.
//
// Standard input is the plan, a request a line: WHEN END BODY. WHEN: seconds from the start, or +N: once
// every request before it has N tokens or its end. END: "wait" for the answer, or "cut" it as soon as all
// that are waited for have ended. BODY: the JSON, on one line. Every request has a connection of its own,
// opened when it is due. Printed is an object a request, in the plan's order: its status, and when it was
// sent, had its first byte, each token (a line with "done":false is one) and its end; `last` is the last line
// of the answer.
//
// usage: bench_clients PORT <plan
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/strbuf.h"

enum { MAX_CLIENTS = 4096, MAX_TOKENS = 1 << 16, MAX_REQUEST = 1 << 20, MAX_REPLY = 16 << 20 };

struct client {
    // Of the plan.
    int64_t due_ns;        // since the start
    uint32_t after_tokens; // > 0: once all before it have as many, instead
    bool is_cut;
    struct strbuf request;
    // What became of it.
    int fd;
    bool is_sent, is_done;
    struct strbuf reply;
    size_t scanned; // bytes of reply that have been searched
    int64_t sent_ns, reply_ns, end_ns;
    int64_t *token_ns;
    uint32_t n_tokens, token_room;
};

struct crowd {
    uint16_t port;
    int64_t start_ns;
    struct client *clients;
    uint32_t n;
};

static void fail(const char *what)
{
    fprintf(stderr, "bench_clients: %s: %s\n", what, strerror(errno));
    exit(1);
}

// ---- The plan ----

static bool read_when(struct client *c, const char *when)
{
    char *end;
    if (when[0] == '+')
        c->after_tokens = (uint32_t)strtoul(when + 1, &end, 10);
    else
        c->due_ns = (int64_t)(strtod(when, &end) * 1e9);
    return *end == '\0' && end > when;
}

static bool read_line(struct crowd *crowd, char *line)
{
    char *rest = line, *when = strsep(&rest, " "), *end = strsep(&rest, " ");
    struct client *c = &crowd->clients[crowd->n];
    if (rest == NULL || crowd->n == MAX_CLIENTS || !read_when(c, when))
        return false;
    c->is_cut = strcmp(end, "cut") == 0;
    rest[strcspn(rest, "\n")] = '\0';
    c->fd = -1;
    strbuf_init(&c->reply, MAX_REPLY);
    strbuf_init(&c->request, MAX_REQUEST);
    strbuf_printf(&c->request,
                  "POST /api/generate HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n"
                  "Connection: close\r\nContent-Length: %zu\r\n\r\n%s",
                  crowd->port, strlen(rest), rest);
    crowd->n++;
    return !c->request.overflow;
}

static bool read_plan(struct crowd *crowd)
{
    char *line = NULL;
    size_t room = 0;
    bool is_good = true;
    while (is_good && getline(&line, &room, stdin) > 0)
        is_good = read_line(crowd, line);
    free(line);
    return is_good && crowd->n > 0;
}

// ---- One client ----

static void send_request(struct crowd *crowd, struct client *c)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(crowd->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    c->is_sent = true;
    c->sent_ns = clock_monotonic_ns();
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof to) != 0)
        fail("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    for (size_t at = 0; at < c->request.n;) {
        ssize_t n = send(c->fd, c->request.at + at, c->request.n - at, MSG_NOSIGNAL);
        if (n <= 0)
            fail("send");
        at += (size_t)n;
    }
}

static void push_token(struct client *c, int64_t now_ns)
{
    if (c->n_tokens == c->token_room) {
        c->token_room = MAX(2 * c->token_room, 64u);
        c->token_ns = xrealloc(c->token_ns, c->token_room * sizeof *c->token_ns);
    }
    c->token_ns[c->n_tokens++] = now_ns;
}

// Counts the tokens that arrived: a mark may be cut by the end of the bytes, so the search goes on a little
// before it.
static void scan(struct client *c, int64_t now_ns)
{
    static const char mark[] = "\"done\":false";
    const char *text = strbuf_text(&c->reply);
    for (const char *at; c->n_tokens < MAX_TOKENS && (at = strstr(text + c->scanned, mark)) != NULL;) {
        c->scanned = (size_t)(at - text) + sizeof mark - 1;
        push_token(c, now_ns);
    }
    if (c->reply.n > c->scanned + sizeof mark)
        c->scanned = c->reply.n - sizeof mark;
}

static void finish(struct client *c, int64_t now_ns)
{
    c->is_done = true;
    c->end_ns = now_ns;
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}

static void receive(struct client *c)
{
    char bytes[65536];
    ssize_t n = recv(c->fd, bytes, sizeof bytes, 0);
    int64_t now_ns = clock_monotonic_ns();
    if (n < 0 && errno == EINTR)
        return;
    if (n <= 0) {
        finish(c, now_ns);
        return;
    }
    if (c->reply.n == 0)
        c->reply_ns = now_ns;
    strbuf_push(&c->reply, bytes, (size_t)n);
    scan(c, now_ns);
}

// ---- All of them ----

// Sends what is due; gives the time until the next one that only waits for its time.
static int64_t send_due(struct crowd *crowd)
{
    int64_t next_ns = NS_PER_S, passed_ns = clock_monotonic_ns() - crowd->start_ns;
    uint32_t fewest = UINT32_MAX; // tokens of those before it that have not ended
    for (uint32_t i = 0; i < crowd->n; i++) {
        struct client *c = &crowd->clients[i];
        int64_t wait_ns = c->due_ns - passed_ns;
        bool is_due = c->after_tokens > 0 ? fewest >= c->after_tokens : wait_ns <= 0;
        if (!c->is_sent && is_due)
            send_request(crowd, c);
        else if (!c->is_sent && c->after_tokens == 0)
            next_ns = MIN(next_ns, wait_ns);
        if (!c->is_done)
            fewest = MIN(fewest, c->n_tokens);
    }
    return next_ns;
}

static bool is_over(const struct crowd *crowd)
{
    for (uint32_t i = 0; i < crowd->n; i++)
        if (!crowd->clients[i].is_done && !crowd->clients[i].is_cut)
            return false;
    return true;
}

static void run(struct crowd *crowd)
{
    static struct pollfd fds[MAX_CLIENTS];
    crowd->start_ns = clock_monotonic_ns();
    while (!is_over(crowd)) {
        int64_t wait_ns = send_due(crowd);
        struct timespec wait = {.tv_sec = wait_ns / NS_PER_S, .tv_nsec = wait_ns % NS_PER_S};
        for (uint32_t i = 0; i < crowd->n; i++)
            fds[i] = (struct pollfd){.fd = crowd->clients[i].fd, .events = POLLIN};
        int n = ppoll(fds, crowd->n, &wait, NULL);
        if (n < 0 && errno != EINTR)
            fail("poll");
        for (uint32_t i = 0; n > 0 && i < crowd->n; i++)
            if (fds[i].revents != 0)
                receive(&crowd->clients[i]);
    }
    for (uint32_t i = 0; i < crowd->n; i++)
        if (!crowd->clients[i].is_done)
            finish(&crowd->clients[i], clock_monotonic_ns());
}

// ---- What is printed ----

static int status_of(struct client *c)
{
    int status = 0;
    return sscanf(strbuf_text(&c->reply), "HTTP/1.1 %d", &status) == 1 ? status : 0;
}

// The line with "done":true, or null.
static void print_last(struct client *c)
{
    const char *text = strbuf_text(&c->reply), *at = strstr(text, "\"done\":true");
    const char *end = at != NULL ? strchr(at, '\n') : NULL;
    while (end != NULL && at > text && at[-1] != '\n')
        at--;
    printf("%.*s", end != NULL ? (int)(end - at) : 4, end != NULL ? at : "null");
}

static void print_time(const struct crowd *crowd, const char *name, int64_t at_ns)
{
    if (at_ns > 0)
        printf(",\"%s\":%.6f", name, (double)(at_ns - crowd->start_ns) * 1e-9);
    else
        printf(",\"%s\":null", name);
}

static void print_client(const struct crowd *crowd, struct client *c)
{
    printf("{\"status\":%d", status_of(c));
    print_time(crowd, "sent_s", c->sent_ns);
    print_time(crowd, "reply_s", c->reply_ns);
    print_time(crowd, "end_s", c->end_ns);
    printf(",\"tokens_s\":[");
    for (uint32_t i = 0; i < c->n_tokens; i++)
        printf("%s%.6f", i > 0 ? "," : "", (double)(c->token_ns[i] - crowd->start_ns) * 1e-9);
    printf("],\"last\":");
    print_last(c);
    printf("}\n");
}

int main(int argc, char **argv)
{
    struct crowd crowd = {.port = argc == 2 ? (uint16_t)atoi(argv[1]) : 0};
    crowd.clients = xcalloc(MAX_CLIENTS, sizeof *crowd.clients);
    if (crowd.port == 0 || !read_plan(&crowd)) {
        fputs("usage: bench_clients PORT <plan; a line of the plan: SECONDS|+TOKENS wait|cut BODY\n", stderr);
        return 2;
    }
    run(&crowd);
    for (uint32_t i = 0; i < crowd.n; i++) {
        struct client *c = &crowd.clients[i];
        print_client(&crowd, c);
        strbuf_fini(&c->request);
        strbuf_fini(&c->reply);
        free(c->token_ns);
    }
    free(crowd.clients);
    return 0;
}
