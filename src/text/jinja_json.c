// SPDX-License-Identifier: MIT
// JSON as Python's json.dumps writes it.
#include <stdio.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "text/jinja_run.h"

static void put_unicode_escape(struct jinja_run *r, struct jinja_sink *s, uint32_t c)
{
    char text[16];
    if (c >= 0x10000)
        snprintf(text, sizeof text, "\\u%04x\\u%04x", 0xD800 + ((c - 0x10000) >> 10),
                 0xDC00 + ((c - 0x10000) & 0x3FF));
    else
        snprintf(text, sizeof text, "\\u%04x", c);
    jinja_put_slice(r, s, slice_of(text));
}

static void put_string(struct jinja_run *r, struct jinja_sink *s, struct slice text, bool ascii)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    size_t plain = 0;
    jinja_put(r, s, "\"", 1);
    for (size_t i = 0; i < text.n && !r->failed;) {
        uint32_t c;
        size_t n = utf8_decode(text.at + i, text.n - i, &c);
        if (c >= 0x20 && c != '"' && c != '\\' && c != UTF8_INVALID && (c < 0x80 || !ascii)) {
            i += n;
            continue;
        }
        jinja_put(r, s, text.at + plain, i - plain);
        const char *simple = c != 0 && c < 0x80 ? strchr(from, (int)c) : NULL;
        if (simple != NULL) {
            char escape[2] = {'\\', to[simple - from]};
            jinja_put(r, s, escape, 2);
        } else if (c == UTF8_INVALID && !ascii) {
            jinja_put_code_point(r, s, UTF8_REPLACEMENT);
        } else {
            put_unicode_escape(r, s, c == UTF8_INVALID ? UTF8_REPLACEMENT : c);
        }
        i += n;
        plain = i;
    }
    jinja_put(r, s, text.at + plain, text.n - plain);
    jinja_put(r, s, "\"", 1);
}

static void put_break(struct jinja_run *r, struct jinja_sink *s, const struct jinja_json_style *style,
                      int depth)
{
    if (style->indent < 0 && style->indent_text.at == NULL)
        return;
    jinja_put(r, s, "\n", 1);
    for (int i = 0; i < depth; i++) {
        if (style->indent_text.at != NULL)
            jinja_put_slice(r, s, style->indent_text);
        for (int64_t k = 0; style->indent_text.at == NULL && k < style->indent && jinja_step(r, 1); k++)
            jinja_put(r, s, " ", 1);
    }
}

static void put_key(struct jinja_run *r, struct jinja_sink *s, struct jinja_value key,
                    const struct jinja_json_style *style)
{
    struct jinja_sink text = {0};
    switch (key.kind) {
    case JINJA_TEXT:
        put_string(r, s, jinja_slice(key), style->ascii);
        return;
    case JINJA_NONE:
    case JINJA_BOOL:
    case JINJA_INT:
    case JINJA_FLOAT:
        jinja_put_json(r, &text, key, style, 0);
        put_string(r, s, slice_make(text.n > 0 ? text.at : "", text.n), style->ascii);
        return;
    default:
        jinja_fail(r, ERR_FORMAT, "keys must be str, int, float, bool or None, not %s", jinja_type_name(key));
    }
}

static int compare_pairs(const void *a, const void *b)
{
    struct slice x = jinja_slice(((const struct jinja_pair *)a)->key),
                 y = jinja_slice(((const struct jinja_pair *)b)->key);
    int order = memcmp(x.at, y.at, MIN(x.n, y.n));
    return order != 0 ? order : (x.n > y.n) - (x.n < y.n);
}

// The pairs in order of their keys, which must be texts.
static const struct jinja_pair *sorted_pairs(struct jinja_run *r, const struct jinja_dict *d)
{
    struct jinja_pair *pairs = jinja_alloc(r, d->n, sizeof *pairs);
    for (size_t i = 0; i < d->n && pairs != NULL; i++) {
        pairs[i] = d->pairs[i];
        if (pairs[i].key.kind != JINJA_TEXT)
            jinja_fail(r, ERR_UNSUPPORTED, "tojson with sort_keys and keys that are no text");
    }
    if (pairs != NULL && !r->failed && jinja_step(r, d->n * 8))
        qsort(pairs, d->n, sizeof *pairs, compare_pairs);
    return pairs;
}

static void put_object(struct jinja_run *r, struct jinja_sink *s, const struct jinja_dict *d,
                       const struct jinja_json_style *style, int depth)
{
    const struct jinja_pair *pairs = style->sort_keys && d->n > 1 ? sorted_pairs(r, d) : d->pairs;
    jinja_put(r, s, "{", 1);
    for (size_t i = 0; i < d->n && jinja_step(r, 1); i++) {
        if (i > 0)
            jinja_put_slice(r, s, style->comma);
        put_break(r, s, style, depth + 1);
        put_key(r, s, pairs[i].key, style);
        jinja_put_slice(r, s, style->colon);
        jinja_put_json(r, s, pairs[i].value, style, depth + 1);
    }
    if (d->n > 0)
        put_break(r, s, style, depth);
    jinja_put(r, s, "}", 1);
}

static void put_array(struct jinja_run *r, struct jinja_sink *s, const struct jinja_list *l,
                      const struct jinja_json_style *style, int depth)
{
    jinja_put(r, s, "[", 1);
    for (size_t i = 0; i < l->n && jinja_step(r, 1); i++) {
        if (i > 0)
            jinja_put_slice(r, s, style->comma);
        put_break(r, s, style, depth + 1);
        jinja_put_json(r, s, l->at[i], style, depth + 1);
    }
    if (l->n > 0)
        put_break(r, s, style, depth);
    jinja_put(r, s, "]", 1);
}

static void put_real(struct jinja_run *r, struct jinja_sink *s, double real)
{
    if (real != real || real - real != 0)
        jinja_put_slice(r, s, slice_of(real != real ? "NaN" : real > 0 ? "Infinity" : "-Infinity"));
    else
        jinja_put_float(r, s, real);
}

void jinja_put_json(struct jinja_run *r, struct jinja_sink *s, struct jinja_value v,
                    const struct jinja_json_style *style, int depth)
{
    if (depth > JINJA_DATA_DEPTH) {
        jinja_fail(r, ERR_TOO_LARGE, "a value nested too deep");
        return;
    }
    bool is_sequence =
        v.kind == JINJA_LIST && (v.list->flavor == JINJA_FLAVOR_LIST || v.list->flavor == JINJA_FLAVOR_TUPLE);
    if (v.kind == JINJA_NONE)
        jinja_put_slice(r, s, slice_of("null"));
    else if (v.kind == JINJA_BOOL)
        jinja_put_slice(r, s, slice_of(v.flag ? "true" : "false"));
    else if (v.kind == JINJA_INT)
        jinja_put_repr(r, s, v);
    else if (v.kind == JINJA_FLOAT)
        put_real(r, s, v.real);
    else if (v.kind == JINJA_TEXT)
        put_string(r, s, jinja_slice(v), style->ascii);
    else if (is_sequence)
        put_array(r, s, v.list, style, depth);
    else if (v.kind == JINJA_DICT)
        put_object(r, s, v.dict, style, depth);
    else if (v.kind == JINJA_UNDEFINED)
        jinja_fail_undefined(r, v);
    else
        jinja_fail(r, ERR_FORMAT, "object of type %s is not JSON serializable", jinja_type_name(v));
}
