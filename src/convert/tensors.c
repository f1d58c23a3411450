// SPDX-License-Identifier: MIT
// A piece of a tensor is cut into runs of blocks which the team's threads take in turn: read as floats,
// changed, encoded. A run depends on nothing else, so the file is the same with any number of threads. What
// needs no change is copied.
#include "convert/tensors.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "compute/half.h"

enum { RUN_ELEMS = 2048 }; // a multiple of every block

static const float largest_half = 65504;

struct tensor *tensors_add(struct tensors *t)
{
    if (t->n == t->capacity) {
        t->capacity = MAX(64, t->capacity * 2);
        t->at = xrealloc(t->at, t->capacity * sizeof *t->at);
    }
    t->at[t->n] = (struct tensor){.ne = {1, 1, 1, 1}};
    return &t->at[t->n++];
}

void tensors_fini(struct tensors *t)
{
    free(t->at);
    *t = (struct tensors){0};
}

uint64_t tensor_n_elems(const struct tensor *t)
{
    return t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3];
}

// ---- Reading as floats ----

static void read_run(const struct tensor *t, uint64_t begin, size_t n, float *out)
{
    const char *at = (const char *)t->data + begin * t->from->block_bytes;
    if (t->from->id == DTYPE_F16)
        for (size_t i = 0; i < n; i++)
            out[i] = half_to_float(half_load(at + 2 * i));
    else
        dtype_decode_row(t->from, at, n, out);
}

// Row r of the file's order, as a checkpoint has it: there a head is its first halves, then its second ones.
static uint64_t source_row(const struct tensor *t, uint64_t row, uint64_t n_rows)
{
    uint64_t head_rows = n_rows / t->n_heads, k = row % head_rows;
    return row - k + k % 2 * (head_rows / 2) + k / 2;
}

static void read_floats(const struct tensor *t, uint64_t begin, size_t n, float *out)
{
    uint64_t n_cols = t->n_dims == 1 ? 1 : t->ne[0], n_rows = tensor_n_elems(t) / n_cols;
    if (t->n_heads == 0) {
        read_run(t, begin, n, out);
    } else {
        for (size_t i = 0, part; i < n; i += part) {
            uint64_t row = (begin + i) / n_cols, column = (begin + i) % n_cols;
            part = (size_t)MIN((uint64_t)(n - i), n_cols - column);
            read_run(t, source_row(t, row, n_rows) * n_cols + column, part, out + i);
        }
    }
    for (size_t i = 0; t->added != 0 && i < n; i++)
        out[i] += t->added;
}

// ---- Filling a piece ----

struct fill {
    const struct tensor *tensor;
    struct pool *pool;
    // the piece at hand
    uint64_t first_block;
    size_t n_blocks;
    unsigned char *out;
    float bad; // a value that cannot be written; read after the threads have met
    int has_bad;
};

static bool can_be_written(const struct tensor *t, float value)
{
    bool has_range = t->to->id == DTYPE_F32 || t->to->id == DTYPE_BF16;
    return has_range || fabsf(value) <= largest_half; // false for NaN
}

static void fill_run(struct fill *f, size_t block, size_t n_blocks)
{
    const struct tensor *t = f->tensor;
    float values[RUN_ELEMS];
    size_t n = n_blocks * t->to->block_elems;
    read_floats(t, (f->first_block + block) * t->to->block_elems, n, values);
    for (size_t i = 0; i < n; i++) {
        if (!can_be_written(t, values[i])) {
            if (__atomic_exchange_n(&f->has_bad, 1, __ATOMIC_RELAXED) == 0)
                f->bad = values[i];
            return;
        }
    }
    dtype_encode_row(t->to, values, n, f->out + block * t->to->block_bytes);
}

static void fill_side_by_side(void *arg, int thread_i, int n_threads)
{
    struct fill *f = arg;
    size_t run = RUN_ELEMS / f->tensor->to->block_elems;
    for (size_t at = (size_t)thread_i * run; at < f->n_blocks; at += (size_t)n_threads * run)
        fill_run(f, at, MIN(run, f->n_blocks - at));
}

// The file's pages of what has been read.
static void forget(const struct tensor *t)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = ROUND_UP((uintptr_t)t->data, page);
    uintptr_t end =
        ((uintptr_t)t->data + tensor_n_elems(t) / t->from->block_elems * t->from->block_bytes) / page * page;
    if (end > begin)
        madvise((void *)begin, end - begin, MADV_DONTNEED);
}

static int fill(void *arg, uint64_t begin, void *buffer, size_t n, struct err *err)
{
    struct fill *f = arg;
    const struct tensor *t = f->tensor;
    uint64_t n_bytes = tensor_n_elems(t) / t->to->block_elems * t->to->block_bytes;
    if (t->from == t->to && t->n_heads == 0 && t->added == 0) {
        memcpy(buffer, (const char *)t->data + begin, n);
    } else {
        f->first_block = begin / t->to->block_bytes;
        f->n_blocks = n / t->to->block_bytes;
        f->out = buffer;
        pool_run(f->pool, fill_side_by_side, f);
        if (f->has_bad)
            return err_set(err, ERR_FORMAT,
                           "tensor '%s' holds the value %g, which is no number or too large for %s", t->name,
                           (double)f->bad, t->to->name);
    }
    if (begin + n == n_bytes)
        forget(t);
    return 0;
}

// ---- The file ----

struct stream {
    const struct convert_output *out;
    const char *text;
    uint64_t done, total;
};

static int push(void *user, const void *bytes, size_t n, struct err *err)
{
    struct stream *s = user;
    s->done += n;
    if (s->out->push(s->out->user, bytes, n, err) != 0)
        return -1;
    return s->out->tell(s->out->user, s->text, MIN(s->done, s->total), s->total, err);
}

int tensors_write(const struct tensors *t, struct gguf_writer *w, const char *text, int n_threads,
                  const struct convert_output *out, struct err *err)
{
    struct fill *fills = xcalloc(t->n + 1, sizeof *fills);
    struct pool *pool = pool_new(MAX(n_threads, 1));
    for (size_t i = 0; i < t->n; i++) {
        const struct tensor *one = &t->at[i];
        fills[i] = (struct fill){.tensor = one, .pool = pool};
        gguf_writer_add_tensor_fill(w, one->name, one->to->id, one->n_dims, one->ne, fill, &fills[i]);
    }
    struct stream s = {out, text, 0, gguf_writer_file_bytes(w)};
    int rc = out->tell(out->user, text, 0, s.total, err);
    if (rc == 0)
        rc = gguf_writer_stream(w, push, &s, err);
    pool_free(pool);
    free(fills);
    return rc;
}
