// SPDX-License-Identifier: MIT
// Typed look-ups in the values of a GGUF file. Writers disagree about the width of a number, so any integer
// type is taken that holds a value in range; anything else is an error that names the key. Elements are
// unaligned in the file and read by memcpy.
#include "gguf/gguf.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/cursor.h"

struct number {
    bool is_integer;
    bool is_negative;
    uint64_t integer; // the value, or its magnitude when negative
    double real;
};

static struct number signed_number(int64_t v)
{
    return (struct number){true, v < 0, v < 0 ? 0 - (uint64_t)v : (uint64_t)v, (double)v};
}

static struct number unsigned_number(uint64_t v)
{
    return (struct number){true, false, v, (double)v};
}

// Element i of an array or scalar; false when elements are no numbers.
static bool number_at(const struct gguf_value *v, uint64_t i, struct number *out)
{
    struct cursor c = cursor_make(v->data, (size_t)v->size_bytes);
    c.at += i * gguf_type_bytes(v->elem_type);
    switch (v->elem_type) {
    case GGUF_U8:
        *out = unsigned_number(cursor_u8(&c));
        return true;
    case GGUF_I8:
        *out = signed_number((int8_t)cursor_u8(&c));
        return true;
    case GGUF_U16:
        *out = unsigned_number(cursor_u16(&c));
        return true;
    case GGUF_I16:
        *out = signed_number((int16_t)cursor_u16(&c));
        return true;
    case GGUF_U32:
        *out = unsigned_number(cursor_u32(&c));
        return true;
    case GGUF_I32:
        *out = signed_number(cursor_i32(&c));
        return true;
    case GGUF_U64:
        *out = unsigned_number(cursor_u64(&c));
        return true;
    case GGUF_I64:
        *out = signed_number((int64_t)cursor_u64(&c));
        return true;
    case GGUF_F32:
        *out = (struct number){.real = (double)cursor_f32(&c)};
        return true;
    case GGUF_F64:
        *out = (struct number){.real = cursor_f64(&c)};
        return true;
    default:
        return false;
    }
}

static int wrong_kind(const struct gguf_value *v, const char *key, const char *wanted, struct err *err)
{
    return err_set(err, ERR_FORMAT, "key '%s' is %s%s instead of %s", key,
                   v->type == GGUF_ARRAY ? "an array of " : "of type ", gguf_type_name(v->elem_type), wanted);
}

static int u32_at(const struct gguf_value *v, const char *key, uint64_t i, uint32_t *out, struct err *err)
{
    struct number n;
    if (!number_at(v, i, &n) || !n.is_integer)
        return wrong_kind(v, key, "an integer", err);
    if (n.is_negative || n.integer > UINT32_MAX)
        return err_set(err, ERR_FORMAT, "key '%s': %s%" PRIu64 " is out of range", key,
                       n.is_negative ? "-" : "", n.integer);
    *out = (uint32_t)n.integer;
    return 0;
}

int gguf_get_u32(const struct gguf *g, const char *key, uint32_t *out, struct err *err)
{
    const struct gguf_value *v = gguf_find(g, key);
    if (v == NULL)
        return 0;
    if (v->type == GGUF_ARRAY)
        return wrong_kind(v, key, "one integer", err);
    return u32_at(v, key, 0, out, err);
}

int gguf_get_f32(const struct gguf *g, const char *key, float *out, struct err *err)
{
    const struct gguf_value *v = gguf_find(g, key);
    struct number n;
    if (v == NULL)
        return 0;
    if (v->type == GGUF_ARRAY || !number_at(v, 0, &n))
        return wrong_kind(v, key, "one number", err);
    if (!isfinite((float)n.real))
        return err_set(err, ERR_FORMAT, "key '%s' is not a finite number", key);
    *out = (float)n.real;
    return 0;
}

int gguf_get_bool(const struct gguf *g, const char *key, bool *out, struct err *err)
{
    const struct gguf_value *v = gguf_find(g, key);
    if (v == NULL)
        return 0;
    if (v->type != GGUF_BOOL)
        return wrong_kind(v, key, "bool", err);
    *out = *(const uint8_t *)v->data != 0;
    return 0;
}

int gguf_get_string(const struct gguf *g, const char *key, struct slice *out, struct err *err)
{
    const struct gguf_value *v = gguf_find(g, key);
    const void *at = NULL;
    if (v == NULL)
        return 0;
    if (v->type != GGUF_STRING)
        return wrong_kind(v, key, "a string", err);
    gguf_next_string(v, &at, out);
    return 0;
}

int gguf_get_u32_per_layer(const struct gguf *g, const char *key, uint32_t *out, uint32_t n, struct err *err)
{
    const struct gguf_value *v = gguf_find(g, key);
    if (v == NULL)
        return 0;
    if (v->type == GGUF_ARRAY && v->count < n)
        return err_set(err, ERR_FORMAT, "key '%s' has %" PRIu64 " elements, %" PRIu32 " layers need one each",
                       key, v->count, n);
    for (uint32_t i = 0; i < n; i++)
        if (u32_at(v, key, v->type == GGUF_ARRAY ? i : 0, &out[i], err) != 0)
            return -1;
    return 0;
}

bool gguf_next_string(const struct gguf_value *v, const void **at, struct slice *out)
{
    if (v->elem_type != GGUF_STRING)
        return false;
    struct cursor c = cursor_make(v->data, (size_t)v->size_bytes);
    if (*at != NULL)
        c.at = *at;
    uint64_t n = cursor_u64(&c);
    *out = cursor_bytes(&c, n);
    *at = c.at;
    return !c.failed;
}
