// SPDX-License-Identifier: MIT
// Runners that do not keep to what was agreed: chosen by the first word of the model file.
#pragma once

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "frames/message.h"
#include "frames/wire.h"
#include "runner/runner.h"

static void wait_for_the_end(void)
{
    char bytes[4096];
    while (read(3, bytes, sizeof bytes) > 0)
        ;
}

static void say(const void *bytes, size_t n)
{
    if (write(3, bytes, n) != (ssize_t)n)
        _exit(4);
}

static void say_hello_and(enum frame_type type, size_t n_payload)
{
    struct wire w;
    struct strbuf b = STRBUF_INIT(1000);
    static const char zeros[64];
    wire_init(&w, dup(3), 1000, 10000);
    hello_encode(&b);
    wire_push(&w, FRAME_HELLO, 0, b.at, b.n, NULL);
    wire_push(&w, (uint16_t)type, 0, zeros, n_payload, NULL);
    wire_flush(&w, NULL);
    wire_fini(&w);
    strbuf_fini(&b);
}

// A good start, then frames of all types with random contents, mostly small numbers.
static void say_noise(unsigned seed)
{
    struct wire w;
    struct strbuf b = STRBUF_INIT(1000);
    wire_init(&w, dup(3), 1000, 1 << 20);
    hello_encode(&b);
    wire_push(&w, FRAME_HELLO, 0, b.at, b.n, NULL);
    strbuf_reset(&b);
    model_plan_encode(&(struct model_plan){1 << 20, 100, 0, 0, 4096}, &b);
    wire_push(&w, FRAME_PLAN, 0, b.at, b.n, NULL);
    for (int i = 0; i < 200; i++) {
        char bytes[64];
        size_t n = (size_t)rand_r(&seed) % sizeof bytes;
        for (size_t k = 0; k < n; k++)
            bytes[k] = (char)(rand_r(&seed) % 4 == 0 ? rand_r(&seed) : 0);
        wire_push(&w, (uint16_t)(2 + rand_r(&seed) % (FRAME_TYPE_COUNT - 2)), 0, bytes, n, NULL);
    }
    wire_flush(&w, NULL);
    wire_fini(&w);
    strbuf_fini(&b);
}

static void push_plan(struct wire *w, struct strbuf *b)
{
    strbuf_reset(b);
    hello_encode(b);
    wire_push(w, FRAME_HELLO, 0, b->at, b->n, NULL);
    strbuf_reset(b);
    model_plan_encode(&(struct model_plan){1 << 20, 100, 0, 0, 4096}, b);
    wire_push(w, FRAME_PLAN, 0, b->at, b->n, NULL);
    wire_flush(w, NULL);
}

// All as agreed until it is loaded; then ready a second time, when a request has come.
static void say_ready_twice(void)
{
    struct wire w;
    struct strbuf b = STRBUF_INIT(1000);
    bool is_done = false;
    wire_init(&w, dup(3), 1 << 20, 10000);
    push_plan(&w, &b);
    strbuf_reset(&b);
    runner_stats_encode(&(struct runner_stats){0}, &b);
    while (!is_done) {
        struct wire_message m;
        struct pollfd fd = {.fd = w.fd, .events = POLLIN};
        poll(&fd, 1, -1);
        if (wire_fill(&w, NULL) < 0)
            break;
        while (wire_next(&w, &m, NULL) == 1) {
            if (m.type == FRAME_LOAD || m.type == FRAME_SUBMIT)
                wire_push(&w, FRAME_READY, 0, b.at, b.n, NULL);
            is_done = is_done || m.type == FRAME_SUBMIT;
        }
        wire_flush(&w, NULL);
    }
    wire_fini(&w);
    strbuf_fini(&b);
}

// Says more than anybody can read, and reads nothing.
static void flood_with_statistics(void)
{
    struct wire w;
    struct strbuf b = STRBUF_INIT(1000);
    wire_init(&w, dup(3), 1000, 1 << 20);
    push_plan(&w, &b);
    strbuf_reset(&b);
    runner_stats_encode(&(struct runner_stats){0}, &b);
    for (;;) {
        struct pollfd fd = {.fd = w.fd, .events = POLLOUT};
        while (wire_push(&w, FRAME_STATS, 0, b.at, b.n, NULL) == 0)
            ;
        poll(&fd, 1, -1);
        if (wire_flush(&w, NULL) != 0)
            break;
    }
    wire_fini(&w);
    strbuf_fini(&b);
}

// What a test program's main calls first: a runner's process does not come back.
static void be_a_runner(int argc, char **argv)
{
    char how[64] = "";
    if (argc < 2 || strcmp(argv[1], "runner") != 0)
        return;
    if (pread(4, how, sizeof how - 1, 0) < 0)
        exit(5);
    if (strncmp(how, "mute", 4) == 0) {
        wait_for_the_end();
    } else if (strncmp(how, "garbage", 7) == 0) {
        say("this is not what was agreed on, not at all", 42);
        wait_for_the_end();
    } else if (strncmp(how, "half", 4) == 0) {
        say("\x10\0\0\0\1\0\0\0", 8); // half a header, then the end
    } else if (strncmp(how, "stranger", 8) == 0) {
        say("\3\0\0\0\1\0\0\0\0\0\0\0abc", 15); // a hello that is none
        wait_for_the_end();
    } else if (strncmp(how, "early", 5) == 0) {
        say_hello_and(FRAME_READY, 36); // ready before it was told to load
        wait_for_the_end();
    } else if (strncmp(how, "event", 5) == 0) {
        say_hello_and(FRAME_EVENT, 40); // a broken event
        wait_for_the_end();
    } else if (strncmp(how, "release", 7) == 0) {
        say_hello_and(FRAME_RELEASE, 17); // of a turn that it does not have
        wait_for_the_end();
    } else if (strncmp(how, "twice", 5) == 0) {
        say_ready_twice();
        wait_for_the_end();
    } else if (strncmp(how, "flood", 5) == 0) {
        flood_with_statistics();
    } else if (strncmp(how, "exits", 5) == 0) {
        exit(0);
    } else if (strncmp(how, "noise", 5) == 0) {
        say_noise((unsigned)atoi(how + 5));
        wait_for_the_end();
    } else {
        exit(runner_main(argc, argv));
    }
    exit(0);
}
