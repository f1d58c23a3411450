// SPDX-License-Identifier: MIT
// Removing blobs that no manifest names. Private to the store room; pins.h has the protocol.
#pragma once

#include "json/json.h"
#include "store/store.h"

// Removes those members of `candidates` (digests, as references.h gives them) that are in nobody's use. With
// a broken manifest in the store nothing is removed, and a warning says so.
void prune_candidates(const char *directory, const json_t *candidates, struct store_pruned *out);
