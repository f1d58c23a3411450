// SPDX-License-Identifier: MIT
// Blobs: files of a store named after the SHA-256 of what is in them. Private to the store room. `directory`
// is the store's.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "store/pins.h"

enum { BLOB_DIGEST_BYTES = 72, BLOB_PATH_BYTES = 4096 };

// "sha256:" or "sha256-" and 64 hex digits, either case; `out` gets the form "sha256:<lower case>".
bool blob_parse_digest(const char *text, char out[BLOB_DIGEST_BYTES]);
// The path of a parsed digest; it never leaves the directory.
void blob_path(const char *directory, const char *digest, char out[BLOB_PATH_BYTES]);
// A whole small file, terminated (the caller's). ERR_NOT_FOUND, ERR_TOO_LARGE, or ERR_FORMAT for what is no
// regular file.
int file_read(const char *path, size_t max_bytes, char **bytes, size_t *n, struct err *err);
// Writes a file whole or not at all: temporary name beside it, sync, rename. Directories above are made.
int file_write(const char *path, struct slice bytes, struct err *err);
int directory_make(const char *path, struct err *err); // with those above it
void digest_of(struct slice bytes, char hex[65]);

// A blob being written under a temporary name. Either commit or drop ends it.
struct blob_writer;
int blob_writer_open(struct blob_writer **out, const char *directory, struct err *err);
int blob_writer_push(struct blob_writer *w, struct slice bytes, struct err *err);
// `digest` gets the name. A blob that is there already is kept and its time refreshed. With `pins` (may be
// NULL) the blob is pinned. *is_new (may be NULL): it was not there. Frees `w`, also on
// failure.
int blob_writer_commit(struct blob_writer *w, struct pins *pins, char digest[BLOB_DIGEST_BYTES], bool *is_new,
                       struct err *err);
// What was pushed has this digest, so far. For who must compare before committing.
void blob_writer_digest(const struct blob_writer *w, char digest[BLOB_DIGEST_BYTES]);
int blob_writer_fd(const struct blob_writer *w); // the unfinished file; stays the writer's
void blob_writer_drop(struct blob_writer *w);
struct blob_settling {
    const char *directory, *digest;
    const char *temporary; // its path until now
    int fd;                // the file, locked; stays open, locked shared
};
// Syncs a written file and gives it its name as a blob, see pins.h. A blob that has the name already stays,
// is pinned in place of ours (`pins` may be NULL), and *is_new is false. A name is never taken from a file
// that somebody may have pinned. On failure the temporary file is still there.
int blob_settle(const struct blob_settling *s, struct pins *pins, bool *is_new, struct err *err);
// Writes a whole blob from memory.
int blob_write(const char *directory, struct slice bytes, struct pins *pins, char digest[BLOB_DIGEST_BYTES],
               bool *is_new, struct err *err);
// True for a name in blobs/ that an interrupted writer or download leaves behind, drover's or Ollama's.
bool blob_name_is_temporary(const char *name);
int directory_sync(const char *path_of_file_in_it);
