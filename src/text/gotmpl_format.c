// SPDX-License-Identifier: MIT
// What Go's fmt package makes of values: print, println and printf with the verbs for the kinds that
// templates have. A verb that does not fit prints Go's "%!verb(type=value)", it is no error.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "text/gotmpl_run.h"

enum { MAX_WIDTH = 1000000, NUMBER_BYTES = 400 };

struct format {
    struct gotmpl_run *r;
    struct strbuf *out;
    bool plus, minus, sharp, space, zero;
    bool names_fields, is_source; // %+v, %#v
    bool has_width, has_precision;
    int width, precision;
};

static void put_value(struct format *f, struct gotmpl_value v, uint32_t verb, int depth);

// ---- Padding ----
static void put_padding(struct format *f, size_t n)
{
    char c = f->zero && !f->minus ? '0' : ' ';
    for (; n > 0 && gotmpl_step(f->r, 1); n--)
        strbuf_push_char(f->out, c);
}

static void pad(struct format *f, struct slice text)
{
    size_t n_chars = f->has_width ? utf8_count(text) : 0, width = f->has_width ? (size_t)f->width : 0;
    size_t missing = width > n_chars ? width - n_chars : 0;
    if (!f->minus)
        put_padding(f, missing);
    strbuf_push_slice(f->out, text);
    if (f->minus)
        put_padding(f, missing);
}

static void put_char(struct format *f, uint32_t c)
{
    char bytes[4];
    strbuf_push(f->out, bytes, utf8_encode(c, bytes));
}

static void put_bad_verb(struct format *f, struct gotmpl_value v, uint32_t verb)
{
    strbuf_push_text(f->out, "%!");
    put_char(f, verb);
    strbuf_push_char(f->out, '(');
    enum gotmpl_kind kind = gotmpl_kind_of(v);
    if (kind == GOTMPL_INVALID || kind == GOTMPL_NIL) {
        strbuf_push_text(f->out, "<nil>");
    } else {
        v.is_boxed = false;
        strbuf_printf(f->out, "%s=", gotmpl_type_name(v));
        put_value(f, v, 'v', 0);
    }
    strbuf_push_char(f->out, ')');
}

// ---- Texts ----
static struct slice cut(const struct format *f, struct slice text)
{
    size_t n = 0;
    if (!f->has_precision)
        return text;
    for (int i = 0; i < f->precision && n < text.n; i++) {
        uint32_t c;
        n += utf8_decode(text.at + n, text.n - n, &c);
    }
    return slice_make(text.at, n);
}

static void put_hex(struct format *f, struct slice text, bool is_upper)
{
    struct strbuf hex = STRBUF_INIT(GOTMPL_TEXT_BYTES);
    size_t n = f->has_precision && (size_t)f->precision < text.n ? (size_t)f->precision : text.n;
    const char *prefix = is_upper ? "0X" : "0x";
    if (f->sharp && n > 0)
        strbuf_push_text(&hex, prefix);
    for (size_t i = 0; i < n && gotmpl_step(f->r, 1); i++) {
        if (f->space && i > 0)
            strbuf_push_char(&hex, ' ');
        if (f->space && f->sharp && i > 0)
            strbuf_push_text(&hex, prefix);
        strbuf_printf(&hex, is_upper ? "%02X" : "%02x", (unsigned)(unsigned char)text.at[i]);
    }
    pad(f, strbuf_slice(&hex));
    strbuf_fini(&hex);
}

static bool can_be_raw(struct slice text)
{
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.at[i];
        if ((c < 0x20 && c != '\t') || c == '`' || c == 0x7F)
            return false;
    }
    return utf8_is_valid(text);
}

static void put_quoted(struct format *f, struct slice text)
{
    struct strbuf quoted = STRBUF_INIT(GOTMPL_TEXT_BYTES);
    if (f->sharp && can_be_raw(text)) {
        strbuf_push_char(&quoted, '`');
        strbuf_push_slice(&quoted, text);
        strbuf_push_char(&quoted, '`');
    } else {
        gotmpl_put_quoted(&quoted, text);
    }
    gotmpl_step(f->r, quoted.n / 8);
    pad(f, strbuf_slice(&quoted));
    strbuf_fini(&quoted);
}

// False: the verb is none of a text's.
static bool put_text(struct format *f, struct slice text, uint32_t verb)
{
    if (verb == 's' || (verb == 'v' && !f->is_source))
        pad(f, cut(f, text));
    else if (verb == 'q' || verb == 'v')
        put_quoted(f, cut(f, text));
    else if (verb == 'x' || verb == 'X')
        put_hex(f, text, verb == 'X');
    else
        return false;
    return true;
}

// ---- Integers ----
static void put_digits(struct format *f, uint64_t value, bool is_negative, unsigned base, uint32_t verb)
{
    char buffer[NUMBER_BYTES], *end = buffer + sizeof buffer, *at = end;
    const char *digits = verb == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
    int wanted = f->has_precision ? f->precision : 0;
    bool zero = f->zero;
    if (f->has_precision && f->precision == 0 && value == 0) {
        f->zero = false;
        put_padding(f, f->has_width ? (size_t)f->width : 0);
        f->zero = zero;
        return;
    }
    if (!f->has_precision && f->zero && !f->minus && f->has_width)
        wanted = f->width - (is_negative || f->plus || f->space);
    wanted = MIN(wanted, NUMBER_BYTES - 80);
    do {
        *--at = digits[value % base];
        value /= base;
    } while (value > 0);
    while (end - at < wanted)
        *--at = '0';
    if (f->sharp && base == 2)
        *--at = 'b', *--at = '0';
    if (f->sharp && base == 8 && *at != '0')
        *--at = '0';
    if (f->sharp && base == 16)
        *--at = verb == 'X' ? 'X' : 'x', *--at = '0';
    if (verb == 'O')
        *--at = 'o', *--at = '0';
    if (is_negative || f->plus || f->space)
        *--at = is_negative ? '-' : f->plus ? '+' : ' ';
    f->zero = false;
    pad(f, slice_make(at, (size_t)(end - at)));
    f->zero = zero;
}

static void put_code_point(struct format *f, int64_t value, uint32_t verb)
{
    char bytes[4];
    struct strbuf text = STRBUF_INIT(64);
    bool is_char = value >= 0 && value <= 0x10FFFF && !(value >= 0xD800 && value < 0xE000);
    uint32_t c = is_char ? (uint32_t)value : UTF8_REPLACEMENT;
    if (verb == 'c')
        strbuf_push(&text, bytes, utf8_encode(c, bytes));
    else if (verb == 'q')
        gotmpl_put_quoted_char(&text, c);
    else
        strbuf_printf(&text, "U+%04llX", (unsigned long long)value);
    if (verb == 'U' && f->sharp && is_char && gotmpl_is_printable(c)) {
        strbuf_push_text(&text, " '");
        strbuf_push(&text, bytes, utf8_encode(c, bytes));
        strbuf_push_char(&text, '\'');
    }
    pad(f, strbuf_slice(&text));
    strbuf_fini(&text);
}

static bool put_integer(struct format *f, int64_t value, uint32_t verb)
{
    unsigned base = verb == 'd' || verb == 'v'   ? 10
                    : verb == 'b'                ? 2
                    : verb == 'o' || verb == 'O' ? 8
                    : verb == 'x' || verb == 'X' ? 16
                                                 : 0;
    if (base > 0)
        put_digits(f, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, value < 0, base, verb);
    else if (verb == 'c' || verb == 'q' || verb == 'U')
        put_code_point(f, value, verb);
    return base > 0 || verb == 'c' || verb == 'q' || verb == 'U';
}

// ---- Floats ----
// The fewest digits that read back equal, as %e writes them.
static void shortest(double value, char out[NUMBER_BYTES])
{
    for (int n = 0; n <= 17; n++) {
        snprintf(out, NUMBER_BYTES, "%.*e", n, value);
        if (strtod(out, NULL) == value)
            return;
    }
}

// The same, without exponent where Go's %g has none.
static void put_shortest(double value, char out[NUMBER_BYTES])
{
    shortest(value, out);
    const char *e = strchr(out, 'e'), *point = strchr(out, '.');
    int exponent = e != NULL ? atoi(e + 1) : 0, n_behind = point != NULL ? (int)(e - point) - 1 : 0;
    if (e == NULL || (exponent >= -4 && exponent < 6))
        snprintf(out, NUMBER_BYTES, "%.*f", MAX(n_behind - exponent, 0), value);
}

static void put_real_text(struct format *f, double value, char verb, char text[NUMBER_BYTES])
{
    char pattern[8];
    if (!f->has_precision && (verb == 'g' || verb == 'G')) {
        put_shortest(value, text);
        return;
    }
    snprintf(pattern, sizeof pattern, "%%.*%c", verb);
    snprintf(text, NUMBER_BYTES, pattern, f->has_precision ? MIN(f->precision, 60) : 6, value);
}

static bool put_real(struct format *f, double value, uint32_t verb)
{
    char text[NUMBER_BYTES + 1];
    if (verb != 'v' && (verb >= 0x80 || strchr("eEfFgG", (int)verb) == NULL || verb == 0))
        return false;
    char c = verb == 'v' ? 'g' : verb == 'F' ? 'f' : (char)verb;
    text[0] = '+';
    put_real_text(f, value, c, text + 1);
    if (c == 'E' || c == 'G')
        for (char *at = text; *at != 0; at++)
            *at = *at == 'e' ? 'E' : *at;
    char *at = text[1] == '-' ? text + 1 : text;
    if (f->space && *at == '+' && !f->plus)
        *at = ' ';
    bool has_sign = f->plus || *at != '+';
    size_t n = strlen(at), width = f->has_width ? (size_t)f->width : 0;
    if (has_sign && f->zero && !f->minus && width > n) {
        strbuf_push_char(f->out, *at);
        put_padding(f, width - n);
        strbuf_push(f->out, at + 1, n - 1);
    } else {
        pad(f, slice_of(has_sign ? at : at + 1));
    }
    return true;
}

// ---- Containers ----
static void put_type(struct format *f, struct gotmpl_value v)
{
    if (!f->is_source)
        return;
    v.is_boxed = false;
    const char *name = gotmpl_type_name(v);
    if (gotmpl_kind_of(v) == GOTMPL_STRUCT && v.type->is_pointer && name[0] == '*')
        name++;
    strbuf_push_text(f->out, name);
}

static void put_item(struct format *f, struct gotmpl_value v, uint32_t verb, int depth)
{
    v.is_boxed = false;
    if (gotmpl_kind_of(v) == GOTMPL_NIL)
        strbuf_push_text(f->out, f->is_source ? "interface {}(nil)" : "<nil>");
    else
        put_value(f, v, verb, depth + 1);
}

static void put_slice(struct format *f, struct gotmpl_value v, uint32_t verb, int depth)
{
    put_type(f, v);
    if (f->is_source && v.list == NULL) {
        strbuf_push_text(f->out, "(nil)");
        return;
    }
    strbuf_push_char(f->out, f->is_source ? '{' : '[');
    for (size_t i = 0; i < gotmpl_length(v) && gotmpl_step(f->r, 1); i++) {
        if (i > 0)
            strbuf_push_text(f->out, f->is_source ? ", " : " ");
        put_item(f, v.list->at[i], verb, depth);
    }
    strbuf_push_char(f->out, f->is_source ? '}' : ']');
}

static void put_map(struct format *f, struct gotmpl_value v, uint32_t verb, int depth)
{
    if (f->is_source)
        put_type(f, v);
    if (f->is_source && v.map == NULL) {
        strbuf_push_text(f->out, "(nil)");
        return;
    }
    strbuf_push_text(f->out, f->is_source ? "{" : "map[");
    for (size_t i = 0; i < gotmpl_length(v) && gotmpl_step(f->r, 1); i++) {
        if (i > 0)
            strbuf_push_text(f->out, f->is_source ? ", " : " ");
        put_value(f, gotmpl_text(v.map->pairs[i].key), verb, depth + 1);
        strbuf_push_char(f->out, ':');
        put_item(f, v.map->pairs[i].value, verb, depth);
    }
    strbuf_push_char(f->out, f->is_source ? '}' : ']');
}

static void put_struct(struct format *f, struct gotmpl_value v, uint32_t verb, int depth)
{
    if (v.type->is_pointer && depth == 0)
        strbuf_push_char(f->out, '&');
    put_type(f, v);
    strbuf_push_char(f->out, '{');
    for (uint32_t i = 0; i < v.type->n_fields && gotmpl_step(f->r, 1); i++) {
        if (i > 0)
            strbuf_push_text(f->out, f->is_source ? ", " : " ");
        if (f->names_fields || f->is_source)
            strbuf_printf(f->out, "%s:", v.type->fields[i].name);
        put_item(f, v.fields[i], verb, depth);
    }
    strbuf_push_char(f->out, '}');
}

// False: the type has no text of its own, or the verb does not ask for it.
static bool put_own_text(struct format *f, struct gotmpl_value v, uint32_t verb)
{
    struct strbuf text = STRBUF_INIT(GOTMPL_TEXT_BYTES);
    if (v.type->put == NULL || f->is_source || verb >= 0x80 || verb == 0 || !strchr("vsqxX", (int)verb))
        return false;
    v.type->put(f->r, &text, v);
    if (text.overflow)
        gotmpl_fail_bound(f->r, "a text in the template is too large");
    gotmpl_step(f->r, text.n / 32);
    put_text(f, strbuf_slice(&text), verb);
    strbuf_fini(&text);
    return true;
}

static void put_kind(struct format *f, struct gotmpl_value v, uint32_t verb, int depth)
{
    bool is_known = true;
    switch (gotmpl_kind_of(v)) {
    case GOTMPL_INVALID:
    case GOTMPL_NIL:
        is_known = verb == 'v' || verb == 'T';
        if (is_known)
            pad(f, slice_of("<nil>"));
        break;
    case GOTMPL_BOOL:
        is_known = verb == 't' || verb == 'v';
        if (is_known)
            pad(f, slice_of(v.flag ? "true" : "false"));
        break;
    case GOTMPL_INT:
    case GOTMPL_UINT:
        is_known = put_integer(f, v.integer, verb);
        break;
    case GOTMPL_FLOAT:
        is_known = put_real(f, v.real, verb);
        break;
    case GOTMPL_TEXT:
        is_known = put_text(f, v.text, verb);
        break;
    case GOTMPL_SLICE:
        put_slice(f, v, verb, depth);
        break;
    case GOTMPL_MAP:
    case GOTMPL_OPAQUE:
        put_map(f, v, verb, depth);
        break;
    case GOTMPL_STRUCT:
        put_struct(f, v, verb, depth);
        break;
    }
    if (!is_known)
        put_bad_verb(f, v, verb);
}

static void put_value(struct format *f, struct gotmpl_value v, uint32_t verb, int depth)
{
    if (depth > GOTMPL_DATA_DEPTH + 20)
        gotmpl_fail_bound(f->r, "values are nested too deep");
    if (f->r->failed || (v.type != NULL && put_own_text(f, v, verb)))
        return;
    put_kind(f, v, verb, depth);
}

static void put_argument(struct format *f, struct gotmpl_value v, uint32_t verb)
{
    enum gotmpl_kind kind = gotmpl_kind_of(v);
    v.is_boxed = false;
    if (verb == 'T' && kind != GOTMPL_NIL && kind != GOTMPL_INVALID)
        put_text(f, slice_of(gotmpl_type_name(v)), 's');
    else
        put_value(f, v, verb, 0);
}

// ---- printf ----
struct scan {
    struct slice format;
    size_t pos;
    const struct gotmpl_value *at;
    size_t n, next;
    bool is_reordered, is_good_index, is_after_index;
};

static bool read_number(struct scan *s, int *out)
{
    size_t begin = s->pos;
    *out = 0;
    while (s->pos < s->format.n && s->format.at[s->pos] >= '0' && s->format.at[s->pos] <= '9') {
        if (*out <= MAX_WIDTH)
            *out = *out * 10 + (s->format.at[s->pos] - '0');
        s->pos++;
    }
    if (*out > MAX_WIDTH)
        *out = 0;
    return s->pos > begin;
}

// `[n]`: the number of the next argument.
static void read_index(struct scan *s)
{
    if (s->pos >= s->format.n || s->format.at[s->pos] != '[')
        return;
    s->is_reordered = true;
    size_t begin = s->pos++;
    int index;
    const char *close = memchr(s->format.at + begin, ']', s->format.n - begin);
    if (close == NULL) {
        s->is_good_index = false;
        return;
    }
    size_t end = (size_t)(close - s->format.at);
    bool is_right = read_number(s, &index) && s->pos == end && index >= 1 && (size_t)index <= s->n;
    s->pos = end + 1;
    if (is_right)
        s->next = (size_t)index - 1;
    else
        s->is_good_index = false;
    s->is_after_index = is_right;
}

// `*`: a width or precision from the arguments.
static bool take_number(struct scan *s, int *out)
{
    bool is_int = s->next < s->n && gotmpl_kind_of(s->at[s->next]) == GOTMPL_INT &&
                  llabs(s->at[s->next].integer) <= MAX_WIDTH;
    *out = is_int ? (int)s->at[s->next].integer : 0;
    s->next += s->next < s->n;
    s->is_after_index = false;
    return is_int;
}

static void read_flags(struct format *f, struct scan *s)
{
    for (; s->pos < s->format.n; s->pos++) {
        switch (s->format.at[s->pos]) {
        case '#':
            f->sharp = true;
            break;
        case '0':
            f->zero = true;
            break;
        case '+':
            f->plus = true;
            break;
        case '-':
            f->minus = true;
            break;
        case ' ':
            f->space = true;
            break;
        default:
            return;
        }
    }
}

static void read_width(struct format *f, struct scan *s)
{
    read_index(s);
    if (s->pos < s->format.n && s->format.at[s->pos] == '*') {
        s->pos++;
        f->has_width = take_number(s, &f->width);
        if (!f->has_width)
            strbuf_push_text(f->out, "%!(BADWIDTH)");
        f->minus |= f->width < 0;
        f->width = abs(f->width);
        return;
    }
    f->has_width = read_number(s, &f->width);
    if (s->is_after_index && f->has_width) // "%[3]2d" has its parts in the wrong order
        s->is_good_index = false;
}

static void read_precision(struct format *f, struct scan *s)
{
    if (s->pos >= s->format.n || s->format.at[s->pos] != '.')
        return;
    s->pos++;
    if (s->is_after_index)
        s->is_good_index = false;
    read_index(s);
    if (s->pos < s->format.n && s->format.at[s->pos] == '*') {
        s->pos++;
        f->has_precision = take_number(s, &f->precision) && f->precision >= 0;
        if (!f->has_precision)
            strbuf_push_text(f->out, "%!(BADPREC)");
        return;
    }
    read_number(s, &f->precision);
    f->has_precision = true;
}

// Behind a percent sign.
static void put_directive(struct gotmpl_run *r, struct strbuf *out, struct scan *s)
{
    struct format f = {.r = r, .out = out};
    uint32_t verb;
    s->is_good_index = true;
    s->is_after_index = false;
    read_flags(&f, s);
    read_width(&f, s);
    read_precision(&f, s);
    if (!s->is_after_index)
        read_index(s);
    if (s->pos >= s->format.n) {
        strbuf_push_text(out, "%!(NOVERB)");
        return;
    }
    s->pos += utf8_decode(s->format.at + s->pos, s->format.n - s->pos, &verb);
    if (verb == UTF8_INVALID)
        verb = UTF8_REPLACEMENT;
    if (verb == '%') {
        strbuf_push_char(out, '%');
        return;
    }
    if (!s->is_good_index || s->next >= s->n) {
        strbuf_push_text(out, "%!");
        put_char(&f, verb);
        strbuf_push_text(out, s->is_good_index ? "(MISSING)" : "(BADINDEX)");
        return;
    }
    if (verb == 'v') {
        f.is_source = f.sharp;
        f.names_fields = f.plus;
        f.sharp = f.plus = false;
    }
    put_argument(&f, s->at[s->next++], verb);
}

static void put_extra(struct gotmpl_run *r, struct strbuf *out, const struct scan *s)
{
    if (s->is_reordered || s->next >= s->n)
        return;
    strbuf_push_text(out, "%!(EXTRA ");
    for (size_t i = s->next; i < s->n; i++) {
        struct gotmpl_value v = s->at[i];
        v.is_boxed = false;
        strbuf_push_text(out, i > s->next ? ", " : "");
        if (gotmpl_kind_of(v) == GOTMPL_NIL) {
            strbuf_push_text(out, "<nil>");
            continue;
        }
        strbuf_printf(out, "%s=", gotmpl_type_name(v));
        put_argument(&(struct format){.r = r, .out = out}, v, 'v');
    }
    strbuf_push_char(out, ')');
}

void gotmpl_printf(struct gotmpl_run *r, struct strbuf *out, struct slice format,
                   const struct gotmpl_value *at, size_t n)
{
    struct scan s = {.format = format, .at = at, .n = n};
    while (s.pos < format.n && gotmpl_step(r, 1)) {
        const char *percent = memchr(format.at + s.pos, '%', format.n - s.pos);
        size_t end = percent != NULL ? (size_t)(percent - format.at) : format.n;
        strbuf_push(out, format.at + s.pos, end - s.pos);
        s.pos = end + 1;
        if (percent != NULL)
            put_directive(r, out, &s);
    }
    put_extra(r, out, &s);
}

void gotmpl_put_plain(struct gotmpl_run *r, struct strbuf *out, struct gotmpl_value v)
{
    struct format f = {.r = r, .out = out};
    if (gotmpl_kind_of(v) == GOTMPL_STRUCT) // templates print what a pointer points to
        put_value(&f, v, 'v', v.type->is_pointer);
    else
        put_argument(&f, v, 'v');
}

void gotmpl_print(struct gotmpl_run *r, struct strbuf *out, const struct gotmpl_value *at, size_t n)
{
    for (size_t i = 0; i < n && gotmpl_step(r, 1); i++) {
        bool is_text = gotmpl_kind_of(at[i]) == GOTMPL_TEXT;
        if (i > 0 && !is_text && gotmpl_kind_of(at[i - 1]) != GOTMPL_TEXT)
            strbuf_push_char(out, ' ');
        put_argument(&(struct format){.r = r, .out = out}, at[i], 'v');
    }
}

void gotmpl_println(struct gotmpl_run *r, struct strbuf *out, const struct gotmpl_value *at, size_t n)
{
    for (size_t i = 0; i < n && gotmpl_step(r, 1); i++) {
        if (i > 0)
            strbuf_push_char(out, ' ');
        put_argument(&(struct format){.r = r, .out = out}, at[i], 'v');
    }
    strbuf_push_char(out, '\n');
}
