// SPDX-License-Identifier: MIT
// Reading: one row for each keyword. Demands of several schemas on one value (allOf, $ref and what stands
// beside it) are put together: the stricter limit, the common types and values; members and items are kept
// apart by schema, because additionalProperties speaks of its own schema's members only.
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/pattern.h"
#include "text/schema_internal.h"

void node_init(struct node *n)
{
    *n = (struct node){.types = TYPE_ANY,
                       .n_fraction = NUMBERS_FRACTION,
                       .max_length = UINT32_MAX,
                       .max_members = UINT32_MAX,
                       .max_items = UINT32_MAX};
}

void node_fini(struct node *n)
{
    json_decref(n->values);
    json_decref(n->patterns);
    json_decref(n->objects);
    json_decref(n->required);
    json_decref(n->names);
    json_decref(n->arrays);
    json_decref(n->groups);
    node_init(n);
}

void node_copy(struct node *to, const struct node *from)
{
    *to = *from;
    to->values = from->values ? json_copy(from->values) : NULL;
    to->patterns = from->patterns ? json_copy(from->patterns) : NULL;
    to->objects = from->objects ? json_copy(from->objects) : NULL;
    to->required = from->required ? json_copy(from->required) : NULL;
    to->names = from->names ? json_copy(from->names) : NULL;
    to->arrays = from->arrays ? json_copy(from->arrays) : NULL;
    to->groups = from->groups ? json_copy(from->groups) : NULL;
}

bool node_is_bare(const struct node *n)
{
    return n->types == TYPE_ANY && n->mentioned == 0 && n->values == NULL;
}

unsigned node_written_types(const struct node *n)
{
    return !n->has_type && n->mentioned != 0 && n->values == NULL ? n->types & n->mentioned : n->types;
}

static void push(json_t **list, json_t *value)
{
    if (*list == NULL)
        *list = json_array();
    json_array_append_new(*list, value);
}

// ---- Keywords ----

// What a row's function gets: the keyword's value, and the schema that it stands in.
struct reading {
    struct schema *s;
    struct node *n;
    const json_t *schema, *value;
    const char *keyword;
    int depth;
};

typedef int keyword_fn(struct reading *r);

static int refuse_value(struct reading *r, const char *expected)
{
    return schema_fail(r->s, "%s must be %s", r->keyword, expected);
}

static int read_count(struct reading *r, uint32_t *count)
{
    double value = json_number_value(r->value);
    uint32_t most = UINT32_MAX - 1;
    if (!json_is_number(r->value) || value < 0 || (value < most && value != (uint32_t)value))
        return refuse_value(r, "a whole number that is not negative");
    *count = value < most ? (uint32_t)value : most;
    return 0;
}

static int read_least(struct reading *r, uint32_t *least)
{
    uint32_t count = 0;
    if (read_count(r, &count) != 0)
        return -1;
    *least = MAX(*least, count);
    return 0;
}

static int read_most(struct reading *r, uint32_t *most)
{
    uint32_t count = 0;
    if (read_count(r, &count) != 0)
        return -1;
    *most = MIN(*most, count);
    return 0;
}

static unsigned type_of_word(const char *word)
{
    static const struct {
        const char *word;
        unsigned type;
    } types[] = {{"null", TYPE_NULL},    {"boolean", TYPE_BOOLEAN}, {"object", TYPE_OBJECT},
                 {"array", TYPE_ARRAY},  {"string", TYPE_STRING},   {"integer", TYPE_INTEGER},
                 {"number", TYPE_NUMBER}};
    for (size_t i = 0; word != NULL && i < COUNT_OF(types); i++)
        if (strcmp(word, types[i].word) == 0)
            return types[i].type;
    return 0;
}

static int read_type(struct reading *r)
{
    unsigned types = 0;
    size_t n = json_is_array(r->value) ? json_array_size(r->value) : 1;
    for (size_t i = 0; i < n; i++) {
        const json_t *word = json_is_array(r->value) ? json_array_get(r->value, i) : r->value;
        unsigned type = type_of_word(json_string_value(word));
        if (type == 0)
            return json_is_string(word) ? schema_fail(r->s, "unknown type \"%.64s\"", json_string_value(word))
                                        : refuse_value(r, "the name of a type or a list of names");
        types |= type;
    }
    if (json_is_true(json_object_get(r->schema, "nullable")))
        types |= TYPE_NULL;
    r->n->types &= types;
    r->n->has_type = true;
    return 0;
}

static void restrict_values(struct node *n, const json_t *list)
{
    json_t *both = json_array();
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *value = json_array_get(list, i);
        bool is_in = n->values == NULL;
        for (size_t k = 0; k < json_array_size(n->values) && !is_in; k++)
            is_in = json_equal(value, json_array_get(n->values, k));
        if (is_in)
            json_array_append(both, value);
    }
    json_decref(n->values);
    n->values = both;
}

static int read_enum(struct reading *r)
{
    if (!json_is_array(r->value) || json_array_size(r->value) == 0)
        return refuse_value(r, "a list of at least one value");
    restrict_values(r->n, r->value);
    return 0;
}

static int read_const(struct reading *r)
{
    json_t *list = json_array();
    json_array_append(list, (json_t *)r->value);
    restrict_values(r->n, list);
    json_decref(list);
    return 0;
}

static int read_limit(struct reading *r, bool is_min, bool is_exclusive)
{
    struct numbers_limit new = {.is_set = true, .is_exclusive = is_exclusive};
    struct numbers_limit *old = is_min ? &r->n->min : &r->n->max;
    r->n->mentioned |= TYPE_NUMBER;
    if (!json_is_number(r->value))
        return refuse_value(r, "a number");
    struct err why = {0};
    if (decimal_of(&new.value, r->value, &why) != 0)
        return schema_fail(r->s, "%s: %s", r->keyword, why.message);
    int order = old->is_set ? decimal_compare(&new.value, &old->value) : 0;
    if (!old->is_set || (is_min ? order > 0 : order < 0))
        *old = new;
    else if (order == 0)
        old->is_exclusive |= is_exclusive;
    return 0;
}

static int read_minimum(struct reading *r)
{
    return read_limit(r, true, json_is_true(json_object_get(r->schema, "exclusiveMinimum")));
}

static int read_maximum(struct reading *r)
{
    return read_limit(r, false, json_is_true(json_object_get(r->schema, "exclusiveMaximum")));
}

static int read_exclusive_minimum(struct reading *r)
{
    return json_is_boolean(r->value) ? 0 : read_limit(r, true, true); // draft 4: says how `minimum` is meant
}

static int read_exclusive_maximum(struct reading *r)
{
    return json_is_boolean(r->value) ? 0 : read_limit(r, false, true);
}

static int read_multiple(struct reading *r)
{
    struct decimal step;
    struct err why = {0};
    r->n->mentioned |= TYPE_NUMBER;
    if (!json_is_number(r->value) || json_number_value(r->value) <= 0)
        return refuse_value(r, "a number above 0");
    if (decimal_of(&step, r->value, &why) != 0)
        return schema_fail(r->s, "%s: %s", r->keyword, why.message);
    size_t n_zeros = strspn(step.fraction, "0"), n_fraction = strlen(step.fraction);
    if (n_fraction == 0 && json_number_value(r->value) <= NUMBERS_MAX_MULTIPLE &&
        (r->n->multiple <= 1 || json_number_value(r->value) == r->n->multiple)) {
        r->n->types &= ~(unsigned)TYPE_FRACTION;
        r->n->multiple = MAX(r->n->multiple, (uint32_t)json_number_value(r->value));
        return 0;
    }
    if (n_fraction == 0 || step.whole[0] != 0 || n_zeros + 1 != n_fraction || step.fraction[n_zeros] != '1')
        return schema_fail(r->s, "multipleOf is supported with one integer up to %d or a power of ten",
                           NUMBERS_MAX_MULTIPLE);
    r->n->n_fraction = MIN(r->n->n_fraction, (uint32_t)n_fraction);
    return 0;
}

static int read_min_length(struct reading *r)
{
    r->n->mentioned |= TYPE_STRING;
    return read_least(r, &r->n->min_length);
}

static int read_max_length(struct reading *r)
{
    r->n->mentioned |= TYPE_STRING;
    return read_most(r, &r->n->max_length);
}

static int read_pattern(struct reading *r)
{
    r->n->mentioned |= TYPE_STRING;
    if (!json_is_string(r->value))
        return refuse_value(r, "a text");
    push(&r->n->patterns, json_incref((json_t *)r->value));
    return 0;
}

static int read_format(struct reading *r)
{
    if (!json_is_string(r->value))
        return refuse_value(r, "a text");
    const char *pattern = pattern_of_format(json_slice(r->value));
    if (pattern != NULL) {
        r->n->mentioned |= TYPE_STRING;
        push(&r->n->patterns, json_string(pattern));
    }
    return 0;
}

// The three keywords of members are kept together: done once, at the first that is met.
static int read_members(struct reading *r)
{
    static const char *const own_keywords[] = {"properties", "patternProperties", "additionalProperties"};
    json_t *own = json_object();
    bool is_first = true;
    for (size_t i = 0; i < COUNT_OF(own_keywords); i++) {
        json_t *value = json_object_get(r->schema, own_keywords[i]);
        if (value == NULL)
            continue;
        if (strcmp(own_keywords[i], r->keyword) == 0 && json_object_size(own) > 0)
            is_first = false;
        json_object_set(own, own_keywords[i], value);
    }
    r->n->mentioned |= TYPE_OBJECT;
    if (!json_is_object(r->value) && !(json_is_boolean(r->value) && r->keyword[0] == 'a')) {
        json_decref(own);
        return refuse_value(r, "an object");
    }
    if (is_first)
        push(&r->n->objects, own);
    else
        json_decref(own);
    return 0;
}

static int read_required(struct reading *r)
{
    r->n->mentioned |= TYPE_OBJECT;
    if (json_is_boolean(r->value)) // draft 3: of the member itself
        return schema_fail(r->s, "required must be a list of names");
    for (size_t i = 0; i < json_array_size(r->value); i++) {
        json_t *name = json_array_get(r->value, i);
        if (!json_is_string(name) || strlen(json_string_value(name)) != json_string_length(name))
            return refuse_value(r, "a list of names");
        push(&r->n->required, json_incref(name));
    }
    return json_is_array(r->value) ? 0 : refuse_value(r, "a list of names");
}

static int read_names(struct reading *r)
{
    r->n->mentioned |= TYPE_OBJECT;
    push(&r->n->names, json_incref((json_t *)r->value));
    return 0;
}

static int read_min_members(struct reading *r)
{
    r->n->mentioned |= TYPE_OBJECT;
    return read_least(r, &r->n->min_members);
}

static int read_max_members(struct reading *r)
{
    r->n->mentioned |= TYPE_OBJECT;
    return read_most(r, &r->n->max_members);
}

// A schema within others sees the members that it describes itself, not those of the others: no more than
// these may be there. (What it takes from schemas within it is not looked at: less is written than might be.)
static json_t *own_members(const json_t *schema, json_t *additional)
{
    json_t *own = json_object(), *value = json_object_get(schema, "properties");
    if (value != NULL)
        json_object_set(own, "properties", value);
    if ((value = json_object_get(schema, "patternProperties")) != NULL)
        json_object_set(own, "patternProperties", value);
    json_object_set_new(own, "additionalProperties", additional);
    return own;
}

static int read_unevaluated_members(struct reading *r)
{
    if (!json_is_boolean(r->value))
        return schema_fail(r->s, "unevaluatedProperties is supported as true or false only");
    r->n->mentioned |= TYPE_OBJECT;
    if (json_is_false(r->value) && r->depth == r->n->scope)
        r->n->is_closed = true;
    else if (json_is_false(r->value) && json_object_get(r->schema, "additionalProperties") == NULL)
        push(&r->n->objects, own_members(r->schema, json_false()));
    return 0;
}

// `items` as a list is what prefixItems is, and additionalItems then what items is.
static int read_items(struct reading *r)
{
    const json_t *items = json_object_get(r->schema, "items"),
                 *prefix = json_object_get(r->schema, "prefixItems");
    json_t *own = json_object();
    r->n->mentioned |= TYPE_ARRAY;
    if (r->keyword[0] == 'i' && prefix != NULL && !json_is_array(items)) { // done at prefixItems
        json_decref(own);
        return 0;
    }
    if (json_is_array(items)) {
        prefix = items;
        items = json_object_get(r->schema, "additionalItems");
    }
    if (prefix != NULL)
        json_object_set(own, "prefixItems", (json_t *)prefix);
    if (items != NULL)
        json_object_set(own, "items", (json_t *)items);
    push(&r->n->arrays, own);
    return prefix == NULL || json_is_array(prefix) ? 0 : refuse_value(r, "a list of schemas");
}

static int read_min_items(struct reading *r)
{
    r->n->mentioned |= TYPE_ARRAY;
    return read_least(r, &r->n->min_items);
}

static int read_max_items(struct reading *r)
{
    r->n->mentioned |= TYPE_ARRAY;
    return read_most(r, &r->n->max_items);
}

// Like unevaluatedProperties.
static int read_unevaluated_items(struct reading *r)
{
    r->n->mentioned |= TYPE_ARRAY;
    if (!json_is_boolean(r->value))
        return schema_fail(r->s, "unevaluatedItems is supported as true or false only");
    const json_t *items = json_object_get(r->schema, "items");
    const json_t *prefix = json_is_array(items) ? items : json_object_get(r->schema, "prefixItems");
    if (json_is_false(r->value) && r->depth == r->n->scope)
        r->n->is_rest_closed = true;
    else if (json_is_false(r->value) && (items == NULL || json_is_array(items)))
        r->n->max_items = MIN(r->n->max_items, (uint32_t)json_array_size(prefix));
    return 0;
}

static int read_unique(struct reading *r)
{
    return json_is_true(r->value) ? schema_fail(r->s, "uniqueItems is not supported") : 0;
}

static int read_group(struct reading *r)
{
    if (!json_is_array(r->value) || json_array_size(r->value) == 0)
        return refuse_value(r, "a list of at least one schema");
    push(&r->n->groups, json_pack("{s:O,s:b}", "of", r->value, "one", strcmp(r->keyword, "oneOf") == 0));
    return 0;
}

static int read_all_of(struct reading *r)
{
    int rc = json_is_array(r->value) ? 0 : refuse_value(r, "a list of schemas");
    for (size_t i = 0; i < json_array_size(r->value) && rc == 0; i++)
        rc = node_read(r->s, r->n, json_array_get(r->value, i), r->depth + 1);
    return rc;
}

// "~1" is a slash, "~0" a tilde, "%41" an A.
static void unescape_step(char *step)
{
    char *to = step;
    for (const char *at = step; *at != 0; at++, to++) {
        char code[3] = {0};
        if (at[0] == '~' && (at[1] == '0' || at[1] == '1')) {
            *to = *++at == '1' ? '/' : '~';
        } else if (at[0] == '%' && strspn(at + 1, "0123456789abcdefABCDEF") >= 2) {
            memcpy(code, at + 1, 2);
            *to = (char)strtol(code, NULL, 16);
            at += 2;
        } else {
            *to = *at;
        }
    }
    *to = 0;
}

static const json_t *find_reference(const json_t *root, const char *pointer)
{
    char *copy = xstrdup(pointer), *rest = copy, *step;
    const json_t *at = root;
    rest += *rest == '/';
    while (*pointer != 0 && at != NULL && (step = strsep(&rest, "/")) != NULL) {
        unescape_step(step);
        if (json_is_array(at))
            at = *step != 0 && strlen(step) < 9 && strspn(step, "0123456789") == strlen(step)
                     ? json_array_get(at, (size_t)atoi(step))
                     : NULL;
        else
            at = json_object_get(at, step);
    }
    free(copy);
    return at;
}

static int read_reference(struct reading *r)
{
    const char *text = json_string_value(r->value);
    if (text == NULL)
        return refuse_value(r, "a text");
    if (text[0] != '#' || (text[1] != 0 && text[1] != '/'))
        return schema_fail(
            r->s, "$ref \"%.200s\" is not supported: only references within the schema (\"#/...\")", text);
    const json_t *target = find_reference(r->s->root, text + 1);
    if (target == NULL)
        return schema_fail(r->s, "$ref \"%.200s\" leads nowhere", text);
    if (r->depth == r->n->scope && json_object_size(r->schema) == 1)
        r->n->scope++; // nothing stands beside it: it is the same schema
    return node_read(r->s, r->n, target, r->depth + 1);
}

static int read_unsupported(struct reading *r)
{
    return schema_fail(r->s, "%s is not supported", r->keyword);
}

static int read_if(struct reading *r)
{
    bool has_effect = json_object_get(r->schema, "then") || json_object_get(r->schema, "else");
    return has_effect ? read_unsupported(r) : 0;
}

static const struct {
    const char *keyword;
    keyword_fn *read;
} keywords[] = {
    {"$ref", read_reference},
    {"type", read_type},
    {"enum", read_enum},
    {"const", read_const},
    {"minimum", read_minimum},
    {"maximum", read_maximum},
    {"exclusiveMinimum", read_exclusive_minimum},
    {"exclusiveMaximum", read_exclusive_maximum},
    {"multipleOf", read_multiple},
    {"minLength", read_min_length},
    {"maxLength", read_max_length},
    {"pattern", read_pattern},
    {"format", read_format},
    {"properties", read_members},
    {"patternProperties", read_members},
    {"additionalProperties", read_members},
    {"required", read_required},
    {"propertyNames", read_names},
    {"minProperties", read_min_members},
    {"maxProperties", read_max_members},
    {"unevaluatedProperties", read_unevaluated_members},
    {"items", read_items},
    {"prefixItems", read_items},
    {"minItems", read_min_items},
    {"maxItems", read_max_items},
    {"unevaluatedItems", read_unevaluated_items},
    {"uniqueItems", read_unique},
    {"anyOf", read_group},
    {"oneOf", read_group},
    {"allOf", read_all_of},
    {"if", read_if},
    {"not", read_unsupported},
    {"contains", read_unsupported},
    {"dependencies", read_unsupported},
    {"dependentRequired", read_unsupported},
    {"dependentSchemas", read_unsupported},
    {"$dynamicRef", read_unsupported},
    {"$recursiveRef", read_unsupported},
};

int node_read(struct schema *s, struct node *n, const json_t *schema, int depth)
{
    if (depth > SCHEMA_MAX_DEPTH)
        return schema_fail(s, "it refers to itself without anything between, or is nested too deeply");
    if (json_is_false(schema)) {
        n->types = 0;
        n->has_type = true;
    }
    if (json_is_boolean(schema))
        return 0;
    if (!json_is_object(schema))
        return schema_fail(s, "a schema must be an object or a boolean");
    for (size_t i = 0; i < COUNT_OF(keywords); i++) {
        struct reading r = {
            s, n, schema, json_object_get(schema, keywords[i].keyword), keywords[i].keyword, depth};
        if (r.value != NULL && keywords[i].read(&r) != 0)
            return -1;
    }
    return 0;
}
