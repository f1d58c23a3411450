// SPDX-License-Identifier: MIT
// The methods of texts.
#include <utf8proc.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "text/jinja_tables.h"

#define NOT_FOUND SIZE_MAX

static struct slice self_of(const struct jinja_call *c)
{
    return jinja_slice(c->self);
}

static struct slice rest_of(struct slice s, size_t from)
{
    return slice_make(s.at + from, s.n - from);
}

// Where `part` begins in s, counted from its start; NOT_FOUND.
static size_t find_first(struct jinja_run *r, struct slice s, struct slice part)
{
    const char *hit = part.n == 0 ? s.at : memmem(s.at, s.n, part.at, part.n);
    size_t at = hit == NULL ? NOT_FOUND : (size_t)(hit - s.at);
    jinja_step(r, 1 + (at == NOT_FOUND ? s.n : at) / 32);
    return at;
}

static size_t find_last(struct jinja_run *r, struct slice s, struct slice part)
{
    for (size_t i = s.n + 1; i-- > 0 && jinja_step(r, part.n / 32);)
        if (s.n - i >= part.n && memcmp(s.at + i, part.at, part.n) == 0)
            return i;
    return NOT_FOUND;
}

// ---- case, white space, padding ----

static struct jinja_value method_upper(struct jinja_run *r, const struct jinja_call *c)
{
    return jinja_case_map(r, c->self, JINJA_UPPER);
}

static struct jinja_value method_lower(struct jinja_run *r, const struct jinja_call *c)
{
    return jinja_case_map(r, c->self, JINJA_LOWER);
}

static struct jinja_value method_title(struct jinja_run *r, const struct jinja_call *c)
{
    return jinja_case_map(r, c->self, JINJA_TITLE);
}

static struct jinja_value method_capitalize(struct jinja_run *r, const struct jinja_call *c)
{
    return jinja_case_map(r, c->self, JINJA_CAPITALIZE);
}

static struct jinja_value method_swapcase(struct jinja_run *r, const struct jinja_call *c)
{
    return jinja_case_map(r, c->self, JINJA_SWAPCASE);
}

static bool is_one_of(struct jinja_run *r, struct slice one, struct slice chars)
{
    jinja_step(r, 1 + chars.n / 32);
    for (size_t i = 0; i < chars.n;) {
        uint32_t c;
        size_t n = utf8_decode(chars.at + i, chars.n - i, &c);
        if (slice_equals(one, slice_make(chars.at + i, n)))
            return true;
        i += n;
    }
    return false;
}

// Bytes at the start (or end) of s that strip() takes away in one go; 0: none.
static size_t strip_one(struct jinja_run *r, struct slice s, struct jinja_value chars, bool at_start)
{
    if (s.n == 0 || r->failed)
        return 0;
    if (chars.kind != JINJA_TEXT)
        return at_start ? jinja_space_at(s) : jinja_space_before(s);
    size_t n = 1;
    uint32_t c;
    if (at_start) {
        n = utf8_decode(s.at, s.n, &c);
    } else {
        while (n < 4 && n < s.n && (s.at[s.n - n] & 0xC0) == 0x80)
            n++;
        if (utf8_decode(s.at + s.n - n, n, &c) != n)
            n = 1;
    }
    return is_one_of(r, slice_make(at_start ? s.at : s.at + s.n - n, n), jinja_slice(chars)) ? n : 0;
}

struct jinja_value jinja_strip(struct jinja_run *r, struct jinja_value text, struct jinja_value chars,
                               bool left, bool right)
{
    struct slice s = jinja_slice(text);
    size_t n;
    if (chars.kind != JINJA_TEXT && chars.kind != JINJA_NONE && chars.kind != JINJA_MISSING)
        return jinja_fail(r, ERR_FORMAT, "strip arg must be None or str, not %s", jinja_type_name(chars));
    while (left && (n = strip_one(r, s, chars, true)) > 0)
        s = rest_of(s, n);
    while (right && (n = strip_one(r, s, chars, false)) > 0)
        s.n -= n;
    jinja_step(r, (text.text->n_bytes - s.n) / 8);
    struct jinja_value out = jinja_text_borrow(r, s);
    out.markup = text.markup;
    return out;
}

static struct jinja_value method_strip(struct jinja_run *r, const struct jinja_call *c)
{
    return jinja_strip(r, c->self, c->arg[0], true, true);
}

static struct jinja_value method_lstrip(struct jinja_run *r, const struct jinja_call *c)
{
    return jinja_strip(r, c->self, c->arg[0], true, false);
}

static struct jinja_value method_rstrip(struct jinja_run *r, const struct jinja_call *c)
{
    return jinja_strip(r, c->self, c->arg[0], false, true);
}

static void put_fill(struct jinja_run *r, struct jinja_sink *s, struct slice fill, int64_t n)
{
    for (int64_t i = 0; i < n && jinja_step(r, 1); i++)
        jinja_put_slice(r, s, fill);
}

// side: -1 text at the left, 1 at the right, 0 in the middle.
struct jinja_value jinja_pad(struct jinja_run *r, struct jinja_value text, int64_t width, struct slice fill,
                             int side)
{
    int64_t n = (int64_t)jinja_text_length(r, text), missing = width > n ? width - n : 0;
    int64_t before = side < 0 ? 0 : side > 0 ? missing : missing / 2 + (missing & width & 1);
    struct jinja_sink out = {0};
    if (utf8_count(fill) != 1)
        return jinja_fail(r, ERR_FORMAT, "the fill character must be exactly one character long");
    put_fill(r, &out, fill, before);
    jinja_put_slice(r, &out, jinja_slice(text));
    put_fill(r, &out, fill, missing - before);
    return jinja_sink_text(r, &out);
}

static struct jinja_value pad(struct jinja_run *r, const struct jinja_call *c, int side)
{
    return jinja_pad(r, c->self, jinja_arg_int(r, c, 0, 0), jinja_arg_text(r, c, 1, slice_of(" ")), side);
}

static struct jinja_value method_ljust(struct jinja_run *r, const struct jinja_call *c)
{
    return pad(r, c, -1);
}

static struct jinja_value method_rjust(struct jinja_run *r, const struct jinja_call *c)
{
    return pad(r, c, 1);
}

static struct jinja_value method_center(struct jinja_run *r, const struct jinja_call *c)
{
    return pad(r, c, 0);
}

static struct jinja_value method_zfill(struct jinja_run *r, const struct jinja_call *c)
{
    struct slice s = self_of(c);
    int64_t n = (int64_t)jinja_text_length(r, c->self), width = jinja_arg_int(r, c, 0, 0);
    struct jinja_sink out = {0};
    size_t sign = s.n > 0 && (s.at[0] == '-' || s.at[0] == '+');
    jinja_put(r, &out, s.at, sign);
    put_fill(r, &out, slice_of("0"), width - n);
    jinja_put_slice(r, &out, rest_of(s, sign));
    return jinja_sink_text(r, &out);
}

// ---- looking ----

static bool has_affix(struct slice s, struct slice affix, bool at_start)
{
    if (affix.n > s.n)
        return false;
    return memcmp(at_start ? s.at : s.at + s.n - affix.n, affix.at, affix.n) == 0;
}

// startswith and endswith take one text or a tuple of them.
static struct jinja_value test_affix(struct jinja_run *r, const struct jinja_call *c, bool at_start)
{
    struct jinja_value what = c->arg[0];
    if (what.kind == JINJA_TEXT)
        return jinja_bool(has_affix(self_of(c), jinja_slice(what), at_start));
    if (what.kind != JINJA_LIST || what.list->flavor != JINJA_FLAVOR_TUPLE)
        return jinja_fail(r, ERR_FORMAT, "%s first arg must be str or a tuple of str, not %s", c->name,
                          jinja_type_name(what));
    for (size_t i = 0; i < what.list->n && jinja_step(r, 1); i++)
        if (what.list->at[i].kind == JINJA_TEXT &&
            has_affix(self_of(c), jinja_slice(what.list->at[i]), at_start))
            return jinja_bool(true);
    return jinja_bool(false);
}

static struct jinja_value method_startswith(struct jinja_run *r, const struct jinja_call *c)
{
    return test_affix(r, c, true);
}

static struct jinja_value method_endswith(struct jinja_run *r, const struct jinja_call *c)
{
    return test_affix(r, c, false);
}

static struct jinja_value find(struct jinja_run *r, const struct jinja_call *c, bool from_end,
                               bool must_exist)
{
    struct slice s = self_of(c), part = jinja_arg_text(r, c, 0, slice_of(""));
    size_t at = from_end ? find_last(r, s, part) : find_first(r, s, part);
    if (at == NOT_FOUND)
        return must_exist ? jinja_fail(r, ERR_FORMAT, "substring not found") : jinja_int(-1);
    return jinja_int((int64_t)utf8_count(slice_make(s.at, at)));
}

static struct jinja_value method_find(struct jinja_run *r, const struct jinja_call *c)
{
    return find(r, c, false, false);
}

static struct jinja_value method_rfind(struct jinja_run *r, const struct jinja_call *c)
{
    return find(r, c, true, false);
}

static struct jinja_value method_index(struct jinja_run *r, const struct jinja_call *c)
{
    return find(r, c, false, true);
}

static struct jinja_value method_rindex(struct jinja_run *r, const struct jinja_call *c)
{
    return find(r, c, true, true);
}

static struct jinja_value method_count(struct jinja_run *r, const struct jinja_call *c)
{
    struct slice s = self_of(c), part = jinja_arg_text(r, c, 0, slice_of(""));
    int64_t count = 0;
    if (part.n == 0)
        return jinja_int((int64_t)jinja_text_length(r, c->self) + 1);
    for (size_t at; !r->failed && (at = find_first(r, s, part)) != NOT_FOUND; count++)
        s = rest_of(s, at + part.n);
    return jinja_int(count);
}

static bool is_alpha(uint32_t c)
{
    utf8proc_category_t k = c == UTF8_INVALID ? UTF8PROC_CATEGORY_CN : utf8proc_category((utf8proc_int32_t)c);
    return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO;
}

// Whether the text is not empty and each character is a letter and/or a digit.
static struct jinja_value test_chars(struct jinja_run *r, const struct jinja_call *c, bool letters,
                                     bool digits)
{
    struct slice s = self_of(c);
    for (size_t i = 0; i < s.n && jinja_step(r, 1);) {
        uint32_t ch;
        i += utf8_decode(s.at + i, s.n - i, &ch);
        bool is_digit = ch >= '0' && ch <= '9', is_letter = is_alpha(ch);
        if (digits && ch >= 0x80 && !is_letter && ch != UTF8_INVALID)
            return jinja_fail(r, ERR_UNSUPPORTED, "%s() on characters beyond ASCII", c->name);
        if (!(letters && is_letter) && !(digits && is_digit))
            return jinja_bool(false);
    }
    return jinja_bool(s.n > 0);
}

static struct jinja_value method_isalpha(struct jinja_run *r, const struct jinja_call *c)
{
    return test_chars(r, c, true, false);
}

static struct jinja_value method_isdigit(struct jinja_run *r, const struct jinja_call *c)
{
    return test_chars(r, c, false, true);
}

static struct jinja_value method_isalnum(struct jinja_run *r, const struct jinja_call *c)
{
    return test_chars(r, c, true, true);
}

static struct jinja_value method_isspace(struct jinja_run *r, const struct jinja_call *c)
{
    struct slice s = self_of(c);
    size_t n;
    jinja_step(r, s.n / 8);
    while ((n = jinja_space_at(s)) > 0)
        s = rest_of(s, n);
    return jinja_bool(self_of(c).n > 0 && s.n == 0);
}

static struct jinja_value method_isupper(struct jinja_run *r, const struct jinja_call *c)
{
    return jinja_bool(jinja_case_is(r, self_of(c), JINJA_UPPER));
}

static struct jinja_value method_islower(struct jinja_run *r, const struct jinja_call *c)
{
    return jinja_bool(jinja_case_is(r, self_of(c), JINJA_LOWER));
}

// ---- cutting ----

static void push_part(struct jinja_run *r, struct jinja_value list, const char *at, size_t n)
{
    jinja_list_push(r, list.list, jinja_text_borrow(r, slice_make(at, n)));
}

static struct jinja_value split_spaces(struct jinja_run *r, struct slice s, int64_t most)
{
    struct jinja_value out = jinja_list_new(r, 0, JINJA_FLAVOR_LIST);
    size_t n;
    jinja_step(r, s.n / 8);
    while (!r->failed) {
        while ((n = jinja_space_at(s)) > 0)
            s = rest_of(s, n);
        if (s.n == 0)
            break;
        size_t end = most == 0 ? s.n : 0;
        while (end < s.n && jinja_space_at(rest_of(s, end)) == 0)
            end++;
        push_part(r, out, s.at, end);
        s = rest_of(s, end);
        most--;
    }
    return out;
}

static struct jinja_value rsplit_spaces(struct jinja_run *r, struct slice s, int64_t most)
{
    struct jinja_value out = jinja_list_new(r, 0, JINJA_FLAVOR_LIST);
    size_t n;
    jinja_step(r, s.n / 8);
    while (!r->failed) {
        while ((n = jinja_space_before(s)) > 0)
            s.n -= n;
        if (s.n == 0)
            break;
        size_t start = most == 0 ? 0 : s.n;
        while (start > 0 && jinja_space_before(slice_make(s.at, start)) == 0)
            start--;
        push_part(r, out, s.at + start, s.n - start);
        s.n = start;
        most--;
    }
    return out;
}

static void reverse_list(struct jinja_list *l)
{
    for (size_t i = 0; i < l->n / 2; i++) {
        struct jinja_value v = l->at[i];
        l->at[i] = l->at[l->n - 1 - i];
        l->at[l->n - 1 - i] = v;
    }
}

static struct jinja_value split_by(struct jinja_run *r, struct slice s, struct slice by, int64_t most)
{
    struct jinja_value out = jinja_list_new(r, 0, JINJA_FLAVOR_LIST);
    for (size_t at; most != 0 && !r->failed && (at = find_first(r, s, by)) != NOT_FOUND; most--) {
        push_part(r, out, s.at, at);
        s = rest_of(s, at + by.n);
    }
    push_part(r, out, s.at, s.n);
    return out;
}

static struct jinja_value rsplit_by(struct jinja_run *r, struct slice s, struct slice by, int64_t most)
{
    struct jinja_value out = jinja_list_new(r, 0, JINJA_FLAVOR_LIST);
    for (size_t at; most != 0 && !r->failed && (at = find_last(r, s, by)) != NOT_FOUND; most--) {
        push_part(r, out, s.at + at + by.n, s.n - at - by.n);
        s.n = at;
    }
    push_part(r, out, s.at, s.n);
    return out;
}

static struct jinja_value split(struct jinja_run *r, const struct jinja_call *c, bool from_end)
{
    int64_t most = jinja_arg_int(r, c, 1, -1);
    struct jinja_value by = c->arg[0], out;
    bool at_spaces = by.kind == JINJA_MISSING || by.kind == JINJA_NONE;
    struct slice sep = at_spaces ? slice_of("") : jinja_arg_text(r, c, 0, slice_of(""));
    if (!at_spaces && sep.n == 0)
        return jinja_fail(r, ERR_FORMAT, "empty separator");
    if (at_spaces)
        out = from_end ? rsplit_spaces(r, self_of(c), most) : split_spaces(r, self_of(c), most);
    else
        out = from_end ? rsplit_by(r, self_of(c), sep, most) : split_by(r, self_of(c), sep, most);
    if (from_end)
        reverse_list(out.list);
    return out;
}

static struct jinja_value method_split(struct jinja_run *r, const struct jinja_call *c)
{
    return split(r, c, false);
}

static struct jinja_value method_rsplit(struct jinja_run *r, const struct jinja_call *c)
{
    return split(r, c, true);
}

static struct jinja_value partition(struct jinja_run *r, const struct jinja_call *c, bool from_end)
{
    struct slice s = self_of(c), by = jinja_arg_text(r, c, 0, slice_of(""));
    struct jinja_value out = jinja_list_new(r, 3, JINJA_FLAVOR_TUPLE);
    if (by.n == 0)
        return jinja_fail(r, ERR_FORMAT, "empty separator");
    size_t at = from_end ? find_last(r, s, by) : find_first(r, s, by);
    if (at == NOT_FOUND && from_end) {
        push_part(r, out, "", 0);
        push_part(r, out, "", 0);
        push_part(r, out, s.at, s.n);
        return out;
    }
    bool is_found = at != NOT_FOUND;
    push_part(r, out, s.at, is_found ? at : s.n);
    push_part(r, out, by.at, is_found ? by.n : 0);
    push_part(r, out, is_found ? s.at + at + by.n : "", is_found ? s.n - at - by.n : 0);
    return out;
}

static struct jinja_value method_partition(struct jinja_run *r, const struct jinja_call *c)
{
    return partition(r, c, false);
}

static struct jinja_value method_rpartition(struct jinja_run *r, const struct jinja_call *c)
{
    return partition(r, c, true);
}

struct jinja_value jinja_split_lines(struct jinja_run *r, struct slice s)
{
    struct jinja_value out = jinja_list_new(r, 0, JINJA_FLAVOR_LIST);
    jinja_step(r, s.n / 8);
    while (s.n > 0 && !r->failed) {
        size_t end_bytes, n = jinja_line_length(s, &end_bytes);
        push_part(r, out, s.at, n);
        s = rest_of(s, n + end_bytes);
    }
    return out;
}

static struct jinja_value method_splitlines(struct jinja_run *r, const struct jinja_call *c)
{
    if (jinja_arg_truth(r, c, 0, false))
        return jinja_fail(r, ERR_UNSUPPORTED, "splitlines(keepends=true)");
    return jinja_split_lines(r, self_of(c));
}

static struct jinja_value method_removeprefix(struct jinja_run *r, const struct jinja_call *c)
{
    struct slice s = self_of(c), prefix = jinja_arg_text(r, c, 0, slice_of(""));
    return jinja_text_borrow(r, has_affix(s, prefix, true) ? rest_of(s, prefix.n) : s);
}

static struct jinja_value method_removesuffix(struct jinja_run *r, const struct jinja_call *c)
{
    struct slice s = self_of(c), suffix = jinja_arg_text(r, c, 0, slice_of(""));
    return jinja_text_borrow(r, has_affix(s, suffix, false) ? slice_make(s.at, s.n - suffix.n) : s);
}

// ---- making ----

struct jinja_value jinja_replace(struct jinja_run *r, struct slice s, struct slice old, struct slice new,
                                 int64_t count)
{
    struct jinja_sink out = {0};
    while (count != 0 && !r->failed) {
        size_t at = find_first(r, s, old), skipped = old.n;
        if (at == NOT_FOUND)
            break;
        jinja_put(r, &out, s.at, at);
        jinja_put_slice(r, &out, new);
        count--;
        if (old.n == 0) { // between all characters, at the start and at the end
            uint32_t c;
            if (s.n == 0)
                return jinja_sink_text(r, &out);
            skipped = utf8_decode(s.at, s.n, &c);
            jinja_put(r, &out, s.at, skipped);
        }
        s = rest_of(s, at + skipped);
    }
    jinja_put_slice(r, &out, s);
    return jinja_sink_text(r, &out);
}

static struct jinja_value method_replace(struct jinja_run *r, const struct jinja_call *c)
{
    struct slice old = jinja_arg_text(r, c, 0, slice_of("")), new = jinja_arg_text(r, c, 1, slice_of(""));
    if (c->self.markup)
        return jinja_fail(r, ERR_UNSUPPORTED, "replace() on a text marked safe");
    return jinja_replace(r, self_of(c), old, new, jinja_arg_int(r, c, 2, -1));
}

static struct jinja_value method_join(struct jinja_run *r, const struct jinja_call *c)
{
    const struct jinja_list *items = jinja_items(r, c->arg[0]);
    struct jinja_sink out = {0};
    if (c->self.markup)
        return jinja_fail(r, ERR_UNSUPPORTED, "join() on a text marked safe");
    for (size_t i = 0; i < items->n && jinja_step(r, 1); i++) {
        if (items->at[i].kind != JINJA_TEXT)
            return jinja_fail(r, ERR_FORMAT, "sequence item %zu: expected str instance, %s found", i,
                              jinja_type_name(items->at[i]));
        if (i > 0)
            jinja_put_slice(r, &out, self_of(c));
        jinja_put_slice(r, &out, jinja_slice(items->at[i]));
    }
    return jinja_sink_text(r, &out);
}

// The value of a replacement field: "" the next argument, digits a numbered one, a name a keyword.
static struct jinja_value format_field(struct jinja_run *r, const struct jinja_call *c, struct slice field,
                                       size_t *next)
{
    size_t number = 0, digits = 0;
    while (digits < field.n && digits < 6 && field.at[digits] >= '0' && field.at[digits] <= '9')
        number = number * 10 + (size_t)(field.at[digits++] - '0');
    if (digits == field.n) {
        number = field.n == 0 ? (*next)++ : number;
        if (number >= c->raw.n)
            return jinja_fail(r, ERR_FORMAT, "replacement index %zu out of range for positional args",
                              number);
        return c->raw.at[number];
    }
    for (size_t i = 0; i < c->raw.n_keywords; i++)
        if (slice_equals(c->raw.keywords[i].name, field))
            return c->raw.keywords[i].value;
    return jinja_fail(r, ERR_UNSUPPORTED, "the replacement field {%.*s}", (int)MIN(field.n, 60), field.at);
}

static struct jinja_value method_format(struct jinja_run *r, const struct jinja_call *c)
{
    struct slice s = self_of(c);
    struct jinja_sink out = {0};
    size_t next = 0;
    if (c->self.markup)
        return jinja_fail(r, ERR_UNSUPPORTED, "format() on a text marked safe");
    for (size_t i = 0; i < s.n && jinja_step(r, 1);) {
        char ch = s.at[i];
        bool is_double = i + 1 < s.n && s.at[i + 1] == ch;
        if (ch != '{' && ch != '}') {
            jinja_put(r, &out, s.at + i++, 1);
            continue;
        }
        if (is_double) {
            jinja_put(r, &out, &ch, 1);
            i += 2;
            continue;
        }
        const char *close = ch == '{' ? memchr(s.at + i, '}', s.n - i) : NULL;
        if (close == NULL)
            return jinja_fail(r, ERR_FORMAT, "a single '%c' in a format string", ch);
        struct slice field = slice_make(s.at + i + 1, (size_t)(close - s.at) - i - 1);
        jinja_put_str(r, &out, format_field(r, c, field, &next));
        i += field.n + 2;
    }
    return jinja_sink_text(r, &out);
}

static const struct jinja_row methods[] = {
    {"capitalize", method_capitalize, ""},
    {"casefold", NULL, ""},
    {"center", method_center, "width fillchar?"},
    {"count", method_count, "sub"},
    {"encode", NULL, ""},
    {"endswith", method_endswith, "suffix"},
    {"expandtabs", NULL, ""},
    {"find", method_find, "sub"},
    {"format", method_format, "*"},
    {"format_map", NULL, ""},
    {"index", method_index, "sub"},
    {"isalnum", method_isalnum, ""},
    {"isalpha", method_isalpha, ""},
    {"isascii", NULL, ""},
    {"isdecimal", method_isdigit, ""},
    {"isdigit", method_isdigit, ""},
    {"isidentifier", NULL, ""},
    {"islower", method_islower, ""},
    {"isnumeric", method_isdigit, ""},
    {"isprintable", NULL, ""},
    {"isspace", method_isspace, ""},
    {"istitle", NULL, ""},
    {"isupper", method_isupper, ""},
    {"join", method_join, "iterable"},
    {"ljust", method_ljust, "width fillchar?"},
    {"lower", method_lower, ""},
    {"lstrip", method_lstrip, "chars?"},
    {"maketrans", NULL, ""},
    {"partition", method_partition, "sep"},
    {"removeprefix", method_removeprefix, "prefix"},
    {"removesuffix", method_removesuffix, "suffix"},
    {"replace", method_replace, "old new count?"},
    {"rfind", method_rfind, "sub"},
    {"rindex", method_rindex, "sub"},
    {"rjust", method_rjust, "width fillchar?"},
    {"rpartition", method_rpartition, "sep"},
    {"rsplit", method_rsplit, "sep? maxsplit?"},
    {"rstrip", method_rstrip, "chars?"},
    {"split", method_split, "sep? maxsplit?"},
    {"splitlines", method_splitlines, "keepends?"},
    {"startswith", method_startswith, "prefix"},
    {"strip", method_strip, "chars?"},
    {"swapcase", method_swapcase, ""},
    {"title", method_title, ""},
    {"translate", NULL, ""},
    {"upper", method_upper, ""},
    {"zfill", method_zfill, "width"},
};

const struct jinja_row *jinja_string_method_find(struct slice name)
{
    return jinja_row_find(methods, COUNT_OF(methods), name);
}
