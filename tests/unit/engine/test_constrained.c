// SPDX-License-Identifier: MIT
// Answers held to a schema, through the engine's door and with a tiny model that knows nothing: they fit, are
// the same alone, beside others, with drafts and after a replay; and the tokens of a mask are exactly those
// that may come.
#include "tiny.h"

#include "base/utf8.h"

enum { MAX_STREAMS = 16, MAX_IDS = 1024 };

static const char schema[] = "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\","
                             "\"maxLength\":6},\"n\":{\"type\":\"integer\","
                             "\"minimum\":10,\"maximum\":99},\"tags\":{\"type\":\"array\",\"items\":{"
                             "\"enum\":[\"red\",\"green\"]},\"minItems\":1,"
                             "\"maxItems\":3},\"next\":{\"type\":[\"boolean\",\"null\"]}},\"required\":["
                             "\"name\",\"n\",\"tags\",\"next\"]}";

struct stream {
    struct strbuf text;
    uint32_t ids[MAX_IDS], n_ids, n_generated;
    bool done;
    enum done_reason reason;
    struct err error;
};

struct world {
    struct gguf *gguf;
    struct engine *engine;
    struct stream streams[MAX_STREAMS];
};

static void open_world(struct world *w, uint32_t n_slots)
{
    memset(w, 0, sizeof *w);
    open_tiny(TEST_DATA "/tiny/llama.gguf.gz", n_slots, n_slots * 256, &w->gguf, &w->engine);
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
    struct stream *s = &w->streams[e->request_id];
    assert_false(s->done);
    if (e->kind == EVENT_TOKENS) {
        for (uint32_t i = 0; i < e->n_ids; i++)
            s->ids[s->n_ids++] = e->ids[i];
        strbuf_push_slice(&s->text, e->text);
    } else if (e->kind == EVENT_DONE) {
        s->done = true;
        s->reason = e->reason;
        s->n_generated = e->n_generated;
    } else if (e->kind == EVENT_ERROR) {
        s->done = true;
        s->error = e->error;
    }
}

static struct request make_request(uint64_t id, uint64_t seed, const char *format)
{
    struct request r;
    request_init(&r);
    r.id = id;
    r.kind = PROMPT_RAW;
    r.prompt = xstrdup("the server answers ");
    r.prompt_bytes = strlen(r.prompt);
    r.params.num_predict = 200;
    r.params.seed = seed;
    r.params.temperature = 1.5f;
    r.params.top_k = 0;
    r.params.top_p = 1.0f;
    r.format_json = xstrdup(format);
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

static struct stream *answer(struct world *w, uint64_t seed)
{
    open_world(w, 1);
    struct request r = make_request(1, seed, schema);
    submit(w, &r);
    run_until_done(w);
    assert_true(w->streams[1].done && w->streams[1].error.code == ERR_NONE);
    return &w->streams[1];
}

static void assert_same(const struct stream *a, const struct stream *b)
{
    assert_int_equal(a->n_ids, b->n_ids);
    assert_memory_equal(a->ids, b->ids, a->n_ids * sizeof *a->ids);
    assert_int_equal(a->text.n, b->text.n);
    assert_memory_equal(a->text.at, b->text.at, a->text.n);
    assert_int_equal(a->reason, b->reason);
}

static void assert_fits(const struct stream *s)
{
    json_error_t why;
    json_t *value = json_loadb(s->text.at, s->text.n, 0, &why);
    if (value == NULL)
        fail_msg("%.*s: %s", (int)s->text.n, s->text.at, why.text);
    json_int_t n = json_integer_value(json_object_get(value, "n"));
    size_t n_tags = json_array_size(json_object_get(value, "tags"));
    assert_int_equal(json_object_size(value), 4);
    assert_true(n >= 10 && n <= 99 && n_tags >= 1 && n_tags <= 3);
    assert_true(utf8_count(json_slice(json_object_get(value, "name"))) <= 6);
    json_decref(value);
}

static void answers_fit_and_end_by_themselves(void **state)
{
    static struct world w;
    open_world(&w, 8);
    for (uint32_t i = 0; i < 8; i++) {
        struct request r = make_request(i, i, schema);
        r.params.ignore_eos = i % 2;
        r.params.repeat_penalty = i % 3 == 0 ? 1.5f : 1.0f;
        r.params.temperature = i == 7 ? 0 : 1.5f;
        submit(&w, &r);
    }
    run_until_done(&w);
    for (uint32_t i = 0; i < 8; i++) {
        assert_int_equal(w.streams[i].error.code, ERR_NONE);
        assert_int_equal(w.streams[i].reason, DONE_STOP);
        assert_fits(&w.streams[i]);
    }
    close_world(&w);
}

static void answers_are_the_same_alone_and_beside_others(void **state)
{
    static struct world together, alone;
    open_world(&together, 8);
    for (uint32_t i = 0; i < 8; i++) {
        struct request r = make_request(i, i, i % 2 ? schema : "\"json\"");
        r.params.num_predict = i % 2 ? 200 : 60;
        submit(&together, &r);
        engine_step(together.engine, take_event, &together);
    }
    run_until_done(&together);
    for (uint32_t i = 1; i < 8; i += 2) {
        assert_same(answer(&alone, i), &together.streams[i]);
        close_world(&alone);
    }
    close_world(&together);
}

static void a_replayed_answer_goes_on_with_the_same_tokens(void **state)
{
    static struct world w, alone;
    struct stream *whole = answer(&alone, 3);
    for (uint32_t cut = 1; cut < whole->n_ids; cut += 7) {
        open_world(&w, 2);
        struct request r = make_request(1, 3, schema);
        r.replay_ids = xcalloc(cut, sizeof *r.replay_ids);
        memcpy(r.replay_ids, whole->ids, cut * sizeof *r.replay_ids);
        r.n_replay_ids = cut;
        submit(&w, &r);
        run_until_done(&w);
        assert_int_equal(w.streams[1].n_ids, whole->n_ids - cut);
        assert_memory_equal(w.streams[1].ids, whole->ids + cut, (whole->n_ids - cut) * sizeof(uint32_t));
        assert_int_equal(w.streams[1].n_generated, whole->n_generated);
        close_world(&w);
    }
    close_world(&alone);
}

static void drafts_change_no_answer(void **state)
{
    static struct world w;
    struct stream with, *without;
    without = answer(&w, 5);
    with = *without;
    strbuf_init(&without->text, 1 << 20);
    close_world(&w);
    open_world(&w, 1);
    engine_set_drafts(w.engine, false);
    struct request r = make_request(1, 5, schema);
    submit(&w, &r);
    run_until_done(&w);
    assert_same(&with, &w.streams[1]);
    strbuf_fini(&with.text);
    close_world(&w);
}

static void what_cannot_be_held_to_fails_alone(void **state)
{
    static struct world w;
    open_world(&w, 4);
    struct request r = make_request(0, 1, "{\"type\":\"int\"}");
    submit(&w, &r);
    r = make_request(1, 1, schema);
    submit(&w, &r);
    r = make_request(2, 1, schema);
    r.must_call = true; // of a model whose template knows no tools
    submit(&w, &r);
    r = make_request(3, 1, schema);
    r.replay_ids = xcalloc(1, sizeof *r.replay_ids);
    r.n_replay_ids = 1; // a token that never begins an object
    submit(&w, &r);
    run_until_done(&w);
    assert_int_equal(w.streams[0].error.code, ERR_INVALID);
    assert_string_equal(w.streams[0].error.message, "invalid format: #: unknown type \"int\"");
    assert_fits(&w.streams[1]);
    assert_int_equal(w.streams[2].error.code, ERR_INVALID);
    assert_int_equal(w.streams[3].error.code, ERR_INTERNAL);
    close_world(&w);
}

static void a_mask_has_what_may_come_and_nothing_else(void **state)
{
    static struct world w;
    struct stream *s = answer(&w, 9);
    struct err err = {0};
    struct constraint *c;
    const struct tokenizer *t = w.engine->tokenizer;
    uint32_t n = tokenizer_n_tokens(t);
    assert_int_equal(constraint_new(&c, &(struct constraint_spec){.format = slice_of(schema)}, &err), 0);
    struct matcher *m = matcher_new(constraint_grammar(c));
    for (uint32_t i = 0; i < s->n_ids; i++) {
        const uint64_t *bits = matcher_mask(m, w.engine->pieces);
        uint64_t *copy = xcalloc((n + 63) / 64, sizeof *copy);
        memcpy(copy, bits, (n + 63) / 64 * sizeof *copy);
        for (uint32_t id = 0; id < n; id++)
            if (!tokenizer_is_unused(t, id))
                assert_int_equal(copy[id / 64] >> (id % 64) & 1, matcher_takes_token(m, t, id));
        assert_memory_equal(matcher_mask(m, w.engine->pieces), copy, (n + 63) / 64 * sizeof *copy);
        assert_true(matcher_push_token(m, t, s->ids[i]));
        free(copy);
    }
    assert_true(matcher_must_end(m));
    matcher_free(m);
    constraint_free(c);
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_fit_and_end_by_themselves),
        cmocka_unit_test(answers_are_the_same_alone_and_beside_others),
        cmocka_unit_test(a_replayed_answer_goes_on_with_the_same_tokens),
        cmocka_unit_test(drafts_change_no_answer),
        cmocka_unit_test(what_cannot_be_held_to_fails_alone),
        cmocka_unit_test(a_mask_has_what_may_come_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
