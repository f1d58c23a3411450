// SPDX-License-Identifier: MIT
// Which of the known pre-tokenizers tokenizer.json describes. Private to convert/.
#pragma once

#include "base/err.h"
#include "json/json.h"

// The value of tokenizer.ggml.pre for a byte-level BPE. ERR_UNSUPPORTED shows an expression that is not
// known.
int pretokenizer_name(const char **out, const json_t *tokenizer, struct err *err);
