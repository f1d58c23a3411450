// SPDX-License-Identifier: MIT
// What gguf.c (the file and look-ups) and directory.c (reading it) share. Private to gguf/.
#pragma once

#include "base/map.h"
#include "gguf/gguf.h"

struct gguf {
    const unsigned char *map;
    size_t size_bytes;
    uint32_t version;
    uint64_t alignment;
    uint64_t data_start;
    size_t n_values, n_tensors;
    struct gguf_value *values;
    struct gguf_tensor *tensors;
    struct map keys, names;
};

// Reads values and tensors of the mapped file into the tables; on failure what was allocated stays in g.
int directory_read(struct gguf *g, struct err *err);
