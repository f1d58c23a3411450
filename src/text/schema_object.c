// SPDX-License-Identifier: MIT
// Objects: the named members in their order, each that need not be there may be left out; then further ones,
// by classes of names that share none: those that match one pattern, and all others. Where the number of
// members is limited, the places are kept apart by how many there have been.
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/pattern.h"
#include "text/schema_internal.h"
#include "text/spell.h"

enum { MAX_PLACES = 100000 };

// A class of names that are not listed.
struct extra {
    struct automaton *names; // NULL: any text
    uint32_t rule;           // of the value
};

struct members {
    struct schema *s;
    const struct node *n;
    json_t *names; // array, in the order of writing
    bool *is_required;
    uint32_t *rules; // of the values; 0: it must not be there
    size_t n_names;
    struct extra *extras;
    size_t n_extras;
    uint32_t n_counts; // places are kept apart by counts below this
    uint32_t open, tail;
    uint32_t *choice,
        *after; // [i * n_counts + count]: the name of member i or a later one comes; a value has ended
};

static bool matches(struct schema *s, const char *pattern, const char *name, bool *failed)
{
    struct err why = {0};
    struct automaton *a = pattern_compile(slice_of(pattern), &s->work, &why);
    bool result = a != NULL && automaton_matches(a, slice_of(name));
    if (a == NULL) {
        schema_fail(s, "patternProperties: %s", why.message);
        *failed = true;
    }
    automaton_free(a);
    return result;
}

// What one schema's keywords demand of a member.
static void demand(struct schema *s, const json_t *part, const char *name, json_t *list)
{
    const char *pattern;
    json_t *schema = json_object_get(json_object_get(part, "properties"), name), *value;
    bool is_known = schema != NULL, failed = false;
    if (schema != NULL)
        json_array_append(list, schema);
    json_object_foreach(json_object_get(part, "patternProperties"), pattern, value)
    {
        if (!failed && matches(s, pattern, name, &failed)) {
            json_array_append(list, value);
            is_known = true;
        }
    }
    json_t *additional = json_object_get(part, "additionalProperties");
    if (!is_known && additional != NULL)
        json_array_append(list, additional);
}

json_t *schema_member(struct schema *s, const struct node *n, const char *name)
{
    json_t *list = json_array();
    for (size_t i = 0; i < json_array_size(n->objects); i++)
        demand(s, json_array_get(n->objects, i), name, list);
    json_t *schema = schema_all_of(list);
    if (!json_is_false(schema))
        return schema;
    return NULL;
}

bool schema_is_open(const struct node *n)
{
    bool is_said = json_array_size(n->objects) == 0 && !n->is_closed;
    for (size_t i = 0; i < json_array_size(n->objects); i++) {
        const json_t *additional = json_object_get(json_array_get(n->objects, i), "additionalProperties");
        if (additional == NULL || json_is_false(additional))
            return false;
        is_said = true;
    }
    return is_said;
}

// ---- Names ----

static bool is_in(const json_t *list, const char *name)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (strcmp(json_string_value(json_array_get(list, i)), name) == 0)
            return true;
    return false;
}

// Of all schemas, first come first; then what is required and nowhere described.
static json_t *list_names(const struct node *n)
{
    json_t *names = json_array(), *value;
    const char *name;
    struct map seen;
    map_init(&seen, 64);
    for (size_t i = 0; i < json_array_size(n->objects); i++) {
        json_object_foreach(json_object_get(json_array_get(n->objects, i), "properties"), name, value)
        {
            if (!map_find(&seen, slice_of(name), &(uint32_t){0}))
                json_array_append_new(names, json_string_nocheck(name));
            map_set(&seen, slice_of(name), 1);
        }
    }
    for (size_t i = 0; i < json_array_size(n->required); i++) {
        name = json_string_value(json_array_get(n->required, i));
        if (!map_find(&seen, slice_of(name), &(uint32_t){0}))
            json_array_append_new(names, json_string_nocheck(name));
        map_set(&seen, slice_of(name), 1);
    }
    map_fini(&seen);
    return names;
}

static void restrict_to_nothing(struct node *n)
{
    json_decref(n->values);
    n->values = json_array();
}

// The texts that propertyNames allows; NULL without an error: all.
static struct automaton *allowed_names(struct schema *s, const struct node *n, bool *failed)
{
    struct automaton *a = NULL;
    struct node name;
    if (n->names == NULL)
        return NULL;
    node_init(&name);
    for (size_t i = 0; i < json_array_size(n->names) && !*failed; i++)
        *failed = node_read(s, &name, json_array_get(n->names, i), 1) != 0;
    if (!*failed && json_array_size(name.groups) > 0)
        *failed = schema_fail(s, "propertyNames with anyOf or oneOf is not supported") != 0;
    if (!(name.types & TYPE_STRING))
        restrict_to_nothing(&name);
    if (!*failed && name.values == NULL) {
        a = schema_string_automaton(s, &name);
        *failed = a == NULL;
    }
    if (!*failed && name.values != NULL) {
        struct nfa *texts = nfa_new();
        struct err why = {0};
        for (size_t i = 0; i < json_array_size(name.values); i++) {
            const json_t *value = json_array_get(name.values, i);
            if (json_is_string(value) && schema_admits(s, &name, value) > 0)
                nfa_accept(texts, nfa_add_text(texts, 0, json_slice(value)));
        }
        a = automaton_of(texts, &s->work, &why);
        *failed = a == NULL && schema_fail(s, "propertyNames: %s", why.message) != 0;
        nfa_free(texts);
    }
    node_fini(&name);
    return a;
}

// a and not b; consumes a. NULL for a: all texts.
static struct automaton *without(struct schema *s, struct automaton *a, const struct automaton *b,
                                 struct err *why)
{
    struct automaton *rest = automaton_not(b, &s->work, why), *result = rest;
    if (a != NULL && rest != NULL) {
        result = automaton_both(a, rest, &s->work, why);
        automaton_free(rest);
    }
    automaton_free(a);
    return result;
}

static struct automaton *automaton_of_names(struct schema *s, const json_t *names, struct err *why)
{
    struct nfa *n = nfa_new();
    for (size_t i = 0; i < json_array_size(names); i++)
        nfa_accept(n, nfa_add_text(n, 0, json_slice(json_array_get(names, i))));
    struct automaton *a = automaton_of(n, &s->work, why);
    nfa_free(n);
    return a;
}

// ---- Classes of further names ----

// The patterns of all schemas, each once, with their automata.
struct patterns {
    json_t *texts;
    struct automaton **automata;
    size_t n;
};

static int read_patterns(struct schema *s, const struct node *n, struct patterns *p)
{
    const char *pattern;
    json_t *value;
    p->texts = json_array();
    for (size_t i = 0; i < json_array_size(n->objects); i++)
        json_object_foreach(json_object_get(json_array_get(n->objects, i), "patternProperties"), pattern,
                            value) if (!is_in(p->texts, pattern))
            json_array_append_new(p->texts, json_string_nocheck(pattern));
    p->automata = xcalloc(json_array_size(p->texts), sizeof(struct automaton *));
    for (; p->n < json_array_size(p->texts); p->n++) {
        struct err why = {0};
        p->automata[p->n] = pattern_compile(json_slice(json_array_get(p->texts, p->n)), &s->work, &why);
        if (p->automata[p->n] == NULL)
            return schema_fail(s, "patternProperties: %s", why.message);
    }
    return 0;
}

static void patterns_fini(struct patterns *p)
{
    for (size_t i = 0; i < p->n; i++)
        automaton_free(p->automata[i]);
    free(p->automata);
    json_decref(p->texts);
}

// What the value of a name demands that matches pattern i alone; i == n: none.
static json_t *value_of_class(const struct node *n, const struct patterns *p, size_t i)
{
    json_t *list = json_array();
    for (size_t k = 0; k < json_array_size(n->objects); k++) {
        const json_t *part = json_array_get(n->objects, k);
        json_t *schema = i < p->n ? json_object_get(json_object_get(part, "patternProperties"),
                                                    json_string_value(json_array_get(p->texts, i)))
                                  : NULL;
        if (schema == NULL)
            schema = json_object_get(part, "additionalProperties");
        if (schema != NULL)
            json_array_append(list, schema);
    }
    return schema_all_of(list);
}

// The names of class i; NULL with why->code unset: any text.
static struct automaton *names_of_class(struct schema *s, struct members *m, const struct patterns *p,
                                        size_t i, struct err *why)
{
    bool failed = false;
    struct automaton *a = allowed_names(s, m->n, &failed);
    if (failed) {
        err_set(why, ERR_INVALID, "propertyNames");
        return NULL;
    }
    for (size_t k = 0; k < p->n && why->code == ERR_NONE; k++) {
        if (k != i) {
            a = without(s, a, p->automata[k], why);
        } else if (a != NULL) {
            struct automaton *common = automaton_both(a, p->automata[k], &s->work, why);
            automaton_free(a);
            a = common;
        } else {
            struct automaton *none = automaton_of_names(s, NULL, why), *all = NULL;
            if (none != NULL)
                all = automaton_not(none, &s->work, why);
            a = all != NULL ? automaton_both(all, p->automata[k], &s->work, why) : NULL;
            automaton_free(none);
            automaton_free(all);
        }
    }
    struct automaton *listed =
        m->n_names > 0 && why->code == ERR_NONE ? automaton_of_names(s, m->names, why) : NULL;
    if (listed != NULL)
        a = without(s, a, listed, why);
    automaton_free(listed);
    return a;
}

static int add_extras(struct schema *s, struct members *m)
{
    struct patterns p = {0};
    bool is_open = schema_is_open(m->n);
    int rc = read_patterns(s, m->n, &p);
    m->extras = xcalloc(p.n + 1, sizeof *m->extras);
    for (size_t i = 0; i < p.n + is_open && rc == 0; i++) {
        json_t *value = value_of_class(m->n, &p, i);
        struct err why = {0};
        struct automaton *names = json_is_false(value) ? NULL : names_of_class(s, m, &p, i, &why);
        if (why.code != ERR_NONE)
            rc = schema_fail(s, "names of further members: %s", why.message);
        else if (!json_is_false(value))
            m->extras[m->n_extras++] = (struct extra){names, schema_rule(s, value, "/additionalProperties")};
        json_decref(value);
    }
    patterns_fini(&p);
    return rc;
}

// ---- Places ----

// How many members there have been, as far as it matters.
static uint32_t next_count(const struct members *m, uint32_t count)
{
    return MIN(count + 1, m->n_counts - 1);
}

static bool may_have_more(const struct members *m, uint32_t count)
{
    return m->n->max_members == UINT32_MAX || m->n_counts == 1 || count < m->n->max_members;
}

static void write_colon(struct schema *s, uint32_t from, uint32_t rule, uint32_t to)
{
    uint32_t space = grammar_add_state(s->g), value = grammar_add_state(s->g);
    grammar_add_bytes(s->g, from, ':', ':', space);
    grammar_add_jump(s->g, space, value);
    grammar_add_bytes(s->g, space, ' ', ' ', value);
    grammar_add_call(s->g, value, rule, to);
}

static void write_named(struct members *m, size_t i, uint32_t from, uint32_t to)
{
    struct grammar *g = m->s->g;
    uint32_t colon = grammar_add_state(g);
    char *text = json_dumps(json_array_get(m->names, i), JSON_COMPACT | JSON_ENCODE_ANY);
    grammar_add_text(g, from, slice_of(text != NULL ? text : ""), colon);
    write_colon(m->s, colon, m->rules[i], to);
    free(text);
}

static void write_extra(struct members *m, const struct extra *e, uint32_t from, uint32_t to)
{
    struct grammar *g = m->s->g;
    uint32_t colon = grammar_add_state(g);
    if (e->names == NULL) {
        grammar_add_call(g, from, schema_string_rule(m->s), colon);
    } else {
        uint32_t inside = grammar_add_state(g), end = grammar_add_state(g);
        grammar_add_bytes(g, from, '"', '"', inside);
        spell_automaton(g, e->names, true, inside, end);
        grammar_add_bytes(g, end, '"', '"', colon);
    }
    write_colon(m->s, colon, e->rule, to);
}

// From where the name of member i or a later one comes, and from behind a value that it follows.
static void write_place(struct members *m, size_t i, uint32_t count)
{
    struct grammar *g = m->s->g;
    size_t at = i * m->n_counts + count, next = (i + 1) * m->n_counts + next_count(m, count);
    uint32_t choice = m->choice[at], after = m->after[at];
    bool may_end = m->n_counts == 1 || count >= MIN(m->n->min_members, m->n_counts - 1);
    for (size_t k = i; k < m->n_names; k++)
        may_end &= !m->is_required[k];
    if (may_end)
        grammar_add_jump(g, after, m->tail);
    if (!may_have_more(m, count))
        return;
    uint32_t comma = grammar_add_state(g);
    grammar_add_bytes(g, after, ',', ',', comma);
    schema_write_space(m->s, comma, choice);
    if (i == m->n_names) {
        for (size_t k = 0; k < m->n_extras; k++)
            write_extra(m, &m->extras[k], choice, m->after[i * m->n_counts + next_count(m, count)]);
        return;
    }
    if (m->rules[i] != 0)
        write_named(m, i, choice, m->after[next]);
    if (!m->is_required[i])
        grammar_add_jump(g, choice, m->choice[at + m->n_counts]);
}

static int write_places(struct members *m, uint32_t start)
{
    struct grammar *g = m->s->g;
    size_t n = (m->n_names + 1) * m->n_counts;
    bool may_be_empty = m->n->min_members == 0;
    if (n > MAX_PLACES)
        return schema_fail(m->s, "minProperties and maxProperties with so many members are not supported");
    m->choice = xcalloc(n, sizeof *m->choice);
    m->after = xcalloc(n, sizeof *m->after);
    for (size_t i = 0; i < n && !g->is_full; i++) {
        m->choice[i] = grammar_add_state(g);
        m->after[i] = grammar_add_state(g);
    }
    m->tail = grammar_add_state(g);
    uint32_t open = grammar_add_state(g), end = grammar_add_state(g);
    grammar_add_bytes(g, start, '{', '{', open);
    schema_write_space(m->s, open, m->choice[0]);
    schema_write_space(m->s, m->tail, end);
    grammar_add_bytes(g, end, '}', '}', GRAMMAR_END);
    for (size_t i = 0; i < m->n_names; i++)
        may_be_empty &= !m->is_required[i];
    if (may_be_empty)
        grammar_add_bytes(g, open, '}', '}', GRAMMAR_END);
    if (m->n->max_members == 0) // none may come
        return 0;
    for (size_t i = 0; i <= m->n_names && !g->is_full; i++)
        for (uint32_t count = 0; count < m->n_counts; count++)
            write_place(m, i, count);
    return 0;
}

static uint32_t count_counts(const struct members *m)
{
    const struct node *n = m->n;
    size_t n_required = 0;
    for (size_t i = 0; i < m->n_names; i++)
        n_required += m->is_required[i];
    bool max_matters = n->max_members != UINT32_MAX && (m->n_extras > 0 || n->max_members < m->n_names);
    if (!max_matters && n->min_members <= MAX(n_required, 1ul) && (n_required > 0 || n->min_members <= 1))
        return 1;
    uint32_t most = max_matters ? n->max_members : n->min_members;
    return MIN(most, (uint32_t)MAX_PLACES) + 1;
}

int schema_write_object(struct schema *s, const struct node *n, uint32_t start)
{
    struct members m = {.s = s, .n = n, .names = list_names(n)};
    bool failed = false;
    int rc = 0;
    m.n_names = json_array_size(m.names);
    m.is_required = xcalloc(m.n_names, sizeof *m.is_required);
    m.rules = xcalloc(m.n_names, sizeof *m.rules);
    struct automaton *allowed = allowed_names(s, n, &failed);
    struct map required;
    map_init(&required, 64);
    for (size_t i = 0; i < json_array_size(n->required); i++)
        map_set(&required, json_slice(json_array_get(n->required, i)), 1);
    for (size_t i = 0; i < m.n_names; i++) {
        const char *name = json_string_value(json_array_get(m.names, i));
        char step[128];
        json_t *schema = schema_member(s, n, name);
        snprintf(step, sizeof step, "/properties/%.100s", name);
        m.is_required[i] = map_find(&required, slice_of(name), &(uint32_t){0});
        if (schema != NULL && (allowed == NULL || automaton_matches(allowed, slice_of(name))))
            m.rules[i] = schema_rule(s, schema, step);
        json_decref(schema);
    }
    map_fini(&required);
    automaton_free(allowed);
    rc = failed || s->err->code != ERR_NONE ? -1 : add_extras(s, &m);
    m.n_counts = count_counts(&m);
    if (rc == 0)
        rc = write_places(&m, start);
    for (size_t i = 0; i < m.n_extras; i++)
        automaton_free(m.extras[i].names);
    free(m.extras);
    free(m.is_required);
    free(m.rules);
    free(m.choice);
    free(m.after);
    json_decref(m.names);
    return rc;
}
