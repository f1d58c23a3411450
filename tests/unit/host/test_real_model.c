// SPDX-License-Identifier: MIT
// The way from a request to a real model's process and back, on SmolLM2: several streams at once, a runner
// killed in the middle of them, and the same text as if nothing had happened. Skipped where the model is not
// in the cache.
#include "../test.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "host/host.h"
#include "host/memory.h"
#include "runner/runner.h"

enum { N = 6, N_TOKENS = 40 };

struct stream {
    struct strbuf text;
    uint32_t n_tokens, n_prompts;
    bool ended;
    struct event end;
    struct job *job;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static char path[512];

static void on_event(void *user, const struct event *e)
{
    struct stream *s = user;
    pthread_mutex_lock(&mutex);
    if (e->kind == EVENT_PROMPT) {
        s->n_prompts++;
    } else if (e->kind == EVENT_TOKENS) {
        s->n_tokens += e->n_ids;
        strbuf_push_slice(&s->text, e->text);
    } else {
        s->end = *e;
        s->ended = true;
    }
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

static void submit(struct host *h, int i, struct stream *s)
{
    static const char *const subjects[N] = {"the sea",   "a small dog", "rain",
                                            "old books", "bread",       "the moon"};
    char messages[200];
    struct err err = {0};
    struct request *r = xmalloc(sizeof *r);
    request_init(r);
    snprintf(messages, sizeof messages, "[{\"role\":\"user\",\"content\":\"Tell me a story about %s.\"}]",
             subjects[i]);
    r->kind = PROMPT_MESSAGES;
    r->messages_json = xstrdup(messages);
    r->params.temperature = i % 2 ? 0.9f : 0; // drawn ones too: the numbers depend on seed and position alone
    r->params.seed = 1000 + (uint64_t)i;
    r->params.num_predict = N_TOKENS;
    r->params.ignore_eos = true;
    *s = (struct stream){.text = STRBUF_INIT(1 << 20)};
    struct host_submission what = {.model = {.blob_digest = "sha256:real",
                                             .blob_path = path,
                                             .name = "real",
                                             .manifest_digest = "",
                                             .details_json = "{}"},
                                   .request = r,
                                   .on_event = on_event,
                                   .user = s};
    s->job = host_submit(h, &what, &err);
    if (s->job == NULL)
        fail_msg("%s", err.message);
}

static void wait_for(struct stream *s, uint32_t n_tokens) // 0: its end
{
    pthread_mutex_lock(&mutex);
    while (!s->ended && (n_tokens == 0 || s->n_tokens < n_tokens))
        pthread_cond_wait(&changed, &mutex);
    pthread_mutex_unlock(&mutex);
}

static struct host_model_status read_status(struct host *h)
{
    struct host_status all;
    host_status_read(h, &all);
    assert_int_equal(all.n_models, 1);
    struct host_model_status m = all.models[0];
    host_status_fini(&all);
    return m;
}

// All at once; kill_at > 0: the runner is killed when the first has so many tokens.
static void run(struct host *h, struct stream s[N], uint32_t kill_at)
{
    for (int i = 0; i < N; i++)
        submit(h, i, &s[i]);
    if (kill_at > 0) {
        wait_for(&s[0], kill_at);
        kill(read_status(h).pid, SIGKILL);
    }
    for (int i = 0; i < N; i++) {
        wait_for(&s[i], 0);
        if (s[i].end.kind != EVENT_DONE)
            fail_msg("%s", s[i].end.error.message);
        assert_int_equal(s[i].n_prompts, 1);
        assert_int_equal(s[i].n_tokens, N_TOKENS);
        assert_int_equal(s[i].end.n_generated, N_TOKENS);
        job_unref(s[i].job);
    }
}

static void test_killed_runner_gives_the_same_text(void **unused)
{
    struct host *h;
    struct host_options o = {.max_queue = 512,
                             .max_loaded = 1,
                             .keep_alive_ns = -1,
                             .load_timeout_ns = 60 * NS_PER_S,
                             .kv_type = "f16"};
    struct stream undisturbed[N], killed[N];
    assert_int_equal(host_new(&h, &o, NULL), 0);
    run(h, undisturbed, 0);
    struct host_model_status m = read_status(h);
    print_message("planned %.1f MiB, resident %.1f MiB\n", (double)m.size_bytes / (1 << 20),
                  (double)memory_of_process(m.pid) / (1 << 20));
    for (uint32_t kill_at = 5; kill_at < N_TOKENS; kill_at += 25) {
        run(h, killed, kill_at);
        for (int i = 0; i < N; i++) {
            assert_string_equal(strbuf_text(&killed[i].text), strbuf_text(&undisturbed[i].text));
            strbuf_fini(&killed[i].text);
        }
    }
    for (int i = 0; i < N; i++)
        strbuf_fini(&undisturbed[i].text);
    host_free(h);
}

static void test_card(void **unused)
{
    char *json = NULL;
    struct err err = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (host_read_card(fd, false, &json, &err) != 0)
        fail_msg("%s", err.message);
    assert_non_null(strstr(json, "\"architecture\":\"llama\""));
    free(json);
    close(fd);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "runner") == 0)
        return runner_main(argc, argv);
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (cache != NULL && *cache != 0)
        snprintf(path, sizeof path, "%s/drover/models/smollm2-135m-instruct-q4_1.gguf", cache);
    else
        snprintf(path, sizeof path, "%s/.cache/drover/models/smollm2-135m-instruct-q4_1.gguf",
                 home != NULL ? home : "");
    if (access(path, R_OK) != 0) {
        printf("skipped: %s is absent\n", path);
        return 77;
    }
    log_set_level(LOG_ERROR + 1);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_card),
                                       cmocka_unit_test(test_killed_runner_gives_the_same_text)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
