// SPDX-License-Identifier: MIT
// A request on its way: what it is, who waits for its events, and what a second runner needs to go on where
// the first one died. It is freed with the last reference, so that neither side can pull it away from under
// the other.
#include "host/state.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"

enum { MAX_GENERATED = 1 << 24 };
#define LEAST_COMMENT_NS (10 * NS_PER_MS)

struct job *job_new(struct host *h, struct hosted *m, const struct host_submission *s)
{
    struct job *j = xcalloc(1, sizeof *j);
    list_init(&j->open);
    list_init(&j->to_cancel);
    list_init(&j->comments);
    j->comment_ns = s->comment_ns > 0 ? MAX(s->comment_ns, LEAST_COMMENT_NS) : 0;
    j->comment_at_ns = clock_after_ns(clock_monotonic_ns(), j->comment_ns);
    snprintf(j->request_id, sizeof j->request_id, "%s", s->label.request_id ?: "");
    snprintf(j->route, sizeof j->route, "%s", s->label.route ?: "");
    snprintf(j->client, sizeof j->client, "%s", s->label.client ?: "");
    snprintf(j->model_name, sizeof j->model_name, "%s", s->model.name);
    j->arrived_wall_ns = clock_wall_ns();
    j->sched.arrived_ns = clock_monotonic_ns();
    atomic_init(&j->refs, 2); // the submitter's and the host's
    j->id = h->next_id++;
    j->model = m;
    j->request = s->request;
    j->on_event = s->on_event;
    j->user = s->user;
    j->sched.is_load = s->request == NULL;
    j->sched.is_preload = s->is_preload;
    j->sched.priority = s->priority;
    j->sched.client = s->client != 0 ? s->client : map_hash(j->client, strlen(j->client));
    if (s->request != NULL) {
        s->request->id = j->id;
        j->sched.need_tokens = (uint32_t)MAX(s->request->params.num_ctx, 0);
        j->waiting_bytes = request_bytes(s->request);
    }
    return j;
}

void job_ref(struct job *j)
{
    atomic_fetch_add_explicit(&j->refs, 1, memory_order_relaxed);
}

void job_unref(struct job *j)
{
    if (j == NULL || atomic_fetch_sub_explicit(&j->refs, 1, memory_order_acq_rel) > 1)
        return;
    if (j->request != NULL)
        request_fini(j->request);
    free(j->request);
    free(j->ids);
    free(j);
}

bool job_close(struct host *h, struct job *j)
{
    if (j->is_closed)
        return false;
    j->is_closed = true;
    list_remove(&j->open);
    list_remove(&j->comments);
    h->waiting_bytes -= j->waiting_bytes;
    j->waiting_bytes = 0;
    return true;
}

void job_deliver(struct host *h, struct job *j, const struct event *event)
{
    struct event noted = *event, *e = &noted;
    bool is_last = e->kind == EVENT_DONE || e->kind == EVENT_ERROR;
    pthread_mutex_lock(&h->mutex);
    bool deliver = !j->is_closed;
    if (deliver && is_last) // where a runner said so; else the scheduler knows
        sched_on_finished(h->sched, &j->sched, clock_monotonic_ns());
    if (deliver)
        record_event(h, j, e);
    if (deliver && is_last) {
        job_close(h, j);
        h->n_finished++;
    }
    j->is_delivering = deliver;
    pthread_mutex_unlock(&h->mutex);
    if (!deliver)
        return;
    j->on_event(j->user, e);
    pthread_mutex_lock(&h->mutex);
    j->is_delivering = false;
    pthread_cond_broadcast(&h->delivered);
    pthread_mutex_unlock(&h->mutex);
    if (is_last)
        job_unref(j); // the host's
}

void job_deliver_error(struct host *h, struct job *j, const struct err *why)
{
    struct event e = {.kind = EVENT_ERROR, .request_id = j->id, .error = *why};
    job_deliver(h, j, &e);
}

int job_remember(struct job *j, const struct event *e, struct err *err)
{
    if (e->kind == EVENT_PROMPT) {
        uint64_t hash = map_hash(e->prompt_ids, e->n_prompt * sizeof *e->prompt_ids);
        if (j->has_prompt && hash != j->prompt_hash)
            return err_set(
                err, ERR_INTERNAL,
                "the model runner has unexpectedly stopped, and its successor reads the prompt differently");
        j->prompt_hash = hash;
        return 0;
    }
    if (e->kind != EVENT_TOKENS)
        return 0;
    if (e->n_ids > MAX_GENERATED - j->n_ids)
        return err_set(err, ERR_INTERNAL, "the model runner generates without end");
    if (j->n_ids + e->n_ids > j->ids_capacity) {
        j->ids_capacity = MAX(j->n_ids + e->n_ids, j->ids_capacity * 2);
        j->ids = xrealloc(j->ids, MAX(j->ids_capacity, 64ul) * sizeof *j->ids);
        j->ids_capacity = MAX(j->ids_capacity, 64ul);
    }
    if (e->n_ids > 0)
        memcpy(j->ids + j->n_ids, e->ids, e->n_ids * sizeof *e->ids);
    j->n_ids += e->n_ids;
    return 0;
}

void job_encode(const struct job *j, struct strbuf *out)
{
    struct request r = *j->request; // borrows all of it
    r.replay_ids = j->ids;
    r.n_replay_ids = j->n_ids;
    request_encode(&r, out);
}
