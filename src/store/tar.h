// SPDX-License-Identifier: MIT
// The tar format, as much as an archive of models needs: plain files, one after the other, names of any
// length (GNU), sizes beyond 8 GiB (GNU). Private to the store room.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

enum { TAR_NAME_BYTES = 1024 };

int tar_write_all(int fd, struct slice bytes, struct err *err);
int tar_write_head(int fd, const char *name, uint64_t size_bytes, struct err *err);
int tar_write_padding(int fd, uint64_t size_bytes, struct err *err); // behind the bytes of a file
int tar_write_end(int fd, struct err *err);

struct tar_entry {
    char name[TAR_NAME_BYTES]; // without "./" in front
    uint64_t size_bytes;
};
// 1: a file's head was read, its bytes follow; 0: the end. What is no plain file is passed over. ERR_FORMAT.
int tar_read_head(int fd, struct tar_entry *out, struct err *err);
int tar_read_all(int fd, void *out, size_t n, struct err *err); // exactly n bytes
int tar_skip_padding(int fd, uint64_t size_bytes, struct err *err);
