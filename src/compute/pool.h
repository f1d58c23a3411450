// SPDX-License-Identifier: MIT
// A team of compute threads that runs one function side by side (SPMD). The caller of pool_run is thread 0.
// Waiting spins shortly, then sleeps on a futex, so that oversubscription degrades instead of collapsing.
#pragma once

struct pool;

// Runs on each of the threads; thread_i in 0..n_threads-1.
typedef void pool_fn(void *arg, int thread_i, int n_threads);

struct pool *pool_new(int n_threads); // n_threads >= 1; fewer where the system refuses threads: ask pool_size
void pool_free(struct pool *p);       // takes NULL
int pool_size(const struct pool *p);
// Returns when all threads have returned from fn. Not reentrant.
void pool_run(struct pool *p, pool_fn *fn, void *arg);
// Inside fn: nobody goes on before all have arrived; writes before it are seen after it.
void pool_barrier(struct pool *p);
