// SPDX-License-Identifier: MIT
// The tokens of a vocabulary in the order of their bytes, each stored as what it shares with the one before
// it and what is new: so a walk over all of them reads a common beginning once, and leaves out at once all
// that begin with what may not come. Immutable, shared by all sequences of a model.
#pragma once

#include <stdint.h>

#include "text/tokenizer.h"

enum { PIECE_MAX_BYTES = 255 }; // longer tokens are left out

struct pieces {
    uint32_t n, n_vocab;
    uint32_t *ids;
    uint8_t *shared;      // bytes shared with the piece before
    uint8_t *fresh;       // bytes that follow them
    unsigned char *bytes; // the fresh bytes of all pieces, one after the other
};

// Control tokens are in it as GRAMMAR_CONTROL and their text; tokens that end a generation, that have no
// text or must not be sampled are not.
struct pieces *pieces_new(const struct tokenizer *t);
void pieces_free(struct pieces *p); // takes NULL
