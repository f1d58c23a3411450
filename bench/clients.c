// SPDX-License-Identifier: MIT
// Many clients of /api/generate at once, in one thread over poll(), so that measuring takes little of the
// machine that is measured. Prints one JSON object: when the first tokens came, and tokens/s while all
// streams were running.
//
// Each client sends a prompt of its own, ids of tokens as `context`, so that lengths are exact and no prefix
// is shared. A line with "done":false is one token. usage: clients -p PORT -m MODEL [-n clients] [-k prompt
// tokens] [-g tokens]
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
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

enum { MAX_CLIENTS = 512, MAX_REQUEST = 1 << 20, MAX_REPLY = 16 << 20 };

struct client {
    int fd;
    struct strbuf reply;
    size_t scanned;    // bytes of reply that have been searched
    int64_t *token_ns; // when each token came
    uint32_t n_tokens, n_prompt;
    bool done;
};

struct options {
    int port;
    const char *model;
    uint32_t n_clients, n_prompt, n_predict, first_prompt;
};

// Words that are one token each in most vocabularies, in an order of this prompt's own.
static void push_words(struct strbuf *body, uint32_t prompt_i, uint32_t n)
{
    static const char *const words[] = {"the", "house", "of",   "water", "and",   "green",  "light", "on",
                                        "a",   "small", "hill", "with",  "white", "people", "from",  "there"};
    uint32_t state = prompt_i * 2654435761u + 1;
    for (uint32_t i = 0; i < n; i++) {
        state = state * 1664525 + 1013904223;
        strbuf_printf(body, "%s%s", i ? " " : "", words[state >> 28]);
    }
}

static void send_request(struct client *c, const struct options *o, uint32_t prompt_i)
{
    struct strbuf body = STRBUF_INIT(MAX_REQUEST), head = STRBUF_INIT(MAX_REQUEST);
    strbuf_printf(
        &body,
        "{\"model\":\"%s\",\"raw\":true,\"options\":{\"num_predict\":%u,\"temperature\":0},\"prompt\":\"",
        o->model, o->n_predict);
    push_words(&body, prompt_i, o->n_prompt);
    strbuf_push_text(&body, "\"}");
    strbuf_printf(&head,
                  "POST /api/generate HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n"
                  "Content-Length: %zu\r\n\r\n",
                  o->port, body.n);
    strbuf_push_slice(&head, strbuf_slice(&body));
    for (size_t at = 0; at < head.n;) {
        ssize_t n = send(c->fd, head.at + at, head.n - at, MSG_NOSIGNAL);
        if (n <= 0) {
            perror("bench_clients: send");
            exit(1);
        }
        at += (size_t)n;
    }
    strbuf_fini(&body);
    strbuf_fini(&head);
}

static void open_client(struct client *c, const struct options *o)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)o->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof to) != 0) {
        perror("bench_clients: connect");
        exit(1);
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    strbuf_init(&c->reply, MAX_REPLY);
    c->token_ns = xcalloc(o->n_predict + 1, sizeof *c->token_ns);
}

// Counts what arrived: a mark may be cut by the end of the bytes, so the search goes on a little before it.
static void scan(struct client *c, const struct options *o)
{
    static const char not_done[] = "\"done\":false", done[] = "\"done\":true";
    const char *text = strbuf_text(&c->reply);
    int64_t now = clock_monotonic_ns();
    for (const char *at; (at = strstr(text + c->scanned, not_done)) != NULL;) {
        c->scanned = (size_t)(at - text) + sizeof not_done - 1;
        if (c->n_tokens < o->n_predict)
            c->token_ns[c->n_tokens++] = now;
    }
    const char *end = strstr(text + c->scanned, done);
    if (end != NULL) {
        const char *count = strstr(end, "\"prompt_eval_count\":");
        c->n_prompt = count != NULL ? (uint32_t)atoi(count + 20) : 0;
        c->done = count != NULL && strchr(count, '}') != NULL;
        return;
    }
    if (c->reply.n > c->scanned + sizeof not_done)
        c->scanned = c->reply.n - sizeof not_done;
}

static void receive(struct client *c, const struct options *o)
{
    char bytes[65536];
    ssize_t n = recv(c->fd, bytes, sizeof bytes, 0);
    if (n < 0 && errno == EINTR)
        return;
    if (n > 0) {
        strbuf_push(&c->reply, bytes, (size_t)n);
        scan(c, o);
    }
    bool refused = c->reply.n > 12 && strncmp(strbuf_text(&c->reply), "HTTP/1.1 200", 12) != 0;
    if (refused || (n <= 0 && !c->done) || (c->done && c->n_tokens == 0)) {
        fprintf(stderr, "bench_clients: no answer: %.300s\n", strbuf_text(&c->reply));
        exit(1);
    }
}

static void receive_all(struct client *clients, const struct options *o)
{
    struct pollfd fds[MAX_CLIENTS];
    for (uint32_t n_open = o->n_clients; n_open > 0;) {
        n_open = 0;
        for (uint32_t i = 0; i < o->n_clients; i++) {
            fds[i] = (struct pollfd){.fd = clients[i].done ? -1 : clients[i].fd, .events = POLLIN};
            n_open += !clients[i].done;
        }
        if (n_open > 0 && poll(fds, o->n_clients, -1) < 0 && errno != EINTR) {
            perror("bench_clients: poll");
            exit(1);
        }
        for (uint32_t i = 0; i < o->n_clients; i++)
            if (n_open > 0 && fds[i].revents != 0)
                receive(&clients[i], o);
    }
}

static int compare_ns(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

// All streams run from the last first token to the earliest last token.
static void report(const struct client *clients, const struct options *o, int64_t start)
{
    int64_t first[MAX_CLIENTS], begin = 0, end = INT64_MAX, last = 0;
    uint32_t n_within = 0, n_all = 0, n_prompt = 0;
    for (uint32_t i = 0; i < o->n_clients; i++) {
        const struct client *c = &clients[i];
        first[i] = c->token_ns[0] - start;
        begin = MAX(begin, c->token_ns[0]);
        end = MIN(end, c->token_ns[c->n_tokens - 1]);
        last = MAX(last, c->token_ns[c->n_tokens - 1]);
        n_all += c->n_tokens;
        n_prompt += c->n_prompt;
    }
    for (uint32_t i = 0; i < o->n_clients; i++)
        for (uint32_t k = 0; k < clients[i].n_tokens; k++)
            n_within += clients[i].token_ns[k] > begin && clients[i].token_ns[k] <= end;
    qsort(first, o->n_clients, sizeof first[0], compare_ns);
    printf("{\"what\":\"http\",\"streams\":%u,\"tokens_per_s\":%.2f,\"tokens_per_s_overall\":%.2f,\"first_"
           "token_p50_s\":%.4f,"
           "\"first_token_max_s\":%.4f,\"tokens\":%u,\"prompt_tokens\":%u}\n",
           o->n_clients, end > begin ? n_within / ((double)(end - begin) * 1e-9) : 0,
           n_all / ((double)(last - start) * 1e-9), (double)first[(o->n_clients - 1) / 2] * 1e-9,
           (double)first[o->n_clients - 1] * 1e-9, n_all, n_prompt);
}

static bool read_options(struct options *o, int argc, char **argv)
{
    int c;
    while ((c = getopt(argc, argv, "p:m:n:k:g:s:")) != -1) {
        uint32_t n = optarg != NULL ? (uint32_t)atoi(optarg) : 0;
        if (c == 'p')
            o->port = (int)n;
        else if (c == 'm')
            o->model = optarg;
        else if (c == 'n')
            o->n_clients = n;
        else if (c == 'k')
            o->n_prompt = n;
        else if (c == 'g')
            o->n_predict = n;
        else if (c == 's')
            o->first_prompt = n;
        else
            return false;
    }
    return optind == argc && o->model != NULL && o->port > 0 && o->n_clients > 0 &&
           o->n_clients <= MAX_CLIENTS && o->n_prompt > 0 && o->n_predict > 1;
}

int main(int argc, char **argv)
{
    static struct client clients[MAX_CLIENTS];
    struct options o = {.n_clients = 1, .n_prompt = 128, .n_predict = 64};
    if (!read_options(&o, argc, argv)) {
        fputs("usage: bench_clients -p PORT -m MODEL [-n clients] [-k words] [-g tokens] [-s first "
              "prompt]\n",
              stderr);
        return 2;
    }
    for (uint32_t i = 0; i < o.n_clients; i++)
        open_client(&clients[i], &o);
    int64_t start = clock_monotonic_ns();
    for (uint32_t i = 0; i < o.n_clients; i++)
        send_request(&clients[i], &o, o.first_prompt + i);
    receive_all(clients, &o);
    report(clients, &o, start);
    for (uint32_t i = 0; i < o.n_clients; i++) {
        close(clients[i].fd);
        strbuf_fini(&clients[i].reply);
        free(clients[i].token_ns);
    }
    return 0;
}
