// SPDX-License-Identifier: MIT
// Overrides the slots that have a version for this level. Runs only when the machine has it.
#include "compute/kernels.h"

void kernels_init_avx2(struct kernels *k)
{
    k->level = CPU_AVX2;
    matmul_init_avx2(k);
    matmul_float_init_avx2(k);
    vec_init_avx2(&k->vec);
    attention_init_avx2(&k->attention);
}
