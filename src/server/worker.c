// SPDX-License-Identifier: MIT
// A bounded queue and the threads that empty it. One lock; tasks run outside of it, in the order of arrival.
#include "server/worker.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/mem.h"

struct task {
    worker_fn *run;
    void *user;
};

struct worker {
    pthread_mutex_t lock;
    pthread_cond_t has_work;
    struct task *ring;
    size_t capacity, first, n;
    bool is_closing;
    int n_threads;
    pthread_t threads[];
};

static bool take(struct worker *w, struct task *out)
{
    bool has_task = false;
    pthread_mutex_lock(&w->lock);
    while (w->n == 0 && !w->is_closing)
        pthread_cond_wait(&w->has_work, &w->lock);
    if (w->n > 0) {
        *out = w->ring[w->first];
        w->first = (w->first + 1) % w->capacity;
        w->n--;
        has_task = true;
    }
    pthread_mutex_unlock(&w->lock);
    return has_task;
}

static void *thread_main(void *user)
{
    struct worker *w = user;
    struct task task;
    while (take(w, &task))
        task.run(task.user);
    return NULL;
}

struct worker *worker_new(int n_threads, size_t max_waiting)
{
    struct worker *w = xcalloc(1, sizeof *w + (size_t)n_threads * sizeof w->threads[0]);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->has_work, NULL);
    w->capacity = max_waiting;
    w->ring = xcalloc(max_waiting, sizeof w->ring[0]);
    for (int i = 0; i < n_threads; i++)
        if (pthread_create(&w->threads[w->n_threads], NULL, thread_main, w) == 0)
            w->n_threads++;
    return w;
}

void worker_free(struct worker *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->is_closing = true;
    pthread_cond_broadcast(&w->has_work);
    pthread_mutex_unlock(&w->lock);
    for (int i = 0; i < w->n_threads; i++)
        pthread_join(w->threads[i], NULL);
    pthread_cond_destroy(&w->has_work);
    pthread_mutex_destroy(&w->lock);
    free(w->ring);
    free(w);
}

bool worker_push(struct worker *w, worker_fn *run, void *user)
{
    bool is_taken = false;
    pthread_mutex_lock(&w->lock);
    if (w->n < w->capacity && w->n_threads > 0) {
        w->ring[(w->first + w->n) % w->capacity] = (struct task){run, user};
        w->n++;
        is_taken = true;
        pthread_cond_signal(&w->has_work);
    }
    pthread_mutex_unlock(&w->lock);
    return is_taken;
}
