// SPDX-License-Identifier: MIT
// The queues of a wire: bytes received wait in `in` until a frame is whole; a message in one frame is handed
// out where it lies, a longer one is put together in `assembly`. Bytes to send wait in `out`. What always
// holds: in_at <= in.n, out_at <= out.n, no queue exceeds its cap.
#include "frames/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "frames/pack.h"

enum { MAX_FRAME = WIRE_HEADER_BYTES + WIRE_MAX_PAYLOAD, COMPACT_AT = 256 * 1024 };

void wire_init(struct wire *w, int fd, size_t max_message_bytes, size_t max_queued_bytes)
{
    *w = (struct wire){.fd = fd};
    strbuf_init(&w->in, (size_t)2 * MAX_FRAME);
    strbuf_init(&w->assembly, max_message_bytes);
    strbuf_init(&w->out, max_queued_bytes);
    if (fd >= 0)
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

void wire_fini(struct wire *w)
{
    if (w->fd >= 0)
        close(w->fd);
    w->fd = -1;
    strbuf_fini(&w->in);
    strbuf_fini(&w->assembly);
    strbuf_fini(&w->out);
}

size_t wire_queued_bytes(const struct wire *w)
{
    return w->out.n - w->out_at;
}

static void compact(struct strbuf *b, size_t *at)
{
    strbuf_drop_front(b, *at);
    *at = 0;
}

int wire_push(struct wire *w, uint16_t type, uint32_t id, const void *bytes, size_t n, struct err *err)
{
    size_t n_frames = n == 0 ? 1 : (n + WIRE_MAX_PAYLOAD - 1) / WIRE_MAX_PAYLOAD;
    size_t need;
    if (!mem_add(n, n_frames * WIRE_HEADER_BYTES, &need) || need > w->out.cap - wire_queued_bytes(w))
        return err_set(err, ERR_TOO_LARGE, "the send queue of a runner's socket is full");
    if (w->out_at > 0 && need > w->out.cap - w->out.n)
        compact(&w->out, &w->out_at);
    const char *at = bytes;
    do {
        size_t part = MIN(n, (size_t)WIRE_MAX_PAYLOAD);
        n -= part;
        pack_u32(&w->out, (uint32_t)part);
        pack_u16(&w->out, type);
        pack_u16(&w->out, n > 0 ? WIRE_FLAG_MORE : 0);
        pack_u32(&w->out, id);
        strbuf_push(&w->out, at, part);
        at += part;
    } while (n > 0);
    return 0;
}

int wire_flush(struct wire *w, struct err *err)
{
    while (wire_queued_bytes(w) > 0) {
        ssize_t sent = send(w->fd, w->out.at + w->out_at, wire_queued_bytes(w), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        if (sent < 0)
            return err_set(err, ERR_NOT_FOUND, "the other side of the socket is gone: %s", strerror(errno));
        w->out_at += (size_t)sent;
    }
    if (wire_queued_bytes(w) == 0) {
        strbuf_reset(&w->out);
        w->out_at = 0;
    } else if (w->out_at > COMPACT_AT) {
        compact(&w->out, &w->out_at);
    }
    return 0;
}

int wire_fill(struct wire *w, struct err *err)
{
    char bytes[16384];
    if (w->in_at > 0)
        compact(&w->in, &w->in_at);
    size_t room = MIN(sizeof bytes, w->in.cap - w->in.n);
    if (room == 0)
        return 0; // the owner has not taken the frame that is there
    for (;;) {
        ssize_t got = recv(w->fd, bytes, room, MSG_DONTWAIT);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return 0;
        if (got < 0)
            return err_set(err, ERR_NOT_FOUND, "the other side of the socket is gone: %s", strerror(errno));
        if (got == 0)
            return err_set(err, ERR_NOT_FOUND, "the other side of the socket is gone");
        strbuf_push(&w->in, bytes, (size_t)got);
        return 1;
    }
}

// Takes one frame's payload into the message. 1: the message is whole, 0: it goes on, -1: broken.
static int take_frame(struct wire *w, struct wire_message *m, uint16_t flags, struct slice payload,
                      struct err *err)
{
    bool more = (flags & WIRE_FLAG_MORE) != 0;
    if (w->in_message && (m->type != w->message_type || m->id != w->message_id))
        return err_set(err, ERR_FORMAT, "a frame interrupts a message");
    if (!w->in_message && !more) {
        m->bytes = payload.at;
        m->n = payload.n;
        return 1;
    }
    if (!w->in_message)
        strbuf_reset(&w->assembly);
    w->in_message = more;
    w->message_type = m->type;
    w->message_id = m->id;
    strbuf_push_slice(&w->assembly, payload);
    if (w->assembly.overflow)
        return err_set(err, ERR_FORMAT, "a message is longer than %zu bytes", w->assembly.cap);
    if (more)
        return 0;
    m->bytes = w->assembly.at;
    m->n = w->assembly.n;
    return 1;
}

int wire_next(struct wire *w, struct wire_message *m, struct err *err)
{
    for (;;) {
        struct cursor c = cursor_make(w->in.at + w->in_at, w->in.n - w->in_at);
        uint32_t n = cursor_u32(&c);
        m->type = cursor_u16(&c);
        uint16_t flags = cursor_u16(&c);
        m->id = cursor_u32(&c);
        if (c.failed)
            return 0;
        if (n > WIRE_MAX_PAYLOAD || n > w->assembly.cap || (flags & ~WIRE_FLAG_MORE) != 0)
            return err_set(err, ERR_FORMAT, "broken frame header");
        const char *payload = cursor_take(&c, n);
        if (payload == NULL)
            return 0;
        w->in_at += cursor_offset(&c);
        int rc = take_frame(w, m, flags, slice_make(payload, n), err);
        if (rc != 0)
            return rc;
    }
}
