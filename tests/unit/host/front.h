// SPDX-License-Identifier: MIT
// A host with real processes for tests: the test program is its own runner, around the fake engine. Streams,
// submissions, models that are small files of words.
#pragma once

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "bad_runner.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "fake_engine.h"
#include "host/host.h"

// ---- What a client sees ----
struct stream {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct strbuf text;
    uint32_t n_tokens, n_prompts, n_ends;
    int start_order;
    bool wrong_id, after_end;
    uint64_t id;
    struct event end;
    struct job *job;
    char *prompt;
};

static pthread_mutex_t order_mutex = PTHREAD_MUTEX_INITIALIZER;
static int next_start;

static inline void on_event(void *user, const struct event *e)
{
    struct stream *s = user;
    pthread_mutex_lock(&s->mutex);
    s->after_end |= s->n_ends > 0;
    s->wrong_id |= s->id != 0 && s->id != e->request_id;
    s->id = e->request_id;
    if (e->kind == EVENT_PROMPT) {
        pthread_mutex_lock(&order_mutex);
        s->start_order = next_start++;
        pthread_mutex_unlock(&order_mutex);
        s->n_prompts++;
    } else if (e->kind == EVENT_TOKENS) {
        s->n_tokens += e->n_ids;
        strbuf_push_slice(&s->text, e->text);
    } else {
        s->n_ends++;
        s->end = *e;
    }
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->mutex);
}

static inline void stream_init(struct stream *s)
{
    *s = (struct stream){.text = STRBUF_INIT(64 << 20)};
    pthread_mutex_init(&s->mutex, NULL);
    pthread_cond_init(&s->changed, NULL);
}

static inline void stream_fini(struct stream *s)
{
    assert_false(s->wrong_id);
    assert_false(s->after_end);
    job_unref(s->job);
    strbuf_fini(&s->text);
    free(s->prompt);
    pthread_mutex_destroy(&s->mutex);
    pthread_cond_destroy(&s->changed);
}

static inline void wait_tokens(struct stream *s, uint32_t n)
{
    pthread_mutex_lock(&s->mutex);
    while (s->n_tokens < n && s->n_ends == 0)
        pthread_cond_wait(&s->changed, &s->mutex);
    pthread_mutex_unlock(&s->mutex);
}

static inline void wait_prompt(struct stream *s)
{
    pthread_mutex_lock(&s->mutex);
    while (s->n_prompts == 0)
        pthread_cond_wait(&s->changed, &s->mutex);
    pthread_mutex_unlock(&s->mutex);
}

static inline void wait_end(struct stream *s)
{
    pthread_mutex_lock(&s->mutex);
    while (s->n_ends == 0)
        pthread_cond_wait(&s->changed, &s->mutex);
    pthread_mutex_unlock(&s->mutex);
}

static inline void check_whole(struct stream *s, uint32_t n)
{
    char *expected = malloc(n + 1);
    wait_end(s);
    if (s->end.kind == EVENT_ERROR)
        print_message("unexpected: %s\n", s->end.error.message);
    assert_int_equal(s->end.kind, EVENT_DONE);
    fake_text(s->prompt, 7, n, expected);
    assert_string_equal(strbuf_text(&s->text), expected);
    assert_int_equal(s->n_prompts, 1);
    assert_int_equal(s->n_tokens, n);
    free(expected);
}

static inline void check_failed(struct stream *s, enum err_code code, const char *part)
{
    wait_end(s);
    assert_int_equal(s->end.kind, EVENT_ERROR);
    if (s->end.error.code != code || strstr(s->end.error.message, part) == NULL)
        print_message("got %d: %s\n", s->end.error.code, s->end.error.message);
    assert_int_equal(s->end.error.code, code);
    assert_non_null(strstr(s->end.error.message, part));
}

// ---- The server's side ----
static const struct host_options defaults = {.max_queue = 512,
                                             .max_loaded = 1,
                                             .keep_alive_ns = -1,
                                             .load_timeout_ns = 60 * NS_PER_S,
                                             .swap_after_ns = SCHED_SWAP_AFTER_NS,
                                             .min_resident_ns = SCHED_MIN_RESIDENT_NS,
                                             .kv_type = "f16",
                                             .max_waiting_bytes = 256 << 20};

static const struct host_options several = {.max_queue = 512,
                                            .keep_alive_ns = -1,
                                            .load_timeout_ns = 60 * NS_PER_S,
                                            .swap_after_ns = SCHED_SWAP_AFTER_NS,
                                            .min_resident_ns = SCHED_MIN_RESIDENT_NS,
                                            .kv_type = "f16",
                                            .max_waiting_bytes = 256 << 20};

static inline void model_path(const char *name, char out[128])
{
    snprintf(out, 128, "/tmp/drover-test-host-%d-%s", (int)getpid(), name);
}

// A "model file" with that text.
static inline void write_model(const char *name, const char *text)
{
    char path[128];
    model_path(name, path);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static inline void remove_model(const char *name)
{
    char path[128];
    model_path(name, path);
    unlink(path);
}

static inline struct host *start(const struct host_options *o)
{
    struct host *h;
    assert_int_equal(host_new(&h, o, NULL), 0);
    return h;
}

static inline struct host_submission submission(const char *model, char path[128], struct stream *s)
{
    model_path(model, path);
    return (struct host_submission){.model = {.blob_digest = model,
                                              .blob_path = path,
                                              .name = model,
                                              .manifest_digest = "00",
                                              .details_json = "{}"},
                                    .on_event = on_event,
                                    .user = s};
}

static inline struct request *make_request(const char *prompt)
{
    struct request *r = xmalloc(sizeof *r);
    request_init(r);
    r->prompt = xstrdup(prompt);
    r->prompt_bytes = strlen(prompt);
    r->params.seed = 7;
    return r;
}

static inline bool try_submit(struct host *h, const char *model, const char *prompt, struct stream *s,
                              struct err *err)
{
    char path[128];
    stream_init(s);
    struct host_submission what = submission(model, path, s);
    s->prompt = xstrdup(prompt);
    what.request = make_request(prompt);
    s->job = host_submit(h, &what, err);
    return s->job != NULL;
}

static inline void submit(struct host *h, const char *model, const char *prompt, struct stream *s)
{
    struct err err = {0};
    if (!try_submit(h, model, prompt, s, &err))
        fail_msg("%s", err.message);
}

static inline void submit_two(struct host *h, const char *model, const char *prompt, struct stream *a,
                              struct stream *b)
{
    struct err err = {0};
    char paths[2][128];
    struct stream *both[] = {a, b};
    struct host_submission what[2];
    struct job *jobs[2];
    for (int i = 0; i < 2; i++) {
        stream_init(both[i]);
        what[i] = submission(model, paths[i], both[i]);
        both[i]->prompt = xstrdup(prompt);
        what[i].request = make_request(prompt);
    }
    if (host_submit_all(h, what, 2, jobs, &err) != 0)
        fail_msg("%s", err.message);
    a->job = jobs[0];
    b->job = jobs[1];
}

static inline struct host_model_status status_of_first(struct host *h, bool *found)
{
    struct host_status all;
    struct host_model_status first = {0};
    host_status_read(h, &all);
    *found = all.n_models > 0;
    if (*found)
        first = all.models[0];
    host_status_fini(&all);
    first.details_json = NULL;
    return first;
}

static inline void wait_unloaded(struct host *h)
{
    bool found = true;
    while (found) {
        usleep(1000);
        status_of_first(h, &found);
    }
}

static inline void submit_bare(struct host *h, const char *model, bool unload, struct stream *s,
                               int64_t keep_alive_ns)
{
    char path[128];
    stream_init(s);
    struct host_submission what = submission(model, path, s);
    what.unload = unload;
    what.has_keep_alive = keep_alive_ns != INT64_MAX;
    what.keep_alive_ns = keep_alive_ns;
    s->job = host_submit(h, &what, NULL);
    assert_non_null(s->job);
    wait_end(s);
    assert_int_equal(s->end.kind, EVENT_DONE);
    assert_int_equal(s->end.reason, unload ? DONE_UNLOAD : DONE_LOAD);
    stream_fini(s);
}

static inline struct host_model_status status_of(struct host *h, const char *name)
{
    struct host_status all;
    struct host_model_status found = {0};
    host_status_read(h, &all);
    for (size_t i = 0; i < all.n_models; i++)
        if (strcmp(all.models[i].name, name) == 0)
            found = all.models[i];
    host_status_fini(&all);
    found.details_json = NULL;
    return found;
}

// First in main: a process that was started as a runner does not come back.
static inline void begin_tests(int argc, char **argv)
{
    be_a_runner(argc, argv);
    log_set_level(getenv("TEST_LOG") != NULL ? LOG_DEBUG : LOG_ERROR + 1);
}
