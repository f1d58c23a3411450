// SPDX-License-Identifier: MIT
// Models as a tar file, for machines without a network: manifests and blobs under the names that they have in
// a store, and SHA256SUMS over all of them. Any tar unpacks it, also straight into a store's directory.
// Written and read in one pass, so that a pipe will do. Any thread.
#pragma once

#include "store/store.h"

// Writes the models to an open file. ERR_NOT_FOUND `model 'X' not found`.
int store_export(struct store *s, const char *const *names, size_t n_names, int fd,
                 store_progress_fn *progress, void *user, struct err *err);
// Reads them from one. Every byte is checked; a model becomes visible when all of its blobs are there and its
// manifest is the one that SHA256SUMS names. `on_model` (may be NULL) hears of each.
typedef void store_imported_fn(void *user, const char *display_name);
int store_import_archive(struct store *s, int fd, store_imported_fn *on_model, store_progress_fn *progress,
                         void *user, struct err *err);
