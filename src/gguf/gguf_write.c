// SPDX-License-Identifier: MIT
// Values and the tensor table are serialised as they are added; writing puts the header in front, pads, and
// streams the data.
#include "gguf/gguf_write.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/strbuf.h"

enum { FILL_BYTES = 4 << 20, HEAD_BYTES = 24 };

struct pending {
    const void *data; // or NULL: fill
    gguf_fill_fn *fill;
    void *arg;
    uint64_t size_bytes;
    uint32_t block_bytes;
};

struct gguf_writer {
    struct strbuf values, table;
    uint64_t n_values, n_tensors;
    uint64_t data_bytes; // where the next tensor begins, padded
    uint32_t alignment;
    struct pending *tensors;
    size_t capacity;
};

static void push_u32(struct strbuf *b, uint32_t v)
{
    strbuf_push(b, &v, sizeof v);
}

static void push_u64(struct strbuf *b, uint64_t v)
{
    strbuf_push(b, &v, sizeof v);
}

static void push_string(struct strbuf *b, struct slice s)
{
    push_u64(b, s.n);
    strbuf_push_slice(b, s);
}

struct gguf_writer *gguf_writer_new(uint32_t alignment)
{
    assert(alignment != 0 && (alignment & (alignment - 1)) == 0);
    struct gguf_writer *w = xcalloc(1, sizeof *w);
    strbuf_init(&w->values, SIZE_MAX / 4);
    strbuf_init(&w->table, SIZE_MAX / 4);
    w->alignment = alignment;
    if (alignment != 32)
        gguf_writer_set_u32(w, "general.alignment", alignment);
    return w;
}

void gguf_writer_free(struct gguf_writer *w)
{
    if (w == NULL)
        return;
    strbuf_fini(&w->values);
    strbuf_fini(&w->table);
    free(w->tensors);
    free(w);
}

static void push_key(struct gguf_writer *w, const char *key, enum gguf_type type)
{
    push_string(&w->values, slice_of(key));
    push_u32(&w->values, (uint32_t)type);
    w->n_values++;
}

void gguf_writer_set_scalar(struct gguf_writer *w, const char *key, enum gguf_type type, const void *value)
{
    assert(gguf_type_bytes(type) != 0);
    push_key(w, key, type);
    strbuf_push(&w->values, value, gguf_type_bytes(type));
}

void gguf_writer_set_u32(struct gguf_writer *w, const char *key, uint32_t value)
{
    gguf_writer_set_scalar(w, key, GGUF_U32, &value);
}

void gguf_writer_set_f32(struct gguf_writer *w, const char *key, float value)
{
    gguf_writer_set_scalar(w, key, GGUF_F32, &value);
}

void gguf_writer_set_bool(struct gguf_writer *w, const char *key, bool value)
{
    uint8_t byte = value;
    gguf_writer_set_scalar(w, key, GGUF_BOOL, &byte);
}

void gguf_writer_set_string(struct gguf_writer *w, const char *key, struct slice value)
{
    push_key(w, key, GGUF_STRING);
    push_string(&w->values, value);
}

void gguf_writer_set_array(struct gguf_writer *w, const char *key, enum gguf_type elem_type,
                           const void *elements, uint64_t count)
{
    assert(gguf_type_bytes(elem_type) != 0);
    push_key(w, key, GGUF_ARRAY);
    push_u32(&w->values, (uint32_t)elem_type);
    push_u64(&w->values, count);
    strbuf_push(&w->values, elements, count * gguf_type_bytes(elem_type));
}

void gguf_writer_set_strings(struct gguf_writer *w, const char *key, const struct slice *strings,
                             uint64_t count)
{
    push_key(w, key, GGUF_ARRAY);
    push_u32(&w->values, GGUF_STRING);
    push_u64(&w->values, count);
    for (uint64_t i = 0; i < count; i++)
        push_string(&w->values, strings[i]);
}

void gguf_writer_copy(struct gguf_writer *w, const struct gguf_value *v)
{
    push_string(&w->values, v->key);
    push_u32(&w->values, (uint32_t)v->type);
    if (v->type == GGUF_ARRAY) {
        push_u32(&w->values, (uint32_t)v->elem_type);
        push_u64(&w->values, v->count);
    }
    strbuf_push(&w->values, v->data, v->size_bytes);
    w->n_values++;
}

static void add_tensor(struct gguf_writer *w, const char *name, int32_t type_id, uint32_t n_dims,
                       const uint64_t *ne, struct pending tensor)
{
    const struct dtype_info *type = dtype_find(type_id);
    uint64_t n_bytes = 0;
    assert(type != NULL && n_dims >= 1 && n_dims <= 4);
    bool fits = dtype_row_bytes(type, ne[0], &n_bytes);
    assert(fits);
    (void)fits;
    push_string(&w->table, slice_of(name));
    push_u32(&w->table, n_dims);
    for (uint32_t d = 0; d < n_dims; d++) {
        push_u64(&w->table, ne[d]);
        n_bytes *= d == 0 ? 1 : ne[d];
    }
    push_u32(&w->table, (uint32_t)type_id);
    push_u64(&w->table, w->data_bytes);
    if (w->n_tensors == w->capacity) {
        w->capacity = w->capacity ? w->capacity * 2 : 64;
        w->tensors = xrealloc(w->tensors, w->capacity * sizeof *w->tensors);
    }
    tensor.size_bytes = n_bytes;
    tensor.block_bytes = type->block_bytes;
    w->tensors[w->n_tensors++] = tensor;
    w->data_bytes += ROUND_UP(n_bytes, w->alignment);
}

void gguf_writer_add_tensor(struct gguf_writer *w, const char *name, int32_t type_id, uint32_t n_dims,
                            const uint64_t *ne, const void *data)
{
    add_tensor(w, name, type_id, n_dims, ne, (struct pending){.data = data});
}

void gguf_writer_add_tensor_fill(struct gguf_writer *w, const char *name, int32_t type_id, uint32_t n_dims,
                                 const uint64_t *ne, gguf_fill_fn *fill, void *arg)
{
    add_tensor(w, name, type_id, n_dims, ne, (struct pending){.fill = fill, .arg = arg});
}

// ---- The end ----

// Where the bytes go, and how many went.
struct sink {
    gguf_sink_fn *push;
    void *user;
    uint64_t at;
};

static int push_bytes(struct sink *s, const void *bytes, size_t n, struct err *err)
{
    s->at += n;
    return n > 0 ? s->push(s->user, bytes, n, err) : 0;
}

static int push_padding(const struct gguf_writer *w, struct sink *s, struct err *err)
{
    static const char zeros[4096];
    uint64_t end = ROUND_UP(s->at, w->alignment);
    while (s->at < end)
        if (push_bytes(s, zeros, MIN((size_t)(end - s->at), sizeof zeros), err) != 0)
            return -1;
    return 0;
}

static int push_filled(const struct pending *t, struct sink *s, struct err *err)
{
    size_t piece_bytes = (size_t)FILL_BYTES / t->block_bytes * t->block_bytes;
    char *buffer = xmalloc(piece_bytes);
    int rc = 0;
    for (uint64_t begin = 0; begin < t->size_bytes && rc == 0; begin += piece_bytes) {
        size_t n = (size_t)MIN(t->size_bytes - begin, (uint64_t)piece_bytes);
        rc = t->fill(t->arg, begin, buffer, n, err);
        if (rc == 0)
            rc = push_bytes(s, buffer, n, err);
    }
    free(buffer);
    return rc;
}

uint64_t gguf_writer_file_bytes(const struct gguf_writer *w)
{
    return ROUND_UP(HEAD_BYTES + w->values.n + w->table.n, w->alignment) + w->data_bytes;
}

int gguf_writer_stream(const struct gguf_writer *w, gguf_sink_fn *sink, void *user, struct err *err)
{
    struct strbuf head = STRBUF_INIT(64);
    struct sink s = {sink, user, 0};
    strbuf_push(&head, "GGUF", 4);
    push_u32(&head, 3);
    push_u64(&head, w->n_tensors);
    push_u64(&head, w->n_values);
    int rc = push_bytes(&s, head.at, head.n, err);
    strbuf_fini(&head);
    if (rc != 0 || push_bytes(&s, w->values.at, w->values.n, err) != 0 ||
        push_bytes(&s, w->table.at, w->table.n, err) != 0 || push_padding(w, &s, err) != 0)
        return -1;
    for (uint64_t i = 0; i < w->n_tensors; i++) {
        const struct pending *t = &w->tensors[i];
        rc = t->data ? push_bytes(&s, t->data, t->size_bytes, err) : push_filled(t, &s, err);
        if (rc != 0 || push_padding(w, &s, err) != 0)
            return -1;
    }
    return 0;
}

struct file {
    int fd;
    uint64_t at;
};

static int write_all(void *user, const void *bytes, size_t n, struct err *err)
{
    struct file *f = user;
    const char *p = bytes;
    while (n > 0) {
        ssize_t done = pwrite(f->fd, p, n, (off_t)f->at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return err_set(err, ERR_INTERNAL, "cannot write the GGUF file: %s",
                           done < 0 ? strerror(errno) : "full");
        p += done;
        n -= (size_t)done;
        f->at += (uint64_t)done;
    }
    return 0;
}

int gguf_writer_write(struct gguf_writer *w, int fd, struct err *err)
{
    struct file f = {fd, 0};
    return gguf_writer_stream(w, write_all, &f, err);
}
