// SPDX-License-Identifier: MIT
// What the processor offers and what the kernel grants of it.
#pragma once

#include <stdbool.h>

// Each level includes the ones before it.
enum cpu_level { CPU_REF, CPU_AVX2, CPU_AVX512VNNI, CPU_LEVEL_COUNT };

const char *cpu_level_name(enum cpu_level level); // "ref", "avx2", "avx512vnni"
bool cpu_level_find(const char *name, enum cpu_level *level);
// The highest level that this processor and operating system support.
enum cpu_level cpu_best_level(void);

struct cpu_grant {
    int n_affinity;   // physical cores in the affinity mask (hyperthreads of one core count once)
    int n_quota;      // cgroup v1/v2 quota along all ancestors, rounded down; 0: none
    int n_threads;    // what to compute with: the smaller of the two, at least 1
    char reason[160]; // a sentence for the log
};

// `root` replaces "/" in front of /proc and /sys (tests use a made-up tree); NULL or "": the real machine.
void cpu_read_grant(struct cpu_grant *grant, const char *root);
