// SPDX-License-Identifier: MIT
// Overrides the slots that have a version for this level. Runs only when the machine has it.
#include "compute/kernels.h"

void kernels_init_avx512(struct kernels *k)
{
    k->level = CPU_AVX512VNNI;
    matmul_init_avx512(k);
    vec_init_avx512(&k->vec);
    attention_init_avx512(&k->attention);
}
