// SPDX-License-Identifier: MIT
// Vector operations for AVX2, FMA and F16C: vec_body.h over the lanes of lanes_avx2.h.
#include "compute/cpu/x86/lanes_avx2.h"

#include "compute/cpu/x86/vec_body.h"

void vec_init_avx2(struct vec_kernels *k)
{
    init_lanes(k);
}
