// SPDX-License-Identifier: MIT
// Reading GGUF v2/v3 files (little-endian). Every count, length and offset is checked against the file before
// it is used; what the reader hands out can be trusted to lie inside the file. Runs only in a runner's
// process, never in the front.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "compute/dtype.h"

enum gguf_type {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
    GGUF_TYPE_COUNT
};

const char *gguf_type_name(enum gguf_type type); // "u32", "string"
uint32_t gguf_type_bytes(enum gguf_type type);   // of one element; 0: string, array

struct gguf;

struct gguf_value {
    struct slice key;
    enum gguf_type type;      // GGUF_ARRAY: elements of elem_type
    enum gguf_type elem_type; // the same as type for scalars
    uint64_t count;           // 1 for scalars
    const void *data;         // packed little-endian elements, unaligned; strings as u64 length + bytes
    uint64_t size_bytes;      // of data
};

struct gguf_tensor {
    struct slice name;
    const struct dtype_info *type;
    uint32_t n_dims;
    uint64_t ne[4];   // ne[0] is contiguous; missing dimensions are 1
    const void *data; // inside the mapping, unaligned
    uint64_t size_bytes;
};

// Maps the file behind fd (which stays the caller's) and reads its directory. ERR_FORMAT names what is wrong
// and where.
int gguf_open(struct gguf **out, int fd, struct err *err);
void gguf_close(struct gguf *g); // takes NULL

uint64_t gguf_file_bytes(const struct gguf *g);
uint32_t gguf_version(const struct gguf *g);
size_t gguf_n_values(const struct gguf *g);
const struct gguf_value *gguf_value_at(const struct gguf *g, size_t i);
const struct gguf_value *gguf_find(const struct gguf *g, const char *key); // NULL: absent
size_t gguf_n_tensors(const struct gguf *g);
const struct gguf_tensor *gguf_tensor_at(const struct gguf *g, size_t i);
const struct gguf_tensor *gguf_find_tensor(const struct gguf *g, const char *name); // NULL: absent

// Scalars. Absent: *out keeps its value and the call succeeds. Present but of another kind or out of range:
// ERR_FORMAT.
int gguf_get_u32(const struct gguf *g, const char *key, uint32_t *out, struct err *err);
int gguf_get_f32(const struct gguf *g, const char *key, float *out, struct err *err);
int gguf_get_bool(const struct gguf *g, const char *key, bool *out, struct err *err);
int gguf_get_string(const struct gguf *g, const char *key, struct slice *out, struct err *err);
// One number per layer: fills n values from an array of at least n or from one scalar for all; absent: keeps
// them.
int gguf_get_u32_per_layer(const struct gguf *g, const char *key, uint32_t *out, uint32_t n, struct err *err);
// Walks an array of strings: *at starts at NULL; returns false at the end.
bool gguf_next_string(const struct gguf_value *v, const void **at, struct slice *out);
// Drops the file's pages of a tensor that has been packed.
void gguf_forget_tensor(const struct gguf *g, const struct gguf_tensor *t);
