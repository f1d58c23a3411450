// SPDX-License-Identifier: MIT
// Pre-tokenizers: cutting a text into the pieces within which byte-level BPE merges. Private to text/.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/slice.h"

enum { PRETOK_STAGES = 6 };

struct pretok {
    const struct pretok_row *row;
    const void *stages[PRETOK_STAGES]; // compiled expressions, shared by the process
    size_t n_stages;
};

// Scratch of one call of an encoder.
struct pretok_scratch {
    void *match_data, *match_context;
};

typedef void pretok_piece_fn(void *arg, struct slice piece);

// ERR_UNSUPPORTED names a pre-tokenizer that has no row.
int pretok_init(struct pretok *p, struct slice name, struct err *err);
bool pretok_ignores_merges(const struct pretok *p); // a piece that is a token is taken whole
bool pretok_adds_bos(const struct pretok *p);       // the default when the file says nothing
// text is well-formed UTF-8. Calls `piece` for each, in order; together they are the text.
void pretok_split(const struct pretok *p, struct pretok_scratch *scratch, struct slice text,
                  pretok_piece_fn *piece, void *arg);
void pretok_scratch_fini(struct pretok_scratch *scratch);
// Compiles the expressions of all rows, so that no executable memory is asked for later.
int pretok_prepare(struct err *err);
