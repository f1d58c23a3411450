// SPDX-License-Identifier: MIT
// v.name, v[key], v[a:b:c], and what a loop over v sees. `.` finds a method before a key of a dict, `[]` the
// key first, as in jinja2.
#include "base/mem.h"
#include "base/utf8.h"
#include "text/jinja_run.h"

static struct jinja_value method_of(struct jinja_run *r, struct jinja_value v, struct slice name)
{
    enum jinja_flavor flavor = v.kind == JINJA_LIST ? v.list->flavor : JINJA_FLAVOR_LIST;
    const struct jinja_row *row = jinja_method_find(v.kind, flavor, name);
    if (row == NULL)
        return (struct jinja_value){.kind = JINJA_MISSING};
    struct jinja_method *m = jinja_new(r, sizeof *m);
    *m = (struct jinja_method){row, v};
    return (struct jinja_value){.kind = JINJA_METHOD, .method = m};
}

static struct jinja_value absent(struct jinja_run *r, struct jinja_value v, struct slice name)
{
    if (slice_starts_with(name, slice_of("__")))
        return jinja_fail(r, ERR_FORMAT, "access to attribute '%.*s' of '%s' object is unsafe",
                          (int)MIN(name.n, 60), name.at, jinja_type_name(v));
    return jinja_undefined(r, name, jinja_type_name(v));
}

struct jinja_value jinja_attr(struct jinja_run *r, struct jinja_value v, struct slice name)
{
    struct jinja_value *found = NULL;
    if (v.kind == JINJA_UNDEFINED)
        return jinja_fail_undefined(r, v);
    if (v.kind == JINJA_LOOP) {
        struct jinja_value out = jinja_loop_attr(r, v.loop, name);
        if (out.kind != JINJA_MISSING)
            return out;
    }
    struct jinja_value method = method_of(r, v, name);
    if (method.kind != JINJA_MISSING)
        return method;
    if (v.kind == JINJA_DICT || v.kind == JINJA_NAMESPACE)
        found = jinja_dict_find_text(r, v.dict, name);
    return found != NULL ? *found : absent(r, v, name);
}

static struct jinja_value index_of(struct jinja_run *r, struct jinja_value v, int64_t i)
{
    int64_t n = v.kind == JINJA_TEXT ? (int64_t)jinja_text_length(r, v) : (int64_t)v.list->n;
    if (i < 0)
        i += n;
    if (i < 0 || i >= n)
        return jinja_undefined(r, slice_of("(index out of range)"), jinja_type_name(v));
    return v.kind == JINJA_TEXT ? jinja_text_cut(r, v, (size_t)i, (size_t)i + 1) : v.list->at[i];
}

struct jinja_value jinja_item(struct jinja_run *r, struct jinja_value v, struct jinja_value key)
{
    int64_t i;
    bool has_index = v.kind == JINJA_TEXT || (v.kind == JINJA_LIST && v.list->flavor <= JINJA_FLAVOR_RANGE);
    if (v.kind == JINJA_UNDEFINED)
        return jinja_fail_undefined(r, v);
    if (has_index && jinja_as_int(key, &i))
        return index_of(r, v, i);
    if (v.kind == JINJA_DICT) {
        bool has_no_hash =
            key.kind == JINJA_DICT || (key.kind == JINJA_LIST && key.list->flavor != JINJA_FLAVOR_TUPLE);
        struct jinja_value *found = has_no_hash ? NULL : jinja_dict_find(r, v.dict, key);
        if (found != NULL)
            return *found;
    }
    if (key.kind == JINJA_TEXT) {
        if (v.kind == JINJA_LOOP || v.kind == JINJA_NAMESPACE)
            return jinja_attr(r, v, jinja_slice(key));
        struct jinja_value method = method_of(r, v, jinja_slice(key));
        return method.kind != JINJA_MISSING ? method : absent(r, v, jinja_slice(key));
    }
    struct slice name = jinja_slice(jinja_str(r, key));
    return jinja_undefined(r, name, jinja_type_name(v));
}

// ---- slices ----

// A bound of a slice as Python clamps it; `absent` when not given.
static bool clamp_bound(struct jinja_run *r, struct jinja_value part, int64_t n, int64_t low, int64_t *bound)
{
    if (part.kind == JINJA_NONE)
        return true;
    if (!jinja_as_int(part, bound)) {
        jinja_fail(r, ERR_FORMAT, "slice indices must be integers or None, not %s", jinja_type_name(part));
        return false;
    }
    if (*bound < 0)
        *bound = *bound < -n ? low : *bound + n;
    if (*bound > n + low)
        *bound = n + low;
    if (*bound < low)
        *bound = low;
    return true;
}

static struct jinja_value cut_list(struct jinja_run *r, const struct jinja_list *l, const int64_t range[3])
{
    struct jinja_value out = jinja_list_new(r, 0, l->flavor);
    if (range[2] == 1 && range[1] > range[0]) { // shares the items
        out.list->at = l->at + range[0];
        out.list->n = (size_t)(range[1] - range[0]);
        return out;
    }
    for (int64_t i = range[0]; (range[2] > 0 ? i < range[1] : i > range[1]) && jinja_step(r, 1);
         i += range[2])
        jinja_list_push(r, out.list, l->at[i]);
    return out;
}

// Byte offsets of all code points, the end included.
static size_t *offsets_of(struct jinja_run *r, struct slice s, size_t n_chars)
{
    size_t *offsets = jinja_alloc(r, n_chars + 1, sizeof *offsets);
    if (offsets == NULL || !jinja_step(r, s.n))
        return NULL;
    size_t at = 0;
    for (size_t i = 0; i < n_chars; i++) {
        uint32_t c;
        offsets[i] = at;
        at += utf8_decode(s.at + at, s.n - at, &c);
    }
    offsets[n_chars] = s.n;
    return offsets;
}

static struct jinja_value cut_text(struct jinja_run *r, struct jinja_value v, const int64_t range[3])
{
    if (range[2] == 1)
        return jinja_text_cut(r, v, (size_t)range[0], (size_t)MAX(range[0], range[1]));
    struct slice s = jinja_slice(v);
    struct jinja_sink out = {0};
    size_t *offsets = offsets_of(r, s, jinja_text_length(r, v));
    for (int64_t i = range[0];
         offsets != NULL && (range[2] > 0 ? i < range[1] : i > range[1]) && jinja_step(r, 1); i += range[2])
        jinja_put(r, &out, s.at + offsets[i], offsets[i + 1] - offsets[i]);
    struct jinja_value text = jinja_sink_text(r, &out);
    text.markup = v.markup;
    return text;
}

struct jinja_value jinja_cut(struct jinja_run *r, struct jinja_value v, const struct jinja_value part[3])
{
    int64_t range[3] = {0, 0, 1};
    bool is_list = v.kind == JINJA_LIST && v.list->flavor <= JINJA_FLAVOR_RANGE;
    if (r->failed || v.kind == JINJA_UNDEFINED)
        return r->failed ? v : jinja_fail_undefined(r, v);
    if (v.kind != JINJA_TEXT && !is_list)
        return jinja_fail(r, ERR_FORMAT, "'%s' object has no slices", jinja_type_name(v));
    if (part[2].kind != JINJA_NONE && (!jinja_as_int(part[2], &range[2]) || range[2] == 0))
        return jinja_fail(r, ERR_FORMAT, "the step of a slice must be an integer other than 0");
    int64_t n = is_list ? (int64_t)v.list->n : (int64_t)jinja_text_length(r, v);
    int64_t low = range[2] < 0 ? -1 : 0;
    if (range[2] > n + 1 || range[2] < -n - 1) // no further step either way, and no overflow
        range[2] = range[2] < 0 ? -n - 1 : n + 1;
    range[0] = range[2] < 0 ? n - 1 : 0;
    range[1] = range[2] < 0 ? -1 : n;
    if (!clamp_bound(r, part[0], n, low, &range[0]) || !clamp_bound(r, part[1], n, low, &range[1]))
        return v;
    return is_list ? cut_list(r, v.list, range) : cut_text(r, v, range);
}

// ---- iteration ----

static struct jinja_list *chars_of(struct jinja_run *r, struct jinja_value v)
{
    struct slice s = jinja_slice(v);
    struct jinja_list *out = jinja_list_new(r, jinja_text_length(r, v), JINJA_FLAVOR_LIST).list;
    for (size_t i = 0; i < s.n && jinja_step(r, 1);) {
        uint32_t c;
        size_t n = utf8_decode(s.at + i, s.n - i, &c);
        struct jinja_value one = jinja_text_borrow(r, slice_make(s.at + i, n));
        one.text->n_chars = 1;
        jinja_list_push(r, out, one);
        i += n;
    }
    return out;
}

struct jinja_list *jinja_items(struct jinja_run *r, struct jinja_value v)
{
    struct jinja_list *out = jinja_list_new(r, 0, JINJA_FLAVOR_LIST).list;
    switch (v.kind) {
    case JINJA_UNDEFINED:
        return out;
    case JINJA_TEXT:
        return chars_of(r, v);
    case JINJA_DICT:
        for (size_t i = 0; i < v.dict->n && jinja_step(r, 1); i++)
            jinja_list_push(r, out, v.dict->pairs[i].key);
        return out;
    case JINJA_LIST:
        if (v.list->flavor == JINJA_FLAVOR_GENERATOR && v.list->is_spent)
            return out;
        v.list->is_spent = true;
        out->at = v.list->at; // a snapshot: what is pushed later is not seen
        out->n = v.list->n;
        return out;
    default:
        jinja_fail(r, ERR_FORMAT, "'%s' object is not iterable", jinja_type_name(v));
        return out;
    }
}

size_t jinja_length(struct jinja_run *r, struct jinja_value v)
{
    if (v.kind == JINJA_UNDEFINED)
        return 0;
    if (v.kind == JINJA_TEXT)
        return jinja_text_length(r, v);
    if (v.kind == JINJA_DICT)
        return v.dict->n;
    if (v.kind == JINJA_LIST && v.list->flavor != JINJA_FLAVOR_GENERATOR)
        return v.list->n;
    jinja_fail(r, ERR_FORMAT, "object of type '%s' has no len()", jinja_type_name(v));
    return 0;
}
