// SPDX-License-Identifier: MIT
// The compute team. Two kinds of waiting, both through a gate: a counter that only grows, with a count of
// sleepers, so that opening one that nobody sleeps on is a plain store and no system call.
//
// pool_run opens the `start` gate with the work to do and joins; it returns through a barrier. A barrier is a
// dissemination barrier (Hensgen, Finkel, Manber 1988): in round r thread i announces itself and waits for
// thread i - 2^r, log2(n) rounds, one cache-line hand-over each; every flag has one writer. What always
// holds: no thread is more than one barrier ahead of another.
#include "compute/pool.h"

#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.h"

enum {
    MAX_ROUNDS = 10,      // so at most 1024 threads
    BARRIER_SPINS = 2000, // 20 to 80 us: uneven shares of one region
    START_SPINS = 8000,   // 80 to 300 us: what lies between two steps
};

struct gate {
    _Alignas(64) atomic_uint value;
    atomic_uint n_sleepers;
};

struct pool_thread {
    struct gate rounds[MAX_ROUNDS];
    _Alignas(64) uint32_t epoch; // barriers passed; this thread's own
    int thread_i;
    struct pool *pool;
    pthread_t handle;
};

struct pool {
    struct gate start;
    _Alignas(64) pool_fn *fn; // NULL: leave
    void *arg;
    int n_threads;
    struct pool_thread threads[];
};

// Which member of which team the running thread is now.
static _Thread_local struct pool_thread *self;

static void pause_cpu(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    atomic_signal_fence(memory_order_seq_cst);
#endif
}

// The sequentially consistent order of "value, then sleepers" here and "sleepers, then value" in gate_wait
// makes sure that one of both sees the other.
static void gate_open(struct gate *g, uint32_t value)
{
    atomic_store_explicit(&g->value, value, memory_order_seq_cst);
    if (atomic_load_explicit(&g->n_sleepers, memory_order_seq_cst) > 0)
        syscall(SYS_futex, &g->value, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

static bool gate_has_reached(struct gate *g, uint32_t value)
{
    return (int32_t)(atomic_load_explicit(&g->value, memory_order_acquire) - value) >= 0;
}

static void gate_sleep(struct gate *g, uint32_t value)
{
    atomic_fetch_add_explicit(&g->n_sleepers, 1, memory_order_seq_cst);
    for (;;) {
        uint32_t seen = atomic_load_explicit(&g->value, memory_order_seq_cst);
        if ((int32_t)(seen - value) >= 0)
            break;
        syscall(SYS_futex, &g->value, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
    }
    atomic_fetch_sub_explicit(&g->n_sleepers, 1, memory_order_relaxed);
}

static void gate_wait(struct gate *g, uint32_t value, int n_spins)
{
    for (int i = 0; i < n_spins; i++) {
        if (gate_has_reached(g, value))
            return;
        pause_cpu();
    }
    gate_sleep(g, value);
}

static void barrier(struct pool *p, struct pool_thread *me)
{
    uint32_t epoch = ++me->epoch;
    for (int round = 0, step = 1; step < p->n_threads; round++, step *= 2) {
        int other = (me->thread_i - step + p->n_threads) % p->n_threads;
        gate_open(&me->rounds[round], epoch);
        gate_wait(&p->threads[other].rounds[round], epoch, BARRIER_SPINS);
    }
}

static void *thread_main(void *arg)
{
    struct pool_thread *me = arg;
    struct pool *p = me->pool;
    char name[16];

    snprintf(name, sizeof name, "compute-%d", me->thread_i);
    pthread_setname_np(pthread_self(), name);
    self = me;
    for (uint32_t run = 1;; run++) {
        gate_wait(&p->start, run, START_SPINS);
        if (p->fn == NULL)
            return NULL;
        p->fn(p->arg, me->thread_i, p->n_threads);
        barrier(p, me);
    }
}

static void start_all(struct pool *p, pool_fn *fn, void *arg)
{
    p->fn = fn;
    p->arg = arg;
    uint32_t run = atomic_load_explicit(&p->start.value, memory_order_relaxed) + 1;
    gate_open(&p->start, run);
}

struct pool *pool_new(int n_threads)
{
    n_threads = MIN(n_threads, 1 << MAX_ROUNDS);
    size_t size_bytes = sizeof(struct pool) + (size_t)n_threads * sizeof(struct pool_thread);
    struct pool *p = aligned_alloc(64, ROUND_UP(size_bytes, 64));
    if (p == NULL)
        abort();
    *p = (struct pool){.n_threads = 1};
    for (int i = 0; i < n_threads; i++)
        p->threads[i] = (struct pool_thread){.thread_i = i, .pool = p};

    // Signals belong to the threads of the program's own; n_threads is final before the first start, so a
    // thread that could not be created only makes the team smaller.
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &old);
    while (p->n_threads < n_threads) {
        struct pool_thread *t = &p->threads[p->n_threads];
        if (pthread_create(&t->handle, NULL, thread_main, t) != 0)
            break;
        p->n_threads++;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return p;
}

void pool_free(struct pool *p)
{
    if (p == NULL)
        return;
    start_all(p, NULL, NULL);
    for (int i = 1; i < p->n_threads; i++)
        pthread_join(p->threads[i].handle, NULL);
    free(p);
}

int pool_size(const struct pool *p)
{
    return p->n_threads;
}

void pool_run(struct pool *p, pool_fn *fn, void *arg)
{
    struct pool_thread *outer = self;
    self = &p->threads[0];
    if (p->n_threads > 1)
        start_all(p, fn, arg);
    fn(arg, 0, p->n_threads);
    barrier(p, self);
    self = outer;
}

void pool_barrier(struct pool *p)
{
    barrier(p, self);
}
