// SPDX-License-Identifier: MIT
// The tensors of a file being made: where their values are, how they change on the way, which type they get.
// Private to convert/.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "compute/dtype.h"
#include "compute/pool.h"
#include "convert/convert.h"
#include "gguf/gguf_write.h"

enum { TENSOR_NAME_BYTES = 64 };

struct tensor {
    char name[TENSOR_NAME_BYTES];
    const struct dtype_info *from, *to; // from: F32, F16 or BF16, unless `to` is the same
    uint32_t n_dims;
    uint64_t ne[4];   // ne[0] is contiguous; missing dimensions are 1
    const void *data; // inside a file's mapping, or less than a page; unaligned
    uint32_t n_heads; // rows of each head: its halves are laid into pairs; 0: rows stay where they are
    float added;      // to every value
};

struct tensors {
    struct tensor *at;
    size_t n, capacity;
};

struct tensor *tensors_add(struct tensors *t); // all zero
void tensors_fini(struct tensors *t);
uint64_t tensor_n_elems(const struct tensor *t);

// Adds the tensors to the writer and streams the file. ERR_FORMAT names a tensor with a value that is no
// number or too large for its type.
int tensors_write(const struct tensors *t, struct gguf_writer *w, const char *text, int n_threads,
                  const struct convert_output *out, struct err *err);
