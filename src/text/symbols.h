// SPDX-License-Identifier: MIT
// Byte strings with numbers: the texts of a vocabulary, and of merges beyond it. Private to text/. Built by
// one thread, then read-only. A number is the order of adding. Equal texts may be added (a broken vocabulary
// has them): the last one is found.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

#define SYMBOL_NONE UINT32_MAX

struct symbols {
    char *bytes;       // all texts, one behind the other
    uint32_t *offsets; // n + 1 of them
    uint32_t n;
    uint32_t n_bytes;
    uint32_t longest; // bytes of the longest text
    uint32_t *slots;  // open addressing, number + 1, 0: empty; at most half full
    size_t n_slots, offsets_capacity, bytes_capacity;
    bool failed; // out of memory or beyond 4 GiB: later calls do nothing; checked once when all is added
};

void symbols_init(struct symbols *s);
void symbols_fini(struct symbols *s);
uint32_t symbols_add(struct symbols *s, struct slice text);
uint32_t symbols_intern(struct symbols *s, struct slice text); // the number it has, or adds it
uint32_t symbols_find(const struct symbols *s, struct slice text);
void symbols_trim(struct symbols *s); // gives back the spare memory

static inline struct slice symbols_text(const struct symbols *s, uint32_t i)
{
    return slice_make(s->bytes + s->offsets[i], s->offsets[i + 1] - s->offsets[i]);
}
