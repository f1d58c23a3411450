// SPDX-License-Identifier: MIT
// `drover logits`: the model's own numbers for given ids, without a server: the same decoder, the same
// kernels. What the accuracy tests read.
#include <fcntl.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "engine/kvcache.h"
#include "inspect/inspect.h"
#include "gguf/gguf.h"
#include "json/writer.h"
#include "model/decoder.h"

struct logits_args {
    uint32_t *ids, *positions;
    size_t n_ids, n_positions;
    uint32_t n_top, context_size, chunk;
    int n_threads;
    enum kv_type kv_type;
    enum cpu_level level;
};

struct session {
    struct gguf *gguf;
    struct pool *pool;
    struct weights weights;
    struct kvcache cache;
    struct decoder *decoder;
    uint32_t *pages;
};

// "1,2,3" or "@FILE" with the same text in it.
static int parse_numbers(const char *text, uint32_t **out, size_t *n, struct err *err)
{
    char *owned = NULL;
    if (text[0] == '@') {
        FILE *f = fopen(text + 1, "re");
        size_t size = 0;
        if (f == NULL || getdelim(&owned, &size, 0, f) < 0) {
            if (f != NULL)
                fclose(f);
            free(owned);
            return err_set(err, ERR_INVALID, "cannot read %s", text + 1);
        }
        fclose(f);
        text = owned;
    }
    *out = xcalloc(strlen(text) + 1, sizeof **out);
    *n = 0;
    int rc = 0;
    for (const char *p = text; *p != 0 && *p != '\n' && rc == 0;) {
        char *end;
        unsigned long value = strtoul(p, &end, 10);
        if (end == p || value > UINT32_MAX || (*end != ',' && *end != 0 && *end != '\n'))
            rc = err_set(err, ERR_INVALID, "'%.20s' is not a list of numbers", p);
        (*out)[(*n)++] = (uint32_t)value;
        p = *end == ',' ? end + 1 : end;
    }
    free(owned);
    return rc;
}

static int open_session(struct session *s, const char *name, const struct logits_args *a, struct err *err)
{
    int fd = -1, rc = -1;
    if (inspect_open_model(name, &fd, err) != 0 || gguf_open(&s->gguf, fd, err) != 0)
        goto out;
    s->pool = pool_new(a->n_threads);
    if (weights_load(&s->weights, s->gguf, s->pool, false, NULL, NULL, err) != 0)
        goto out;
    struct kv_layout layout;
    kv_layout_init(&layout, &s->weights.h, a->kv_type);
    uint32_t n_tokens = MAX(a->context_size, (uint32_t)a->n_ids);
    uint32_t n_pages = (n_tokens + KV_PAGE_TOKENS - 1) / KV_PAGE_TOKENS;
    if (kvcache_init(&s->cache, &layout, n_pages, err) != 0)
        goto out;
    s->pages = xcalloc(n_pages, sizeof *s->pages);
    for (uint32_t i = 0; i < n_pages; i++)
        s->pages[i] = kvcache_alloc(&s->cache);
    struct decoder_options o = {.weights = &s->weights,
                                .kernels = kernels_get(a->level),
                                .pool = s->pool,
                                .kv = layout,
                                .kv_memory = s->cache.memory,
                                .max_tokens = a->chunk,
                                .max_logits = a->chunk};
    rc = decoder_new(&s->decoder, &o, err);
out:
    if (fd >= 0)
        close(fd);
    return rc;
}

static void close_session(struct session *s)
{
    decoder_free(s->decoder);
    kvcache_fini(&s->cache);
    free(s->pages);
    weights_fini(&s->weights);
    pool_free(s->pool);
    gguf_close(s->gguf);
}

static void print_top(struct json_writer *w, const float *logits, uint32_t n_vocab, uint32_t n_top)
{
    bool *taken = xcalloc(n_vocab, sizeof *taken);
    json_key(w, "top");
    json_begin_array(w);
    for (uint32_t i = 0; i < MIN(n_top, n_vocab); i++) {
        uint32_t best = UINT32_MAX;
        for (uint32_t k = 0; k < n_vocab; k++)
            if (!taken[k] && (best == UINT32_MAX || logits[k] > logits[best]))
                best = k;
        taken[best] = true;
        json_begin_array(w);
        json_put_uint(w, best);
        json_put_float(w, logits[best]);
        json_end_array(w);
    }
    json_end_array(w);
    free(taken);
}

static void print_row(uint32_t position, const float *logits, uint32_t n_vocab, uint32_t n_top)
{
    struct strbuf line = STRBUF_INIT(64 << 20);
    struct json_writer w = json_writer_make(&line);
    json_begin_object(&w);
    json_member_int(&w, "position", position);
    if (n_top > 0) {
        print_top(&w, logits, n_vocab, n_top);
    } else {
        json_key(&w, "logits");
        json_begin_array(&w);
        for (uint32_t i = 0; i < n_vocab; i++)
            json_put_float(&w, logits[i]);
        json_end_array(&w);
    }
    json_end_object(&w);
    strbuf_push_char(&line, '\n');
    fwrite(line.at, 1, line.n, stdout);
    strbuf_fini(&line);
}

static bool is_wanted(const struct logits_args *a, uint32_t position)
{
    for (size_t i = 0; i < a->n_positions; i++)
        if (a->positions[i] == position)
            return true;
    return a->positions == NULL && position + 1 == a->n_ids;
}

static void print_all(struct session *s, const struct logits_args *a)
{
    uint32_t *columns = xcalloc(a->chunk, sizeof *columns);
    for (uint32_t at = 0; at < a->n_ids; at += a->chunk) {
        uint32_t n = MIN(a->chunk, (uint32_t)a->n_ids - at), n_logits = 0;
        for (uint32_t c = 0; c < n; c++)
            if (is_wanted(a, at + c))
                columns[n_logits++] = c;
        struct decoder_run run = {s->pages, at, 0, n};
        struct decoder_batch batch = {a->ids + at, n, &run, 1, columns, n_logits};
        decoder_run_batch(s->decoder, &batch);
        for (uint32_t i = 0; i < n_logits; i++)
            print_row(at + columns[i], decoder_logits(s->decoder, i), s->weights.h.n_vocab, a->n_top);
    }
    free(columns);
}

static int parse_args(int argc, char **argv, struct logits_args *a, struct err *err)
{
    static const struct option options[] = {{"ids", required_argument, NULL, 'i'},
                                            {"pos", required_argument, NULL, 'p'},
                                            {"top", required_argument, NULL, 't'},
                                            {"kv-type", required_argument, NULL, 'k'},
                                            {"cpu", required_argument, NULL, 'c'},
                                            {"context-size", required_argument, NULL, 's'},
                                            {"chunk", required_argument, NULL, 'n'},
                                            {"threads", required_argument, NULL, 'j'},
                                            {NULL, 0, NULL, 0}};
    int c;
    optind = 1;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 'i' && parse_numbers(optarg, &a->ids, &a->n_ids, err) != 0)
            return -1;
        if (c == 'p' && parse_numbers(optarg, &a->positions, &a->n_positions, err) != 0)
            return -1;
        if (c == 't')
            a->n_top = (uint32_t)strtoul(optarg, NULL, 10);
        if (c == 's')
            a->context_size = (uint32_t)MIN(strtoul(optarg, NULL, 10), 1u << 24);
        if (c == 'n')
            a->chunk = (uint32_t)MAX(1, MIN(strtol(optarg, NULL, 10), 4096));
        if (c == 'j')
            a->n_threads = (int)MAX(1, MIN(strtol(optarg, NULL, 10), 256));
        if (c == 'k' && !kv_type_find(optarg, &a->kv_type))
            return err_set(err, ERR_INVALID, "unknown KV type '%s'", optarg);
        if (c == 'c' && (!cpu_level_find(optarg, &a->level) || a->level > cpu_best_level()))
            return err_set(err, ERR_INVALID, "CPU level '%s' is unknown or not available here", optarg);
        if (c == '?')
            return err_set(err, ERR_INVALID, "bad option");
    }
    if (optind + 1 != argc || a->n_ids == 0)
        return err_set(err, ERR_INVALID, "a model and --ids are needed");
    return 0;
}

int inspect_logits(int argc, char **argv)
{
    struct err err = {0};
    struct session s = {0};
    struct cpu_grant grant;
    cpu_read_grant(&grant, NULL);
    struct logits_args a = {
        .kv_type = KV_F16, .level = cpu_best_level(), .n_threads = grant.n_threads, .chunk = 512};
    int status = 0;
    if (parse_args(argc, argv, &a, &err) != 0) {
        status = 2;
    } else if (open_session(&s, argv[optind], &a, &err) != 0) {
        status = 1;
    } else {
        for (size_t i = 0; i < a.n_ids && status == 0; i++) {
            if (a.ids[i] >= s.weights.h.n_vocab) {
                err_set(&err, ERR_INVALID, "id %u is outside the vocabulary of %u", a.ids[i],
                        s.weights.h.n_vocab);
                status = 1;
            }
        }
        if (status == 0)
            print_all(&s, &a);
    }
    if (status != 0)
        fprintf(stderr, "Error: %s\n", err.message);
    if (status == 2)
        fputs("usage: drover logits MODEL --ids 1,2,3|@FILE [--pos 0,2] [--top N] [--kv-type "
              "f16|f32|bf16|q8_0] [--context-size N]\n"
              "                           [--chunk N] [--threads N] [--cpu LEVEL]\n",
              stderr);
    close_session(&s);
    free(a.ids);
    free(a.positions);
    return status;
}
