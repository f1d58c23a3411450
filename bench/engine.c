// SPDX-License-Identifier: MIT
// The engine alone: tokens/s of prompts and of generating at several numbers of streams, for a model file or for random weights in a model's shape.
// One JSON object a line; bench.py puts them beside bandwidth, multiply limit and peers.
#include <fcntl.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "engine/engine.h"
#include "gguf/gguf.h"

struct tally {
    uint32_t n_prompts, n_tokens, n_done;
};

static void count_event(void *user, const struct event *e)
{
    struct tally *t = user;
    t->n_prompts += e->kind == EVENT_PROMPT;
    t->n_tokens += e->kind == EVENT_TOKENS ? e->n_ids : 0;
    t->n_done += e->kind == EVENT_DONE;
    if (e->kind == EVENT_ERROR) {
        fprintf(stderr, "bench: %s\n", e->error.message);
        exit(1);
    }
}

// A prompt of n words that no other shares.
static void submit(struct engine *e, uint64_t id, uint32_t n_prompt, uint32_t n_predict)
{
    struct request r;
    struct strbuf text = STRBUF_INIT(1 << 20);
    request_init(&r);
    r.id = id;
    r.kind = PROMPT_RAW;
    r.params.temperature = 0;
    r.params.ignore_eos = true;
    r.params.num_predict = (int32_t)n_predict;
    uint32_t *ids = xcalloc(n_prompt, sizeof *ids);
    for (uint32_t i = 0; i < n_prompt; i++)
        ids[i] = 300 + (uint32_t)((id * 7919 + i * 104729) % 4000);
    r.context_ids = ids;
    r.n_context_ids = n_prompt;
    r.prompt = xstrdup("");
    engine_submit(e, &r);
    request_fini(&r);
    strbuf_fini(&text);
}

static uint64_t next_id = 1;

// Seconds a token of generating takes all streams together, over steps in which all of them decode.
static double measure_decode(struct engine *e, uint32_t n_streams, uint32_t n_prompt, uint32_t n_predict)
{
    struct tally t = {0};
    for (uint32_t i = 0; i < n_streams; i++)
        submit(e, next_id++, n_prompt, n_predict + 8);
    while (t.n_tokens < n_streams || t.n_prompts < n_streams)
        engine_step(e, count_event, &t);
    struct engine_stats before, after;
    for (int i = 0; i < 4; i++)
        engine_step(e, count_event, &t);
    engine_read_stats(e, &before);
    uint32_t n_before = t.n_tokens;
    while (t.n_done == 0)
        engine_step(e, count_event, &t);
    engine_read_stats(e, &after);
    double seconds = (double)(after.step_ns - before.step_ns) * 1e-9;
    double tokens = t.n_tokens - n_before;
    while (t.n_done < n_streams)
        engine_step(e, count_event, &t);
    return tokens / seconds;
}

static double measure_prompt(struct engine *e, uint32_t n_prompt)
{
    struct tally t = {0};
    submit(e, next_id++, n_prompt, 1);
    int64_t start = clock_monotonic_ns();
    while (t.n_done == 0)
        engine_step(e, count_event, &t);
    return n_prompt / ((double)(clock_monotonic_ns() - start) * 1e-9);
}

int main(int argc, char **argv)
{
    static const uint32_t all_streams[] = {1, 2, 4, 8, 16, 32};
    struct cpu_grant grant;
    cpu_read_grant(&grant, NULL);
    int n_threads = grant.n_threads, repeats = 3, c;
    uint32_t only = 0, n_keys = 128, n_predict = 48, n_prompt = 512;
    enum cpu_level level = cpu_best_level();
    while ((c = getopt(argc, argv, "j:r:n:k:p:c:g:")) != -1) {
        if (c == 'j')
            n_threads = atoi(optarg);
        else if (c == 'r')
            repeats = atoi(optarg);
        else if (c == 'n')
            only = (uint32_t)atoi(optarg);
        else if (c == 'k')
            n_keys = (uint32_t)atoi(optarg);
        else if (c == 'g')
            n_predict = (uint32_t)atoi(optarg);
        else if (c == 'p')
            n_prompt = (uint32_t)atoi(optarg);
        else if (c != 'c' || !cpu_level_find(optarg, &level))
            return 2;
    }
    if (optind + 1 != argc) {
        fputs("usage: bench_engine [-j threads] [-r repeats] [-n streams] [-k keys] [-g tokens] [-p prompt] [-c level] FILE.gguf\n", stderr);
        return 2;
    }
    struct err err = {0};
    struct gguf *g = NULL;
    struct engine *e = NULL;
    int fd = open(argv[optind], O_RDONLY | O_CLOEXEC);
    struct engine_options o = {.n_threads = n_threads, .kv_type = KV_F16, .level = level, .n_slots = 32, .pool_tokens = 16384};
    int64_t start = clock_monotonic_ns();
    if (fd < 0 || gguf_open(&g, fd, &err) != 0 || engine_open(&e, g, &o, NULL, NULL, &err) != 0) {
        fprintf(stderr, "bench: %s: %s\n", argv[optind], fd < 0 ? "cannot open" : err.message);
        return 1;
    }
    printf("{\"what\":\"load\",\"seconds\":%.3f}\n", (double)(clock_monotonic_ns() - start) * 1e-9);
    for (int r = 0; r < repeats; r++) {
        if (only == 0 || n_prompt > 0)
            printf("{\"what\":\"prompt\",\"tokens\":%u,\"tokens_per_s\":%.1f}\n", n_prompt, measure_prompt(e, n_prompt));
        for (size_t i = 0; i < COUNT_OF(all_streams); i++)
            if (only == 0 || only == all_streams[i])
                printf("{\"what\":\"generate\",\"streams\":%u,\"tokens_per_s\":%.1f}\n", all_streams[i],
                       measure_decode(e, all_streams[i], n_keys, n_predict));
        fflush(stdout);
    }
    engine_close(e);
    gguf_close(g);
    close(fd);
    return 0;
}
