// SPDX-License-Identifier: MIT
// The parser of Go templates: recursive descent over the lexer with three tokens of look-ahead, as the
// grammar needs them to tell `$x foo` from `$x := foo`. The first error ends it; the messages are Go's.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/gotmpl_run.h"

enum { LOOK_AHEAD = 3 };

// Variables that are known where the parser stands, the innermost last.
struct known {
    struct slice *at;
    size_t n, capacity;
};

struct parser {
    struct gotmpl_tree *tree;
    struct gotmpl_lexer lexer;
    struct gotmpl_token token[LOOK_AHEAD];
    int n_pending;
    uint32_t action_line; // 0: not in an action
    int nesting, range_depth;
    struct known known;
    struct err *err;
    bool failed;
};

// ---- Errors ----
__attribute__((format(printf, 2, 3))) static void *fail(struct parser *p, const char *format, ...)
{
    char text[700];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (!p->failed)
        err_set(p->err, ERR_FORMAT, "template: :%u: %s", p->token[0].line, text);
    p->failed = true;
    return NULL;
}

static void put_token(struct strbuf *out, const struct gotmpl_token *t)
{
    enum { SHOWN = 10 };
    size_t n = 0, chars = 0;
    while (n < t->text.n && chars < SHOWN) // whole characters
        for (n++, chars++; n < t->text.n && ((unsigned char)t->text.at[n] & 0xC0) == 0x80;)
            n++;
    if (t->type == GOTMPL_TOKEN_EOF) {
        strbuf_push_text(out, "EOF");
    } else if (t->type == GOTMPL_TOKEN_ERROR) {
        strbuf_push_slice(out, t->text);
    } else if (t->type >= GOTMPL_TOKEN_KEYWORD) {
        strbuf_printf(out, "<%.*s>", (int)t->text.n, t->text.at);
    } else {
        gotmpl_put_quoted(out, slice_make(t->text.at, n));
        if (t->text.n > SHOWN)
            strbuf_push_text(out, "...");
    }
}

static void *unexpected(struct parser *p, struct gotmpl_token t, const char *context)
{
    struct strbuf text = STRBUF_INIT(400);
    put_token(&text, &t);
    const char *shown = strbuf_text(&text);
    if (t.type != GOTMPL_TOKEN_ERROR) {
        fail(p, "unexpected %s in %s", shown, context);
    } else if (p->action_line == 0 || p->action_line == t.line) {
        fail(p, "%s", shown);
    } else {
        static const char tail[] = " action";
        size_t n = text.n, k = sizeof tail - 1;
        bool says_action = n >= k && strcmp(shown + n - k, tail) == 0;
        fail(p, "%s%s started at :%u", shown, says_action ? "" : " in action", p->action_line);
    }
    strbuf_fini(&text);
    return NULL;
}

// ---- Tokens ----
static struct gotmpl_token next(struct parser *p)
{
    if (p->n_pending > 0)
        p->n_pending--;
    else
        p->token[0] = gotmpl_lex(&p->lexer);
    return p->token[p->n_pending];
}

static void back(struct parser *p)
{
    p->n_pending++;
}

static struct gotmpl_token peek(struct parser *p)
{
    if (p->n_pending > 0)
        return p->token[p->n_pending - 1];
    p->n_pending = 1;
    p->token[0] = gotmpl_lex(&p->lexer);
    return p->token[0];
}

static struct gotmpl_token next_not_space(struct parser *p)
{
    struct gotmpl_token t;
    do
        t = next(p);
    while (t.type == GOTMPL_TOKEN_SPACE);
    return t;
}

static struct gotmpl_token peek_not_space(struct parser *p)
{
    struct gotmpl_token t = next_not_space(p);
    back(p);
    return t;
}

static struct gotmpl_token expect(struct parser *p, enum gotmpl_token_type type, const char *context)
{
    struct gotmpl_token t = next_not_space(p);
    if (t.type != type)
        unexpected(p, t, context);
    return t;
}

static struct gotmpl_node *node(struct parser *p, enum gotmpl_node_type type, size_t at)
{
    if (p->tree->arena.full && !p->failed)
        fail(p, "the template needs too much memory");
    return gotmpl_node_new(p->tree, type, at);
}

static bool descend(struct parser *p)
{
    if (++p->nesting > GOTMPL_NESTING)
        fail(p, "max expression depth exceeded");
    return !p->failed;
}

static struct slice unquote(struct parser *p, struct slice quoted)
{
    struct slice out = slice_make("", 0);
    struct err why = {0};
    if (gotmpl_unquote(p->tree, quoted, &out, &why) != 0)
        fail(p, "%s", why.message);
    return out;
}

// ---- Names ----
static void learn(struct parser *p, struct slice name)
{
    if (p->known.n == p->known.capacity) {
        p->known.capacity = p->known.capacity * 2 + 16;
        p->known.at = xrealloc(p->known.at, p->known.capacity * sizeof p->known.at[0]);
    }
    p->known.at[p->known.n++] = name;
}

// Cuts `a.b.c` at its dots and adds the parts to the node's names.
static void add_names(struct parser *p, struct gotmpl_node *n, struct slice text)
{
    size_t count = 1, from = 0;
    for (size_t i = 0; i < text.n; i++)
        count += text.at[i] == '.';
    struct slice *names = jinja_arena_try(&p->tree->arena, (n->n_names + count) * sizeof *names);
    if (names == NULL) {
        fail(p, "the template needs too much memory");
        return;
    }
    if (n->n_names > 0)
        memcpy(names, n->names, n->n_names * sizeof *names);
    for (size_t i = 0; i <= text.n; i++) {
        if (i < text.n && text.at[i] != '.')
            continue;
        names[n->n_names++] = slice_make(text.at + from, i - from);
        from = i + 1;
    }
    n->names = names;
}

static struct gotmpl_node *variable(struct parser *p, struct gotmpl_token t)
{
    struct gotmpl_node *n = node(p, GOTMPL_NODE_VARIABLE, t.at);
    add_names(p, n, t.text);
    return n;
}

static struct gotmpl_node *use_variable(struct parser *p, struct gotmpl_token t)
{
    for (size_t i = 0; i < p->known.n; i++)
        if (slice_equals(p->known.at[i], t.text))
            return variable(p, t);
    return fail(p, "undefined variable \"%.*s\"", (int)t.text.n, t.text.at);
}

static struct gotmpl_node *function(struct parser *p, struct gotmpl_token t)
{
    struct gotmpl_node *n = node(p, GOTMPL_NODE_IDENTIFIER, t.at);
    n->text = t.text;
    n->row = gotmpl_row_find(t.text);
    if (n->row == NULL)
        return fail(p, "function \"%.*s\" not defined", (int)t.text.n, t.text.at);
    return n;
}

// ---- Expressions ----
static struct gotmpl_node *pipeline(struct parser *p, const char *context, enum gotmpl_token_type end);

static struct gotmpl_node *number(struct parser *p, struct gotmpl_token t)
{
    struct gotmpl_node *n = node(p, GOTMPL_NODE_NUMBER, t.at);
    struct err why = {0};
    n->quoted = t.text;
    if (gotmpl_read_number(&n->number, &t, &why) != 0)
        return fail(p, "%s", why.message);
    return n;
}

static struct gotmpl_node *parenthesized(struct parser *p)
{
    struct gotmpl_node *n =
        descend(p) ? pipeline(p, "parenthesized pipeline", GOTMPL_TOKEN_RIGHT_PAREN) : NULL;
    p->nesting--;
    return n;
}

// NULL without failure: what follows is no term.
static struct gotmpl_node *term(struct parser *p)
{
    struct gotmpl_token t = next_not_space(p);
    struct gotmpl_node *n;
    switch (t.type) {
    case GOTMPL_TOKEN_IDENTIFIER:
        return function(p, t);
    case GOTMPL_TOKEN_DOT:
        return node(p, GOTMPL_NODE_DOT, t.at);
    case GOTMPL_TOKEN_NIL:
        return node(p, GOTMPL_NODE_NIL, t.at);
    case GOTMPL_TOKEN_VARIABLE:
        return use_variable(p, t);
    case GOTMPL_TOKEN_FIELD:
        n = node(p, GOTMPL_NODE_FIELD, t.at);
        add_names(p, n, slice_make(t.text.at + 1, t.text.n - 1));
        return n;
    case GOTMPL_TOKEN_BOOL:
        n = node(p, GOTMPL_NODE_BOOL, t.at);
        n->flag = slice_is(t.text, "true");
        return n;
    case GOTMPL_TOKEN_CHAR_CONSTANT:
    case GOTMPL_TOKEN_COMPLEX:
    case GOTMPL_TOKEN_NUMBER:
        return number(p, t);
    case GOTMPL_TOKEN_LEFT_PAREN:
        return parenthesized(p);
    case GOTMPL_TOKEN_STRING:
    case GOTMPL_TOKEN_RAW_STRING:
        n = node(p, GOTMPL_NODE_STRING, t.at);
        n->quoted = t.text;
        n->text = unquote(p, t.text);
        return n;
    default:
        back(p);
        return NULL;
    }
}

static bool is_literal(const struct gotmpl_node *n)
{
    return n->type == GOTMPL_NODE_BOOL || n->type == GOTMPL_NODE_STRING || n->type == GOTMPL_NODE_NUMBER ||
           n->type == GOTMPL_NODE_NIL || n->type == GOTMPL_NODE_DOT;
}

static void *fail_literal(struct parser *p, const struct gotmpl_node *n)
{
    struct strbuf text = STRBUF_INIT(200), quoted = STRBUF_INIT(400);
    gotmpl_put_node(&text, n);
    gotmpl_put_quoted(&quoted, strbuf_slice(&text));
    fail(p, "unexpected . after term %s", strbuf_text(&quoted));
    strbuf_fini(&text);
    strbuf_fini(&quoted);
    return NULL;
}

// A term and the fields that follow it without a space.
static struct gotmpl_node *operand(struct parser *p)
{
    struct gotmpl_node *n = term(p);
    if (n == NULL || p->failed || peek(p).type != GOTMPL_TOKEN_FIELD)
        return n;
    uint32_t at = peek(p).at;
    if (n->type != GOTMPL_NODE_FIELD && n->type != GOTMPL_NODE_VARIABLE) {
        struct gotmpl_node *chain = node(p, GOTMPL_NODE_CHAIN, at);
        chain->pipe = n;
        n = chain;
    }
    n->at = at;
    while (peek(p).type == GOTMPL_TOKEN_FIELD && !p->failed) {
        struct slice field = next(p).text;
        add_names(p, n, slice_make(field.at + 1, field.n - 1));
    }
    if (n->type == GOTMPL_NODE_CHAIN && is_literal(n->pipe))
        return fail_literal(p, n->pipe);
    return n;
}

static struct gotmpl_node *command(struct parser *p)
{
    struct gotmpl_node *c = node(p, GOTMPL_NODE_COMMAND, peek_not_space(p).at), **tail = &c->list;
    for (;;) {
        peek_not_space(p);
        struct gotmpl_node *n = operand(p);
        if (p->failed)
            return NULL;
        if (n != NULL) {
            *tail = n;
            tail = &n->next;
        }
        struct gotmpl_token t = next(p);
        if (t.type == GOTMPL_TOKEN_SPACE)
            continue;
        if (t.type == GOTMPL_TOKEN_RIGHT_DELIM || t.type == GOTMPL_TOKEN_RIGHT_PAREN)
            back(p);
        else if (t.type != GOTMPL_TOKEN_PIPE)
            return unexpected(p, t, "operand");
        return c->list != NULL ? c : fail(p, "empty command");
    }
}

static struct gotmpl_node **declare(struct parser *p, struct gotmpl_node **tail, struct gotmpl_token v)
{
    next_not_space(p); // the sign behind it
    *tail = variable(p, v);
    learn(p, v.text);
    return &(*tail)->next;
}

// `$x :=`, `$x =`, and in a range `$i, $x :=`.
static void declarations(struct parser *p, struct gotmpl_node *pipe, const char *context)
{
    struct gotmpl_node **tail = &pipe->declares;
    while (peek_not_space(p).type == GOTMPL_TOKEN_VARIABLE && !p->failed) {
        struct gotmpl_token v = next(p), behind = peek(p), sign = peek_not_space(p);
        bool is_comma = sign.type == GOTMPL_TOKEN_CHAR && slice_is(sign.text, ",");
        if (sign.type == GOTMPL_TOKEN_ASSIGN || sign.type == GOTMPL_TOKEN_DECLARE) {
            pipe->flag = sign.type == GOTMPL_TOKEN_ASSIGN;
            declare(p, tail, v);
            return;
        }
        if (!is_comma) { // an argument: back it goes, with the space behind it
            if (behind.type == GOTMPL_TOKEN_SPACE) {
                p->token[1] = behind;
                p->token[2] = v;
                p->n_pending = 3;
            } else {
                p->token[1] = v;
                p->n_pending = 2;
            }
            return;
        }
        bool is_first = pipe->declares == NULL;
        tail = declare(p, tail, v);
        if (strcmp(context, "range") != 0 || !is_first) {
            fail(p, "too many declarations in %s", context);
            return;
        }
        enum gotmpl_token_type then = peek_not_space(p).type;
        if (then != GOTMPL_TOKEN_VARIABLE && then != GOTMPL_TOKEN_RIGHT_DELIM &&
            then != GOTMPL_TOKEN_RIGHT_PAREN) {
            fail(p, "range can only initialize variables");
            return;
        }
    }
}

static struct gotmpl_node *check_pipeline(struct parser *p, struct gotmpl_node *pipe, const char *context)
{
    int stage = 2;
    if (pipe->list == NULL)
        return fail(p, "missing value for %s", context);
    for (const struct gotmpl_node *c = pipe->list->next; c != NULL; c = c->next, stage++)
        if (is_literal(c->list))
            return fail(p, "non executable command in pipeline stage %d", stage);
    return pipe;
}

static bool begins_operand(enum gotmpl_token_type type)
{
    switch (type) {
    case GOTMPL_TOKEN_BOOL:
    case GOTMPL_TOKEN_CHAR_CONSTANT:
    case GOTMPL_TOKEN_COMPLEX:
    case GOTMPL_TOKEN_DOT:
    case GOTMPL_TOKEN_FIELD:
    case GOTMPL_TOKEN_IDENTIFIER:
    case GOTMPL_TOKEN_NUMBER:
    case GOTMPL_TOKEN_NIL:
    case GOTMPL_TOKEN_RAW_STRING:
    case GOTMPL_TOKEN_STRING:
    case GOTMPL_TOKEN_VARIABLE:
    case GOTMPL_TOKEN_LEFT_PAREN:
        return true;
    default:
        return false;
    }
}

static struct gotmpl_node *pipeline(struct parser *p, const char *context, enum gotmpl_token_type end)
{
    struct gotmpl_node *pipe = node(p, GOTMPL_NODE_PIPE, peek_not_space(p).at), **tail = &pipe->list;
    declarations(p, pipe, context);
    while (!p->failed) {
        struct gotmpl_token t = next_not_space(p);
        if (t.type == end)
            return check_pipeline(p, pipe, context);
        if (!begins_operand(t.type))
            return unexpected(p, t, context);
        back(p);
        *tail = command(p);
        if (*tail != NULL)
            tail = &(*tail)->next;
    }
    return NULL;
}

// ---- Blocks ----
static struct gotmpl_node *text_or_action(struct parser *p);

// All up to {{end}} or {{else}}, which is *closing.
static struct gotmpl_node *item_list(struct parser *p, struct gotmpl_node **closing)
{
    struct gotmpl_node *list = node(p, GOTMPL_NODE_LIST, peek_not_space(p).at), **tail = &list->list;
    while (peek_not_space(p).type != GOTMPL_TOKEN_EOF) {
        struct gotmpl_node *n = text_or_action(p);
        if (p->failed)
            return NULL;
        if (n->type == GOTMPL_NODE_END || n->type == GOTMPL_NODE_ELSE) {
            *closing = n;
            return list;
        }
        *tail = n;
        tail = &n->next;
    }
    return fail(p, "unexpected EOF");
}

static struct gotmpl_node *control(struct parser *p, enum gotmpl_node_type type, const char *context);

// What stands behind {{else}}; `else if` and `else with` share the {{end}}.
static struct gotmpl_node *else_list(struct parser *p, enum gotmpl_node_type type, const char *context,
                                     const struct gotmpl_node *at)
{
    bool goes_on = (type == GOTMPL_NODE_IF && peek(p).type == GOTMPL_TOKEN_IF) ||
                   (type == GOTMPL_NODE_WITH && peek(p).type == GOTMPL_TOKEN_WITH);
    struct gotmpl_node *closing = NULL, *list;
    if (goes_on) {
        next(p);
        list = node(p, GOTMPL_NODE_LIST, at->at);
        list->list = control(p, type, context);
        return list;
    }
    list = item_list(p, &closing);
    if (!p->failed && closing != NULL && closing->type != GOTMPL_NODE_END)
        return fail(p, "expected end; found {{else}}");
    return list;
}

static struct gotmpl_node *control(struct parser *p, enum gotmpl_node_type type, const char *context)
{
    size_t n_known = p->known.n;
    struct gotmpl_node *n = node(p, type, 0), *closing = NULL;
    if (descend(p))
        n->pipe = pipeline(p, context, GOTMPL_TOKEN_RIGHT_DELIM);
    p->range_depth += type == GOTMPL_NODE_RANGE;
    if (!p->failed) {
        n->at = n->pipe->at;
        n->body = item_list(p, &closing);
    }
    p->range_depth -= type == GOTMPL_NODE_RANGE;
    if (!p->failed && closing != NULL && closing->type == GOTMPL_NODE_ELSE)
        n->other = else_list(p, type, context, closing);
    p->nesting--;
    p->known.n = n_known;
    return n;
}

static struct gotmpl_node *jump(struct parser *p, struct gotmpl_token t, enum gotmpl_node_type type,
                                const char *context)
{
    expect(p, GOTMPL_TOKEN_RIGHT_DELIM, context);
    if (p->range_depth == 0)
        fail(p, "%s outside {{range}}", context);
    return node(p, type, t.at);
}

static struct gotmpl_node *else_control(struct parser *p)
{
    struct gotmpl_token t = peek_not_space(p);
    if (t.type != GOTMPL_TOKEN_IF && t.type != GOTMPL_TOKEN_WITH)
        t = expect(p, GOTMPL_TOKEN_RIGHT_DELIM, "else");
    return node(p, GOTMPL_NODE_ELSE, t.at);
}

static bool is_blank(const struct gotmpl_node *list)
{
    for (const struct gotmpl_node *n = list->list; n != NULL; n = n->next) {
        if (n->type != GOTMPL_NODE_TEXT)
            return false;
        for (size_t i = 0; i < n->text.n; i++)
            if (strchr(" \t\n\v\f\r", n->text.at[i]) == NULL || n->text.at[i] == 0)
                return false;
    }
    return true;
}

// A blank definition never replaces one, and is replaced by any.
static void add_def(struct parser *p, struct slice name, struct gotmpl_node *root)
{
    for (struct gotmpl_def *d = p->tree->defs; d != NULL; d = d->next) {
        if (!slice_equals(d->name, name))
            continue;
        if (is_blank(d->root))
            d->root = root;
        else if (!is_blank(root))
            fail(p, "template: multiple definition of template \"%.*s\"", (int)name.n, name.at);
        return;
    }
    struct gotmpl_def *d = jinja_arena_new(&p->tree->arena, sizeof *d);
    *d = (struct gotmpl_def){name, root, p->tree->defs};
    p->tree->defs = d;
}

// The body of a definition: no variables and no range of what is around it.
static void define_body(struct parser *p, struct slice name, const char *context)
{
    struct known around = p->known;
    int range_depth = p->range_depth;
    uint32_t action_line = p->action_line;
    struct gotmpl_node *closing = NULL, *root = NULL;
    p->known = (struct known){0};
    p->range_depth = 0;
    p->action_line = 0;
    learn(p, slice_of("$"));
    if (descend(p))
        root = item_list(p, &closing);
    if (!p->failed && closing != NULL && closing->type != GOTMPL_NODE_END)
        fail(p, "unexpected {{else}} in %s", context);
    if (!p->failed)
        add_def(p, name, root);
    p->nesting--;
    free(p->known.at);
    p->known = around;
    p->range_depth = range_depth;
    p->action_line = action_line;
}

static struct slice template_name(struct parser *p, struct gotmpl_token t, const char *context)
{
    if (t.type == GOTMPL_TOKEN_STRING || t.type == GOTMPL_TOKEN_RAW_STRING)
        return unquote(p, t.text);
    unexpected(p, t, context);
    return slice_make("", 0);
}

static struct gotmpl_node *template_control(struct parser *p, bool is_block)
{
    const char *context = is_block ? "block clause" : "template clause";
    struct gotmpl_token t = next_not_space(p);
    struct gotmpl_node *n = node(p, GOTMPL_NODE_TEMPLATE, t.at);
    n->text = template_name(p, t, context);
    if (p->failed)
        return NULL;
    if (is_block || next_not_space(p).type != GOTMPL_TOKEN_RIGHT_DELIM) {
        if (!is_block)
            back(p);
        n->pipe = pipeline(p, context, GOTMPL_TOKEN_RIGHT_DELIM);
    }
    if (is_block && !p->failed)
        define_body(p, n->text, context);
    return n;
}

static void definition(struct parser *p)
{
    static const char context[] = "define clause";
    struct slice name = template_name(p, next_not_space(p), context);
    if (!p->failed)
        expect(p, GOTMPL_TOKEN_RIGHT_DELIM, context);
    if (!p->failed)
        define_body(p, name, context);
}

static struct gotmpl_node *action(struct parser *p)
{
    struct gotmpl_token t = next_not_space(p);
    struct gotmpl_node *n;
    switch (t.type) {
    case GOTMPL_TOKEN_BLOCK:
        return template_control(p, true);
    case GOTMPL_TOKEN_BREAK:
        return jump(p, t, GOTMPL_NODE_BREAK, "{{break}}");
    case GOTMPL_TOKEN_CONTINUE:
        return jump(p, t, GOTMPL_NODE_CONTINUE, "{{continue}}");
    case GOTMPL_TOKEN_ELSE:
        return else_control(p);
    case GOTMPL_TOKEN_END:
        return node(p, GOTMPL_NODE_END, expect(p, GOTMPL_TOKEN_RIGHT_DELIM, "end").at);
    case GOTMPL_TOKEN_IF:
        return control(p, GOTMPL_NODE_IF, "if");
    case GOTMPL_TOKEN_RANGE:
        return control(p, GOTMPL_NODE_RANGE, "range");
    case GOTMPL_TOKEN_TEMPLATE:
        return template_control(p, false);
    case GOTMPL_TOKEN_WITH:
        return control(p, GOTMPL_NODE_WITH, "with");
    default:
        back(p);
        n = node(p, GOTMPL_NODE_ACTION, t.at);
        n->pipe = pipeline(p, "command", GOTMPL_TOKEN_RIGHT_DELIM);
        return n;
    }
}

static struct gotmpl_node *text_or_action(struct parser *p)
{
    struct gotmpl_token t = next_not_space(p);
    struct gotmpl_node *n;
    switch (t.type) {
    case GOTMPL_TOKEN_TEXT:
        n = node(p, GOTMPL_NODE_TEXT, t.at);
        n->text = t.text;
        return n;
    case GOTMPL_TOKEN_LEFT_DELIM:
        p->action_line = t.line;
        n = action(p);
        p->action_line = 0;
        return n;
    default:
        return unexpected(p, t, "input");
    }
}

// True: a definition stood there and is read.
static bool take_definition(struct parser *p)
{
    if (peek(p).type != GOTMPL_TOKEN_LEFT_DELIM)
        return false;
    struct gotmpl_token delim = next(p);
    if (next_not_space(p).type == GOTMPL_TOKEN_DEFINE) {
        definition(p);
        return true;
    }
    p->token[1] = delim;
    p->n_pending = 2;
    return false;
}

static void parse_all(struct parser *p)
{
    struct gotmpl_node *root = node(p, GOTMPL_NODE_LIST, peek(p).at), **tail = &root->list;
    while (!p->failed && peek(p).type != GOTMPL_TOKEN_EOF) {
        if (take_definition(p) || p->failed)
            continue;
        struct gotmpl_node *n = text_or_action(p);
        if (p->failed)
            return;
        if (n->type == GOTMPL_NODE_END || n->type == GOTMPL_NODE_ELSE) {
            fail(p, "unexpected {{%s}}", n->type == GOTMPL_NODE_END ? "end" : "else");
            return;
        }
        *tail = n;
        tail = &n->next;
    }
    if (!p->failed)
        add_def(p, slice_of(""), root);
}

struct gotmpl_node *gotmpl_node_new(struct gotmpl_tree *tree, enum gotmpl_node_type type, size_t at)
{
    struct gotmpl_node *n = jinja_arena_new(&tree->arena, sizeof *n);
    n->type = type;
    n->at = (uint32_t)at;
    return n;
}

const struct gotmpl_def *gotmpl_def_find(const struct gotmpl_tree *tree, struct slice name)
{
    for (const struct gotmpl_def *d = tree->defs; d != NULL; d = d->next)
        if (slice_equals(d->name, name))
            return d;
    return NULL;
}

int gotmpl_parse(struct gotmpl_tree *tree, struct slice source, struct err *err)
{
    *tree = (struct gotmpl_tree){.arena = {.cap_bytes = GOTMPL_TREE_BYTES}};
    if (source.n > GOTMPL_SOURCE_BYTES)
        return err_set(err, ERR_TOO_LARGE, "the template is larger than %d bytes", GOTMPL_SOURCE_BYTES);
    char *copy = jinja_arena_try(&tree->arena, source.n + 1);
    if (copy == NULL)
        return err_set(err, ERR_TOO_LARGE, "the template needs too much memory");
    memcpy(copy, source.n > 0 ? source.at : "", source.n);
    tree->source = slice_make(copy, source.n);
    struct parser p = {
        .tree = tree, .lexer = {.input = tree->source, .line = 1, .start_line = 1}, .err = err};
    learn(&p, slice_of("$"));
    parse_all(&p);
    free(p.known.at);
    if (p.failed)
        return -1;
    tree->root = gotmpl_def_find(tree, slice_of(""))->root;
    return 0;
}

void gotmpl_tree_fini(struct gotmpl_tree *tree)
{
    jinja_arena_fini(&tree->arena);
}
