// SPDX-License-Identifier: MIT
// Reading bytes from outside. A cursor never leaves its range: a read that does not fit sets `failed`,
// returns zero, and every later read fails too, so a parser may read a whole record and check once.
// Little-endian.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/slice.h"

struct cursor {
    const unsigned char *start, *at, *end;
    bool failed;
};

static inline struct cursor cursor_make(const void *bytes, size_t n)
{
    return (struct cursor){bytes, bytes, (const unsigned char *)bytes + n, false};
}

static inline size_t cursor_left(const struct cursor *c)
{
    return c->failed ? 0 : (size_t)(c->end - c->at);
}

static inline size_t cursor_offset(const struct cursor *c)
{
    return (size_t)(c->at - c->start);
}

// The next n bytes, or NULL.
static inline const void *cursor_take(struct cursor *c, uint64_t n)
{
    if (n > cursor_left(c)) {
        c->failed = true;
        return NULL;
    }
    const void *p = c->at;
    c->at += n;
    return p;
}

#define CURSOR_READ(suffix, type)                                                                            \
    static inline type cursor_##suffix(struct cursor *c)                                                     \
    {                                                                                                        \
        type value = 0;                                                                                      \
        const void *p = cursor_take(c, sizeof value);                                                        \
        if (p != NULL)                                                                                       \
            memcpy(&value, p, sizeof value);                                                                 \
        return value;                                                                                        \
    }
CURSOR_READ(u8, uint8_t)
CURSOR_READ(u16, uint16_t)
CURSOR_READ(u32, uint32_t)
CURSOR_READ(u64, uint64_t)
CURSOR_READ(i32, int32_t)
CURSOR_READ(f32, float)
CURSOR_READ(f64, double)
#undef CURSOR_READ

static inline struct slice cursor_bytes(struct cursor *c, uint64_t n)
{
    const void *p = cursor_take(c, n);
    return p ? slice_make(p, (size_t)n) : slice_make("", 0);
}
