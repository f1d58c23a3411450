// SPDX-License-Identifier: MIT
// Reading the members of a request's body: one place for their types and for the words of the errors. As Go's
// decoder: names without case, the last of equal names counts, null is absent, and a wrong type names the
// field and what was expected. The first error wins and is kept; a reader reads all members and looks at
// `failed` once.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "json/json.h"

enum { FIELDS_MAX_READ = 96 };

struct fields {
    const json_t *object;
    const char *path; // "GenerateRequest", "ChatRequest.messages"
    struct err *err;
    bool failed;
    const char *read[FIELDS_MAX_READ]; // names that were asked for: what is known of the object
    size_t n_read;
};

// Parses a body. ERR_INVALID: `empty_text` if there is none, else what is wrong; a value that is no object
// names `go_type` ("api.GenerateRequest"). The value is the caller's.
json_t *fields_parse(struct slice body, const char *go_type, const char *empty_text, struct err *err);
struct fields fields_open(const json_t *object, const char *path, struct err *err);

const json_t *fields_find(struct fields *f, const char *name); // NULL: absent or null; `name` is a literal
// Whether a reader has asked for that member.
bool fields_is_read(const struct fields *f, const char *name);
// Members that change nothing here, whatever they say: labels and hints. Up to NULL.
void fields_accept(struct fields *f, const char *const *names);
// These give true, and set `out`, when the member is there and of the right type.
bool fields_text(struct fields *f, const char *name, struct slice *out); // borrowed from the value
bool fields_bool(struct fields *f, const char *name, bool *out);
bool fields_int(struct fields *f, const char *name, int64_t *out);
bool fields_double(struct fields *f, const char *name, double *out);
const json_t *fields_array(struct fields *f, const char *name,
                           const char *go_type); // NULL: absent, null or wrong
const json_t *fields_object(struct fields *f, const char *name, const char *go_type);
// "json: cannot unmarshal KIND into Go struct field PATH.NAME of type GO_TYPE"
void fields_refuse_type(struct fields *f, const char *name, const json_t *got, const char *go_type);
struct err *fields_fail(struct fields *f);    // marks it as failed; gives where to err_set() why
bool fields_is_empty(const json_t *value);    // NULL, null, "", [], {}, false
const char *fields_kind(const json_t *value); // Go's word: "string", "number", "bool", "array", "object"
