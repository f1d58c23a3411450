// SPDX-License-Identifier: MIT
// A blob that is being loaded, as Ollama keeps it: blobs/sha256-<hex>-partial in its full size, and beside it
// ...-partial-<n>, a JSON object per part: N, Offset, Size, Completed. What was begun by either goes on here.
// The unfinished file is locked by who writes it. One thread. Private to the store room.
#pragma once

#include <signal.h>
#include <stdbool.h>

#include "net/fetch.h"
#include "store/blobs.h"

struct partial {
    const char *directory;
    char digest[BLOB_DIGEST_BYTES], path[BLOB_PATH_BYTES + 16];
    int fd;
    uint64_t size_bytes;
    struct fetch_part *parts;
    uint64_t *saved_bytes; // done_bytes as the part's file has it
    int *part_fds;
    size_t n_parts;
};

// Opens or makes it, waiting while another has it. 1: no need, the blob is there by now (still call close).
int partial_open(struct partial *p, const char *directory, const char *digest, uint64_t size_bytes,
                 const volatile sig_atomic_t *cancel, struct err *err);
void partial_close(struct partial *p);
uint64_t partial_done_bytes(const struct partial *p);
// Notes what part i has, at most every MiB unless it is whole.
void partial_save(struct partial *p, size_t part_i);
int partial_restart_whole(struct partial *p, struct err *err); // as one part, from 0
// Checks the SHA-256. A file that is wrong is removed: ERR_FORMAT "digest mismatch, file must be downloaded
// again: want ..., got ...".
int partial_verify(struct partial *p, const volatile sig_atomic_t *cancel, struct err *err);
// The file becomes the blob, which stays locked (shared) until partial_close.
int partial_settle(struct partial *p, struct err *err);
// How much of an unfinished file is there already, without opening it for writing. 0: nothing.
uint64_t partial_allocated_bytes(const char *directory, const char *digest);
