// SPDX-License-Identifier: MIT
// A GGUF file of floats to one of fewer bits. Private to convert/.
#pragma once

#include "convert/convert.h"
#include "convert/recipe.h"

// job->files[0] is the file.
int quantize_gguf(const struct convert_job *job, const struct recipe *recipe,
                  const struct convert_output *out, struct err *err);
