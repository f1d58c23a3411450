// SPDX-License-Identifier: MIT
// The double of host/, see fake_host.h. One lock; events are delivered by one thread outside of it; a job's
// `is_busy` says that its callback runs.
#include "fake_host.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/mem.h"
#include "text/reply.h"

struct job {
    struct list node;
    struct host *host;
    struct fake_script script;
    host_event_fn *on_event;
    void *user;
    bool has_request, unload, is_busy, is_over, is_released;
    uint32_t step; // 0: prompt, then tokens, then the end
    uint32_t n_top;
    int refs;
};

struct host {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t thread;
    struct list jobs;
    struct fake_script script;
    struct fake_submission last;
    unsigned n_submitted, n_cancelled;
    bool is_closing;
};

static uint32_t count_tokens(const struct fake_script *s)
{
    uint32_t n = 0;
    while (n < FAKE_MAX_TOKENS && s->tokens[n])
        n++;
    return n * (s->n_repeats ? s->n_repeats : 1);
}

static bool is_held(const struct job *j)
{
    return !j->is_released &&
           ((j->script.hold_before_prompt && j->step == 0) || (j->script.hold_before_tokens && j->step == 2));
}

static struct job *find_ready(struct host *h)
{
    LIST_EACH(&h->jobs, node)
    {
        struct job *j = LIST_OWNER(node, struct job, node);
        if (h->is_closing || !is_held(j))
            return j;
    }
    return NULL;
}

static void drop(struct job *j, int n_refs) // with the lock
{
    j->refs -= n_refs;
    if (j->refs == 0)
        free(j);
}

static struct reply_form form_of(const struct reply_spec *s)
{
    return (struct reply_form){s->family, s->in_thinking, slice_of(s->opening), slice_of(s->closing),
                               slice_of(s->tag)};
}

static void play_token(struct job *j)
{
    uint32_t i = j->step - 1;
    uint32_t id = 100 + i;
    const char *text =
        j->script.tokens[i % (count_tokens(&j->script) / (j->script.n_repeats ? j->script.n_repeats : 1))];
    struct logprob top[2] = {{id, -0.25f, slice_of(text)}, {7, -1.5f, slice_of("\xf0\x9f")}};
    struct token_logprobs t = {.chosen = top[0], .n_top = j->n_top, .top = top};
    struct event e = {.kind = EVENT_TOKENS, .ids = &id, .n_ids = 1, .text = slice_of(text)};
    if (j->script.has_logprobs) {
        e.logprobs = &t;
        e.n_logprobs = 1;
    }
    j->on_event(j->user, &e);
}

static bool is_last_step(const struct job *j, bool is_closing)
{
    return is_closing || !j->has_request || (j->step == 0 && j->script.fails_at_prompt) ||
           j->step > count_tokens(&j->script);
}

// One event of the job.
static void play(struct job *j, bool is_closing)
{
    struct reply_spec spec =
        reply_spec_of_jinja(slice_of(j->script.reply_template ? j->script.reply_template : ""));
    static const uint32_t ids[8] = {11, 12, 13, 14, 15, 16, 17, 18};
    struct event e = {.kind = EVENT_DONE, .reason = j->unload ? DONE_UNLOAD : DONE_LOAD};
    uint32_t n = count_tokens(&j->script);
    if (is_closing) {
        e.kind = EVENT_ERROR;
        err_set(&e.error, ERR_DRAINING, "server is shutting down");
    } else if (j->has_request && j->step == 0 && !j->script.fails_at_prompt) {
        e = (struct event){.kind = EVENT_PROMPT,
                           .prompt_ids = ids,
                           .n_prompt = j->script.n_prompt,
                           .n_cached = j->script.n_cached,
                           .n_truncated = j->script.n_truncated,
                           .reply = form_of(&spec)};
    } else if (j->has_request && j->step > 0 && j->step <= n) {
        play_token(j);
        return;
    } else if (j->script.fails_at_prompt || j->script.fails_in_tokens) {
        e.kind = EVENT_ERROR;
        e.error = j->script.error;
    } else if (j->has_request) {
        e = (struct event){.kind = EVENT_DONE,
                           .reason = j->script.reason,
                           .stop_i = j->script.stop_i,
                           .n_generated = n,
                           .n_cached = j->script.n_cached,
                           .prompt_ns = 3000,
                           .generate_ns = 4000};
    }
    j->on_event(j->user, &e);
}

static void *thread_main(void *user)
{
    struct host *h = user;
    pthread_mutex_lock(&h->lock);
    while (!h->is_closing || !list_is_empty(&h->jobs)) {
        struct job *j = find_ready(h);
        if (!j) {
            pthread_cond_wait(&h->changed, &h->lock);
            continue;
        }
        list_remove(&j->node);
        list_push(&h->jobs, &j->node); // the next one's turn
        j->is_busy = true;
        j->refs++;
        bool is_closing = h->is_closing, is_last = is_last_step(j, is_closing);
        if (is_last) { // from here on it cannot be cancelled
            j->is_over = true;
            list_remove(&j->node);
        }
        pthread_mutex_unlock(&h->lock);
        play(j, is_closing);
        pthread_mutex_lock(&h->lock);
        j->is_busy = false;
        j->step++;
        drop(j, is_last ? 2 : 1);
        pthread_cond_broadcast(&h->changed);
    }
    pthread_mutex_unlock(&h->lock);
    return NULL;
}

int host_new(struct host **out, const struct host_options *options, struct err *err)
{
    struct host *h = xcalloc(1, sizeof *h);
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->changed, NULL);
    list_init(&h->jobs);
    h->script = FAKE_SCRIPT_DEFAULT;
    pthread_create(&h->thread, NULL, thread_main, h);
    *out = h;
    return 0;
}

void host_free(struct host *h)
{
    pthread_mutex_lock(&h->lock);
    h->is_closing = true;
    pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->lock);
    pthread_join(h->thread, NULL);
    if (h->last.has_request)
        request_fini(&h->last.request);
    pthread_cond_destroy(&h->changed);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

static void keep_last(struct host *h, const struct host_submission *s)
{
    if (h->last.has_request)
        request_fini(&h->last.request);
    h->last = (struct fake_submission){.has_request = s->request != NULL,
                                       .has_keep_alive = s->has_keep_alive,
                                       .keep_alive_ns = s->keep_alive_ns,
                                       .unload = s->unload};
    snprintf(h->last.name, sizeof h->last.name, "%s", s->model.name);
    if (s->request) {
        h->last.request = *s->request;
        free(s->request);
    }
}

struct job *host_submit(struct host *h, const struct host_submission *s, struct err *err)
{
    struct job *j = NULL;
    pthread_mutex_lock(&h->lock);
    h->n_submitted++;
    keep_last(h, s);
    if (h->script.is_full) {
        err_set(err, ERR_QUEUE_FULL, "server busy, please try again.  maximum pending requests exceeded");
    } else {
        j = xcalloc(1, sizeof *j);
        j->host = h;
        j->script = h->script;
        j->on_event = s->on_event;
        j->user = s->user;
        j->has_request = h->last.has_request;
        j->unload = s->unload;
        j->n_top = h->last.has_request ? (uint32_t)MIN(h->last.request.params.top_logprobs, 2) : 0;
        j->refs = 2;
        list_push(&h->jobs, &j->node);
    }
    pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->lock);
    return j;
}

int host_submit_all(struct host *h, const struct host_submission *s, size_t n, struct job **jobs,
                    struct err *err)
{
    for (size_t i = 0; i < n; i++)
        if ((jobs[i] = host_submit(h, &s[i], err)) == NULL)
            return -1; // the script lets all in or none
    return 0;
}

bool host_cancel(struct host *h, struct job *j)
{
    bool is_mine = false;
    pthread_mutex_lock(&h->lock);
    if (!j->is_over) {
        is_mine = true;
        j->is_over = true;
        list_remove(&j->node);
        while (j->is_busy && !pthread_equal(pthread_self(), h->thread))
            pthread_cond_wait(&h->changed, &h->lock);
        h->n_cancelled++;
        drop(j, 1);
        pthread_cond_broadcast(&h->changed);
    }
    pthread_mutex_unlock(&h->lock);
    return is_mine;
}

void job_unref(struct job *j)
{
    struct host *h = j->host; // no job outlives its host
    pthread_mutex_lock(&h->lock);
    drop(j, 1);
    pthread_mutex_unlock(&h->lock);
}

uint32_t host_retry_after_s(const struct host *h, const char *blob_digest)
{
    return 9;
}

uint32_t host_queue_depth(const struct host *h)
{
    return 8;
}

void host_status_read(struct host *h, struct host_status *out)
{
    struct host_model_status *m = xcalloc(1, sizeof *m);
    *m = (struct host_model_status){.name = "tiny:latest",
                                    .manifest_digest = "abc",
                                    .state = "ready",
                                    .size_bytes = 1000,
                                    .n_slots = 4,
                                    .n_running = 1,
                                    .context_length = 4096,
                                    .kv_tokens_total = 16384};
    m->details_json = xstrdup("{\"format\":\"gguf\"}");
    *out = (struct host_status){.models = m, .n_models = 1};
}

void host_status_fini(struct host_status *s)
{
    for (size_t i = 0; i < s->n_models; i++)
        free(s->models[i].details_json);
    free(s->models);
}

// ---- Looking in: one request and one model, always the same ----
const char *const host_end_names[HOST_END_COUNT] = {"stop", "length", "error", "cancelled"};

static struct host_record a_record(void)
{
    struct host_record r = {.request_id = "abc-1",
                            .route = "/api/chat",
                            .client = "127.0.0.1",
                            .model = "tiny:latest",
                            .priority = "normal",
                            .phase = HOST_QUEUED,
                            .position = 2,
                            .total_ns = 3 * NS_PER_S,
                            .queue_ns = 3 * NS_PER_S,
                            .n_streams = 4};
    r.cause_ns[SCHED_CAUSE_SLOT] = 3 * NS_PER_S;
    return r;
}

static void one_record(struct host_record **out, size_t *n)
{
    *n = 1;
    *out = xcalloc(1, sizeof **out);
    **out = a_record();
}

void host_read_queue(struct host *h, struct host_record **out, size_t *n)
{
    one_record(out, n);
}

void host_read_history(struct host *h, size_t max, struct host_record **out, size_t *n)
{
    one_record(out, n);
    **out =
        (struct host_record){.request_id = "old-1", .phase = HOST_ENDED, .priority = "normal", .status = 200};
}

bool host_find_request(struct host *h, const char *request_id, struct host_record *out)
{
    *out = a_record();
    return strcmp(request_id, "abc-1") == 0;
}

int host_cancel_request(struct host *h, const char *request_id, struct err *err)
{
    if (strcmp(request_id, "old-1") == 0)
        return err_set(err, ERR_CONFLICT, "request 'old-1' has ended already");
    return strcmp(request_id, "abc-1") == 0 ? 0 : err_set(err, ERR_NOT_FOUND, "request not found");
}

void host_note_refusal(struct host *h, const struct host_label *label, const char *model,
                       const struct err *why)
{
}

void host_read_waits(struct host *h, const struct job *j, int64_t *queue_ns, int64_t *load_ns)
{
    *queue_ns = *load_ns = 0;
}

void host_metrics_read(struct host *h, struct host_metrics *out)
{
    *out = (struct host_metrics){.models = xcalloc(1, sizeof *out->models), .n_models = 1, .n_running = 1};
    out->models[0] = (struct host_model_metrics){
        .name = "a\"b\\c", .is_present = true, .is_ready = true, .n_slots = 4, .n_running = 1};
}

void host_metrics_fini(struct host_metrics *m)
{
    free(m->models);
}

uint64_t host_resident_bytes(int pid)
{
    return 1 << 20;
}

uint64_t host_swapped_bytes(int pid)
{
    return 0;
}

void host_plan_memory(struct host *h, const struct host_model *model, const struct host_memory_facts *facts,
                      uint32_t n_slots, uint32_t num_ctx, struct host_memory_plan *out)
{
    *out = (struct host_memory_plan){.weights_bytes = facts->weights_bytes, .can_fit = true};
    out->sizes.n_slots = n_slots;
    out->sizes.context_length = num_ctx;
}

int host_read_card(int fd, bool verbose, char **json, struct err *err)
{
    *json = xstrdup("{\"architecture\":\"llama\",\"parameter_count\":90432,\"context_length\":512,"
                    "\"embedding_length\":64,"
                    "\"template\":\"{{ messages "
                    "}}\",\"model_info\":{\"general.architecture\":\"llama\",\"general.name\":\"x\","
                    "\"llama.context_length\":512,\"tokenizer.ggml.tokens\":[\"a\",\"b\"],\"tokenizer.chat_"
                    "template\":\"t\"},"
                    "\"tensors\":[{\"name\":\"t\",\"type\":\"F32\",\"shape\":[2,3]}]}");
    return 0;
}

int host_convert(const struct host_conversion *c, struct err *err)
{
    return err_set(err, ERR_UNSUPPORTED, "the double converts nothing");
}

// ---- The test's side ----
void fake_host_set(struct host *h, const struct fake_script *script)
{
    pthread_mutex_lock(&h->lock);
    h->script = *script;
    pthread_mutex_unlock(&h->lock);
}

void fake_host_release(struct host *h)
{
    pthread_mutex_lock(&h->lock);
    LIST_EACH(&h->jobs, node)
    LIST_OWNER(node, struct job, node)->is_released = true;
    pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->lock);
}

static bool wait_for(struct host *h, const unsigned *counter, unsigned n)
{
    struct timespec until;
    int rc = 0;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 300;
    pthread_mutex_lock(&h->lock);
    while (*counter < n && rc == 0)
        rc = pthread_cond_timedwait(&h->changed, &h->lock, &until);
    bool happened = *counter >= n;
    pthread_mutex_unlock(&h->lock);
    return happened;
}

bool fake_host_wait_cancelled(struct host *h, unsigned n)
{
    return wait_for(h, &h->n_cancelled, n);
}

bool fake_host_wait_submitted(struct host *h, unsigned n)
{
    return wait_for(h, &h->n_submitted, n);
}

unsigned fake_host_submitted(struct host *h)
{
    return h->n_submitted;
}

const struct fake_submission *fake_host_last(struct host *h)
{
    return &h->last;
}
