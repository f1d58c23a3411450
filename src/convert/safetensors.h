// SPDX-License-Identifier: MIT
// Reading safetensors files: u64 length of the header, the header as JSON, then the tensors' bytes. Every
// offset and size is checked against the file before it is used. Private to convert/; the fuzzer's door.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "compute/dtype.h"

enum { SAFETENSOR_DIMS = 4 };

struct safetensor {
    const char *name;              // of the file's header, terminated
    const char *kind;              // "BF16"
    const struct dtype_info *type; // NULL: a kind that cannot be read
    uint32_t n_dims;
    uint64_t shape[SAFETENSOR_DIMS]; // rows first, as in the file; missing ones are 1
    const void *data;                // inside the mapping, unaligned
    uint64_t size_bytes;
};

struct safetensors;

// Maps the file behind fd (which stays the caller's). ERR_FORMAT says what is wrong.
int safetensors_open(struct safetensors **out, int fd, struct err *err);
void safetensors_close(struct safetensors *s); // takes NULL
size_t safetensors_count(const struct safetensors *s);
const struct safetensor *safetensors_at(const struct safetensors *s, size_t i);
