// SPDX-License-Identifier: MIT
// The double of engine/ and gguf/ behind their doors: a model of ten tokens whose text is a function of
// prompt and seed. The "file" is a text that says how the model behaves, the prompt says how the request
// does; both are words like `name=number`.
//
//   file:   weights=, token_bytes=, ctx= (the plan), broken, load_fails, load_crashes, load_steps=, load_ms=
//   (each), plan_crashes prompt: n= (tokens), hold (never a token), step_ms=, crash_at= (token; not when
//   replaying), always_crash_at=, flood= (bytes of text a token)
#include "fake_engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/list.h"
#include "base/mem.h"
#include "engine/engine.h"
#include "convert/convert.h"
#include "gguf/gguf.h"

struct gguf {
    char text[512];
};

struct sequence {
    struct list all;
    uint64_t id, seed;
    char *prompt;
    uint32_t n_generated, n_replayed;
    bool told_prompt, replay_differs;
};

struct engine {
    struct engine_options options;
    struct list sequences;
    uint64_t n_steps;
};

static long number(const char *text, const char *name, long otherwise)
{
    const char *at = strstr(text, name);
    return at != NULL ? strtol(at + strlen(name), NULL, 10) : otherwise;
}

static void sleep_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    if (ms > 0)
        nanosleep(&t, NULL);
}

uint32_t fake_token(const char *prompt, uint64_t seed, uint32_t k)
{
    uint32_t hash = (uint32_t)seed;
    for (const char *p = prompt; *p; p++)
        hash = hash * 31 + (unsigned char)*p;
    return (hash / 7 + k * k * 3 + k) % 10;
}

void fake_text(const char *prompt, uint64_t seed, uint32_t n, char *out)
{
    for (uint32_t k = 0; k < n; k++)
        out[k] = (char)('a' + fake_token(prompt, seed, k));
    out[n] = 0;
}

int gguf_open(struct gguf **out, int fd, struct err *err)
{
    struct gguf *g = xcalloc(1, sizeof *g);
    ssize_t n = pread(fd, g->text, sizeof g->text - 1, 0);
    *out = NULL;
    if (n <= 0 || strstr(g->text, "broken") != NULL) {
        free(g);
        return err_set(err, ERR_FORMAT, "not a model file: magic is wrong");
    }
    *out = g;
    return 0;
}

void gguf_close(struct gguf *g)
{
    free(g);
}

bool kv_type_find(const char *name, enum kv_type *type)
{
    *type = KV_F16;
    return strcmp(name, "f16") == 0;
}

int engine_plan(const struct gguf *g, const struct engine_options *o, struct engine_plan *out,
                struct err *err)
{
    if (strstr(g->text, "plan_crashes") != NULL)
        _exit(3);
    *out = (struct engine_plan){.weights_bytes = (uint64_t)number(g->text, "weights=", 1 << 20),
                                .kv_bytes_per_token = (uint64_t)number(g->text, "token_bytes=", 100),
                                .scratch_bytes = 1000,
                                .process_bytes = 1000,
                                .train_context = (uint32_t)number(g->text, "ctx=", 32768)};
    return 0;
}

int engine_write_card(const struct gguf *g, bool verbose, struct strbuf *json, struct err *err)
{
    if (strstr(g->text, "plan_crashes") != NULL)
        _exit(3);
    strbuf_printf(json, "{\"architecture\":\"fake\",\"verbose\":%s}", verbose ? "true" : "false");
    return 0;
}

int engine_open(struct engine **out, const struct gguf *g, const struct engine_options *o,
                engine_progress_fn *progress, void *user, struct err *err)
{
    long n_steps = number(g->text, "load_steps=", 1);
    *out = NULL;
    if (strstr(g->text, "load_crashes") != NULL)
        _exit(3);
    if (strstr(g->text, "load_fails") != NULL)
        return err_set(err, ERR_UNSUPPORTED, "unknown architecture 'fake9'");
    for (long i = 0; i < n_steps; i++) {
        sleep_ms(number(g->text, "load_ms=", 0));
        if (progress != NULL && !progress(user, (uint64_t)i, (uint64_t)n_steps))
            return err_set(err, ERR_CANCELLED, "load was given up");
    }
    struct engine *e = xcalloc(1, sizeof *e);
    e->options = *o;
    list_init(&e->sequences);
    *out = e;
    return 0;
}

static void free_sequence(struct sequence *s)
{
    list_remove(&s->all);
    free(s->prompt);
    free(s);
}

static struct sequence *sequence_of(struct list *node)
{
    return LIST_OWNER(node, struct sequence, all);
}

void engine_close(struct engine *e)
{
    if (e == NULL)
        return;
    LIST_EACH_SAFE(&e->sequences, node, after)
    free_sequence(sequence_of(node));
    free(e);
}

void engine_submit(struct engine *e, const struct request *r)
{
    struct sequence *s = xcalloc(1, sizeof *s);
    s->id = r->id;
    s->seed = r->params.seed;
    s->prompt = xstrdup(r->prompt != NULL ? r->prompt : "");
    s->n_generated = s->n_replayed = (uint32_t)r->n_replay_ids;
    for (uint32_t k = 0; k < r->n_replay_ids; k++)
        s->replay_differs |= r->replay_ids[k] != fake_token(s->prompt, s->seed, k);
    list_push(&e->sequences, &s->all);
}

void engine_cancel(struct engine *e, uint64_t request_id)
{
    LIST_EACH_SAFE(&e->sequences, node, after)
    if (sequence_of(node)->id == request_id)
        free_sequence(sequence_of(node));
}

void engine_set_drafts(struct engine *e, bool is_on)
{
    (void)e;
    (void)is_on;
}

void engine_set_sharing(struct engine *e, uint32_t n_sharing)
{
    (void)e;
    (void)n_sharing;
}

bool engine_has_work(const struct engine *e)
{
    return !list_is_empty(&e->sequences);
}

static void tell_prompt(struct sequence *s, engine_event_fn *on_event, void *user)
{
    uint32_t ids[] = {1, (uint32_t)strlen(s->prompt)};
    struct event e = {.kind = EVENT_PROMPT, .request_id = s->id, .prompt_ids = ids, .n_prompt = 2};
    s->told_prompt = true;
    on_event(user, &e);
}

static void tell_token(struct sequence *s, engine_event_fn *on_event, void *user)
{
    uint32_t id = fake_token(s->prompt, s->seed, s->n_generated);
    size_t n_text = (size_t)number(s->prompt, "flood=", 1);
    char *text = xmalloc(n_text);
    memset(text, (int)('a' + id), n_text);
    struct event e = {
        .kind = EVENT_TOKENS, .request_id = s->id, .ids = &id, .n_ids = 1, .text = {text, n_text}};
    s->n_generated++;
    on_event(user, &e);
    free(text);
}

// False: it has ended.
static bool step_sequence(struct sequence *s, engine_event_fn *on_event, void *user)
{
    struct event end = {.kind = EVENT_DONE,
                        .request_id = s->id,
                        .reason = DONE_STOP,
                        .n_prompt = 2,
                        .n_generated = s->n_generated};
    if (s->replay_differs) {
        end.kind = EVENT_ERROR;
        err_set(&end.error, ERR_INTERNAL, "replayed ids differ");
        on_event(user, &end);
        return false;
    }
    if (!s->told_prompt) {
        tell_prompt(s, on_event, user);
        return true;
    }
    if (s->n_generated == (uint32_t)number(s->prompt, "always_crash_at=", -1) ||
        (s->n_replayed == 0 && s->n_generated == (uint32_t)number(s->prompt, " crash_at=", -1)))
        _exit(3);
    sleep_ms(number(s->prompt, "step_ms=", 0));
    if (strstr(s->prompt, "hold") != NULL) {
        sleep_ms(1);
        return true;
    }
    if (s->n_generated >= (uint32_t)number(s->prompt, "n=", 5)) {
        on_event(user, &end);
        return false;
    }
    tell_token(s, on_event, user);
    return true;
}

void engine_step(struct engine *e, engine_event_fn *on_event, void *user)
{
    uint32_t n_running = 0;
    LIST_EACH_SAFE(&e->sequences, node, after)
    {
        if (n_running++ < e->options.n_slots && !step_sequence(sequence_of(node), on_event, user))
            free_sequence(sequence_of(node));
    }
    e->n_steps++;
}

void engine_read_stats(const struct engine *e, struct engine_stats *out)
{
    *out = (struct engine_stats){.n_steps = e->n_steps,
                                 .kv_tokens_total = e->options.pool_tokens,
                                 .context_length = e->options.default_context};
    LIST_EACH(&((struct engine *)e)->sequences, node)
    {
        out->n_running++;
        out->kv_tokens_used += sequence_of(node)->n_generated;
    }
}

int convert_run(const struct convert_job *job, const struct convert_output *out, struct err *err)
{
    return err_set(err, ERR_UNSUPPORTED, "the double converts nothing");
}
