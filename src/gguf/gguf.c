// SPDX-License-Identifier: MIT
// A GGUF file as an object: opening and closing, names and sizes of types, look-ups in the tables that
// directory.c has read and checked. Immutable after gguf_open(), so any thread may read it. A file that is
// shortened while it is mapped raises SIGBUS: one process a model contains that.
#include "gguf/gguf.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "gguf/directory.h"

static const struct {
    const char *name;
    uint32_t bytes; // of one element; 0: not of fixed size
} kinds[GGUF_TYPE_COUNT] = {
    [GGUF_U8] = {"u8", 1},       [GGUF_I8] = {"i8", 1},     [GGUF_U16] = {"u16", 2},
    [GGUF_I16] = {"i16", 2},     [GGUF_U32] = {"u32", 4},   [GGUF_I32] = {"i32", 4},
    [GGUF_F32] = {"f32", 4},     [GGUF_BOOL] = {"bool", 1}, [GGUF_STRING] = {"string", 0},
    [GGUF_ARRAY] = {"array", 0}, [GGUF_U64] = {"u64", 8},   [GGUF_I64] = {"i64", 8},
    [GGUF_F64] = {"f64", 8},
};

const char *gguf_type_name(enum gguf_type type)
{
    return kinds[type].name;
}

uint32_t gguf_type_bytes(enum gguf_type type)
{
    return kinds[type].bytes;
}

int gguf_open(struct gguf **out, int fd, struct err *err)
{
    int rc = -1;
    struct gguf *g = xcalloc(1, sizeof *g);
    struct stat st;

    if (fstat(fd, &st) != 0) {
        err_set(err, ERR_INTERNAL, "cannot look at the file: %s", strerror(errno));
        goto out;
    }
    if (!S_ISREG(st.st_mode)) {
        err_set(err, ERR_FORMAT, "not a regular file");
        goto out;
    }
    if (st.st_size == 0) {
        err_set(err, ERR_FORMAT, "the file is empty: truncated, at least 24 bytes are missing");
        goto out;
    }
    void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) {
        err_set(err, ERR_NO_MEMORY, "cannot map the file: %s", strerror(errno));
        goto out;
    }
    g->map = map;
    g->size_bytes = (size_t)st.st_size;
    rc = directory_read(g, err);
out:
    if (rc != 0) {
        gguf_close(g);
        g = NULL;
    }
    *out = g;
    return rc;
}

void gguf_close(struct gguf *g)
{
    if (g == NULL)
        return;
    if (g->map != NULL)
        munmap((void *)(uintptr_t)g->map, g->size_bytes);
    map_fini(&g->keys);
    map_fini(&g->names);
    free(g->values);
    free(g->tensors);
    free(g);
}

uint64_t gguf_file_bytes(const struct gguf *g)
{
    return g->size_bytes;
}

uint32_t gguf_version(const struct gguf *g)
{
    return g->version;
}

size_t gguf_n_values(const struct gguf *g)
{
    return g->n_values;
}

const struct gguf_value *gguf_value_at(const struct gguf *g, size_t i)
{
    assert(i < g->n_values);
    return &g->values[i];
}

const struct gguf_value *gguf_find(const struct gguf *g, const char *key)
{
    uint32_t i;
    return map_find(&g->keys, slice_of(key), &i) ? &g->values[i] : NULL;
}

size_t gguf_n_tensors(const struct gguf *g)
{
    return g->n_tensors;
}

const struct gguf_tensor *gguf_tensor_at(const struct gguf *g, size_t i)
{
    assert(i < g->n_tensors);
    return &g->tensors[i];
}

const struct gguf_tensor *gguf_find_tensor(const struct gguf *g, const char *name)
{
    uint32_t i;
    return map_find(&g->names, slice_of(name), &i) ? &g->tensors[i] : NULL;
}

void gguf_forget_tensor(const struct gguf *g, const struct gguf_tensor *t)
{
    // Whole pages, neighbours' parts included: what is still needed of these comes back from the file.
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t begin = (uintptr_t)t->data & ~(page - 1);
    uintptr_t end = ROUND_UP((uintptr_t)t->data + t->size_bytes, page);
    uintptr_t map_end = ROUND_UP((uintptr_t)g->map + g->size_bytes, page);
    end = MIN(end, map_end);
    if (t->size_bytes > 0)
        madvise((void *)begin, end - begin, MADV_DONTNEED);
}
