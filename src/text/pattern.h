// SPDX-License-Identifier: MIT
// Regular expressions as JSON Schema writes them (ECMA-262), as far as they describe a regular language: the
// automaton of all texts in which one is found. Not taken: look-around, \b, back references, \p, anchors
// anywhere but at the ends of an alternative of the whole.
#pragma once

#include "text/automaton.h"

enum { PATTERN_MAX_BYTES = 4096, PATTERN_MAX_DEPTH = 64, PATTERN_MAX_COUNT = 10000 };

// ERR_INVALID names the construct and its place. `work` as in automaton.h.
struct automaton *pattern_compile(struct slice text, uint64_t *work, struct err *err);
// The pattern of a `format` of JSON Schema; NULL: one that is not enforced.
const char *pattern_of_format(struct slice name);
