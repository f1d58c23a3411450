// SPDX-License-Identifier: MIT
// A model being made: layers are gathered and pinned, then the manifest that names them becomes visible,
// whole. Nothing of a draft that is freed uncommitted is visible under a name. One thread at a time.
#pragma once

#include <stdbool.h>

#include "base/slice.h"
#include "json/json.h"
#include "store/store.h"

// Kinds of layers, as media types end: "model", "template", "system", "params", "messages", "license", ...
struct draft;

struct draft *draft_new(struct store *s);
void draft_free(struct draft *d); // NULL allowed

// Begins with all layers and the config of a stored model. ERR_NOT_FOUND `model 'X' not found`.
int draft_inherit(struct draft *d, const char *from, struct err *err);
// Begins with a blob of the store as weights; `card_json` is what host_read_card said of it.
int draft_set_weights(struct draft *d, const char *digest, const char *card_json, struct err *err);
// Weights that are being made: bytes into an unfinished blob, which is gone unless it is committed. It then
// takes the place of the weights that the draft has, if any; a config that was inherited stays but for its
// file type. One at a time.
int draft_weights_open(struct draft *d, struct err *err);
int draft_weights_push(struct draft *d, struct slice bytes, struct err *err);
int draft_weights_fd(const struct draft *d); // of the unfinished file, for reading; stays the draft's
int draft_weights_commit(struct draft *d, const char *card_json, struct err *err);
// Adds a layer; those of its kind that are there go first, except for "license", of which there may be many.
int draft_put(struct draft *d, const char *kind, struct slice bytes, struct err *err);
// The text of the last layer of a kind, the caller's; NULL with no error: there is none.
char *draft_read(const struct draft *d, const char *kind, struct err *err);
json_t *draft_config(struct draft *d); // borrowed; to be changed in place

const char *draft_find_layer(const struct draft *d, const char *kind); // the digest of the first; NULL: none
size_t draft_count_layers(const struct draft *d);
const char *draft_layer(const struct draft *d, size_t i, bool *is_new); // its digest

// Writes config and manifest. With `prune`, blobs that the model of this name had and nobody else has go.
int draft_commit(struct draft *d, const char *name, bool prune, struct err *err);
