// SPDX-License-Identifier: MIT
// oneOf: exactly one alternative may hold. A grammar cannot say "and no other", so it is taken when no text
// written for one alternative can fit another one: by type, by listed values, by limits, by a member that
// one demands and the other cannot have, or by members whose own demands exclude each other (as the tag
// of a tagged union does).
#include <string.h>

#include "base/mem.h"
#include "text/schema_internal.h"

enum { MAX_ALTERNATIVES = 200, MAX_DEPTH = 6, MAX_COMPARISONS = 200000 };

static bool excludes(struct schema *s, const struct node *a, const struct node *b, int depth);

static bool read_and_exclude(struct schema *s, const json_t *a, const json_t *b, int depth)
{
    struct node x, y;
    bool result = false;
    node_init(&x);
    node_init(&y);
    if (depth < MAX_DEPTH && node_read(s, &x, a, 1) == 0 && node_read(s, &y, b, 1) == 0)
        result = excludes(s, &x, &y, depth + 1);
    node_fini(&x);
    node_fini(&y);
    return result;
}

static bool is_required(const struct node *n, const char *name)
{
    for (size_t i = 0; i < json_array_size(n->required); i++)
        if (strcmp(json_string_value(json_array_get(n->required, i)), name) == 0)
            return true;
    return false;
}

// Whether an object written for `a` may have that member.
static bool may_have(struct schema *s, const struct node *a, const char *name)
{
    json_t *schema = schema_member(s, a, name);
    bool is_listed = is_required(a, name), has_patterns = false, possible = schema != NULL;
    for (size_t i = 0; i < json_array_size(a->objects); i++) {
        const json_t *part = json_array_get(a->objects, i);
        is_listed |= json_object_get(json_object_get(part, "properties"), name) != NULL;
        has_patterns |= json_object_get(part, "patternProperties") != NULL;
    }
    json_decref(schema);
    return possible && (is_listed || has_patterns || schema_is_open(a));
}

static bool excludes_objects(struct schema *s, const struct node *a, const struct node *b, int depth)
{
    for (size_t i = 0; i < json_array_size(b->required); i++)
        if (!may_have(s, a, json_string_value(json_array_get(b->required, i))))
            return true;
    for (size_t i = 0; i < json_array_size(a->required); i++) {
        const char *name = json_string_value(json_array_get(a->required, i));
        json_t *of_a = schema_member(s, a, name), *of_b = schema_member(s, b, name);
        bool result = of_a == NULL || of_b == NULL || read_and_exclude(s, of_a, of_b, depth);
        json_decref(of_a);
        json_decref(of_b);
        if (result)
            return true;
    }
    return false;
}

static bool is_below(const struct numbers_limit *max, const struct numbers_limit *min)
{
    if (!max->is_set || !min->is_set)
        return false;
    int order = decimal_compare(&max->value, &min->value);
    return order < 0 || (order == 0 && (max->is_exclusive || min->is_exclusive));
}

// No text written for a fits b.
static bool excludes(struct schema *s, const struct node *a, const struct node *b, int depth)
{
    if (++s->n_comparisons > MAX_COMPARISONS)
        return false;
    if (a->values != NULL) {
        for (size_t i = 0; i < json_array_size(a->values); i++) {
            json_t *value = json_array_get(a->values, i);
            bool is_in = b->values == NULL;
            for (size_t k = 0; k < json_array_size(b->values) && !is_in; k++)
                is_in = json_equal(value, json_array_get(b->values, k));
            if (is_in && schema_admits(s, a, value) > 0 && schema_admits(s, b, value) != 0)
                return false;
        }
        return true;
    }
    if (json_array_size(a->groups) > 0)
        return (a->types & b->types) == 0;
    unsigned common = node_written_types(a) & b->types;
    if (b->values != NULL && !(common & (TYPE_OBJECT | TYPE_ARRAY))) {
        for (size_t i = 0; i < json_array_size(b->values); i++)
            if (schema_admits(s, a, json_array_get(b->values, i)) != 0)
                return false;
        return true;
    }
    if ((common & TYPE_NUMBER) && (is_below(&a->max, &b->min) || is_below(&b->max, &a->min)))
        common &= ~(unsigned)TYPE_NUMBER;
    if ((common & TYPE_OBJECT) && excludes_objects(s, a, b, depth))
        common &= ~(unsigned)TYPE_OBJECT;
    return common == 0;
}

int schema_check_one_of(struct schema *s, const struct node *base, const json_t *alternatives)
{
    size_t n = json_array_size(alternatives);
    struct node nodes[MAX_ALTERNATIVES];
    size_t n_read = 0;
    int rc = 0;
    if (n > MAX_ALTERNATIVES)
        return schema_fail(s, "oneOf with more than %d alternatives is not supported", MAX_ALTERNATIVES);
    for (; n_read < n && rc == 0; n_read++) {
        node_copy(&nodes[n_read], base);
        rc = node_read(s, &nodes[n_read], json_array_get(alternatives, n_read), 1);
    }
    for (size_t i = 0; i < n && rc == 0; i++)
        for (size_t k = 0; k < n && rc == 0; k++)
            if (i != k && !excludes(s, &nodes[i], &nodes[k], 0) && s->err->code == ERR_NONE)
                rc = schema_fail(
                    s,
                    "oneOf: alternatives %zu and %zu may hold together, which cannot be ruled out "
                    "while writing; use anyOf",
                    MIN(i, k), MAX(i, k));
    for (size_t i = 0; i < n_read; i++)
        node_fini(&nodes[i]);
    return rc != 0 || s->err->code != ERR_NONE ? -1 : 0;
}
