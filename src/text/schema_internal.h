// SPDX-License-Identifier: MIT
// What the files of the schema compiler share. A schema is first read into a node: everything that it and the
// schemas it refers to demand of one value, put together. Then the node is written as a rule.
#pragma once

#include "base/map.h"
#include "text/numbers.h"
#include "text/schema.h"

enum {
    TYPE_NULL = 1 << 0,
    TYPE_BOOLEAN = 1 << 1,
    TYPE_OBJECT = 1 << 2,
    TYPE_ARRAY = 1 << 3,
    TYPE_STRING = 1 << 4,
    TYPE_INTEGER = 1 << 5,
    TYPE_FRACTION = 1 << 6, // numbers that are not integers
    TYPE_NUMBER = TYPE_INTEGER | TYPE_FRACTION,
    TYPE_ANY = (1 << 7) - 1,
};

// All demands on one value. The schemas in it stay JSON until their own rules are written.
struct node {
    unsigned types;     // it may have
    unsigned mentioned; // types that keywords are about
    bool has_type;      // said so
    json_t *values;     // the only ones, or NULL
    struct numbers_limit min, max;
    uint32_t multiple, n_fraction;
    uint32_t min_length, max_length;
    json_t *patterns; // texts; NULL: none
    json_t
        *objects; // of {properties, patternProperties, additionalProperties}, one for each schema; NULL: none
    json_t *required; // names
    json_t *names;    // schemas of all names
    bool is_closed;   // no members but those named
    int scope;        // schemas at this depth are the whole, deeper ones are within it
    uint32_t min_members, max_members;
    json_t *arrays; // of {prefixItems, items}
    uint32_t min_items, max_items;
    bool is_rest_closed; // no items but those listed or described
    json_t *groups;      // of {of: [schemas], one: bool}: at least one, or exactly one, must hold
};

struct schema_job {
    json_t *schema;
    char *path;
    uint32_t start;
};

struct schema {
    struct grammar *g;
    const json_t *root;
    struct err *err;
    struct schema_job *jobs; // rules, in the order in which they are written
    uint32_t n_jobs, job_capacity, next_job;
    const char *path;                                          // of the job being written
    struct map rules;                                          // text of a schema to its rule
    char **texts;                                              // the keys; as many as jobs
    uint32_t string, integer, number, value, character, blank; // rules that many use; 0: not written yet
    uint32_t n_expansions, n_comparisons;                      // of alternatives
    uint64_t work;                                             // left for automata
    size_t n_text_bytes;                                       // of all keys
};

// The rule of a schema, written now or later.
uint32_t schema_rule(struct schema *s, const json_t *schema, const char *step);
// Fails with the place: always -1.
int schema_fail(struct schema *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
// A schema that demands all of a list; consumes the list.
json_t *schema_all_of(json_t *list);
void schema_write_space(struct schema *s, uint32_t from, uint32_t to);
uint32_t schema_string_rule(struct schema *s);
uint32_t schema_value_rule(struct schema *s); // any JSON value

// schema_read.c
void node_init(struct node *n);
void node_fini(struct node *n);
void node_copy(struct node *to, const struct node *from);
bool node_is_bare(const struct node *n);           // demands nothing but its groups
unsigned node_written_types(const struct node *n); // with what its keywords are about
int node_read(struct schema *s, struct node *n, const json_t *schema, int depth);

// schema_scalar.c
int schema_write_values(struct schema *s, const struct node *n, uint32_t start);
int schema_write_numbers(struct schema *s, const struct node *n, unsigned types, uint32_t start);
int schema_write_string(struct schema *s, const struct node *n, uint32_t start);
uint32_t schema_character_rule(struct schema *s);
// The texts that a string node allows, without limits of length that are absent; NULL on failure.
struct automaton *schema_string_automaton(struct schema *s, const struct node *n);
// Whether a value is one that the node's keywords allow, but for those of members and items. -1: failed.
int schema_admits(struct schema *s, const struct node *n, const json_t *value);

// schema_object.c, schema_array.c
int schema_write_object(struct schema *s, const struct node *n, uint32_t start);
int schema_write_array(struct schema *s, const struct node *n, uint32_t start);
// What the node demands of a member; NULL: it must not be there. The caller's.
json_t *schema_member(struct schema *s, const struct node *n, const char *name);
// Whether members that are not named may be written.
bool schema_is_open(const struct node *n);

// schema_one.c: alternatives of oneOf must exclude each other.
int schema_check_one_of(struct schema *s, const struct node *base, const json_t *alternatives);
