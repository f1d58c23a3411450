// SPDX-License-Identifier: MIT
// Messages over a stream socket. A frame is a 12-byte header and a payload of at most 64 KiB, all
// little-endian:
//
//     u32 payload bytes | u16 type | u16 flags | u32 id        flags: bit 0, the message goes on in the next
//     frame
//
// `id` is the low half of the request's id, for tracing; the full one stands in the payload. The frames of
// one message follow each other without others between them and have the same type and id. Both directions
// are non-blocking and have a cap. One thread.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/strbuf.h"

enum { WIRE_HEADER_BYTES = 12, WIRE_MAX_PAYLOAD = 65536, WIRE_FLAG_MORE = 1 };

struct wire {
    int fd;           // owned; -1: none
    struct strbuf in; // bytes as they came; in_at: how many are used up
    size_t in_at;
    struct strbuf assembly; // a message of several frames, so far
    bool in_message;
    uint16_t message_type;
    uint32_t message_id;
    struct strbuf out; // frames not sent yet; out_at: how many bytes are sent
    size_t out_at;
};

struct wire_message {
    uint16_t type;
    uint32_t id;
    const void *bytes; // valid until the next wire_ call
    size_t n;
};

// Takes the socket and makes it non-blocking. The caps bound one received message and all that waits to be
// sent.
void wire_init(struct wire *w, int fd, size_t max_message_bytes, size_t max_queued_bytes);
void wire_fini(struct wire *w); // closes the socket

// Queues a message. ERR_TOO_LARGE when the queue is full: then nothing of it was queued.
int wire_push(struct wire *w, uint16_t type, uint32_t id, const void *bytes, size_t n, struct err *err);
// Sends what the socket takes now. -1: the other side is gone.
int wire_flush(struct wire *w, struct err *err);
size_t wire_queued_bytes(const struct wire *w);

// Receives what is there, at most 16 KiB. 1: got something, 0: nothing there now, -1: the other side
// is gone (ERR_NOT_FOUND) or failed.
int wire_fill(struct wire *w, struct err *err);
// The next whole message. 1: *m, 0: none yet, -1: broken (ERR_FORMAT), after which nothing more can be read.
int wire_next(struct wire *w, struct wire_message *m, struct err *err);
