// SPDX-License-Identifier: MIT
// Values as models write them: JSON, and what they make of it. One reader for all, because a model that
// writes 'text' or True means what it says. A text that ends too early is told from one that is no value.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "text/reply_internal.h"

enum { MAX_DEPTH = 48 }; // json/writer.h has room for it

struct reader {
    struct slice text;
    size_t at;
    const struct reply_literals *how;
    int depth;
    bool is_short;
};

static json_t *read_value(struct reader *r);

static bool has_more(struct reader *r)
{
    if (r->at < r->text.n)
        return true;
    r->is_short = true;
    return false;
}

static void skip_space(struct reader *r)
{
    r->at += reply_count_space(reply_behind(r->text, r->at));
}

static bool takes(struct reader *r, const char *word)
{
    struct slice rest = reply_behind(r->text, r->at);
    if (slice_starts_with(rest, slice_of(word))) {
        r->at += strlen(word);
        return true;
    }
    r->is_short |= reply_is_prefix_of(rest, word);
    return false;
}

// ---- Texts ----
static int read_hex(struct reader *r, uint32_t *out)
{
    *out = 0;
    for (int i = 0; i < 4; i++, r->at++) {
        if (!has_more(r))
            return -1;
        char c = r->text.at[r->at];
        int lower = c | 0x20;
        int digit = c >= '0' && c <= '9' ? c - '0' : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
        if (digit < 0)
            return -1;
        *out = *out * 16 + (uint32_t)digit;
    }
    return 0;
}

static void push_character(struct strbuf *out, uint32_t c)
{
    char bytes[4];
    strbuf_push(out, bytes, utf8_encode(c >= 0xD800 && c <= 0xDFFF ? 0xFFFD : c, bytes));
}

// Behind "\u". A pair of surrogates is one character.
static int read_unicode(struct reader *r, struct strbuf *out)
{
    uint32_t high, low;
    if (read_hex(r, &high) != 0)
        return -1;
    struct slice rest = reply_behind(r->text, r->at);
    if (high < 0xD800 || high > 0xDBFF || !slice_starts_with(rest, slice_of("\\u"))) {
        r->is_short |= reply_is_prefix_of(rest, "\\u");
        push_character(out, high);
        return 0;
    }
    r->at += 2;
    if (read_hex(r, &low) != 0)
        return -1;
    if (low < 0xDC00 || low > 0xDFFF) {
        push_character(out, high);
        push_character(out, low);
    } else {
        push_character(out, 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00));
    }
    return 0;
}

static int read_escape(struct reader *r, struct strbuf *out)
{
    static const char from[] = "nrtbf0", to[] = "\n\r\t\b\f";
    if (!has_more(r))
        return -1;
    char c = r->text.at[r->at++];
    if (c == 'u')
        return read_unicode(r, out);
    const char *known = strchr(from, c);
    if (c != 0 && c != '0' && known != NULL) {
        strbuf_push_char(out, to[known - from]);
    } else {
        if (strchr("\"'\\/`", c) == NULL) // no escape: the backslash is meant
            strbuf_push_char(out, '\\');
        strbuf_push_char(out, c);
    }
    return 0;
}

// Raw line ends within are what models write, so they count. NULL: it does not end.
static json_t *read_text(struct reader *r, char quote)
{
    struct strbuf out = STRBUF_INIT(SIZE_MAX / 2);
    json_t *text = NULL;
    bool is_good = true;
    while (is_good && has_more(r)) {
        char c = r->text.at[r->at++];
        if (c == quote) {
            text = json_stringn(out.n ? out.at : "", out.n);
            break;
        }
        if (c == '\\')
            is_good = read_escape(r, &out) == 0;
        else
            strbuf_push_char(&out, c);
    }
    strbuf_fini(&out);
    return text;
}

static json_t *read_raw_text(struct reader *r)
{
    struct slice rest = reply_behind(r->text, r->at);
    size_t n = reply_find(rest, r->how->quote);
    if (n == rest.n) {
        r->is_short = true;
        return NULL;
    }
    r->at += n + strlen(r->how->quote);
    return json_stringn(n ? rest.at : "", n);
}

// ---- Numbers and words ----
static json_t *read_number(struct reader *r)
{
    size_t n = 0;
    struct slice rest = reply_behind(r->text, r->at);
    char text[64], *end;
    while (n < rest.n && reply_is_one_of(rest.at[n], "+-.0123456789eE"))
        n++;
    if (n == rest.n)
        r->is_short = true; // more digits may come
    if (n == 0 || n >= sizeof text || n == rest.n)
        return NULL;
    memcpy(text, rest.at, n);
    text[n] = 0;
    r->at += n;
    errno = 0;
    long long integer = strtoll(text, &end, 10);
    if (*end == 0 && errno == 0)
        return json_integer(integer);
    double real = strtod(text, &end);
    return *end == 0 && end != text ? json_real(real) : NULL; // an infinite one is none
}

static json_t *read_word(struct reader *r)
{
    static const struct {
        const char *word;
        int value;
    } words[] = {{"true", 1}, {"false", 0}, {"null", -1}, {"True", 1}, {"False", 0}, {"None", -1}};
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (takes(r, words[i].word))
            return words[i].value < 0 ? json_null() : json_boolean(words[i].value);
    return NULL;
}

static json_t *read_bare_text(struct reader *r)
{
    struct slice rest = reply_behind(r->text, r->at);
    size_t n = 0;
    while (n < rest.n && !reply_is_one_of(rest.at[n], ",}]"))
        n++;
    if (n == rest.n)
        r->is_short = true;
    struct slice text = reply_trim(slice_make(rest.at, n));
    if (n == rest.n || text.n == 0)
        return NULL;
    r->at += n;
    return json_stringn(text.at, text.n);
}

// ---- Lists and objects ----
// After a value: true when another follows. `*is_over`: the end came.
static bool pass_comma(struct reader *r, char end, bool *is_over)
{
    skip_space(r);
    if (!has_more(r))
        return false;
    char c = r->text.at[r->at];
    if (c != ',' && c != end)
        return false;
    r->at++;
    skip_space(r);
    *is_over = c == end;
    if (c == ',' && has_more(r) && r->text.at[r->at] == end) { // one comma too many
        r->at++;
        *is_over = true;
    }
    return !*is_over;
}

static bool is_empty(struct reader *r, char end)
{
    skip_space(r);
    if (!has_more(r) || r->text.at[r->at] != end)
        return false;
    r->at++;
    return true;
}

static json_t *read_list(struct reader *r, char end)
{
    json_t *list = json_array(), *item;
    bool is_over = is_empty(r, end), goes_on = !is_over;
    while (goes_on && (item = read_value(r)) != NULL) {
        json_array_append_new(list, item);
        goes_on = pass_comma(r, end, &is_over);
    }
    if (is_over)
        return list;
    json_decref(list);
    return NULL;
}

static json_t *read_key(struct reader *r)
{
    struct slice rest = reply_behind(r->text, r->at);
    size_t n = 0;
    if (!has_more(r))
        return NULL;
    if (rest.at[0] == '"' || rest.at[0] == '\'') {
        r->at++;
        return read_text(r, rest.at[0]);
    }
    if (r->how->quote != NULL && takes(r, r->how->quote))
        return read_raw_text(r);
    while (r->how->bare_keys && n < rest.n && !reply_is_one_of(rest.at[n], ":,{}"))
        n++;
    r->is_short |= r->how->bare_keys && n == rest.n;
    if (n == 0 || n == rest.n)
        return NULL;
    r->at += n;
    struct slice key = reply_trim(slice_make(rest.at, n));
    return json_stringn(key.n ? key.at : "", key.n);
}

static bool read_member(struct reader *r, json_t *object)
{
    json_t *key = read_key(r), *value = NULL;
    bool is_good = false;
    if (key != NULL) {
        skip_space(r);
        is_good = takes(r, ":");
        skip_space(r);
        value = is_good ? read_value(r) : NULL;
        is_good = value != NULL && memchr(json_string_value(key), 0, json_string_length(key)) == NULL &&
                  json_object_set(object, json_string_value(key), value) == 0;
    }
    json_decref(key);
    json_decref(value);
    return is_good;
}

static json_t *read_object(struct reader *r)
{
    json_t *object = json_object();
    bool is_over = is_empty(r, '}'), goes_on = !is_over;
    while (goes_on && read_member(r, object))
        goes_on = pass_comma(r, '}', &is_over);
    if (is_over)
        return object;
    json_decref(object);
    return NULL;
}

static json_t *read_value(struct reader *r)
{
    json_t *value = NULL;
    skip_space(r);
    if (!has_more(r) || r->depth >= MAX_DEPTH)
        return NULL;
    r->depth++;
    char c = r->text.at[r->at];
    if (c == '{' || c == '[' || c == '"' || c == '\'') {
        r->at++;
        value = c == '{' ? read_object(r) : c == '[' ? read_list(r, ']') : read_text(r, c);
    } else if (r->how->quote != NULL && takes(r, r->how->quote)) {
        value = read_raw_text(r);
    } else if (reply_is_one_of(c, "+-.0123456789")) {
        value = read_number(r);
    } else {
        size_t before = r->at;
        value = read_word(r);
        if (value == NULL && r->how->bare_keys) {
            r->at = before;
            value = read_bare_text(r);
        }
    }
    r->depth--;
    return value;
}

json_t *reply_read_literal(struct slice text, const struct reply_literals *how, size_t *n_used,
                           bool *is_short)
{
    struct reader r = {.text = text, .how = how};
    json_t *value = read_value(&r);
    *n_used = r.at;
    *is_short = value == NULL && r.is_short;
    return value;
}
