// SPDX-License-Identifier: MIT
// Log-probabilities as JSON: the form that Ollama and OpenAI's chat share.
#pragma once

#include "host/host.h"
#include "json/writer.h"

// An array of {"token","logprob","bytes","top_logprobs"}. `always_has_top`: the list is there when it is
// empty too, as OpenAI's clients want.
void logprobs_write(struct json_writer *w, const struct token_logprobs *items, size_t n, bool always_has_top);
