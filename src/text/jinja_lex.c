// SPDX-License-Identifier: MIT
// Source to tokens, with white space control as jinja2 does it under trim_blocks and lstrip_blocks: `-`
// strips all white space on its side, `+` none; otherwise the newline after a block or comment goes, and so
// do blanks between a line's start and a block or comment. Inside brackets the end marks of a tag are
// ordinary operators. One pass, linear.
#include <ctype.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "text/jinja_run.h"

struct lexer {
    struct jinja_arena *arena;
    struct slice source;
    size_t at;
    size_t counted; // newlines before this are in `line`
    uint32_t line;
    struct jinja_token *tokens;
    size_t n, capacity;
    char brackets[JINJA_NESTING];
    size_t n_brackets;
    struct err *err;
    bool failed;
};

static void fail(struct lexer *l, const char *what, struct slice text)
{
    l->failed = true;
    err_set(l->err, ERR_FORMAT, "template line %u: %s%.*s", l->line, what, (int)MIN(text.n, 40), text.at);
}

// The line of a position; positions only grow.
static uint32_t line_of(struct lexer *l, size_t at)
{
    for (; l->counted < at; l->counted++)
        l->line += l->source.at[l->counted] == '\n';
    return l->line;
}

static void push(struct lexer *l, enum jinja_token_type type, size_t from, size_t to)
{
    if (l->n == l->capacity) {
        size_t capacity = MAX(l->capacity * 2, 64);
        struct jinja_token *grown = jinja_arena_try(l->arena, capacity * sizeof *grown);
        if (grown == NULL) {
            l->failed = true;
            err_set(l->err, ERR_TOO_LARGE, "the template is too large");
            return;
        }
        if (l->n > 0)
            memcpy(grown, l->tokens, l->n * sizeof *grown);
        l->tokens = grown;
        l->capacity = capacity;
    }
    struct jinja_token token = {type, line_of(l, from), slice_make(l->source.at + from, to - from)};
    l->tokens[l->n++] = token;
}

static struct slice rest_at(const struct lexer *l, size_t at)
{
    return slice_make(l->source.at + at, l->source.n - at);
}

static bool is_at(const struct lexer *l, size_t at, const char *text)
{
    return slice_starts_with(rest_at(l, at), slice_of(text));
}

static size_t skip_space(const struct lexer *l, size_t at)
{
    size_t n;
    while ((n = jinja_space_at(rest_at(l, at))) > 0)
        at += n;
    return at;
}

// Data [from, to) before a tag whose sign is `sign`: where it ends after stripping.
static size_t strip_data(const struct lexer *l, size_t from, size_t to, char sign, bool is_print)
{
    const char *s = l->source.at;
    size_t n;
    if (sign == '-') {
        while ((n = jinja_space_before(slice_make(s + from, to - from))) > 0)
            to -= n;
        return to;
    }
    if (sign == '+' || is_print)
        return to;
    size_t start = to;
    while (start > from && s[start - 1] != '\n' &&
           (n = jinja_space_before(slice_make(s + from, start - from))) > 0)
        start -= n;
    bool at_line_start = start > from ? s[start - 1] == '\n' : from == 0 || s[from - 1] == '\n';
    return at_line_start ? start : to;
}

static void push_data(struct lexer *l, size_t from, size_t to)
{
    if (to > from)
        push(l, JINJA_TOKEN_DATA, from, to);
}

// The length of the end of a block or comment at `at` whose closing bracket is `mark` ('%' or '#'), what it
// swallows included; 0: none.
static size_t tag_end(const struct lexer *l, size_t at, char mark)
{
    char plain[] = {mark, '}', 0}, minus[] = {'-', mark, '}', 0}, plus[] = {'+', mark, '}', 0};
    if (is_at(l, at, plus))
        return 3;
    if (is_at(l, at, minus))
        return skip_space(l, at + 3) - at;
    if (is_at(l, at, plain))
        return is_at(l, at + 2, "\n") ? 3 : 2;
    return 0;
}

static void lex_comment(struct lexer *l)
{
    for (size_t at = l->at; at < l->source.n; at++) {
        size_t n = tag_end(l, at, '#');
        if (n > 0) {
            l->at = at + n;
            return;
        }
    }
    fail(l, "missing end of comment tag", slice_of(""));
}

// Where `{% raw %}` at `at` ends, 0 if it is something else.
static size_t raw_begin(const struct lexer *l, size_t at)
{
    at += 2;
    if (is_at(l, at, "-") || is_at(l, at, "+"))
        at++;
    at = skip_space(l, at);
    if (!is_at(l, at, "raw"))
        return 0;
    at = skip_space(l, at + 3);
    if (is_at(l, at, "-%}"))
        return skip_space(l, at + 3);
    return is_at(l, at, "%}") ? at + 2 : 0;
}

static void lex_raw(struct lexer *l)
{
    size_t from = l->at;
    for (size_t at = from; at + 1 < l->source.n; at++) {
        if (!is_at(l, at, "{%"))
            continue;
        char sign = at + 2 < l->source.n ? l->source.at[at + 2] : 0;
        size_t word = skip_space(l, at + 2 + (sign == '-' || sign == '+'));
        if (!is_at(l, word, "endraw"))
            continue;
        size_t end = skip_space(l, word + 6);
        size_t n = tag_end(l, end, '%');
        if (n == 0)
            continue;
        push_data(l, from, strip_data(l, from, at, sign, false));
        l->at = end + n;
        return;
    }
    fail(l, "missing end of raw directive", slice_of(""));
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

// Digits with single underscores between them; returns their end, or `at` if there are none.
static size_t digits_end(const struct lexer *l, size_t at)
{
    const char *s = l->source.at;
    size_t n = l->source.n, end = at;
    while (end < n && isdigit((unsigned char)s[end])) {
        end++;
        if (end + 1 < n && s[end] == '_' && isdigit((unsigned char)s[end + 1]))
            end++;
    }
    return end;
}

static size_t exponent_end(const struct lexer *l, size_t at)
{
    if (!is_at(l, at, "e") && !is_at(l, at, "E"))
        return at;
    size_t start = at + 1 + (is_at(l, at + 1, "+") || is_at(l, at + 1, "-"));
    size_t end = digits_end(l, start);
    return end > start ? end : at;
}

static void lex_number(struct lexer *l)
{
    size_t from = l->at, end = digits_end(l, from);
    const char *s = l->source.at;
    bool is_float = false;
    if (s[from] == '0' && from + 1 < l->source.n && strchr("xXoObB", s[from + 1]) != NULL &&
        s[from + 1] != 0) {
        end = from + 2;
        while (end < l->source.n && (isxdigit((unsigned char)s[end]) || s[end] == '_'))
            end++;
    } else if (from == 0 || s[from - 1] != '.') {
        size_t after = end;
        if (is_at(l, end, ".") && digits_end(l, end + 1) > end + 1)
            after = digits_end(l, end + 1);
        after = exponent_end(l, after);
        is_float = after > end;
        end = after;
    }
    push(l, is_float ? JINJA_TOKEN_FLOAT : JINJA_TOKEN_INTEGER, from, end);
    l->at = end;
}

static void lex_string(struct lexer *l)
{
    char quote = l->source.at[l->at];
    for (size_t at = l->at + 1; at < l->source.n; at++) {
        if (l->source.at[at] == '\\') {
            at++;
        } else if (l->source.at[at] == quote) {
            push(l, JINJA_TOKEN_STRING, l->at, at + 1);
            l->at = at + 1;
            return;
        }
    }
    line_of(l, l->at);
    fail(l, "a string without its end: ", rest_at(l, l->at));
}

// Keeps the open brackets; false if this one does not fit.
static bool balance(struct lexer *l, char c)
{
    static const char open[] = "([{", close[] = ")]}";
    const char *at = strchr(open, c);
    if (at != NULL) {
        if (l->n_brackets == COUNT_OF(l->brackets)) {
            fail(l, "brackets nested too deep", slice_of(""));
            return false;
        }
        l->brackets[l->n_brackets++] = close[at - open];
    } else if (strchr(close, c) != NULL) {
        if (l->n_brackets == 0 || l->brackets[l->n_brackets - 1] != c) {
            fail(l, "unexpected ", slice_make(&c, 1));
            return false;
        }
        l->n_brackets--;
    }
    return true;
}

static void lex_sign(struct lexer *l)
{
    static const char *const two[] = {"//", "**", "==", "!=", ">=", "<="};
    size_t n = 1;
    for (size_t i = 0; i < COUNT_OF(two); i++)
        if (is_at(l, l->at, two[i]))
            n = 2;
    char c = l->source.at[l->at];
    line_of(l, l->at);
    if (n == 1 && (c == 0 || strchr("+-/*%~[](){}><=.:|,;", c) == NULL)) {
        fail(l, "unexpected character ", slice_make(&c, 1));
        return;
    }
    if (n == 1 && !balance(l, c))
        return;
    push(l, JINJA_TOKEN_SIGN, l->at, l->at + n);
    l->at += n;
}

// Inside a tag up to its end.
static void lex_tag(struct lexer *l, bool is_print)
{
    l->n_brackets = 0;
    while (!l->failed) {
        l->at = skip_space(l, l->at);
        if (l->at >= l->source.n) {
            line_of(l, l->source.n);
            fail(l, is_print ? "missing end of print tag" : "missing end of block tag", slice_of(""));
            return;
        }
        size_t end = 0;
        if (l->n_brackets == 0 && is_print)
            end = is_at(l, l->at, "-}}") ? skip_space(l, l->at + 3) - l->at : is_at(l, l->at, "}}") ? 2 : 0;
        else if (l->n_brackets == 0)
            end = tag_end(l, l->at, '%');
        if (end > 0) {
            push(l, is_print ? JINJA_TOKEN_PRINT_END : JINJA_TOKEN_BLOCK_END, l->at, l->at + end);
            l->at += end;
            return;
        }
        char c = l->source.at[l->at];
        if (isdigit((unsigned char)c)) {
            lex_number(l);
        } else if (is_word(c)) {
            size_t from = l->at;
            while (l->at < l->source.n && is_word(l->source.at[l->at]) &&
                   jinja_space_at(rest_at(l, l->at)) == 0)
                l->at++;
            push(l, JINJA_TOKEN_NAME, from, l->at);
        } else if (c == '\'' || c == '"') {
            lex_string(l);
        } else {
            lex_sign(l);
        }
    }
}

// The next "{%", "{{" or "{#" at or after `at`; the end of the source if there is none.
static size_t find_tag(const struct lexer *l, size_t at)
{
    while (at + 1 < l->source.n) {
        const char *hit = memchr(l->source.at + at, '{', l->source.n - 1 - at);
        if (hit == NULL)
            break;
        at = (size_t)(hit - l->source.at);
        if (hit[1] == '%' || hit[1] == '{' || hit[1] == '#')
            return at;
        at++;
    }
    return l->source.n;
}

static void lex_root(struct lexer *l)
{
    while (!l->failed && l->at < l->source.n) {
        size_t from = l->at, tag = find_tag(l, from);
        if (tag >= l->source.n) {
            push_data(l, from, l->source.n);
            return;
        }
        char kind = l->source.at[tag + 1], sign = tag + 2 < l->source.n ? l->source.at[tag + 2] : 0;
        push_data(l, from, strip_data(l, from, tag, sign, kind == '{'));
        size_t raw = kind == '%' ? raw_begin(l, tag) : 0;
        l->at = raw > 0 ? raw : tag + 2 + (sign == '-' || sign == '+');
        line_of(l, tag);
        if (raw > 0) {
            lex_raw(l);
        } else if (kind == '#') {
            lex_comment(l);
        } else {
            push(l, kind == '{' ? JINJA_TOKEN_PRINT_BEGIN : JINJA_TOKEN_BLOCK_BEGIN, tag, l->at);
            lex_tag(l, kind == '{');
        }
    }
}

struct jinja_token *jinja_lex(struct jinja_arena *arena, struct slice source, size_t *n_tokens,
                              struct err *err)
{
    struct lexer l = {.arena = arena, .source = source, .line = 1, .err = err};
    lex_root(&l);
    if (!l.failed)
        push(&l, JINJA_TOKEN_END, source.n, source.n);
    *n_tokens = l.n;
    return l.failed ? NULL : l.tokens;
}
