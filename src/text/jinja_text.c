// SPDX-License-Identifier: MIT
// Values as text the way Python prints them, and what Python calls white space and line ends. Sinks grow in
// the arena.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <utf8proc.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "text/jinja_run.h"

// ---- sinks ----

void jinja_put(struct jinja_run *r, struct jinja_sink *s, const void *bytes, size_t n)
{
    if (n == 0 || !jinja_step(r, n / 32))
        return;
    if (n > s->capacity - s->n) {
        size_t capacity = MAX(s->n + n, s->capacity * 2);
        capacity = MAX(capacity, 64);
        char *at = jinja_alloc(r, capacity, 1);
        if (at == NULL)
            return;
        if (s->n > 0)
            memcpy(at, s->at, s->n);
        s->at = at;
        s->capacity = capacity;
    }
    memcpy(s->at + s->n, bytes, n);
    s->n += n;
}

void jinja_put_slice(struct jinja_run *r, struct jinja_sink *s, struct slice text)
{
    jinja_put(r, s, text.at, text.n);
}

void jinja_put_code_point(struct jinja_run *r, struct jinja_sink *s, uint32_t c)
{
    char bytes[4];
    jinja_put(r, s, bytes, utf8_encode(c, bytes));
}

struct jinja_value jinja_sink_text(struct jinja_run *r, struct jinja_sink *s)
{
    struct jinja_value out = jinja_text_borrow(r, slice_make(s->n > 0 ? s->at : "", s->n));
    *s = (struct jinja_sink){0};
    return out;
}

// ---- white space ----

static bool is_space(uint32_t c)
{
    if (c < 0x80)
        return (c >= 9 && c <= 13) || (c >= 0x1C && c <= 0x20);
    return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
           c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

size_t jinja_space_at(struct slice text)
{
    uint32_t c;
    if (text.n == 0)
        return 0;
    size_t n = utf8_decode(text.at, text.n, &c);
    return is_space(c) ? n : 0;
}

size_t jinja_space_before(struct slice text)
{
    for (size_t n = 1; n <= 3 && n <= text.n; n++) {
        if ((text.at[text.n - n] & 0xC0) == 0x80)
            continue;
        uint32_t c;
        size_t length = utf8_decode(text.at + text.n - n, n, &c);
        return length == n && is_space(c) ? n : 0;
    }
    return 0;
}

size_t jinja_line_length(struct slice text, size_t *end_bytes)
{
    for (size_t i = 0; i < text.n;) {
        uint32_t c;
        size_t n = utf8_decode(text.at + i, text.n - i, &c);
        bool is_end =
            (c >= 10 && c <= 13) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
        if (is_end) {
            *end_bytes = c == '\r' && i + 1 < text.n && text.at[i + 1] == '\n' ? 2 : n;
            return i;
        }
        i += n;
    }
    *end_bytes = 0;
    return text.n;
}

// ---- str() and repr() ----

// The fewest digits that read back the same; an exponent below 1e-4 and from 1e16 on.
void jinja_put_float(struct jinja_run *r, struct jinja_sink *s, double real)
{
    if (isnan(real) || isinf(real)) {
        jinja_put_slice(r, s, slice_of(isnan(real) ? "nan" : real < 0 ? "-inf" : "inf"));
        return;
    }
    char text[40], digits[24];
    int precision = 0;
    do
        snprintf(text, sizeof text, "%.*e", precision, fabs(real));
    while (strtod(text, NULL) != fabs(real) && ++precision < 17);
    int n = 0, exponent = (int)strtol(strchr(text, 'e') + 1, NULL, 10);
    for (const char *p = text; *p != 'e'; p++)
        if (*p >= '0' && *p <= '9')
            digits[n++] = *p;
    if (signbit(real))
        jinja_put(r, s, "-", 1);
    if (exponent < -4 || exponent >= 16) {
        jinja_put(r, s, digits, 1);
        if (n > 1)
            jinja_put(r, s, ".", 1);
        jinja_put(r, s, digits + 1, (size_t)n - 1);
        snprintf(text, sizeof text, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
        jinja_put_slice(r, s, slice_of(text));
        return;
    }
    int point = exponent + 1; // digits in front of it
    if (point <= 0) {
        jinja_put(r, s, "0.000", 2 + (size_t)-point);
        point = 0;
    }
    for (int i = 0; i < MAX(n, point + 1); i++) {
        if (i == point && exponent >= 0)
            jinja_put(r, s, ".", 1);
        jinja_put(r, s, i < n ? digits + i : "0", 1);
    }
}

static bool is_printable(uint32_t c)
{
    if (c < 0x7F)
        return c >= 0x20;
    switch (utf8proc_category((utf8proc_int32_t)c)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS:
        return false;
    default:
        return true;
    }
}

static void put_quoted(struct jinja_run *r, struct jinja_sink *s, struct slice text)
{
    bool has_single = memchr(text.at, '\'', text.n) != NULL,
         has_double = memchr(text.at, '"', text.n) != NULL;
    char quote = has_single && !has_double ? '"' : '\'';
    jinja_put(r, s, &quote, 1);
    for (size_t i = 0; i < text.n && !r->failed;) {
        uint32_t c;
        char escape[16];
        size_t n = utf8_decode(text.at + i, text.n - i, &c);
        const char *named = c == '\n'   ? "\\n"
                            : c == '\r' ? "\\r"
                            : c == '\t' ? "\\t"
                            : c == '\\' ? "\\\\"
                                        : NULL;
        if (c == UTF8_INVALID)
            jinja_put_code_point(r, s, UTF8_REPLACEMENT);
        else if (named != NULL)
            jinja_put_slice(r, s, slice_of(named));
        else if (c == (uint32_t)quote)
            jinja_put(r, s, "\\'", 2);
        else if (is_printable(c))
            jinja_put(r, s, text.at + i, n);
        else {
            snprintf(escape, sizeof escape, c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", c);
            jinja_put_slice(r, s, slice_of(escape));
        }
        i += n;
    }
    jinja_put(r, s, &quote, 1);
}

static void put_repr(struct jinja_run *r, struct jinja_sink *s, struct jinja_value v, int depth);

static void put_list(struct jinja_run *r, struct jinja_sink *s, const struct jinja_list *l, int depth)
{
    bool is_tuple = l->flavor == JINJA_FLAVOR_TUPLE;
    if (l->flavor != JINJA_FLAVOR_LIST && !is_tuple) {
        struct jinja_value v = {.kind = JINJA_LIST, .list = (struct jinja_list *)l};
        jinja_fail(r, ERR_UNSUPPORTED, "printing a %s (use the `list` filter)", jinja_type_name(v));
        return;
    }
    jinja_put(r, s, is_tuple ? "(" : "[", 1);
    for (size_t i = 0; i < l->n && jinja_step(r, 1); i++) {
        if (i > 0)
            jinja_put(r, s, ", ", 2);
        put_repr(r, s, l->at[i], depth + 1);
    }
    jinja_put_slice(r, s, slice_of(!is_tuple ? "]" : l->n == 1 ? ",)" : ")"));
}

static void put_dict(struct jinja_run *r, struct jinja_sink *s, const struct jinja_dict *d, int depth)
{
    jinja_put(r, s, "{", 1);
    for (size_t i = 0; i < d->n && jinja_step(r, 1); i++) {
        if (i > 0)
            jinja_put(r, s, ", ", 2);
        put_repr(r, s, d->pairs[i].key, depth + 1);
        jinja_put(r, s, ": ", 2);
        put_repr(r, s, d->pairs[i].value, depth + 1);
    }
    jinja_put(r, s, "}", 1);
}

static void put_repr(struct jinja_run *r, struct jinja_sink *s, struct jinja_value v, int depth)
{
    char number[24];
    if (depth > JINJA_DATA_DEPTH) {
        jinja_fail(r, ERR_TOO_LARGE, "a value nested too deep");
        return;
    }
    switch (v.kind) {
    case JINJA_MISSING:
    case JINJA_UNDEFINED:
        jinja_put_slice(r, s, slice_of(depth > 0 ? "Undefined" : ""));
        break;
    case JINJA_NONE:
        jinja_put_slice(r, s, slice_of("None"));
        break;
    case JINJA_BOOL:
        jinja_put_slice(r, s, slice_of(v.flag ? "True" : "False"));
        break;
    case JINJA_INT:
        snprintf(number, sizeof number, "%lld", (long long)v.integer);
        jinja_put_slice(r, s, slice_of(number));
        break;
    case JINJA_FLOAT:
        jinja_put_float(r, s, v.real);
        break;
    case JINJA_TEXT:
        jinja_put_slice(r, s, slice_of(v.markup ? "Markup(" : ""));
        put_quoted(r, s, jinja_slice(v));
        jinja_put_slice(r, s, slice_of(v.markup ? ")" : ""));
        break;
    case JINJA_LIST:
        put_list(r, s, v.list, depth);
        break;
    case JINJA_DICT:
        put_dict(r, s, v.dict, depth);
        break;
    case JINJA_NAMESPACE:
        jinja_put_slice(r, s, slice_of("<Namespace "));
        put_dict(r, s, v.dict, depth);
        jinja_put(r, s, ">", 1);
        break;
    default:
        jinja_fail(r, ERR_UNSUPPORTED, "printing a %s", jinja_type_name(v));
        break;
    }
}

void jinja_put_repr(struct jinja_run *r, struct jinja_sink *s, struct jinja_value v)
{
    if (v.kind == JINJA_UNDEFINED)
        jinja_put_slice(r, s, slice_of("Undefined"));
    else
        put_repr(r, s, v, 0);
}

void jinja_put_str(struct jinja_run *r, struct jinja_sink *s, struct jinja_value v)
{
    if (v.kind == JINJA_TEXT)
        jinja_put_slice(r, s, jinja_slice(v));
    else
        put_repr(r, s, v, 0);
}

struct jinja_value jinja_str(struct jinja_run *r, struct jinja_value v)
{
    if (v.kind == JINJA_TEXT)
        return v;
    struct jinja_sink s = {0};
    jinja_put_str(r, &s, v);
    return jinja_sink_text(r, &s);
}

struct jinja_value jinja_escape(struct jinja_run *r, struct jinja_value v)
{
    static const struct {
        char c;
        const char *text;
    } escapes[] = {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&#34;"}, {'\'', "&#39;"}};
    if (v.kind == JINJA_TEXT && v.markup)
        return v;
    struct jinja_value text = jinja_str(r, v);
    struct slice s = jinja_slice(text);
    struct jinja_sink out = {0};
    size_t from = 0;
    for (size_t i = 0; i < s.n && !r->failed; i++) {
        for (size_t k = 0; k < COUNT_OF(escapes); k++) {
            if (s.at[i] != escapes[k].c)
                continue;
            jinja_put(r, &out, s.at + from, i - from);
            jinja_put_slice(r, &out, slice_of(escapes[k].text));
            from = i + 1;
        }
    }
    jinja_put(r, &out, s.at + from, s.n - from);
    struct jinja_value escaped = jinja_sink_text(r, &out);
    escaped.markup = true;
    return escaped;
}
