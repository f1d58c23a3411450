// SPDX-License-Identifier: MIT
// The model store: Ollama's directory layout (manifests/<host>/<namespace>/<model>/<tag>,
// blobs/sha256-<hex>), read and written. Files are written under a temporary name, synced, then renamed:
// nothing half-written is ever visible. Any thread; no state beyond the path and what is being pulled.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "store/name.h"

struct store;

int store_open(struct store **out, const char *directory, struct err *err); // creates it when absent
void store_close(struct store *s);
const char *store_directory(const struct store *s);
// OLLAMA_MODELS, else an existing ~/.ollama/models, else $XDG_DATA_HOME/drover/models. `configured` is the
// option's value or "".
void store_default_directory(const char *configured, char out[4096]);

struct stored_model {
    struct model_name name;
    char display_name[640];
    char manifest_digest[65]; // hex
    int64_t modified_ns;      // wall
    uint64_t size_bytes;      // all layers and the config
    // layers; NULL: absent
    char *model_digest, *model_path; // "sha256:...", the blob's path
    uint64_t model_bytes;
    char *template_text; // Go template layer
    char *system_text;
    char *params_json;   // object
    char *messages_json; // array of {role, content}
    char **licenses;
    size_t n_licenses;
    // config
    char *format, *family, *parameter_size, *file_type;
    char **families;
    size_t n_families;
    uint64_t context_length, embedding_length; // 0: not said
    char *parent_model;                        // what the weights were created from; NULL: a file
};
void stored_model_fini(struct stored_model *m);

// ERR_NOT_FOUND "model 'X' not found" (X: `text` as given); ERR_INVALID for a bad name; ERR_FORMAT for a
// broken manifest.
int store_find(struct store *s, const char *text, struct stored_model *out, struct err *err);
// All models, newest first. Broken manifests are skipped with a warning.
int store_list(struct store *s, struct stored_model **out, size_t *n, struct err *err);
void store_list_free(struct stored_model *models, size_t n);

// ---- Managing: any number of processes may do this at the same time (pins.h says how) ----

// ERR_INVALID `source "X" is invalid` or `destination "X" is invalid`; ERR_NOT_FOUND `model "X" not found`.
int store_copy(struct store *s, const char *source, const char *destination, struct err *err);
// Removes the name, then the blobs that no other model has. Who has the weights open keeps them. ERR_INVALID
// `name "X" is invalid`; ERR_NOT_FOUND `model 'X' not found`.
int store_delete(struct store *s, const char *name, struct err *err);
// "sha256:..." to a path. ERR_INVALID "invalid digest format"; ERR_NOT_FOUND `blob "X" not found`.
int store_find_blob(struct store *s, const char *digest, char path[4096], uint64_t *size_bytes,
                    struct err *err);

struct store_pruned {
    size_t n_files;
    uint64_t size_bytes;
};
// Removes what nobody uses and what is at least so old: blobs, unfinished files, empty directories. Fails,
// and removes nothing, when a manifest is broken.
int store_prune(struct store *s, int64_t min_age_s, struct store_pruned *out, struct err *err);

// Copies a GGUF file into the store as NAME. `card_json` is what host_read_card said of it. `progress` may be
// NULL.
typedef void store_progress_fn(void *user, uint64_t done_bytes, uint64_t total_bytes);
int store_import(struct store *s, const char *file_path, const char *name, const char *card_json,
                 store_progress_fn *progress, void *user, struct err *err);
