// SPDX-License-Identifier: MIT
// Values of a render: what Python's objects are to jinja2. Small, passed by value; what they point to lives
// in the arena of the render (or in the template or the caller's JSON, which outlive it). Text never changes;
// lists and dicts do only through their methods.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "json/json.h"

struct jinja_run;

enum jinja_kind {
    JINJA_MISSING, // no value at all: an argument not given, a variable not set
    JINJA_UNDEFINED,
    JINJA_NONE,
    JINJA_BOOL,
    JINJA_INT,
    JINJA_FLOAT,
    JINJA_TEXT,
    JINJA_LIST,
    JINJA_DICT,
    JINJA_NAMESPACE,
    JINJA_LOOP,
    JINJA_MACRO,
    JINJA_METHOD,
    JINJA_FUNCTION,
};

struct jinja_value {
    enum jinja_kind kind;
    bool markup; // JINJA_TEXT: went through `safe`; + and % escape what they put in
    union {
        bool flag;
        int64_t integer;
        double real;
        struct jinja_text *text;
        struct jinja_list *list;
        struct jinja_dict *dict; // JINJA_NAMESPACE too
        struct jinja_loop *loop;
        struct jinja_macro *macro;
        struct jinja_method *method;
        const struct jinja_row *function;
        const struct jinja_undefined *undefined;
    };
};

// Room behind a text or list that was made by appending, so that the next append to its end costs only what
// it adds.
struct jinja_space {
    size_t used, capacity;
};

#define JINJA_UNCOUNTED SIZE_MAX

struct jinja_text {
    const char *at;
    size_t n_bytes;
    size_t n_chars; // JINJA_UNCOUNTED until asked for
    struct jinja_space *space;
};

// All that Python iterates and that is not text or a dict.
enum jinja_flavor {
    JINJA_FLAVOR_LIST,
    JINJA_FLAVOR_TUPLE,
    JINJA_FLAVOR_RANGE,
    JINJA_FLAVOR_VIEW,
    JINJA_FLAVOR_GENERATOR
};

struct jinja_list {
    struct jinja_value *at;
    size_t n;
    enum jinja_flavor flavor;
    bool is_spent; // a generator gives its items once
    struct jinja_space *space;
};

struct jinja_pair {
    struct jinja_value key, value;
    uint32_t hash;
};

// Insertion order; an index of positions + 1 once there are more than a few pairs.
struct jinja_dict {
    struct jinja_pair *pairs;
    size_t n, capacity;
    uint32_t *index;
    size_t index_size; // power of two, 0: none
};

struct jinja_method {
    const struct jinja_row *row;
    struct jinja_value self;
};

// Why a value is undefined; any part may be empty.
struct jinja_undefined {
    struct slice name;
    const char *owner; // the type that lacks the attribute
};

static inline struct jinja_value jinja_none(void)
{
    return (struct jinja_value){.kind = JINJA_NONE};
}

static inline struct jinja_value jinja_bool(bool flag)
{
    return (struct jinja_value){.kind = JINJA_BOOL, .flag = flag};
}

static inline struct jinja_value jinja_int(int64_t integer)
{
    return (struct jinja_value){.kind = JINJA_INT, .integer = integer};
}

static inline struct jinja_value jinja_float(double real)
{
    return (struct jinja_value){.kind = JINJA_FLOAT, .real = real};
}

static inline bool jinja_is_given(struct jinja_value v)
{
    return v.kind != JINJA_MISSING;
}

static inline bool jinja_is_number(struct jinja_value v) // as in Python, a bool is one
{
    return v.kind == JINJA_BOOL || v.kind == JINJA_INT || v.kind == JINJA_FLOAT;
}

static inline struct slice jinja_slice(struct jinja_value v) // of a text; empty otherwise
{
    return v.kind == JINJA_TEXT ? slice_make(v.text->at, v.text->n_bytes) : slice_make("", 0);
}

static inline bool jinja_is_generator(struct jinja_value v)
{
    return v.kind == JINJA_LIST && v.list->flavor == JINJA_FLAVOR_GENERATOR;
}

// Python's name of the type, for messages.
const char *jinja_type_name(struct jinja_value v);

struct jinja_value jinja_undefined(struct jinja_run *r, struct slice name, const char *owner);
struct jinja_value jinja_text_borrow(struct jinja_run *r, struct slice bytes); // bytes outlive the render
struct jinja_value jinja_text_copy(struct jinja_run *r, struct slice bytes);
struct jinja_value jinja_text_concat(struct jinja_run *r, struct jinja_value a,
                                     struct jinja_value b);          // two texts
size_t jinja_text_length(struct jinja_run *r, struct jinja_value v); // in code points
// Code points [from, to) of a text, 0 <= from <= to <= length; shares the bytes.
struct jinja_value jinja_text_cut(struct jinja_run *r, struct jinja_value v, size_t from, size_t to);

struct jinja_value jinja_list_new(struct jinja_run *r, size_t capacity, enum jinja_flavor flavor);
void jinja_list_push(struct jinja_run *r, struct jinja_list *list, struct jinja_value item);
struct jinja_value jinja_list_concat(struct jinja_run *r, const struct jinja_list *a,
                                     const struct jinja_list *b);
struct jinja_value jinja_tuple2(struct jinja_run *r, struct jinja_value a, struct jinja_value b);

struct jinja_value jinja_dict_new(struct jinja_run *r);
// The value of a key, NULL: absent. Fails on a key that has no hash (a list, a dict).
struct jinja_value *jinja_dict_find(struct jinja_run *r, const struct jinja_dict *d, struct jinja_value key);
struct jinja_value *jinja_dict_find_text(struct jinja_run *r, const struct jinja_dict *d, struct slice key);
void jinja_dict_set(struct jinja_run *r, struct jinja_dict *d, struct jinja_value key,
                    struct jinja_value value);
bool jinja_dict_remove(struct jinja_run *r, struct jinja_dict *d,
                       struct jinja_value key); // false: was absent

// The whole value; texts are borrowed from it.
struct jinja_value jinja_from_json(struct jinja_run *r, const json_t *json, int depth);
