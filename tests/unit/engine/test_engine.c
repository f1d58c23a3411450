// SPDX-License-Identifier: MIT
// The engine through its door, with a tiny model: what a request's stream is does not depend on what runs
// beside it; prefixes are shared; sequences that lose their pages go on; stop strings, limits, errors,
// replay.
#include "tiny.h"

enum { MAX_STREAMS = 64 };

struct stream {
    uint64_t id;
    struct strbuf text;
    uint32_t ids[2048], n_ids, n_prompt, n_cached, n_truncated, n_generated, n_logprobs, n_prompt_events;
    float logprob_sum;
    bool done;
    enum done_reason reason;
    struct err error;
};

struct world {
    struct gguf *gguf;
    struct engine *engine;
    struct stream streams[MAX_STREAMS];
};

static void open_world(struct world *w, uint32_t n_slots, uint32_t pool_tokens)
{
    memset(w, 0, sizeof *w);
    open_tiny(TEST_DATA "/tiny/llama.gguf.gz", n_slots, pool_tokens, &w->gguf, &w->engine);
    for (int i = 0; i < MAX_STREAMS; i++)
        strbuf_init(&w->streams[i].text, 1 << 20);
}

static void close_world(struct world *w)
{
    engine_close(w->engine);
    gguf_close(w->gguf);
    for (int i = 0; i < MAX_STREAMS; i++)
        strbuf_fini(&w->streams[i].text);
}

static void take_event(void *user, const struct event *e)
{
    struct world *w = user;
    struct stream *s = &w->streams[e->request_id % MAX_STREAMS];
    assert_int_equal(s->id, e->request_id); // no event of another request, none after the end
    assert_false(s->done);
    switch (e->kind) {
    case EVENT_PROMPT:
        s->n_prompt = e->n_prompt;
        s->n_truncated = e->n_truncated;
        s->n_prompt_events++;
        break;
    case EVENT_TOKENS:
        assert_int_equal(s->n_prompt_events, 1);
        for (uint32_t i = 0; i < e->n_ids; i++)
            s->ids[s->n_ids++] = e->ids[i];
        strbuf_push_slice(&s->text, e->text);
        for (uint32_t i = 0; i < e->n_logprobs; i++)
            s->logprob_sum += e->logprobs[i].chosen.logprob;
        s->n_logprobs += e->n_logprobs;
        break;
    case EVENT_DONE:
        s->done = true;
        s->reason = e->reason;
        s->n_cached = e->n_cached;
        s->n_generated = e->n_generated;
        break;
    default:
        s->done = true;
        s->error = e->error;
    }
}

// A request for a prompt of words chosen by `kind`.
static struct request make_request(struct world *w, uint64_t id, uint32_t kind, uint32_t n_words)
{
    struct request r;
    struct strbuf text = STRBUF_INIT(1 << 20);
    static const char *const words[] = {"the ",  "model ",  "server ",  "answers ",
                                        "many ", "people ", "at once ", "and "};
    request_init(&r);
    for (uint32_t i = 0; i < n_words; i++)
        strbuf_push_text(&text, words[(kind * 5 + i * i + i * kind) % 8]);
    r.id = id;
    r.kind = PROMPT_RAW;
    r.prompt_bytes = text.n;
    r.prompt = strbuf_take(&text);
    r.params.num_predict = 40;
    r.params.seed = kind;
    r.params.ignore_eos = true;
    struct stream *s = &w->streams[id % MAX_STREAMS];
    s->id = id;
    s->done = false;
    s->n_ids = s->n_prompt_events = s->n_logprobs = 0;
    s->logprob_sum = 0;
    err_clear(&s->error);
    strbuf_reset(&s->text);
    return r;
}

static void submit(struct world *w, struct request *r)
{
    engine_submit(w->engine, r);
    request_fini(r);
}

static void run_until_done(struct world *w)
{
    for (int i = 0; engine_has_work(w->engine); i++) {
        assert_true(i < 20000);
        engine_step(w->engine, take_event, w);
    }
}

static void assert_same_stream(const struct stream *a, const struct stream *b)
{
    assert_int_equal(a->n_ids, b->n_ids);
    assert_memory_equal(a->ids, b->ids, a->n_ids * sizeof *a->ids);
    assert_int_equal(a->text.n, b->text.n);
    assert_memory_equal(a->text.at, b->text.at, a->text.n);
    assert_int_equal(a->n_generated, b->n_generated);
    assert_int_equal(a->reason, b->reason);
}

// What each kind of request answers alone, in a fresh engine.
static void run_alone(struct world *w, uint32_t kind, uint32_t n_words)
{
    open_world(w, 1, 512);
    engine_set_drafts(w->engine, false);
    struct request r = make_request(w, 1, kind, n_words);
    r.params.logprobs = true;
    submit(w, &r);
    run_until_done(w);
    assert_true(w->streams[1].done);
    assert_int_equal(w->streams[1].error.code, ERR_NONE);
    assert_int_equal(w->streams[1].n_ids, 40);
}

static void streams_are_the_same_alone_and_in_company(void **state)
{
    static struct world together;
    open_world(&together, 16, 16 * 256);
    for (uint32_t i = 0; i < 16; i++) {
        struct request r = make_request(&together, i + 1, i, 4 + 3 * i);
        r.params.logprobs = true;
        submit(&together, &r);
        if (i % 3 == 0)
            engine_step(together.engine, take_event, &together);
    }
    run_until_done(&together);
    for (uint32_t i = 0; i < 16; i++) {
        static struct world alone;
        run_alone(&alone, i, 4 + 3 * i);
        assert_same_stream(&alone.streams[1], &together.streams[i + 1]);
        assert_memory_equal(&alone.streams[1].logprob_sum, &together.streams[i + 1].logprob_sum,
                            sizeof(float));
        assert_int_equal(together.streams[i + 1].n_logprobs, 40);
        close_world(&alone);
    }
    close_world(&together);
}

static void streams_beside_cancelled_ones_are_undisturbed(void **state)
{
    static struct world w, alone;
    run_alone(&alone, 3, 20);
    open_world(&w, 8, 8 * 256);
    struct request r = make_request(&w, 1, 3, 20);
    submit(&w, &r);
    uint64_t next = 2;
    for (int step = 0; engine_has_work(w.engine) && !w.streams[1].done; step++) {
        if (step % 2 == 0 && next < MAX_STREAMS) {
            r = make_request(&w, next, (uint32_t)next % 4, 30);
            submit(&w, &r);
            next++;
        }
        engine_step(w.engine, take_event, &w);
        if (step % 3 == 2)
            engine_cancel(w.engine, 2 + (uint64_t)step / 3);
    }
    assert_true(w.streams[1].done);
    assert_same_stream(&alone.streams[1], &w.streams[1]);
    run_until_done(&w);
    close_world(&w);
    close_world(&alone);
}

static void a_shared_prefix_is_computed_once(void **state)
{
    static struct world w, alone;
    struct engine_stats stats;
    run_alone(&alone, 2, 60);
    open_world(&w, 4, 2048);
    for (uint64_t id = 1; id <= 4; id++) {
        struct request r = make_request(&w, id, 2, 60);
        r.params.logprobs = true;
        submit(&w, &r);
    }
    run_until_done(&w);
    engine_read_stats(w.engine, &stats);
    uint32_t n = w.streams[1].n_prompt;
    uint32_t shared = (n - 1) / KV_PAGE_TOKENS * KV_PAGE_TOKENS;
    for (int i = 1; i <= 4;
         i++) { // with a cached prefix or without: the same tokens, the same probabilities to the bit
        assert_same_stream(&alone.streams[1], &w.streams[i]);
        assert_memory_equal(&alone.streams[1].logprob_sum, &w.streams[i].logprob_sum, sizeof(float));
    }
    for (int i = 2; i <= 4; i++) {
        assert_true(w.streams[1].n_cached + w.streams[i].n_cached >= shared);
    }
    assert_int_equal(stats.n_prompt_tokens + stats.n_generated_tokens >= n, 1);
    // In all, the shared pages were computed once: cached tokens of the four make up the rest.
    uint32_t cached = 0;
    for (int i = 1; i <= 4; i++)
        cached += w.streams[i].n_cached;
    assert_int_equal(cached, 3 * shared);
    close_world(&alone);
    close_world(&w);
}

static void sequences_that_lose_their_pages_go_on_as_if_nothing_had_happened(void **state)
{
    static struct world w, alone;
    struct engine_stats stats;
    open_world(&w, 6, 20 * KV_PAGE_TOKENS); // far too little for six of about 100 tokens
    for (uint32_t i = 0; i < 6; i++) {
        struct request r = make_request(&w, i + 1, i, 20);
        submit(&w, &r);
    }
    run_until_done(&w);
    engine_read_stats(w.engine, &stats);
    assert_true(stats.n_preemptions > 0);
    assert_int_equal(stats.kv_tokens_used, 0);
    for (uint32_t i = 0; i < 6; i++) {
        run_alone(&alone, i, 20);
        assert_int_equal(w.streams[i + 1].error.code, ERR_NONE);
        assert_same_stream(&alone.streams[1], &w.streams[i + 1]);
        close_world(&alone);
    }
    close_world(&w);
}

static void a_replayed_stream_goes_on_with_the_same_tokens(void **state)
{
    static struct world w, alone;
    run_alone(&alone, 5, 12);
    for (uint32_t cut = 0; cut < 40; cut += 13) {
        open_world(&w, 2, 512);
        struct request r = make_request(&w, 1, 5, 12);
        r.replay_ids = xcalloc(cut, sizeof *r.replay_ids);
        memcpy(r.replay_ids, alone.streams[1].ids, cut * sizeof *r.replay_ids);
        r.n_replay_ids = cut;
        submit(&w, &r);
        run_until_done(&w);
        assert_int_equal(w.streams[1].n_ids, 40 - cut);
        assert_memory_equal(w.streams[1].ids, alone.streams[1].ids + cut, (40 - cut) * sizeof(uint32_t));
        assert_int_equal(w.streams[1].n_generated, 40);
        size_t tail = w.streams[1].text.n, whole = alone.streams[1].text.n;
        assert_memory_equal(w.streams[1].text.at, alone.streams[1].text.at + whole - tail, tail);
        close_world(&w);
    }
    close_world(&alone);
}

static void stop_strings_end_the_text_before_them(void **state)
{
    static struct world w, alone;
    run_alone(&alone, 7, 12);
    struct strbuf *whole = &alone.streams[1].text;
    assert_true(whole->n > 30);
    for (size_t at = 3; at < whole->n - 4; at += 5) {
        char stop[4] = {0};
        memcpy(stop, whole->at + at, 3);
        if (memchr(stop, 0, 3) != NULL)
            continue;
        open_world(&w, 1, 512);
        struct request r = make_request(&w, 1, 7, 12);
        r.params.logprobs = true;
        request_add_stop(&r, stop, 3);
        submit(&w, &r);
        run_until_done(&w);
        const char *first = memmem(whole->at, whole->n, stop, 3);
        size_t expected = (size_t)(first - whole->at);
        assert_int_equal(w.streams[1].reason, DONE_STOP);
        assert_int_equal(w.streams[1].text.n, expected);
        assert_memory_equal(w.streams[1].text.at ? w.streams[1].text.at : "", whole->at, expected);
        assert_true(w.streams[1].n_logprobs <= w.streams[1].n_ids);
        close_world(&w);
    }
    close_world(&alone);
}

static void limits_are_kept_and_told(void **state)
{
    static struct world w;
    open_world(&w, 2, 512);
    struct request r = make_request(&w, 1, 1, 10);
    r.params.num_ctx = 64;
    r.params.num_predict = -1;
    submit(&w, &r);
    run_until_done(&w);
    assert_int_equal(w.streams[1].reason, DONE_LENGTH);
    assert_int_equal(w.streams[1].n_prompt + w.streams[1].n_ids, 64); // prompt and answer use all of it

    r = make_request(&w, 2, 1, 200);
    r.params.num_ctx = 64;
    submit(&w, &r);
    run_until_done(&w);
    assert_int_equal(w.streams[2].error.code, ERR_INVALID);
    assert_non_null(strstr(w.streams[2].error.message, "64"));

    r = make_request(&w, 3, 1, 200);
    r.params.num_ctx = 64;
    r.truncate = TRUNCATE_HEAD;
    submit(&w, &r);
    run_until_done(&w);
    assert_int_equal(w.streams[3].error.code, ERR_NONE);
    assert_true(w.streams[3].n_truncated > 100);
    close_world(&w);
}

static void old_turns_are_dropped_but_never_system_or_last(void **state)
{
    static struct world w;
    struct strbuf messages = STRBUF_INIT(1 << 20);
    open_world(&w, 1, 512);
    strbuf_push_text(&messages, "[{\"role\":\"system\",\"content\":\"be brief\"}");
    for (int i = 0; i < 20; i++)
        strbuf_printf(&messages,
                      ",{\"role\":\"user\",\"content\":\"question "
                      "%d\"},{\"role\":\"assistant\",\"content\":\"answer\"}",
                      i);
    strbuf_push_text(&messages, ",{\"role\":\"user\",\"content\":\"last\"}]");
    static const enum truncate_mode modes[] = {TRUNCATE_REFUSE, TRUNCATE_OLD_TURNS};
    for (int i = 0; i < 2; i++) {
        struct request r = make_request(&w, 1, 0, 0);
        r.kind = PROMPT_MESSAGES;
        r.messages_json = xstrdup(strbuf_text(&messages));
        r.truncate = modes[i];
        r.params.num_ctx = 200;
        r.params.num_predict = 4;
        submit(&w, &r);
        run_until_done(&w);
        assert_int_equal(w.streams[1].error.code, i == 0 ? ERR_INVALID : ERR_NONE);
    }
    assert_true(w.streams[1].n_truncated > 0);
    assert_true(w.streams[1].n_prompt < 200 && w.streams[1].n_prompt > 100); // as much as fits stays
    strbuf_fini(&messages);
    close_world(&w);
}

static void broken_requests_fail_alone(void **state)
{
    static struct world w;
    open_world(&w, 2, 512);
    struct request r = make_request(&w, 1, 1, 10);
    r.kind = PROMPT_MESSAGES;
    r.messages_json = xstrdup("{\"not\":\"a list\"}");
    submit(&w, &r);
    r = make_request(&w, 2, 1, 10);
    r.kind = PROMPT_MESSAGES;
    r.messages_json = xstrdup("[]");
    r.template_text = xstrdup("{{ messages[0].content }} {% nonsense %}");
    submit(&w, &r);
    r = make_request(&w, 3, 1, 10);
    r.context_ids = xcalloc(1, sizeof *r.context_ids);
    r.context_ids[0] = 100000;
    r.n_context_ids = 1;
    submit(&w, &r);
    r = make_request(&w, 4, 1, 10);
    submit(&w, &r);
    run_until_done(&w);
    for (int i = 1; i <= 3; i++) {
        assert_true(w.streams[i].done);
        assert_int_not_equal(w.streams[i].error.code, ERR_NONE);
    }
    assert_non_null(strstr(w.streams[2].error.message, "nonsense"));
    assert_int_equal(w.streams[4].n_ids, 40);
    close_world(&w);
}

// Steps until the stream has a token, on a machine where a prompt token takes a second.
static uint32_t steps_to_first_token(struct world *w, uint64_t id)
{
    uint32_t n = 0;
    while (w->streams[id].n_ids == 0) {
        w->engine->prefill_token_ns = 1e9;
        engine_step(w->engine, take_event, w);
        n++;
        assert_true(n < 1000 && !w->streams[id].done);
    }
    return n;
}

static void a_short_prompt_has_its_first_token_within_three_steps(void **state)
{
    static struct world w;
    for (uint32_t n_long = 1; n_long <= 8; n_long *= 2) {
        open_world(&w, 10, 10 * 512);
        struct request r = make_request(&w, 40, 30, 3); // somebody decodes all the while
        r.params.num_predict = 400;
        submit(&w, &r);
        engine_step(w.engine, take_event, &w);
        for (uint32_t i = 0; i < n_long; i++) {
            r = make_request(&w, i + 1, i, 300);
            submit(&w, &r);
        }
        for (uint32_t arrival = 0; arrival < 5; arrival++) {
            r = make_request(&w, 50 + arrival, 20 + arrival, 2);
            r.params.num_predict = 2;
            submit(&w, &r);
            assert_in_range(steps_to_first_token(&w, 50 + arrival), 1, 3);
            assert_in_range(w.streams[50 + arrival].n_prompt, 4, ENGINE_MIN_PREFILL);
        }
        uint32_t n_begun = 0;
        for (uint32_t i = 0; i < n_long; i++)
            n_begun += w.streams[i + 1].n_ids > 0;
        assert_int_equal(n_begun, 0); // they were all still in their prompts
        run_until_done(&w);
        close_world(&w);
    }
}

// Short prompts that come one after the other do not keep a long one from getting on.
static void a_long_prompt_gets_on_beside_short_ones(void **state)
{
    static struct world w;
    open_world(&w, 4, 4 * 512);
    struct request r = make_request(&w, 1, 1, 60);
    submit(&w, &r);
    uint64_t next = 2;
    for (int n_steps = 0; w.streams[1].n_ids == 0; n_steps++) {
        assert_true(n_steps < 400);
        r = make_request(&w, next, (uint32_t)next, 2);
        r.params.num_predict = 1;
        submit(&w, &r);
        next = next % (MAX_STREAMS - 1) + 1;
        next += next == 1;
        w.engine->prefill_token_ns = 1e9;
        engine_step(w.engine, take_event, &w);
    }
    run_until_done(&w);
    close_world(&w);
}

// Requests of every sort that a draft could disturb; the greedy ones repeat themselves, so that tokens are
// accepted.
static void submit_varied(struct world *w, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        struct request r = make_request(w, i + 1, i, 6 + i);
        r.params.num_predict = (int32_t)(90 + 7 * i);
        r.params.temperature = i % 3 == 2 ? 0.4f : 0;
        r.params.repeat_penalty = i % 4 == 3 ? 1.05f : 1;
        r.params.ignore_eos = i % 2 == 0;
        r.params.logprobs = i % 2 == 1;
        r.params.top_logprobs = 2;
        if (i == 4)
            request_add_stop(&r, "the the the", 11);
        submit(w, &r);
    }
}

static void draft_tokens_change_no_stream(void **state)
{
    static struct world plain, drafted;
    uint64_t n_accepted = 0;
    for (uint32_t n = 1; n <= 6; n++) {
        open_world(&plain, n, n * 256);
        open_world(&drafted, n, n * 256);
        engine_set_drafts(plain.engine, false);
        submit_varied(&plain, n);
        submit_varied(&drafted, n);
        run_until_done(&plain);
        run_until_done(&drafted);
        for (uint32_t i = 1; i <= n; i++) {
            assert_same_stream(&plain.streams[i], &drafted.streams[i]);
            assert_int_equal(plain.streams[i].n_logprobs, drafted.streams[i].n_logprobs);
            assert_memory_equal(&plain.streams[i].logprob_sum, &drafted.streams[i].logprob_sum,
                                sizeof(float));
        }
        kvcache_check(&drafted.engine->cache);
        struct engine_stats stats;
        engine_read_stats(drafted.engine, &stats);
        assert_true(stats.n_accepted_tokens <= stats.n_draft_tokens);
        assert_int_equal(stats.kv_tokens_used, 0);
        n_accepted += stats.n_accepted_tokens;
        engine_read_stats(plain.engine, &stats);
        assert_int_equal(stats.n_draft_tokens, 0);
        close_world(&plain);
        close_world(&drafted);
    }
    assert_true(n_accepted > 5);
}

static void accepted_draft_tokens_save_steps(void **state)
{
    static struct world w;
    uint64_t n_steps[2];
    for (int is_on = 0; is_on < 2; is_on++) {
        struct engine_stats stats;
        open_world(&w, 1, 512);
        engine_set_drafts(w.engine, is_on);
        submit_varied(&w, 1);
        run_until_done(&w);
        engine_read_stats(w.engine, &stats);
        n_steps[is_on] = stats.n_steps;
        assert_int_equal(stats.n_generated_tokens, n_steps[is_on] + stats.n_accepted_tokens);
        close_world(&w);
    }
    assert_true(n_steps[1] < n_steps[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_are_the_same_alone_and_in_company),
        cmocka_unit_test(streams_beside_cancelled_ones_are_undisturbed),
        cmocka_unit_test(a_shared_prefix_is_computed_once),
        cmocka_unit_test(sequences_that_lose_their_pages_go_on_as_if_nothing_had_happened),
        cmocka_unit_test(a_replayed_stream_goes_on_with_the_same_tokens),
        cmocka_unit_test(stop_strings_end_the_text_before_them),
        cmocka_unit_test(limits_are_kept_and_told),
        cmocka_unit_test(old_turns_are_dropped_but_never_system_or_last),
        cmocka_unit_test(broken_requests_fail_alone),
        cmocka_unit_test(a_short_prompt_has_its_first_token_within_three_steps),
        cmocka_unit_test(a_long_prompt_gets_on_beside_short_ones),
        cmocka_unit_test(draft_tokens_change_no_stream),
        cmocka_unit_test(accepted_draft_tokens_save_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
