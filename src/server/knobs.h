// SPDX-License-Identifier: MIT
// Ollama's `options` (and a Modelfile's parameters, which are the same object) laid over a request's params.
// The dialects of OpenAI make such an object too, so that names, types and meanings are in one table.
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "host/host.h"
#include "json/json.h"

// Lays `options` (NULL: nothing) over `r`: params and stop strings; a list of stops replaces the one before.
// `has_seed` becomes true when a seed was given. A wrong type fails with ERR_INTERNAL and Ollama's words, for
// which its server answers 500. Unknown names are logged, no more.
int knobs_apply(struct request *r, bool *has_seed, const json_t *options, struct err *err);
// Whether an option of that name changes anything here.
bool knobs_is_honoured(const char *name);
// Draws a seed; below 2^53, so that every JSON reader can give it back.
uint64_t knobs_draw_seed(void);
