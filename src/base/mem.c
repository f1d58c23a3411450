// SPDX-License-Identifier: MIT
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { HUGE_PAGE_BYTES = 2 << 20 };

static void *or_abort(void *p)
{
    if (p == NULL) {
        fputs("drover: out of memory\n", stderr);
        abort();
    }
    return p;
}

void *xmalloc(size_t size_bytes)
{
    return or_abort(malloc(size_bytes ? size_bytes : 1));
}

void *xcalloc(size_t count, size_t size_bytes)
{
    return or_abort(calloc(count ? count : 1, size_bytes ? size_bytes : 1));
}

void *xrealloc(void *old, size_t size_bytes)
{
    return or_abort(realloc(old, size_bytes ? size_bytes : 1));
}

char *xstrdup(const char *text)
{
    return xstrndup(text, strlen(text));
}

char *xstrndup(const char *text, size_t n_bytes)
{
    char *copy = xmalloc(n_bytes + 1);
    memcpy(copy, text, n_bytes);
    copy[n_bytes] = 0;
    return copy;
}

void *mem_try_alloc(size_t count, size_t size_bytes)
{
    return calloc(count ? count : 1, size_bytes ? size_bytes : 1);
}

void *mem_map(size_t size_bytes)
{
    // Over-map by one huge page, then trim both ends, so that the start is aligned.
    size_t size = ROUND_UP(size_bytes ? size_bytes : 1, HUGE_PAGE_BYTES);
    size_t whole = size + HUGE_PAGE_BYTES;
    if (whole < size_bytes)
        return NULL;
    char *base =
        mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return NULL;
    char *start = (char *)ROUND_UP((uintptr_t)base, HUGE_PAGE_BYTES);
    if (start > base)
        munmap(base, (size_t)(start - base));
    size_t tail = (size_t)(base + whole - (start + size));
    if (tail > 0)
        munmap(start + size, tail);
    madvise(start, size, MADV_HUGEPAGE);
    return start;
}

void mem_unmap(void *memory, size_t size_bytes)
{
    if (memory != NULL)
        munmap(memory, ROUND_UP(size_bytes ? size_bytes : 1, HUGE_PAGE_BYTES));
}

void mem_discard(void *memory, size_t size_bytes)
{
    madvise(memory, size_bytes, MADV_DONTNEED);
}

bool mem_mul(size_t a, size_t b, size_t *out)
{
    if (!__builtin_mul_overflow(a, b, out))
        return true;
    *out = 0;
    return false;
}

bool mem_add(size_t a, size_t b, size_t *out)
{
    if (!__builtin_add_overflow(a, b, out))
        return true;
    *out = 0;
    return false;
}
