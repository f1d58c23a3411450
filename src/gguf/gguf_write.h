// SPDX-License-Identifier: MIT
// Writing GGUF v3 files: values and tensors are collected, then written in one go. For converted and for
// made-up models; what it is given comes from our own code, so broken promises (a key twice, a row that is no
// whole number of blocks) are asserts. One thread.
#pragma once

#include "gguf/gguf.h"

struct gguf_writer;

// Fills buffer with bytes [begin, begin + n) of the tensor: whole blocks of its type.
typedef int gguf_fill_fn(void *arg, uint64_t begin, void *buffer, size_t n, struct err *err);
// Takes the next bytes of the file.
typedef int gguf_sink_fn(void *user, const void *bytes, size_t n, struct err *err);

// alignment: a power of two; 32 is the format's default, any other is written as general.alignment.
struct gguf_writer *gguf_writer_new(uint32_t alignment);
void gguf_writer_free(struct gguf_writer *w); // takes NULL

// Values are copied. Arrays: `elements` packed as in memory (little-endian machines only).
void gguf_writer_set_u32(struct gguf_writer *w, const char *key, uint32_t value);
void gguf_writer_set_f32(struct gguf_writer *w, const char *key, float value);
void gguf_writer_set_bool(struct gguf_writer *w, const char *key, bool value);
void gguf_writer_set_string(struct gguf_writer *w, const char *key, struct slice value);
void gguf_writer_set_scalar(struct gguf_writer *w, const char *key, enum gguf_type type, const void *value);
void gguf_writer_set_array(struct gguf_writer *w, const char *key, enum gguf_type elem_type,
                           const void *elements, uint64_t count);
void gguf_writer_set_strings(struct gguf_writer *w, const char *key, const struct slice *strings,
                             uint64_t count);
// A value of a file that was read, as it is.
void gguf_writer_copy(struct gguf_writer *w, const struct gguf_value *v);

// data stays the caller's until gguf_writer_write(). ne has n_dims entries, ne[0] contiguous.
void gguf_writer_add_tensor(struct gguf_writer *w, const char *name, int32_t type_id, uint32_t n_dims,
                            const uint64_t *ne, const void *data);
// The same with the bytes made while writing, a piece at a time in ascending order.
void gguf_writer_add_tensor_fill(struct gguf_writer *w, const char *name, int32_t type_id, uint32_t n_dims,
                                 const uint64_t *ne, gguf_fill_fn *fill, void *arg);

uint64_t gguf_writer_file_bytes(const struct gguf_writer *w); // with what was added so far
// Gives the whole file to the sink, in order. Ends with the first error of the sink or of a fill.
int gguf_writer_stream(const struct gguf_writer *w, gguf_sink_fn *sink, void *user, struct err *err);
// Writes the whole file at the start of fd. ERR_INTERNAL says why writing failed.
int gguf_writer_write(struct gguf_writer *w, int fd, struct err *err);
