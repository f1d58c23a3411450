// SPDX-License-Identifier: MIT
// Weights made of other weights while a model is created: a chore's client hears of the progress, and ends
// the work by leaving.
#pragma once

#include "server/chore.h"
#include "store/draft.h"

// Weights from the files of a checkpoint of safetensors: paths and digests as the request has them. type "":
// the precision stays. What is wrong with the files is ERR_INVALID.
int conversion_from_files(struct chore *c, struct draft *d, const json_t *files, const char *type,
                          struct err *err);
// The draft's weights with fewer bits, in their place. `type` as "Q4_K_M".
int conversion_quantize(struct chore *c, struct draft *d, const char *type, struct err *err);
