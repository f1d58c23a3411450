// SPDX-License-Identifier: MIT
// Variables. A `for`, a macro, a `with` and the other blocks have a scope of their own, an `if` has none:
// what is set inside does not leak. The outermost scope is an array by name id; the others are short lists.
#include "base/mem.h"
#include "text/jinja_run.h"

void jinja_scope_enter(struct jinja_run *r, struct jinja_frame *parent)
{
    struct jinja_frame *f = jinja_new(r, sizeof *f);
    f->parent = parent;
    r->frame = f;
}

struct jinja_value jinja_scope_get(struct jinja_run *r, const struct jinja_node *name)
{
    for (const struct jinja_frame *f = r->frame; f->parent != NULL; f = f->parent) {
        r->steps += f->n / 8;
        for (size_t i = 0; i < f->n; i++)
            if (f->at[i].id == name->id)
                return f->at[i].value;
    }
    struct jinja_value v = r->globals[name->id];
    if (v.kind != JINJA_MISSING)
        return v;
    if (name->row != NULL)
        return (struct jinja_value){.kind = JINJA_FUNCTION, .function = name->row};
    return jinja_undefined(r, name->name, NULL);
}

void jinja_scope_set(struct jinja_run *r, uint32_t id, struct jinja_value value)
{
    struct jinja_frame *f = r->frame;
    if (f->parent == NULL) {
        r->globals[id] = value;
        return;
    }
    for (size_t i = 0; i < f->n; i++) {
        if (f->at[i].id == id) {
            f->at[i].value = value;
            return;
        }
    }
    if (f->n == f->capacity) {
        size_t capacity = MAX(f->capacity * 2, 4);
        struct jinja_variable *at = jinja_alloc(r, capacity, sizeof *at);
        if (at == NULL)
            return;
        if (f->n > 0)
            memcpy(at, f->at, f->n * sizeof *at);
        f->at = at;
        f->capacity = capacity;
    }
    f->at[f->n++] = (struct jinja_variable){id, value};
}

static void assign_attr(struct jinja_run *r, const struct jinja_node *target, struct jinja_value value)
{
    struct jinja_value ns = jinja_scope_get(r, target);
    if (ns.kind != JINJA_NAMESPACE)
        jinja_fail(r, ERR_FORMAT, "cannot assign attribute on non-namespace object '%.*s'",
                   (int)MIN(target->name.n, 60), target->name.at);
    else
        jinja_dict_set(r, ns.dict, target->value, value);
}

static void unpack(struct jinja_run *r, const struct jinja_node *target, struct jinja_value value)
{
    const struct jinja_list *items = jinja_items(r, value);
    size_t n = 0;
    for (const struct jinja_node *t = target->list; t != NULL; t = t->next)
        n++;
    if (!r->failed && items->n != n)
        jinja_fail(r, ERR_FORMAT, "%zu values to unpack, %zu expected", items->n, n);
    n = 0;
    for (const struct jinja_node *t = target->list; t != NULL && !r->failed; t = t->next)
        jinja_scope_assign(r, t, items->at[n++]);
}

void jinja_scope_assign(struct jinja_run *r, const struct jinja_node *target, struct jinja_value value)
{
    if (r->failed)
        return;
    if (target->type == JINJA_NODE_NS_TARGET)
        assign_attr(r, target, value);
    else if (target->type == JINJA_NODE_TUPLE)
        unpack(r, target, value);
    else
        jinja_scope_set(r, target->id, value);
}
