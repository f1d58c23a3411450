// SPDX-License-Identifier: MIT
// The header is parsed once and kept: names and kinds of tensors point into it.
#include "convert/safetensors.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "base/mem.h"
#include "convert/input.h"
#include "json/json.h"

enum { MAX_HEADER_BYTES = 32 << 20, MAX_TENSORS = 1 << 16 };

struct safetensors {
    struct input file;
    json_t *header;
    const unsigned char *data; // where offsets count from
    uint64_t data_bytes;
    struct safetensor *tensors;
    size_t n;
};

static const struct {
    const char *kind;
    uint32_t bytes;
    int32_t type; // -1: cannot be read
} kinds[] = {
    {"F32", 4, DTYPE_F32}, {"F16", 2, DTYPE_F16}, {"BF16", 2, DTYPE_BF16}, {"F64", 8, -1},
    {"I64", 8, -1},        {"U64", 8, -1},        {"I32", 4, -1},          {"U32", 4, -1},
    {"I16", 2, -1},        {"U16", 2, -1},        {"I8", 1, -1},           {"U8", 1, -1},
    {"BOOL", 1, -1},       {"F8_E4M3", 1, -1},    {"F8_E5M2", 1, -1},
};

// Bytes of an element, 0 when the kind is not known.
static uint32_t find_kind(const char *kind, const struct dtype_info **type)
{
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        if (strcmp(kinds[i].kind, kind) == 0) {
            *type = kinds[i].type >= 0 ? dtype_find(kinds[i].type) : NULL;
            return kinds[i].bytes;
        }
    }
    return 0;
}

static bool get_size(const json_t *value, uint64_t *out)
{
    *out = json_is_integer(value) && json_integer_value(value) >= 0 ? (uint64_t)json_integer_value(value) : 0;
    return json_is_integer(value) && json_integer_value(value) >= 0;
}

static int read_shape(const json_t *value, struct safetensor *t, uint64_t *n_elems, struct err *err)
{
    t->n_dims = (uint32_t)MIN(json_array_size(value), (size_t)UINT32_MAX);
    *n_elems = 1;
    if (!json_is_array(value) || t->n_dims > SAFETENSOR_DIMS)
        return err_set(err, ERR_FORMAT, "tensor '%.60s': the shape is no list of up to %d numbers", t->name,
                       SAFETENSOR_DIMS);
    for (uint32_t i = 0; i < SAFETENSOR_DIMS; i++) {
        t->shape[i] = 1;
        if (i < t->n_dims && !get_size(json_array_get(value, i), &t->shape[i]))
            return err_set(err, ERR_FORMAT, "tensor '%.60s': the shape is no list of sizes", t->name);
        if (__builtin_mul_overflow(*n_elems, t->shape[i], n_elems))
            return err_set(err, ERR_FORMAT, "tensor '%.60s': the shape overflows", t->name);
    }
    return 0;
}

static int read_tensor(struct safetensors *s, const json_t *value, struct safetensor *t, struct err *err)
{
    const json_t *offsets = json_object_get(value, "data_offsets");
    uint64_t n_elems, begin = 0, end = 0, n_bytes;
    t->kind = json_string_value(json_object_get(value, "dtype"));
    uint32_t elem_bytes = t->kind != NULL ? find_kind(t->kind, &t->type) : 0;
    if (elem_bytes == 0)
        return err_set(err, ERR_FORMAT, "tensor '%.60s': unknown dtype '%.20s'", t->name,
                       t->kind != NULL ? t->kind : "");
    if (read_shape(json_object_get(value, "shape"), t, &n_elems, err) != 0)
        return -1;
    if (json_array_size(offsets) != 2 || !get_size(json_array_get(offsets, 0), &begin) ||
        !get_size(json_array_get(offsets, 1), &end) || begin > end || end > s->data_bytes)
        return err_set(err, ERR_FORMAT, "tensor '%.60s': its data_offsets do not lie in the file", t->name);
    if (__builtin_mul_overflow(n_elems, (uint64_t)elem_bytes, &n_bytes) || n_bytes != end - begin)
        return err_set(err, ERR_FORMAT, "tensor '%.60s': its shape and its data_offsets disagree", t->name);
    t->data = s->data + begin;
    t->size_bytes = n_bytes;
    return 0;
}

static int read_header(struct safetensors *s, struct err *err)
{
    struct cursor c = cursor_make(s->file.at, s->file.n);
    uint64_t header_bytes = cursor_u64(&c);
    struct slice text = cursor_bytes(&c, header_bytes);
    struct err why = {0};
    const char *name;
    json_t *value;
    if (c.failed || header_bytes > MAX_HEADER_BYTES)
        return err_set(err, ERR_FORMAT, "no safetensors file, or it is truncated");
    s->data = c.at;
    s->data_bytes = cursor_left(&c);
    s->header = json_parse(text, &why);
    if (!json_is_object(s->header))
        return err_set(err, ERR_FORMAT, "the header is no JSON object%s%.200s", why.message[0] ? ": " : "",
                       why.message);
    if (json_object_size(s->header) > MAX_TENSORS)
        return err_set(err, ERR_FORMAT, "more than %d tensors", MAX_TENSORS);
    s->tensors = xcalloc(json_object_size(s->header) + 1, sizeof s->tensors[0]);
    json_object_foreach(s->header, name, value)
    {
        if (strcmp(name, "__metadata__") == 0)
            continue;
        struct safetensor *t = &s->tensors[s->n++];
        t->name = name;
        if (read_tensor(s, value, t, err) != 0)
            return -1;
    }
    return 0;
}

int safetensors_open(struct safetensors **out, int fd, struct err *err)
{
    struct safetensors *s = xcalloc(1, sizeof *s);
    int rc = input_map(&s->file, fd, UINT64_MAX, err);
    if (rc == 0)
        rc = read_header(s, err);
    if (rc != 0) {
        safetensors_close(s);
        s = NULL;
    }
    *out = s;
    return rc;
}

void safetensors_close(struct safetensors *s)
{
    if (s == NULL)
        return;
    json_decref(s->header);
    free(s->tensors);
    input_unmap(&s->file);
    free(s);
}

size_t safetensors_count(const struct safetensors *s)
{
    return s->n;
}

const struct safetensor *safetensors_at(const struct safetensors *s, size_t i)
{
    return &s->tensors[i];
}
