// SPDX-License-Identifier: MIT
// A hash map from byte strings to u32, for tables built once and read often (vocabularies, names). Keys are
// borrowed: they must outlive the map. The hash is seeded per process, so that no file can choose collisions.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

struct map {
    struct map_entry *entries;
    size_t capacity; // power of two, at most half full
    size_t count;
};

struct map_entry {
    struct slice key; // at == NULL: empty
    uint32_t value;
    uint32_t hash;
};

void map_init(struct map *m, size_t expected);
void map_fini(struct map *m);
void map_set(struct map *m, struct slice key, uint32_t value); // replaces an old value
bool map_find(const struct map *m, struct slice key, uint32_t *value);
uint64_t map_hash(const void *bytes, size_t n); // the seeded hash itself
