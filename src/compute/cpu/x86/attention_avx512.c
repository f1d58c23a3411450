// SPDX-License-Identifier: MIT
// What attention overrides at this level.
#include "compute/cpu/attention_kernels.h"

void attention_init_avx512(struct attention_kernels *k)
{
}
