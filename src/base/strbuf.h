// SPDX-License-Identifier: MIT
// A growing byte buffer with a cap given at birth. Appending beyond the cap drops the excess and sets
// `overflow`, which the owner checks once at the end. Always NUL-terminated once anything was appended or
// strbuf_text() called.
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

struct strbuf {
    char *at;
    size_t n;        // bytes used, terminator not counted
    size_t capacity; // bytes allocated
    size_t cap;      // most bytes it may ever hold
    bool overflow;
};

#define STRBUF_INIT(max_bytes) ((struct strbuf){.cap = (max_bytes)})

void strbuf_init(struct strbuf *b, size_t cap);
void strbuf_fini(struct strbuf *b);
void strbuf_reset(struct strbuf *b); // keeps the memory
void strbuf_push(struct strbuf *b, const void *bytes, size_t n);
void strbuf_push_char(struct strbuf *b, char c);
void strbuf_push_text(struct strbuf *b, const char *text);
void strbuf_push_slice(struct strbuf *b, struct slice s);
void strbuf_printf(struct strbuf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void strbuf_vprintf(struct strbuf *b, const char *format, va_list args);
void strbuf_drop_front(struct strbuf *b, size_t n); // removes the first n bytes
void strbuf_truncate(struct strbuf *b, size_t n);   // keeps the first n bytes
const char *strbuf_text(struct strbuf *b);          // terminated; valid until the next change
struct slice strbuf_slice(const struct strbuf *b);
char *strbuf_take(struct strbuf *b); // the text, now the caller's to free; the buffer is empty again
