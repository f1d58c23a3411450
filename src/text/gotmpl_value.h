// SPDX-License-Identifier: MIT
// Values of a Go template: what reflect.Value is to Go's package, for the few types that Ollama's data have.
// Small, passed by value; what they point to lives in the arena of the render, in the template or in the
// caller's JSON. Nothing is ever changed.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "json/json.h"

struct gotmpl_run;
struct strbuf;

enum gotmpl_kind {
    GOTMPL_INVALID, // no value at all
    GOTMPL_NIL,     // an interface that holds nothing
    GOTMPL_BOOL,
    GOTMPL_INT,
    GOTMPL_UINT,
    GOTMPL_FLOAT,
    GOTMPL_TEXT,
    GOTMPL_SLICE,
    GOTMPL_MAP,    // keys are texts, in order
    GOTMPL_STRUCT, // or a pointer to one
    GOTMPL_OPAQUE, // holds a map that templates can only print
};

struct gotmpl_value;

// A member of a struct, and how JSON shows it.
struct gotmpl_field {
    const char *name, *json;
    const struct gotmpl_type *type;
    bool omits_empty;
};

struct gotmpl_type {
    enum gotmpl_kind kind;
    const char *name;               // Go's, for messages
    const struct gotmpl_type *elem; // of slices and maps; NULL: any
    const struct gotmpl_field *fields;
    uint32_t n_fields;
    bool is_pointer;
    // The type's own String(), NULL: none.
    void (*put)(struct gotmpl_run *r, struct strbuf *out, struct gotmpl_value v);
    // As JSON where that is not what the kind says, NULL.
    void (*put_json)(struct gotmpl_run *r, struct strbuf *out, struct gotmpl_value v);
};

struct gotmpl_value {
    const struct gotmpl_type *type; // NULL: GOTMPL_INVALID
    bool is_boxed;                  // comes out of an interface; that is its type to some messages
    union {
        bool flag;
        int64_t integer; // GOTMPL_UINT too
        double real;
        struct slice text;
        const struct gotmpl_list *list;    // NULL: nil
        const struct gotmpl_map *map;      // NULL: nil
        const struct gotmpl_value *fields; // as many as the type has
    };
};

struct gotmpl_list {
    const struct gotmpl_value *at;
    size_t n;
};

struct gotmpl_pair {
    struct slice key;
    struct gotmpl_value value;
};

struct gotmpl_map {
    const struct gotmpl_pair *pairs;
    size_t n;
};

extern const struct gotmpl_type gotmpl_type_any, gotmpl_type_bool, gotmpl_type_int, gotmpl_type_byte,
    gotmpl_type_float, gotmpl_type_text, gotmpl_type_texts, gotmpl_type_anys, gotmpl_type_object,
    gotmpl_type_property;

static inline enum gotmpl_kind gotmpl_kind_of(struct gotmpl_value v)
{
    return v.type != NULL ? v.type->kind : GOTMPL_INVALID;
}

static inline bool gotmpl_is_valid(struct gotmpl_value v)
{
    return v.type != NULL;
}

static inline struct gotmpl_value gotmpl_invalid(void)
{
    return (struct gotmpl_value){0};
}

static inline struct gotmpl_value gotmpl_nil(void)
{
    return (struct gotmpl_value){.type = &gotmpl_type_any};
}

static inline struct gotmpl_value gotmpl_bool(bool flag)
{
    return (struct gotmpl_value){.type = &gotmpl_type_bool, .flag = flag};
}

static inline struct gotmpl_value gotmpl_int(int64_t integer)
{
    return (struct gotmpl_value){.type = &gotmpl_type_int, .integer = integer};
}

static inline struct gotmpl_value gotmpl_float(double real)
{
    return (struct gotmpl_value){.type = &gotmpl_type_float, .real = real};
}

static inline struct gotmpl_value gotmpl_text(struct slice text)
{
    return (struct gotmpl_value){.type = &gotmpl_type_text, .text = text};
}

static inline struct gotmpl_value gotmpl_boxed(struct gotmpl_value v)
{
    v.is_boxed = gotmpl_kind_of(v) != GOTMPL_NIL;
    return v;
}

// What an interface holds; an empty one holds no value.
struct gotmpl_value gotmpl_unbox(struct gotmpl_value v);
// Go's name of the type, "interface {}" for what is boxed.
const char *gotmpl_type_name(struct gotmpl_value v);
bool gotmpl_is_true(struct gotmpl_value v);
size_t gotmpl_length(struct gotmpl_value v); // of a text, slice or map
// NULL: the key is not there.
const struct gotmpl_value *gotmpl_map_find(const struct gotmpl_map *map, struct slice key);
const struct gotmpl_value *gotmpl_field_find(struct gotmpl_value v, struct slice name);
// The value that Go gives a variable of the type; NULL is any. Structs' members come from the run's arena.
struct gotmpl_value gotmpl_zero(struct gotmpl_run *r, const struct gotmpl_type *type);
// An element of a slice, as a value of its static type.
struct gotmpl_value gotmpl_element(const struct gotmpl_type *type, struct gotmpl_value v);

// Any JSON as Go's decoder makes it: numbers become floats, objects maps in order of their keys. Fails the
// run on values nested too deep.
struct gotmpl_value gotmpl_from_json(struct gotmpl_run *r, const json_t *json, int depth);
// A map in order of its keys; pairs is the run's and is sorted.
struct gotmpl_value gotmpl_map_new(struct gotmpl_run *r, const struct gotmpl_type *type,
                                   struct gotmpl_pair *pairs, size_t n);
struct gotmpl_value gotmpl_list_new(struct gotmpl_run *r, const struct gotmpl_type *type,
                                    const struct gotmpl_value *at, size_t n);
