// SPDX-License-Identifier: MIT
// The vocabulary of a model file: reads the tokenizer.* values of a GGUF file into a tokenizer. No weights
// are needed.
#pragma once

#include "base/err.h"
#include "base/slice.h"
#include "gguf/gguf.h"
#include "text/tokenizer.h"

// ERR_FORMAT names the key that is missing, of a wrong type or length; ERR_UNSUPPORTED the kind that drover
// does not know. The tokenizer keeps nothing of g. Special ids beyond the vocabulary are ignored with a
// warning in the log, as other programs do.
int vocab_load(struct tokenizer **out, const struct gguf *g, struct err *err);
// The chat template (variant NULL) or a named one ("tool_use", "rerank"); inside g, empty when the file has
// none.
int vocab_chat_template(const struct gguf *g, const char *variant, struct slice *out, struct err *err);
