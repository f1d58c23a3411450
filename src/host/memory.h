// SPDX-License-Identifier: MIT
// How much memory the models may use: what the kernel says is available, along every limit that applies to
// us.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct memory_reading {
    uint64_t available_bytes; // the least of: MemAvailable, and for each cgroup ancestor its limit less what
                              // is used and cannot be dropped
    uint64_t total_bytes;     // the least of: MemTotal and the limits
};

// `root` replaces "/" in front of /proc and /sys (tests use a made-up tree); NULL or "": the real machine.
void memory_read(struct memory_reading *out, const char *root);
// Our own group in the memory controller's hierarchy of v1 or v2, as a directory that is there. False: none.
bool memory_find_group(bool is_v2, const char *root, char *out, size_t out_bytes);
// What all models together may hold: available + what they hold already - a reserve of clamp(10 % of the
// total, 64 MiB, 1 GiB), and at most limit_bytes if that is not 0.
uint64_t memory_budget(const struct memory_reading *reading, uint64_t held_bytes, uint64_t limit_bytes);
// Resident memory of a process, pages of files not counted; 0 when it is gone.
uint64_t memory_of_process(int pid);
// What of a process lies in swap; 0 when it is gone.
uint64_t memory_swapped(int pid);
