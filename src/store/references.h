// SPDX-License-Identifier: MIT
// Which blobs the manifests of a store name. Private to the store room.
#pragma once

#include "json/json.h"
#include "store/store.h"

// The manifest's digests, config included, as members of `set` (a JSON object). ERR_FORMAT for what is no
// manifest.
int references_of_manifest(const json_t *manifest, json_t *set, struct err *err);
// Of the manifest at `path`. ERR_NOT_FOUND when there is none.
int references_of_file(const char *path, json_t *set, struct err *err);
// Of all manifests of the store. Fails if one of them cannot be read: what it names is then unknown.
int references_of_store(const char *directory, json_t *set, struct err *err);
