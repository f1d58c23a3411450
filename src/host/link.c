// SPDX-License-Identifier: MIT
// A runner's process as the front sees it: messages out through a queue that is never waited for, messages
// in, each checked, and its end. Whatever a runner says out of order or broken ends it; what follows is the
// path of a crash. All on the host's thread.
#include "host/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

enum { QUEUE_ENOUGH = 1 << 20, MAX_FILLS = 64 };
#define LEAVE_NS (2 * NS_PER_S) // how long a runner may take to leave by itself

struct unsent_job {
    struct list all;
    struct job *job; // a reference
};

static void watch(struct host *h, struct link *l, int operation, bool wants_write)
{
    struct epoll_event want = {.events = EPOLLIN | (wants_write ? (uint32_t)EPOLLOUT : 0u),
                               .data.fd = l->wire.fd};
    if (epoll_ctl(h->epoll_fd, operation, l->wire.fd, &want) != 0)
        log_error("host", "epoll: %s", strerror(errno));
    l->wants_write = wants_write;
}

static void drop_unsent(struct unsent_job *u)
{
    list_remove(&u->all);
    job_unref(u->job);
    free(u);
}

static void close_socket(struct host *h, struct link *l)
{
    if (!l->socket_open)
        return;
    l->socket_open = false;
    l->wants_turn = false; // if it has the turn, that ends with the process
    epoll_ctl(h->epoll_fd, EPOLL_CTL_DEL, l->wire.fd, NULL);
    LIST_EACH_SAFE(&l->unsent, node, after)
    drop_unsent(LIST_OWNER(node, struct unsent_job, all));
}

// It does not keep to what was agreed, or is gone.
static void break_link(struct host *h, struct link *l, const struct err *why)
{
    if (l->socket_open && l->kill_at_ns == INT64_MAX &&
        why->code != ERR_NOT_FOUND) // that it is gone is said when it is reaped
        log_error("host", "runner %d of %s: %s", (int)l->child.pid, l->model->name, why->message);
    close_socket(h, l);
    if (!l->process_gone)
        spawn_kill(&l->child);
}

static void flush(struct host *h, struct link *l)
{
    struct err err = {0};
    if (!l->socket_open)
        return;
    if (wire_flush(&l->wire, &err) != 0) {
        // What it said before it died may still lie in the socket: reading finds the end.
        strbuf_reset(&l->wire.out);
        l->wire.out_at = 0;
    }
    bool wants_write = wire_queued_bytes(&l->wire) > 0;
    if (wants_write != l->wants_write)
        watch(h, l, EPOLL_CTL_MOD, wants_write);
}

// The message lies in h->message.
static void push(struct host *h, struct link *l, enum frame_type type, uint64_t id)
{
    struct err err = {0};
    if (!l->socket_open)
        return;
    if (h->message.overflow)
        err_set(&err, ERR_TOO_LARGE, "a message to the runner is too long");
    if (err.code != ERR_NONE ||
        wire_push(&l->wire, (uint16_t)type, (uint32_t)id, h->message.at, h->message.n, &err) != 0)
        break_link(h, l, &err);
}

void link_push(struct host *h, struct link *l, enum frame_type type)
{
    push(h, l, type, 0);
    flush(h, l);
}

static int open_and_spawn(struct hosted *m, struct child *child, struct err *err)
{
    int fd = open(m->blob_path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(err, ERR_INTERNAL, "cannot open the weights of model '%s': %s", m->name,
                       strerror(errno));
    int rc = spawn_runner(child, fd, err);
    close(fd);
    return rc;
}

static void push_opening(struct host *h, struct link *l)
{
    const struct hosted *hosted = l->model;
    pthread_mutex_lock(&h->mutex);
    int n_threads = hosted->n_threads > 0 ? MIN(hosted->n_threads, h->n_threads) : h->n_threads;
    uint32_t n_slots = plan_wanted_slots(h, hosted->sched->options.num_parallel);
    pthread_mutex_unlock(&h->mutex);
    struct open_options open = {.n_threads = (uint32_t)n_threads,
                                .n_slots = n_slots,
                                .log_level = LOG_WARN,
                                .log_json = log_is_json(),
                                .use_sandbox = true,
                                .has_no_drafts = h->has_no_drafts,
                                .has_no_coarse_head = h->has_no_coarse_head};
    snprintf(open.kv_type, sizeof open.kv_type, "%s", hosted->kv_type);
    snprintf(open.cpu_level, sizeof open.cpu_level, "%s", h->cpu_level);
    for (int level = LOG_TRACE; level <= LOG_WARN; level++) {
        if (log_is_on((enum log_level)level)) {
            open.log_level = (uint8_t)level;
            break;
        }
    }
    strbuf_reset(&h->message);
    hello_encode(&h->message);
    push(h, l, FRAME_HELLO, 0);
    strbuf_reset(&h->message);
    open_options_encode(&open, &h->message);
    push(h, l, FRAME_OPEN, 0);
    flush(h, l);
}

int link_start(struct host *h, struct hosted *m, struct err *err)
{
    struct child child = {.socket = -1};
    if (open_and_spawn(m, &child, err) != 0)
        return -1;
    struct link *l = xcalloc(1, sizeof *l);
    l->model = m;
    l->child = child;
    l->kill_at_ns = INT64_MAX;
    list_init(&l->unsent);
    list_push(&h->links, &l->all);
    m->link = l;
    wire_init(&l->wire, child.socket, FRAMES_MAX_REPLY_BYTES, QUEUE_ENOUGH + 2 * FRAMES_MAX_REQUEST_BYTES);
    spawn_set_loading(&child);
    l->socket_open = true;
    watch(h, l, EPOLL_CTL_ADD, false);
    struct epoll_event ended = {.events = EPOLLIN, .data.fd = child.process_fd};
    if (epoll_ctl(h->epoll_fd, EPOLL_CTL_ADD, child.process_fd, &ended) != 0)
        log_error("host", "epoll: %s", strerror(errno));
    pthread_mutex_lock(&h->mutex);
    m->pid = child.pid;
    m->progress = (struct load_progress){0};
    m->load_started_ns = clock_monotonic_ns();
    pthread_mutex_unlock(&h->mutex);
    push_opening(h, l);
    return 0;
}

void link_load(struct host *h, struct link *l, const struct sched_sizes *sizes)
{
    struct load_options o = {sizes->n_slots, sizes->pool_tokens, sizes->context_length};
    strbuf_reset(&h->message);
    load_options_encode(&o, &h->message);
    limit_set(&l->limit, l->child.pid, sizes->memory_bytes, h->n_threads, l->model->name);
    link_push(h, l, FRAME_LOAD);
}

// As long as the queue is short, so that requests of any size wait as requests and not as bytes.
static void send_unsent(struct host *h, struct link *l)
{
    while (l->socket_open && !list_is_empty(&l->unsent) && wire_queued_bytes(&l->wire) < QUEUE_ENOUGH) {
        struct unsent_job *u = LIST_OWNER(l->unsent.next, struct unsent_job, all);
        strbuf_reset(&h->message);
        job_encode(u->job, &h->message);
        uint64_t id = u->job->id;
        drop_unsent(u);
        push(h, l, FRAME_SUBMIT, id);
        turns_want(h, l);
        flush(h, l);
    }
}

void link_submit(struct host *h, struct link *l, struct job *j)
{
    if (!l->socket_open)
        return; // its end is on the way, and brings the job back
    struct unsent_job *u = xcalloc(1, sizeof *u);
    job_ref(j);
    u->job = j;
    list_push(&l->unsent, &u->all);
    send_unsent(h, l);
}

void link_cancel(struct host *h, struct link *l, uint64_t job_id)
{
    LIST_EACH_SAFE(&l->unsent, node, after)
    {
        struct unsent_job *u = LIST_OWNER(node, struct unsent_job, all);
        if (u->job->id == job_id) {
            drop_unsent(u);
            return;
        }
    }
    strbuf_reset(&h->message);
    cancel_encode(job_id, &h->message);
    push(h, l, FRAME_CANCEL, job_id);
    flush(h, l);
}

void link_end(struct host *h, struct link *l)
{
    l->kill_at_ns = MIN(l->kill_at_ns, clock_monotonic_ns() + LEAVE_NS);
    if (l->socket_open)
        shutdown(l->wire.fd, SHUT_RDWR);
    close_socket(h, l);
}

void link_on_time(struct link *l, int64_t now_ns)
{
    if (l->kill_at_ns > now_ns || l->process_gone)
        return;
    l->kill_at_ns = INT64_MAX - 1; // once
    spawn_kill(&l->child);
}

// ---- What a runner says ----
static int on_plan(struct host *h, struct link *l, const struct wire_message *m, struct err *err)
{
    struct model_plan p;
    struct sched_plan plan;
    if (model_plan_decode(&p, m->bytes, m->n, err) != 0)
        return -1;
    plan.bytes_per_token = p.kv_bytes_per_token;
    plan.train_context = p.train_context;
    if (__builtin_add_overflow(p.weights_bytes, p.scratch_bytes, &plan.fixed_bytes) ||
        __builtin_add_overflow(plan.fixed_bytes, p.process_bytes, &plan.fixed_bytes))
        return err_set(err, ERR_FORMAT, "absurd memory plan");
    thread_read_budget(h);
    pthread_mutex_lock(&h->mutex);
    sched_on_plan(h->sched, l->model->sched, &plan, clock_monotonic_ns());
    pthread_mutex_unlock(&h->mutex);
    return 0;
}

static void say_loaded(const struct hosted *m, const struct sched_sizes *sizes, int64_t load_ns)
{
    log_info("host", "model %s is loaded: %u slots, pool of %u tokens, context %u, %.0f MiB, in %.2f s",
             m->name, sizes->n_slots, sizes->pool_tokens, sizes->context_length,
             (double)sizes->memory_bytes / (1 << 20), (double)load_ns / NS_PER_S);
    if (sizes->reduced[0] != 0)
        log_warn("host", "model %s was reduced: %s", m->name, sizes->reduced);
}

static int on_stats(struct host *h, struct link *l, const struct wire_message *m, struct err *err)
{
    struct runner_stats stats;
    if (runner_stats_decode(&stats, m->bytes, m->n, err) != 0)
        return -1;
    if (stats.n_steps != l->model->stats.n_steps)
        l->silent_ns = 0;
    pthread_mutex_lock(&h->mutex);
    l->model->stats = stats;
    pthread_mutex_unlock(&h->mutex);
    return 0;
}

static int on_ready(struct host *h, struct link *l, const struct wire_message *m, struct err *err)
{
    if (on_stats(h, l, m, err) != 0)
        return -1;
    spawn_set_serving(&l->child);
    pthread_mutex_lock(&h->mutex);
    struct sched_sizes sizes = l->model->sched->sizes;
    int64_t now_ns = clock_monotonic_ns(), load_ns = now_ns - l->model->load_started_ns;
    bool expected = l->model->sched->state == SCHED_LOADING;
    if (expected)
        histogram_add(&l->model->counters.load, HISTOGRAM_DURATIONS, (double)load_ns / NS_PER_S, 1);
    sched_on_ready(h->sched, l->model->sched, now_ns);
    pthread_mutex_unlock(&h->mutex);
    if (!expected)
        return err_set(err, ERR_FORMAT, "unexpected ready message");
    say_loaded(l->model, &sizes, load_ns);
    return 0;
}

static int on_progress(struct host *h, struct link *l, const struct wire_message *m, struct err *err)
{
    struct load_progress progress;
    if (load_progress_decode(&progress, m->bytes, m->n, err) != 0)
        return -1;
    pthread_mutex_lock(&h->mutex);
    if (progress.done != l->model->progress.done)
        sched_on_progress(h->sched, l->model->sched, clock_monotonic_ns());
    l->model->progress = progress;
    pthread_mutex_unlock(&h->mutex);
    return 0;
}

static int on_failed(struct host *h, struct link *l, const struct wire_message *m, struct err *err)
{
    struct err why;
    if (failure_decode(&why, m->bytes, m->n, err) != 0)
        return -1;
    if (why.code == ERR_UNSUPPORTED) // the fault is the file's, which the server holds, not the request's
        why.code = ERR_FORMAT;
    err_prefix(&why, "unable to load model '%s'", l->model->name);
    log_error("host", "%s", why.message);
    pthread_mutex_lock(&h->mutex);
    sched_on_failed(h->sched, l->model->sched, &why, clock_monotonic_ns());
    pthread_mutex_unlock(&h->mutex);
    return 0;
}

// The running job of that id, with a reference; NULL: cancelled since.
static struct job *find_running(struct host *h, struct hosted *m, uint64_t id)
{
    struct job *found = NULL;
    pthread_mutex_lock(&h->mutex);
    LIST_EACH(&m->sched->running, node)
    {
        struct job *j = LIST_OWNER(LIST_OWNER(node, struct sched_request, in_model), struct job, sched);
        if (j->id == id && j->started_ns != 0)
            found = j;
    }
    if (found != NULL)
        job_ref(found);
    pthread_mutex_unlock(&h->mutex);
    return found;
}

static void note_first_token(struct host *h, struct job *j)
{
    pthread_mutex_lock(&h->mutex);
    if (!j->is_closed)
        sched_on_first_token(h->sched, &j->sched, clock_monotonic_ns());
    pthread_mutex_unlock(&h->mutex);
}

static int on_event(struct host *h, struct link *l, const struct wire_message *m, struct err *err)
{
    struct event e;
    struct err contradiction = {0};
    if (event_decode(&e, m->bytes, m->n, &h->scratch, err) != 0)
        return -1;
    l->silent_ns = 0;
    struct job *j = find_running(h, l->model, e.request_id);
    if (j == NULL)
        return 0;
    bool again = e.kind == EVENT_PROMPT && j->has_prompt; // said by a runner before
    if (job_remember(j, &e, &contradiction) != 0) {
        e = (struct event){.kind = EVENT_ERROR, .request_id = j->id, .error = contradiction};
        link_cancel(h, l, j->id);
    }
    j->has_prompt |= e.kind == EVENT_PROMPT;
    if (e.kind == EVENT_VECTOR || (e.kind == EVENT_TOKENS && e.n_ids > 0 && j->n_ids == e.n_ids))
        note_first_token(h, j);
    if (!again || e.kind != EVENT_PROMPT)
        job_deliver(h, j, &e);
    job_unref(j);
    return 0;
}

static int on_message(struct host *h, struct link *l, const struct wire_message *m, struct err *err)
{
    if (!l->said_hello) {
        if (m->type != FRAME_HELLO)
            return err_set(err, ERR_FORMAT, "it says message %u before hello", m->type);
        l->said_hello = true;
        return hello_decode(m->bytes, m->n, err);
    }
    switch (m->type) {
    case FRAME_PLAN:
        return on_plan(h, l, m, err);
    case FRAME_PROGRESS:
        return on_progress(h, l, m, err);
    case FRAME_READY:
        return on_ready(h, l, m, err);
    case FRAME_FAILED:
        return on_failed(h, l, m, err);
    case FRAME_EVENT:
        return on_event(h, l, m, err);
    case FRAME_STATS:
        return on_stats(h, l, m, err);
    case FRAME_RELEASE:
        return turns_on_release(h, l, m, err);
    default:
        return err_set(err, ERR_FORMAT, "unknown message %u", m->type);
    }
}

// Everything that lies in the socket, or a share of it: others want to be heard too.
static int read_messages(struct host *h, struct link *l, int max_fills, struct err *err)
{
    for (int i = 0; i < max_fills && l->socket_open; i++) {
        struct wire_message m;
        int got = wire_fill(&l->wire, err), rc;
        while ((rc = wire_next(&l->wire, &m, err)) == 1)
            if (on_message(h, l, &m, err) != 0 || !l->socket_open)
                return l->socket_open ? -1 : 0;
        if (got < 0 || rc < 0)
            return -1;
        if (got == 0)
            return 0;
    }
    return 0;
}

void link_on_socket(struct host *h, struct link *l)
{
    struct err err = {0};
    if (!l->socket_open)
        return;
    flush(h, l);
    send_unsent(h, l);
    if (read_messages(h, l, MAX_FILLS, &err) != 0)
        break_link(h, l, &err);
}

void link_on_process(struct host *h, struct link *l)
{
    struct err err = {0};
    char how[80], name[640];
    if (l->process_gone)
        return;
    read_messages(h, l, INT32_MAX, &err); // what it said before its end still counts
    bool asked = l->kill_at_ns != INT64_MAX;
    int pid = l->child.pid;
    close_socket(h, l);
    epoll_ctl(h->epoll_fd, EPOLL_CTL_DEL, l->child.process_fd, NULL);
    spawn_reap(&l->child, how, sizeof how);
    l->process_gone = true;
    limit_remove(&l->limit);
    turns_forget(h, l);
    pthread_mutex_lock(&h->mutex);
    snprintf(name, sizeof name, "%s", l->model->name); // a request may bring another one from here on
    l->model->link = NULL;
    l->model->pid = 0;
    l->model->counters.n_crashes += !asked;
    record_runner_end(l->model);
    sched_on_gone(h->sched, l->model->sched, clock_monotonic_ns());
    pthread_mutex_unlock(&h->mutex);
    if (!asked) // once everybody who looks in sees it
        log_error("host", "the runner of %s (process %d) has unexpectedly stopped: %s", name, pid, how);
}

void link_free(struct host *h, struct link *l)
{
    char how[80];
    close_socket(h, l);
    if (!l->process_gone) {
        spawn_kill(&l->child);
        spawn_reap(&l->child, how, sizeof how);
        limit_remove(&l->limit);
    }
    wire_fini(&l->wire);
    list_remove(&l->all);
    free(l);
}
