// SPDX-License-Identifier: MIT
// Parsing by jansson, with one pass over the text before it. The pass bounds the depth (so that whoever walks
// a value may recurse) and mends the two things that jansson refuses and Go's decoder does not: escapes of
// lone surrogates become U+FFFD, integers beyond 64 bits become reals. The text is copied only if there is
// something to mend.
#include "json/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/strbuf.h"

struct pass {
    struct slice text;
    size_t at;
    size_t copied;        // text before it is in `mended`
    struct strbuf mended; // used only if something was
};

// Replaces text[from, to) by `by`.
static void mend(struct pass *p, size_t from, size_t to, const char *by)
{
    strbuf_push(&p->mended, p->text.at + p->copied, from - p->copied);
    strbuf_push_text(&p->mended, by);
    p->copied = to;
}

// The value of \uXXXX at `at`, or -1.
static long unicode_escape(const struct pass *p, size_t at)
{
    if (at + 6 > p->text.n || p->text.at[at] != '\\' || p->text.at[at + 1] != 'u')
        return -1;
    long value = 0;
    for (size_t i = at + 2; i < at + 6; i++) {
        char c = p->text.at[i];
        int lower = c | 0x20;
        int digit = c >= '0' && c <= '9' ? c - '0' : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

// At a backslash inside a string.
static void pass_escape(struct pass *p)
{
    size_t start = p->at;
    long unit = unicode_escape(p, start);
    p->at += unit < 0 ? 2 : 6;
    if (unit < 0xD800 || unit > 0xDFFF)
        return;
    long low = unit < 0xDC00 ? unicode_escape(p, p->at) : -1;
    if (low >= 0xDC00 && low <= 0xDFFF)
        p->at += 6; // a pair
    else
        mend(p, start, p->at, "\\ufffd");
}

static void pass_string(struct pass *p)
{
    p->at++;
    while (p->at < p->text.n && p->text.at[p->at] != '"') {
        if (p->text.at[p->at] == '\\')
            pass_escape(p);
        else
            p->at++;
    }
    p->at++;
}

static bool is_one_of(char c, const char *set)
{
    return c != 0 && strchr(set, c) != NULL;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

// At the first digit of a number. A long integer gets an exponent if int64_t does not hold it.
static void pass_number(struct pass *p)
{
    size_t start = p->at;
    while (p->at < p->text.n && is_digit(p->text.at[p->at]))
        p->at++;
    size_t n = p->at - start;
    bool is_integer = p->at == p->text.n || !is_one_of(p->text.at[p->at], ".eE");
    while (p->at < p->text.n && is_one_of(p->text.at[p->at], ".eE+-0123456789"))
        p->at++; // fraction and exponent; what is wrong in them is jansson's to say
    if (!is_integer || n < 19)
        return;
    bool is_negative = start > 0 && p->text.at[start - 1] == '-';
    int order =
        n > 19 ? 1
               : memcmp(p->text.at + start, is_negative ? "9223372036854775808" : "9223372036854775807", 19);
    if (order > 0)
        mend(p, start + n, start + n, "e0");
}

// Returns -1 when the nesting is too deep. Stops after the first complete object or array.
static int pass_text(struct pass *p, struct err *err)
{
    size_t depth = 0;
    while (p->at < p->text.n) {
        char c = p->text.at[p->at];
        if (c == '"') {
            pass_string(p);
        } else if (is_digit(c)) {
            pass_number(p);
        } else {
            if (is_one_of(c, "[{") && ++depth > JSON_MAX_DEPTH)
                return err_set(err, ERR_INVALID, "invalid JSON at byte %zu: more than %d levels of nesting",
                               p->at, JSON_MAX_DEPTH);
            if (c == 0) // jansson takes it for the end of the text
                return err_set(err, ERR_INVALID, "invalid JSON at byte %zu: unexpected byte 0x00", p->at);
            p->at++;
            if (is_one_of(c, "]}") && (depth == 0 || --depth == 0))
                break;
        }
    }
    return 0;
}

static json_t *load(struct slice text, size_t flags, struct err *err)
{
    json_error_t error;
    json_t *value =
        json_loadb(text.n > 0 ? text.at : "", text.n, flags | JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (value == NULL)
        err_set(err, ERR_INVALID, "invalid JSON at line %d, column %d: %s", error.line, error.column,
                error.text);
    return value;
}

static json_t *parse(struct slice text, size_t flags, struct err *err)
{
    json_t *value = NULL;
    struct pass pass = {.text = text, .mended = STRBUF_INIT(SIZE_MAX / 2)};

    if (pass_text(&pass, err) != 0)
        goto out;
    if (pass.copied == 0) {
        value = load(text, flags, err);
        goto out;
    }
    strbuf_push(&pass.mended, text.at + pass.copied, text.n - pass.copied);
    value = load(strbuf_slice(&pass.mended), flags, err);
out:
    strbuf_fini(&pass.mended);
    return value;
}

json_t *json_parse(struct slice text, struct err *err)
{
    return parse(text, 0, err);
}

json_t *json_parse_first(struct slice text, struct err *err)
{
    return parse(text, JSON_DISABLE_EOF_CHECK, err);
}
