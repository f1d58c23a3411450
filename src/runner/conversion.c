// SPDX-License-Identifier: MIT
// Bytes go to the front through the socket: this process can write no file. What the front has not read yet
// is bounded; a front that is gone ends the work at the next piece.
#include "runner/conversion.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "convert/convert.h"

enum { FIRST_FD = 4, QUEUE_BYTES = 4 << 20 };
#define STATE_NS (100 * NS_PER_MS)

struct conversion {
    struct wire *wire;
    struct strbuf message;
    struct convert_state told;
    int64_t told_at_ns;
};

static int drain(struct conversion *c, struct err *err)
{
    while (wire_queued_bytes(c->wire) > QUEUE_BYTES) {
        struct pollfd fd = {.fd = c->wire->fd, .events = POLLOUT};
        if (poll(&fd, 1, -1) < 0 && errno != EINTR)
            return err_set(err, ERR_INTERNAL, "poll: %s", strerror(errno));
        if (wire_flush(c->wire, err) != 0)
            return -1;
    }
    return wire_flush(c->wire, err);
}

static int push(void *user, const void *bytes, size_t n, struct err *err)
{
    struct conversion *c = user;
    const char *at = bytes;
    for (size_t part; n > 0; at += part, n -= part) {
        part = MIN(n, (size_t)QUEUE_BYTES);
        if (wire_push(c->wire, FRAME_PIECE, 0, at, part, err) != 0 || drain(c, err) != 0)
            return -1;
    }
    return 0;
}

static int tell(void *user, const char *text, uint64_t done, uint64_t total, struct err *err)
{
    struct conversion *c = user;
    int64_t now_ns = clock_monotonic_ns();
    if (strcmp(c->told.text, text) == 0 && done < total && now_ns - c->told_at_ns < STATE_NS)
        return 0;
    c->told_at_ns = now_ns;
    c->told.done = done;
    c->told.total = total;
    snprintf(c->told.text, sizeof c->told.text, "%s", text);
    strbuf_reset(&c->message);
    convert_state_encode(&c->told, &c->message);
    if (wire_push(c->wire, FRAME_STATE, 0, c->message.at, c->message.n, err) != 0)
        return -1;
    return drain(c, err);
}

int conversion_run(struct wire *wire, const struct convert_order *order, struct err *err)
{
    struct conversion c = {.wire = wire, .message = STRBUF_INIT(1024)};
    struct convert_file *files = xcalloc(order->n_files + 1, sizeof files[0]);
    for (uint32_t i = 0; i < order->n_files; i++)
        files[i] = (struct convert_file){order->names[i], FIRST_FD + (int)i};
    const struct convert_job job = {files, order->n_files, order->quantize,
                                    (int)MIN(MAX(order->n_threads, 1u), 4096u)};
    const struct convert_output out = {&c, push, tell};
    int rc = convert_run(&job, &out, err);
    free(files);
    strbuf_fini(&c.message);
    return rc;
}
