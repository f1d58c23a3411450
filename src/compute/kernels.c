// SPDX-License-Identifier: MIT
// Chooses the table of a level. The tables are built once, at the first call, and never change; any thread
// may ask.
#include "compute/kernels.h"

#include <assert.h>
#include <pthread.h>

static struct kernels tables[CPU_LEVEL_COUNT];
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static void init_tables(void)
{
    int best = cpu_best_level();
    for (int level = CPU_REF; level <= best; level++)
        kernels_init_ref(&tables[level]);
#ifdef DROVER_X86
    for (int level = CPU_AVX2; level <= best; level++)
        kernels_init_avx2(&tables[level]);
    if (best >= CPU_AVX512VNNI)
        kernels_init_avx512(&tables[CPU_AVX512VNNI]);
#endif
}

const struct kernels *kernels_get(enum cpu_level level)
{
    assert(level <= cpu_best_level());
    pthread_once(&tables_once, init_tables);
    return &tables[level];
}
