// SPDX-License-Identifier: MIT
// Values that are listed, numbers and strings.
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "json/writer.h"
#include "text/pattern.h"
#include "text/schema_internal.h"
#include "text/spell.h"

#define INTEGER_PATTERN "^(?:0|-?[1-9][0-9]{0,15})$"
#define NUMBER_PATTERN  "^-?(?:0|[1-9][0-9]{0,15})(?:\\.[0-9]{1,20})?(?:[eE][+-]?[0-9]{1,2})?$"

// An automaton's rule with nothing around it; consumes it. -1: it is NULL, `why` says why.
static int write_automaton(struct schema *s, struct automaton *a, bool in_string, uint32_t from, uint32_t to,
                           const struct err *why)
{
    if (a == NULL)
        return schema_fail(s, "%s", why->message);
    spell_automaton(s->g, a, in_string, from, to);
    automaton_free(a);
    return 0;
}

// ---- Numbers ----

static int write_free_number(struct schema *s, uint32_t *rule, const char *pattern, uint32_t start)
{
    struct err why = {0};
    if (*rule == 0) {
        *rule = grammar_add_state(s->g);
        if (write_automaton(s, pattern_compile(slice_of(pattern), &s->work, &why), false, *rule, GRAMMAR_END,
                            &why) != 0)
            return -1;
    }
    grammar_add_call(s->g, start, *rule, GRAMMAR_END);
    return 0;
}

static struct numbers_range range_of(const struct node *n, unsigned types)
{
    return (struct numbers_range){.min = n->min,
                                  .max = n->max,
                                  .is_integer = !(types & TYPE_FRACTION),
                                  .n_fraction = n->n_fraction,
                                  .multiple = n->multiple};
}

int schema_write_numbers(struct schema *s, const struct node *n, unsigned types, uint32_t start)
{
    bool is_integer = !(types & TYPE_FRACTION);
    struct err why = {0};
    if (!n->min.is_set && !n->max.is_set && n->multiple < 2 &&
        (is_integer || n->n_fraction == NUMBERS_FRACTION))
        return is_integer ? write_free_number(s, &s->integer, INTEGER_PATTERN, start)
                          : write_free_number(s, &s->number, NUMBER_PATTERN, start);
    struct numbers_range range = range_of(n, types);
    return write_automaton(s, numbers_automaton(&range, &s->work, &why), false, start, GRAMMAR_END, &why);
}

// ---- Strings ----

uint32_t schema_character_rule(struct schema *s)
{
    if (s->character == 0) {
        s->character = grammar_add_state(s->g);
        spell_any_char(s->g, s->character, GRAMMAR_END);
    }
    return s->character;
}

static struct automaton *both(struct schema *s, struct automaton *a, struct automaton *b, struct err *why)
{
    struct automaton *c = a != NULL && b != NULL ? automaton_both(a, b, &s->work, why) : NULL;
    automaton_free(a);
    automaton_free(b);
    return c;
}

struct automaton *schema_string_automaton(struct schema *s, const struct node *n)
{
    struct err why = {0};
    struct automaton *a = NULL;
    const char *what = "minLength and maxLength";
    bool has_lengths = n->min_length > 0 || n->max_length != UINT32_MAX || json_array_size(n->patterns) == 0;
    if (has_lengths)
        a = automaton_of_lengths(n->min_length, n->max_length, &s->work, &why);
    for (size_t i = 0; i < json_array_size(n->patterns) && why.code == ERR_NONE; i++) {
        what = "pattern";
        struct automaton *next = pattern_compile(json_slice(json_array_get(n->patterns, i)), &s->work, &why);
        a = i == 0 && !has_lengths ? next : both(s, a, next, &why);
    }
    if (a == NULL)
        schema_fail(s, "%s: %s", what, why.message);
    return a;
}

static int write_lengths(struct schema *s, const struct node *n, uint32_t start)
{
    struct grammar *g = s->g;
    uint32_t inside = grammar_add_state(g), end = grammar_add_state(g);
    grammar_add_bytes(g, start, '"', '"', inside);
    grammar_add_repeat(g, inside, schema_character_rule(s), n->min_length, n->max_length, end);
    grammar_add_bytes(g, end, '"', '"', GRAMMAR_END);
    return 0;
}

int schema_write_string(struct schema *s, const struct node *n, uint32_t start)
{
    struct grammar *g = s->g;
    if (n->max_length < n->min_length)
        return 0; // no text fits
    if (json_array_size(n->patterns) == 0 && n->min_length == 0 && n->max_length == UINT32_MAX) {
        grammar_add_call(g, start, schema_string_rule(s), GRAMMAR_END);
        return 0;
    }
    if (json_array_size(n->patterns) == 0)
        return write_lengths(s, n, start);
    struct automaton *a = schema_string_automaton(s, n);
    if (a == NULL)
        return -1;
    uint32_t inside = grammar_add_state(g), end = grammar_add_state(g);
    grammar_add_bytes(g, start, '"', '"', inside);
    grammar_add_bytes(g, end, '"', '"', GRAMMAR_END);
    return write_automaton(s, a, true, inside, end, NULL);
}

// ---- Listed values ----

static bool is_whole(const json_t *number)
{
    struct decimal d;
    return decimal_of(&d, number, NULL) == 0 && d.fraction[0] == 0;
}

static unsigned type_of(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return TYPE_OBJECT;
    case JSON_ARRAY:
        return TYPE_ARRAY;
    case JSON_STRING:
        return TYPE_STRING;
    case JSON_INTEGER:
        return TYPE_INTEGER;
    case JSON_REAL:
        return is_whole(value) ? TYPE_INTEGER : TYPE_FRACTION;
    case JSON_NULL:
        return TYPE_NULL;
    default:
        return TYPE_BOOLEAN;
    }
}

static bool is_beyond(const struct numbers_limit *limit, const struct decimal *d, int direction)
{
    int order = limit->is_set ? decimal_compare(d, &limit->value) * direction : -1;
    return order > 0 || (order == 0 && limit->is_exclusive);
}

static int admits_number(struct schema *s, const struct node *n, const json_t *value)
{
    struct decimal d;
    struct err why = {0};
    if (decimal_of(&d, value, &why) != 0)
        return schema_fail(s, "%s", why.message);
    if (n->multiple > 1 && json_integer_value(value) % (json_int_t)n->multiple != 0)
        return 0;
    return strlen(d.fraction) <= n->n_fraction && !is_beyond(&n->max, &d, 1) && !is_beyond(&n->min, &d, -1);
}

static int admits_string(struct schema *s, const struct node *n, struct slice text)
{
    size_t length = utf8_count(text);
    if (length < n->min_length || length > n->max_length)
        return 0;
    for (size_t i = 0; i < json_array_size(n->patterns); i++) {
        struct err why = {0};
        struct automaton *a = pattern_compile(json_slice(json_array_get(n->patterns, i)), &s->work, &why);
        if (a == NULL)
            return schema_fail(s, "pattern: %s", why.message);
        bool matches = automaton_matches(a, text);
        automaton_free(a);
        if (!matches)
            return 0;
    }
    return 1;
}

int schema_admits(struct schema *s, const struct node *n, const json_t *value)
{
    unsigned type = type_of(value);
    if (!(n->types & type))
        return 0;
    if (type & TYPE_NUMBER)
        return admits_number(s, n, value);
    if (type == TYPE_STRING)
        return admits_string(s, n, json_slice(value));
    return 1;
}

static void write_value(struct schema *s, uint32_t from, const json_t *value, uint32_t to);

static void write_text_of(struct schema *s, uint32_t from, const json_t *value, uint32_t to)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
    grammar_add_text(s->g, from, slice_of(text != NULL ? text : ""), to);
    free(text);
}

static void write_number(struct schema *s, uint32_t from, const json_t *value, uint32_t to)
{
    struct strbuf text = STRBUF_INIT(64);
    struct json_writer w = json_writer_make(&text);
    json_put_value(&w, value);
    grammar_add_text(s->g, from, strbuf_slice(&text), to);
    strbuf_fini(&text);
}

static void write_array(struct schema *s, uint32_t from, const json_t *value, uint32_t to)
{
    size_t n = json_array_size(value);
    uint32_t at = grammar_add_state(s->g);
    grammar_add_bytes(s->g, from, '[', '[', at);
    for (size_t i = 0; i < n; i++) {
        uint32_t item = grammar_add_state(s->g), next = grammar_add_state(s->g), comma = next;
        schema_write_space(s, at, item);
        write_value(s, item, json_array_get(value, i), next);
        if (i + 1 < n) {
            comma = grammar_add_state(s->g);
            grammar_add_bytes(s->g, next, ',', ',', comma);
        }
        at = comma;
    }
    uint32_t end = grammar_add_state(s->g);
    schema_write_space(s, at, end);
    grammar_add_bytes(s->g, end, ']', ']', to);
}

static void write_object(struct schema *s, uint32_t from, const json_t *value, uint32_t to)
{
    uint32_t at = grammar_add_state(s->g), end = grammar_add_state(s->g);
    const char *name;
    json_t *member;
    size_t left = json_object_size(value);
    grammar_add_bytes(s->g, from, '{', '{', at);
    json_object_foreach((json_t *)value, name, member)
    {
        uint32_t key = grammar_add_state(s->g), colon = grammar_add_state(s->g),
                 space = grammar_add_state(s->g), start = grammar_add_state(s->g),
                 next = grammar_add_state(s->g);
        json_t *text = json_string_nocheck(name);
        schema_write_space(s, at, key);
        write_text_of(s, key, text, colon);
        grammar_add_bytes(s->g, colon, ':', ':', space);
        grammar_add_bytes(s->g, space, ' ', ' ', start);
        grammar_add_jump(s->g, space, start);
        write_value(s, start, member, next);
        at = next;
        if (--left > 0) {
            at = grammar_add_state(s->g);
            grammar_add_bytes(s->g, next, ',', ',', at);
        }
        json_decref(text);
    }
    schema_write_space(s, at, end);
    grammar_add_bytes(s->g, end, '}', '}', to);
}

static void write_value(struct schema *s, uint32_t from, const json_t *value, uint32_t to)
{
    if (json_is_object(value))
        write_object(s, from, value, to);
    else if (json_is_array(value))
        write_array(s, from, value, to);
    else if (json_is_number(value))
        write_number(s, from, value, to);
    else
        write_text_of(s, from, value, to);
}

// All strings in one automaton: however many they are, one place in it stands for all that begin alike.
static int write_strings(struct schema *s, const json_t *strings, uint32_t start)
{
    struct nfa *n = nfa_new();
    struct err why = {0};
    uint32_t inside = grammar_add_state(s->g), end = grammar_add_state(s->g);
    for (size_t i = 0; i < json_array_size(strings); i++)
        nfa_accept(n, nfa_add_text(n, 0, json_slice(json_array_get(strings, i))));
    struct automaton *a = automaton_of(n, &s->work, &why);
    nfa_free(n);
    grammar_add_bytes(s->g, start, '"', '"', inside);
    grammar_add_bytes(s->g, end, '"', '"', GRAMMAR_END);
    return write_automaton(s, a, true, inside, end, &why);
}

int schema_write_values(struct schema *s, const struct node *n, uint32_t start)
{
    json_t *strings = json_array();
    int rc = 0;
    for (size_t i = 0; i < json_array_size(n->values) && rc == 0; i++) {
        const json_t *value = json_array_get(n->values, i);
        bool is_deep = (json_is_object(value) && (n->mentioned & TYPE_OBJECT)) ||
                       (json_is_array(value) && (n->mentioned & TYPE_ARRAY));
        int fits = schema_admits(s, n, value);
        if (fits > 0 && is_deep)
            rc = schema_fail(s,
                             "enum or const of objects or arrays beside keywords about their content is not "
                             "supported");
        else if (fits < 0)
            rc = -1;
        else if (fits > 0 && json_is_string(value))
            json_array_append(strings, (json_t *)value);
        else if (fits > 0)
            write_value(s, start, value, GRAMMAR_END);
    }
    if (rc == 0 && json_array_size(strings) > 0)
        rc = write_strings(s, strings, start);
    json_decref(strings);
    return rc;
}
