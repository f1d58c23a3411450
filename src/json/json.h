// SPDX-License-Identifier: MIT
// JSON: parsing by jansson (values are plain json_t), writing by our own append-only writer (writer.h).
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

enum { JSON_MAX_DEPTH = 512 }; // of what was parsed: whoever walks a value may recurse

// Integers beyond int64_t become reals. Strict RFC 8259, U+0000 allowed in strings, lone surrogates become
// U+FFFD, members keep their order, the last of equal keys wins. ERR_INVALID says what was found and where.
// The value is the caller's (json_decref).
json_t *json_parse(struct slice text, struct err *err);
// Like json_parse, but only the first value is read; what follows is ignored (as Ollama's server does).
json_t *json_parse_first(struct slice text, struct err *err);

static inline struct slice json_slice(const json_t *string) // of a string; empty otherwise
{
    return json_is_string(string) ? slice_make(json_string_value(string), json_string_length(string))
                                  : slice_make("", 0);
}
