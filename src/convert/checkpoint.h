// SPDX-License-Identifier: MIT
// A checkpoint of safetensors to GGUF. Private to convert/.
#pragma once

#include "convert/convert.h"
#include "convert/recipe.h"

// recipe NULL: matrices stay F16 or BF16, F32 becomes F16.
int checkpoint_convert(const struct convert_job *job, const struct recipe *recipe,
                       const struct convert_output *out, struct err *err);
