// SPDX-License-Identifier: MIT
// What a runner and the front send each other. The first byte chooses: frames through a socket, or the
// payload of one message. A message that is understood is written again in the same bytes.
#include "fuzz.h"

#include <sys/socket.h>

#include "frames/event.h"
#include "frames/message.h"
#include "frames/request.h"
#include "frames/wire.h"

// Each decodes and, if that went well, encodes again.
typedef int again_fn(struct slice in, struct strbuf *out, struct err *err);

#define AGAIN(kind)                                                                                          \
    static int kind##_again(struct slice in, struct strbuf *out, struct err *err)                            \
    {                                                                                                        \
        struct kind value = {0};                                                                             \
        int rc = kind##_decode(&value, in.at, in.n, err);                                                    \
        if (rc == 0)                                                                                         \
            kind##_encode(&value, out);                                                                      \
        return rc;                                                                                           \
    }
AGAIN(open_options)
AGAIN(load_options)
AGAIN(model_plan)
AGAIN(load_progress)
AGAIN(runner_stats)
AGAIN(turn)
AGAIN(turn_end)
AGAIN(convert_state)

static int hello_again(struct slice in, struct strbuf *out, struct err *err)
{
    int rc = hello_decode(in.at, in.n, err);
    if (rc == 0)
        hello_encode(out);
    return rc;
}

static int convert_order_again(struct slice in, struct strbuf *out, struct err *err)
{
    struct convert_order value;
    int rc = convert_order_decode(&value, in.at, in.n, err);
    if (rc == 0)
        convert_order_encode(&value, out);
    free(value.names);
    return rc;
}

static int cancel_again(struct slice in, struct strbuf *out, struct err *err)
{
    uint64_t id = 0;
    int rc = cancel_decode(&id, in.at, in.n, err);
    if (rc == 0)
        cancel_encode(id, out);
    return rc;
}

static int failure_again(struct slice in, struct strbuf *out, struct err *err)
{
    struct err value = {0};
    int rc = failure_decode(&value, in.at, in.n, err);
    if (rc == 0)
        failure_encode(&value, out);
    return rc;
}

static int request_again(struct slice in, struct strbuf *out, struct err *err)
{
    struct request value;
    int rc = request_decode(&value, in.at, in.n, err);
    if (rc == 0) {
        request_encode(&value, out);
        request_bytes(&value);
    }
    request_fini(&value);
    return rc;
}

static int event_again(struct slice in, struct strbuf *out, struct err *err)
{
    struct event value = {0};
    struct strbuf scratch = STRBUF_INIT(1 << 20);
    int rc = event_decode(&value, in.at, in.n, &scratch, err);
    if (rc == 0)
        event_encode(&value, out);
    strbuf_fini(&scratch);
    return rc;
}

static again_fn *const kinds[FRAME_TYPE_COUNT] = {
    [FRAME_HELLO] = hello_again,
    [FRAME_OPEN] = open_options_again,
    [FRAME_LOAD] = load_options_again,
    [FRAME_SUBMIT] = request_again,
    [FRAME_CANCEL] = cancel_again,
    [FRAME_PLAN] = model_plan_again,
    [FRAME_PROGRESS] = load_progress_again,
    [FRAME_READY] = runner_stats_again,
    [FRAME_FAILED] = failure_again,
    [FRAME_EVENT] = event_again,
    [FRAME_STATS] = runner_stats_again,
    [FRAME_TURN] = turn_again,
    [FRAME_RELEASE] = turn_end_again,
    [FRAME_CONVERT] = convert_order_again,
    [FRAME_STATE] = convert_state_again,
};

static void check_message(unsigned kind, struct slice in)
{
    struct err err = {0};
    struct strbuf out = STRBUF_INIT(4 << 20);
    if (kind >= FRAME_TYPE_COUNT || kinds[kind] == NULL)
        return;
    int rc = kinds[kind](in, &out, &err);
    fuzz_check_result(rc, &err);
    FUZZ_CHECK(rc != 0 || slice_equals(strbuf_slice(&out), in));
    strbuf_fini(&out);
}

static void take_messages(struct wire *w)
{
    struct wire_message m;
    struct err err = {0};
    int filled, rc = 0;
    while (rc >= 0 && (filled = wire_fill(w, &err)) >= 0) {
        while ((rc = wire_next(w, &m, &err)) == 1)
            check_message(m.type, slice_make(m.bytes, m.n));
        if (filled == 0)
            return;
    }
    FUZZ_CHECK(err.code != ERR_NONE);
}

static void through_a_socket(struct slice bytes)
{
    int ends[2];
    struct wire w;
    FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    wire_init(&w, ends[0], 256 << 10, 64 << 10);
    FUZZ_CHECK(send(ends[1], bytes.at, bytes.n, MSG_DONTWAIT) == (ssize_t)bytes.n);
    close(ends[1]);
    take_messages(&w);
    wire_fini(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct slice rest = slice_make(bytes, n);
    unsigned kind = fuzz_take_choice(&rest, FRAME_TYPE_COUNT);
    if (kind == 0)
        through_a_socket(rest);
    else
        check_message(kind, rest);
    return 0;
}
