// SPDX-License-Identifier: MIT
// What vec overrides at this level.
#include "compute/cpu/vec_kernels.h"

void vec_init_ref(struct vec_kernels *k)
{
}
