// SPDX-License-Identifier: MIT
// Chunks that grow from 4 KiB to 1 MiB, larger ones for larger requests. One thread.
#include "text/jinja_arena.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { ALIGN_BYTES = 16, FIRST_CHUNK = 4 << 10, LARGEST_CHUNK = 1 << 20 };

struct jinja_chunk {
    struct jinja_chunk *next;
    size_t grow_bytes; // the next ordinary chunk is twice this
    char bytes[];
};

// Starts a chunk that holds at least size_bytes; false when the system has no memory.
static bool add_chunk(struct jinja_arena *a, size_t size_bytes)
{
    size_t size = a->chunks == NULL ? FIRST_CHUNK : MIN(a->chunks->grow_bytes * 2, LARGEST_CHUNK);
    size = MAX(size, size_bytes);
    struct jinja_chunk *chunk = malloc(sizeof *chunk + size);
    if (chunk == NULL)
        return false;
    // A large request gets a chunk to itself, behind the one that is still being filled.
    if (size == size_bytes && a->chunks != NULL && a->left > 0) {
        chunk->next = a->chunks->next;
        chunk->grow_bytes = a->chunks->grow_bytes;
        a->chunks->next = chunk;
        return true;
    }
    chunk->next = a->chunks;
    chunk->grow_bytes = MIN(size, LARGEST_CHUNK);
    a->chunks = chunk;
    a->at = chunk->bytes;
    a->left = size;
    return true;
}

static void *take(struct jinja_arena *a, size_t size_bytes)
{
    size_t size = ROUND_UP(size_bytes ? size_bytes : 1, ALIGN_BYTES);
    if (size > a->left) {
        struct jinja_chunk *before = a->chunks;
        if (!add_chunk(a, size))
            return NULL;
        if (a->chunks == before) { // stands apart
            a->used_bytes += size;
            return before->next->bytes;
        }
    }
    void *out = a->at;
    a->at += size;
    a->left -= size;
    a->used_bytes += size;
    return out;
}

void *jinja_arena_new(struct jinja_arena *a, size_t size_bytes)
{
    assert(size_bytes <= JINJA_ARENA_SMALL);
    if (a->used_bytes + size_bytes > a->cap_bytes)
        a->full = true;
    void *out = take(a, size_bytes);
    if (out == NULL)
        abort(); // a small control structure: as xmalloc
    memset(out, 0, size_bytes);
    return out;
}

void *jinja_arena_try(struct jinja_arena *a, size_t size_bytes)
{
    void *out = NULL;
    if (size_bytes <= a->cap_bytes && a->used_bytes <= a->cap_bytes - size_bytes)
        out = take(a, size_bytes);
    if (out == NULL)
        a->full = true;
    return out;
}

void jinja_arena_fini(struct jinja_arena *a)
{
    while (a->chunks != NULL) {
        struct jinja_chunk *next = a->chunks->next;
        free(a->chunks);
        a->chunks = next;
    }
    *a = (struct jinja_arena){.cap_bytes = a->cap_bytes};
}
