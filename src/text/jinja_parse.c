// SPDX-License-Identifier: MIT
// Statements: a table of tags, each with the function that reads it. What jinja2 has and drover has not is a
// row without a function, so that its error says which. The parser owns nothing; all nodes live in the tree's
// arena.
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "text/jinja_parser.h"

// ---- shared with jinja_expr.c ----

struct jinja_node *jinja_parser_fail(struct jinja_parser *p, enum err_code code, const char *format, ...)
{
    if (!p->failed) {
        char what[200];
        va_list args;
        va_start(args, format);
        vsnprintf(what, sizeof what, format, args);
        va_end(args);
        err_set(p->err, code, "template line %u: %s%s", p->tokens[p->at].line, what,
                code == ERR_UNSUPPORTED ? " is not supported" : "");
        p->failed = true;
    }
    p->nothing = (struct jinja_node){.type = JINJA_NODE_CONST, .value = jinja_none()};
    return &p->nothing;
}

struct jinja_node *jinja_parser_node(struct jinja_parser *p, enum jinja_node_type type)
{
    struct jinja_node *n = jinja_arena_new(&p->tree->arena, sizeof *n);
    n->type = type;
    n->line = jinja_parser_look(p, 0)->line;
    if (p->tree->arena.full)
        jinja_parser_fail(p, ERR_TOO_LARGE, "the template is too large");
    return n;
}

struct jinja_node *jinja_parser_adopt(struct jinja_parser *p, struct jinja_node *parent,
                                      struct jinja_node *child)
{
    parent->depth = MAX(parent->depth, child->depth + 1);
    if (parent->depth > JINJA_TREE_DEPTH)
        jinja_parser_fail(p, ERR_TOO_LARGE, "nested too deep");
    return p->failed ? &p->nothing : child;
}

uint32_t jinja_parser_name(struct jinja_parser *p, struct slice name)
{
    uint32_t id;
    if (!map_find(&p->tree->names, name, &id)) {
        id = p->tree->n_names++;
        map_set(&p->tree->names, name, id);
    }
    return id;
}

bool jinja_parser_enter(struct jinja_parser *p)
{
    if (p->nesting >= JINJA_NESTING)
        jinja_parser_fail(p, ERR_TOO_LARGE, "nested too deep");
    else if (!p->failed)
        p->nesting++;
    return !p->failed;
}

void jinja_parser_leave(struct jinja_parser *p)
{
    p->nesting--;
}

const struct jinja_token *jinja_parser_look(const struct jinja_parser *p, size_t ahead)
{
    static const struct jinja_token end = {.type = JINJA_TOKEN_END, .text = {"", 0}};
    if (p->failed)
        return &end;
    for (size_t i = 0; i < ahead; i++)
        if (p->tokens[p->at + i].type == JINJA_TOKEN_END)
            return &p->tokens[p->at + i];
    return &p->tokens[p->at + ahead];
}

bool jinja_parser_is_sign(const struct jinja_parser *p, const char *sign)
{
    const struct jinja_token *t = jinja_parser_look(p, 0);
    return t->type == JINJA_TOKEN_SIGN && slice_is(t->text, sign);
}

bool jinja_parser_is_word(const struct jinja_parser *p, const char *word)
{
    const struct jinja_token *t = jinja_parser_look(p, 0);
    return t->type == JINJA_TOKEN_NAME && slice_is(t->text, word);
}

bool jinja_parser_skip_sign(struct jinja_parser *p, const char *sign)
{
    bool is_there = jinja_parser_is_sign(p, sign);
    p->at += is_there;
    return is_there;
}

bool jinja_parser_skip_word(struct jinja_parser *p, const char *word)
{
    bool is_there = jinja_parser_is_word(p, word);
    p->at += is_there;
    return is_there;
}

static struct slice token_text(const struct jinja_parser *p)
{
    const struct jinja_token *t = jinja_parser_look(p, 0);
    if (t->type == JINJA_TOKEN_END)
        return slice_of("end of template");
    return slice_make(t->text.at, MIN(t->text.n, 40));
}

void jinja_parser_expect_sign(struct jinja_parser *p, const char *sign)
{
    struct slice found = token_text(p);
    if (!jinja_parser_skip_sign(p, sign))
        jinja_parser_fail(p, ERR_FORMAT, "expected '%s', found '%.*s'", sign, (int)found.n, found.at);
}

struct slice jinja_parser_expect_name(struct jinja_parser *p)
{
    const struct jinja_token *t = jinja_parser_look(p, 0);
    struct slice found = token_text(p);
    if (t->type != JINJA_TOKEN_NAME) {
        jinja_parser_fail(p, ERR_FORMAT, "expected a name, found '%.*s'", (int)found.n, found.at);
        return slice_of("");
    }
    p->at++;
    return t->text;
}

static void expect_type(struct jinja_parser *p, enum jinja_token_type type, const char *what)
{
    struct slice found = token_text(p);
    if (jinja_parser_look(p, 0)->type == type)
        p->at++;
    else
        jinja_parser_fail(p, ERR_FORMAT, "expected %s, found '%.*s'", what, (int)found.n, found.at);
}

// ---- bodies ----

static struct jinja_node *parse_statement(struct jinja_parser *p);

static bool is_one_of(const struct jinja_parser *p, const char *const *words)
{
    for (; words != NULL && *words != NULL; words++)
        if (jinja_parser_is_word(p, *words))
            return true;
    return false;
}

static struct jinja_node *parse_data(struct jinja_parser *p)
{
    struct jinja_node *n = jinja_parser_node(p, JINJA_NODE_DATA);
    n->name = jinja_parser_look(p, 0)->text;
    p->at++;
    return n;
}

static struct jinja_node *parse_print(struct jinja_parser *p)
{
    struct jinja_node *n = jinja_parser_node(p, JINJA_NODE_PRINT);
    p->at++;
    n->a = jinja_parser_adopt(p, n, jinja_expr_tuple(p, true));
    expect_type(p, JINJA_TOKEN_PRINT_END, "end of print statement");
    return n;
}

// Statements up to a tag whose word is one of `ends` (its "{%" is taken, the word is not), or to the end of
// the template if NULL.
static struct jinja_node *parse_body(struct jinja_parser *p, struct jinja_node *parent,
                                     const char *const *ends)
{
    struct jinja_node *list = NULL, **tail = &list;
    uint32_t line = parent->line;
    if (!jinja_parser_enter(p))
        return NULL;
    while (!p->failed) {
        enum jinja_token_type type = jinja_parser_look(p, 0)->type;
        if (type == JINJA_TOKEN_END)
            break;
        struct jinja_node *node;
        if (type == JINJA_TOKEN_DATA) {
            node = parse_data(p);
        } else if (type == JINJA_TOKEN_PRINT_BEGIN) {
            node = parse_print(p);
        } else {
            p->at++;
            if (is_one_of(p, ends))
                break;
            node = parse_statement(p);
            expect_type(p, JINJA_TOKEN_BLOCK_END, "end of statement block");
        }
        *tail = jinja_parser_adopt(p, parent, node);
        tail = &node->next;
    }
    if (ends != NULL && !p->failed && jinja_parser_look(p, 0)->type == JINJA_TOKEN_END)
        jinja_parser_fail(p, ERR_FORMAT, "the template ends before the '%s' for line %u", ends[0], line);
    jinja_parser_leave(p);
    return list;
}

// The rest of an opening tag and the body, up to the word in `ends`.
static struct jinja_node *parse_block(struct jinja_parser *p, struct jinja_node *parent,
                                      const char *const *ends)
{
    jinja_parser_skip_sign(p, ":");
    expect_type(p, JINJA_TOKEN_BLOCK_END, "end of statement block");
    return parse_body(p, parent, ends);
}

// The same for a block with a single end, whose word is taken.
static struct jinja_node *parse_whole_block(struct jinja_parser *p, struct jinja_node *parent,
                                            const char *end)
{
    const char *const ends[] = {end, NULL};
    struct jinja_node *list = parse_block(p, parent, ends);
    jinja_parser_skip_word(p, end);
    return list;
}

// ---- targets ----

static bool is_assignable(struct jinja_node *n)
{
    if (n->type == JINJA_NODE_NAME || n->type == JINJA_NODE_NS_TARGET)
        return true;
    if (n->type != JINJA_NODE_TUPLE)
        return false;
    for (struct jinja_node *item = n->list; item != NULL; item = item->next)
        if (!is_assignable(item))
            return false;
    return true;
}

static struct jinja_node *parse_ns_target(struct jinja_parser *p)
{
    struct jinja_node *n = jinja_parser_node(p, JINJA_NODE_NS_TARGET);
    n->name = jinja_parser_expect_name(p);
    n->id = jinja_parser_name(p, n->name);
    p->at++; // the dot
    struct slice attr = jinja_parser_expect_name(p);
    struct jinja_text *t = jinja_arena_new(&p->tree->arena, sizeof *t);
    *t = (struct jinja_text){attr.at, attr.n, utf8_count(attr), NULL};
    n->value = (struct jinja_value){.kind = JINJA_TEXT, .text = t};
    return n;
}

static struct jinja_node *parse_one_target(struct jinja_parser *p, bool with_namespace)
{
    const struct jinja_token *second = jinja_parser_look(p, 1);
    bool has_dot = second->type == JINJA_TOKEN_SIGN && slice_is(second->text, ".");
    if (with_namespace && has_dot && jinja_parser_look(p, 0)->type == JINJA_TOKEN_NAME)
        return parse_ns_target(p);
    return jinja_expr_primary(p);
}

// a, (b, c), ns.d; ends before `in`, `=` or the end of the tag.
static struct jinja_node *parse_target(struct jinja_parser *p, bool with_namespace)
{
    struct jinja_node *first = parse_one_target(p, with_namespace), *target = first;
    if (jinja_parser_is_sign(p, ",")) {
        target = jinja_parser_node(p, JINJA_NODE_TUPLE);
        target->list = jinja_parser_adopt(p, target, first);
        struct jinja_node **tail = &first->next;
        while (jinja_parser_skip_sign(p, ",") && !jinja_parser_is_word(p, "in") &&
               !jinja_parser_is_sign(p, "=")) {
            *tail = jinja_parser_adopt(p, target, parse_one_target(p, with_namespace));
            tail = &(*tail)->next;
        }
    }
    if (!p->failed && !is_assignable(target))
        return jinja_parser_fail(p, ERR_FORMAT, "cannot assign to this");
    return target;
}

// ---- the tags ----

static struct jinja_node *parse_if(struct jinja_parser *p)
{
    static const char *const ends[] = {"endif", "elif", "else", NULL};
    struct jinja_node *node = jinja_parser_node(p, JINJA_NODE_IF), **tail = &node->list;
    bool is_else = false, is_over = false;
    while (!p->failed && !is_over) {
        struct jinja_node *branch = jinja_parser_node(p, JINJA_NODE_BRANCH);
        if (!is_else)
            branch->a = jinja_parser_adopt(p, branch, jinja_expr_tuple(p, false));
        branch->list = parse_block(p, branch, is_else ? (const char *const[]){"endif", NULL} : ends);
        *tail = jinja_parser_adopt(p, node, branch);
        tail = &branch->next;
        is_over = jinja_parser_skip_word(p, "endif");
        is_else = !is_over && jinja_parser_skip_word(p, "else");
        if (!is_over && !is_else)
            jinja_parser_skip_word(p, "elif");
    }
    return node;
}

static struct jinja_node *parse_for(struct jinja_parser *p)
{
    static const char *const ends[] = {"endfor", "else", NULL};
    struct jinja_node *node = jinja_parser_node(p, JINJA_NODE_FOR);
    node->a = jinja_parser_adopt(p, node, parse_target(p, false));
    if (!jinja_parser_skip_word(p, "in"))
        return jinja_parser_fail(p, ERR_FORMAT, "expected 'in'");
    node->b = jinja_parser_adopt(p, node, jinja_expr_tuple(p, false));
    if (jinja_parser_skip_word(p, "if"))
        node->c = jinja_parser_adopt(p, node, jinja_expr(p));
    if (jinja_parser_is_word(p, "recursive"))
        return jinja_parser_fail(p, ERR_UNSUPPORTED, "a recursive loop");
    p->loops++;
    node->list = parse_block(p, node, ends);
    p->loops--;
    if (jinja_parser_skip_word(p, "else"))
        node->other = parse_whole_block(p, node, "endfor");
    else
        jinja_parser_skip_word(p, "endfor");
    return node;
}

static struct jinja_node *parse_set(struct jinja_parser *p)
{
    struct jinja_node *node = jinja_parser_node(p, JINJA_NODE_SET);
    node->a = jinja_parser_adopt(p, node, parse_target(p, true));
    if (jinja_parser_skip_sign(p, "=")) {
        node->b = jinja_parser_adopt(p, node, jinja_expr_tuple(p, true));
        return node;
    }
    node->type = JINJA_NODE_SET_BLOCK;
    if (jinja_parser_is_sign(p, "|")) {
        struct jinja_node *input = jinja_parser_node(p, JINJA_NODE_INPUT);
        node->b = jinja_parser_adopt(p, node, jinja_expr_filters(p, input, false));
    }
    node->list = parse_whole_block(p, node, "endset");
    return node;
}

// (a, b=1) of a macro or call block.
static void parse_signature(struct jinja_parser *p, struct jinja_node *macro)
{
    struct jinja_node **tail = &macro->other;
    bool has_default = false;
    jinja_parser_expect_sign(p, "(");
    while (!p->failed && !jinja_parser_is_sign(p, ")")) {
        struct jinja_node *param = jinja_parser_node(p, JINJA_NODE_PARAM);
        param->name = jinja_parser_expect_name(p);
        param->id = jinja_parser_name(p, param->name);
        if (jinja_parser_skip_sign(p, "=")) {
            param->a = jinja_parser_adopt(p, param, jinja_expr(p));
            has_default = true;
        } else if (has_default) {
            jinja_parser_fail(p, ERR_FORMAT, "non-default argument follows default argument");
        }
        *tail = jinja_parser_adopt(p, macro, param);
        tail = &param->next;
        if (!jinja_parser_is_sign(p, ")"))
            jinja_parser_expect_sign(p, ",");
    }
    jinja_parser_expect_sign(p, ")");
}

// The body of a macro: what it reads of varargs, kwargs and caller is noted, in the macros around it too.
static void parse_macro_body(struct jinja_parser *p, struct jinja_node *macro, const char *end)
{
    struct jinja_node *outer = p->macro;
    int loops = p->loops;
    p->macro = macro;
    p->loops = 0;
    macro->list = parse_whole_block(p, macro, end);
    p->loops = loops;
    p->macro = outer;
    if (outer != NULL)
        outer->uses |= macro->uses;
}

static struct jinja_node *parse_macro(struct jinja_parser *p)
{
    struct jinja_node *node = jinja_parser_node(p, JINJA_NODE_MACRO);
    node->name = jinja_parser_expect_name(p);
    node->id = jinja_parser_name(p, node->name);
    parse_signature(p, node);
    parse_macro_body(p, node, "endmacro");
    return node;
}

static struct jinja_node *parse_call_block(struct jinja_parser *p)
{
    struct jinja_node *node = jinja_parser_node(p, JINJA_NODE_CALL_BLOCK);
    struct jinja_node *body = jinja_parser_node(p, JINJA_NODE_MACRO);
    body->name = slice_of("caller");
    body->id = JINJA_NAME_CALLER;
    if (jinja_parser_is_sign(p, "("))
        parse_signature(p, body);
    node->a = jinja_parser_adopt(p, node, jinja_expr(p));
    if (!p->failed && node->a->type != JINJA_NODE_CALL)
        return jinja_parser_fail(p, ERR_FORMAT, "expected a call");
    parse_macro_body(p, body, "endcall");
    node->b = jinja_parser_adopt(p, node, body);
    return node;
}

static struct jinja_node *parse_filter_block(struct jinja_parser *p)
{
    struct jinja_node *node = jinja_parser_node(p, JINJA_NODE_FILTER_BLOCK);
    struct jinja_node *input = jinja_parser_node(p, JINJA_NODE_INPUT);
    node->a = jinja_parser_adopt(p, node, jinja_expr_filters(p, input, true));
    node->list = parse_whole_block(p, node, "endfilter");
    return node;
}

static struct jinja_node *parse_with(struct jinja_parser *p)
{
    struct jinja_node *node = jinja_parser_node(p, JINJA_NODE_WITH), **tail = &node->other;
    while (!p->failed && jinja_parser_look(p, 0)->type != JINJA_TOKEN_BLOCK_END) {
        struct jinja_node *set = jinja_parser_node(p, JINJA_NODE_SET);
        if (node->other != NULL)
            jinja_parser_expect_sign(p, ",");
        set->a = jinja_parser_adopt(p, set, jinja_expr_primary(p));
        if (!p->failed && !is_assignable(set->a))
            return jinja_parser_fail(p, ERR_FORMAT, "cannot assign to this");
        jinja_parser_expect_sign(p, "=");
        set->b = jinja_parser_adopt(p, set, jinja_expr(p));
        *tail = jinja_parser_adopt(p, node, set);
        tail = &set->next;
    }
    node->list = parse_whole_block(p, node, "endwith");
    return node;
}

static struct jinja_node *parse_generation(struct jinja_parser *p)
{
    struct jinja_node *node = jinja_parser_node(p, JINJA_NODE_SCOPE);
    node->list = parse_whole_block(p, node, "endgeneration");
    return node;
}

static struct jinja_node *parse_leave(struct jinja_parser *p, enum jinja_node_type type, const char *word)
{
    if (p->loops == 0)
        return jinja_parser_fail(p, ERR_FORMAT, "'%s' outside of a loop", word);
    return jinja_parser_node(p, type);
}

static struct jinja_node *parse_break(struct jinja_parser *p)
{
    return parse_leave(p, JINJA_NODE_BREAK, "break");
}

static struct jinja_node *parse_continue(struct jinja_parser *p)
{
    return parse_leave(p, JINJA_NODE_CONTINUE, "continue");
}

static const struct {
    const char *word;
    struct jinja_node *(*parse)(
        struct jinja_parser *p); // the word is taken; ends before "%}". NULL: not supported
} tags[] = {
    {"if", parse_if},
    {"for", parse_for},
    {"set", parse_set},
    {"macro", parse_macro},
    {"call", parse_call_block},
    {"filter", parse_filter_block},
    {"with", parse_with},
    {"generation", parse_generation},
    {"break", parse_break},
    {"continue", parse_continue},
    {"autoescape", NULL},
    {"block", NULL},
    {"debug", NULL},
    {"do", NULL},
    {"extends", NULL},
    {"from", NULL},
    {"import", NULL},
    {"include", NULL},
    {"print", NULL},
    {"trans", NULL},
};

static struct jinja_node *parse_statement(struct jinja_parser *p)
{
    struct slice word = token_text(p);
    if (jinja_parser_look(p, 0)->type != JINJA_TOKEN_NAME)
        return jinja_parser_fail(p, ERR_FORMAT, "expected the name of a tag, found '%.*s'", (int)word.n,
                                 word.at);
    for (size_t i = 0; i < COUNT_OF(tags); i++) {
        if (!slice_is(word, tags[i].word))
            continue;
        if (tags[i].parse == NULL)
            return jinja_parser_fail(p, ERR_UNSUPPORTED, "the statement '%s'", tags[i].word);
        p->at++;
        return tags[i].parse(p);
    }
    bool is_end =
        slice_starts_with(word, slice_of("end")) || slice_is(word, "else") || slice_is(word, "elif");
    if (is_end)
        return jinja_parser_fail(p, ERR_FORMAT, "'%.*s' where no such block is open", (int)word.n, word.at);
    return jinja_parser_fail(p, ERR_UNSUPPORTED, "the statement '%.*s'", (int)word.n, word.at);
}

// ---- the whole ----

// Line ends become "\n", the last one goes.
static struct slice normalize(struct jinja_arena *arena, struct slice source)
{
    char *out = jinja_arena_try(arena, source.n);
    size_t n = 0;
    if (out == NULL)
        return slice_make(NULL, 0);
    for (size_t i = 0; i < source.n; i++) {
        if (source.at[i] == '\r' && i + 1 < source.n && source.at[i + 1] == '\n')
            continue;
        out[n++] = source.at[i] == '\r' ? '\n' : source.at[i];
    }
    if (n > 0 && out[n - 1] == '\n')
        n--;
    return slice_make(out, n);
}

int jinja_parse(struct jinja_tree *tree, struct slice source, struct err *err)
{
    static const char *const known[JINJA_NAME_COUNT] = {"loop", "varargs", "kwargs", "caller"};
    *tree = (struct jinja_tree){.arena = {.cap_bytes = JINJA_TREE_BYTES}};
    map_init(&tree->names, 32);
    if (source.n > JINJA_SOURCE_BYTES)
        return err_set(err, ERR_TOO_LARGE, "the template is %zu bytes long, at most %d are read", source.n,
                       JINJA_SOURCE_BYTES);
    struct slice text = normalize(&tree->arena, source);
    size_t n_tokens = 0;
    struct jinja_token *tokens = jinja_lex(&tree->arena, text, &n_tokens, err);
    if (text.at == NULL || tokens == NULL)
        return err_set(err, ERR_TOO_LARGE, "the template is too large");
    struct jinja_parser p = {.tree = tree, .tokens = tokens, .err = err};
    for (uint32_t i = 0; i < JINJA_NAME_COUNT; i++)
        jinja_parser_name(&p, slice_of(known[i]));
    struct jinja_node *root = jinja_parser_node(&p, JINJA_NODE_SCOPE);
    tree->body = parse_body(&p, root, NULL);
    return p.failed ? -1 : 0;
}

void jinja_tree_fini(struct jinja_tree *tree)
{
    map_fini(&tree->names);
    jinja_arena_fini(&tree->arena);
}
