// SPDX-License-Identifier: MIT
// A model opened for tests: weights, pages and decoder with chosen level, threads and cache type.
#pragma once

#include "../test.h"

#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>

#include "base/mem.h"
#include "model/decoder.h"

struct session {
    struct gguf *gguf;
    struct pool *pool;
    struct weights weights;
    struct kv_layout kv;
    char *kv_memory;
    size_t kv_bytes;
    struct decoder *decoder;
    uint32_t *pages; // the identity
    uint32_t n_pages;
};

struct session_options {
    enum cpu_level level;
    int n_threads;
    enum kv_type kv_type;
    uint32_t n_tokens, max_batch, max_logits;
};

static inline void session_open_fd(struct session *s, int fd, const struct session_options *o)
{
    struct err err = {0};
    memset(s, 0, sizeof *s);
    if (gguf_open(&s->gguf, fd, &err) != 0)
        fail_msg("%s", err.message);
    s->pool = pool_new(o->n_threads);
    if (weights_load(&s->weights, s->gguf, s->pool, true, NULL, NULL, &err) != 0)
        fail_msg("%s", err.message);
    kv_layout_init(&s->kv, &s->weights.h, o->kv_type);
    s->n_pages = (o->n_tokens + KV_PAGE_TOKENS - 1) / KV_PAGE_TOKENS;
    s->kv_bytes = s->n_pages * s->kv.page_bytes;
    s->kv_memory = mem_map(s->kv_bytes);
    assert_non_null(s->kv_memory);
    s->pages = xcalloc(s->n_pages, sizeof *s->pages);
    for (uint32_t i = 0; i < s->n_pages; i++)
        s->pages[i] = i;
    struct decoder_options d = {&s->weights,  kernels_get(o->level), s->pool,      s->kv,
                                s->kv_memory, o->max_batch,          o->max_logits};
    if (decoder_new(&s->decoder, &d, &err) != 0)
        fail_msg("%s", err.message);
}

static inline void session_close(struct session *s)
{
    decoder_free(s->decoder);
    mem_unmap(s->kv_memory, s->kv_bytes);
    free(s->pages);
    weights_fini(&s->weights);
    pool_free(s->pool);
    gguf_close(s->gguf);
}

// A real model out of the cache; -1 when it is not there.
static inline int open_cached_model(const char *file)
{
    char path[4096];
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (cache != NULL && cache[0] != 0)
        snprintf(path, sizeof path, "%s/drover/models/%s", cache, file);
    else
        snprintf(path, sizeof path, "%s/.cache/drover/models/%s", home ? home : "", file);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        printf("SKIPPED: %s is not in the model cache\n", file);
    return fd;
}

// A whole gzip file into memory.
static inline char *read_gz(const char *path, size_t *n)
{
    gzFile f = gzopen(path, "rb");
    if (f == NULL)
        fail_msg("cannot open %s", path);
    size_t capacity = 1 << 20;
    char *bytes = xmalloc(capacity);
    *n = 0;
    int got;
    while ((got = gzread(f, bytes + *n, (unsigned)(capacity - *n))) > 0) {
        *n += (size_t)got;
        if (*n == capacity)
            bytes = xrealloc(bytes, capacity *= 2);
    }
    gzclose(f);
    return bytes;
}

// An unpacked copy of a gzip file, without a name.
static inline int open_gz(const char *path)
{
    size_t n;
    char *bytes = read_gz(path, &n);
    char name[] = "/tmp/drover-test-XXXXXX";
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    unlink(name);
    assert_int_equal(write(fd, bytes, n), (ssize_t)n);
    free(bytes);
    return fd;
}
