// SPDX-License-Identifier: MIT
// Recipes: which tensor gets which type under a name such as Q4_K_M. A new one is a row. Private to convert/.
#pragma once

#include <stdbool.h>

#include "base/slice.h"
#include "compute/dtype.h"
#include "convert/tensors.h"

struct recipe;

const struct recipe *recipe_find(const char *name); // in any case; NULL: none
const struct recipe *recipe_of_file_type(uint32_t file_type);
const char *recipe_names(void); // "F32, F16, ..." for messages
const char *recipe_name(const struct recipe *r);
uint32_t recipe_file_type(const struct recipe *r); // general.file_type
bool recipe_is_float(const struct recipe *r);      // F32, F16, BF16

// Sets `to` of every tensor. n_layers: of the model.
void recipe_apply(const struct recipe *r, struct tensors *tensors, uint32_t n_layers);
