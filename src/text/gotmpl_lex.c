// SPDX-License-Identifier: MIT
// The lexer of Go templates: text, and the tokens within actions, with trim markers and comments taken care
// of here, so that the parser never sees them. The messages are Go's.
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <utf8proc.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "text/gotmpl_tree.h"

enum { AT_END = -1, MARKER_BYTES = 2 }; // a trim marker is a sign and a space

static bool is_space(int64_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_alphanumeric(int64_t c)
{
    if (c < 0)
        return false;
    if (c < 0x80)
        return c == '_' || (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
    utf8proc_category_t category =
        c <= 0x10FFFF ? utf8proc_category((utf8proc_int32_t)c) : UTF8PROC_CATEGORY_CN;
    return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO) ||
           category == UTF8PROC_CATEGORY_ND;
}

static int64_t peek(const struct gotmpl_lexer *l, size_t *n)
{
    uint32_t c;
    *n = 0;
    if (l->pos >= l->input.n)
        return AT_END;
    *n = utf8_decode(l->input.at + l->pos, l->input.n - l->pos, &c);
    return c == UTF8_INVALID ? UTF8_REPLACEMENT : c;
}

static int64_t peek_char(const struct gotmpl_lexer *l)
{
    size_t n;
    return peek(l, &n);
}

static int64_t next_char(struct gotmpl_lexer *l)
{
    size_t n;
    int64_t c = peek(l, &n);
    l->pos += n;
    l->line += c == '\n';
    return c;
}

static bool accept(struct gotmpl_lexer *l, const char *set)
{
    int64_t c = peek_char(l);
    if (c <= 0 || c >= 0x80 || strchr(set, (int)c) == NULL)
        return false;
    next_char(l);
    return true;
}

static bool starts_with(const struct gotmpl_lexer *l, size_t at, const char *text)
{
    size_t n = strlen(text);
    return at <= l->input.n && l->input.n - at >= n && memcmp(l->input.at + at, text, n) == 0;
}

static size_t find(const struct gotmpl_lexer *l, size_t from, const char *text)
{
    const char *found =
        from < l->input.n ? memmem(l->input.at + from, l->input.n - from, text, strlen(text)) : NULL;
    return found != NULL ? (size_t)(found - l->input.at) : l->input.n;
}

static bool has_left_marker(const struct gotmpl_lexer *l, size_t at)
{
    return at + 1 < l->input.n && l->input.at[at] == '-' && is_space(l->input.at[at + 1]);
}

static bool has_right_marker(const struct gotmpl_lexer *l, size_t at)
{
    return at + 1 < l->input.n && is_space(l->input.at[at]) && l->input.at[at + 1] == '-';
}

static bool at_right_delim(const struct gotmpl_lexer *l, bool *trims)
{
    *trims = has_right_marker(l, l->pos) && starts_with(l, l->pos + MARKER_BYTES, "}}");
    return *trims || starts_with(l, l->pos, "}}");
}

static struct gotmpl_token take(struct gotmpl_lexer *l, enum gotmpl_token_type type)
{
    struct gotmpl_token t = {type, (uint32_t)l->start, l->start_line,
                             slice_make(l->input.at + l->start, l->pos - l->start)};
    l->start = l->pos;
    l->start_line = l->line;
    return t;
}

// Passes over what lies before `pos`, whose lines are not counted yet.
static void skip_to(struct gotmpl_lexer *l, size_t pos)
{
    for (; l->pos < pos; l->pos++)
        l->line += l->input.at[l->pos] == '\n';
    l->start = l->pos;
    l->start_line = l->line;
}

__attribute__((format(printf, 2, 3))) static struct gotmpl_token fail(struct gotmpl_lexer *l,
                                                                      const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(l->message, sizeof l->message, format, args);
    va_end(args);
    struct gotmpl_token t = {GOTMPL_TOKEN_ERROR, (uint32_t)l->start, l->start_line, slice_of(l->message)};
    l->input.n = l->pos = l->start = 0;
    return t;
}

static struct gotmpl_token fail_char(struct gotmpl_lexer *l, const char *what, int64_t c)
{
    char shown[8] = "";
    if (gotmpl_is_printable((uint32_t)c))
        shown[utf8_encode((uint32_t)c, shown)] = 0;
    if (shown[0] != 0)
        return fail(l, "%s: U+%04X '%s'", what, (unsigned)c, shown);
    return fail(l, "%s: U+%04X", what, (unsigned)c);
}

static struct gotmpl_token fail_bad_char(struct gotmpl_lexer *l)
{
    struct gotmpl_token t = fail_char(l, "bad character", peek_char(l));
    char *colon = strchr(l->message, ':'); // here Go writes none
    memmove(colon, colon + 1, strlen(colon));
    t.text.n--;
    return t;
}

// Skips the spaces behind a delimiter that trims.
static size_t after_spaces(const struct gotmpl_lexer *l, size_t pos)
{
    while (pos < l->input.n && is_space(l->input.at[pos]))
        pos++;
    return pos;
}

// Begins at "{{" and a comment; leaves behind the closing delimiter. False: *out is the error.
static bool skip_comment(struct gotmpl_lexer *l, size_t begin, struct gotmpl_token *out)
{
    skip_to(l, begin);
    size_t end = find(l, begin + 2, "*/");
    bool trims;
    if (end == l->input.n) {
        *out = fail(l, "unclosed comment");
        return false;
    }
    l->pos = end + 2;
    bool is_closed = at_right_delim(l, &trims);
    l->pos = begin;
    if (!is_closed) {
        *out = fail(l, "comment ends before closing delimiter");
        return false;
    }
    end += 2 + (trims ? (size_t)MARKER_BYTES : 0) + 2;
    skip_to(l, trims ? after_spaces(l, end) : end);
    return true;
}

static struct gotmpl_token lex_text(struct gotmpl_lexer *l)
{
    for (;;) {
        size_t delim = find(l, l->pos, "{{"), end = delim;
        if (delim == l->input.n) {
            skip_to(l, l->start);
            for (; l->pos < delim; l->pos++)
                l->line += l->input.at[l->pos] == '\n';
            return take(l, l->pos > l->start ? GOTMPL_TOKEN_TEXT : GOTMPL_TOKEN_EOF);
        }
        bool trims = has_left_marker(l, delim + 2);
        while (trims && end > l->start && is_space(l->input.at[end - 1]))
            end--;
        for (; l->pos < end; l->pos++)
            l->line += l->input.at[l->pos] == '\n';
        struct gotmpl_token text = take(l, GOTMPL_TOKEN_TEXT), error;
        skip_to(l, delim);
        if (text.text.n > 0)
            return text;
        size_t behind = delim + 2 + (trims ? (size_t)MARKER_BYTES : 0);
        if (!starts_with(l, behind, "/*")) {
            l->pos += 2;
            struct gotmpl_token t = take(l, GOTMPL_TOKEN_LEFT_DELIM);
            skip_to(l, behind);
            l->is_inside = true;
            l->paren_depth = 0;
            return t;
        }
        if (!skip_comment(l, behind, &error))
            return error;
    }
}

static struct gotmpl_token lex_right_delim(struct gotmpl_lexer *l)
{
    bool trims;
    at_right_delim(l, &trims);
    if (trims)
        skip_to(l, l->pos + MARKER_BYTES);
    l->pos += 2;
    struct gotmpl_token t = take(l, GOTMPL_TOKEN_RIGHT_DELIM);
    if (trims)
        skip_to(l, after_spaces(l, l->pos));
    l->is_inside = false;
    return t;
}

// A run of spaces; the last of them may belong to a delimiter that trims.
static struct gotmpl_token lex_space(struct gotmpl_lexer *l)
{
    while (is_space(peek_char(l))) {
        bool trims;
        if (at_right_delim(l, &trims) && trims) {
            if (l->pos == l->start)
                return lex_right_delim(l);
            break;
        }
        next_char(l);
    }
    return take(l, GOTMPL_TOKEN_SPACE);
}

// What may follow a name.
static bool at_terminator(const struct gotmpl_lexer *l)
{
    int64_t c = peek_char(l);
    return c == AT_END || is_space(c) || (c > 0 && c < 0x80 && strchr(".,|:)(", (int)c) != NULL) ||
           starts_with(l, l->pos, "}}");
}

static enum gotmpl_token_type word_type(struct slice word)
{
    static const struct {
        const char *word;
        enum gotmpl_token_type type;
    } words[] = {
        {"block", GOTMPL_TOKEN_BLOCK},
        {"break", GOTMPL_TOKEN_BREAK},
        {"continue", GOTMPL_TOKEN_CONTINUE},
        {"define", GOTMPL_TOKEN_DEFINE},
        {"else", GOTMPL_TOKEN_ELSE},
        {"end", GOTMPL_TOKEN_END},
        {"if", GOTMPL_TOKEN_IF},
        {"nil", GOTMPL_TOKEN_NIL},
        {"range", GOTMPL_TOKEN_RANGE},
        {"template", GOTMPL_TOKEN_TEMPLATE},
        {"with", GOTMPL_TOKEN_WITH},
        {"true", GOTMPL_TOKEN_BOOL},
        {"false", GOTMPL_TOKEN_BOOL},
    };
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (slice_is(word, words[i].word))
            return words[i].type;
    return GOTMPL_TOKEN_IDENTIFIER;
}

static struct gotmpl_token lex_name(struct gotmpl_lexer *l, enum gotmpl_token_type type)
{
    while (is_alphanumeric(peek_char(l)))
        next_char(l);
    if (!at_terminator(l))
        return fail_bad_char(l);
    if (type == GOTMPL_TOKEN_IDENTIFIER)
        type = word_type(slice_make(l->input.at + l->start, l->pos - l->start));
    return take(l, type);
}

// A field or variable whose sign is read: alone it is the dot or the dollar.
static struct gotmpl_token lex_sign(struct gotmpl_lexer *l, enum gotmpl_token_type type)
{
    if (at_terminator(l))
        return take(l, type == GOTMPL_TOKEN_VARIABLE ? type : GOTMPL_TOKEN_DOT);
    return lex_name(l, type);
}

static struct gotmpl_token lex_quote(struct gotmpl_lexer *l, char quote, enum gotmpl_token_type type,
                                     const char *what)
{
    for (;;) {
        int64_t c = next_char(l);
        if (c == quote)
            return take(l, type);
        if (c == '\\' && quote != '`')
            c = next_char(l);
        if (c == AT_END || (c == '\n' && quote != '`'))
            return fail(l, "unterminated %s", what);
    }
}

// Not a perfect scanner: what it takes and is no number is refused when it is read.
static bool scan_number(struct gotmpl_lexer *l)
{
    const char *digits = "0123456789_";
    accept(l, "+-");
    if (accept(l, "0")) {
        if (accept(l, "xX"))
            digits = "0123456789abcdefABCDEF_";
        else if (accept(l, "oO"))
            digits = "01234567_";
        else if (accept(l, "bB"))
            digits = "01_";
    }
    while (accept(l, digits))
        ;
    if (accept(l, "."))
        while (accept(l, digits))
            ;
    size_t base = strlen(digits) - 1;
    if ((base == 10 && accept(l, "eE")) || (base == 22 && accept(l, "pP"))) {
        accept(l, "+-");
        while (accept(l, "0123456789_"))
            ;
    }
    accept(l, "i");
    if (!is_alphanumeric(peek_char(l)))
        return true;
    next_char(l);
    return false;
}

static struct gotmpl_token lex_number(struct gotmpl_lexer *l)
{
    bool is_right = scan_number(l), is_complex = false;
    int64_t sign = peek_char(l);
    if (is_right && (sign == '+' || sign == '-')) {
        is_complex = true;
        is_right = scan_number(l) && l->input.at[l->pos - 1] == 'i';
    }
    if (is_right)
        return take(l, is_complex ? GOTMPL_TOKEN_COMPLEX : GOTMPL_TOKEN_NUMBER);
    struct strbuf quoted = STRBUF_INIT(120);
    gotmpl_put_quoted(&quoted, slice_make(l->input.at + l->start, l->pos - l->start));
    struct gotmpl_token t = fail(l, "bad number syntax: %s", strbuf_text(&quoted));
    strbuf_fini(&quoted);
    return t;
}

static struct gotmpl_token lex_paren(struct gotmpl_lexer *l, int64_t c)
{
    l->paren_depth += c == '(' ? 1 : -1;
    if (l->paren_depth < 0)
        return fail(l, "unexpected right paren");
    return take(l, c == '(' ? GOTMPL_TOKEN_LEFT_PAREN : GOTMPL_TOKEN_RIGHT_PAREN);
}

static struct gotmpl_token lex_declare(struct gotmpl_lexer *l)
{
    return next_char(l) == '=' ? take(l, GOTMPL_TOKEN_DECLARE) : fail(l, "expected :=");
}

static struct gotmpl_token lex_inside(struct gotmpl_lexer *l)
{
    bool trims;
    if (at_right_delim(l, &trims))
        return l->paren_depth == 0 ? lex_right_delim(l) : fail(l, "unclosed left paren");
    if (is_space(peek_char(l)))
        return lex_space(l);
    int64_t c = next_char(l);
    int64_t second = peek_char(l);
    bool is_number =
        c == '+' || c == '-' || (c >= '0' && c <= '9') || (c == '.' && second >= '0' && second <= '9');
    if (is_number) {
        l->pos--;
        return lex_number(l);
    }
    if (is_alphanumeric(c))
        return lex_name(l, GOTMPL_TOKEN_IDENTIFIER);
    switch (c) {
    case AT_END:
        return fail(l, "unclosed action");
    case '=':
        return take(l, GOTMPL_TOKEN_ASSIGN);
    case ':':
        return lex_declare(l);
    case '|':
        return take(l, GOTMPL_TOKEN_PIPE);
    case '"':
        return lex_quote(l, '"', GOTMPL_TOKEN_STRING, "quoted string");
    case '`':
        return lex_quote(l, '`', GOTMPL_TOKEN_RAW_STRING, "raw quoted string");
    case '\'':
        return lex_quote(l, '\'', GOTMPL_TOKEN_CHAR_CONSTANT, "character constant");
    case '$':
        return lex_sign(l, GOTMPL_TOKEN_VARIABLE);
    case '.':
        return lex_sign(l, GOTMPL_TOKEN_FIELD);
    case '(':
    case ')':
        return lex_paren(l, c);
    default:
        if (c > 0x20 && c < 0x7F)
            return take(l, GOTMPL_TOKEN_CHAR);
        return fail_char(l, "unrecognized character in action", c);
    }
}

struct gotmpl_token gotmpl_lex(struct gotmpl_lexer *l)
{
    return l->is_inside && l->input.n > 0 ? lex_inside(l) : lex_text(l);
}
