// SPDX-License-Identifier: MIT
// A memory limit of a runner's own: above its plan by a slack, so that only one that went wrong meets it, and
// then nobody else. Private to host/; the host's thread.
#pragma once

#include <limits.h>
#include <stdint.h>
#include <sys/types.h>

struct limit {
    char group[PATH_MAX]; // of the control group that was made for it; "": none
};

// By a control group below ours where that can be made, else by the size of the process's data. The log says
// which.
void limit_set(struct limit *l, pid_t pid, uint64_t plan_bytes, int n_threads, const char *model);
// When the process is gone.
void limit_remove(struct limit *l);
// Groups that a server left that was killed.
void limit_sweep(void);
