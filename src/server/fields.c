// SPDX-License-Identifier: MIT
// Members of a body, typed. See fields.h for the rules; pure functions over jansson values.
#include "server/fields.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

json_t *fields_parse(struct slice body, const char *go_type, const char *empty_text, struct err *err)
{
    size_t i = 0;
    while (i < body.n &&
           (body.at[i] == ' ' || body.at[i] == '\t' || body.at[i] == '\r' || body.at[i] == '\n'))
        i++;
    if (i == body.n) {
        err_set(err, ERR_INVALID, "%s", empty_text);
        return NULL;
    }
    json_t *value = json_parse_first(body, err);
    if (value && json_is_null(value)) { // as Go: nothing is set
        json_decref(value);
        value = json_object();
    }
    if (value && !json_is_object(value)) {
        err_set(err, ERR_INVALID, "json: cannot unmarshal %s into Go value of type %s", fields_kind(value),
                go_type);
        json_decref(value);
        value = NULL;
    }
    return value;
}

struct fields fields_open(const json_t *object, const char *path, struct err *err)
{
    return (struct fields){.object = object, .path = path, .err = err};
}

bool fields_is_read(const struct fields *f, const char *name)
{
    for (size_t i = 0; i < f->n_read; i++)
        if (strcasecmp(f->read[i], name) == 0)
            return true;
    return false;
}

void fields_accept(struct fields *f, const char *const *names)
{
    for (; *names; names++)
        fields_find(f, *names);
}

const json_t *fields_find(struct fields *f, const char *name)
{
    if (f->n_read < FIELDS_MAX_READ)
        f->read[f->n_read++] = name;
    const json_t *found = NULL;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)f->object, key,
                        value) if (!json_is_null(value) && strcasecmp(key, name) == 0) found = value;
    return found;
}

const char *fields_kind(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "object";
    case JSON_ARRAY:
        return "array";
    case JSON_STRING:
        return "string";
    case JSON_INTEGER:
    case JSON_REAL:
        return "number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "bool";
    default:
        return "null";
    }
}

void fields_refuse_type(struct fields *f, const char *name, const json_t *got, const char *go_type)
{
    char number[40] = "";
    if (json_is_real(got) && strncmp(go_type, "int", 3) == 0)
        snprintf(number, sizeof number, " %g", json_real_value(got));
    f->failed = true;
    err_set(f->err, ERR_INVALID, "json: cannot unmarshal %s%s into Go struct field %s.%s of type %s",
            fields_kind(got), number, f->path, name, go_type);
}

struct err *fields_fail(struct fields *f)
{
    f->failed = true;
    return f->err;
}

bool fields_text(struct fields *f, const char *name, struct slice *out)
{
    const json_t *v = fields_find(f, name);
    if (v && !json_is_string(v))
        fields_refuse_type(f, name, v, "string");
    if (!v || !json_is_string(v))
        return false;
    *out = json_slice(v);
    return true;
}

bool fields_bool(struct fields *f, const char *name, bool *out)
{
    const json_t *v = fields_find(f, name);
    if (v && !json_is_boolean(v))
        fields_refuse_type(f, name, v, "bool");
    if (!v || !json_is_boolean(v))
        return false;
    *out = json_is_true(v);
    return true;
}

bool fields_int(struct fields *f, const char *name, int64_t *out)
{
    const json_t *v = fields_find(f, name);
    if (v && !json_is_integer(v))
        fields_refuse_type(f, name, v, "int");
    if (!v || !json_is_integer(v))
        return false;
    *out = json_integer_value(v);
    return true;
}

bool fields_double(struct fields *f, const char *name, double *out)
{
    const json_t *v = fields_find(f, name);
    if (v && !json_is_number(v))
        fields_refuse_type(f, name, v, "float64");
    if (!v || !json_is_number(v))
        return false;
    *out = json_number_value(v);
    return true;
}

const json_t *fields_array(struct fields *f, const char *name, const char *go_type)
{
    const json_t *v = fields_find(f, name);
    if (v && !json_is_array(v))
        fields_refuse_type(f, name, v, go_type);
    return v && json_is_array(v) ? v : NULL;
}

const json_t *fields_object(struct fields *f, const char *name, const char *go_type)
{
    const json_t *v = fields_find(f, name);
    if (v && !json_is_object(v))
        fields_refuse_type(f, name, v, go_type);
    return v && json_is_object(v) ? v : NULL;
}

bool fields_is_empty(const json_t *v)
{
    if (!v || json_is_null(v) || json_is_false(v))
        return true;
    if (json_is_string(v))
        return json_string_length(v) == 0;
    return (json_is_array(v) && json_array_size(v) == 0) || (json_is_object(v) && json_object_size(v) == 0);
}
