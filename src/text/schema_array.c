// SPDX-License-Identifier: MIT
// Arrays: the items that prefixItems lists one after the other, then any number of further ones.
#include <stdlib.h>

#include "base/mem.h"
#include "text/schema_internal.h"

enum { MAX_LISTED = 1000 };

struct items {
    uint32_t n_listed;
    json_t *rest; // schema of what follows; NULL: nothing may
};

// What all demand of item i; NULL: nothing may be there.
static json_t *item_schema(const struct node *n, uint32_t i)
{
    json_t *list = json_array();
    for (size_t k = 0; k < json_array_size(n->arrays); k++) {
        const json_t *part = json_array_get(n->arrays, k);
        const json_t *prefix = json_object_get(part, "prefixItems"), *items = json_object_get(part, "items");
        if (i < json_array_size(prefix))
            json_array_append(list, json_array_get(prefix, i));
        else if (items != NULL)
            json_array_append(list, (json_t *)items);
    }
    json_t *schema = schema_all_of(list);
    if (!json_is_false(schema))
        return schema;
    return NULL;
}

static struct items items_of(const struct node *n)
{
    struct items items = {0, NULL};
    bool is_said = json_array_size(n->arrays) == 0 && !n->is_rest_closed;
    for (size_t k = 0; k < json_array_size(n->arrays); k++) {
        const json_t *part = json_array_get(n->arrays, k), *prefix = json_object_get(part, "prefixItems");
        items.n_listed = MAX(items.n_listed, (uint32_t)MIN(json_array_size(prefix), (size_t)MAX_LISTED + 1));
        is_said |= json_object_get(part, "items") != NULL;
    }
    if (is_said || (n->min_items > items.n_listed && !n->is_rest_closed))
        items.rest = item_schema(n, UINT32_MAX);
    return items;
}

// From behind k items, all listed ones among them, to the end: further ones, each after a comma.
static void write_rest(struct schema *s, const struct node *n, const struct items *items, uint32_t k,
                       uint32_t at, uint32_t end)
{
    struct grammar *g = s->g;
    if (items->rest == NULL || n->max_items <= k) {
        if (k >= n->min_items)
            grammar_add_jump(g, at, end);
        return;
    }
    uint32_t more = grammar_add_state(g), comma = grammar_add_state(g), item = grammar_add_state(g),
             repeat = grammar_add_state(g);
    grammar_add_bytes(g, more, ',', ',', comma);
    schema_write_space(s, comma, item);
    grammar_add_call(g, item, schema_rule(s, items->rest, "/items"), GRAMMAR_END);
    grammar_add_jump(g, at, repeat);
    grammar_add_repeat(g, repeat, more, n->min_items > k ? n->min_items - k : 0,
                       n->max_items == UINT32_MAX ? GRAMMAR_UNLIMITED : n->max_items - k, end);
}

int schema_write_array(struct schema *s, const struct node *n, uint32_t start)
{
    struct grammar *g = s->g;
    struct items items = items_of(n);
    uint32_t open = grammar_add_state(g), last = grammar_add_state(g), end = grammar_add_state(g), at = open;
    uint32_t n_single = MAX(items.n_listed, items.rest != NULL ? 1u : 0u);
    if (items.n_listed > MAX_LISTED)
        return schema_fail(s, "more than %d listed items", MAX_LISTED);
    grammar_add_bytes(g, start, '[', '[', open);
    schema_write_space(s, last, end);
    grammar_add_bytes(g, end, ']', ']', GRAMMAR_END);
    if (n->min_items == 0)
        grammar_add_bytes(g, open, ']', ']', GRAMMAR_END);
    for (uint32_t k = 0; k < n_single && k < n->max_items; k++) {
        json_t *schema = k < items.n_listed ? item_schema(n, k) : json_incref(items.rest);
        uint32_t item = grammar_add_state(g), next = grammar_add_state(g), space = at;
        if (schema == NULL) // nothing may be here: it ends before
            break;
        if (k > 0) {
            space = grammar_add_state(g);
            grammar_add_bytes(g, at, ',', ',', space);
        }
        schema_write_space(s, space, item);
        grammar_add_call(g, item, schema_rule(s, schema, "/items"), next);
        json_decref(schema);
        at = next;
        if (k + 1 == n_single)
            write_rest(s, n, &items, k + 1, at, last);
        else if (k + 1 >= n->min_items)
            grammar_add_jump(g, at, last);
    }
    json_decref(items.rest);
    return 0;
}
