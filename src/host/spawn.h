// SPDX-License-Identifier: MIT
// Starting and ending a runner's process. Private to host/.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

struct child {
    pid_t pid;
    int process_fd; // a pidfd: readable when the process has ended
    int socket;     // our end
};

// Starts this program's file as `drover runner`, with the socket on 3, the model file on 4, no other file but
// stderr, an empty environment, a process group of its own (Ctrl-C is for the front), and a raised OOM score.
// model_fd stays the caller's.
int spawn_runner(struct child *out, int model_fd, struct err *err);
// The same with n files, on 4 and following; n is at most CONVERT_MAX_FILES.
int spawn_runner_with(struct child *out, const int *fds, size_t n, struct err *err);
// Nice values as DESIGN "Threads" has them. A load starts lower only where it can be raised again.
void spawn_set_loading(const struct child *c);
void spawn_set_serving(const struct child *c);
void spawn_kill(const struct child *c);
// Waits for an ended (or killed) process and writes how it ended; closes process_fd. The socket stays open.
void spawn_reap(struct child *c, char *how, size_t how_bytes);
