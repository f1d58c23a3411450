// SPDX-License-Identifier: MIT
// The engine alone: seconds to load, tokens/s of a prompt, and tokens/s of generating at several numbers of
// streams. One JSON object a line; bench.py repeats it and puts it beside the machine's limits, HTTP and a
// peer. These are measured without drafts (engine/draft.h), so that every step makes one token a stream;
// answers to questions are measured with and without.
//
// Generating is timed over steps in which all streams decode: each stream's prompt is computed once before
// and then found in the prefix tree, so that all streams start together with the same number of keys. Prompts
// share no prefix.
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "compute/coarse.h"
#include "engine/engine.h"
#include "gguf/gguf.h"
#include "machine.h"

enum { MAX_STREAMS = 256, MAX_LIST = 16, MIN_POOL_TOKENS = 4096 };

struct options {
    int n_threads, n_repeats;
    enum cpu_level level;
    uint32_t streams[MAX_LIST], n_widths, max_streams;
    uint32_t n_keys, n_predict,
        n_prompt;      // keys before the first timed token; timed tokens; tokens of a prompt
    uint32_t n_answer; // tokens of an answer, 0: none is measured
    bool whole_head;   // no coarse copy of it
    const char *path;
};

// What people ask; answered one after the other.
static const char *const questions[] = {
    "Why is the sky blue?",
    "Write a Python function that merges two sorted lists, with tests.",
    "Explain to a beginner how a hash table works.",
    "Write a short story about a lighthouse keeper.",
    "List ten tips for healthy sleep.",
    "Write an email that asks for a day off.",
};

struct tally {
    uint64_t first_id;
    uint32_t n_started, n_tokens, n_done;
    int64_t generate_ns;
    bool started[MAX_STREAMS];
};

static void count_event(void *user, const struct event *e)
{
    struct tally *t = user;
    if (e->kind == EVENT_TOKENS) {
        bool *started = &t->started[e->request_id - t->first_id];
        t->n_started += !*started;
        *started = true;
        t->n_tokens += e->n_ids;
    }
    t->n_done += e->kind == EVENT_DONE;
    t->generate_ns += e->kind == EVENT_DONE ? e->generate_ns : 0;
    if (e->kind == EVENT_ERROR) {
        fprintf(stderr, "bench_engine: %s\n", e->error.message);
        exit(1);
    }
}

static uint64_t next_id = 1;

// prompt_i: prompts of different numbers share no prefix.
static void submit(struct engine *e, uint32_t prompt_i, uint32_t n_prompt, uint32_t n_predict)
{
    struct request r;
    request_init(&r);
    r.id = next_id++;
    r.kind = PROMPT_RAW;
    r.params.temperature = 0;
    r.params.ignore_eos = true;
    r.params.num_predict = (int32_t)n_predict;
    r.context_ids = xcalloc(n_prompt, sizeof *r.context_ids);
    r.n_context_ids = n_prompt;
    for (uint32_t i = 0; i < n_prompt; i++)
        r.context_ids[i] = 300 + (prompt_i * 7919 + i * 104729) % 4000;
    r.prompt = xstrdup("");
    engine_submit(e, &r);
    request_fini(&r);
}

static void run_until_done(struct engine *e, struct tally *t, uint32_t n)
{
    while (t->n_done < n)
        engine_step(e, count_event, t);
}

static double seconds_since(int64_t start_ns)
{
    return (double)(clock_monotonic_ns() - start_ns) * 1e-9;
}

// Computes the prompts of all streams at once and leaves them in the prefix tree: whole pages of n_keys
// tokens; the one token beyond is computed again each time. Tokens a second.
static double warm(struct engine *e, const struct options *o)
{
    struct tally t = {.first_id = next_id};
    for (uint32_t i = 0; i < o->max_streams; i++)
        submit(e, i, o->n_keys + 1, 1);
    int64_t start = clock_monotonic_ns();
    run_until_done(e, &t, o->max_streams);
    return o->max_streams * (o->n_keys + 1) / seconds_since(start);
}

// Tokens a second of all streams together.
static double measure_decode(struct engine *e, const struct options *o, uint32_t n_streams)
{
    struct tally t = {.first_id = next_id};
    for (uint32_t i = 0; i < n_streams; i++)
        submit(e, i, o->n_keys + 1, 4 * o->n_predict + 64);
    while (t.n_started < n_streams)
        engine_step(e, count_event, &t);
    engine_step(e, count_event, &t);
    uint32_t n_before = t.n_tokens;
    int64_t start = clock_monotonic_ns();
    for (uint32_t i = 0; i < o->n_predict; i++)
        engine_step(e, count_event, &t);
    double rate = (t.n_tokens - n_before) / seconds_since(start);
    if (t.n_tokens - n_before != n_streams * o->n_predict)
        fprintf(stderr, "bench_engine: %u streams did not decode together\n", n_streams);
    for (uint64_t id = t.first_id; id < next_id; id++)
        engine_cancel(e, id);
    return rate;
}

static double measure_prompt(struct engine *e, uint32_t n_prompt)
{
    struct tally t = {.first_id = next_id};
    submit(e, (uint32_t)next_id + MAX_STREAMS, n_prompt, 1);
    int64_t start = clock_monotonic_ns();
    run_until_done(e, &t, 1);
    return n_prompt / seconds_since(start);
}

// Tokens a second of answers, one stream at a time, without their prompts.
static double measure_answers(struct engine *e, const struct options *o, float temperature, bool drafts)
{
    struct tally t = {.first_id = next_id};
    engine_set_drafts(e, drafts);
    for (size_t i = 0; i < COUNT_OF(questions); i++) {
        struct request r;
        char json[512];
        request_init(&r);
        r.id = next_id++;
        r.kind = PROMPT_MESSAGES;
        snprintf(json, sizeof json, "[{\"role\":\"user\",\"content\":\"%s\"}]", questions[i]);
        r.messages_json = xstrdup(json);
        r.params.temperature = temperature;
        r.params.seed = i;
        r.params.num_predict = (int32_t)o->n_answer;
        engine_submit(e, &r);
        request_fini(&r);
        run_until_done(e, &t, (uint32_t)i + 1);
    }
    engine_set_drafts(e, false);
    return (t.n_tokens - t.n_done) / ((double)t.generate_ns * 1e-9);
}

// What greedy decoding reads of the head: its coarse copy, where it has one; rows that are looked at again
// come on top.
static enum dtype head_type(const struct options *o, const struct gguf_tensor *t)
{
    enum dtype type = (enum dtype)t->type->id;
    return o->whole_head ? type : coarse_type(type);
}

// What one token asks of the machine: bytes of packed matrices to read, multiplies to do. Attention comes on
// top.
static void print_model(const struct gguf *g, const struct options *o)
{
    double n_bytes = 0, n_macs = 0, n_multiplies = 0;
    bool has_head = gguf_find_tensor(g, "output.weight") != NULL;
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        bool is_head = slice_is(t->name, has_head ? "output.weight" : "token_embd.weight");
        enum dtype type = is_head ? head_type(o, t) : (enum dtype)t->type->id;
        if (t->n_dims != 2 || (has_head && slice_is(t->name, "token_embd.weight")))
            continue;
        double macs = (double)t->ne[0] * (double)t->ne[1];
        n_bytes += (double)matrix_packed_bytes(type, t->ne[1], t->ne[0]);
        n_macs += macs;
        n_multiplies += macs / 256 * machine_multiplies_per_256(o->level, type);
    }
    printf("{\"what\":\"model\",\"bytes_per_step\":%.0f,\"macs_per_token\":%.0f,\"multiplies_per_token\":%."
           "0f}\n",
           n_bytes, n_macs, n_multiplies);
}

static void measure(struct engine *e, const struct options *o)
{
    printf("{\"what\":\"prompts\",\"streams\":%u,\"tokens\":%u,\"tokens_per_s\":%.2f}\n", o->max_streams,
           o->n_keys + 1, warm(e, o));
    for (int r = 0; r < o->n_repeats; r++) {
        if (o->n_prompt > 0)
            printf("{\"what\":\"prompt\",\"tokens\":%u,\"tokens_per_s\":%.2f}\n", o->n_prompt,
                   measure_prompt(e, o->n_prompt));
        for (uint32_t i = 0; i < o->n_widths; i++)
            printf("{\"what\":\"generate\",\"streams\":%u,\"tokens_per_s\":%.2f}\n", o->streams[i],
                   measure_decode(e, o, o->streams[i]));
        for (int i = 0; i < 4 && o->n_answer > 0; i++)
            printf("{\"what\":\"answers\",\"temperature\":%.1f,\"drafts\":%s,\"tokens_per_s\":%.2f}\n",
                   i < 2 ? 0.0 : 0.8, i % 2 ? "true" : "false",
                   measure_answers(e, o, i < 2 ? 0.0f : 0.8f, i % 2 != 0));
        fflush(stdout);
    }
}

static int run(const struct options *o)
{
    struct err err = {0};
    struct gguf *g = NULL;
    struct engine *e = NULL;
    int rc = 1, fd = open(o->path, O_RDONLY | O_CLOEXEC);
    uint32_t pool_tokens = o->max_streams * (o->n_keys + 5 * o->n_predict + 96) + o->n_prompt;
    struct engine_options options = {.n_threads = o->n_threads,
                                     .kv_type = KV_F16,
                                     .level = o->level,
                                     .has_no_coarse_head = o->whole_head,
                                     .n_slots = o->max_streams,
                                     .pool_tokens = MAX(pool_tokens, MIN_POOL_TOKENS)};
    int64_t start = clock_monotonic_ns();
    if (fd < 0 || gguf_open(&g, fd, &err) != 0 || engine_open(&e, g, &options, NULL, NULL, &err) != 0) {
        fprintf(stderr, "bench_engine: %s: %s\n", o->path, fd < 0 ? "cannot open" : err.message);
        goto out;
    }
    printf("{\"what\":\"load\",\"seconds\":%.3f}\n", seconds_since(start));
    print_model(g, o);
    engine_set_drafts(e, false);
    measure(e, o);
    rc = 0;
out:
    engine_close(e);
    gguf_close(g);
    if (fd >= 0)
        close(fd);
    return rc;
}

static bool read_streams(struct options *o, const char *text)
{
    o->n_widths = o->max_streams = 0;
    while (*text != 0) {
        char *end;
        unsigned long n = strtoul(text, &end, 10);
        if (end == text || n == 0 || n > MAX_STREAMS || o->n_widths == MAX_LIST)
            return false;
        o->streams[o->n_widths++] = (uint32_t)n;
        o->max_streams = MAX(o->max_streams, (uint32_t)n);
        text = *end == ',' ? end + 1 : end;
    }
    return o->n_widths > 0;
}

static bool read_option(struct options *o, int c, const char *value)
{
    uint32_t n = value ? (uint32_t)atoi(value) : 0;
    switch (c) {
    case 'w':
        return o->whole_head = true;
    case 'j':
        o->n_threads = (int)n;
        return n > 0;
    case 'r':
        o->n_repeats = (int)n;
        return n > 0;
    case 'n':
        return read_streams(o, value);
    case 'k':
        o->n_keys = n / KV_PAGE_TOKENS * KV_PAGE_TOKENS;
        return n > 0;
    case 'g':
        o->n_predict = n;
        return n > 0;
    case 'p':
        o->n_prompt = n;
        return true;
    case 'a':
        o->n_answer = n;
        return true;
    default:
        return c == 'c' && cpu_level_find(value, &o->level) && o->level <= cpu_best_level();
    }
}

int main(int argc, char **argv)
{
    struct cpu_grant grant;
    struct options o = {
        .level = cpu_best_level(), .n_repeats = 3, .n_keys = 128, .n_predict = 48, .n_prompt = 512};
    bool is_good = read_streams(&o, "1,2,4,8,16,32");
    int c;
    cpu_read_grant(&grant, NULL);
    o.n_threads = grant.n_threads;
    while (is_good && (c = getopt(argc, argv, "j:r:n:k:p:c:g:a:w")) != -1)
        is_good = c != '?' && read_option(&o, c, optarg);
    if (!is_good || optind + 1 != argc) {
        fputs("usage: bench_engine [-j threads] [-r repeats] [-n streams,...] [-k keys] [-g tokens] [-p "
              "prompt] [-c level] [-a answer] "
              "[-w] FILE.gguf\n",
              stderr);
        return 2;
    }
    o.path = argv[optind];
    return run(&o);
}
