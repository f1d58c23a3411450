// SPDX-License-Identifier: MIT
// Filters on sequences. Where jinja2 gives a generator the result is marked as one: it can be looped over
// once, listed and joined, but has no length, no index and no JSON form.
#include "text/jinja_sequences.h"

#include "base/mem.h"
#include "text/jinja_tables.h"

// ---- attributes ----

static struct jinja_value path_part(struct jinja_run *r, struct slice part)
{
    int64_t index = 0;
    bool is_number = part.n > 0 && part.n < 10;
    for (size_t i = 0; i < part.n; i++) {
        is_number = is_number && part.at[i] >= '0' && part.at[i] <= '9';
        index = is_number ? index * 10 + (part.at[i] - '0') : 0;
    }
    return is_number ? jinja_int(index) : jinja_text_borrow(r, part);
}

struct jinja_value jinja_attr_path(struct jinja_run *r, struct jinja_value item, struct jinja_value path,
                                   struct jinja_value absent)
{
    if (path.kind == JINJA_NONE || path.kind == JINJA_MISSING)
        return item;
    if (path.kind != JINJA_TEXT) {
        item = jinja_item(r, item, path);
        return item.kind == JINJA_UNDEFINED && jinja_is_given(absent) ? absent : item;
    }
    struct slice rest = jinja_slice(path);
    while (!r->failed) {
        const char *dot = memchr(rest.at, '.', rest.n);
        size_t n = dot != NULL ? (size_t)(dot - rest.at) : rest.n;
        item = jinja_item(r, item, path_part(r, slice_make(rest.at, n)));
        if (item.kind == JINJA_UNDEFINED && jinja_is_given(absent))
            item = absent;
        if (dot == NULL)
            break;
        rest = slice_make(dot + 1, rest.n - n - 1);
    }
    return item;
}

static const struct jinja_value missing = {.kind = JINJA_MISSING};

// What items are compared by: the attribute, texts in lower case unless case matters.
static struct jinja_value sort_key(struct jinja_run *r, struct jinja_value item, struct jinja_value attribute,
                                   bool case_sensitive)
{
    struct jinja_value key = jinja_attr_path(r, item, attribute, missing);
    if (key.kind == JINJA_TEXT && !case_sensitive)
        key = jinja_case_map(r, key, JINJA_LOWER);
    return key;
}

// ---- simple ones ----

struct jinja_value jinja_filter_length(struct jinja_run *r, const struct jinja_call *c)
{
    return jinja_int((int64_t)jinja_length(r, c->self));
}

struct jinja_value jinja_filter_list(struct jinja_run *r, const struct jinja_call *c)
{
    return (struct jinja_value){.kind = JINJA_LIST, .list = jinja_items(r, c->self)};
}

struct jinja_value jinja_filter_first(struct jinja_run *r, const struct jinja_call *c)
{
    const struct jinja_list *items = jinja_items(r, c->self);
    return items->n > 0 ? items->at[0]
                        : jinja_undefined(r, slice_of("the first item of an empty sequence"), NULL);
}

struct jinja_value jinja_filter_last(struct jinja_run *r, const struct jinja_call *c)
{
    if (jinja_is_generator(c->self))
        return jinja_fail(r, ERR_FORMAT, "'generator' object is not reversible");
    const struct jinja_list *items = jinja_items(r, c->self);
    return items->n > 0 ? items->at[items->n - 1]
                        : jinja_undefined(r, slice_of("the last item of an empty sequence"), NULL);
}

struct jinja_value jinja_filter_items(struct jinja_run *r, const struct jinja_call *c)
{
    struct jinja_value out = jinja_list_new(r, 0, JINJA_FLAVOR_GENERATOR);
    if (c->self.kind == JINJA_UNDEFINED)
        return out;
    if (c->self.kind != JINJA_DICT)
        return jinja_fail(r, ERR_FORMAT, "can only get item pairs from a mapping, not from a %s",
                          jinja_type_name(c->self));
    for (size_t i = 0; i < c->self.dict->n && jinja_step(r, 1); i++)
        jinja_list_push(r, out.list,
                        jinja_tuple2(r, c->self.dict->pairs[i].key, c->self.dict->pairs[i].value));
    return out;
}

struct jinja_value jinja_filter_join(struct jinja_run *r, const struct jinja_call *c)
{
    struct jinja_value between =
        jinja_is_given(c->arg[0]) ? jinja_str(r, c->arg[0]) : jinja_text_borrow(r, slice_of(""));
    const struct jinja_list *items = jinja_items(r, c->self);
    struct jinja_sink out = {0};
    for (size_t i = 0; i < items->n && jinja_step(r, 1); i++) {
        if (i > 0)
            jinja_put_slice(r, &out, jinja_slice(between));
        jinja_put_str(r, &out, jinja_attr_path(r, items->at[i], c->arg[1], missing));
    }
    return jinja_sink_text(r, &out);
}

struct jinja_value jinja_filter_reverse(struct jinja_run *r, const struct jinja_call *c)
{
    const struct jinja_value backwards[3] = {jinja_none(), jinja_none(), jinja_int(-1)};
    if (c->self.kind == JINJA_TEXT)
        return jinja_cut(r, c->self, backwards);
    const struct jinja_list *items = jinja_items(r, c->self);
    struct jinja_value out = jinja_list_new(r, items->n, JINJA_FLAVOR_GENERATOR);
    for (size_t i = items->n; i > 0 && jinja_step(r, 1); i--)
        jinja_list_push(r, out.list, items->at[i - 1]);
    return out;
}

struct jinja_value jinja_filter_sum(struct jinja_run *r, const struct jinja_call *c)
{
    const struct jinja_list *items = jinja_items(r, c->self);
    struct jinja_value sum = jinja_is_given(c->arg[1]) ? c->arg[1] : jinja_int(0);
    if (sum.kind == JINJA_TEXT)
        return jinja_fail(r, ERR_FORMAT, "sum() cannot add strings");
    for (size_t i = 0; i < items->n && jinja_step(r, 1); i++)
        sum = jinja_binary(r, JINJA_OP_ADD, sum, jinja_attr_path(r, items->at[i], c->arg[0], missing));
    return sum;
}

struct jinja_value jinja_filter_batch(struct jinja_run *r, const struct jinja_call *c)
{
    const struct jinja_list *items = jinja_items(r, c->self);
    int64_t width = jinja_arg_int(r, c, 0, 1);
    struct jinja_value out = jinja_list_new(r, 0, JINJA_FLAVOR_GENERATOR),
                       row = jinja_list_new(r, 0, JINJA_FLAVOR_LIST);
    if (width < 1 || width > JINJA_RANGE_ITEMS)
        return jinja_fail(r, ERR_UNSUPPORTED, "the filter 'batch' with a width of %lld", (long long)width);
    for (size_t i = 0; i < items->n && jinja_step(r, 1); i++) {
        if (row.list->n == (size_t)width) {
            jinja_list_push(r, out.list, row);
            row = jinja_list_new(r, 0, JINJA_FLAVOR_LIST);
        }
        jinja_list_push(r, row.list, items->at[i]);
    }
    bool fills = jinja_is_given(c->arg[1]) && c->arg[1].kind != JINJA_NONE;
    while (row.list->n > 0 && fills && row.list->n < (size_t)width && jinja_step(r, 1))
        jinja_list_push(r, row.list, c->arg[1]);
    if (row.list->n > 0)
        jinja_list_push(r, out.list, row);
    return out;
}

// ---- order ----

struct keyed {
    struct jinja_value key, item;
};

// Merges the sorted halves [0, middle) and [middle, n) of `from` into `to`; equal keys keep their order.
static void merge(struct jinja_run *r, const struct keyed *from, struct keyed *to, size_t middle, size_t n,
                  bool descending)
{
    size_t a = 0, b = middle;
    for (size_t i = 0; i < n; i++) {
        bool takes_b = b < n;
        if (a < middle && b < n && !r->failed)
            takes_b = descending ? jinja_compare(r, from[a].key, from[b].key, "<") < 0
                                 : jinja_compare(r, from[b].key, from[a].key, "<") < 0;
        else if (a < middle)
            takes_b = false;
        to[i] = takes_b ? from[b++] : from[a++];
    }
}

static void sort_keyed(struct jinja_run *r, struct keyed *at, struct keyed *spare, size_t n, bool descending)
{
    if (n < 2 || r->failed)
        return;
    sort_keyed(r, at, spare, n / 2, descending);
    sort_keyed(r, at + n / 2, spare, n - n / 2, descending);
    merge(r, at, spare, n / 2, n, descending);
    memcpy(at, spare, n * sizeof *at);
}

static struct keyed *keyed_new(struct jinja_run *r, size_t n)
{
    struct keyed *at = jinja_alloc(r, n * 2 + 1, sizeof *at); // the second half is for merging
    return jinja_step(r, n * 4) ? at : NULL;
}

static struct jinja_value keyed_list(struct jinja_run *r, struct keyed *at, size_t n, bool descending)
{
    struct jinja_value out = jinja_list_new(r, n, JINJA_FLAVOR_LIST);
    sort_keyed(r, at, at + n, n, descending);
    for (size_t i = 0; i < n && jinja_step(r, 1); i++)
        jinja_list_push(r, out.list, at[i].item);
    return out;
}

struct jinja_value jinja_filter_sort(struct jinja_run *r, const struct jinja_call *c)
{
    const struct jinja_list *items = jinja_items(r, c->self);
    bool descending = jinja_arg_truth(r, c, 0, false), case_sensitive = jinja_arg_truth(r, c, 1, false);
    struct keyed *at = keyed_new(r, items->n);
    if (c->arg[2].kind == JINJA_TEXT &&
        memchr(jinja_slice(c->arg[2]).at, ',', jinja_slice(c->arg[2]).n) != NULL)
        return jinja_fail(r, ERR_UNSUPPORTED, "the filter 'sort' by several attributes");
    for (size_t i = 0; i < items->n && !r->failed; i++)
        at[i] = (struct keyed){sort_key(r, items->at[i], c->arg[2], case_sensitive), items->at[i]};
    return r->failed ? jinja_none() : keyed_list(r, at, items->n, descending);
}

struct jinja_value jinja_filter_dictsort(struct jinja_run *r, const struct jinja_call *c)
{
    struct slice by = jinja_arg_text(r, c, 1, slice_of("key"));
    bool case_sensitive = jinja_arg_truth(r, c, 0, false), by_value = slice_is(by, "value");
    if (c->self.kind == JINJA_UNDEFINED)
        return jinja_fail_undefined(r, c->self);
    if (c->self.kind != JINJA_DICT || (!by_value && !slice_is(by, "key")))
        return jinja_fail(r, ERR_FORMAT, "dictsort of a %s by '%.*s'", jinja_type_name(c->self),
                          (int)MIN(by.n, 60), by.at);
    size_t n = c->self.dict->n;
    struct keyed *at = keyed_new(r, n);
    for (size_t i = 0; i < n && !r->failed; i++) {
        const struct jinja_pair *p = &c->self.dict->pairs[i];
        at[i].key = sort_key(r, by_value ? p->value : p->key, missing, case_sensitive);
        at[i].item = jinja_tuple2(r, p->key, p->value);
    }
    return r->failed ? jinja_none() : keyed_list(r, at, n, jinja_arg_truth(r, c, 2, false));
}

static struct jinja_value extreme(struct jinja_run *r, const struct jinja_call *c, bool is_max)
{
    const struct jinja_list *items = jinja_items(r, c->self);
    bool case_sensitive = jinja_arg_truth(r, c, 0, false);
    struct jinja_value best = missing, best_key = missing;
    for (size_t i = 0; i < items->n && jinja_step(r, 1); i++) {
        struct jinja_value key = sort_key(r, items->at[i], c->arg[1], case_sensitive);
        int order = i == 0 ? 0 : jinja_compare(r, key, best_key, is_max ? ">" : "<");
        if (i == 0 || (order != 2 && (is_max ? order > 0 : order < 0))) {
            best = items->at[i];
            best_key = key;
        }
    }
    return best.kind == JINJA_MISSING ? jinja_undefined(r, slice_of("the extreme of an empty sequence"), NULL)
                                      : best;
}

struct jinja_value jinja_filter_min(struct jinja_run *r, const struct jinja_call *c)
{
    return extreme(r, c, false);
}

struct jinja_value jinja_filter_max(struct jinja_run *r, const struct jinja_call *c)
{
    return extreme(r, c, true);
}

struct jinja_value jinja_filter_unique(struct jinja_run *r, const struct jinja_call *c)
{
    const struct jinja_list *items = jinja_items(r, c->self);
    bool case_sensitive = jinja_arg_truth(r, c, 0, false);
    struct jinja_value seen = jinja_dict_new(r), out = jinja_list_new(r, 0, JINJA_FLAVOR_GENERATOR);
    for (size_t i = 0; i < items->n && jinja_step(r, 1); i++) {
        struct jinja_value key = sort_key(r, items->at[i], c->arg[1], case_sensitive);
        if (jinja_dict_find(r, seen.dict, key) != NULL)
            continue;
        jinja_dict_set(r, seen.dict, key, jinja_none());
        jinja_list_push(r, out.list, items->at[i]);
    }
    return out;
}

// ---- filters and tests by name ----

static struct jinja_args rest_args(const struct jinja_call *c, size_t from)
{
    from = MIN(from, c->raw.n);
    // without arguments there is no array to step into
    const struct jinja_value *at = from > 0 ? c->raw.at + from : c->raw.at;
    return (struct jinja_args){at, c->raw.n - from, c->raw.keywords, c->raw.n_keywords};
}

// The row that the argument number i names; NULL after failing.
static const struct jinja_row *named_row(struct jinja_run *r, const struct jinja_call *c, size_t i,
                                         bool is_test)
{
    struct slice name = jinja_slice(c->raw.at[i]);
    const struct jinja_row *row = is_test ? jinja_test_find(name) : jinja_filter_find(name);
    if (c->raw.at[i].kind != JINJA_TEXT)
        jinja_fail(r, ERR_FORMAT, "%s() wants the name of a %s", c->name, is_test ? "test" : "filter");
    else if (row == NULL)
        jinja_fail(r, ERR_UNSUPPORTED, "the %s '%.*s'", is_test ? "test" : "filter", (int)MIN(name.n, 60),
                   name.at);
    return r->failed ? NULL : row;
}

static struct jinja_value map_attribute(struct jinja_run *r, const struct jinja_call *c)
{
    struct jinja_value attribute = missing, absent = missing,
                       out = jinja_list_new(r, 0, JINJA_FLAVOR_GENERATOR);
    for (size_t i = 0; i < c->raw.n_keywords; i++) {
        if (slice_is(c->raw.keywords[i].name, "attribute"))
            attribute = c->raw.keywords[i].value;
        else if (slice_is(c->raw.keywords[i].name, "default"))
            absent = c->raw.keywords[i].value;
        else
            return jinja_fail(r, ERR_FORMAT, "map() got an unexpected keyword argument");
    }
    if (attribute.kind == JINJA_MISSING)
        return jinja_fail(r, ERR_FORMAT, "map requires a filter argument");
    const struct jinja_list *items = jinja_items(r, c->self);
    for (size_t i = 0; i < items->n && jinja_step(r, 1); i++)
        jinja_list_push(r, out.list, jinja_attr_path(r, items->at[i], attribute, absent));
    return out;
}

struct jinja_value jinja_filter_map(struct jinja_run *r, const struct jinja_call *c)
{
    if (!jinja_truth(r, c->self)) // none too: jinja2 does not look at arguments then
        return jinja_list_new(r, 0, JINJA_FLAVOR_GENERATOR);
    if (c->raw.n == 0)
        return map_attribute(r, c);
    const struct jinja_row *row = named_row(r, c, 0, false);
    struct jinja_args args = rest_args(c, 1);
    struct jinja_value out = jinja_list_new(r, 0, JINJA_FLAVOR_GENERATOR);
    const struct jinja_list *items = jinja_items(r, c->self);
    for (size_t i = 0; i < items->n && row != NULL && jinja_step(r, 1); i++)
        jinja_list_push(r, out.list, jinja_row_call(r, row, items->at[i], &args));
    return out;
}

// Items whose test (number `first` of the arguments; truth if absent) comes out as `wanted`.
static struct jinja_value pick(struct jinja_run *r, const struct jinja_call *c, bool wanted,
                               bool by_attribute)
{
    size_t first = by_attribute;
    if (!jinja_truth(r, c->self)) // none too
        return jinja_list_new(r, 0, JINJA_FLAVOR_GENERATOR);
    if (c->raw.n < first)
        return jinja_fail(r, ERR_FORMAT, "%s() needs an attribute", c->name);
    const struct jinja_row *row = c->raw.n > first ? named_row(r, c, first, true) : NULL;
    struct jinja_args args = rest_args(c, first + 1);
    struct jinja_value out = jinja_list_new(r, 0, JINJA_FLAVOR_GENERATOR);
    const struct jinja_list *items = jinja_items(r, c->self);
    for (size_t i = 0; i < items->n && jinja_step(r, 1); i++) {
        struct jinja_value v =
            by_attribute ? jinja_attr_path(r, items->at[i], c->raw.at[0], missing) : items->at[i];
        if (row != NULL && !r->failed)
            v = jinja_row_call(r, row, v, &args);
        if (jinja_truth(r, v) == wanted)
            jinja_list_push(r, out.list, items->at[i]);
    }
    return out;
}

struct jinja_value jinja_filter_select(struct jinja_run *r, const struct jinja_call *c)
{
    return pick(r, c, true, false);
}

struct jinja_value jinja_filter_reject(struct jinja_run *r, const struct jinja_call *c)
{
    return pick(r, c, false, false);
}

struct jinja_value jinja_filter_selectattr(struct jinja_run *r, const struct jinja_call *c)
{
    return pick(r, c, true, true);
}

struct jinja_value jinja_filter_rejectattr(struct jinja_run *r, const struct jinja_call *c)
{
    return pick(r, c, false, true);
}
