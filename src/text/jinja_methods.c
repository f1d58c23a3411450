// SPDX-License-Identifier: MIT
// The methods of lists, tuples, dicts and loops. jinja2's immutable sandbox refuses those that change a list
// or dict; known templates (Kimi K2) use them, so they are here.
#include "base/mem.h"
#include "text/jinja_tables.h"

// ---- lists ----

static struct jinja_value list_append(struct jinja_run *r, const struct jinja_call *c)
{
    jinja_list_push(r, c->self.list, c->arg[0]);
    return jinja_none();
}

static struct jinja_value list_extend(struct jinja_run *r, const struct jinja_call *c)
{
    const struct jinja_list *items = jinja_items(r, c->arg[0]);
    for (size_t i = 0; i < items->n && jinja_step(r, 1); i++)
        jinja_list_push(r, c->self.list, items->at[i]);
    return jinja_none();
}

// The items in storage of their own, so that others who share it do not see what changes.
static bool own_items(struct jinja_run *r, struct jinja_list *l)
{
    struct jinja_value *at = jinja_alloc(r, l->n, sizeof *at);
    if (at == NULL || !jinja_step(r, l->n))
        return false;
    if (l->n > 0)
        memcpy(at, l->at, l->n * sizeof *at);
    l->at = at;
    l->space = NULL;
    return true;
}

static struct jinja_value list_pop(struct jinja_run *r, const struct jinja_call *c)
{
    struct jinja_list *l = c->self.list;
    int64_t i = jinja_arg_int(r, c, 0, -1);
    if (i < 0)
        i += (int64_t)l->n;
    if (r->failed || i < 0 || i >= (int64_t)l->n)
        return jinja_fail(r, ERR_FORMAT, l->n == 0 ? "pop from empty list" : "pop index out of range");
    struct jinja_value out = l->at[i];
    if (i == 0) {
        l->at++;
        l->space = NULL;
    } else if (i < (int64_t)l->n - 1) {
        if (!own_items(r, l))
            return out;
        memmove(l->at + i, l->at + i + 1, (l->n - (size_t)i - 1) * sizeof *l->at);
    }
    l->n--;
    return out;
}

static struct jinja_value list_insert(struct jinja_run *r, const struct jinja_call *c)
{
    struct jinja_list *l = c->self.list;
    int64_t i = jinja_arg_int(r, c, 0, 0), n = (int64_t)l->n;
    i = i < 0 ? MAX(i + n, 0) : MIN(i, n);
    jinja_list_push(r, l, c->arg[1]);
    if (r->failed || !own_items(r, l))
        return jinja_none();
    memmove(l->at + i + 1, l->at + i, (size_t)(n - i) * sizeof *l->at);
    l->at[i] = c->arg[1];
    return jinja_none();
}

static struct jinja_value list_clear(struct jinja_run *r, const struct jinja_call *c)
{
    c->self.list->n = 0;
    c->self.list->space = NULL;
    return jinja_none();
}

static struct jinja_value list_copy(struct jinja_run *r, const struct jinja_call *c)
{
    struct jinja_value out = jinja_list_new(r, 0, JINJA_FLAVOR_LIST);
    out.list->at = c->self.list->at;
    out.list->n = c->self.list->n;
    return out;
}

static struct jinja_value list_index(struct jinja_run *r, const struct jinja_call *c)
{
    for (size_t i = 0; i < c->self.list->n && jinja_step(r, 1); i++)
        if (jinja_equals(r, c->self.list->at[i], c->arg[0]))
            return jinja_int((int64_t)i);
    return jinja_fail(r, ERR_FORMAT, "the value is not in the list");
}

static struct jinja_value list_count(struct jinja_run *r, const struct jinja_call *c)
{
    int64_t count = 0;
    for (size_t i = 0; i < c->self.list->n && jinja_step(r, 1); i++)
        count += jinja_equals(r, c->self.list->at[i], c->arg[0]);
    return jinja_int(count);
}

static struct jinja_value list_reverse(struct jinja_run *r, const struct jinja_call *c)
{
    struct jinja_list *l = c->self.list;
    if (!own_items(r, l))
        return jinja_none();
    for (size_t i = 0; i < l->n / 2; i++) {
        struct jinja_value v = l->at[i];
        l->at[i] = l->at[l->n - 1 - i];
        l->at[l->n - 1 - i] = v;
    }
    return jinja_none();
}

static const struct jinja_row list_methods[] = {
    {"append", list_append, "item"},
    {"clear", list_clear, ""},
    {"copy", list_copy, ""},
    {"count", list_count, "value"},
    {"extend", list_extend, "iterable"},
    {"index", list_index, "value"},
    {"insert", list_insert, "index item"},
    {"pop", list_pop, "index?"},
    {"remove", NULL, ""},
    {"reverse", list_reverse, ""},
    {"sort", NULL, ""},
};

static const struct jinja_row tuple_methods[] = {
    {"count", list_count, "value"},
    {"index", list_index, "value"},
};

// ---- dicts ----

static struct jinja_value dict_view(struct jinja_run *r, const struct jinja_dict *d, bool with_keys,
                                    bool with_values)
{
    struct jinja_value out = jinja_list_new(r, d->n, JINJA_FLAVOR_VIEW);
    for (size_t i = 0; i < d->n && jinja_step(r, 1); i++) {
        const struct jinja_pair *p = &d->pairs[i];
        bool is_pair = with_keys && with_values;
        jinja_list_push(r, out.list,
                        is_pair     ? jinja_tuple2(r, p->key, p->value)
                        : with_keys ? p->key
                                    : p->value);
    }
    return out;
}

static struct jinja_value dict_items(struct jinja_run *r, const struct jinja_call *c)
{
    return dict_view(r, c->self.dict, true, true);
}

static struct jinja_value dict_keys(struct jinja_run *r, const struct jinja_call *c)
{
    return dict_view(r, c->self.dict, true, false);
}

static struct jinja_value dict_values(struct jinja_run *r, const struct jinja_call *c)
{
    return dict_view(r, c->self.dict, false, true);
}

static struct jinja_value dict_get(struct jinja_run *r, const struct jinja_call *c)
{
    struct jinja_value *found = jinja_dict_find(r, c->self.dict, c->arg[0]);
    if (found != NULL)
        return *found;
    return jinja_is_given(c->arg[1]) ? c->arg[1] : jinja_none();
}

static struct jinja_value dict_pop(struct jinja_run *r, const struct jinja_call *c)
{
    struct jinja_value *found = jinja_dict_find(r, c->self.dict, c->arg[0]);
    if (found == NULL && !jinja_is_given(c->arg[1]))
        return jinja_fail(r, ERR_FORMAT, "the dict has no such key");
    struct jinja_value out = found != NULL ? *found : c->arg[1];
    jinja_dict_remove(r, c->self.dict, c->arg[0]);
    return out;
}

static struct jinja_value dict_setdefault(struct jinja_run *r, const struct jinja_call *c)
{
    struct jinja_value *found = jinja_dict_find(r, c->self.dict, c->arg[0]);
    struct jinja_value absent = jinja_is_given(c->arg[1]) ? c->arg[1] : jinja_none();
    if (found != NULL)
        return *found;
    jinja_dict_set(r, c->self.dict, c->arg[0], absent);
    return absent;
}

static struct jinja_value dict_update(struct jinja_run *r, const struct jinja_call *c)
{
    if (c->raw.n > 1 || (c->raw.n == 1 && c->raw.at[0].kind != JINJA_DICT))
        return jinja_fail(r, ERR_UNSUPPORTED, "update() with something else than a dict");
    for (size_t i = 0; c->raw.n == 1 && i < c->raw.at[0].dict->n && jinja_step(r, 1); i++)
        jinja_dict_set(r, c->self.dict, c->raw.at[0].dict->pairs[i].key, c->raw.at[0].dict->pairs[i].value);
    for (size_t i = 0; i < c->raw.n_keywords; i++)
        jinja_dict_set(r, c->self.dict, jinja_text_borrow(r, c->raw.keywords[i].name),
                       c->raw.keywords[i].value);
    return jinja_none();
}

static struct jinja_value dict_copy(struct jinja_run *r, const struct jinja_call *c)
{
    struct jinja_value out = jinja_dict_new(r);
    for (size_t i = 0; i < c->self.dict->n && jinja_step(r, 1); i++)
        jinja_dict_set(r, out.dict, c->self.dict->pairs[i].key, c->self.dict->pairs[i].value);
    return out;
}

static const struct jinja_row dict_methods[] = {
    {"clear", NULL, ""},
    {"copy", dict_copy, ""},
    {"fromkeys", NULL, ""},
    {"get", dict_get, "key default?"},
    {"items", dict_items, ""},
    {"keys", dict_keys, ""},
    {"pop", dict_pop, "key default?"},
    {"popitem", NULL, ""},
    {"setdefault", dict_setdefault, "key default?"},
    {"update", dict_update, "*"},
    {"values", dict_values, ""},
};

static const struct jinja_row loop_methods[] = {
    {"changed", jinja_loop_changed, "*"},
    {"cycle", jinja_loop_cycle, "*"},
};

const struct jinja_row *jinja_method_find(enum jinja_kind kind, enum jinja_flavor flavor, struct slice name)
{
    switch (kind) {
    case JINJA_TEXT:
        return jinja_string_method_find(name);
    case JINJA_DICT:
        return jinja_row_find(dict_methods, COUNT_OF(dict_methods), name);
    case JINJA_LOOP:
        return jinja_row_find(loop_methods, COUNT_OF(loop_methods), name);
    case JINJA_LIST:
        if (flavor == JINJA_FLAVOR_LIST)
            return jinja_row_find(list_methods, COUNT_OF(list_methods), name);
        if (flavor == JINJA_FLAVOR_TUPLE)
            return jinja_row_find(tuple_methods, COUNT_OF(tuple_methods), name);
        return NULL;
    default:
        return NULL;
    }
}
