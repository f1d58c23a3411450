// SPDX-License-Identifier: MIT
// The host's thread: waits for sockets, ends of processes, the wake-up from other threads and the scheduler's
// deadlines; then does what the scheduler wants done. It never blocks on anything else.
#include "host/state.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "host/memory.h"

enum { MAX_EVENTS = 32 };
#define BUDGET_NS (NS_PER_S / 2) // between two looks at the memory while a model waits for it

void thread_wake(struct host *h)
{
    uint64_t one = 1;
    if (write(h->wake_fd, &one, sizeof one) < 0)
        assert(errno == EAGAIN); // the counter is full: it wakes anyway
}

void thread_read_budget(struct host *h)
{
    struct memory_reading reading;
    uint64_t held_bytes = 0;
    memory_read(&reading, NULL);
    LIST_EACH(&h->links, node)
    {
        const struct link *l = LIST_OWNER(node, struct link, all);
        if (!l->process_gone)
            held_bytes += memory_of_process((int)l->child.pid);
    }
    pthread_mutex_lock(&h->mutex);
    h->reads_budget = false;
    h->budget_bytes = memory_budget(&reading, held_bytes, h->options.memory_limit_bytes);
    sched_set_budget(h->sched, 0, h->budget_bytes, clock_monotonic_ns());
    pthread_mutex_unlock(&h->mutex);
}

// ---- What the scheduler wants done ----
static void fail_start(struct host *h, struct hosted *m, const struct err *why)
{
    log_error("host", "%s", why->message);
    pthread_mutex_lock(&h->mutex);
    sched_on_failed(h->sched, m->sched, why, clock_monotonic_ns());
    pthread_mutex_unlock(&h->mutex);
}

static void stop_model(struct host *h, struct hosted *m)
{
    if (m->link != NULL) {
        link_end(h, m->link);
        return;
    }
    pthread_mutex_lock(&h->mutex);
    sched_on_gone(h->sched, m->sched, clock_monotonic_ns());
    pthread_mutex_unlock(&h->mutex);
}

static void act_on_model(struct host *h, enum sched_action_kind kind, struct hosted *m,
                         const struct sched_sizes *sizes)
{
    struct err err = {0};
    if (kind == SCHED_PROBE) {
        if (link_start(h, m, &err) != 0)
            fail_start(h, m, &err);
    } else if (kind == SCHED_LOAD) {
        if (m->link != NULL)
            link_load(h, m->link, sizes);
    } else {
        stop_model(h, m);
    }
}

static void act_on_job(struct host *h, enum sched_action_kind kind, struct job *j, const struct err *failure,
                       bool tells_runner)
{
    if (kind == SCHED_DISPATCH) {
        if (j->model->link != NULL)
            link_submit(h, j->model->link, j);
    } else if (kind == SCHED_LOADED) {
        struct event e = {.kind = EVENT_DONE, .request_id = j->id, .reason = DONE_LOAD};
        job_deliver(h, j, &e);
    } else {
        if (tells_runner && j->model->link != NULL)
            link_cancel(h, j->model->link, j->id);
        job_deliver_error(h, j, failure);
    }
}

// One action; false: none left.
static bool act(struct host *h)
{
    struct sched_action a;
    struct sched_sizes sizes = {0};
    struct job *j = NULL;
    struct hosted *m = NULL;
    struct err failure = {0};
    pthread_mutex_lock(&h->mutex);
    bool found = sched_next_action(h->sched, &a);
    if (found) {
        m = a.model->user;
        sizes = a.model->sizes;
    }
    if (a.request != NULL) {
        j = LIST_OWNER(a.request, struct job, sched);
        job_ref(j);
        failure = a.request->failure;
        if (a.kind == SCHED_DISPATCH) {
            h->n_started += j->started_ns == 0;
            j->started_ns = clock_monotonic_ns();
            record_start(j, j->started_ns);
            h->waiting_bytes -= j->waiting_bytes;
            j->waiting_bytes = 0;
        }
    }
    pthread_mutex_unlock(&h->mutex);
    if (j != NULL)
        act_on_job(h, a.kind, j, &failure, a.tells_runner);
    else if (found)
        act_on_model(h, a.kind, m, &sizes);
    job_unref(j);
    return found;
}

// Jobs that were cancelled after they had been dispatched.
static void send_cancels(struct host *h)
{
    for (;;) {
        pthread_mutex_lock(&h->mutex);
        struct cancel_note *note = NULL;
        if (!list_is_empty(&h->cancels)) {
            note = LIST_OWNER(h->cancels.next, struct cancel_note, all);
            list_remove(&note->all);
        }
        pthread_mutex_unlock(&h->mutex);
        if (note == NULL)
            return;
        if (note->model->link != NULL)
            link_cancel(h, note->model->link, note->job_id);
        free(note);
    }
}

// Requests that somebody else than their client ended.
static void end_cancelled(struct host *h)
{
    for (;;) {
        struct job *j = NULL;
        bool was_dispatched = false;
        struct err why = {0};
        pthread_mutex_lock(&h->mutex);
        if (!list_is_empty(&h->to_cancel)) {
            j = LIST_OWNER(h->to_cancel.next, struct job, to_cancel); // with its reference
            list_remove(&j->to_cancel);
            if (!j->is_closed)
                was_dispatched = sched_cancel(h->sched, &j->sched, clock_monotonic_ns());
        }
        pthread_mutex_unlock(&h->mutex);
        if (j == NULL)
            return;
        if (was_dispatched && j->model->link != NULL)
            link_cancel(h, j->model->link, j->id);
        err_set(&why, ERR_CANCELLED, "the request was canceled by an operator");
        job_deliver_error(h, j, &why);
        job_unref(j);
    }
}

// Nothing waits for an unload; its one event comes from this thread like all others.
static void confirm_unloads(struct host *h)
{
    for (;;) {
        struct job *j = NULL;
        pthread_mutex_lock(&h->mutex);
        if (!list_is_empty(&h->unloads)) {
            j = LIST_OWNER(h->unloads.next, struct job, open);
            list_remove(&j->open);
            job_ref(j);
        }
        pthread_mutex_unlock(&h->mutex);
        if (j == NULL)
            return;
        struct event e = {.kind = EVENT_DONE, .request_id = j->id, .reason = DONE_UNLOAD};
        job_deliver(h, j, &e);
        job_unref(j);
    }
}

// Those that wait are told so, each when it is due.
static void say_waiting(struct host *h)
{
    int64_t now_ns = clock_monotonic_ns();
    for (;;) {
        struct job *j = NULL;
        char text[64];
        bool is_waiting = false;
        pthread_mutex_lock(&h->mutex);
        if (!list_is_empty(&h->comments))
            j = LIST_OWNER(h->comments.next, struct job, comments);
        if (j != NULL && j->comment_at_ns > now_ns)
            j = NULL;
        if (j != NULL) {
            job_ref(j);
            list_remove(&j->comments);
            is_waiting = record_waiting_text(h, j, text);
        }
        if (is_waiting) {
            j->comment_at_ns = clock_after_ns(now_ns, j->comment_ns);
            list_push(&h->comments, &j->comments);
        }
        pthread_mutex_unlock(&h->mutex);
        if (j == NULL)
            return;
        struct event e = {.kind = EVENT_WAITING, .request_id = j->id, .text = slice_of(text)};
        if (is_waiting)
            job_deliver(h, j, &e);
        job_unref(j);
    }
}

static void drop_gone_links(struct host *h)
{
    LIST_EACH_SAFE(&h->links, node, after)
    {
        struct link *l = LIST_OWNER(node, struct link, all);
        if (l->process_gone)
            link_free(h, l);
    }
}

// ---- Waiting ----
static int timeout_ms(struct host *h)
{
    struct sched_counts counts;
    pthread_mutex_lock(&h->mutex);
    int64_t now_ns = clock_monotonic_ns(), deadline_ns = sched_deadline_ns(h->sched);
    sched_read_counts(h->sched, &counts);
    if (!list_is_empty(&h->comments))
        deadline_ns = MIN(deadline_ns, LIST_OWNER(h->comments.next, struct job, comments)->comment_at_ns);
    pthread_mutex_unlock(&h->mutex);
    if (counts.wants_room)
        deadline_ns = MIN(deadline_ns, now_ns + BUDGET_NS);
    deadline_ns = MIN(deadline_ns, turns_deadline_ns(h));
    LIST_EACH(&h->links, node)
    deadline_ns = MIN(deadline_ns, LIST_OWNER(node, struct link, all)->kill_at_ns);
    if (deadline_ns >= INT64_MAX - 1)
        return -1;
    int64_t left_ms = (deadline_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS;
    return (int)MIN(MAX(left_ms, 0), (int64_t)3600000);
}

static void on_fd(struct host *h, int fd)
{
    if (fd == h->wake_fd) {
        uint64_t count;
        if (read(fd, &count, sizeof count) < 0)
            assert(errno == EAGAIN);
        return;
    }
    LIST_EACH_SAFE(&h->links, node, after)
    {
        struct link *l = LIST_OWNER(node, struct link, all);
        if (!l->process_gone && fd == l->wire.fd)
            link_on_socket(h, l);
        else if (!l->process_gone && fd == l->child.process_fd)
            link_on_process(h, l);
    }
}

static void on_time(struct host *h)
{
    int64_t now_ns = clock_monotonic_ns();
    struct sched_counts counts;
    LIST_EACH(&h->links, node)
    link_on_time(LIST_OWNER(node, struct link, all), now_ns);
    turns_watch(h, now_ns);
    pthread_mutex_lock(&h->mutex);
    sched_on_time(h->sched, now_ns);
    sched_read_counts(h->sched, &counts);
    bool reads_budget = counts.wants_room || h->reads_budget;
    pthread_mutex_unlock(&h->mutex);
    if (reads_budget)
        thread_read_budget(h);
}

static void fail_open_jobs(struct host *h)
{
    struct err why = {0};
    err_set(&why, ERR_DRAINING, "server is shutting down");
    for (;;) {
        struct job *j = NULL;
        pthread_mutex_lock(&h->mutex);
        if (!list_is_empty(&h->jobs)) {
            j = LIST_OWNER(h->jobs.next, struct job, open);
            job_ref(j);
            sched_cancel(h->sched, &j->sched, clock_monotonic_ns());
        }
        pthread_mutex_unlock(&h->mutex);
        if (j == NULL)
            return;
        job_deliver_error(h, j, &why);
        job_unref(j);
    }
}

static bool is_stopping(struct host *h)
{
    pthread_mutex_lock(&h->mutex);
    bool stopping = h->is_stopping;
    pthread_mutex_unlock(&h->mutex);
    return stopping;
}

void *thread_run(void *host)
{
    struct host *h = host;
    thread_read_budget(h);
    while (!is_stopping(h)) {
        atomic_fetch_add(&h->n_rounds, 1);
        while (act(h))
            ;
        send_cancels(h);
        end_cancelled(h);
        say_waiting(h);
        confirm_unloads(h);
        drop_gone_links(h);
        struct epoll_event events[MAX_EVENTS];
        int n = epoll_wait(h->epoll_fd, events, MAX_EVENTS, timeout_ms(h));
        if (n < 0 && errno != EINTR)
            log_error("host", "epoll: %s", strerror(errno));
        for (int i = 0; i < n; i++)
            on_fd(h, events[i].data.fd);
        on_time(h);
    }
    end_cancelled(h);
    confirm_unloads(h);
    fail_open_jobs(h);
    LIST_EACH_SAFE(&h->links, node, after)
    link_free(h, LIST_OWNER(node, struct link, all));
    return NULL;
}
