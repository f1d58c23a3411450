// SPDX-License-Identifier: MIT
// What is known of each request and counted of each model, for those who look in. Everything is counted by
// the front as it happens, but for what only a runner knows (steps): its figures are added to those of its
// predecessors, so that no counter ever falls. All with the host's mutex; nothing here waits or does I/O.
#include "host/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "host/memory.h"

const char *const host_end_names[HOST_END_COUNT] = {"stop", "length", "error", "cancelled"};

static double seconds(int64_t ns)
{
    return (double)ns / (double)NS_PER_S;
}

// ---- Waiting ----
static bool is_loading_cause(int cause)
{
    return cause == SCHED_CAUSE_PROBE || cause == SCHED_CAUSE_LOAD || cause == SCHED_CAUSE_GROW ||
           cause == SCHED_CAUSE_RESTART;
}

static void sum_waits(const int64_t cause_ns[SCHED_CAUSE_COUNT], int64_t *queue_ns, int64_t *load_ns)
{
    *queue_ns = *load_ns = 0;
    for (int i = 0; i < SCHED_CAUSE_COUNT; i++)
        *(is_loading_cause(i) ? load_ns : queue_ns) += cause_ns[i];
}

void record_waits(const struct job *j, int64_t now_ns, int64_t *queue_ns, int64_t *load_ns)
{
    struct sched_waits waits;
    sched_read_waits(&j->sched, now_ns, &waits);
    sum_waits(waits.cause_ns, queue_ns, load_ns);
}

void record_start(struct job *j, int64_t now_ns)
{
    struct host_counters *c = &j->model->counters;
    int64_t queue_ns, load_ns;
    if (j->first_started_ns != 0) {
        c->n_resubmissions++;
        return;
    }
    j->first_started_ns = now_ns;
    record_waits(j, now_ns, &queue_ns, &load_ns);
    histogram_add(&c->queue_wait, HISTOGRAM_WAITS, seconds(queue_ns), 1);
    histogram_add(&c->load_wait, HISTOGRAM_WAITS, seconds(load_ns), 1);
}

// ---- Events ----
static void count_tokens(struct job *j, const struct event *e, int64_t now_ns)
{
    struct host_counters *c = &j->model->counters;
    if (e->n_ids == 0)
        return;
    if (j->first_token_ns == 0) {
        j->first_token_ns = now_ns;
        histogram_add(&c->first_token, HISTOGRAM_WAITS, seconds(now_ns - j->sched.arrived_ns), 1);
    } else {
        histogram_add(&c->token_gap, HISTOGRAM_TOKEN_GAPS, seconds(now_ns - j->last_token_ns) / e->n_ids,
                      e->n_ids);
    }
    j->last_token_ns = now_ns;
    j->n_generated += e->n_ids;
    c->n_generated_tokens += e->n_ids;
}

static void count_cached(struct job *j, uint32_t n_cached)
{
    if (n_cached <= j->n_cached)
        return;
    j->model->counters.n_cached_tokens += n_cached - j->n_cached;
    j->n_cached = n_cached;
}

// Texts and ids are answers that no token is computed for.
static bool computes(const struct job *j)
{
    return j->request != NULL && (j->request->task == TASK_GENERATE || j->request->task == TASK_EMBED);
}

void record_event(struct host *h, struct job *j, struct event *e)
{
    int64_t now_ns = clock_monotonic_ns();
    struct host_counters *c = &j->model->counters;
    record_waits(j, now_ns, &e->queue_ns, &e->load_ns);
    switch (e->kind) {
    case EVENT_PROMPT:
        if (computes(j)) {
            j->n_prompt = e->n_prompt;
            c->n_prompt_tokens += e->n_prompt;
            histogram_add(&c->prompt_tokens, HISTOGRAM_TOKENS, e->n_prompt, 1);
            count_cached(j, e->n_cached);
        }
        break;
    case EVENT_VECTOR:
        j->n_prompt += e->n_prompt;
        c->n_prompt_tokens += e->n_prompt;
        histogram_add(&c->prompt_tokens, HISTOGRAM_TOKENS, e->n_prompt, 1);
        break;
    case EVENT_TOKENS:
        count_tokens(j, e, now_ns);
        break;
    case EVENT_DONE:
        count_cached(j, e->n_cached);
        record_end(h, j, e->reason, NULL);
        break;
    case EVENT_ERROR:
        record_end(h, j, DONE_STOP, &e->error);
        break;
    default:
        break;
    }
}

// ---- Records ----
static enum host_phase phase_of(const struct job *j)
{
    if (j->sched.place == SCHED_RUNNING)
        return j->first_token_ns == 0 ? HOST_PROMPT : HOST_DECODING;
    return is_loading_cause((int)sched_cause_of(&j->sched)) ? HOST_LOADING : HOST_QUEUED;
}

static const char *const priorities[SCHED_PRIORITY_COUNT] = {"interactive", "normal", "batch"};

bool record_waiting_text(const struct host *h, const struct job *j, char out[64])
{
    enum host_phase phase = phase_of(j);
    if (phase == HOST_DECODING || j->is_closed)
        return false;
    if (phase == HOST_QUEUED)
        snprintf(out, 64, "queued, position %u", sched_position(h->sched, &j->sched));
    else
        snprintf(out, 64, "%s", phase == HOST_LOADING ? "loading" : "prompt");
    return true;
}

static void fill_waits(struct host_record *out, const struct job *j, int64_t now_ns)
{
    struct sched_waits waits;
    sched_read_waits(&j->sched, now_ns, &waits);
    memcpy(out->cause_ns, waits.cause_ns, sizeof out->cause_ns);
    sum_waits(out->cause_ns, &out->queue_ns, &out->load_ns);
    out->n_streams = waits.n_streams;
    for (int i = 0; i < SCHED_MAX_BLOCKERS && waits.blockers[i].model != NULL; i++) {
        const struct hosted *m = waits.blockers[i].model->user;
        snprintf(out->blockers[i].model, sizeof out->blockers[i].model, "%.127s", m->name);
        out->blockers[i].n_streams = waits.blockers[i].n_streams;
        out->blockers[i].wait_ns = waits.blockers[i].wait_ns;
    }
}

static void fill(struct host_record *out, const struct job *j, int64_t now_ns)
{
    int64_t arrived_ns = j->sched.arrived_ns;
    *out = (struct host_record){.arrived_wall_ns = j->arrived_wall_ns,
                                .total_ns = now_ns - arrived_ns,
                                .first_token_ns = j->first_token_ns ? j->first_token_ns - arrived_ns : 0,
                                .n_prompt = j->n_prompt,
                                .n_cached = j->n_cached,
                                .n_generated = j->n_generated,
                                .priority = priorities[j->sched.priority],
                                .n_resubmissions = j->sched.n_crashes};
    memcpy(out->request_id, j->request_id, sizeof out->request_id);
    memcpy(out->route, j->route, sizeof out->route);
    memcpy(out->client, j->client, sizeof out->client);
    memcpy(out->model, j->model_name, sizeof out->model);
    fill_waits(out, j, now_ns);
}

static enum host_end end_of(enum done_reason reason, const struct err *why)
{
    if (why != NULL)
        return why->code == ERR_CANCELLED ? HOST_END_CANCELLED : HOST_END_ERROR;
    return reason == DONE_LENGTH ? HOST_END_LENGTH : HOST_END_STOP;
}

static void count_end(struct job *j, enum host_end end, int64_t total_ns)
{
    struct host_counters *c = &j->model->counters;
    if (j->request == NULL)
        return;
    c->n_ended[end]++;
    histogram_add(&c->duration, HISTOGRAM_DURATIONS, seconds(total_ns), 1);
    if (j->n_prompt > 0 && j->request->task == TASK_GENERATE)
        histogram_add(&c->generated_tokens, HISTOGRAM_TOKENS, j->n_generated, 1);
}

void record_end(struct host *h, struct job *j, enum done_reason reason, const struct err *why)
{
    struct host_record r;
    enum host_end end = end_of(reason, why);
    fill(&r, j, clock_monotonic_ns());
    r.phase = HOST_ENDED;
    r.status = why != NULL ? err_http_status(why->code) : 200;
    snprintf(r.outcome, sizeof r.outcome, "%s",
             why == NULL && reason == DONE_LOAD     ? "load"
             : why == NULL && reason == DONE_UNLOAD ? "unload"
                                                    : host_end_names[end]);
    if (why != NULL)
        snprintf(r.error, sizeof r.error, "%.255s", why->message);
    count_end(j, end, r.total_ns);
    history_push(&h->history, &r);
}

void host_note_refusal(struct host *h, const struct host_label *label, const char *model,
                       const struct err *why)
{
    struct host_record r = {.phase = HOST_ENDED,
                            .arrived_wall_ns = clock_wall_ns(),
                            .outcome = "refused",
                            .priority = priorities[SCHED_PRIORITY_NORMAL],
                            .status = err_http_status(why->code)};
    snprintf(r.request_id, sizeof r.request_id, "%s", label->request_id ?: "");
    snprintf(r.route, sizeof r.route, "%s", label->route ?: "");
    snprintf(r.client, sizeof r.client, "%s", label->client ?: "");
    snprintf(r.model, sizeof r.model, "%s", model ?: "");
    snprintf(r.error, sizeof r.error, "%.255s", why->message);
    pthread_mutex_lock(&h->mutex);
    history_push(&h->history, &r);
    pthread_mutex_unlock(&h->mutex);
}

// ---- The door ----
static void fill_open(const struct host *h, struct host_record *out, const struct job *j, int64_t now_ns)
{
    fill(out, j, now_ns);
    out->phase = phase_of(j);
    out->position = sched_position(h->sched, &j->sched);
    if (out->position > 0)
        out->cause = sched_cause_of(&j->sched);
}

void host_read_queue(struct host *h, struct host_record **out, size_t *n)
{
    size_t n_jobs = 0;
    pthread_mutex_lock(&h->mutex);
    int64_t now_ns = clock_monotonic_ns();
    LIST_EACH(&h->jobs, node)
    n_jobs++;
    struct host_record *records = xcalloc(MAX(n_jobs, (size_t)1), sizeof *records);
    *n = 0;
    LIST_EACH(&h->jobs, node)
    fill_open(h, &records[(*n)++], LIST_OWNER(node, struct job, open), now_ns);
    pthread_mutex_unlock(&h->mutex);
    *out = records;
}

void host_read_history(struct host *h, size_t max, struct host_record **out, size_t *n)
{
    pthread_mutex_lock(&h->mutex);
    *n = MIN(max, h->history.n);
    *out = xcalloc(MAX(*n, (size_t)1), sizeof **out);
    for (size_t i = 0; i < *n; i++)
        (*out)[i] = *history_at(&h->history, i);
    pthread_mutex_unlock(&h->mutex);
}

static struct job *find_open(struct host *h, const char *request_id)
{
    for (struct list *node = h->jobs.prev; node != &h->jobs; node = node->prev) {
        struct job *j = LIST_OWNER(node, struct job, open);
        if (strcmp(j->request_id, request_id) == 0)
            return j;
    }
    return NULL;
}

bool host_find_request(struct host *h, const char *request_id, struct host_record *out)
{
    bool found = true;
    pthread_mutex_lock(&h->mutex);
    const struct job *j = find_open(h, request_id);
    const struct host_record *r = j == NULL ? history_find(&h->history, request_id) : NULL;
    if (j != NULL) {
        fill_open(h, out, j, clock_monotonic_ns());
    } else if (r != NULL) {
        *out = *r;
    } else {
        found = false;
    }
    pthread_mutex_unlock(&h->mutex);
    return found;
}

int host_cancel_request(struct host *h, const char *request_id, struct err *err)
{
    int rc = 0;
    pthread_mutex_lock(&h->mutex);
    struct job *j = find_open(h, request_id);
    if (j == NULL && history_find(&h->history, request_id) != NULL) {
        rc = err_set(err, ERR_CONFLICT, "request '%s' has ended already", request_id);
    } else if (j == NULL) {
        rc = err_set(err, ERR_NOT_FOUND, "request '%s' not found", request_id);
    } else if (list_is_empty(&j->to_cancel)) { // else it was asked for before
        job_ref(j);
        list_push(&h->to_cancel, &j->to_cancel);
    }
    pthread_mutex_unlock(&h->mutex);
    thread_wake(h);
    return rc;
}

void host_read_waits(struct host *h, const struct job *j, int64_t *queue_ns, int64_t *load_ns)
{
    pthread_mutex_lock(&h->mutex);
    record_waits(j, clock_monotonic_ns(), queue_ns, load_ns);
    pthread_mutex_unlock(&h->mutex);
}

// ---- Models ----
// What the process that runs now has counted, on top of its predecessors'.
static void add_runner(struct host_counters *c, const struct runner_stats *s)
{
    c->n_steps += s->n_steps;
    c->n_preemptions += s->n_preemptions;
    c->n_draft_tokens += s->n_draft_tokens;
    c->n_accepted_tokens += s->n_accepted_tokens;
    c->step_s += seconds(s->step_ns);
    histogram_merge(&c->step_width, &s->step_width);
}

void record_runner_end(struct hosted *m)
{
    add_runner(&m->counters, &m->stats);
    m->stats = (struct runner_stats){0};
}

static void fill_metrics(struct host_model_metrics *out, const struct hosted *m)
{
    const struct sched_model *s = m->sched;
    *out = (struct host_model_metrics){.is_present = s->state != SCHED_ABSENT,
                                       .is_ready = s->state == SCHED_READY,
                                       .pid = m->pid,
                                       .n_slots = s->sizes.n_slots,
                                       .n_running = s->n_running,
                                       .n_waiting = s->n_waiting,
                                       .plan_bytes = s->sizes.memory_bytes,
                                       .kv_tokens_used = m->stats.kv_tokens_used,
                                       .kv_tokens_cached = m->stats.kv_tokens_cached,
                                       .kv_tokens_total = s->sizes.pool_tokens,
                                       .counters = m->counters};
    snprintf(out->name, sizeof out->name, "%s", m->first_name);
    add_runner(&out->counters, &m->stats);
    memcpy(out->counters.n_loads, s->n_loads, sizeof s->n_loads);
    memcpy(out->counters.n_unloads, s->n_unloads, sizeof s->n_unloads);
    out->counters.n_load_failures = s->n_load_failures;
}

void host_metrics_read(struct host *h, struct host_metrics *out)
{
    struct sched_counts counts;
    size_t n = 0;
    pthread_mutex_lock(&h->mutex);
    sched_read_counts(h->sched, &counts);
    *out = (struct host_metrics){.n_running = counts.n_running,
                                 .n_waiting = counts.n_waiting,
                                 .n_queued = counts.n_queued,
                                 .max_queue = h->policy.max_queue,
                                 .budget_bytes = h->budget_bytes,
                                 .held_bytes = counts.held_bytes,
                                 .waiting_bytes = h->waiting_bytes};
    LIST_EACH(&h->models, node)
    n++;
    out->models = xcalloc(MAX(n, (size_t)1), sizeof *out->models);
    LIST_EACH(&h->models, node)
    fill_metrics(&out->models[out->n_models++], LIST_OWNER(node, struct hosted, all));
    pthread_mutex_unlock(&h->mutex);
}

uint64_t host_resident_bytes(int pid)
{
    return memory_of_process(pid);
}

uint64_t host_swapped_bytes(int pid)
{
    return memory_swapped(pid);
}

void host_metrics_fini(struct host_metrics *m)
{
    free(m->models);
    *m = (struct host_metrics){0};
}
