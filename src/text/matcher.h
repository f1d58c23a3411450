// SPDX-License-Identifier: MIT
// A place in the texts of a grammar: which bytes may come next, and whether the text may end here. All ways
// to read the text so far are followed together. What was worked out once is kept (the place after a byte,
// the tokens that may follow a place), so that the usual places of a text cost a table look-up; these tables
// are bounded and never change an answer. One thread at a time.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "text/grammar.h"
#include "text/pieces.h"

struct matcher;

struct matcher *matcher_new(const struct grammar *g); // borrowed
void matcher_free(struct matcher *m);                 // takes NULL
bool matcher_may_end(const struct matcher *m);
bool matcher_must_end(const struct matcher *m); // may end, and nothing else may come
bool matcher_takes(struct matcher *m, struct slice bytes);
// Moves behind the bytes. False: they may not come; the place stays.
bool matcher_push(struct matcher *m, struct slice bytes);

// The same for a token; a control token counts as GRAMMAR_CONTROL and its text. Never takes a token without
// text or one that ends a generation.
bool matcher_takes_token(struct matcher *m, const struct tokenizer *t, uint32_t id);
bool matcher_push_token(struct matcher *m, const struct tokenizer *t, uint32_t id);
// The tokens that may come next: bit id % 64 of word id / 64. Valid until the next call with this matcher.
const uint64_t *matcher_mask(struct matcher *m, const struct pieces *p);
