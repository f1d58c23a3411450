// SPDX-License-Identifier: MIT
// How values are laid into messages: little-endian, unpadded; texts as u32 length + bytes. The reading side
// is base/cursor.h.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/cursor.h"
#include "base/strbuf.h"

// A length of PACK_ABSENT says "no text", which differs from an empty one.
#define PACK_ABSENT UINT32_MAX

#define PACK_PUSH(suffix, type)                                                                              \
    static inline void pack_##suffix(struct strbuf *out, type value)                                         \
    {                                                                                                        \
        strbuf_push(out, &value, sizeof value);                                                              \
    }
PACK_PUSH(u8, uint8_t)
PACK_PUSH(u16, uint16_t)
PACK_PUSH(u32, uint32_t)
PACK_PUSH(u64, uint64_t)
PACK_PUSH(i32, int32_t)
PACK_PUSH(i64, int64_t)
PACK_PUSH(f32, float)
#undef PACK_PUSH

static inline void pack_bool(struct strbuf *out, bool value)
{
    pack_u8(out, value ? 1 : 0);
}

static inline void pack_bytes(struct strbuf *out, const void *bytes, size_t n)
{
    pack_u32(out, (uint32_t)n);
    strbuf_push(out, bytes, n);
}

static inline void pack_text(struct strbuf *out, const char *text) // NULL: absent
{
    if (text == NULL)
        pack_u32(out, PACK_ABSENT);
    else
        pack_bytes(out, text, strlen(text));
}

static inline bool unpack_bool(struct cursor *c)
{
    uint8_t value = cursor_u8(c);
    if (value > 1)
        c->failed = true;
    return value == 1;
}

static inline int64_t unpack_i64(struct cursor *c)
{
    return (int64_t)cursor_u64(c);
}

// A number of things that take at least `each_bytes` each in what is left; more than can be there is broken
// input.
static inline uint32_t unpack_count(struct cursor *c, size_t each_bytes)
{
    uint32_t count = cursor_u32(c);
    if (count > cursor_left(c) / each_bytes) {
        c->failed = true;
        return 0;
    }
    return count;
}

// Everything read, nothing left over, nothing missing.
static inline bool unpack_is_whole(const struct cursor *c)
{
    return !c->failed && c->at == c->end;
}

// Into a fixed array, terminated; a longer text and none are broken input.
void unpack_text_into(struct cursor *c, char *out, size_t out_bytes);
