// SPDX-License-Identifier: MIT
// Reads the directory of a GGUF file (values, then tensors) through one cursor.
//
// Idea: everything is a view into the mapping; only two tables of views and two maps of names are allocated,
// and each is sized by a count that was compared with the bytes that are left first. All sums and products of
// numbers from the file are u64 with overflow tests. Holds after success: every value and tensor lies inside
// the mapping, keys and tensor names are unique, tensors do not overlap.
#include "gguf/directory.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/cursor.h"
#include "base/mem.h"

enum {
    HEADER_BYTES = 24,
    MIN_VALUE_BYTES = 8 + 1 + 4 + 1,      // key length, a key of one byte, type, a value of one byte
    MIN_TENSOR_BYTES = 8 + 1 + 4 + 4 + 8, // name length, a name of one byte, n_dims 0, type, offset
    MAX_KEY_BYTES = 65535,                // the specification's limit
    MAX_NAME_BYTES = 63,                  // what every reader of these files takes
    DEFAULT_ALIGNMENT = 32,
    MAX_ALIGNMENT = 1 << 20,
    SHOWN_BYTES = 80, // of a name in a message
};

// Names come from the file: shown in messages as printable ASCII, shortened.
struct shown {
    char text[SHOWN_BYTES + 4];
};

static struct shown shown(struct slice name)
{
    struct shown s;
    size_t n = MIN(name.n, (size_t)SHOWN_BYTES);
    for (size_t i = 0; i < n; i++)
        s.text[i] = name.at[i] >= 0x20 && name.at[i] < 0x7F ? name.at[i] : '?';
    memcpy(s.text + n, name.n > n ? "..." : "\0\0\0", 4);
    return s;
}

// "<what> is cut off": how many bytes are wanted at least, and how many there are.
static int truncated(const struct cursor *c, const char *what, uint64_t need, struct err *err)
{
    uint64_t left = (uint64_t)(c->end - c->at);
    return err_set(err, ERR_FORMAT,
                   "%s needs %" PRIu64 " bytes at offset %zu, the file has %" PRIu64
                   " left: truncated or broken, at least %" PRIu64 " bytes are missing",
                   what, need, cursor_offset(c), left, need - left);
}

static int need(const struct cursor *c, const char *what, uint64_t n_bytes, struct err *err)
{
    return n_bytes > cursor_left(c) ? truncated(c, what, n_bytes, err) : 0;
}

static int read_string(struct cursor *c, const char *what, struct slice *out, struct err *err)
{
    *out = slice_make("", 0);
    if (need(c, what, 8, err) != 0)
        return -1;
    uint64_t n = cursor_u64(c);
    if (need(c, what, n, err) != 0)
        return -1;
    *out = cursor_bytes(c, n);
    return 0;
}

// ---- Values

static int read_value_type(struct cursor *c, const char *what, enum gguf_type *out, struct err *err)
{
    *out = GGUF_U8;
    if (need(c, what, 4, err) != 0)
        return -1;
    int32_t id = cursor_i32(c);
    if (id < 0 || id >= GGUF_TYPE_COUNT)
        return err_set(err, ERR_FORMAT, "%s: value type %" PRId32 " is unknown", what, id);
    *out = (enum gguf_type)id;
    return 0;
}

static int skip_strings(struct cursor *c, const char *what, uint64_t count, struct err *err)
{
    if (count > cursor_left(c) / 8)
        return truncated(c, what, count > UINT64_MAX / 8 ? UINT64_MAX : count * 8, err);
    for (uint64_t i = 0; i < count; i++) {
        struct slice ignored;
        if (read_string(c, what, &ignored, err) != 0)
            return -1;
    }
    return 0;
}

static int skip_elements(struct cursor *c, const char *what, enum gguf_type type, uint64_t count,
                         struct err *err)
{
    if (type == GGUF_STRING)
        return skip_strings(c, what, count, err);
    uint64_t n_bytes;
    if (__builtin_mul_overflow(count, (uint64_t)gguf_type_bytes(type), &n_bytes))
        n_bytes = UINT64_MAX;
    if (need(c, what, n_bytes, err) != 0)
        return -1;
    cursor_take(c, n_bytes);
    return 0;
}

static int read_array_head(struct cursor *c, const char *what, struct gguf_value *v, struct err *err)
{
    if (read_value_type(c, what, &v->elem_type, err) != 0)
        return -1;
    if (v->elem_type == GGUF_ARRAY)
        return err_set(err, ERR_FORMAT, "%s: an array of arrays is not supported", what);
    if (need(c, what, 8, err) != 0)
        return -1;
    v->count = cursor_u64(c);
    return 0;
}

static int read_value(struct cursor *c, struct gguf_value *v, struct err *err)
{
    char what[SHOWN_BYTES + 16];
    if (read_string(c, "a key", &v->key, err) != 0)
        return -1;
    if (v->key.n == 0 || v->key.n > MAX_KEY_BYTES)
        return err_set(err, ERR_FORMAT, "a key before offset %zu is %s", cursor_offset(c),
                       v->key.n == 0 ? "empty" : "longer than 65535 bytes");
    snprintf(what, sizeof what, "key '%s'", shown(v->key).text);
    if (read_value_type(c, what, &v->type, err) != 0)
        return -1;
    v->elem_type = v->type;
    v->count = 1;
    if (v->type == GGUF_ARRAY && read_array_head(c, what, v, err) != 0)
        return -1;
    v->data = c->at;
    if (skip_elements(c, what, v->elem_type, v->count, err) != 0)
        return -1;
    v->size_bytes = (uint64_t)(c->at - (const unsigned char *)v->data);
    return 0;
}

static int read_values(struct gguf *g, struct cursor *c, struct err *err)
{
    for (size_t i = 0; i < g->n_values; i++) {
        struct gguf_value *v = &g->values[i];
        uint32_t other;
        if (read_value(c, v, err) != 0)
            return -1;
        if (map_find(&g->keys, v->key, &other))
            return err_set(err, ERR_FORMAT, "key '%s' occurs twice", shown(v->key).text);
        map_set(&g->keys, v->key, (uint32_t)i);
    }
    return 0;
}

static int read_alignment(struct gguf *g, struct err *err)
{
    const struct gguf_value *v = gguf_find(g, "general.alignment");
    g->alignment = DEFAULT_ALIGNMENT;
    if (v == NULL)
        return 0;
    if (v->type != GGUF_U32)
        return err_set(err, ERR_FORMAT, "key 'general.alignment' is of type %s instead of u32",
                       gguf_type_name(v->type));
    uint32_t alignment;
    memcpy(&alignment, v->data, sizeof alignment);
    if (alignment == 0 || (alignment & (alignment - 1)) != 0)
        return err_set(err, ERR_FORMAT, "key 'general.alignment': %" PRIu32 " is not a power of two",
                       alignment);
    if (alignment > MAX_ALIGNMENT)
        return err_set(err, ERR_FORMAT, "key 'general.alignment': %" PRIu32 " is more than 1 MiB", alignment);
    g->alignment = alignment;
    return 0;
}

// ---- Tensors

// Types that once existed; their sizes are not known any more.
static const struct {
    int32_t id;
    const char *name;
} removed[] = {
    {4, "Q4_2"},      {5, "Q4_3"},        {31, "Q4_0_4_4"},   {32, "Q4_0_4_8"},
    {33, "Q4_0_8_8"}, {36, "IQ4_NL_4_4"}, {37, "IQ4_NL_4_8"}, {38, "IQ4_NL_8_8"},
};

static int find_type(int32_t id, const char *what, const struct dtype_info **out, struct err *err)
{
    *out = NULL;
    for (size_t i = 0; i < COUNT_OF(removed); i++)
        if (removed[i].id == id)
            return err_set(err, ERR_FORMAT, "%s: type %s (%" PRId32 ") was removed from the format", what,
                           removed[i].name, id);
    *out = dtype_find(id);
    if (*out == NULL || (*out)->block_elems == 0 || (*out)->block_bytes == 0)
        return err_set(err, ERR_FORMAT, "%s: tensor type %" PRId32 " is unknown", what, id);
    return 0;
}

// Size of the tensor from its shape. The number of elements must fit i64, as in every other reader.
static int measure(struct gguf_tensor *t, const char *what, struct err *err)
{
    uint64_t n_elems = 1;
    for (int d = 0; d < 4; d++) {
        if (t->ne[d] > INT64_MAX)
            return err_set(err, ERR_FORMAT, "%s: dimension %d is negative or too large", what, d);
        if (__builtin_mul_overflow(n_elems, t->ne[d], &n_elems) || n_elems > INT64_MAX)
            return err_set(err, ERR_FORMAT, "%s: the product of its dimensions overflows", what);
    }
    if (t->ne[0] % t->type->block_elems != 0)
        return err_set(err, ERR_FORMAT,
                       "%s: its rows of %" PRIu64 " values are not whole blocks of %s (%" PRIu32 ")", what,
                       t->ne[0], t->type->name, t->type->block_elems);
    if (!dtype_row_bytes(t->type, t->ne[0], &t->size_bytes))
        return err_set(err, ERR_FORMAT, "%s: its size overflows", what);
    for (int d = 1; d < 4; d++)
        if (__builtin_mul_overflow(t->size_bytes, t->ne[d], &t->size_bytes))
            return err_set(err, ERR_FORMAT, "%s: its size overflows", what);
    return 0;
}

static int read_tensor(struct cursor *c, struct gguf_tensor *t, uint64_t *offset, struct err *err)
{
    char what[SHOWN_BYTES + 16];
    if (read_string(c, "a tensor's name", &t->name, err) != 0)
        return -1;
    snprintf(what, sizeof what, "tensor '%s'", shown(t->name).text);
    if (t->name.n == 0 || t->name.n > MAX_NAME_BYTES)
        return err_set(err, ERR_FORMAT, "%s: its name has %zu bytes instead of 1 to 63", what, t->name.n);
    if (need(c, what, 4, err) != 0)
        return -1;
    t->n_dims = cursor_u32(c);
    if (t->n_dims > 4)
        return err_set(err, ERR_FORMAT, "%s: %" PRIu32 " dimensions are more than 4", what, t->n_dims);
    if (need(c, what, t->n_dims * 8 + 4 + 8, err) != 0)
        return -1;
    for (uint32_t d = 0; d < 4; d++)
        t->ne[d] = d < t->n_dims ? cursor_u64(c) : 1;
    if (find_type(cursor_i32(c), what, &t->type, err) != 0)
        return -1;
    *offset = cursor_u64(c);
    return measure(t, what, err);
}

static bool pad(uint64_t *n, uint64_t alignment)
{
    if (__builtin_add_overflow(*n, alignment - 1, n))
        return false;
    *n &= ~(alignment - 1);
    return true;
}

// Reads the table. Tensors lie in its order without gaps, so an offset is right or wrong; `data` holds the
// offset until place_tensors().
static int read_tensors(struct gguf *g, struct cursor *c, struct err *err)
{
    uint64_t expected = 0;
    for (size_t i = 0; i < g->n_tensors; i++) {
        struct gguf_tensor *t = &g->tensors[i];
        uint64_t offset = 0;
        uint32_t other;
        if (read_tensor(c, t, &offset, err) != 0)
            return -1;
        if (map_find(&g->names, t->name, &other))
            return err_set(err, ERR_FORMAT, "tensor '%s' occurs twice", shown(t->name).text);
        map_set(&g->names, t->name, (uint32_t)i);
        if (offset % g->alignment != 0)
            return err_set(err, ERR_FORMAT,
                           "tensor '%s': offset %" PRIu64 " is not a multiple of the alignment %" PRIu64,
                           shown(t->name).text, offset, g->alignment);
        if (offset != expected)
            return err_set(err, ERR_FORMAT,
                           "tensor '%s': offset %" PRIu64 " instead of %" PRIu64
                           ", the end of the tensor before",
                           shown(t->name).text, offset, expected);
        t->data = (const void *)(uintptr_t)offset;
        if (__builtin_add_overflow(expected, t->size_bytes, &expected) || !pad(&expected, g->alignment))
            return err_set(err, ERR_FORMAT, "tensor '%s': the sum of all sizes overflows",
                           shown(t->name).text);
    }
    return 0;
}

// Turns offsets into pointers, after all of them are known to fit. The padding of the last tensor may be
// missing.
static int place_tensors(struct gguf *g, struct err *err)
{
    const struct gguf_tensor *first_cut = NULL;
    uint64_t missing = 0;
    for (size_t i = 0; i < g->n_tensors; i++) {
        struct gguf_tensor *t = &g->tensors[i];
        uint64_t end;
        if (__builtin_add_overflow(g->data_start, (uint64_t)(uintptr_t)t->data, &end) ||
            __builtin_add_overflow(end, t->size_bytes, &end))
            return err_set(err, ERR_FORMAT, "tensor '%s': its end overflows", shown(t->name).text);
        if (end > g->size_bytes) {
            first_cut = first_cut ? first_cut : t;
            missing = end - g->size_bytes;
            continue;
        }
        t->data = g->map + (end - t->size_bytes);
    }
    if (first_cut == NULL)
        return 0;
    return err_set(err, ERR_FORMAT,
                   "tensor '%s' (%" PRIu64 " bytes) lies beyond the end: truncated, %" PRIu64
                   " bytes are missing",
                   shown(first_cut->name).text, first_cut->size_bytes, missing);
}

// ---- The file

static int read_version(struct gguf *g, struct cursor *c, struct err *err)
{
    const char *magic = cursor_take(c, 4);
    if (magic == NULL)
        return truncated(c, "the header", HEADER_BYTES, err);
    if (memcmp(magic, "GGUF", 4) != 0)
        return err_set(err, ERR_FORMAT, "not a GGUF file: it does not begin with \"GGUF\"");
    if (need(c, "the header", 4, err) != 0)
        return -1;
    g->version = cursor_u32(c);
    if (g->version != 0 && (g->version & 0xFFFF) == 0)
        return err_set(err, ERR_FORMAT, "big-endian GGUF files are not supported");
    if (g->version == 1)
        return err_set(err, ERR_FORMAT, "GGUF version 1 is not supported; convert the file to version 3");
    if (g->version != 2 && g->version != 3)
        return err_set(err, ERR_FORMAT, "GGUF version %" PRIu32 " is unknown (2 and 3 are supported)",
                       g->version);
    return 0;
}

static int check_count(const struct cursor *c, const char *what, uint64_t count, uint64_t min_bytes,
                       struct err *err)
{
    if (count <= cursor_left(c) / min_bytes && count <= UINT32_MAX)
        return 0;
    uint64_t n_bytes;
    if (__builtin_mul_overflow(count, min_bytes, &n_bytes) || count > UINT32_MAX)
        return err_set(err, ERR_FORMAT, "the header's number of %s, %" PRIu64 ", is absurd", what, count);
    char text[80];
    snprintf(text, sizeof text, "a directory of %" PRIu64 " %s", count, what);
    return truncated(c, text, n_bytes, err);
}

int directory_read(struct gguf *g, struct err *err)
{
    struct cursor c = cursor_make(g->map, g->size_bytes);
    if (read_version(g, &c, err) != 0)
        return -1;
    if (need(&c, "the header", HEADER_BYTES - 8, err) != 0)
        return -1;
    uint64_t n_tensors = cursor_u64(&c), n_values = cursor_u64(&c);
    if (check_count(&c, "tensors", n_tensors, MIN_TENSOR_BYTES, err) != 0 ||
        check_count(&c, "values", n_values, MIN_VALUE_BYTES, err) != 0)
        return -1;
    g->values = mem_try_alloc(n_values, sizeof *g->values);
    g->tensors = mem_try_alloc(n_tensors, sizeof *g->tensors);
    if (g->values == NULL || g->tensors == NULL)
        return err_set(err, ERR_NO_MEMORY,
                       "no memory for a directory of %" PRIu64 " values and %" PRIu64 " tensors", n_values,
                       n_tensors);
    g->n_values = n_values;
    g->n_tensors = n_tensors;
    map_init(&g->keys, 64); // these grow with what is really read
    map_init(&g->names, 64);
    if (read_values(g, &c, err) != 0 || read_alignment(g, err) != 0 || read_tensors(g, &c, err) != 0)
        return -1;
    g->data_start = cursor_offset(&c);
    if (!pad(&g->data_start, g->alignment))
        return err_set(err, ERR_FORMAT, "the start of the data overflows");
    return place_tensors(g, err);
}
