// SPDX-License-Identifier: MIT
// Model names: [host[:port]/][namespace/]model[:tag], Ollama's grammar and defaults (registry.ollama.ai,
// library, latest).
#pragma once

#include <stdbool.h>

#include "base/err.h"

struct model_name {
    char host[352], ns[82], model[82], tag[82];
};

// ERR_INVALID "invalid model name" for what the grammar refuses. Parts can never leave the store's directory.
int name_parse(struct model_name *out, const char *text, struct err *err);
// Shortest display form, tag always shown.
void name_format(const struct model_name *n, char out[640]);
// The full form host/ns/model:tag, for messages that show it.
void name_format_full(const struct model_name *n, char out[640]);
