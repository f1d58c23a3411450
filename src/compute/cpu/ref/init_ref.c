// SPDX-License-Identifier: MIT
// Sets every slot of the table to plain C, the meaning of all kernels.
#include "compute/kernels.h"

void kernels_init_ref(struct kernels *k)
{
    k->level = CPU_REF;
    matmul_init_ref(k);
    vec_init_ref(&k->vec);
    attention_init_ref(&k->attention);
}
