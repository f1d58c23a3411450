// SPDX-License-Identifier: MIT
// What the targets share. A target is one file with LLVMFuzzerTestOneInput: bytes from outside go into one of
// our parsers, and what comes out is held against what must always be true of it. A crash, a report of a
// sanitizer or an aborted FUZZ_CHECK is a finding; its input belongs into tests/data/fuzz/TARGET.
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/slice.h"
#include "base/strbuf.h"

int LLVMFuzzerInitialize(int *argc, char ***argv); // support.c
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

#define FUZZ_CHECK(truth)                                                                                    \
    do {                                                                                                     \
        if (!(truth)) {                                                                                      \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #truth);                            \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

// A failure says why, a success sets no error.
static inline void fuzz_check_result(int rc, const struct err *err)
{
    FUZZ_CHECK((rc == 0) == (err->code == ERR_NONE));
    FUZZ_CHECK(rc == 0 || err->message[0] != 0);
}

// Takes the bytes up to the next 0xff, which is part of no text, off the front.
static inline struct slice fuzz_take_part(struct slice *rest)
{
    const char *end = rest->n > 0 ? memchr(rest->at, 0xff, rest->n) : NULL;
    struct slice part = slice_make(rest->at, end != NULL ? (size_t)(end - rest->at) : rest->n);
    size_t used = part.n + (end != NULL);
    *rest = slice_make(rest->at + used, rest->n - used);
    return part;
}

// Takes one byte off the front, as a number below `limit`.
static inline unsigned fuzz_take_choice(struct slice *rest, unsigned limit)
{
    if (rest->n == 0)
        return 0;
    unsigned value = (unsigned char)rest->at[0];
    *rest = slice_make(rest->at + 1, rest->n - 1);
    return value % limit;
}

// The bytes as an open file, at its begin; the caller closes it. `path` gets a name for it.
static inline int fuzz_open_file(struct slice bytes, char path[64])
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    FUZZ_CHECK(fd >= 0 && write(fd, bytes.at, bytes.n) == (ssize_t)bytes.n && lseek(fd, 0, SEEK_SET) == 0);
    snprintf(path, 64, "/proc/self/fd/%d", fd);
    return fd;
}

// A directory of this process in memory; it is removed at the end.
const char *fuzz_directory(void);
