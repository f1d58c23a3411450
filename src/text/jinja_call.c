// SPDX-License-Identifier: MIT
// Calls: arguments evaluated and bound to the parameters of macros and of rows of the tables (filters, tests,
// methods, functions).
#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"
#include "text/jinja_run.h"

struct jinja_macro {
    const struct jinja_node *node;
    struct jinja_frame *frame; // where it was defined
};

// ---- failing, counting, memory ----

struct jinja_value jinja_fail(struct jinja_run *r, enum err_code code, const char *format, ...)
{
    if (!r->failed) {
        char what[800];
        va_list args;
        va_start(args, format);
        vsnprintf(what, sizeof what, format, args);
        va_end(args);
        r->failed = true;
        if (code == ERR_INVALID) // the template's own words
            err_set(r->err, code, "%s", what);
        else
            err_set(r->err, code, "chat template, line %u: %s%s", r->line, what,
                    code == ERR_UNSUPPORTED ? " is not supported" : "");
    }
    static const struct jinja_undefined nothing;
    return (struct jinja_value){.kind = JINJA_UNDEFINED, .undefined = &nothing};
}

struct jinja_value jinja_fail_undefined(struct jinja_run *r, struct jinja_value v)
{
    const struct jinja_undefined *u = v.undefined;
    if (v.kind != JINJA_UNDEFINED || u->owner == NULL)
        return jinja_fail(r, ERR_FORMAT, "'%.*s' is undefined",
                          v.kind == JINJA_UNDEFINED ? (int)MIN(u->name.n, 60) : 0,
                          v.kind == JINJA_UNDEFINED ? u->name.at : "");
    return jinja_fail(r, ERR_FORMAT, "'%s' object has no attribute '%.*s'", u->owner, (int)MIN(u->name.n, 60),
                      u->name.at);
}

bool jinja_step(struct jinja_run *r, size_t n)
{
    r->steps += n;
    if (r->failed)
        return false;
    if (r->steps > JINJA_STEPS)
        jinja_fail(r, ERR_TOO_LARGE, "the template takes too long");
    else if (r->arena.full)
        jinja_fail(r, ERR_TOO_LARGE, "the template needs too much memory");
    return !r->failed;
}

void *jinja_new(struct jinja_run *r, size_t size_bytes)
{
    return jinja_arena_new(&r->arena, size_bytes);
}

void *jinja_alloc(struct jinja_run *r, size_t count, size_t size)
{
    size_t bytes;
    void *out = mem_mul(count, size, &bytes) ? jinja_arena_try(&r->arena, bytes) : NULL;
    if (out == NULL)
        jinja_fail(r, ERR_TOO_LARGE, "the template needs too much memory");
    return out;
}

// ---- arguments ----

struct keywords {
    struct jinja_keyword *at;
    size_t n, capacity;
};

static void push_keyword(struct jinja_run *r, struct keywords *k, struct jinja_keyword keyword)
{
    for (size_t i = 0; i < k->n; i++)
        if (slice_equals(k->at[i].name, keyword.name))
            jinja_fail(r, ERR_FORMAT, "multiple values for argument '%.*s'", (int)MIN(keyword.name.n, 60),
                       keyword.name.at);
    jinja_step(r, k->n);
    if (k->n == k->capacity) {
        size_t capacity = MAX(k->capacity * 2, 4);
        struct jinja_keyword *at = jinja_alloc(r, capacity, sizeof *at);
        if (at == NULL)
            return;
        if (k->n > 0)
            memcpy(at, k->at, k->n * sizeof *at);
        k->at = at;
        k->capacity = capacity;
    }
    k->at[k->n++] = keyword;
}

static void spread_keywords(struct jinja_run *r, struct keywords *k, struct jinja_value v)
{
    if (v.kind != JINJA_DICT) {
        jinja_fail(r, ERR_FORMAT, "argument after ** must be a mapping, not %s", jinja_type_name(v));
        return;
    }
    for (size_t i = 0; i < v.dict->n && jinja_step(r, 1); i++) {
        if (v.dict->pairs[i].key.kind != JINJA_TEXT)
            jinja_fail(r, ERR_FORMAT, "keywords must be strings");
        push_keyword(r, k, (struct jinja_keyword){jinja_slice(v.dict->pairs[i].key), v.dict->pairs[i].value});
    }
}

static struct jinja_args eval_args(struct jinja_run *r, const struct jinja_node *list,
                                   const struct jinja_keyword *extra)
{
    struct keywords k = {0};
    size_t n = 0;
    for (const struct jinja_node *arg = list; arg != NULL; arg = arg->next)
        n++;
    struct jinja_list *plain = jinja_list_new(r, n, JINJA_FLAVOR_LIST).list;
    for (const struct jinja_node *arg = list; arg != NULL && !r->failed; arg = arg->next) {
        struct jinja_value v = jinja_eval(r, arg->a);
        if (arg->op == JINJA_OP_ARG_PLAIN) {
            jinja_list_push(r, plain, v);
        } else if (arg->op == JINJA_OP_ARG_KEYWORD) {
            push_keyword(r, &k, (struct jinja_keyword){arg->name, v});
        } else if (arg->op == JINJA_OP_ARG_SPREAD) {
            const struct jinja_list *items = jinja_items(r, v);
            for (size_t i = 0; i < items->n && jinja_step(r, 1); i++)
                jinja_list_push(r, plain, items->at[i]);
        } else {
            spread_keywords(r, &k, v);
        }
    }
    if (extra != NULL)
        push_keyword(r, &k, *extra);
    return (struct jinja_args){plain->at, plain->n, k.at, k.n};
}

// ---- rows of tables ----

const struct jinja_row *jinja_row_find(const struct jinja_row *table, size_t n, struct slice name)
{
    for (size_t i = 0; i < n; i++)
        if (slice_is(name, table[i].name))
            return &table[i];
    return NULL;
}

// The next parameter of "a b? c?"; false at the end.
static bool next_param(const char **params, struct slice *name, bool *is_optional)
{
    const char *at = *params + strspn(*params, " ");
    size_t n = strcspn(at, " ?");
    *name = slice_make(at, n);
    *is_optional = at[n] == '?';
    *params = at + n + *is_optional;
    return n > 0;
}

static void bind(struct jinja_run *r, const struct jinja_row *row, struct jinja_call *c)
{
    const char *params = row->params;
    struct slice name;
    bool is_optional;
    size_t n = 0, used = 0;
    for (; next_param(&params, &name, &is_optional); n++) {
        c->arg[n] = (struct jinja_value){.kind = JINJA_MISSING};
        if (n < c->raw.n)
            c->arg[n] = c->raw.at[n];
        for (size_t i = 0; i < c->raw.n_keywords; i++) {
            if (!slice_equals(c->raw.keywords[i].name, name))
                continue;
            if (n < c->raw.n)
                jinja_fail(r, ERR_FORMAT, "%s() got multiple values for argument '%.*s'", row->name,
                           (int)name.n, name.at);
            c->arg[n] = c->raw.keywords[i].value;
            used++;
        }
        if (c->arg[n].kind == JINJA_MISSING && !is_optional)
            jinja_fail(r, ERR_FORMAT, "%s() needs the argument '%.*s'", row->name, (int)name.n, name.at);
    }
    if (c->raw.n > n)
        jinja_fail(r, ERR_FORMAT, "%s() takes at most %zu arguments, %zu given", row->name, n, c->raw.n);
    if (used < c->raw.n_keywords)
        jinja_fail(r, ERR_FORMAT, "%s() got an unexpected keyword argument", row->name);
}

struct jinja_value jinja_row_call(struct jinja_run *r, const struct jinja_row *row, struct jinja_value self,
                                  const struct jinja_args *args)
{
    struct jinja_call c = {.self = self, .raw = *args, .name = row->name};
    if (row->fn == NULL)
        return jinja_fail(r, ERR_UNSUPPORTED, "%s()", row->name);
    if (strcmp(row->params, "*") != 0)
        bind(r, row, &c);
    return r->failed ? self : row->fn(r, &c);
}

struct jinja_value jinja_filter_node(struct jinja_run *r, const struct jinja_node *node)
{
    struct jinja_value self = jinja_eval(r, node->a);
    struct jinja_args args = eval_args(r, node->list, NULL);
    r->line = node->line;
    if (node->row == NULL)
        return jinja_fail(r, ERR_UNSUPPORTED, "the filter '%.*s'", (int)MIN(node->name.n, 60), node->name.at);
    return jinja_row_call(r, node->row, self, &args);
}

struct jinja_value jinja_test_node(struct jinja_run *r, const struct jinja_node *node)
{
    struct jinja_value self = jinja_eval(r, node->a);
    struct jinja_args args = eval_args(r, node->list, NULL);
    r->line = node->line;
    if (node->row == NULL)
        return jinja_fail(r, ERR_UNSUPPORTED, "the test '%.*s'", (int)MIN(node->name.n, 60), node->name.at);
    return jinja_row_call(r, node->row, self, &args);
}

// ---- macros ----

struct jinja_value jinja_macro_new(struct jinja_run *r, const struct jinja_node *node)
{
    struct jinja_macro *m = jinja_new(r, sizeof *m);
    *m = (struct jinja_macro){node, r->frame};
    for (struct jinja_frame *f = r->frame; f != NULL && !f->is_captured; f = f->parent)
        f->is_captured = true;
    return (struct jinja_value){.kind = JINJA_MACRO, .macro = m};
}

static const struct jinja_node *find_param(const struct jinja_node *macro, struct slice name)
{
    const struct jinja_node *p = macro->other;
    while (p != NULL && !slice_equals(p->name, name))
        p = p->next;
    return p;
}

// What fits no parameter goes to varargs and kwargs if the body reads these, and is an error otherwise.
static void bind_rest(struct jinja_run *r, const struct jinja_node *macro, const struct jinja_args *args,
                      size_t n_params)
{
    struct jinja_value varargs = jinja_list_new(r, 0, JINJA_FLAVOR_TUPLE), kwargs = jinja_dict_new(r);
    struct jinja_value caller = jinja_undefined(r, slice_of("caller"), NULL);
    for (size_t i = n_params; i < args->n && !r->failed; i++)
        jinja_list_push(r, varargs.list, args->at[i]);
    for (size_t i = 0; i < args->n_keywords && !r->failed; i++) {
        const struct jinja_keyword *k = &args->keywords[i];
        if (find_param(macro, k->name) != NULL)
            continue;
        if ((macro->uses & JINJA_USES_CALLER) && slice_is(k->name, "caller"))
            caller = k->value;
        else if (macro->uses & JINJA_USES_KWARGS)
            jinja_dict_set(r, kwargs.dict, jinja_text_borrow(r, k->name), k->value);
        else
            jinja_fail(r, ERR_FORMAT, "macro '%.*s' takes no keyword argument '%.*s'",
                       (int)MIN(macro->name.n, 60), macro->name.at, (int)MIN(k->name.n, 60), k->name.at);
    }
    if (varargs.list->n > 0 && !(macro->uses & JINJA_USES_VARARGS))
        jinja_fail(r, ERR_FORMAT, "macro '%.*s' takes not more than %zu arguments",
                   (int)MIN(macro->name.n, 60), macro->name.at, n_params);
    if (macro->uses & JINJA_USES_VARARGS)
        jinja_scope_set(r, JINJA_NAME_VARARGS, varargs);
    if (macro->uses & JINJA_USES_KWARGS)
        jinja_scope_set(r, JINJA_NAME_KWARGS, kwargs);
    if (macro->uses & JINJA_USES_CALLER)
        jinja_scope_set(r, JINJA_NAME_CALLER, caller);
}

static void bind_params(struct jinja_run *r, const struct jinja_node *macro, const struct jinja_args *args)
{
    size_t n = 0;
    for (const struct jinja_node *p = macro->other; p != NULL && !r->failed; p = p->next, n++) {
        struct jinja_value v = {.kind = JINJA_MISSING};
        if (n < args->n)
            v = args->at[n];
        for (size_t i = 0; i < args->n_keywords; i++) {
            if (!slice_equals(args->keywords[i].name, p->name))
                continue;
            if (n < args->n)
                jinja_fail(r, ERR_FORMAT, "macro '%.*s' got multiple values for argument '%.*s'",
                           (int)MIN(macro->name.n, 60), macro->name.at, (int)MIN(p->name.n, 60), p->name.at);
            v = args->keywords[i].value;
        }
        if (v.kind == JINJA_MISSING)
            v = p->a != NULL ? jinja_eval(r, p->a) : jinja_undefined(r, p->name, NULL);
        jinja_scope_set(r, p->id, v);
    }
    if (!r->failed && (args->n > n || args->n_keywords > 0 || macro->uses != 0))
        bind_rest(r, macro, args, n);
}

static struct jinja_value call_macro(struct jinja_run *r, const struct jinja_macro *m,
                                     const struct jinja_args *args)
{
    struct jinja_frame *outer = r->frame;
    uint32_t line = r->line;
    jinja_scope_enter(r, m->frame);
    bind_params(r, m->node, args);
    struct jinja_value out = jinja_capture(r, m->node->list);
    r->frame = outer;
    if (!r->failed)
        r->line = line;
    return out;
}

// ---- calls ----

struct jinja_value jinja_call_value(struct jinja_run *r, struct jinja_value callee,
                                    const struct jinja_args *args)
{
    if (r->failed)
        return callee;
    switch (callee.kind) {
    case JINJA_MACRO:
        return call_macro(r, callee.macro, args);
    case JINJA_METHOD:
        return jinja_row_call(r, callee.method->row, callee.method->self, args);
    case JINJA_FUNCTION:
        return jinja_row_call(r, callee.function, (struct jinja_value){.kind = JINJA_MISSING}, args);
    case JINJA_UNDEFINED:
        return jinja_fail_undefined(r, callee);
    default:
        return jinja_fail(r, ERR_FORMAT, "'%s' object is not callable", jinja_type_name(callee));
    }
}

struct jinja_value jinja_call_node(struct jinja_run *r, const struct jinja_node *node,
                                   const struct jinja_keyword *extra)
{
    struct jinja_value callee = jinja_eval(r, node->a);
    struct jinja_args args = eval_args(r, node->list, extra);
    r->line = node->line;
    return jinja_call_value(r, callee, &args);
}
