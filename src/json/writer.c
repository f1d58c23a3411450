// SPDX-License-Identifier: MIT
// The writer. A comma is due before every item of a container but its first, and never after a key; that is
// all the state there is. Numbers are laid out as Go's encoder does: the shortest digits that read back
// equal, plain between 1e-6 and 1e21, else with an exponent.
#include "json/writer.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <float.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/utf8.h"

struct json_writer json_writer_make(struct strbuf *out)
{
    return (struct json_writer){.out = out};
}

static void begin_item(struct json_writer *w)
{
    if (w->after_key) {
        w->after_key = false;
        return;
    }
    if (w->has_items[w->depth])
        strbuf_push_char(w->out, ',');
    w->has_items[w->depth] = true;
}

static void begin_container(struct json_writer *w, char bracket)
{
    begin_item(w);
    assert(w->depth + 1 < JSON_WRITER_DEPTH);
    w->has_items[++w->depth] = false;
    strbuf_push_char(w->out, bracket);
}

static void end_container(struct json_writer *w, char bracket)
{
    assert(w->depth > 0 && !w->after_key);
    w->depth--;
    strbuf_push_char(w->out, bracket);
}

void json_begin_object(struct json_writer *w)
{
    begin_container(w, '{');
}

void json_end_object(struct json_writer *w)
{
    end_container(w, '}');
}

void json_begin_array(struct json_writer *w)
{
    begin_container(w, '[');
}

void json_end_array(struct json_writer *w)
{
    end_container(w, ']');
}

// --- strings ---

// Bytes that go out as they are.
static bool is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&';
}

static void push_escaped(struct strbuf *out, unsigned char c)
{
    static const char short_from[] = "\"\\\n\r\t\b\f", short_to[] = "\"\\nrtbf";
    const char *found = c != 0 ? strchr(short_from, c) : NULL;
    if (found != NULL)
        strbuf_printf(out, "\\%c", short_to[found - short_from]);
    else
        strbuf_printf(out, "\\u%04x", c);
}

// One character that is not plain; returns its length in bytes.
static size_t push_special(struct strbuf *out, const char *at, size_t n)
{
    uint32_t code_point;
    size_t length = utf8_decode(at, n, &code_point);
    if (code_point == UTF8_INVALID)
        strbuf_push_text(out, "\xEF\xBF\xBD");
    else if (code_point < 0x80)
        push_escaped(out, (unsigned char)code_point);
    else if (code_point == 0x2028 || code_point == 0x2029)
        strbuf_printf(out, "\\u%04x", (unsigned)code_point);
    else
        strbuf_push(out, at, length);
    return length;
}

static void push_string(struct strbuf *out, struct slice text)
{
    strbuf_push_char(out, '"');
    for (size_t i = 0; i < text.n;) {
        size_t start = i;
        while (i < text.n && is_plain((unsigned char)text.at[i]))
            i++;
        strbuf_push(out, text.at + start, i - start);
        if (i < text.n)
            i += push_special(out, text.at + i, text.n - i);
    }
    strbuf_push_char(out, '"');
}

void json_key(struct json_writer *w, const char *key)
{
    begin_item(w);
    push_string(w->out, slice_of(key));
    strbuf_push_char(w->out, ':');
    w->after_key = true;
}

void json_put_slice(struct json_writer *w, struct slice text)
{
    begin_item(w);
    push_string(w->out, text);
}

void json_put_text(struct json_writer *w, const char *text)
{
    if (text == NULL)
        json_put_null(w);
    else
        json_put_slice(w, slice_of(text));
}

// --- numbers ---

enum { MAX_DIGITS = 17 };

struct decimal { // 0.d1d2d3... * 10^point
    bool negative;
    int n_digits;
    int point;
    char digits[MAX_DIGITS];
};

// `value` to n_digits significant digits, trailing zeros dropped.
static struct decimal decimal_round(double value, int n_digits)
{
    char text[40];
    snprintf(text, sizeof text, "%.*e", n_digits - 1, fabs(value));
    struct decimal d = {.negative = signbit(value)};
    const char *at = text;
    for (; *at != 'e' && *at != 0; at++) {
        if (*at >= '0' && *at <= '9') // the decimal point may be another character in some locales
            d.digits[d.n_digits++] = *at;
    }
    d.point = *at == 'e' ? atoi(at + 1) + 1 : 1;
    while (d.n_digits > 1 && d.digits[d.n_digits - 1] == '0')
        d.n_digits--;
    return d;
}

static void push_zeros(struct strbuf *out, int n)
{
    for (int i = 0; i < n; i++)
        strbuf_push_char(out, '0');
}

static void decimal_push(struct strbuf *out, const struct decimal *d)
{
    if (d->negative)
        strbuf_push_char(out, '-');
    if (d->point < -5 || d->point > 21) {
        strbuf_push_char(out, d->digits[0]);
        if (d->n_digits > 1)
            strbuf_push_char(out, '.');
        strbuf_push(out, d->digits + 1, (size_t)d->n_digits - 1);
        strbuf_printf(out, "e%c%d", d->point > 0 ? '+' : '-', abs(d->point - 1));
    } else if (d->point <= 0) {
        strbuf_push_text(out, "0.");
        push_zeros(out, -d->point);
        strbuf_push(out, d->digits, (size_t)d->n_digits);
    } else if (d->n_digits <= d->point) {
        strbuf_push(out, d->digits, (size_t)d->n_digits);
        push_zeros(out, d->point - d->n_digits);
    } else {
        strbuf_push(out, d->digits, (size_t)d->point);
        strbuf_push_char(out, '.');
        strbuf_push(out, d->digits + d->point, (size_t)(d->n_digits - d->point));
    }
}

static double decimal_value(const struct decimal *d, bool is_float)
{
    char text[48];
    snprintf(text, sizeof text, "%s%.*se%d", d->negative ? "-" : "", d->n_digits, d->digits,
             d->point - d->n_digits);
    return is_float ? (double)strtof(text, NULL) : strtod(text, NULL);
}

static void push_number(struct strbuf *out, double value, bool is_float)
{
    // Fewer digits than `sure` need no trying: that many always survive, and zeros at the end are dropped.
    // Not so for subnormals.
    int sure = is_float ? FLT_DIG : DBL_DIG, most = is_float ? FLT_DECIMAL_DIG : DBL_DECIMAL_DIG;
    if (fabs(value) < (is_float ? (double)FLT_MIN : DBL_MIN))
        sure = 1;
    struct decimal d = decimal_round(value, sure);
    for (int n = sure + 1; n <= most && decimal_value(&d, is_float) != value; n++)
        d = decimal_round(value, n);
    decimal_push(out, &d);
}

static void put_number(struct json_writer *w, double value, bool is_float)
{
    begin_item(w);
    if (isfinite(value))
        push_number(w->out, value, is_float);
    else
        strbuf_push_text(w->out, "null");
}

void json_put_double(struct json_writer *w, double value)
{
    put_number(w, value, false);
}

void json_put_float(struct json_writer *w, float value)
{
    put_number(w, (double)value, true);
}

void json_put_int(struct json_writer *w, int64_t value)
{
    begin_item(w);
    strbuf_printf(w->out, "%" PRId64, value);
}

void json_put_uint(struct json_writer *w, uint64_t value)
{
    begin_item(w);
    strbuf_printf(w->out, "%" PRIu64, value);
}

// --- the rest ---

void json_put_raw(struct json_writer *w, struct slice json)
{
    begin_item(w);
    strbuf_push_slice(w->out, json);
}

void json_put_bool(struct json_writer *w, bool value)
{
    json_put_raw(w, slice_of(value ? "true" : "false"));
}

void json_put_null(struct json_writer *w)
{
    json_put_raw(w, slice_of("null"));
}

static void push_value(struct strbuf *out, const json_t *value);

static void push_array(struct strbuf *out, const json_t *array)
{
    strbuf_push_char(out, '[');
    for (size_t i = 0; i < json_array_size(array); i++) {
        if (i > 0)
            strbuf_push_char(out, ',');
        push_value(out, json_array_get(array, i));
    }
    strbuf_push_char(out, ']');
}

static void push_object(struct strbuf *out, const json_t *object)
{
    json_t *walk = (json_t *)object; // jansson's iterators want it so and change nothing
    bool is_first = true;
    strbuf_push_char(out, '{');
    for (void *i = json_object_iter(walk); i != NULL; i = json_object_iter_next(walk, i)) {
        if (!is_first)
            strbuf_push_char(out, ',');
        is_first = false;
        push_string(out, slice_of(json_object_iter_key(i)));
        strbuf_push_char(out, ':');
        push_value(out, json_object_iter_value(i));
    }
    strbuf_push_char(out, '}');
}

// Recursion is bounded by JSON_MAX_DEPTH for all that was parsed.
static void push_value(struct strbuf *out, const json_t *value)
{
    struct json_writer single = json_writer_make(out);
    switch (value != NULL ? json_typeof(value) : JSON_NULL) {
    case JSON_OBJECT:
        push_object(out, value);
        break;
    case JSON_ARRAY:
        push_array(out, value);
        break;
    case JSON_STRING:
        push_string(out, json_slice(value));
        break;
    case JSON_INTEGER:
        json_put_int(&single, json_integer_value(value));
        break;
    case JSON_REAL:
        json_put_double(&single, json_real_value(value));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        json_put_bool(&single, json_is_true(value));
        break;
    case JSON_NULL:
        json_put_null(&single);
        break;
    }
}

void json_put_value(struct json_writer *w, const json_t *value)
{
    begin_item(w);
    push_value(w->out, value);
}

void json_member_text(struct json_writer *w, const char *key, const char *text)
{
    json_key(w, key);
    json_put_text(w, text);
}

void json_member_slice(struct json_writer *w, const char *key, struct slice text)
{
    json_key(w, key);
    json_put_slice(w, text);
}

void json_member_int(struct json_writer *w, const char *key, int64_t value)
{
    json_key(w, key);
    json_put_int(w, value);
}

void json_member_bool(struct json_writer *w, const char *key, bool value)
{
    json_key(w, key);
    json_put_bool(w, value);
}
