// SPDX-License-Identifier: MIT
// Blobs: files of a store named after the SHA-256 of what is in them. Private to the store room. `directory`
// is the store's.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

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
// Syncs and renames; `digest` gets the name. A blob that is there already is kept and its time refreshed.
// Frees `w`, also on failure.
int blob_writer_commit(struct blob_writer *w, char digest[BLOB_DIGEST_BYTES], struct err *err);
void blob_writer_drop(struct blob_writer *w);
// Removes temporary files that an interrupted writer left more than an hour ago.
void blobs_sweep(const char *directory);
