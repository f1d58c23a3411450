// SPDX-License-Identifier: MIT
#include "base/strbuf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void strbuf_init(struct strbuf *b, size_t cap)
{
    *b = STRBUF_INIT(cap);
}

void strbuf_fini(struct strbuf *b)
{
    free(b->at);
    *b = STRBUF_INIT(b->cap);
}

void strbuf_reset(struct strbuf *b)
{
    b->n = 0;
    b->overflow = false;
    if (b->at != NULL)
        b->at[0] = 0;
}

// Makes room for `extra` bytes and the terminator; returns how many of them fit under the cap.
static size_t reserve(struct strbuf *b, size_t extra)
{
    size_t room = b->cap > b->n ? b->cap - b->n : 0;
    if (extra > room) {
        b->overflow = true;
        extra = room;
    }
    size_t need = b->n + extra + 1;
    if (need > b->capacity) {
        size_t grown = MAX(need, b->capacity * 2);
        b->capacity = MAX(grown, 64);
        b->at = xrealloc(b->at, b->capacity);
    }
    return extra;
}

void strbuf_push(struct strbuf *b, const void *bytes, size_t n)
{
    n = reserve(b, n);
    if (n > 0)
        memcpy(b->at + b->n, bytes, n);
    b->n += n;
    b->at[b->n] = 0;
}

void strbuf_push_char(struct strbuf *b, char c)
{
    strbuf_push(b, &c, 1);
}

void strbuf_push_text(struct strbuf *b, const char *text)
{
    strbuf_push(b, text, strlen(text));
}

void strbuf_push_slice(struct strbuf *b, struct slice s)
{
    strbuf_push(b, s.at, s.n);
}

void strbuf_printf(struct strbuf *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    strbuf_vprintf(b, format, args);
    va_end(args);
}

void strbuf_vprintf(struct strbuf *b, const char *format, va_list args)
{
    char small[256];
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(small, sizeof small, format, args);
    if (n >= 0 && (size_t)n < sizeof small) {
        strbuf_push(b, small, (size_t)n);
    } else if (n >= 0) {
        char *big = xmalloc((size_t)n + 1);
        vsnprintf(big, (size_t)n + 1, format, again);
        strbuf_push(b, big, (size_t)n);
        free(big);
    }
    va_end(again);
}

void strbuf_drop_front(struct strbuf *b, size_t n)
{
    n = MIN(n, b->n);
    if (n == 0)
        return;
    memmove(b->at, b->at + n, b->n - n);
    b->n -= n;
    b->at[b->n] = 0;
}

void strbuf_truncate(struct strbuf *b, size_t n)
{
    if (n < b->n) {
        b->n = n;
        b->at[n] = 0;
    }
}

const char *strbuf_text(struct strbuf *b)
{
    strbuf_push(b, "", 0);
    return b->at;
}

struct slice strbuf_slice(const struct strbuf *b)
{
    return slice_make(b->at, b->n);
}

char *strbuf_take(struct strbuf *b)
{
    strbuf_push(b, "", 0);
    char *text = b->at;
    *b = STRBUF_INIT(b->cap);
    return text;
}
