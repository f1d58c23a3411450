// SPDX-License-Identifier: MIT
// Which kernel tables a test compares with ref: every level that the machine has, and where SIMDe was found
// at build time the AVX-512 sources translated to plain operations. What the machine lacks is said aloud.
#pragma once

#include "../test.h"

#include <sys/mman.h>
#include <unistd.h>

#include "compute/kernels.h"

enum { LEVELS_MAX = CPU_LEVEL_COUNT + 1 };

struct level {
    const char *name;
    struct kernels kernels;
};

void kernels_init_avx512_simde(struct kernels *k);

static inline int levels_init(struct level *levels)
{
    int n = 0;
    for (int i = CPU_AVX2; i < CPU_LEVEL_COUNT; i++) {
        if ((int)cpu_best_level() < i) {
            printf("SKIPPED: level %s, this machine lacks it\n", cpu_level_name((enum cpu_level)i));
            continue;
        }
        levels[n].name = cpu_level_name((enum cpu_level)i);
        levels[n++].kernels = *kernels_get((enum cpu_level)i);
    }
#ifdef TEST_SIMDE
    levels[n].name = "avx512vnni through SIMDe";
    kernels_init_ref(&levels[n].kernels);
    kernels_init_avx512_simde(&levels[n++].kernels);
#else
    printf("SKIPPED: AVX-512 sources through SIMDe, its headers were not found\n");
#endif
    return n;
}

// A buffer that ends where an unreadable page begins. n_bytes is a multiple of 64 when alignment matters.
struct guarded {
    char *map;
    size_t map_bytes;
    void *data;
};

static inline struct guarded guarded_new(size_t n_bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), body = (n_bytes + page - 1) / page * page;
    struct guarded g = {.map_bytes = body + page};
    g.map = mmap(NULL, g.map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(g.map != MAP_FAILED);
    assert_int_equal(mprotect(g.map + body, page, PROT_NONE), 0);
    g.data = g.map + body - n_bytes;
    return g;
}

static inline void guarded_free(struct guarded *g)
{
    munmap(g->map, g->map_bytes);
}

static inline uint32_t levels_random(uint32_t *state)
{
    *state = *state * 1664525 + 1013904223;
    return *state >> 8;
}
