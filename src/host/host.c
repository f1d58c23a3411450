// SPDX-License-Identifier: MIT
// The door: what other threads may ask. Everything here takes the mutex for a short time and leaves the work
// to the host's thread (thread.c).
#include "host/host.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/cpu.h"
#include "base/log.h"
#include "base/mem.h"
#include "host/state.h"

enum { MAX_RETRY_AFTER_S = 60 };

static int choose_threads(int asked)
{
    struct cpu_grant grant;
    cpu_read_grant(&grant, NULL);
    if (asked > grant.n_threads)
        log_warn("host", "%d compute threads asked for, the machine grants %d (%s): using %d", asked,
                 grant.n_threads, grant.reason, grant.n_threads);
    int n_threads = asked > 0 ? MIN(asked, grant.n_threads) : grant.n_threads;
    log_info("host", "computing with %d threads (%s)", n_threads, grant.reason);
    return n_threads;
}

static int start_thread(struct host *h, struct err *err)
{
    sigset_t all, old;
    struct epoll_event wake = {.events = EPOLLIN};
    h->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    h->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    wake.data.fd = h->wake_fd;
    if (h->epoll_fd < 0 || h->wake_fd < 0 || epoll_ctl(h->epoll_fd, EPOLL_CTL_ADD, h->wake_fd, &wake) != 0)
        return err_set(err, ERR_INTERNAL, "cannot start the host: %s", strerror(errno));
    sigfillset(&all); // signals are for the program's first thread
    pthread_sigmask(SIG_BLOCK, &all, &old);
    int rc = pthread_create(&h->thread, NULL, thread_run, h);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return rc == 0 ? 0 : err_set(err, ERR_INTERNAL, "cannot start the host's thread: %s", strerror(rc));
}

static void free_model(struct hosted *m)
{
    free(m->first_name);
    free(m->blob_digest);
    free(m->kv_type);
    free(m->blob_path);
    free(m->name);
    free(m->manifest_digest);
    free(m->details_json);
    free(m);
}

static void destroy(struct host *h)
{
    LIST_EACH_SAFE(&h->cancels, node, after)
    free(LIST_OWNER(node, struct cancel_note, all));
    LIST_EACH_SAFE(&h->models, node, after)
    free_model(LIST_OWNER(node, struct hosted, all));
    sched_free(h->sched);
    if (h->event_log != NULL)
        fclose(h->event_log);
    history_fini(&h->history);
    if (h->epoll_fd >= 0)
        close(h->epoll_fd);
    if (h->wake_fd >= 0)
        close(h->wake_fd);
    pthread_mutex_destroy(&h->mutex);
    pthread_cond_destroy(&h->delivered);
    strbuf_fini(&h->scratch);
    strbuf_fini(&h->message);
    free(h->kv_type);
    free(h->cpu_level);
    free(h);
}

static void write_event(void *file, const char *line)
{
    fprintf(file, "%s\n", line);
}

// Line by line, so that it is whole up to the moment at which the server ends, however it does.
static int open_event_log(struct host *h, const char *path, struct err *err)
{
    if (path == NULL || path[0] == 0)
        return 0;
    h->event_log = fopen(path, "we");
    if (h->event_log == NULL)
        return err_set(err, ERR_INVALID, "event_log: %s: %s", path, strerror(errno));
    setvbuf(h->event_log, NULL, _IOLBF, 0);
    sched_set_log(h->sched, write_event, h->event_log, clock_monotonic_ns());
    return 0;
}

int host_new(struct host **out, const struct host_options *o, struct err *err)
{
    struct host *h = xcalloc(1, sizeof *h);
    h->policy = configure_policy(o);
    h->options = *o;
    h->kv_type = xstrdup(o->kv_type != NULL ? o->kv_type : "f16");
    h->has_no_drafts = o->has_no_drafts;
    h->has_no_coarse_head = o->has_no_coarse_head;
    h->cpu_level = xstrdup(o->cpu_level != NULL ? o->cpu_level : "");
    h->epoll_fd = h->wake_fd = -1;
    h->next_id = 1;
    h->n_threads = choose_threads(o->n_threads);
    atomic_init(&h->stall_timeout_ns, o->stall_timeout_ns);
    h->sched = sched_new(&h->policy);
    list_init(&h->models);
    list_init(&h->jobs);
    list_init(&h->cancels);
    list_init(&h->unloads);
    list_init(&h->to_cancel);
    list_init(&h->comments);
    history_start(&h->history, HOST_HISTORY);
    list_init(&h->links);
    strbuf_init(&h->scratch, 4 * FRAMES_MAX_REPLY_BYTES);
    strbuf_init(&h->message, FRAMES_MAX_REQUEST_BYTES);
    pthread_mutex_init(&h->mutex, NULL);
    pthread_cond_init(&h->delivered, NULL);
    limit_sweep();
    *out = NULL;
    if (open_event_log(h, o->event_log, err) != 0 || start_thread(h, err) != 0) {
        destroy(h);
        return -1;
    }
    *out = h;
    return 0;
}

void host_free(struct host *h)
{
    if (h == NULL)
        return;
    pthread_mutex_lock(&h->mutex);
    h->is_stopping = true;
    pthread_mutex_unlock(&h->mutex);
    thread_wake(h);
    pthread_join(h->thread, NULL);
    destroy(h);
}

static void replace(char **text, const char *with)
{
    free(*text);
    *text = xstrdup(with != NULL ? with : "");
}

// The model of that digest and KV type, told apart by nothing else; names, details and settings are those of
// the submission that found it unloaded.
struct hosted *host_find_model(struct host *h, const struct host_model *wanted)
{
    struct hosted *m = NULL;
    const char *kv_type = configure_kv_type(h, &wanted->settings);
    LIST_EACH(&h->models, node)
    {
        struct hosted *at = LIST_OWNER(node, struct hosted, all);
        if (strcmp(at->blob_digest, wanted->blob_digest) == 0 && strcmp(at->kv_type, kv_type) == 0)
            m = at;
    }
    if (m == NULL) {
        m = xcalloc(1, sizeof *m);
        m->blob_digest = xstrdup(wanted->blob_digest);
        m->kv_type = xstrdup(kv_type);
        m->first_name = xstrdup(wanted->name);
        m->sched = sched_add_model(h->sched, m);
        sched_log_name(h->sched, m->sched, wanted->name);
        list_push(&h->models, &m->all);
    }
    if (m->sched->state == SCHED_ABSENT && m->sched->n_waiting == 0) { // else the host's thread may read them
        replace(&m->blob_path, wanted->blob_path);
        replace(&m->name, wanted->name);
        replace(&m->manifest_digest, wanted->manifest_digest);
        replace(&m->details_json, wanted->details_json);
        configure_model(h, m, &wanted->settings);
    }
    return m;
}

static void drop_request(struct request *r)
{
    if (r != NULL)
        request_fini(r);
    free(r);
}

// With the mutex. NULL: refused.
static struct job *admit(struct host *h, const struct host_submission *s, struct err *err)
{
    struct job *j = job_new(h, host_find_model(h, &s->model), s);
    int64_t now_ns = clock_monotonic_ns();
    if (h->options.max_waiting_bytes > 0 &&
        h->waiting_bytes + j->waiting_bytes > h->options.max_waiting_bytes) {
        err_set(err, ERR_QUEUE_BYTES, "server busy, please try again.  too many bytes in waiting requests");
    } else if (sched_submit(h->sched, j->model->sched, &j->sched, now_ns, err) == 0) {
        h->waiting_bytes += j->waiting_bytes;
        list_push(&h->jobs, &j->open);
        if (j->comment_ns > 0)
            list_push(&h->comments, &j->comments);
        if (s->has_keep_alive)
            sched_set_keep_alive(h->sched, j->model->sched, s->keep_alive_ns, now_ns);
        return j;
    }
    h->n_rejected++;
    atomic_store(&j->refs, 1);
    job_unref(j); // with the request
    return NULL;
}

static struct job *unload(struct host *h, const struct host_submission *s)
{
    struct hosted *m = host_find_model(h, &s->model);
    struct job *j = job_new(h, m, s);
    list_push(&h->unloads, &j->open);
    sched_unload(h->sched, m->sched, clock_monotonic_ns());
    return j;
}

// The runner has to be told, in its turn.
static void note_cancel(struct host *h, const struct job *j)
{
    struct cancel_note *note = xcalloc(1, sizeof *note);
    note->model = j->model;
    note->job_id = j->id;
    list_push(&h->cancels, &note->all);
}

// With the mutex, of a job of this moment: nobody has heard of it.
static void take_back(struct host *h, struct job *j)
{
    job_close(h, j);
    if (sched_cancel(h->sched, &j->sched, clock_monotonic_ns()))
        note_cancel(h, j);
    job_unref(j); // the submitter's
    job_unref(j); // the host's
}

int host_submit_all(struct host *h, const struct host_submission *s, size_t n, struct job **jobs,
                    struct err *err)
{
    size_t n_admitted = 0, n_taken = 0;
    bool is_refused = false;
    pthread_mutex_lock(&h->mutex);
    if (h->is_stopping)
        is_refused = err_set(err, ERR_DRAINING, "server is shutting down") != 0;
    while (!is_refused && n_taken < n) {
        const struct host_submission *at = &s[n_taken++];
        jobs[n_admitted] = at->unload && at->request == NULL ? unload(h, at) : admit(h, at, err);
        is_refused = jobs[n_admitted] == NULL;
        n_admitted += !is_refused;
    }
    while (is_refused && n_admitted > 0)
        take_back(h, jobs[--n_admitted]);
    pthread_mutex_unlock(&h->mutex);
    for (; n_taken < n; n_taken++)
        drop_request(s[n_taken].request);
    thread_wake(h);
    return is_refused ? -1 : 0;
}

struct job *host_submit(struct host *h, const struct host_submission *s, struct err *err)
{
    struct job *j = NULL;
    return host_submit_all(h, s, 1, &j, err) == 0 ? j : NULL;
}

bool host_cancel(struct host *h, struct job *j)
{
    pthread_mutex_lock(&h->mutex);
    bool closed_now = job_close(h, j);
    if (closed_now) {
        h->n_cancelled++;
        struct err left = {0};
        err_set(&left, ERR_CANCELLED, "the client left");
        record_end(h, j, DONE_STOP, &left);
        if (sched_cancel(h->sched, &j->sched, clock_monotonic_ns()))
            note_cancel(h, j);
    }
    while (j->is_delivering && !pthread_equal(pthread_self(), h->thread))
        pthread_cond_wait(&h->delivered, &h->mutex);
    pthread_mutex_unlock(&h->mutex);
    if (closed_now) {
        job_unref(j); // the host's
        thread_wake(h);
    }
    return closed_now;
}

bool host_is_alive(struct host *h)
{
    uint64_t n_rounds = atomic_load(&h->n_rounds);
    bool is_alive = n_rounds != h->n_rounds_seen;
    h->n_rounds_seen = n_rounds;
    thread_wake(h);
    return is_alive;
}

// ---- Looking in ----
static pthread_mutex_t *mutex_of(const struct host *h)
{
    return (pthread_mutex_t *)&h->mutex; // locking does not change what is looked at
}

static void read_counts(const struct host *h, struct sched_counts *counts)
{
    pthread_mutex_lock(mutex_of(h));
    sched_read_counts(h->sched, counts);
    pthread_mutex_unlock(mutex_of(h));
}

uint32_t host_queue_depth(const struct host *h)
{
    struct sched_counts counts;
    read_counts(h, &counts);
    return counts.n_queued;
}

uint32_t host_retry_after_s(const struct host *h, const char *blob_digest)
{
    const struct sched_model *m = NULL;
    pthread_mutex_lock(mutex_of(h));
    LIST_EACH(&h->models, node)
    {
        const struct hosted *at = LIST_OWNER(node, struct hosted, all);
        if (blob_digest != NULL && strcmp(at->blob_digest, blob_digest) == 0)
            m = at->sched;
    }
    int64_t wait_ns = sched_retry_after_ns(h->sched, m);
    pthread_mutex_unlock(mutex_of(h));
    return (uint32_t)MIN(MAX((wait_ns + NS_PER_S - 1) / NS_PER_S, 1), (int64_t)MAX_RETRY_AFTER_S);
}

static const char *state_name(const struct sched_model *m)
{
    return m->state == SCHED_READY ? "ready" : m->state == SCHED_STOPPING ? "stopping" : "loading";
}

static int64_t expires_wall_ns(const struct sched_model *m)
{
    int64_t now_ns = clock_monotonic_ns(), expires_ns = m->expires_at_ns;
    if (m->keep_alive_ns < 0)
        return 0;
    if (expires_ns == INT64_MAX) // busy: as if it became idle now
        expires_ns = clock_after_ns(now_ns, m->keep_alive_ns);
    if (expires_ns == INT64_MAX)
        return 0;
    return clock_after_ns(clock_wall_ns() - now_ns, expires_ns);
}

static void fill_status(struct host_model_status *out, const struct hosted *m)
{
    const struct sched_model *s = m->sched;
    *out = (struct host_model_status){.size_bytes = s->sizes.memory_bytes,
                                      .n_slots = s->sizes.n_slots,
                                      .n_running = s->n_running,
                                      .n_queued = s->n_waiting,
                                      .context_length = s->sizes.context_length,
                                      .kv_tokens_used = m->stats.kv_tokens_used,
                                      .kv_tokens_total = s->sizes.pool_tokens,
                                      .expires_wall_ns = expires_wall_ns(s),
                                      .pid = m->pid,
                                      .n_steps = m->stats.n_steps,
                                      .n_turns = m->n_turns,
                                      .load_done_bytes = m->progress.done,
                                      .load_total_bytes = m->progress.total};
    snprintf(out->name, sizeof out->name, "%s", m->name);
    snprintf(out->metrics_name, sizeof out->metrics_name, "%s", m->first_name);
    snprintf(out->blob_digest, sizeof out->blob_digest, "%s", m->blob_digest);
    snprintf(out->manifest_digest, sizeof out->manifest_digest, "%s", m->manifest_digest);
    snprintf(out->state, sizeof out->state, "%s", state_name(s));
    out->cause = s->cause;
    out->load_reason = s->load_reason;
    snprintf(out->reduced, sizeof out->reduced, "%s", s->sizes.reduced);
    out->details_json = xstrdup(m->details_json);
}

void host_status_read(struct host *h, struct host_status *out)
{
    struct sched_counts counts;
    size_t n_models = 0;
    pthread_mutex_lock(&h->mutex);
    sched_read_counts(h->sched, &counts);
    *out = (struct host_status){.n_queued = counts.n_waiting,
                                .n_running = counts.n_running,
                                .n_started = h->n_started,
                                .n_finished = h->n_finished,
                                .n_rejected = h->n_rejected,
                                .n_cancelled = h->n_cancelled};
    LIST_EACH(&h->models, node)
    n_models++;
    out->models = xcalloc(MAX(n_models, 1ul), sizeof *out->models);
    LIST_EACH(&h->models, node)
    {
        const struct hosted *m = LIST_OWNER(node, struct hosted, all);
        if (m->sched->state != SCHED_ABSENT || m->sched->n_waiting > 0)
            fill_status(&out->models[out->n_models++], m);
    }
    pthread_mutex_unlock(&h->mutex);
}

void host_status_fini(struct host_status *s)
{
    for (size_t i = 0; i < s->n_models; i++)
        free(s->models[i].details_json);
    free(s->models);
    *s = (struct host_status){0};
}
