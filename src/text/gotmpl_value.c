// SPDX-License-Identifier: MIT
// Values: what holds for all of them, and those that JSON gives.
#include "text/gotmpl_value.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/gotmpl_run.h"

const struct gotmpl_type gotmpl_type_any = {GOTMPL_NIL, "interface {}"};
const struct gotmpl_type gotmpl_type_bool = {GOTMPL_BOOL, "bool"};
const struct gotmpl_type gotmpl_type_int = {GOTMPL_INT, "int"};
const struct gotmpl_type gotmpl_type_byte = {GOTMPL_UINT, "uint8"};
const struct gotmpl_type gotmpl_type_float = {GOTMPL_FLOAT, "float64"};
const struct gotmpl_type gotmpl_type_text = {GOTMPL_TEXT, "string"};
const struct gotmpl_type gotmpl_type_texts = {GOTMPL_SLICE, "[]string", &gotmpl_type_text};
const struct gotmpl_type gotmpl_type_anys = {GOTMPL_SLICE, "[]interface {}"};
const struct gotmpl_type gotmpl_type_object = {GOTMPL_MAP, "map[string]interface {}"};

struct gotmpl_value gotmpl_unbox(struct gotmpl_value v)
{
    v.is_boxed = false;
    return gotmpl_kind_of(v) == GOTMPL_NIL ? gotmpl_invalid() : v;
}

const char *gotmpl_type_name(struct gotmpl_value v)
{
    return v.type == NULL ? "nil" : v.is_boxed ? gotmpl_type_any.name : v.type->name;
}

bool gotmpl_is_true(struct gotmpl_value v)
{
    switch (gotmpl_kind_of(v)) {
    case GOTMPL_INVALID:
    case GOTMPL_NIL:
        return false;
    case GOTMPL_BOOL:
        return v.flag;
    case GOTMPL_INT:
    case GOTMPL_UINT:
        return v.integer != 0;
    case GOTMPL_FLOAT:
        return v.real != 0;
    case GOTMPL_TEXT:
    case GOTMPL_SLICE:
    case GOTMPL_MAP:
        return gotmpl_length(v) > 0;
    case GOTMPL_STRUCT:
        return true;
    case GOTMPL_OPAQUE:
        return v.map != NULL;
    }
    return false;
}

size_t gotmpl_length(struct gotmpl_value v)
{
    switch (gotmpl_kind_of(v)) {
    case GOTMPL_TEXT:
        return v.text.n;
    case GOTMPL_SLICE:
        return v.list != NULL ? v.list->n : 0;
    case GOTMPL_MAP:
    case GOTMPL_OPAQUE:
        return v.map != NULL ? v.map->n : 0;
    default:
        return 0;
    }
}

static int compare_keys(struct slice a, struct slice b)
{
    size_t n = MIN(a.n, b.n);
    int order = n > 0 ? memcmp(a.at, b.at, n) : 0;
    return order != 0 ? order : (a.n > b.n) - (a.n < b.n);
}

const struct gotmpl_value *gotmpl_map_find(const struct gotmpl_map *map, struct slice key)
{
    size_t low = 0, high = map != NULL ? map->n : 0;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = compare_keys(key, map->pairs[middle].key);
        if (order == 0)
            return &map->pairs[middle].value;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

const struct gotmpl_value *gotmpl_field_find(struct gotmpl_value v, struct slice name)
{
    for (uint32_t i = 0; i < v.type->n_fields; i++)
        if (slice_is(name, v.type->fields[i].name))
            return &v.fields[i];
    return NULL;
}

struct gotmpl_value gotmpl_zero(struct gotmpl_run *r, const struct gotmpl_type *type)
{
    struct gotmpl_value v = {.type = type != NULL ? type : &gotmpl_type_any};
    if (v.type->kind != GOTMPL_STRUCT)
        return v;
    struct gotmpl_value *fields = gotmpl_alloc(r, type->n_fields, sizeof *fields);
    if (fields == NULL)
        return gotmpl_invalid();
    for (uint32_t i = 0; i < type->n_fields; i++)
        fields[i] = gotmpl_zero(r, type->fields[i].type);
    v.fields = fields;
    return v;
}

struct gotmpl_value gotmpl_element(const struct gotmpl_type *type, struct gotmpl_value v)
{
    return type->elem == NULL || type->elem == &gotmpl_type_any ? gotmpl_boxed(v) : v;
}

struct gotmpl_value gotmpl_list_new(struct gotmpl_run *r, const struct gotmpl_type *type,
                                    const struct gotmpl_value *at, size_t n)
{
    struct gotmpl_list *list = jinja_arena_new(&r->arena, sizeof *list);
    *list = (struct gotmpl_list){at, n};
    return (struct gotmpl_value){.type = type, .list = list};
}

static int by_key(const void *a, const void *b)
{
    return compare_keys(((const struct gotmpl_pair *)a)->key, ((const struct gotmpl_pair *)b)->key);
}

struct gotmpl_value gotmpl_map_new(struct gotmpl_run *r, const struct gotmpl_type *type,
                                   struct gotmpl_pair *pairs, size_t n)
{
    struct gotmpl_map *map = jinja_arena_new(&r->arena, sizeof *map);
    if (n > 1 && type->kind == GOTMPL_MAP)
        qsort(pairs, n, sizeof *pairs, by_key);
    *map = (struct gotmpl_map){pairs, n};
    return (struct gotmpl_value){.type = type, .map = map};
}

static struct gotmpl_value list_from_json(struct gotmpl_run *r, const json_t *json, int depth)
{
    size_t n = json_array_size(json);
    struct gotmpl_value *at = gotmpl_alloc(r, n, sizeof *at);
    for (size_t i = 0; i < n && at != NULL && gotmpl_step(r, 1); i++)
        at[i] = gotmpl_from_json(r, json_array_get(json, i), depth + 1);
    return r->failed ? gotmpl_invalid() : gotmpl_list_new(r, &gotmpl_type_anys, at, n);
}

static struct gotmpl_value object_from_json(struct gotmpl_run *r, const json_t *json, int depth)
{
    json_t *object = (json_t *)json; // jansson's iterators want it so; nothing is changed
    struct gotmpl_pair *pairs = gotmpl_alloc(r, json_object_size(json), sizeof *pairs);
    size_t n = 0;
    for (void *it = json_object_iter(object); it != NULL && pairs != NULL && gotmpl_step(r, 4);
         it = json_object_iter_next(object, it))
        pairs[n++] = (struct gotmpl_pair){slice_make(json_object_iter_key(it), json_object_iter_key_len(it)),
                                          gotmpl_from_json(r, json_object_iter_value(it), depth + 1)};
    return r->failed ? gotmpl_invalid() : gotmpl_map_new(r, &gotmpl_type_object, pairs, n);
}

struct gotmpl_value gotmpl_from_json(struct gotmpl_run *r, const json_t *json, int depth)
{
    if (depth > GOTMPL_DATA_DEPTH)
        return gotmpl_fail_bound(r, "values are nested too deep");
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        return object_from_json(r, json, depth);
    case JSON_ARRAY:
        return list_from_json(r, json, depth);
    case JSON_STRING:
        return gotmpl_text(json_slice(json));
    case JSON_INTEGER:
    case JSON_REAL:
        return gotmpl_float(json_number_value(json));
    case JSON_TRUE:
    case JSON_FALSE:
        return gotmpl_bool(json_is_true(json));
    case JSON_NULL:
        break;
    }
    return gotmpl_nil();
}
