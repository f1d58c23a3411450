// SPDX-License-Identifier: MIT
// Matrix products at this level.
#include "compute/kernels.h"

void matmul_init_avx2(struct kernels *k)
{
}
