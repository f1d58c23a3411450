// SPDX-License-Identifier: MIT
// Making values: texts that share bytes, lists that share storage, dicts that keep insertion order. Appending
// is amortised: the room behind the end of a text or list belongs to whoever ends exactly there.
#include "text/jinja_value.h"

#include "base/mem.h"
#include "base/utf8.h"
#include "text/jinja_run.h"

enum { DICT_LINEAR = 8 };

const char *jinja_type_name(struct jinja_value v)
{
    static const char *const names[] = {"Undefined", "Undefined", "NoneType", "bool",    "int",
                                        "float",     "str",       "list",     "dict",    "Namespace",
                                        "Loop",      "Macro",     "method",   "function"};
    static const char *const flavors[] = {"list", "tuple", "range", "dict view", "generator"};
    return v.kind == JINJA_LIST ? flavors[v.list->flavor] : names[v.kind];
}

struct jinja_value jinja_undefined(struct jinja_run *r, struct slice name, const char *owner)
{
    struct jinja_undefined *u = jinja_new(r, sizeof *u);
    *u = (struct jinja_undefined){name, owner};
    return (struct jinja_value){.kind = JINJA_UNDEFINED, .undefined = u};
}

// ---- texts ----

struct jinja_value jinja_text_borrow(struct jinja_run *r, struct slice bytes)
{
    struct jinja_text *t = jinja_new(r, sizeof *t);
    *t = (struct jinja_text){bytes.at, bytes.n, JINJA_UNCOUNTED, NULL};
    return (struct jinja_value){.kind = JINJA_TEXT, .text = t};
}

struct jinja_value jinja_text_copy(struct jinja_run *r, struct slice bytes)
{
    char *copy = jinja_alloc(r, bytes.n, 1);
    if (copy == NULL)
        return jinja_text_borrow(r, slice_of(""));
    if (bytes.n > 0)
        memcpy(copy, bytes.at, bytes.n);
    return jinja_text_borrow(r, slice_make(copy, bytes.n));
}

// Extends a in place if the room behind it is free.
static bool extend_text(struct jinja_text *a, struct slice more)
{
    struct jinja_space *space = a->space;
    if (space == NULL || space->used != a->n_bytes || space->capacity - space->used < more.n)
        return false;
    char *end = (char *)a->at + a->n_bytes; // ours: made below
    memcpy(end, more.at, more.n);
    space->used += more.n;
    return true;
}

struct jinja_value jinja_text_concat(struct jinja_run *r, struct jinja_value a, struct jinja_value b)
{
    struct slice left = jinja_slice(a), right = jinja_slice(b);
    if (right.n == 0 || left.n == 0)
        return left.n == 0 ? b : a;
    if (!jinja_step(r, (left.n + right.n) / 32))
        return a;
    const char *at = left.at;
    struct jinja_space *space = a.text->space;
    if (!extend_text(a.text, right)) {
        size_t capacity = left.n + right.n;
        if (space != NULL) // has grown before: will again
            capacity += capacity / 2 + 64;
        char *copy = jinja_alloc(r, capacity, 1);
        if (copy == NULL)
            return a;
        memcpy(copy, left.at, left.n);
        memcpy(copy + left.n, right.at, right.n);
        at = copy;
        space = jinja_new(r, sizeof *space);
        *space = (struct jinja_space){left.n + right.n, capacity};
    }
    struct jinja_value out = jinja_text_borrow(r, slice_make(at, left.n + right.n));
    out.text->space = space;
    return out;
}

size_t jinja_text_length(struct jinja_run *r, struct jinja_value v)
{
    struct jinja_text *t = v.text;
    if (t->n_chars != JINJA_UNCOUNTED)
        return t->n_chars;
    jinja_step(r, t->n_bytes / 32);
    t->n_chars = utf8_count(jinja_slice(v)); // only texts of the render are uncounted, never the template's
    return t->n_chars;
}

// The byte offset of the code point number `at`, counted on from a known place.
static size_t byte_offset(struct slice s, size_t from_byte, size_t n_chars)
{
    size_t at = from_byte;
    uint32_t c;
    for (; n_chars > 0 && at < s.n; n_chars--)
        at += utf8_decode(s.at + at, s.n - at, &c);
    return at;
}

struct jinja_value jinja_text_cut(struct jinja_run *r, struct jinja_value v, size_t from, size_t to)
{
    struct slice s = jinja_slice(v);
    size_t length = jinja_text_length(r, v), start = from, end = to;
    if (length != s.n) {
        jinja_step(r, s.n / 32);
        start = byte_offset(s, 0, from);
        end = to == length ? s.n : byte_offset(s, start, to - from);
    }
    struct jinja_value out = jinja_text_borrow(r, slice_make(s.at + start, end - start));
    out.text->n_chars = to - from;
    out.markup = v.markup;
    return out;
}

// ---- lists ----

struct jinja_value jinja_list_new(struct jinja_run *r, size_t capacity, enum jinja_flavor flavor)
{
    struct jinja_list *l = jinja_new(r, sizeof *l);
    l->flavor = flavor;
    if (capacity > 0) {
        l->at = jinja_alloc(r, capacity, sizeof *l->at);
        l->space = jinja_new(r, sizeof *l->space);
        l->space->capacity = l->at != NULL ? capacity : 0;
    }
    return (struct jinja_value){.kind = JINJA_LIST, .list = l};
}

// Makes room for n more items behind the list; false when the render has failed.
static bool reserve(struct jinja_run *r, struct jinja_list *l, size_t n)
{
    struct jinja_space *space = l->space;
    if (space != NULL && space->used == l->n && space->capacity - space->used >= n)
        return true;
    size_t capacity = l->n + n + (l->n + n) / 2 + 4;
    struct jinja_value *at = jinja_alloc(r, capacity, sizeof *at);
    if (at == NULL || !jinja_step(r, l->n / 2))
        return false;
    if (l->n > 0)
        memcpy(at, l->at, l->n * sizeof *at);
    l->at = at;
    l->space = jinja_new(r, sizeof *space);
    *l->space = (struct jinja_space){l->n, capacity};
    return true;
}

void jinja_list_push(struct jinja_run *r, struct jinja_list *l, struct jinja_value item)
{
    if (r->failed || !reserve(r, l, 1))
        return;
    l->at[l->n++] = item;
    l->space->used++;
}

struct jinja_value jinja_list_concat(struct jinja_run *r, const struct jinja_list *a,
                                     const struct jinja_list *b)
{
    struct jinja_value out = jinja_list_new(r, 0, a->flavor);
    *out.list = *a;
    if (!jinja_step(r, b->n) || !reserve(r, out.list, b->n))
        return out;
    if (b->n > 0)
        memcpy(out.list->at + a->n, b->at, b->n * sizeof *b->at);
    out.list->n += b->n;
    out.list->space->used = out.list->n;
    return out;
}

struct jinja_value jinja_tuple2(struct jinja_run *r, struct jinja_value a, struct jinja_value b)
{
    struct jinja_value out = jinja_list_new(r, 2, JINJA_FLAVOR_TUPLE);
    jinja_list_push(r, out.list, a);
    jinja_list_push(r, out.list, b);
    return out;
}

// ---- dicts ----

// Equal keys have equal hashes: 1, 1.0 and true are one key.
static uint32_t hash_value(struct jinja_run *r, struct jinja_value key)
{
    struct slice s;
    uint64_t h = 0;
    double real;
    switch (key.kind) {
    case JINJA_TEXT:
        s = jinja_slice(key);
        jinja_step(r, s.n / 32);
        return (uint32_t)map_hash(s.at, s.n);
    case JINJA_BOOL:
    case JINJA_INT:
    case JINJA_FLOAT:
        real = jinja_as_real(key) + 0.0; // -0.0 becomes 0.0
        return (uint32_t)map_hash(&real, sizeof real);
    case JINJA_LIST:
        if (key.list->flavor != JINJA_FLAVOR_TUPLE)
            break;
        for (size_t i = 0; i < key.list->n && jinja_step(r, 1); i++)
            h = h * 31 + hash_value(r, key.list->at[i]);
        return (uint32_t)h;
    case JINJA_DICT:
    case JINJA_NAMESPACE:
        break;
    default:
        return (uint32_t)key.kind;
    }
    jinja_fail(r, ERR_FORMAT, "unhashable type: '%s'", jinja_type_name(key));
    return 0;
}

struct jinja_value jinja_dict_new(struct jinja_run *r)
{
    struct jinja_dict *d = jinja_new(r, sizeof *d);
    return (struct jinja_value){.kind = JINJA_DICT, .dict = d};
}

static bool same_key(struct jinja_run *r, struct jinja_value a, struct jinja_value b)
{
    if (a.kind == JINJA_TEXT && b.kind == JINJA_TEXT)
        return slice_equals(jinja_slice(a), jinja_slice(b));
    return jinja_equals(r, a, b);
}

static void index_pair(struct jinja_dict *d, size_t pair_i)
{
    size_t i = d->pairs[pair_i].hash & (d->index_size - 1);
    while (d->index[i] != 0)
        i = (i + 1) & (d->index_size - 1);
    d->index[i] = (uint32_t)pair_i + 1;
}

static void rebuild_index(struct jinja_run *r, struct jinja_dict *d)
{
    if (d->n < DICT_LINEAR && d->index_size == 0)
        return;
    if (d->index_size < d->capacity * 2) {
        size_t size = 16;
        while (size < d->capacity * 2)
            size *= 2;
        d->index = jinja_alloc(r, size, sizeof *d->index);
        d->index_size = d->index != NULL ? size : 0;
    }
    if (d->index_size == 0)
        return;
    memset(d->index, 0, d->index_size * sizeof *d->index);
    for (size_t i = 0; i < d->n; i++)
        index_pair(d, i);
}

static struct jinja_pair *find_pair(struct jinja_run *r, const struct jinja_dict *d, struct jinja_value key,
                                    uint32_t hash)
{
    if (d->index_size == 0) {
        for (size_t i = 0; i < d->n; i++)
            if (d->pairs[i].hash == hash && same_key(r, d->pairs[i].key, key))
                return &d->pairs[i];
        return NULL;
    }
    size_t i = hash & (d->index_size - 1);
    for (; d->index[i] != 0; i = (i + 1) & (d->index_size - 1)) {
        struct jinja_pair *pair = &d->pairs[d->index[i] - 1];
        if (pair->hash == hash && same_key(r, pair->key, key))
            return pair;
    }
    return NULL;
}

struct jinja_value *jinja_dict_find(struct jinja_run *r, const struct jinja_dict *d, struct jinja_value key)
{
    uint32_t hash = hash_value(r, key);
    struct jinja_pair *pair = r->failed ? NULL : find_pair(r, d, key, hash);
    return pair != NULL ? &pair->value : NULL;
}

struct jinja_value *jinja_dict_find_text(struct jinja_run *r, const struct jinja_dict *d, struct slice key)
{
    struct jinja_text t = {key.at, key.n, JINJA_UNCOUNTED, NULL};
    return jinja_dict_find(r, d, (struct jinja_value){.kind = JINJA_TEXT, .text = &t});
}

static bool grow_dict(struct jinja_run *r, struct jinja_dict *d)
{
    size_t capacity = MAX(d->capacity * 2, DICT_LINEAR);
    struct jinja_pair *pairs = jinja_alloc(r, capacity, sizeof *pairs);
    if (pairs == NULL || capacity > UINT32_MAX / 4)
        return false;
    if (d->n > 0)
        memcpy(pairs, d->pairs, d->n * sizeof *pairs);
    d->pairs = pairs;
    d->capacity = capacity;
    rebuild_index(r, d);
    return !r->failed;
}

void jinja_dict_set(struct jinja_run *r, struct jinja_dict *d, struct jinja_value key,
                    struct jinja_value value)
{
    uint32_t hash = hash_value(r, key);
    if (!jinja_step(r, 1))
        return;
    struct jinja_pair *pair = find_pair(r, d, key, hash);
    if (pair != NULL) {
        pair->value = value;
        return;
    }
    if (d->n == d->capacity && !grow_dict(r, d))
        return;
    d->pairs[d->n++] = (struct jinja_pair){key, value, hash};
    if (d->index_size > 0)
        index_pair(d, d->n - 1);
}

bool jinja_dict_remove(struct jinja_run *r, struct jinja_dict *d, struct jinja_value key)
{
    uint32_t hash = hash_value(r, key);
    struct jinja_pair *pair = r->failed ? NULL : find_pair(r, d, key, hash);
    if (pair == NULL || !jinja_step(r, d->n))
        return false;
    size_t i = (size_t)(pair - d->pairs);
    memmove(pair, pair + 1, (d->n - i - 1) * sizeof *pair);
    d->n--;
    rebuild_index(r, d);
    return true;
}

// ---- JSON ----

static struct jinja_value array_from_json(struct jinja_run *r, const json_t *json, int depth)
{
    size_t n = json_array_size(json);
    struct jinja_value out = jinja_list_new(r, n, JINJA_FLAVOR_LIST);
    for (size_t i = 0; i < n && jinja_step(r, 1); i++)
        jinja_list_push(r, out.list, jinja_from_json(r, json_array_get(json, i), depth + 1));
    return out;
}

static struct jinja_value object_from_json(struct jinja_run *r, const json_t *json, int depth)
{
    struct jinja_value out = jinja_dict_new(r);
    json_t *object = (json_t *)json; // jansson's iterators want it so; nothing is changed
    for (void *it = json_object_iter(object); it != NULL && !r->failed;
         it = json_object_iter_next(object, it)) {
        struct slice name = slice_make(json_object_iter_key(it), json_object_iter_key_len(it));
        struct jinja_value value = jinja_from_json(r, json_object_iter_value(it), depth + 1);
        jinja_dict_set(r, out.dict, jinja_text_borrow(r, name), value);
    }
    return out;
}

struct jinja_value jinja_from_json(struct jinja_run *r, const json_t *json, int depth)
{
    if (depth > JINJA_DATA_DEPTH)
        return jinja_fail(r, ERR_TOO_LARGE, "the input is nested too deep");
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        return object_from_json(r, json, depth);
    case JSON_ARRAY:
        return array_from_json(r, json, depth);
    case JSON_STRING:
        return jinja_text_borrow(r, json_slice(json));
    case JSON_INTEGER:
        return jinja_int(json_integer_value(json));
    case JSON_REAL:
        return jinja_float(json_real_value(json));
    case JSON_TRUE:
        return jinja_bool(true);
    case JSON_FALSE:
        return jinja_bool(false);
    case JSON_NULL:
        break;
    }
    return jinja_none();
}
