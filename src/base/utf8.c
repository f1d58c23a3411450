// SPDX-License-Identifier: MIT
#include "base/utf8.h"

#include "base/mem.h"

// Length that a lead byte announces; 0 for bytes that can never lead.
static size_t lead_length(unsigned char c)
{
    if (c < 0x80)
        return 1;
    if (c >= 0xC2 && c <= 0xDF)
        return 2;
    if (c >= 0xE0 && c <= 0xEF)
        return 3;
    if (c >= 0xF0 && c <= 0xF4)
        return 4;
    return 0;
}

// The second byte has a narrower range after some leads (Unicode table 3-7).
static bool second_is_valid(unsigned char lead, unsigned char c)
{
    switch (lead) {
    case 0xE0:
        return c >= 0xA0 && c <= 0xBF;
    case 0xED:
        return c >= 0x80 && c <= 0x9F;
    case 0xF0:
        return c >= 0x90 && c <= 0xBF;
    case 0xF4:
        return c >= 0x80 && c <= 0x8F;
    default:
        return c >= 0x80 && c <= 0xBF;
    }
}

size_t utf8_decode(const char *at, size_t n, uint32_t *code_point)
{
    const unsigned char *p = (const unsigned char *)at;
    size_t length = lead_length(p[0]);
    *code_point = UTF8_INVALID;
    if (length == 0 || length > n)
        return 1;
    if (length == 1) {
        *code_point = p[0];
        return 1;
    }
    if (!second_is_valid(p[0], p[1]))
        return 1;
    uint32_t value = p[0] & (0xFFu >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 1;
        value = value << 6 | (p[i] & 0x3F);
    }
    *code_point = value;
    return length;
}

size_t utf8_encode(uint32_t c, char out[4])
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xC0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xE0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3F));
        out[2] = (char)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3F));
    out[2] = (char)(0x80 | (c >> 6 & 0x3F));
    out[3] = (char)(0x80 | (c & 0x3F));
    return 4;
}

bool utf8_is_valid(struct slice text)
{
    for (size_t i = 0; i < text.n;) {
        uint32_t c;
        i += utf8_decode(text.at + i, text.n - i, &c);
        if (c == UTF8_INVALID)
            return false;
    }
    return true;
}

size_t utf8_count(struct slice text)
{
    size_t count = 0;
    for (size_t i = 0; i < text.n; count++) {
        uint32_t c;
        i += utf8_decode(text.at + i, text.n - i, &c);
    }
    return count;
}

size_t utf8_incomplete_tail(struct slice text)
{
    const unsigned char *p = (const unsigned char *)text.at;
    for (size_t back = 1; back <= 3 && back <= text.n; back++) {
        unsigned char c = p[text.n - back];
        if ((c & 0xC0) == 0x80)
            continue;
        if (lead_length(c) <= back)
            return 0;
        // A lead that can still become a character: what follows it so far must be valid.
        if (back >= 2 && !second_is_valid(c, p[text.n - back + 1]))
            return 0;
        return back;
    }
    return 0;
}

void utf8_push_valid(struct strbuf *out, struct slice text)
{
    for (size_t i = 0; i < text.n;) {
        uint32_t c;
        size_t n = utf8_decode(text.at + i, text.n - i, &c);
        if (c == UTF8_INVALID)
            strbuf_push(out, "\xEF\xBF\xBD", 3);
        else
            strbuf_push(out, text.at + i, n);
        i += n;
    }
}
