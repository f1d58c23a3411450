// SPDX-License-Identifier: MIT
// What a tokenizer knows of its tokens, beside how to cut text: texts, attributes, special ids. Private to
// text/.
#pragma once

#include <stdint.h>

#include "text/symbols.h"
#include "text/tokenizer.h"

// Attributes are bits, because detection by text adds "control" to what the file says.
enum {
    ATTR_NORMAL = 1,
    ATTR_UNKNOWN = 2,
    ATTR_CONTROL = 4,
    ATTR_USER_DEFINED = 8,
    ATTR_UNUSED = 16,
    ATTR_BYTE = 32,
    ATTR_EOG = 64,
};

struct vocabulary {
    struct symbols symbols; // the first n_tokens are the tokens; merges may add more
    uint32_t n_tokens;
    uint8_t *attrs; // n_tokens of them
    uint32_t bos, eos, eot, eom, unk, pad;
    uint32_t fim[FIM_COUNT];
};

// ERR_FORMAT, ERR_NO_MEMORY. spec's special ids may be beyond the vocabulary: then they are ignored.
int vocabulary_init(struct vocabulary *v, const struct vocab_spec *spec, struct err *err);
void vocabulary_fini(struct vocabulary *v);
// Fills special ids that are unset, and the end-of-generation set, from the texts of the tokens.
void vocabulary_detect(struct vocabulary *v);
uint32_t vocabulary_find(const struct vocabulary *v, struct slice text); // TOKEN_NONE: no token has this text
// The byte of a token `<0xHH>`; -1: it is spelled otherwise.
int vocabulary_byte_value(struct slice text);
