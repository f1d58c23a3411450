// SPDX-License-Identifier: MIT
// Cutting special tokens out of a text. Which one wins where two overlap: the longer text, wherever it
// starts; among equally long ones the leftmost. (So does llama.cpp, by one pass over the text for each token;
// this is one pass for all.) Private to text/.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

struct specials {
    struct special_node *nodes; // a trie; node 0 is the root
    uint32_t n, capacity;
    uint32_t first[256]; // the root's children by byte; 0: none
};

struct special_hit {
    uint32_t at, n; // bytes of the text
    uint32_t id;
};

void specials_init(struct specials *s);
void specials_fini(struct specials *s);
// always: is cut out even where control tokens are plain text (user-defined tokens). An empty text is
// ignored.
void specials_add(struct specials *s, struct slice text, uint32_t id, bool always);
// The hits in order, not overlapping; *hits is the caller's to free (NULL when there are none). Near-linear
// in text.n.
uint32_t specials_find(const struct specials *s, struct slice text, bool with_control,
                       struct special_hit **hits);
