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

// A text longer than this is not cut out: no vocabulary has such tokens.
enum { SPECIAL_MAX_BYTES = 255 };

// One text being cut.
struct special_scan {
    const struct specials *specials;
    struct slice text;
    bool with_control;
    size_t at;
    uint8_t
        *lengths; // by byte of the text: how long the hit is that begins there, or 0; NULL: there are none
};

struct special_hit {
    size_t at, n; // bytes of the text
    uint32_t id;
};

void specials_init(struct specials *s);
void specials_fini(struct specials *s);
// always: is cut out even where control tokens are plain text (user-defined tokens). Empty texts are ignored,
// too.
void specials_add(struct specials *s, struct slice text, uint32_t id, bool always);

// Finds the hits in text, which stays the caller's; near-linear in text.n, two bytes of memory for each byte.
void specials_begin(struct special_scan *scan, const struct specials *s, struct slice text,
                    bool with_control);
// The next hit, in the order of the text; hits do not overlap.
bool specials_next(struct special_scan *scan, struct special_hit *hit);
void specials_end(struct special_scan *scan);
