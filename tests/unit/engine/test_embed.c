// SPDX-License-Identifier: MIT
// Vectors of texts through the engine's door, with tiny models: they are the hidden states of the forward
// pass, pooled as the model says, and their bits depend neither on what runs beside them, nor on the cuts
// into steps, nor on pages lost on the way.
#include "tiny.h"

enum { MAX_INPUTS = 200, MAX_EMBD = 512, EMBED_ID = 1 };

struct world {
    struct gguf *gguf;
    struct engine *engine;
    float vectors[MAX_INPUTS][MAX_EMBD];
    uint32_t n_tokens[MAX_INPUTS], n_vector, n_vectors, n_prompt, n_truncated, last_id, n_others_done;
    bool done;
    struct err error;
};

static void open_world(struct world *w, const char *file, uint32_t n_slots, uint32_t pool_tokens)
{
    memset(w, 0, sizeof *w);
    open_tiny(file, n_slots, pool_tokens, &w->gguf, &w->engine);
}

static void close_world(struct world *w)
{
    engine_close(w->engine);
    gguf_close(w->gguf);
}

static void take_event(void *user, const struct event *e)
{
    struct world *w = user;
    if (e->request_id != EMBED_ID) {
        w->last_id = e->kind == EVENT_TOKENS && e->n_ids ? e->ids[0] : w->last_id;
        w->n_others_done += e->kind == EVENT_DONE;
        return;
    }
    assert_false(w->done);
    if (e->kind == EVENT_VECTOR) {
        assert_true(e->input_i < MAX_INPUTS && e->n_vector <= MAX_EMBD);
        memcpy(w->vectors[e->input_i], e->vector, e->n_vector * sizeof(float));
        w->n_tokens[e->input_i] = e->n_prompt;
        w->n_vector = e->n_vector;
        w->n_vectors++;
        return;
    }
    assert_true(e->kind == EVENT_DONE || e->kind == EVENT_ERROR);
    w->done = true;
    w->error = e->error;
    w->n_prompt = e->n_prompt;
    w->n_truncated = e->n_truncated;
}

static char *make_text(uint32_t kind, uint32_t n_words)
{
    struct strbuf text = STRBUF_INIT(1 << 20);
    static const char *const words[] = {"the ",  "model ",  "server ",  "answers ",
                                        "many ", "people ", "at once ", "and "};
    for (uint32_t i = 0; i < n_words; i++)
        strbuf_push_text(&text, words[(kind * 5 + i * i + i * kind) % 8]);
    strbuf_text(&text);
    return strbuf_take(&text);
}

static struct request embed_request(uint32_t n_inputs, uint32_t (*n_words)(uint32_t))
{
    struct request r;
    request_init(&r);
    r.id = EMBED_ID;
    r.task = TASK_EMBED;
    for (uint32_t i = 0; i < n_inputs; i++) {
        char *text = make_text(i, n_words(i));
        request_add_input(&r, text, strlen(text));
        free(text);
    }
    return r;
}

static void submit(struct world *w, struct request *r)
{
    engine_submit(w->engine, r);
    request_fini(r);
}

static void submit_generation(struct world *w, uint64_t id, uint32_t kind, uint32_t n_words,
                              int32_t n_predict)
{
    struct request r;
    request_init(&r);
    r.id = id;
    r.prompt = make_text(kind, n_words);
    r.prompt_bytes = strlen(r.prompt);
    r.params.num_predict = n_predict;
    r.params.temperature = 0;
    r.params.ignore_eos = true;
    submit(w, &r);
}

static void run_until_done(struct world *w)
{
    for (int i = 0; engine_has_work(w->engine); i++) {
        assert_true(i < 20000);
        engine_step(w->engine, take_event, w);
    }
    assert_true(w->done);
    assert_string_equal(w->error.message, "");
}

static uint32_t many_words(uint32_t i)
{
    return 1 + i * 7 % 60;
}

static uint32_t one_word(uint32_t i)
{
    return 1;
}

static const char llama[] = TEST_DATA "/tiny/llama.gguf.gz", tied[] = TEST_DATA "/tiny/llama-tied.gguf.gz";

static void vectors_are_the_same_bits_alone_and_in_company(void **state)
{
    static struct world alone, together;
    static const enum pooling poolings[] = {POOLING_MEAN, POOLING_FIRST, POOLING_LAST};
    for (int p = 0; p < 3; p++) {
        open_world(&together, llama, 8,
                   14 * KV_PAGE_TOKENS); // too little for all: pages are lost and computed again
        together.engine->weights.h.pooling = poolings[p];
        for (uint64_t id = 2; id <= 4; id++)
            submit_generation(&together, id, (uint32_t)id, 20, 30);
        struct request r = embed_request(100, many_words);
        r.truncate = TRUNCATE_TAIL;
        r.params.num_ctx = 200;
        submit(&together, &r);
        run_until_done(&together);
        assert_int_equal(together.n_vectors, 100);
        assert_int_equal(together.n_others_done, 3);
        uint32_t n_tokens = 0;
        for (uint32_t i = 0; i < 100; i++)
            n_tokens += together.n_tokens[i];
        assert_int_equal(together.n_prompt, n_tokens);
        struct engine_stats stats;
        engine_read_stats(together.engine, &stats);
        assert_true(stats.n_preemptions > 0 && stats.kv_tokens_used == 0);
        for (uint32_t i = 0; i < 100; i += 9) {
            open_world(&alone, llama, 1, 512);
            alone.engine->weights.h.pooling = poolings[p];
            r = (struct request){.id = EMBED_ID, .task = TASK_EMBED, .params = PARAMS_DEFAULT};
            char *text = make_text(i, many_words(i));
            request_add_input(&r, text, strlen(text));
            free(text);
            r.truncate = TRUNCATE_TAIL;
            r.params.num_ctx = 200;
            submit(&alone, &r);
            run_until_done(&alone);
            assert_int_equal(alone.n_tokens[0], together.n_tokens[i]);
            assert_memory_equal(alone.vectors[0], together.vectors[i], alone.n_vector * sizeof(float));
            close_world(&alone);
        }
        close_world(&together);
    }
}

// With tied weights the logits are the products of the hidden state and the rows of the embedding.
static void the_last_tokens_vector_is_what_the_head_sees(void **state)
{
    static struct world w;
    float row[MAX_EMBD];
    open_world(&w, tied, 2, 512);
    for (uint32_t kind = 0; kind < 6; kind++) {
        struct request r = {.id = EMBED_ID, .task = TASK_EMBED, .params = PARAMS_DEFAULT};
        char *text = make_text(kind, 9);
        request_add_input(&r, text, strlen(text));
        free(text);
        w.done = false;
        submit(&w, &r);
        submit_generation(&w, 2, kind, 9, 1);
        run_until_done(&w);
        uint32_t best = 0;
        float most = -1e30f;
        for (uint32_t id = 0; id < w.engine->weights.h.n_vocab; id++) {
            float sum = 0;
            weights_embed(&w.engine->weights, id, row);
            for (uint32_t k = 0; k < w.n_vector; k++)
                sum += row[k] * w.vectors[0][k];
            if (sum > most) {
                most = sum;
                best = id;
            }
        }
        assert_int_equal(best, w.last_id);
    }
    close_world(&w);
}

// What a mean is made of: the vectors of its prefixes' last tokens.
static void a_mean_is_the_mean_of_all_tokens(void **state)
{
    static struct world w, last;
    struct request r = embed_request(1, one_word);
    open_world(&w, llama, 1, 512);
    w.engine->weights.h.pooling = POOLING_MEAN;
    submit(&w, &r);
    run_until_done(&w);
    assert_true(w.n_tokens[0] > 1);
    open_world(&last, llama, 1, 512);
    double sums[MAX_EMBD] = {0};
    for (uint32_t n = 1; n <= w.n_tokens[0]; n++) {
        r = embed_request(1, one_word);
        last.engine->weights.h.pooling = POOLING_LAST;
        r.truncate = TRUNCATE_TAIL;
        r.params.num_ctx = 0;
        last.done = false;
        submit(&last, &r);
        LIST_OWNER(last.engine->embeddings.next, struct embedding, node)->limit = n;
        run_until_done(&last);
        assert_int_equal(last.n_truncated, w.n_tokens[0] - n);
        for (uint32_t k = 0; k < w.n_vector; k++)
            sums[k] += (double)last.vectors[0][k];
    }
    for (uint32_t k = 0; k < w.n_vector; k++)
        assert_true(w.vectors[0][k] == (float)(sums[k] / w.n_tokens[0]));
    close_world(&w);
    close_world(&last);
}

static void a_cancelled_request_leaves_nothing(void **state)
{
    static struct world w;
    struct engine_stats stats;
    open_world(&w, llama, 2, 1024);
    struct request r = embed_request(150, many_words);
    submit(&w, &r);
    for (int i = 0; i < 3; i++)
        engine_step(w.engine, take_event, &w);
    assert_false(w.done);
    engine_cancel(w.engine, EMBED_ID);
    assert_false(engine_has_work(w.engine));
    engine_read_stats(w.engine, &stats);
    assert_true(stats.kv_tokens_used == 0 && stats.n_running == 0);
    close_world(&w);
}

// However many texts somebody sends, a prompt beside them has its share of each step.
static void a_prompt_beside_many_texts_is_soon_through(void **state)
{
    static struct world w;
    open_world(&w, llama, 4, 4096);
    struct request r = embed_request(200, many_words);
    submit(&w, &r);
    engine_step(w.engine, take_event, &w);
    submit_generation(&w, 2, 3, 10, 1);
    for (int i = 0; i < 3 && w.n_others_done == 0; i++)
        engine_step(w.engine, take_event, &w);
    assert_int_equal(w.n_others_done, 1);
    assert_false(w.done);
    close_world(&w);
}

static void an_input_that_is_too_long_fails_its_request(void **state)
{
    static struct world w;
    open_world(&w, llama, 2, 1024);
    struct request r = embed_request(30, many_words);
    r.params.num_ctx = 16;
    submit(&w, &r);
    for (int i = 0; engine_has_work(w.engine) && i < 100; i++)
        engine_step(w.engine, take_event, &w);
    assert_int_equal(w.error.code, ERR_INVALID);
    assert_string_equal(w.error.message, "the input length exceeds the context length");
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_are_the_same_bits_alone_and_in_company),
        cmocka_unit_test(the_last_tokens_vector_is_what_the_head_sees),
        cmocka_unit_test(a_mean_is_the_mean_of_all_tokens),
        cmocka_unit_test(a_cancelled_request_leaves_nothing),
        cmocka_unit_test(a_prompt_beside_many_texts_is_soon_through),
        cmocka_unit_test(an_input_that_is_too_long_fails_its_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
