// SPDX-License-Identifier: MIT
// Attention for AVX-512: attention_body.h with tiles for 32 registers of sixteen lanes; 8 to 16 sums hide the
// latency of the fma.
#include "compute/cpu/x86/lanes_avx512.h"

#define TILE_QUERIES   8
#define SCORE_PAGES(n) ((n) == 1 ? 8 : (n) <= 4 ? 4 : 2)
#define VALUE_REGS(n)  ((n) <= 4 ? 4 : 2)

#include "compute/cpu/x86/attention_body.h"

void attention_init_avx512(struct attention_kernels *k)
{
    init_tiles(k);
}
