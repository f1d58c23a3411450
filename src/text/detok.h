// SPDX-License-Identifier: MIT
// A streaming detokeniser: pieces in, whole UTF-8 characters out. Never emits half a character, what is held
// at the end of a generation is for its owner to drop; ill-formed bytes in the middle are passed on as they
// are (the writer of JSON replaces them).
#pragma once

#include "base/strbuf.h"
#include "text/tokenizer.h"

struct detok {
    char held[4]; // an incomplete character at the end
    uint32_t n_held;
};

// Appends to out what can be shown after this token.
void detok_push(struct detok *d, struct slice piece, struct strbuf *out);
