// SPDX-License-Identifier: MIT
// Made-up files for the tests of the reader: bytes in memory, opened through a memfd.
#pragma once

#include "../test.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/strbuf.h"
#include "gguf/gguf.h"

static inline int file_of(const void *bytes, size_t n)
{
    int fd = memfd_create("gguf", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, n), n);
    return fd;
}

// Opens bytes as a file; NULL and the error when they are refused.
static inline struct gguf *open_bytes(const void *bytes, size_t n, struct err *err)
{
    struct gguf *g;
    int fd = file_of(bytes, n);
    int rc = gguf_open(&g, fd, err);
    assert_true((rc == 0) == (g != NULL));
    close(fd);
    return g;
}
