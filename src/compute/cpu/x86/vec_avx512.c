// SPDX-License-Identifier: MIT
// Vector operations for AVX-512: vec_body.h over the lanes of lanes_avx512.h.
#include "compute/cpu/x86/lanes_avx512.h"

#include "compute/cpu/x86/vec_body.h"

void vec_init_avx512(struct vec_kernels *k)
{
    init_lanes(k);
}
