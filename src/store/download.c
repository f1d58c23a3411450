// SPDX-License-Identifier: MIT
// A download is counted by its waiters and its thread. Everything of it but `done_bytes` is under the table's
// lock; the condition is signalled when one ends.
#include "store/download.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/strbuf.h"
#include "store/partial.h"

enum { MAX_PARALLEL = 16, MAX_TRIES = 6, TICK_MS = 60, MAX_REFUSALS = 3, PATH_BYTES = 3072 };

struct download {
    struct downloads *all;
    struct download *next;
    char directory[PATH_BYTES], digest[BLOB_DIGEST_BYTES];
    uint64_t size_bytes;
    int64_t stall_ns;
    struct registry registry; // its own
    struct partial partial;   // the thread's; locked while anybody waits
    atomic_ullong done_bytes;
    volatile sig_atomic_t is_cancelled;
    int n_waiters;
    bool thread_is_done;
    int rc;
    struct err err;
};

struct downloads {
    pthread_mutex_t lock;
    pthread_cond_t has_changed;
    struct download *first;
};

struct downloads *downloads_new(void)
{
    struct downloads *d = xcalloc(1, sizeof *d);
    pthread_condattr_t attributes;
    pthread_mutex_init(&d->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&d->has_changed, &attributes);
    pthread_condattr_destroy(&attributes);
    return d;
}

void downloads_free(struct downloads *d)
{
    if (d == NULL)
        return;
    pthread_mutex_lock(&d->lock);
    while (d->first != NULL)
        pthread_cond_wait(&d->has_changed, &d->lock);
    pthread_mutex_unlock(&d->lock);
    pthread_cond_destroy(&d->has_changed);
    pthread_mutex_destroy(&d->lock);
    free(d);
}

// ---- The thread ----

static void on_progress(void *user, size_t part_i)
{
    struct download *d = user;
    partial_save(&d->partial, part_i);
    atomic_store(&d->done_bytes, partial_done_bytes(&d->partial));
}

static int fetch_once(struct download *d, struct fetch_end *end, struct err *err)
{
    char rest[128], url[REGISTRY_URL_BYTES];
    const char *headers[REGISTRY_HEADERS];
    struct strbuf auth = STRBUF_INIT(64 << 10);
    snprintf(rest, sizeof rest, "blobs/%s", d->digest);
    registry_url(&d->registry, rest, url);
    registry_headers(&d->registry, NULL, &auth, headers);
    const struct fetch f = {
        .url = url,
        .headers = headers,
        .fd = d->partial.fd,
        .total_bytes = d->size_bytes,
        .parts = d->partial.parts,
        .n_parts = d->partial.n_parts,
        .max_parallel = MAX_PARALLEL,
        .max_tries = MAX_TRIES,
        .stall_ns = d->stall_ns,
        .allows_http = d->registry.is_http,
        .cancel = &d->is_cancelled,
        .on_progress = on_progress,
        .user = d,
    };
    int rc = fetch_run(&f, end, err);
    strbuf_fini(&auth);
    return rc;
}

// Again with a new token, or without parts where the server gives none.
static int fetch(struct download *d, struct err *err)
{
    int n_refusals = 0;
    for (;;) {
        struct fetch_end end;
        struct err why = {0};
        uint64_t before = partial_done_bytes(&d->partial);
        int rc = fetch_once(d, &end, &why);
        if (partial_done_bytes(&d->partial) > before)
            n_refusals = 0; // a token that ran out
        if (rc != 0 && end.has_no_ranges)
            rc = partial_restart_whole(&d->partial, err);
        else if (rc != 0 && end.challenge != NULL && ++n_refusals < MAX_REFUSALS)
            rc = registry_authorize(&d->registry, end.challenge, err);
        else if (rc != 0 && why.code == ERR_UNAUTHORIZED)
            rc = err_set(err, ERR_UNAUTHORIZED, "unauthorized: access denied");
        else if (rc != 0)
            err_set(err, why.code, "%s", why.message);
        else if (why.code == ERR_NONE) {
            fetch_end_fini(&end);
            return 0;
        }
        fetch_end_fini(&end);
        if (rc != 0)
            return -1;
    }
}

static int load(struct download *d, struct err *err)
{
    int rc = partial_open(&d->partial, d->directory, d->digest, d->size_bytes, &d->is_cancelled, err);
    if (rc != 0)
        return rc > 0 ? 0 : -1;
    atomic_store(&d->done_bytes, partial_done_bytes(&d->partial));
    if (fetch(d, err) != 0 || partial_verify(&d->partial, &d->is_cancelled, err) != 0)
        return -1;
    return partial_settle(&d->partial, err);
}

// Under the lock; frees it when nobody is left.
static void unref(struct download *d)
{
    struct download **at = &d->all->first;
    if (d->n_waiters > 0 || !d->thread_is_done)
        return;
    while (*at != d)
        at = &(*at)->next;
    *at = d->next;
    pthread_cond_broadcast(&d->all->has_changed);
    partial_close(&d->partial);
    registry_fini(&d->registry);
    free(d);
}

static void *thread_main(void *user)
{
    struct download *d = user;
    struct downloads *all = d->all;
    struct err err = {0};
    int rc = load(d, &err);
    pthread_mutex_lock(&all->lock);
    if (rc != 0)
        partial_close(&d->partial); // for the next one
    d->rc = rc;
    d->err = err;
    d->thread_is_done = true;
    pthread_cond_broadcast(&all->has_changed);
    unref(d);
    pthread_mutex_unlock(&all->lock);
    return NULL;
}

// ---- Waiting ----

static struct download *find(struct downloads *all, const struct download_wanted *w)
{
    for (struct download *d = all->first; d != NULL; d = d->next)
        if (d->is_cancelled == 0 && !(d->thread_is_done && d->rc != 0) && strcmp(d->digest, w->digest) == 0 &&
            strcmp(d->directory, w->directory) == 0 && d->size_bytes == w->size_bytes)
            return d;
    return NULL;
}

static struct download *start(struct downloads *all, const struct download_wanted *w,
                              const struct registry *from, int64_t stall_ns, struct err *err)
{
    struct download *d = xcalloc(1, sizeof *d);
    pthread_attr_t attributes;
    pthread_t thread;
    d->all = all;
    snprintf(d->directory, sizeof d->directory, "%s", w->directory);
    snprintf(d->digest, sizeof d->digest, "%s", w->digest);
    d->size_bytes = w->size_bytes;
    d->stall_ns = stall_ns;
    d->partial.fd = -1;
    d->registry = *from;
    d->registry.token = from->token != NULL ? xstrdup(from->token) : NULL;
    d->registry.cancel = &d->is_cancelled;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    int rc = pthread_create(&thread, &attributes, thread_main, d);
    pthread_attr_destroy(&attributes);
    if (rc != 0) {
        registry_fini(&d->registry);
        free(d);
        err_set(err, ERR_NO_MEMORY, "cannot start a thread");
        return NULL;
    }
    d->next = all->first;
    all->first = d;
    return d;
}

static void wait_a_tick(struct downloads *all)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += TICK_MS * NS_PER_MS;
    if (until.tv_nsec >= NS_PER_S) {
        until.tv_sec++;
        until.tv_nsec -= NS_PER_S;
    }
    pthread_cond_timedwait(&all->has_changed, &all->lock, &until);
}

static void tell(const struct download *d, const struct transfer *t, uint64_t completed)
{
    char text[32];
    snprintf(text, sizeof text, "pulling %.12s", d->digest + 7);
    t->on_status(t->user, &(struct transfer_status){text, d->digest, d->size_bytes, completed});
}

// Under the lock, which is given up while the waiter is told and while nothing happens.
static int wait_for(struct download *d, const struct transfer *t, struct err *err)
{
    uint64_t told = UINT64_MAX;
    while (!d->thread_is_done) {
        uint64_t done = atomic_load(&d->done_bytes);
        if (t->cancel != NULL && __atomic_load_n(t->cancel, __ATOMIC_RELAXED) != 0)
            return err_set(err, ERR_CANCELLED, "request canceled");
        pthread_mutex_unlock(&d->all->lock);
        if (done != told)
            tell(d, t, done);
        told = done;
        pthread_mutex_lock(&d->all->lock);
        if (!d->thread_is_done)
            wait_a_tick(d->all);
    }
    return d->rc == 0 ? 0 : err_set(err, d->err.code, "%s", d->err.message);
}

int downloads_get(struct downloads *all, const struct download_wanted *wanted, const struct registry *from,
                  const struct transfer *t, struct pins *pins, struct err *err)
{
    pthread_mutex_lock(&all->lock);
    struct download *d = find(all, wanted);
    if (d == NULL)
        d = start(all, wanted, from, t->stall_ns, err);
    if (d == NULL) {
        pthread_mutex_unlock(&all->lock);
        return -1;
    }
    d->n_waiters++;
    int rc = wait_for(d, t, err);
    pthread_mutex_unlock(&all->lock);
    if (rc == 0)
        rc = pins_add(pins, d->digest, err);
    if (rc == 0)
        tell(d, t, d->size_bytes);
    pthread_mutex_lock(&all->lock);
    if (--d->n_waiters == 0 && !d->thread_is_done)
        __atomic_store_n(&d->is_cancelled, 1, __ATOMIC_RELAXED);
    unref(d);
    pthread_mutex_unlock(&all->lock);
    return rc;
}
