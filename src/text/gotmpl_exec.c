// SPDX-License-Identifier: MIT
// The executor: walks the nodes that write, choose, repeat and call. Expressions are gotmpl_eval.c's.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/gotmpl_run.h"

enum flow { FLOW_NEXT, FLOW_BREAK, FLOW_CONTINUE };

// ---- The run ----
// line:column of a node, both as Go counts them: lines from 1, bytes within the line from 0.
static void put_place(struct strbuf *out, const struct gotmpl_tree *tree, const struct gotmpl_node *n)
{
    size_t line = 1, begin = 0;
    for (size_t i = 0; i < n->at; i++) {
        if (tree->source.at[i] != '\n')
            continue;
        line++;
        begin = i + 1;
    }
    strbuf_printf(out, ":%zu:%zu", line, n->at - begin);
}

static void fail(struct gotmpl_run *r, enum err_code code, const char *message)
{
    struct strbuf text = STRBUF_INIT(900);
    if (r->failed)
        return;
    r->failed = true;
    strbuf_push_text(&text, "template: ");
    if (r->at != NULL) {
        struct strbuf context = STRBUF_INIT(300);
        put_place(&text, r->tree, r->at);
        strbuf_push_text(&text, ": executing ");
        gotmpl_put_quoted(&text, r->name);
        gotmpl_put_node(&context, r->at);
        strbuf_printf(&text, " at <%s>", strbuf_text(&context));
        strbuf_fini(&context);
    }
    strbuf_printf(&text, ": %s", message);
    err_set(r->err, code, "%s", strbuf_text(&text));
    strbuf_fini(&text);
}

struct gotmpl_value gotmpl_fail(struct gotmpl_run *r, const char *format, ...)
{
    char text[500];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fail(r, ERR_FORMAT, text);
    return gotmpl_invalid();
}

struct gotmpl_value gotmpl_fail_bound(struct gotmpl_run *r, const char *what)
{
    fail(r, ERR_TOO_LARGE, what);
    return gotmpl_invalid();
}

bool gotmpl_step(struct gotmpl_run *r, size_t n)
{
    r->steps += n;
    if (r->steps > GOTMPL_STEPS)
        gotmpl_fail_bound(r, "the template runs too long");
    if (r->arena.full)
        gotmpl_fail_bound(r, "the template needs too much memory");
    if (r->out->overflow)
        gotmpl_fail_bound(r, "the template writes too much");
    return !r->failed;
}

void *gotmpl_alloc(struct gotmpl_run *r, size_t count, size_t size_bytes)
{
    size_t n;
    void *out = mem_mul(count, size_bytes, &n) ? jinja_arena_try(&r->arena, n) : NULL;
    if (out == NULL)
        gotmpl_fail_bound(r, "the template needs too much memory");
    else
        memset(out, 0, n);
    return out;
}

struct gotmpl_value gotmpl_take_text(struct gotmpl_run *r, struct strbuf *text)
{
    struct slice out = slice_make("", text->n);
    char *copy = text->overflow || r->failed ? NULL : gotmpl_alloc(r, text->n + 1, 1);
    if (text->overflow)
        gotmpl_fail_bound(r, "a text in the template is too large");
    if (copy != NULL && text->n > 0)
        memcpy(copy, text->at, text->n);
    out.at = copy;
    gotmpl_step(r, text->n / 32);
    strbuf_fini(text);
    return r->failed ? gotmpl_invalid() : gotmpl_text(out);
}

// ---- Variables ----
void gotmpl_variable_push(struct gotmpl_run *r, struct slice name, struct gotmpl_value value)
{
    if (r->n_variables == GOTMPL_VARIABLES) {
        gotmpl_fail_bound(r, "the template has too many variables");
        return;
    }
    if (r->n_variables == r->capacity) {
        r->capacity = r->capacity * 2 + 32;
        r->variables = xrealloc(r->variables, r->capacity * sizeof r->variables[0]);
    }
    r->variables[r->n_variables++] = (struct gotmpl_variable){name, value};
}

void gotmpl_variable_set(struct gotmpl_run *r, struct slice name, struct gotmpl_value value)
{
    for (size_t i = r->n_variables; i-- > r->first_variable;) {
        if (!slice_equals(r->variables[i].name, name))
            continue;
        r->variables[i].value = value;
        return;
    }
    gotmpl_fail(r, "undefined variable: %.*s", (int)name.n, name.at);
}

// ---- Nodes ----
static enum flow walk(struct gotmpl_run *r, struct gotmpl_value dot, const struct gotmpl_node *n);

static enum flow walk_list(struct gotmpl_run *r, struct gotmpl_value dot, const struct gotmpl_node *list)
{
    enum flow flow = FLOW_NEXT;
    for (const struct gotmpl_node *n = list->list; n != NULL && flow == FLOW_NEXT && !r->failed; n = n->next)
        flow = walk(r, dot, n);
    return flow;
}

static enum flow walk_choice(struct gotmpl_run *r, struct gotmpl_value dot, const struct gotmpl_node *n)
{
    size_t mark = r->n_variables;
    enum flow flow = FLOW_NEXT;
    struct gotmpl_value v = gotmpl_eval_pipe(r, dot, n->pipe);
    if (r->failed)
        return FLOW_NEXT;
    if (gotmpl_is_true(gotmpl_unbox(v)))
        flow = walk_list(r, n->type == GOTMPL_NODE_WITH ? v : dot, n->body);
    else if (n->other != NULL)
        flow = walk_list(r, dot, n->other);
    r->n_variables = mark;
    return flow;
}

// Sets the range's variables, runs its body. False: no further turn.
static bool turn(struct gotmpl_run *r, const struct gotmpl_node *n, struct gotmpl_value index,
                 struct gotmpl_value element)
{
    const struct gotmpl_node *first = n->pipe->declares, *second = first != NULL ? first->next : NULL;
    size_t mark = r->n_variables;
    if (first != NULL && n->pipe->flag) {
        gotmpl_variable_set(r, first->names[0], second != NULL ? index : element);
        if (second != NULL)
            gotmpl_variable_set(r, second->names[0], element);
    } else if (first != NULL) {
        r->variables[mark - 1].value = element;
        if (second != NULL)
            r->variables[mark - 2].value = index;
    }
    enum flow flow = walk_list(r, element, n->body);
    r->n_variables = mark;
    return flow != FLOW_BREAK && gotmpl_step(r, 1);
}

static void fail_range(struct gotmpl_run *r, struct gotmpl_value v, const char *before, const char *after)
{
    struct strbuf text = STRBUF_INIT(300);
    gotmpl_put_plain(r, &text, v);
    gotmpl_fail(r, "%s%s%s", before, strbuf_text(&text), after);
    strbuf_fini(&text);
}

static void count(struct gotmpl_run *r, const struct gotmpl_node *n, struct gotmpl_value v)
{
    struct gotmpl_value i = v;
    if (n->pipe->declares != NULL && n->pipe->declares->next != NULL) {
        fail_range(r, v, "can't use ", " to iterate over more than one variable");
        return;
    }
    for (i.integer = 0; i.integer < v.integer && turn(r, n, gotmpl_invalid(), i);)
        i.integer++;
}

// False: there was nothing, and the else branch is due.
static bool repeat(struct gotmpl_run *r, const struct gotmpl_node *n, struct gotmpl_value v)
{
    size_t length = gotmpl_length(v);
    switch (gotmpl_kind_of(v)) {
    case GOTMPL_INT:
    case GOTMPL_UINT:
        count(r, n, v);
        return v.integer > 0;
    case GOTMPL_SLICE:
        for (size_t i = 0; i < length; i++)
            if (!turn(r, n, gotmpl_int((int64_t)i), gotmpl_element(v.type, v.list->at[i])))
                break;
        return length > 0;
    case GOTMPL_MAP:
        for (size_t i = 0; i < length; i++)
            if (!turn(r, n, gotmpl_text(v.map->pairs[i].key), gotmpl_element(v.type, v.map->pairs[i].value)))
                break;
        return length > 0;
    case GOTMPL_INVALID:
        return false;
    case GOTMPL_NIL:
        gotmpl_fail(r, "range can't iterate over <nil>");
        return true;
    default:
        fail_range(r, v, "range can't iterate over ", "");
        return true;
    }
}

static enum flow walk_range(struct gotmpl_run *r, struct gotmpl_value dot, const struct gotmpl_node *n)
{
    size_t mark = r->n_variables;
    enum flow flow = FLOW_NEXT;
    struct gotmpl_value v = gotmpl_eval_pipe(r, dot, n->pipe);
    if (v.is_boxed)
        v = gotmpl_unbox(v);
    if (!r->failed && !repeat(r, n, v) && n->other != NULL && !r->failed)
        flow = walk_list(r, dot, n->other);
    r->n_variables = mark;
    // Go's package lets a break in the else branch end this range, not the one around it.
    return flow == FLOW_BREAK ? FLOW_NEXT : flow;
}

static void walk_template(struct gotmpl_run *r, struct gotmpl_value dot, const struct gotmpl_node *n)
{
    const struct gotmpl_def *def = gotmpl_def_find(r->tree, n->text);
    if (def == NULL) {
        struct strbuf quoted = STRBUF_INIT(400);
        gotmpl_put_quoted(&quoted, n->text);
        gotmpl_fail(r, "template %s not defined", strbuf_text(&quoted));
        strbuf_fini(&quoted);
        return;
    }
    struct gotmpl_value inner = n->pipe != NULL ? gotmpl_eval_pipe(r, dot, n->pipe) : gotmpl_invalid();
    if (r->failed)
        return;
    struct slice name = r->name;
    size_t first = r->first_variable, mark = r->n_variables;
    r->name = def->name;
    r->first_variable = mark;
    gotmpl_variable_push(r, slice_of("$"), inner);
    walk_list(r, inner, def->root);
    if (r->failed)
        return;
    r->name = name;
    r->first_variable = first;
    r->n_variables = mark;
}

static void walk_action(struct gotmpl_run *r, struct gotmpl_value dot, const struct gotmpl_node *n)
{
    struct gotmpl_value v = gotmpl_eval_pipe(r, dot, n->pipe);
    if (r->failed || n->pipe->declares != NULL)
        return;
    r->at = n;
    size_t before = r->out->n;
    if (gotmpl_is_valid(v))
        gotmpl_put_plain(r, r->out, v);
    else
        strbuf_push_text(r->out, "<no value>");
    gotmpl_step(r, (r->out->n - before) / 32);
}

static enum flow walk_node(struct gotmpl_run *r, struct gotmpl_value dot, const struct gotmpl_node *n)
{
    switch (n->type) {
    case GOTMPL_NODE_TEXT:
        strbuf_push_slice(r->out, n->text);
        return FLOW_NEXT;
    case GOTMPL_NODE_ACTION:
        walk_action(r, dot, n);
        return FLOW_NEXT;
    case GOTMPL_NODE_IF:
    case GOTMPL_NODE_WITH:
        return walk_choice(r, dot, n);
    case GOTMPL_NODE_RANGE:
        return walk_range(r, dot, n);
    case GOTMPL_NODE_TEMPLATE:
        walk_template(r, dot, n);
        return FLOW_NEXT;
    case GOTMPL_NODE_BREAK:
        return FLOW_BREAK;
    case GOTMPL_NODE_CONTINUE:
        return FLOW_CONTINUE;
    default:
        return walk_list(r, dot, n);
    }
}

static enum flow walk(struct gotmpl_run *r, struct gotmpl_value dot, const struct gotmpl_node *n)
{
    enum flow flow = FLOW_NEXT;
    r->at = n;
    if (++r->depth > GOTMPL_DEPTH)
        gotmpl_fail(r, "exceeded maximum template depth (%d)", GOTMPL_DEPTH);
    else if (gotmpl_step(r, n->type == GOTMPL_NODE_TEXT ? 1 + n->text.n / 32 : 1))
        flow = walk_node(r, dot, n);
    r->depth--;
    return flow;
}

void gotmpl_exec(struct gotmpl_run *r, const struct gotmpl_node *root, struct gotmpl_value data)
{
    r->name = slice_of("");
    r->n_variables = r->first_variable = 0;
    gotmpl_variable_push(r, slice_of("$"), data);
    walk_list(r, data, root);
    free(r->variables);
    r->variables = NULL;
    r->capacity = 0;
}
