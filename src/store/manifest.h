// SPDX-License-Identifier: MIT
// Manifests: the JSON file of one name, the list of its blobs. Private to the store room.
#pragma once

#include "base/err.h"
#include "json/json.h"
#include "store/pins.h"
#include "store/store.h"

// Fills `out` (name set by the caller, everything else zero) from the manifest at `path`. ERR_NOT_FOUND when
// there is none, ERR_FORMAT when it or a blob that it names cannot be read. The caller calls
// stored_model_fini in every case.
int manifest_read(const char *directory, const char *path, struct stored_model *out, struct err *err);

enum { MANIFEST_MAX_BYTES = 4 << 20, MANIFEST_MAX_LAYERS = 4096 };

struct manifest_layer {
    const char *media_type; // "application/vnd.ollama.image.model"
    const char *digest;
    uint64_t size_bytes;
    const char *from; // the model that it was taken from; NULL: none
};
// Writes the manifest of `name`, whole or not at all.
int manifest_write(const char *directory, const struct model_name *name, const struct manifest_layer *config,
                   const struct manifest_layer *layers, size_t n_layers, struct err *err);
// Pins every blob that a manifest names; ERR_NOT_FOUND if one is missing.
int manifest_pin(const char *directory, const json_t *manifest, struct pins *pins, struct err *err);
struct manifest_text {
    char *bytes; // terminated
    size_t n;
    json_t *value;
};
// Reads the manifest at `path` and pins what it names, as one step: no deletion comes between. ERR_NOT_FOUND:
// there is no manifest; ERR_FORMAT: it, or one of its blobs, is broken or missing. The caller calls
// manifest_text_fini in every case.
int manifest_open(const char *directory, const char *path, struct pins *pins, struct manifest_text *out,
                  struct err *err);
void manifest_text_fini(struct manifest_text *m);
void manifest_path(const char *directory, const struct model_name *name, char out[4096]);
// Gives each part of `name` the spelling under which the store has it already, if it differs in case only.
void store_adopt_name(const struct store *s, struct model_name *name);
