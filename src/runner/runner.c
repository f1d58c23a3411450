// SPDX-License-Identifier: MIT
// The loop: take what the front says, compute one step, send what became known. One thread drives everything;
// the engine has a team of its own. A step is only taken while the runner has the turn (frames/message.h), so
// that two busy models never compute at the same time. When the front does not read (the send queue is long),
// no step is taken: nothing piles up. The end of the socket is the end of the process.
#include "runner/runner.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "engine/engine.h"
#include "frames/message.h"
#include "frames/pack.h"
#include "frames/wire.h"
#include "gguf/gguf.h"
#include "runner/conversion.h"
#include "runner/sandbox.h"

enum { SOCKET_FD = 3, MODEL_FD = 4, PAUSE_BYTES = 1 << 20 };
#define STATS_NS    (100 * NS_PER_MS)
#define PROGRESS_NS (100 * NS_PER_MS)

struct runner {
    struct wire wire;
    struct strbuf message; // being encoded
    struct gguf *gguf;     // until the model is loaded
    struct engine *engine; // since then
    struct engine_options options;
    bool has_no_drafts;
    bool said_hello, is_open;
    bool has_turn, is_recalled;
    int64_t turn_began_ns, turn_length_ns; // length 0: until it is recalled or nothing is left to do
    uint64_t n_submits;
    bool is_done;   // leaves the loop
    bool stats_due; // something changed since they were sent
    int64_t stats_at_ns, progress_at_ns;
    struct err err; // why it cannot go on; ERR_NOT_FOUND: the front is gone
};

static int push(struct runner *r, enum frame_type type, uint64_t id)
{
    if (r->message.overflow)
        return err_set(&r->err, ERR_TOO_LARGE, "a message to the front is too long");
    return wire_push(&r->wire, (uint16_t)type, (uint32_t)id, r->message.at, r->message.n, &r->err);
}

static int push_failure(struct runner *r, const struct err *why)
{
    strbuf_reset(&r->message);
    failure_encode(why, &r->message);
    return push(r, FRAME_FAILED, 0);
}

static void read_stats(struct runner *r, struct runner_stats *out)
{
    struct engine_stats s;
    engine_read_stats(r->engine, &s);
    *out = (struct runner_stats){.memory_bytes = s.memory_bytes,
                                 .kv_tokens_used = s.kv_tokens_used,
                                 .kv_tokens_cached = s.kv_tokens_cached,
                                 .kv_tokens_total = s.kv_tokens_total,
                                 .n_running = s.n_running,
                                 .n_steps = s.n_steps,
                                 .n_preemptions = s.n_preemptions,
                                 .n_draft_tokens = s.n_draft_tokens,
                                 .n_accepted_tokens = s.n_accepted_tokens,
                                 .step_ns = s.step_ns,
                                 .step_width = s.step_width};
}

static int push_stats(struct runner *r, enum frame_type type)
{
    struct runner_stats stats;
    read_stats(r, &stats);
    r->stats_due = false;
    r->stats_at_ns = clock_monotonic_ns();
    strbuf_reset(&r->message);
    runner_stats_encode(&stats, &r->message);
    return push(r, type, 0);
}

// ---- Opening and loading ----
static int take_options(struct runner *r, const struct open_options *o, struct err *err)
{
    r->options = (struct engine_options){.n_threads = (int)MIN(MAX(o->n_threads, 1u), 4096u),
                                         .level = cpu_best_level(),
                                         .n_slots = o->n_slots,
                                         .has_no_coarse_head = o->has_no_coarse_head};
    r->has_no_drafts = o->has_no_drafts;
    log_set_json(o->log_json);
    log_set_level((enum log_level)MIN(o->log_level, (uint8_t)LOG_ERROR));
    if (!kv_type_find(o->kv_type, &r->options.kv_type))
        return err_set(err, ERR_INVALID, "unknown type of the KV cache '%s'", o->kv_type);
    if (o->cpu_level[0] != 0) {
        enum cpu_level level;
        if (!cpu_level_find(o->cpu_level, &level))
            return err_set(err, ERR_INVALID, "unknown CPU level '%s'", o->cpu_level);
        if (level > r->options.level)
            log_warn("runner", "this machine has no %s: using %s", o->cpu_level,
                     cpu_level_name(r->options.level));
        r->options.level = MIN(level, r->options.level);
    }
    return 0;
}

// Locks itself in and reads the header. The first byte of the file is read inside.
static int open_file(struct runner *r, bool use_sandbox, struct err *err)
{
    if (use_sandbox && sandbox_enter(err) != 0)
        return -1;
    return gguf_open(&r->gguf, MODEL_FD, err);
}

static int on_open(struct runner *r, const struct wire_message *m)
{
    struct open_options o;
    struct engine_plan p;
    struct err why = {0};
    if (open_options_decode(&o, m->bytes, m->n, &r->err) != 0)
        return -1;
    if (r->is_open)
        return err_set(&r->err, ERR_FORMAT, "opened twice");
    r->is_open = true;
    if (take_options(r, &o, &why) != 0 || open_file(r, o.use_sandbox, &why) != 0 ||
        engine_plan(r->gguf, &r->options, &p, &why) != 0)
        return push_failure(r, &why);
    struct model_plan plan = {p.weights_bytes, p.kv_bytes_per_token, p.scratch_bytes, p.process_bytes,
                              p.train_context};
    strbuf_reset(&r->message);
    model_plan_encode(&plan, &r->message);
    return push(r, FRAME_PLAN, 0);
}

// Called between pieces of a load. Nothing but the end of the socket is looked for: whatever the front says
// waits.
static bool on_progress(void *user, uint64_t done, uint64_t total)
{
    struct runner *r = user;
    struct load_progress progress = {done, total};
    char byte;
    int64_t now_ns = clock_monotonic_ns();
    sched_yield(); // between two tensors: who serves goes first
    if (now_ns - r->progress_at_ns < PROGRESS_NS)
        return true;
    r->progress_at_ns = now_ns;
    ssize_t got = recv(r->wire.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR))
        return false;
    strbuf_reset(&r->message);
    load_progress_encode(&progress, &r->message);
    return push(r, FRAME_PROGRESS, 0) == 0 && wire_flush(&r->wire, &r->err) == 0;
}

// Weights and pool stay in memory, where the limit allows it. Pages that are not used yet are locked when
// they come.
static void lock_memory(void)
{
    if (mlockall(MCL_CURRENT | MCL_ONFAULT) != 0)
        log_info("runner",
                 "the model's memory is not locked (%s): it may be swapped out; raise the limit of locked "
                 "memory to avoid that",
                 strerror(errno));
}

static int on_load(struct runner *r, const struct wire_message *m)
{
    struct load_options o;
    struct err why = {0};
    if (load_options_decode(&o, m->bytes, m->n, &r->err) != 0)
        return -1;
    if (r->gguf == NULL)
        return err_set(&r->err, ERR_FORMAT, "nothing to load");
    r->options.n_slots = o.n_slots;
    r->options.pool_tokens = o.pool_tokens;
    r->options.default_context = o.default_context;
    int rc = engine_open(&r->engine, r->gguf, &r->options, on_progress, r, &why);
    gguf_close(r->gguf);
    r->gguf = NULL;
    if (rc != 0)
        return push_failure(r, &why);
    engine_set_drafts(r->engine, !r->has_no_drafts);
    lock_memory();
    return push_stats(r, FRAME_READY);
}

static int on_read_card(struct runner *r, const struct wire_message *m)
{
    struct cursor c = cursor_make(m->bytes, m->n);
    struct strbuf json = STRBUF_INIT(FRAMES_MAX_REPLY_BYTES - 1024);
    struct err why = {0};
    bool verbose = unpack_bool(&c);
    if (r->is_open || !unpack_is_whole(&c))
        return err_set(&r->err, ERR_FORMAT, "broken question for a model card");
    r->is_open = true;
    int rc = open_file(r, true, &why);
    if (rc == 0)
        rc = engine_write_card(r->gguf, verbose, &json, &why);
    if (rc == 0 && json.overflow)
        rc = err_set(&why, ERR_TOO_LARGE, "the model's metadata is too long");
    if (rc == 0)
        rc = wire_push(&r->wire, FRAME_CARD, 0, json.at, json.n, &r->err);
    else
        rc = push_failure(r, &why);
    strbuf_fini(&json);
    return rc;
}

static int on_convert(struct runner *r, const struct wire_message *m)
{
    struct convert_order o;
    struct err why = {0};
    int rc = convert_order_decode(&o, m->bytes, m->n, &r->err);
    if (rc == 0 && r->is_open)
        rc = err_set(&r->err, ERR_FORMAT, "opened twice");
    r->is_open = true;
    if (rc == 0) {
        bool is_made = sandbox_enter(&why) == 0 && conversion_run(&r->wire, &o, &why) == 0;
        rc = is_made ? wire_push(&r->wire, FRAME_DONE, 0, "", 0, &r->err) : push_failure(r, &why);
    }
    free(o.names);
    return rc;
}

// ---- Serving ----
static void on_event(void *user, const struct event *e)
{
    struct runner *r = user;
    strbuf_reset(&r->message);
    event_encode(e, &r->message);
    if (push(r, FRAME_EVENT, e->request_id) != 0)
        r->is_done = true;
}

static int on_submit(struct runner *r, const struct wire_message *m)
{
    struct request request;
    if (r->engine == NULL)
        return err_set(&r->err, ERR_FORMAT, "a request before the model is ready");
    if (request_decode(&request, m->bytes, m->n, &r->err) != 0)
        return -1;
    engine_submit(r->engine, &request);
    request_fini(&request);
    r->n_submits++;
    return 0;
}

static int on_cancel(struct runner *r, const struct wire_message *m)
{
    uint64_t id;
    if (cancel_decode(&id, m->bytes, m->n, &r->err) != 0)
        return -1;
    if (r->engine != NULL) {
        engine_cancel(r->engine, id);
        r->stats_due = true;
    }
    return 0;
}

static int on_turn(struct runner *r, const struct wire_message *m)
{
    struct turn t;
    if (turn_decode(&t, m->bytes, m->n, &r->err) != 0)
        return -1;
    if (r->engine == NULL || r->has_turn)
        return err_set(&r->err, ERR_FORMAT, "a turn that was not expected");
    r->has_turn = true;
    r->is_recalled = false;
    r->turn_began_ns = clock_monotonic_ns();
    r->turn_length_ns = (int64_t)MIN(t.length_ns, (uint64_t)INT64_MAX);
    engine_set_sharing(r->engine, t.n_sharing);
    return 0;
}

static int on_message(struct runner *r, const struct wire_message *m)
{
    if (!r->said_hello && m->type != FRAME_HELLO)
        return err_set(&r->err, ERR_FORMAT, "message %u before hello", m->type);
    switch (m->type) {
    case FRAME_HELLO:
        r->said_hello = true;
        return hello_decode(m->bytes, m->n, &r->err);
    case FRAME_OPEN:
        return on_open(r, m);
    case FRAME_LOAD:
        return on_load(r, m);
    case FRAME_READ_CARD:
        return on_read_card(r, m);
    case FRAME_CONVERT:
        return on_convert(r, m);
    case FRAME_SUBMIT:
        return on_submit(r, m);
    case FRAME_CANCEL:
        return on_cancel(r, m);
    case FRAME_TURN:
        return on_turn(r, m);
    case FRAME_RECALL:
        r->is_recalled = true;
        return 0;
    default:
        return err_set(&r->err, ERR_FORMAT, "unknown message %u", m->type);
    }
}

// All that is there now. -1: cannot go on.
static int read_messages(struct runner *r)
{
    for (;;) {
        struct wire_message m;
        int got = wire_fill(&r->wire, &r->err), rc;
        if (got < 0)
            return -1;
        while ((rc = wire_next(&r->wire, &m, &r->err)) == 1)
            if (on_message(r, &m) != 0)
                return -1;
        if (rc < 0)
            return -1;
        if (got == 0)
            return 0;
    }
}

static bool may_step(const struct runner *r)
{
    return r->has_turn && engine_has_work(r->engine) && wire_queued_bytes(&r->wire) < PAUSE_BYTES;
}

// Gives the turn back when it is over, or when nothing can be done with it.
static int end_turn(struct runner *r)
{
    bool is_over = r->turn_length_ns > 0 && clock_monotonic_ns() - r->turn_began_ns >= r->turn_length_ns;
    if (!r->has_turn || (may_step(r) && !is_over && !r->is_recalled))
        return 0;
    struct runner_stats stats;
    read_stats(r, &stats);
    struct turn_end end = {engine_has_work(r->engine), stats.n_steps, r->n_submits};
    r->has_turn = false;
    strbuf_reset(&r->message);
    turn_end_encode(&end, &r->message);
    return push(r, FRAME_RELEASE, 0);
}

static int cycle(struct runner *r)
{
    short events = wire_queued_bytes(&r->wire) > 0 ? POLLIN | POLLOUT : POLLIN;
    struct pollfd fd = {.fd = r->wire.fd, .events = events};
    if (poll(&fd, 1, may_step(r) ? 0 : -1) < 0 && errno != EINTR)
        return err_set(&r->err, ERR_INTERNAL, "poll: %s", strerror(errno));
    if (read_messages(r) != 0)
        return -1;
    if (may_step(r)) {
        engine_step(r->engine, on_event, r);
        r->stats_due = true;
    }
    if (r->is_done)
        return -1;
    bool is_quiet = r->engine != NULL && !engine_has_work(r->engine);
    if (r->stats_due && (is_quiet || clock_monotonic_ns() - r->stats_at_ns >= STATS_NS) &&
        push_stats(r, FRAME_STATS) != 0)
        return -1;
    if (end_turn(r) != 0)
        return -1;
    return wire_flush(&r->wire, &r->err);
}

int runner_main(int argc, char **argv)
{
    struct runner r = {.is_done = false};
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    socklen_t n = sizeof address;
    if (getsockname(SOCKET_FD, (struct sockaddr *)&address, &n) != 0 || address.ss_family != AF_UNIX) {
        log_error("runner", "`drover runner` is started by the server, not by hand");
        return 2;
    }
    wire_init(&r.wire, SOCKET_FD, FRAMES_MAX_REQUEST_BYTES, 2 * FRAMES_MAX_REPLY_BYTES);
    strbuf_init(&r.message, FRAMES_MAX_REPLY_BYTES);
    hello_encode(&r.message);
    int rc = push(&r, FRAME_HELLO, 0);
    while (rc == 0)
        rc = cycle(&r);
    bool front_left = r.err.code == ERR_NOT_FOUND || r.err.code == ERR_NONE;
    if (!front_left)
        log_error("runner", "%s", r.err.message);
    engine_close(r.engine);
    gguf_close(r.gguf);
    wire_fini(&r.wire);
    strbuf_fini(&r.message);
    return front_left ? 0 : 1;
}
