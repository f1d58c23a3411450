// SPDX-License-Identifier: MIT
// A few threads for what may take long (parsing a large body, reading a model's card), so that the threads of
// the sockets never wait.
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct worker;
typedef void worker_fn(void *user);

struct worker *worker_new(int n_threads, size_t max_waiting);
void worker_free(struct worker *w); // runs what waits, then joins; NULL is allowed
// From any thread, never blocks. False: too much waits already; `run` is not called.
bool worker_push(struct worker *w, worker_fn *run, void *user);
