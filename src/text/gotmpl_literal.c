// SPDX-License-Identifier: MIT
// Literals of Go: strings, characters and numbers read, texts quoted for messages.
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "text/gotmpl_tree.h"

// ---- Reading ----
struct literal {
    struct slice in;
    size_t pos;
    char quote;
};

// n digits of a base; UTF8_INVALID: others stand there.
static uint32_t read_digits(struct literal *l, size_t n, uint32_t base)
{
    uint64_t value = 0;
    if (l->in.n - l->pos < n)
        return UTF8_INVALID;
    for (size_t i = 0; i < n; i++) {
        char c = l->in.at[l->pos++];
        uint32_t digit = isdigit((unsigned char)c)    ? (uint32_t)(c - '0')
                         : isxdigit((unsigned char)c) ? (uint32_t)((c | 0x20) - 'a' + 10)
                                                      : 99;
        if (digit >= base)
            return UTF8_INVALID;
        value = value * base + digit;
    }
    return value < UTF8_INVALID ? (uint32_t)value : UTF8_INVALID;
}

static uint32_t read_unicode(struct literal *l, size_t n)
{
    uint32_t c = read_digits(l, n, 16);
    return c > 0x10FFFF || (c >= 0xD800 && c < 0xE000) ? UTF8_INVALID : c;
}

// One character behind a backslash. *is_byte: it stands for a byte. UTF8_INVALID: no such escape.
static uint32_t read_escape(struct literal *l, bool *is_byte)
{
    static const char from[] = "abfnrtv\\", to[] = "\a\b\f\n\r\t\v\\";
    if (l->pos >= l->in.n)
        return UTF8_INVALID;
    char c = l->in.at[l->pos++];
    const char *simple = c != 0 ? strchr(from, c) : NULL;
    if (simple != NULL)
        return (unsigned char)to[simple - from];
    if (c == l->quote)
        return (unsigned char)c;
    if (c == 'u')
        return read_unicode(l, 4);
    if (c == 'U')
        return read_unicode(l, 8);
    *is_byte = true;
    if (c == 'x')
        return read_digits(l, 2, 16);
    if (c < '0' || c > '7')
        return UTF8_INVALID;
    l->pos--;
    uint32_t octal = read_digits(l, 3, 8);
    return octal <= 255 ? octal : UTF8_INVALID;
}

static uint32_t read_char(struct literal *l, bool *is_byte)
{
    uint32_t c;
    *is_byte = false;
    if (l->in.at[l->pos] == '\\') {
        l->pos++;
        return read_escape(l, is_byte);
    }
    size_t n = utf8_decode(l->in.at + l->pos, l->in.n - l->pos, &c);
    if (c == UTF8_INVALID) { // ill-formed bytes stay what they are
        *is_byte = true;
        c = (unsigned char)l->in.at[l->pos];
    }
    l->pos += n;
    return c;
}

static int unquote_raw(struct slice body, char *to, struct slice *out)
{
    size_t n = 0;
    for (size_t i = 0; i < body.n; i++)
        if (body.at[i] != '\r')
            to[n++] = body.at[i];
    *out = slice_make(to, n);
    return 0;
}

int gotmpl_unquote(struct gotmpl_tree *tree, struct slice quoted, struct slice *out, struct err *err)
{
    struct literal l = {slice_make(quoted.at + 1, quoted.n - 2), 0, quoted.at[0]};
    char *to = jinja_arena_try(&tree->arena, quoted.n); // no escape is shorter than what it stands for
    size_t n = 0;
    if (to == NULL)
        return err_set(err, ERR_TOO_LARGE, "the template needs too much memory");
    if (l.quote == '`')
        return unquote_raw(l.in, to, out);
    while (l.pos < l.in.n) {
        bool is_byte;
        uint32_t c = read_char(&l, &is_byte);
        if (c == UTF8_INVALID)
            return err_set(err, ERR_FORMAT, "invalid syntax");
        if (is_byte)
            to[n++] = (char)c;
        else
            n += utf8_encode(c, to + n);
    }
    *out = slice_make(to, n);
    return 0;
}

static int read_char_constant(struct gotmpl_number *out, struct slice text, struct err *err)
{
    struct literal l = {slice_make(text.at + 1, text.n - 2), 0, '\''};
    bool is_byte;
    uint32_t c = l.in.n > 0 ? read_char(&l, &is_byte) : UTF8_INVALID;
    if (c == UTF8_INVALID)
        return err_set(err, ERR_FORMAT, "invalid syntax");
    if (l.pos != l.in.n)
        return err_set(err, ERR_FORMAT, "malformed character constant: %.*s", (int)text.n, text.at);
    *out = (struct gotmpl_number){true, true, true, true, c, c};
    return 0;
}

// Go lets underscores stand between digits and behind a prefix that names the base.
static bool has_fair_underscores(const char *text)
{
    char before = '^';
    if (*text == '+' || *text == '-')
        text++;
    bool is_hex = false;
    if (text[0] == '0' && text[1] != 0 && strchr("xXoObB", text[1]) != NULL) {
        before = '0';
        is_hex = (text[1] | 0x20) == 'x';
        text += 2;
    }
    for (; *text != 0; text++) {
        bool is_digit = isdigit((unsigned char)*text) || (is_hex && isxdigit((unsigned char)*text));
        if (*text == '_' && before != '0')
            return false;
        if (!is_digit && *text != '_' && before == '_')
            return false;
        before = is_digit ? '0' : *text == '_' ? '_' : '!';
    }
    return before != '_';
}

static void drop_underscores(char *text)
{
    char *to = text;
    for (; *text != 0; text++)
        if (*text != '_')
            *to++ = *text;
    *to = 0;
}

static void read_integer(struct gotmpl_number *out, const char *text)
{
    bool is_signed = *text == '+' || *text == '-', is_negative = *text == '-';
    const char *digits = text + is_signed;
    int base = 10;
    char *end;
    if (digits[0] == '0' && digits[1] != 0) {
        char letter = (char)(digits[1] | 0x20);
        base = letter == 'x' ? 16 : letter == 'b' ? 2 : 8;
        digits += letter == 'x' || letter == 'b' || letter == 'o' ? 2 : 1;
    }
    if (!isxdigit((unsigned char)*digits))
        return;
    errno = 0;
    uint64_t value = strtoull(digits, &end, base);
    if (*end != 0 || errno != 0)
        return;
    out->is_uint = !is_signed;
    out->is_int = value <= (uint64_t)INT64_MAX + is_negative;
    out->integer = (int64_t)(is_negative ? 0 - value : value);
    out->is_uint |= out->is_int && value == 0;
    out->is_float = out->is_int || out->is_uint;
    out->real = out->is_int ? (double)out->integer : (double)value;
}

static void read_real(struct gotmpl_number *out, const char *text)
{
    const char *digits = text + (*text == '+' || *text == '-');
    bool is_hex = digits[0] == '0' && (digits[1] | 0x20) == 'x';
    char *end;
    if (is_hex && strpbrk(digits, "pP") == NULL)
        return;
    errno = 0;
    double value = strtod(text, &end);
    if (end == text || *end != 0 || value - value != 0)
        return;
    out->is_float = true;
    out->real = value;
    if (value >= -0x1p63 && value < 0x1p63 && (double)(int64_t)value == value) {
        out->is_int = true;
        out->integer = (int64_t)value;
    }
}

int gotmpl_read_number(struct gotmpl_number *out, const struct gotmpl_token *token, struct err *err)
{
    char text[256];
    struct slice in = token->text;
    *out = (struct gotmpl_number){0};
    if (token->type == GOTMPL_TOKEN_CHAR_CONSTANT)
        return read_char_constant(out, in, err);
    if (token->type == GOTMPL_TOKEN_COMPLEX || in.at[in.n - 1] == 'i')
        return err_set(err, ERR_FORMAT, "complex numbers are not supported: \"%.*s\"", (int)MIN(in.n, 100),
                       in.at);
    if (in.n < sizeof text) {
        memcpy(text, in.at, in.n);
        text[in.n] = 0;
        bool is_fair = strchr(text, '_') == NULL || has_fair_underscores(text);
        drop_underscores(text);
        if (is_fair)
            read_integer(out, text);
        if (is_fair && !out->is_float) {
            read_real(out, text);
            if (out->is_float && strpbrk(text, ".eEpP") == NULL)
                return err_set(err, ERR_FORMAT, "integer overflow: \"%s\"", text);
        }
    }
    if (!out->is_float)
        return err_set(err, ERR_FORMAT, "illegal number syntax: \"%.*s\"", (int)MIN(in.n, 100), in.at);
    return 0;
}

// ---- Quoting ----
bool gotmpl_is_printable(uint32_t c)
{
    if (c < 0x80)
        return c >= 0x20 && c < 0x7F;
    if (c > 0x10FFFF || c == 0xAD)
        return false;
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)c);
    return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_SO;
}

static void put_quoted_char(struct strbuf *out, uint32_t c, char quote)
{
    static const char from[] = "\a\b\f\n\r\t\v\\", to[] = "abfnrtv\\";
    char bytes[4];
    const char *simple = c != 0 && c < 0x80 ? strchr(from, (int)c) : NULL;
    if (simple != NULL || c == (unsigned char)quote)
        strbuf_printf(out, "\\%c", simple != NULL ? to[simple - from] : quote);
    else if (gotmpl_is_printable(c))
        strbuf_push(out, bytes, utf8_encode(c, bytes));
    else if (c < 0x80)
        strbuf_printf(out, "\\x%02x", (unsigned)c);
    else
        strbuf_printf(out, c < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)c);
}

void gotmpl_put_quoted(struct strbuf *out, struct slice text)
{
    strbuf_push_char(out, '"');
    for (size_t i = 0; i < text.n;) {
        uint32_t c;
        size_t n = utf8_decode(text.at + i, text.n - i, &c);
        if (c == UTF8_INVALID)
            strbuf_printf(out, "\\x%02x", (unsigned)(unsigned char)text.at[i]);
        else
            put_quoted_char(out, c, '"');
        i += n;
    }
    strbuf_push_char(out, '"');
}

void gotmpl_put_quoted_char(struct strbuf *out, uint32_t c)
{
    strbuf_push_char(out, '\'');
    put_quoted_char(out, c > 0x10FFFF || (c >= 0xD800 && c < 0xE000) ? UTF8_REPLACEMENT : c, '\'');
    strbuf_push_char(out, '\'');
}
