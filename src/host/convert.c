// SPDX-License-Identifier: MIT
// A runner is started for one conversion; its bytes are handed on as they come. The caller's thread waits,
// looks often whether it is still wanted, and gives up on a child that says nothing for long.
#include "host/host.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/cpu.h"
#include "base/mem.h"
#include "frames/message.h"
#include "frames/wire.h"
#include "host/spawn.h"

enum {
    SILENT_SECONDS = 300,
    LOOK_MS = 200,
    MAX_PIECE_BYTES = 8 << 20,
    MAX_ORDER_BYTES = 256 << 10,
    MAX_SENT_BYTES = 512 << 10
};

static int say(struct wire *w, const struct host_conversion *c, struct err *err)
{
    struct strbuf message = STRBUF_INIT(MAX_ORDER_BYTES);
    struct cpu_grant grant;
    cpu_read_grant(&grant, NULL);
    struct convert_order order = {.n_threads = (uint32_t)grant.n_threads, .n_files = (uint32_t)c->n_files};
    order.names = xcalloc(c->n_files + 1, sizeof order.names[0]);
    int rc = 0;
    for (size_t i = 0; i < c->n_files; i++)
        if ((size_t)snprintf(order.names[i], CONVERT_NAME_BYTES, "%s", c->files[i].name) >=
            CONVERT_NAME_BYTES)
            rc = err_set(err, ERR_INVALID, "%.60s...: the file's name is too long", c->files[i].name);
    if ((size_t)snprintf(order.quantize, sizeof order.quantize, "%s", c->quantize) >= sizeof order.quantize)
        rc = err_set(err, ERR_INVALID, "%.60s...: no quantization type", c->quantize);
    hello_encode(&message);
    if (rc == 0)
        rc = wire_push(w, FRAME_HELLO, 0, message.at, message.n, err);
    strbuf_reset(&message);
    convert_order_encode(&order, &message);
    if (rc == 0)
        rc = wire_push(w, FRAME_CONVERT, 0, message.at, message.n, err);
    if (rc == 0)
        rc = wire_flush(w, err);
    free(order.names);
    strbuf_fini(&message);
    return rc;
}

static int on_state(const struct host_conversion *c, const struct wire_message *m, struct err *err)
{
    struct convert_state state;
    if (convert_state_decode(&state, m->bytes, m->n, err) != 0)
        return -1;
    c->on_state(c->user, state.text, state.done, state.total);
    return 0;
}

// 1: the end.
static int take(const struct host_conversion *c, const struct wire_message *m, struct err *err)
{
    switch (m->type) {
    case FRAME_HELLO:
        return hello_decode(m->bytes, m->n, err);
    case FRAME_STATE:
        return on_state(c, m, err);
    case FRAME_PIECE:
        return c->on_bytes(c->user, slice_make(m->bytes, m->n), err);
    case FRAME_DONE:
        return 1;
    case FRAME_FAILED:
        return failure_take(m->bytes, m->n, err);
    default:
        return err_set(err, ERR_INTERNAL, "unexpected message %u from the converter of model files", m->type);
    }
}

static int take_all(const struct host_conversion *c, struct wire *w, struct err *err)
{
    struct wire_message m;
    int rc;
    while ((rc = wire_next(w, &m, err)) == 1)
        if ((rc = take(c, &m, err)) != 0)
            return rc;
    return rc;
}

static int receive(const struct host_conversion *c, struct wire *w, struct err *err)
{
    int64_t heard_ns = clock_monotonic_ns();
    for (;;) {
        struct pollfd fd = {.fd = w->fd, .events = POLLIN};
        struct err gone = {0};
        int rc = take_all(c, w, err);
        if (rc != 0)
            return rc;
        if (c->is_cancelled(c->user))
            return err_set(err, ERR_CANCELLED, "request canceled");
        if (clock_monotonic_ns() - heard_ns > SILENT_SECONDS * NS_PER_S)
            return err_set(err, ERR_TIMEOUT, "the converter of model files said nothing for %d s",
                           SILENT_SECONDS);
        int got = poll(&fd, 1, LOOK_MS);
        if (got < 0 && errno != EINTR)
            return err_set(err, ERR_INTERNAL, "poll: %s", strerror(errno));
        got = wire_fill(w, &gone);
        if (got < 0)
            return err_set(err, ERR_INTERNAL, "the converter of model files has unexpectedly stopped");
        if (got > 0)
            heard_ns = clock_monotonic_ns();
    }
}

int host_convert(const struct host_conversion *c, struct err *err)
{
    struct child child;
    struct wire w;
    char how[80];
    int fds[CONVERT_MAX_FILES];
    if (c->n_files > CONVERT_MAX_FILES)
        return err_set(err, ERR_INVALID, "more than %d files", CONVERT_MAX_FILES);
    for (size_t i = 0; i < c->n_files; i++)
        fds[i] = c->files[i].fd;
    if (spawn_runner_with(&child, fds, c->n_files, err) != 0)
        return -1;
    spawn_set_loading(&child);
    wire_init(&w, child.socket, MAX_PIECE_BYTES, MAX_SENT_BYTES);
    int rc = say(&w, c, err);
    if (rc == 0)
        rc = receive(c, &w, err) == 1 ? 0 : -1;
    wire_fini(&w);
    spawn_kill(&child);
    spawn_reap(&child, how, sizeof how);
    return rc;
}
