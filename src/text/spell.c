// SPDX-License-Identifier: MIT
// Ranges of code points become sequences of ranges of bytes: the part where the first byte is that of the
// lower end, the part where it is that of the upper end, and all between, whose later bytes are free.
#include "text/spell.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"

enum { NO_STATE = UINT32_MAX };

struct spelling {
    struct grammar *g;
    uint32_t to;
    uint32_t free[4]; // free[n]: the state from which n bytes 0x80..0xBF lead to `to`
};

static struct spelling spelling_to(struct grammar *g, uint32_t to)
{
    return (struct spelling){g, to, {to, NO_STATE, NO_STATE, NO_STATE}};
}

static uint32_t free_bytes(struct spelling *s, size_t n)
{
    if (s->free[n] == NO_STATE) {
        s->free[n] = grammar_add_state(s->g);
        grammar_add_bytes(s->g, s->free[n], 0x80, 0xBF, free_bytes(s, n - 1));
    }
    return s->free[n];
}

static bool are_all(const uint8_t *bytes, size_t n, uint8_t value)
{
    for (size_t i = 0; i < n; i++)
        if (bytes[i] != value)
            return false;
    return true;
}

static void write_bytes(struct spelling *s, uint32_t from, const uint8_t *lo, const uint8_t *hi, size_t n)
{
    static const uint8_t low[4] = {0x80, 0x80, 0x80, 0x80}, high[4] = {0xBF, 0xBF, 0xBF, 0xBF};
    uint8_t first = lo[0], last = hi[0];
    bool has_low = n > 1 && !are_all(lo + 1, n - 1, 0x80), has_high = n > 1 && !are_all(hi + 1, n - 1, 0xBF);
    if (first == last && (has_low || has_high)) {
        uint32_t state = grammar_add_state(s->g);
        grammar_add_bytes(s->g, from, first, first, state);
        write_bytes(s, state, lo + 1, hi + 1, n - 1);
        return;
    }
    if (has_low) {
        uint32_t state = grammar_add_state(s->g);
        grammar_add_bytes(s->g, from, first, first, state);
        write_bytes(s, state, lo + 1, high, n - 1);
        first++;
    }
    if (has_high) {
        uint32_t state = grammar_add_state(s->g);
        grammar_add_bytes(s->g, from, last, last, state);
        write_bytes(s, state, low, hi + 1, n - 1);
        last--;
    }
    if (first <= last)
        grammar_add_bytes(s->g, from, first, last, free_bytes(s, n - 1));
}

// Code points without surrogates.
static void write_range(struct spelling *s, uint32_t from, uint32_t lo, uint32_t hi)
{
    static const uint32_t last_of[] = {0x7F, 0x7FF, 0xD7FF, 0xDFFF, 0xFFFF, CODE_POINT_MAX};
    for (size_t i = 0; i < COUNT_OF(last_of) && lo <= hi; i++) {
        uint32_t end = MIN(hi, last_of[i]);
        uint8_t a[4] = {0}, b[4] = {0};
        if (lo > last_of[i])
            continue;
        if (last_of[i] != 0xDFFF) {
            size_t n = utf8_encode(lo, (char *)a);
            assert(n <= sizeof a);
            utf8_encode(end, (char *)b);
            write_bytes(s, from, a, b, n);
        }
        lo = end + 1;
    }
}

void spell_range(struct grammar *g, uint32_t from, uint32_t lo, uint32_t hi, uint32_t to)
{
    struct spelling s = spelling_to(g, to);
    write_range(&s, from, lo, hi);
}

static void write_escape(struct grammar *g, uint32_t from, uint32_t c, uint32_t to)
{
    static const char controls[] = "\b\t\n\f\r", letters[] = "btnfr";
    char text[8] = {'\\', (char)c, 0};
    const char *known = c > 0 && c < 32 ? strchr(controls, (int)c) : NULL;
    if (known != NULL)
        text[1] = letters[known - controls];
    else if (c < 32)
        text[1] = 'u', text[2] = text[3] = '0', text[4] = (char)('0' + c / 16),
        text[5] = "0123456789abcdef"[c % 16];
    grammar_add_text(g, from, slice_of(text), to);
}

static void write_edge(struct spelling *s, bool in_string, uint32_t from, uint32_t lo, uint32_t hi)
{
    uint32_t last = MIN(hi, 0x5Cu);
    if (!in_string) {
        write_range(s, from, lo, hi);
        return;
    }
    for (uint32_t c = MAX(lo, 1u); c <= last; c++)
        if (c < 32 || c == '"' || c == '\\')
            write_escape(s->g, from, c, s->to);
    static const struct {
        uint32_t lo, hi;
    } plain[] = {{0x20, 0x21}, {0x23, 0x5B}, {0x5D, CODE_POINT_MAX}};
    for (size_t i = 0; i < COUNT_OF(plain); i++)
        if (MAX(lo, plain[i].lo) <= MIN(hi, plain[i].hi))
            write_range(s, from, MAX(lo, plain[i].lo), MIN(hi, plain[i].hi));
}

void spell_automaton(struct grammar *g, const struct automaton *a, bool in_string, uint32_t from, uint32_t to)
{
    struct spelling *spellings = xcalloc(a->n_states + 1ul, sizeof *spellings);
    for (uint32_t q = 0; q < a->n_states; q++)
        spellings[q] = spelling_to(g, grammar_add_state(g));
    for (uint32_t q = 0; q < a->n_states && !g->is_full; q++) {
        for (uint32_t i = a->first[q]; i < a->first[q + 1]; i++)
            write_edge(&spellings[a->edges[i].to], in_string, spellings[q].to, a->edges[i].lo,
                       a->edges[i].hi);
        if (a->accepts[q])
            grammar_add_jump(g, spellings[q].to, to);
    }
    if (a->n_states > 0)
        grammar_add_jump(g, from, spellings[0].to);
    free(spellings);
}

// ---- Any character ----

static const char *const hex_digits[] = {"09", "af", "AF", NULL};

static void write_hex(struct grammar *g, uint32_t from, const char *const *ranges, uint32_t to)
{
    for (; *ranges != NULL; ranges++)
        grammar_add_bytes(g, from, (uint8_t)(*ranges)[0], (uint8_t)(*ranges)[1], to);
}

// After "\u": four digits that are no surrogate and not 0000, or a pair of surrogates.
static void write_utf16(struct grammar *g, uint32_t from, uint32_t to)
{
    static const char *const not_zero[] = {"19", "af", "AF", NULL}, *const first[] = {"19", "ac", "AC",
                                                                                      "ef", "EF", NULL};
    static const char *const low[] = {"07", NULL}, *const high[] = {"89", "ab", "AB", NULL},
                             *const second[] = {"cf", "CF", NULL};
    static const char *const d[] = {"dd", "DD", NULL};
    uint32_t one = grammar_add_state(g), two = grammar_add_state(g), three = grammar_add_state(g);
    write_hex(g, three, hex_digits, to);
    write_hex(g, two, hex_digits, three);
    write_hex(g, one, hex_digits, two);
    write_hex(g, from, first, one);
    uint32_t zero = from;
    for (int i = 0; i < 3; i++) {
        uint32_t next = grammar_add_state(g);
        grammar_add_bytes(g, zero, '0', '0', next);
        write_hex(g, next, not_zero, i == 0 ? two : i == 1 ? three : to);
        zero = next;
    }
    uint32_t surrogate = grammar_add_state(g), h2 = grammar_add_state(g), h3 = grammar_add_state(g),
             between = grammar_add_state(g), pair = grammar_add_state(g), pair_d = grammar_add_state(g);
    write_hex(g, from, d, surrogate);
    write_hex(g, surrogate, low, two);
    write_hex(g, surrogate, high, h2);
    write_hex(g, h2, hex_digits, h3);
    write_hex(g, h3, hex_digits, between);
    grammar_add_text(g, between, slice_of("\\u"), pair);
    write_hex(g, pair, d, pair_d);
    write_hex(g, pair_d, second, two);
}

void spell_any_char(struct grammar *g, uint32_t from, uint32_t to)
{
    struct spelling s = spelling_to(g, to);
    uint32_t escape = grammar_add_state(g), utf = grammar_add_state(g);
    write_range(&s, from, 0x20, 0x21);
    write_range(&s, from, 0x23, 0x5B);
    write_range(&s, from, 0x5D, 0x7E);
    write_range(&s, from, 0x80, CODE_POINT_MAX);
    grammar_add_bytes(g, from, '\\', '\\', escape);
    for (const char *c = "\"\\/bfnrt"; *c != 0; c++)
        grammar_add_bytes(g, escape, (uint8_t)*c, (uint8_t)*c, to);
    grammar_add_bytes(g, escape, 'u', 'u', utf);
    write_utf16(g, utf, to);
}
