// SPDX-License-Identifier: MIT
// The host with real processes: this program is its own runner, around the fake engine. Nothing here is
// timed; a test that waits for what never comes is ended by the test runner.
#include "../test.h"

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

static void on_event(void *user, const struct event *e)
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

static void stream_init(struct stream *s)
{
    *s = (struct stream){.text = STRBUF_INIT(64 << 20)};
    pthread_mutex_init(&s->mutex, NULL);
    pthread_cond_init(&s->changed, NULL);
}

static void stream_fini(struct stream *s)
{
    assert_false(s->wrong_id);
    assert_false(s->after_end);
    job_unref(s->job);
    strbuf_fini(&s->text);
    free(s->prompt);
    pthread_mutex_destroy(&s->mutex);
    pthread_cond_destroy(&s->changed);
}

static void wait_tokens(struct stream *s, uint32_t n)
{
    pthread_mutex_lock(&s->mutex);
    while (s->n_tokens < n && s->n_ends == 0)
        pthread_cond_wait(&s->changed, &s->mutex);
    pthread_mutex_unlock(&s->mutex);
}

static void wait_prompt(struct stream *s)
{
    pthread_mutex_lock(&s->mutex);
    while (s->n_prompts == 0)
        pthread_cond_wait(&s->changed, &s->mutex);
    pthread_mutex_unlock(&s->mutex);
}

static void wait_end(struct stream *s)
{
    pthread_mutex_lock(&s->mutex);
    while (s->n_ends == 0)
        pthread_cond_wait(&s->changed, &s->mutex);
    pthread_mutex_unlock(&s->mutex);
}

static void check_whole(struct stream *s, uint32_t n)
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

static void check_failed(struct stream *s, enum err_code code, const char *part)
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

static void model_path(const char *name, char out[128])
{
    snprintf(out, 128, "/tmp/drover-test-host-%d-%s", (int)getpid(), name);
}

// A "model file" with that text.
static void write_model(const char *name, const char *text)
{
    char path[128];
    model_path(name, path);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void remove_model(const char *name)
{
    char path[128];
    model_path(name, path);
    unlink(path);
}

static struct host *start(const struct host_options *o)
{
    struct host *h;
    assert_int_equal(host_new(&h, o, NULL), 0);
    return h;
}

static struct host_submission submission(const char *model, char path[128], struct stream *s)
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

static struct request *make_request(const char *prompt)
{
    struct request *r = xmalloc(sizeof *r);
    request_init(r);
    r->prompt = xstrdup(prompt);
    r->prompt_bytes = strlen(prompt);
    r->params.seed = 7;
    return r;
}

static bool try_submit(struct host *h, const char *model, const char *prompt, struct stream *s,
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

static void submit(struct host *h, const char *model, const char *prompt, struct stream *s)
{
    struct err err = {0};
    if (!try_submit(h, model, prompt, s, &err))
        fail_msg("%s", err.message);
}

static struct host_model_status status_of_first(struct host *h, bool *found)
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

static void wait_unloaded(struct host *h)
{
    bool found = true;
    while (found) {
        usleep(1000);
        status_of_first(h, &found);
    }
}

// ---- Tests ----
static void test_streams_in_order(void **unused)
{
    enum { N = 32 };
    struct stream s[N];
    write_model("a", "weights=1000");
    struct host *h = start(&defaults);
    for (int i = 0; i < N; i++) {
        char prompt[64];
        snprintf(prompt, sizeof prompt, "marker %d n=%d", i, 3 + i % 5);
        submit(h, "a", prompt, &s[i]);
    }
    for (int i = 0; i < N; i++)
        check_whole(&s[i], (uint32_t)(3 + i % 5));
    for (int i = 1; i < N; i++)
        assert_true(s[i].start_order > s[i - 1].start_order);
    bool found;
    struct host_model_status m = status_of_first(h, &found);
    assert_true(found && m.n_slots == 4 && m.kv_tokens_total == 16384 && m.context_length == 16384 &&
                m.pid > 0 && m.expires_wall_ns == 0);
    assert_string_equal(m.state, "ready");
    for (int i = 0; i < N; i++)
        stream_fini(&s[i]);
    host_free(h);
    remove_model("a");
}

static void test_exactly_slots_and_queue(void **unused)
{
    enum { N = 12 };
    struct stream s[N], one_more;
    struct err err = {0};
    struct host_options o = defaults;
    o.max_queue = 8;
    write_model("a", "weights=1000");
    struct host *h = start(&o);
    for (int i = 0; i < N; i++) // also while the model is not loaded yet
        submit(h, "a", i < 4 ? "hold" : "n=2", &s[i]);
    assert_false(try_submit(h, "a", "n=1", &one_more, &err));
    assert_int_equal(err.code, ERR_QUEUE_FULL);
    assert_string_equal(err.message, "server busy, please try again.  maximum pending requests exceeded");
    stream_fini(&one_more);
    for (int i = 0; i < 4; i++)
        wait_prompt(&s[i]);
    struct host_status all;
    host_status_read(h, &all);
    assert_true(all.n_running == 4 && all.n_queued == 8 && all.n_rejected == 1 && all.n_started == 4);
    host_status_fini(&all);
    assert_int_equal(host_queue_depth(h), 8);
    assert_true(host_retry_after_s(h, NULL) >= 1);
    assert_false(try_submit(h, "a", "n=1", &one_more, NULL));
    stream_fini(&one_more);
    assert_true(host_cancel(h, s[5].job)); // its place is free at once
    submit(h, "a", "n=3", &one_more);
    for (int i = 0; i < 4; i++)
        assert_true(host_cancel(h, s[i].job));
    for (int i = 4; i < N; i++)
        if (i != 5)
            check_whole(&s[i], 2);
    check_whole(&one_more, 3);
    for (int i = 0; i < N; i++)
        stream_fini(&s[i]);
    stream_fini(&one_more);
    host_free(h);
    remove_model("a");
}

static void test_cancel_in_every_state(void **unused)
{
    struct stream loading, running, queued, beside, done;
    struct host_options o = defaults;
    o.num_parallel = 2;
    write_model("a", "load_steps=100 load_ms=10");
    struct host *h = start(&o);
    submit(h, "a", "n=1", &loading);
    bool found = false;
    while (!found)
        status_of_first(h, &found);
    assert_true(host_cancel(h, loading.job));
    assert_false(host_cancel(h, loading.job)); // once
    write_model("a", "fast");
    submit(h, "a", "n=3000", &beside);
    submit(h, "a", "hold", &running);
    submit(h, "a", "n=4", &queued);
    submit(h, "a", "n=6", &done);
    wait_prompt(&running);
    assert_true(host_cancel(h, queued.job));
    assert_true(host_cancel(h, running.job));
    check_whole(&done, 6); // took the place
    assert_false(host_cancel(h, done.job));
    check_whole(&beside, 3000);
    assert_int_equal(loading.n_ends + queued.n_ends + running.n_ends, 0);
    stream_fini(&loading);
    stream_fini(&running);
    stream_fini(&queued);
    stream_fini(&beside);
    stream_fini(&done);
    host_free(h);
    remove_model("a");
}

static void test_killed_runner_goes_on(void **unused)
{
    enum { N = 6 };
    struct stream s[N];
    write_model("a", "weights=1000");
    struct host *h = start(&defaults);
    for (int i = 0; i < N; i++) {
        char prompt[64];
        snprintf(prompt, sizeof prompt, "stream %d n=300 step_ms=1", i);
        submit(h, "a", prompt, &s[i]);
    }
    for (int i = 0; i < 4; i++)
        wait_tokens(&s[i], 5 + (uint32_t)i);
    bool found;
    struct host_model_status m = status_of_first(h, &found);
    assert_int_equal(kill(m.pid, SIGKILL), 0);
    for (int i = 0; i < N; i++)
        check_whole(&s[i], 300); // as if nothing had happened
    assert_true(status_of_first(h, &found).pid != m.pid);
    for (int i = 0; i < N; i++)
        stream_fini(&s[i]);
    host_free(h);
    remove_model("a");
}

static void test_crashes_twice(void **unused)
{
    struct stream once, twice, after;
    struct host_options o = defaults;
    o.num_parallel = 1;
    write_model("a", "weights=1000");
    struct host *h = start(&o);
    submit(h, "a", "n=9 crash_at=4", &once);
    check_whole(&once, 9);
    submit(h, "a", "n=9 always_crash_at=4", &twice);
    submit(h, "a", "n=9", &after);
    check_failed(&twice, ERR_INTERNAL, "unexpectedly stopped twice");
    assert_int_equal(twice.n_tokens, 4);
    check_whole(&after, 9);
    stream_fini(&once);
    stream_fini(&twice);
    stream_fini(&after);
    host_free(h);
    remove_model("a");
}

static void check_load_error(const char *text, const struct host_options *o, enum err_code code,
                             const char *part)
{
    struct stream a, b;
    write_model("bad", text);
    struct host *h = start(o);
    submit(h, "bad", "n=1", &a);
    submit(h, "bad", "n=1", &b);
    check_failed(&a, code, part);
    check_failed(&b, code, part);
    stream_fini(&a);
    stream_fini(&b);
    host_free(h);
    remove_model("bad");
}

static void test_models_that_cannot_load(void **unused)
{
    struct host_options small = defaults, hasty = defaults;
    small.memory_limit_bytes = 20 << 20;
    hasty.load_timeout_ns = 200 * NS_PER_MS;
    check_load_error("broken", &defaults, ERR_FORMAT, "unable to load model 'bad': not a model file");
    check_load_error("load_fails", &defaults, ERR_FORMAT, "unknown architecture 'fake9'");
    check_load_error("weights=50000000", &small, ERR_NO_MEMORY,
                     "model requires more system memory (0.05 GiB) than is available (0.02 GiB)");
    check_load_error("mute", &hasty, ERR_INTERNAL, "timed out waiting for the model to load");
    check_load_error("load_steps=1 load_ms=100000", &hasty, ERR_INTERNAL,
                     "timed out waiting for the model to load");
    check_load_error("load_crashes", &defaults, ERR_INTERNAL, "unexpectedly stopped while loading");
    check_load_error("plan_crashes", &defaults, ERR_INTERNAL, "unexpectedly stopped while loading");
}

static void test_runners_that_break_the_agreement(void **unused)
{
    static const char *const kinds[] = {"garbage", "half", "stranger", "early", "event", "exits", "release"};
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        check_load_error(kinds[i], &defaults, ERR_INTERNAL, "unexpectedly stopped while loading");
}

// It is ready, serves nothing, and then says once more that it is ready: a crash like any other.
static void test_a_runner_that_says_ready_twice(void **unused)
{
    struct stream s;
    write_model("bad", "twice");
    struct host *h = start(&defaults);
    submit(h, "bad", "n=1", &s);
    check_failed(&s, ERR_INTERNAL, "unexpectedly stopped");
    stream_fini(&s);
    host_free(h);
    remove_model("bad");
}

static void test_a_runner_that_floods_the_front_keeps_nobody_else_from_being_served(void **unused)
{
    struct stream s, beside;
    struct host_options o = several;
    o.load_timeout_ns = NS_PER_S;
    write_model("bad", "flood");
    write_model("good", "weights=1");
    struct host *h = start(&o);
    submit(h, "bad", "n=1", &s);
    submit(h, "good", "n=500", &beside);
    check_whole(&beside, 500);
    check_failed(&s, ERR_INTERNAL, "timed out waiting for the model to load");
    stream_fini(&s);
    stream_fini(&beside);
    host_free(h);
    remove_model("bad");
    remove_model("good");
}

// Frames of every type with random bytes in them, after a good start: the server lives, every request ends.
static void test_noise(void **unused)
{
    for (int seed = 0; seed < 12; seed++) {
        char model[32];
        struct stream s, after;
        snprintf(model, sizeof model, "noise %d", seed);
        write_model("bad", model);
        write_model("good", "weights=1");
        struct host *h = start(&defaults);
        submit(h, "bad", "n=1", &s);
        submit(h, "good", "n=5", &after);
        wait_end(&s);
        assert_int_equal(s.end.kind, EVENT_ERROR);
        check_whole(&after, 5);
        stream_fini(&s);
        stream_fini(&after);
        host_free(h);
    }
    remove_model("bad");
    remove_model("good");
}

static void test_missing_file(void **unused)
{
    struct stream s;
    struct host *h = start(&defaults);
    submit(h, "nowhere", "n=1", &s);
    check_failed(&s, ERR_INTERNAL, "cannot open the weights of model 'nowhere'");
    stream_fini(&s);
    host_free(h);
}

static void test_back_off_after_crashes(void **unused)
{
    struct stream s, next;
    struct err err = {0};
    write_model("a", "load_crashes");
    struct host *h = start(&defaults);
    submit(h, "a", "n=1", &s);
    check_failed(&s, ERR_INTERNAL, "unexpectedly stopped while loading");
    assert_false(try_submit(h, "a", "n=1", &next, &err));
    assert_int_equal(err.code, ERR_BACKOFF);
    stream_fini(&next);
    write_model("a", "good now");
    while (!try_submit(h, "a", "n=1", &next, NULL)) {
        stream_fini(&next);
        usleep(20000);
    }
    check_whole(&next, 1);
    stream_fini(&s);
    stream_fini(&next);
    host_free(h);
    remove_model("a");
}

static void submit_bare(struct host *h, const char *model, bool unload, struct stream *s,
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

static void test_keep_alive(void **unused)
{
    struct stream s;
    bool found;
    write_model("a", "weights=1000");
    struct host *h = start(&defaults);
    submit_bare(h, "a", false, &s, INT64_MAX); // preload
    struct host_model_status m = status_of_first(h, &found);
    assert_true(found && m.n_slots == 4);
    submit_bare(h, "a", true, &s, INT64_MAX); // unload
    wait_unloaded(h);
    assert_int_equal(kill(m.pid, 0), -1);           // the process is gone, and reaped
    submit_bare(h, "a", false, &s, 30 * NS_PER_MS); // expires by itself
    wait_unloaded(h);
    submit_bare(h, "a", false, &s, 3600 * NS_PER_S);
    m = status_of_first(h, &found);
    assert_true(found && m.expires_wall_ns > clock_wall_ns() + 3000 * NS_PER_S);
    submit(h, "a", "n=200 step_ms=1", &s); // an unload waits for who runs
    wait_tokens(&s, 3);
    struct stream u;
    submit_bare(h, "a", true, &u, INT64_MAX);
    check_whole(&s, 200);
    wait_unloaded(h);
    stream_fini(&s);
    host_free(h);
    remove_model("a");
}

static struct host_model_status status_of(struct host *h, const char *name)
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

static void test_three_models_are_loaded_at_once(void **unused)
{
    struct stream s[6];
    static const char *const names[] = {"a", "b", "c"};
    for (int i = 0; i < 3; i++)
        write_model(names[i], "weights=1000");
    struct host *h = start(&several);
    for (int i = 0; i < 6; i++)
        submit(h, names[i % 3], "n=300", &s[i]);
    for (int i = 0; i < 6; i++)
        check_whole(&s[i], 300);
    for (int i = 0; i < 3; i++)
        assert_string_equal(status_of(h, names[i]).state, "ready");
    for (int i = 0; i < 6; i++)
        stream_fini(&s[i]);
    host_free(h);
    for (int i = 0; i < 3; i++)
        remove_model(names[i]);
}

static void test_one_busy_model_has_one_turn_for_all_its_steps(void **unused)
{
    struct stream s, again;
    write_model("a", "weights=1000");
    write_model("b", "weights=1000");
    struct host *h = start(&several);
    submit(h, "b", "n=1", &s); // loaded and idle beside it
    check_whole(&s, 1);
    stream_fini(&s);
    submit(h, "a", "n=500 step_ms=1", &s);
    check_whole(&s, 500);
    struct host_model_status m = status_of(h, "a");
    assert_int_equal(m.n_turns, 1);
    submit(h, "a", "n=500", &again);
    check_whole(&again, 500);
    while (m.n_steps < 1000)
        m = status_of(h, "a");
    assert_int_equal(m.n_turns, 2);
    assert_int_equal(status_of(h, "b").n_turns, 1);
    stream_fini(&s);
    stream_fini(&again);
    host_free(h);
    remove_model("a");
    remove_model("b");
}

// Two that would run for ever: both get on, and neither gets more than its share of the turns.
static void test_busy_models_take_turns(void **unused)
{
    struct stream a, b;
    struct host_model_status of_a, of_b;
    write_model("a", "weights=1000");
    write_model("b", "weights=1000");
    struct host *h = start(&several);
    submit(h, "a", "hold", &a);
    submit(h, "b", "hold step_ms=3", &b);
    do {
        usleep(1000);
        of_a = status_of(h, "a");
        of_b = status_of(h, "b");
    } while (of_a.n_turns < 30 || of_b.n_turns < 30);
    assert_true(of_a.n_turns < 3 * of_b.n_turns && of_b.n_turns < 3 * of_a.n_turns);
    assert_true(of_a.n_steps > of_b.n_steps); // of shorter steps more fit into a turn
    assert_true(host_cancel(h, b.job));
    stream_fini(&b);
    submit(h, "b", "n=3", &b); // once more beside it
    check_whole(&b, 3);
    host_cancel(h, a.job);
    stream_fini(&a);
    stream_fini(&b);
    host_free(h);
    remove_model("a");
    remove_model("b");
}

static void test_the_turn_of_a_runner_that_dies_goes_to_the_next(void **unused)
{
    struct stream a, b;
    write_model("a", "weights=1000");
    write_model("b", "weights=1000");
    struct host *h = start(&several);
    submit(h, "a", "n=300 step_ms=1", &a);
    submit(h, "b", "n=300 step_ms=1", &b);
    wait_tokens(&a, 5);
    wait_tokens(&b, 5);
    int pid = status_of(h, "b").pid;
    kill(status_of(h, "a").pid, SIGKILL);
    check_whole(&b, 300);
    check_whole(&a, 300);
    assert_int_equal(status_of(h, "b").pid, pid);
    stream_fini(&a);
    stream_fini(&b);
    host_free(h);
    remove_model("a");
    remove_model("b");
}

// A runner that is stopped with the turn in its hands is killed; its stream goes on in the next one, and the
// other model gets its turn.
static void test_a_runner_that_stalls_is_killed_and_its_stream_goes_on(void **unused)
{
    struct stream a, b;
    struct host_options o = several;
    o.stall_timeout_ns = 500 * NS_PER_MS;
    write_model("a", "weights=1000");
    write_model("b", "weights=1000");
    struct host *h = start(&o);
    submit(h, "a", "n=300 step_ms=1", &a);
    wait_tokens(&a, 5);
    int pid = status_of(h, "a").pid;
    kill(pid, SIGSTOP);
    submit(h, "b", "n=300", &b);
    check_whole(&b, 300);
    check_whole(&a, 300);
    assert_true(kill(pid, 0) == -1 && status_of(h, "a").pid != pid);
    stream_fini(&a);
    stream_fini(&b);
    host_free(h);
    remove_model("a");
    remove_model("b");
}

static void test_a_model_without_work_does_not_stall(void **unused)
{
    struct stream a;
    struct host_options o = several;
    o.stall_timeout_ns = 500 * NS_PER_MS;
    write_model("a", "weights=1000");
    struct host *h = start(&o);
    submit(h, "a", "n=3", &a);
    check_whole(&a, 3);
    stream_fini(&a);
    int pid = status_of(h, "a").pid;
    usleep(700000);
    submit(h, "a", "n=20 step_ms=50", &a); // steps that come slowly are steps
    check_whole(&a, 20);
    assert_int_equal(status_of(h, "a").pid, pid);
    stream_fini(&a);
    host_free(h);
    remove_model("a");
}

static void test_two_models_that_share_one_place_are_served_in_turn(void **unused)
{
    enum { N = 10 };
    struct stream s[N];
    write_model("a", "weights=1000");
    write_model("b", "weights=2000");
    struct host *h = start(&defaults);
    for (int i = 0; i < N; i++)
        submit(h, i % 2 ? "b" : "a", "n=7", &s[i]);
    for (int i = 0; i < N; i++)
        check_whole(&s[i], 7);
    for (int i = 0; i < N; i++)
        stream_fini(&s[i]);
    host_free(h);
    remove_model("a");
    remove_model("b");
}

static void test_context_grows(void **unused)
{
    struct stream s;
    char path[128];
    bool found;
    write_model("a", "ctx=40000");
    struct host *h = start(&defaults);
    submit(h, "a", "n=3", &s);
    check_whole(&s, 3);
    stream_fini(&s);
    stream_init(&s);
    struct host_submission what = submission("a", path, &s);
    s.prompt = xstrdup("n=4");
    what.request = make_request("n=4");
    what.request->params.num_ctx = 30000;
    s.job = host_submit(h, &what, NULL);
    check_whole(&s, 4);
    struct host_model_status m = status_of_first(h, &found);
    assert_true(m.kv_tokens_total == 32768);
    stream_fini(&s);
    host_free(h);
    remove_model("a");
}

static void submit_with_context(struct host *h, const char *model, const char *prompt, int32_t num_ctx,
                                struct stream *s)
{
    char path[128];
    stream_init(s);
    struct host_submission what = submission(model, path, s);
    s->prompt = xstrdup(prompt);
    what.request = make_request(prompt);
    what.request->params.num_ctx = num_ctx;
    s->job = host_submit(h, &what, NULL);
    assert_non_null(s->job);
}

// A larger context is asked for while streams run: the model grows, they go on as if nothing had happened,
// and a growth is no crash.
static void test_streams_are_carried_over_when_the_model_grows(void **unused)
{
    struct stream s[3], large, larger;
    write_model("a", "ctx=60000");
    struct host *h = start(&defaults);
    for (int i = 0; i < 3; i++)
        submit(h, "a", "n=400 step_ms=1", &s[i]);
    wait_tokens(&s[2], 5);
    int pid = status_of(h, "a").pid;
    submit_with_context(h, "a", "n=7", 30000, &large);
    check_whole(&large, 7);
    struct host_model_status m = status_of(h, "a");
    assert_true(m.pid != pid && m.kv_tokens_total >= 30000);
    submit_with_context(h, "a", "n=7", 50000,
                        &larger); // a second time: no stream ends for having moved twice
    check_whole(&larger, 7);
    for (int i = 0; i < 3; i++) {
        check_whole(&s[i], 400);
        stream_fini(&s[i]);
    }
    stream_fini(&large);
    stream_fini(&larger);
    host_free(h);
    remove_model("a");
}

static void test_a_context_that_can_never_fit_is_refused_and_disturbs_nobody(void **unused)
{
    struct stream s, beside, large;
    struct host_options o = several;
    o.memory_limit_bytes = 40 << 20;
    write_model("a", "weights=1000 ctx=4000000");
    write_model("b", "weights=1000");
    struct host *h = start(&o);
    submit(h, "a", "n=200 step_ms=1", &s);
    submit(h, "b", "n=200 step_ms=1", &beside);
    wait_tokens(&s, 3);
    wait_tokens(&beside, 3);
    int pid = status_of(h, "a").pid, pid_beside = status_of(h, "b").pid;
    submit_with_context(h, "a", "n=1", 1000000, &large);
    check_failed(&large, ERR_NO_MEMORY, "model requires more system memory");
    check_whole(&s, 200);
    check_whole(&beside, 200);
    assert_true(status_of(h, "a").pid == pid && status_of(h, "b").pid == pid_beside);
    stream_fini(&s);
    stream_fini(&beside);
    stream_fini(&large);
    host_free(h);
    remove_model("a");
    remove_model("b");
}

static uint32_t settled_slots;
static struct host_model_settings settings_now(const char *name)
{
    return (struct host_model_settings){.num_parallel = strcmp(name, "a") == 0 ? settled_slots : 0};
}

static void test_new_settings_count_at_the_next_load(void **unused)
{
    struct stream s;
    struct host_options o = defaults;
    char path[128];
    write_model("a", "weights=1000");
    struct host *h = start(&o);
    submit(h, "a", "n=200 step_ms=1", &s);
    wait_tokens(&s, 3);
    int pid = status_of(h, "a").pid;
    settled_slots = 7;
    o.max_queue = 5;
    host_configure(h, &o, settings_now);
    check_whole(&s, 200); // it runs where it is
    stream_fini(&s);
    wait_unloaded(h); // idle now
    stream_init(&s);
    struct host_submission what = submission("a", path, &s);
    what.model.settings = settings_now("a");
    s.prompt = xstrdup("n=3");
    what.request = make_request("n=3");
    s.job = host_submit(h, &what, NULL);
    check_whole(&s, 3);
    struct host_model_status m = status_of(h, "a");
    assert_true(m.n_slots == 7 && m.pid != pid);
    stream_fini(&s);
    host_free(h);
    remove_model("a");
}

static void test_large_messages(void **unused)
{
    enum { N_BYTES = 5000000, N = 40 };
    struct stream s[8], flood;
    char *prompt = malloc(N_BYTES + 1);
    memset(prompt, 'x', N_BYTES);
    memcpy(prompt, "n=2 ", 4);
    prompt[N_BYTES] = 0;
    write_model("a", "weights=1000");
    struct host *h = start(&defaults);
    for (int i = 0; i < 8; i++)
        submit(h, "a", prompt, &s[i]);
    for (int i = 0; i < 8; i++)
        check_whole(&s[i], 2);
    submit(h, "a", "n=40 flood=300000", &flood);
    wait_end(&flood);
    assert_int_equal(flood.n_tokens, N);
    assert_int_equal(flood.text.n, N * 300000);
    for (int i = 0; i < 8; i++)
        stream_fini(&s[i]);
    stream_fini(&flood);
    free(prompt);
    host_free(h);
    remove_model("a");
}

static void test_waiting_bytes_are_limited(void **unused)
{
    struct stream s[3], refused;
    struct err err = {0};
    struct host_options o = defaults;
    char prompt[3000];
    memset(prompt, 'x', sizeof prompt);
    memcpy(prompt, "hold ", 5);
    prompt[sizeof prompt - 1] = 0;
    o.num_parallel = 1;
    o.max_waiting_bytes = 7000;
    write_model("a", "weights=1000");
    struct host *h = start(&o);
    submit(h, "a", prompt, &s[0]);
    wait_prompt(&s[0]);
    submit(h, "a", prompt, &s[1]);
    submit(h, "a", prompt, &s[2]);
    assert_false(try_submit(h, "a", prompt, &refused, &err));
    assert_int_equal(err.code, ERR_QUEUE_BYTES);
    stream_fini(&refused);
    host_free(h);
    for (int i = 0; i < 3; i++) {
        wait_end(&s[i]);
        stream_fini(&s[i]);
    }
    remove_model("a");
}

static void test_a_thread_that_hangs_is_not_alive(void **unused)
{
    struct stream s;
    write_model("a", "fast");
    struct host *h = start(&defaults);
    for (int i = 0; i < 3; i++)
        while (!host_is_alive(h)) // also without work: the question wakes it
            usleep(1000);
    submit(h, "a", "n=100000", &s);
    wait_tokens(&s, 1);
    pthread_mutex_lock(&s.mutex); // the next event's callback waits for it
    while (host_is_alive(h))
        usleep(1000);
    assert_false(host_is_alive(h));
    pthread_mutex_unlock(&s.mutex);
    while (!host_is_alive(h))
        usleep(1000);
    host_cancel(h, s.job);
    stream_fini(&s);
    host_free(h);
    remove_model("a");
}

static void test_free_with_open_jobs(void **unused)
{
    struct stream s[8];
    write_model("a", "weights=1000");
    struct host *h = start(&defaults);
    for (int i = 0; i < 8; i++)
        submit(h, "a", "hold", &s[i]);
    wait_prompt(&s[3]);
    host_free(h);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(s[i].n_ends, 1);
        check_failed(&s[i], ERR_DRAINING, "server is shutting down");
        stream_fini(&s[i]);
    }
    remove_model("a");
}

// Clients that come and leave at random from several threads, with a runner that is killed in between.
struct client {
    struct host *h;
    unsigned seed;
    int n_whole, n_cancelled;
};

static void *be_a_client(void *user)
{
    struct client *c = user;
    for (int i = 0; i < 60; i++) {
        struct stream s;
        char prompt[64];
        unsigned n = (unsigned)rand_r(&c->seed) % 40;
        snprintf(prompt, sizeof prompt, "marker %u n=%u", (unsigned)rand_r(&c->seed), n);
        submit(c->h, "a", prompt, &s);
        if (rand_r(&c->seed) % 3 == 0) {
            wait_tokens(&s, (uint32_t)rand_r(&c->seed) % 10);
            c->n_cancelled += host_cancel(c->h, s.job);
        } else {
            check_whole(&s, n);
            c->n_whole++;
        }
        if (s.job != NULL && s.n_ends == 0)
            assert_false(host_cancel(c->h, s.job));
        stream_fini(&s);
    }
    return NULL;
}

static void test_many_clients(void **unused)
{
    enum { N = 8 };
    pthread_t threads[N];
    struct client clients[N];
    write_model("a", "weights=1000");
    struct host *h = start(&defaults);
    for (int i = 0; i < N; i++) {
        clients[i] = (struct client){.h = h, .seed = (unsigned)i + 1};
        assert_int_equal(pthread_create(&threads[i], NULL, be_a_client, &clients[i]), 0);
    }
    bool found = false;
    struct host_model_status m = {0};
    while (!found || m.n_running == 0)
        m = status_of_first(h, &found);
    kill(m.pid, SIGKILL);
    for (int i = 0; i < N; i++)
        pthread_join(threads[i], NULL);
    struct host_status all;
    host_status_read(h, &all);
    assert_true(all.n_running == 0 && all.n_queued == 0);
    host_status_fini(&all);
    host_free(h);
    remove_model("a");
}

static void test_cards(void **unused)
{
    char path[128], *json = NULL;
    struct err err = {0};
    write_model("a", "weights=1000");
    model_path("a", path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(host_read_card(fd, true, &json, NULL), 0);
    assert_string_equal(json, "{\"architecture\":\"fake\",\"verbose\":true}");
    free(json);
    write_model("a", "broken");
    assert_int_equal(host_read_card(fd, false, &json, &err), -1);
    assert_int_equal(err.code, ERR_FORMAT);
    assert_null(json);
    write_model("a", "plan_crashes");
    err_clear(&err);
    assert_int_equal(host_read_card(fd, false, &json, &err), -1);
    assert_non_null(strstr(err.message, "unexpectedly stopped"));
    write_model("a", "garbage");
    assert_int_equal(host_read_card(fd, false, &json, NULL), -1);
    close(fd);
    remove_model("a");
}

int main(int argc, char **argv)
{
    be_a_runner(argc, argv);
    log_set_level(getenv("TEST_LOG") != NULL ? LOG_DEBUG : LOG_ERROR + 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_streams_in_order),
        cmocka_unit_test(test_exactly_slots_and_queue),
        cmocka_unit_test(test_cancel_in_every_state),
        cmocka_unit_test(test_killed_runner_goes_on),
        cmocka_unit_test(test_crashes_twice),
        cmocka_unit_test(test_models_that_cannot_load),
        cmocka_unit_test(test_runners_that_break_the_agreement),
        cmocka_unit_test(test_a_runner_that_says_ready_twice),
        cmocka_unit_test(test_a_runner_that_floods_the_front_keeps_nobody_else_from_being_served),
        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_missing_file),
        cmocka_unit_test(test_back_off_after_crashes),
        cmocka_unit_test(test_keep_alive),
        cmocka_unit_test(test_three_models_are_loaded_at_once),
        cmocka_unit_test(test_one_busy_model_has_one_turn_for_all_its_steps),
        cmocka_unit_test(test_busy_models_take_turns),
        cmocka_unit_test(test_the_turn_of_a_runner_that_dies_goes_to_the_next),
        cmocka_unit_test(test_a_runner_that_stalls_is_killed_and_its_stream_goes_on),
        cmocka_unit_test(test_a_model_without_work_does_not_stall),
        cmocka_unit_test(test_two_models_that_share_one_place_are_served_in_turn),
        cmocka_unit_test(test_context_grows),
        cmocka_unit_test(test_streams_are_carried_over_when_the_model_grows),
        cmocka_unit_test(test_a_context_that_can_never_fit_is_refused_and_disturbs_nobody),
        cmocka_unit_test(test_new_settings_count_at_the_next_load),
        cmocka_unit_test(test_large_messages),
        cmocka_unit_test(test_waiting_bytes_are_limited),
        cmocka_unit_test(test_a_thread_that_hangs_is_not_alive),
        cmocka_unit_test(test_free_with_open_jobs),
        cmocka_unit_test(test_many_clients),
        cmocka_unit_test(test_cards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
