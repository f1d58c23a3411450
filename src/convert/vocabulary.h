// SPDX-License-Identifier: MIT
// tokenizer.json and tokenizer_config.json to the keys of a GGUF file. Private to convert/.
#pragma once

#include <stdint.h>

#include "convert/convert.h"
#include "gguf/gguf_write.h"
#include "json/json.h"

// n_tokens: the rows of the embedding. ERR_UNSUPPORTED names a kind of tokenizer that there is none for here.
int vocabulary_convert(const struct convert_job *job, const json_t *config, uint32_t n_tokens,
                       struct gguf_writer *w, struct err *err);
