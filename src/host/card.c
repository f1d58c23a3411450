// SPDX-License-Identifier: MIT
// Reading a model card: a runner is started for this one question and ends with the answer. The caller's
// thread waits, for a bounded time.
#include "host/host.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "frames/message.h"
#include "frames/pack.h"
#include "frames/wire.h"
#include "host/spawn.h"

enum { CARD_SECONDS = 120 };

static int ask(struct wire *w, bool verbose, struct err *err)
{
    struct strbuf message = STRBUF_INIT(1024);
    hello_encode(&message);
    int rc = wire_push(w, FRAME_HELLO, 0, message.at, message.n, err);
    strbuf_reset(&message);
    pack_bool(&message, verbose);
    if (rc == 0)
        rc = wire_push(w, FRAME_READ_CARD, 0, message.at, message.n, err);
    if (rc == 0)
        rc = wire_flush(w, err);
    strbuf_fini(&message);
    return rc;
}

// 1: the answer is there.
static int take(const struct wire_message *m, char **json, struct err *err)
{
    switch (m->type) {
    case FRAME_HELLO:
        return hello_decode(m->bytes, m->n, err);
    case FRAME_CARD:
        *json = xstrndup(m->bytes, m->n);
        return 1;
    case FRAME_FAILED:
        return failure_take(m->bytes, m->n, err);
    default:
        return err_set(err, ERR_INTERNAL, "unexpected message %u from the reader of model files", m->type);
    }
}

static int receive(struct wire *w, char **json, struct err *err)
{
    int64_t deadline_ns = clock_monotonic_ns() + CARD_SECONDS * NS_PER_S;
    for (;;) {
        struct wire_message m;
        int rc;
        while ((rc = wire_next(w, &m, err)) == 1)
            if ((rc = take(&m, json, err)) != 0)
                return rc;
        if (rc < 0)
            return -1;
        struct pollfd fd = {.fd = w->fd, .events = POLLIN};
        int64_t left_ms = (deadline_ns - clock_monotonic_ns()) / NS_PER_MS;
        if (left_ms <= 0)
            return err_set(err, ERR_TIMEOUT, "reading the model file took longer than %d s", CARD_SECONDS);
        if (poll(&fd, 1, (int)left_ms) < 0 && errno != EINTR)
            return err_set(err, ERR_INTERNAL, "poll: %s", strerror(errno));
        struct err gone = {0};
        if (wire_fill(w, &gone) < 0)
            return err_set(err, ERR_INTERNAL, "the reader of model files has unexpectedly stopped");
    }
}

int host_read_card(int fd, bool verbose, char **json, struct err *err)
{
    struct child child;
    struct wire w;
    char how[80];
    *json = NULL;
    if (spawn_runner(&child, fd, err) != 0)
        return -1;
    wire_init(&w, child.socket, FRAMES_MAX_REPLY_BYTES, 4096);
    int rc = ask(&w, verbose, err);
    if (rc == 0)
        rc = receive(&w, json, err) == 1 ? 0 : -1;
    wire_fini(&w);
    spawn_kill(&child);
    spawn_reap(&child, how, sizeof how);
    return rc;
}
