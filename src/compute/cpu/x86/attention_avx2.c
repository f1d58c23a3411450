// SPDX-License-Identifier: MIT
// Attention for AVX2, FMA and F16C: attention_body.h with tiles that fill sixteen registers. Twelve sums of 8
// lanes (eight for 1, 2 and 4 queries) hide the latency of the fma; the rest holds keys or values and one
// broadcast.
#include "compute/cpu/x86/lanes_avx2.h"

#define TILE_QUERIES   6
#define SCORE_PAGES(n) ((n) == 1 ? 4 : (n) <= 3 ? 2 : 1)
#define VALUE_REGS(n)  ((n) == 1 ? 8 : (n) <= 3 ? 4 : 2)

#include "compute/cpu/x86/attention_body.h"

void attention_init_avx2(struct attention_kernels *k)
{
    init_tiles(k);
}
