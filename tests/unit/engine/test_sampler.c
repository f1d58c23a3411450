// SPDX-License-Identifier: MIT
// Each filter on fixed logits with known survivors; draws against exact frequencies.
#include "../test.h"

#include <math.h>

#include "base/mem.h"
#include "engine/sampler.h"

static struct sampler_scratch scratch;

static struct sample draw(const float *logits, uint32_t n, const struct params *params,
                          const uint32_t *tokens, size_t n_tokens, uint32_t index)
{
    float copy[4096];
    struct sample out;
    memcpy(copy, logits, n * sizeof *copy);
    struct sample_input in = {.logits = copy,
                              .n_vocab = n,
                              .params = params,
                              .tokens = tokens,
                              .n_tokens = n_tokens,
                              .index = index};
    sampler_draw(kernels_get(cpu_best_level()), &scratch, &in, &out);
    return out;
}

// Which ids ever come, as bits, over many draws.
static uint64_t survivors(const float *logits, uint32_t n, const struct params *params)
{
    uint64_t seen = 0;
    for (uint32_t i = 0; i < 5000; i++)
        seen |= 1ull << draw(logits, n, params, NULL, 0, i).token_id;
    return seen;
}

static const struct params off = {
    .temperature = 1, .top_p = 1, .typical_p = 1, .repeat_penalty = 1, .seed = 7};

// ln of 0.4 0.3 0.2 0.1, at ids 1 3 0 2
static float four[4];

static int set_four(void **state)
{
    four[1] = logf(0.4f);
    four[3] = logf(0.3f);
    four[0] = logf(0.2f);
    four[2] = logf(0.1f);
    return 0;
}

static void every_filter_keeps_what_it_should(void **state)
{
    static const struct {
        const char *what;
        int top_k;
        float top_p, min_p, typical_p;
        uint64_t kept; // bits of ids
    } rows[] = {
        {"nothing", 0, 1, 0, 1, 0xF},
        {"top_k 1", 1, 1, 0, 1, 1 << 1},
        {"top_k 2", 2, 1, 0, 1, 1 << 1 | 1 << 3},
        {"top_k beyond", 40, 1, 0, 1, 0xF},
        {"top_p 0.4: the first reaches it", 0, 0.399f, 0, 1, 1 << 1},
        {"top_p 0.5", 0, 0.5f, 0, 1, 1 << 1 | 1 << 3},
        {"top_p 0.85", 0, 0.85f, 0, 1, 1 << 1 | 1 << 3 | 1 << 0},
        {"top_p 0", 0, 0, 0, 1, 1 << 1},
        {"top_k 2 then top_p 0.56 of what is left", 2, 0.56f, 0, 1, 1 << 1},
        {"min_p 0.6", 0, 1, 0.6f, 1, 1 << 1 | 1 << 3},
        {"min_p 1", 0, 1, 1, 1, 1 << 1},
        {"typical_p 0.25: the closest to the entropy", 0, 1, 0, 0.25f, 1 << 3},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct params p = off;
        p.top_k = rows[i].top_k;
        p.top_p = rows[i].top_p;
        p.min_p = rows[i].min_p;
        p.typical_p = rows[i].typical_p;
        uint64_t kept = survivors(four, 4, &p);
        if (kept != rows[i].kept)
            fail_msg("%s: kept %llx, expected %llx", rows[i].what, (unsigned long long)kept,
                     (unsigned long long)rows[i].kept);
    }
}

static void frequencies_follow_the_probabilities(void **state)
{
    static const float temperatures[] = {1.0f, 0.5f};
    for (int t = 0; t < 2; t++) {
        struct params p = off;
        int count[4] = {0}, n = 40000;
        double total = 0;
        p.temperature = temperatures[t];
        for (int i = 0; i < n; i++)
            count[draw(four, 4, &p, NULL, 0, (uint32_t)i).token_id]++;
        for (int i = 0; i < 4; i++)
            total += exp((double)four[i] / (double)p.temperature);
        for (int i = 0; i < 4; i++) {
            double expected = n * exp((double)four[i] / (double)p.temperature) / total;
            assert_true(fabs(count[i] - expected) < 5 * sqrt(expected));
        }
    }
}

static void greedy_takes_the_lowest_of_equal_ids(void **state)
{
    struct params p = off;
    float logits[8] = {0, 3, 1, 3, NAN, 2, 3, -INFINITY};
    p.temperature = 0;
    assert_int_equal(draw(logits, 8, &p, NULL, 0, 0).token_id, 1);
    float nans[4] = {NAN, NAN, NAN, NAN};
    assert_in_range(draw(nans, 4, &p, NULL, 0, 0).token_id, 0, 3);
    p.temperature = 1;
    assert_in_range(draw(nans, 4, &p, NULL, 0, 0).token_id, 0, 3);
}

static void penalties_act_on_the_window_only(void **state)
{
    struct params p = off;
    p.temperature = 0;
    p.repeat_last_n = 2;
    float logits[4] = {2, 1.9f, -1, -1.1f};
    uint32_t tokens[4] = {1, 1, 0, 3};
    assert_int_equal(draw(logits, 4, &p, tokens, 4, 0).token_id, 0);
    p.repeat_penalty = 1.5f; // 0 becomes 1.33; 1 is outside the window
    assert_int_equal(draw(logits, 4, &p, tokens, 4, 0).token_id, 1);
    p.repeat_last_n = -1; // 1 becomes 1.27
    assert_int_equal(draw(logits, 4, &p, tokens, 4, 0).token_id, 0);
    p.repeat_penalty = 1;
    p.frequency_penalty = 0.2f; // 0: 1.8, 1: 1.5
    assert_int_equal(draw(logits, 4, &p, tokens, 4, 0).token_id, 0);
    p.frequency_penalty = 0;
    p.presence_penalty = 5;
    assert_int_equal(draw(logits, 4, &p, tokens, 4, 0).token_id, 2);
    p.repeat_last_n = 0;
    assert_int_equal(draw(logits, 4, &p, tokens, 4, 0).token_id, 0);
}

static void logprobs_are_of_the_raw_distribution(void **state)
{
    struct params p = off;
    uint32_t tokens[1] = {1};
    p.temperature = 0;
    p.logprobs = true;
    p.top_logprobs = 3;
    p.repeat_last_n = 1;
    p.presence_penalty = 10; // id 1 cannot win, but its logprob is told as it was
    struct sample s = draw(four, 4, &p, tokens, 1, 0);
    assert_int_equal(s.token_id, 3);
    assert_true(fabsf(s.logprob - logf(0.3f)) < 1e-5f);
    assert_int_equal(s.n_top, 3);
    assert_int_equal(s.top[0].token_id, 1);
    assert_true(fabsf(s.top[0].logprob - logf(0.4f)) < 1e-5f);
    assert_int_equal(s.top[2].token_id, 0);
}

static struct sample draw_biased(const struct params *params, const struct logit_bias *biases, size_t n,
                                 const uint32_t *tokens, size_t n_tokens)
{
    float copy[4];
    struct sample out;
    memcpy(copy, four, sizeof copy);
    struct sample_input in = {.logits = copy,
                              .n_vocab = 4,
                              .params = params,
                              .tokens = tokens,
                              .n_tokens = n_tokens,
                              .biases = biases,
                              .n_biases = n};
    sampler_draw(kernels_get(cpu_best_level()), &scratch, &in, &out);
    return out;
}

static void biases_come_first_and_logprobs_do_not_see_them(void **state)
{
    static const struct logit_bias certain = {2, 100}, never = {1, -100}, beyond = {4, 100};
    static const struct logit_bias both[] = {{2, 100}, {2, -200}}, close = {0, 1}; // 0: 0.2 e
    uint32_t tokens[1] = {0};
    struct params p = off;
    p.logprobs = true;
    p.top_logprobs = 1;
    for (uint64_t seed = 0; seed < 50; seed++) {
        p.seed = seed;
        struct sample s = draw_biased(&p, &certain, 1, NULL, 0);
        assert_int_equal(s.token_id, 2);
        assert_true(fabsf(s.logprob - logf(0.1f)) < 1e-5f);
        assert_int_equal(s.top[0].token_id, 1); // the model's own first
        assert_int_not_equal(draw_biased(&p, &never, 1, NULL, 0).token_id, 1);
        assert_int_not_equal(draw_biased(&p, both, 2, NULL, 0).token_id, 2); // they add up
        assert_int_equal(draw_biased(&p, &beyond, 1, NULL, 0).token_id,
                         draw_biased(&p, NULL, 0, NULL, 0).token_id);
    }
    p.top_k = 1; // filters see the biased logits
    assert_int_equal(draw_biased(&p, &close, 1, NULL, 0).token_id, 0);
    p.repeat_last_n = 1; // and penalties come after
    p.presence_penalty = 2;
    assert_int_equal(draw_biased(&p, &close, 1, tokens, 1).token_id, 1);
    p.temperature = 0;
    assert_int_equal(draw_biased(&p, &certain, 1, NULL, 0).token_id, 2);
}

static void the_same_seed_and_index_draw_the_same(void **state)
{
    struct params p = off, q = off;
    float logits[1000];
    int same = 0;
    for (int i = 0; i < 1000; i++)
        logits[i] = (float)((i * 37) % 11) * 0.3f;
    q.seed = 8;
    for (uint32_t i = 0; i < 200; i++) {
        assert_int_equal(draw(logits, 1000, &p, NULL, 0, i).token_id,
                         draw(logits, 1000, &p, NULL, 0, i).token_id);
        same += draw(logits, 1000, &p, NULL, 0, i).token_id == draw(logits, 1000, &q, NULL, 0, i).token_id;
    }
    assert_true(same < 20);
}

static void exponentials_are_exact_enough(void **state)
{
    for (double x = -700; x < 700; x += 0.37)
        assert_true(fabs(sampler_exp(x) / exp(x) - 1) < 1e-14);
    assert_true(sampler_exp(-1e9) == 0 && sampler_exp(-INFINITY) == 0 && sampler_exp(0) == 1);
}

// Takes out what sampler_wants() says is not looked at.
static uint32_t keep_wanted(float *logits, uint32_t n, const struct sample_input *in)
{
    uint32_t ids[SAMPLER_MAX_APART], n_ids, k = sampler_wants(in, ids, &n_ids), n_taken = 0;
    float sorted[1024];
    bool is_apart[1024] = {false};
    uint32_t n_sorted = 0;
    for (uint32_t i = 0; i < n_ids; i++)
        is_apart[ids[i]] = true;
    for (uint32_t i = 0; i < n; i++)
        if (!is_apart[i])
            sorted[n_sorted++] = logits[i];
    for (uint32_t i = 1; i < n_sorted; i++) // the largest first
        for (uint32_t j = i; j > 0 && sorted[j] > sorted[j - 1]; j--) {
            float swap = sorted[j];
            sorted[j] = sorted[j - 1];
            sorted[j - 1] = swap;
        }
    for (uint32_t i = 0; i < n && k > 0 && k <= n_sorted; i++)
        if (!is_apart[i] && logits[i] < sorted[k - 1]) {
            logits[i] = -INFINITY;
            n_taken++;
        }
    return n_taken;
}

static void what_is_not_wanted_changes_no_draw(void **state)
{
    enum { N = 600, N_TOKENS = 90 };
    uint32_t tokens[N_TOKENS], seed = 3, n_taken = 0;
    static const struct logit_bias biases[] = {{11, 9}, {400, -100}, {599, 2}};
    for (uint32_t round = 0; round < 400; round++) {
        float logits[N];
        for (int i = 0; i < N; i++)
            logits[i] = (float)((seed = seed * 1664525 + 1013904223) >> 8 & 0xff) / 16; // many are equal
        for (int i = 0; i < N_TOKENS; i++)
            tokens[i] = (seed = seed * 1664525 + 1013904223) >> 8 & 0x1ff;
        struct params p = off;
        p.temperature = round % 3 == 0 ? 0 : 0.9f;
        p.top_k = (int32_t)(round % 5 * 7);
        p.top_p = round % 7 == 0 ? 0.8f : 1;
        p.typical_p = round % 11 == 0 ? 0.5f : 1;
        p.min_p = round % 13 == 0 ? 0.1f : 0;
        p.repeat_last_n = round % 4 == 0 ? -1 : (int32_t)(round % 64);
        p.repeat_penalty = round % 2 ? 1.3f : round % 6 ? 1 : 0.8f;
        p.presence_penalty = round % 8 == 3 ? -1 : 0;
        p.frequency_penalty = round % 9 == 4 ? 0.5f : 0;
        struct sample_input in = {.n_vocab = N,
                                  .params = &p,
                                  .tokens = tokens,
                                  .n_tokens = N_TOKENS,
                                  .index = round,
                                  .biases = biases,
                                  .n_biases = round % 10 < 3 ? round % 10 + 1 : 0};
        in.n_biases = MIN(in.n_biases, COUNT_OF(biases));
        float whole[N], part[N];
        struct sample a, b;
        memcpy(whole, logits, sizeof whole);
        memcpy(part, logits, sizeof part);
        n_taken += keep_wanted(part, N, &in);
        in.logits = whole;
        sampler_draw(kernels_get(cpu_best_level()), &scratch, &in, &a);
        in.logits = part;
        sampler_draw(kernels_get(cpu_best_level()), &scratch, &in, &b);
        assert_int_equal(a.token_id, b.token_id);
    }
    assert_true(n_taken > 400 * N / 3);
}

static void who_looks_at_all_logits_says_so(void **state)
{
    struct params greedy = off, free_choice = off, told = off, window = off;
    uint32_t ids[SAMPLER_MAX_APART], n_ids, tokens[1000] = {0};
    greedy.temperature = 0;
    told.temperature = 0;
    told.logprobs = true;
    window.temperature = 0;
    window.repeat_penalty = 1.1f;
    window.repeat_last_n = -1;
    struct sample_input in = {.n_vocab = 4096, .params = &greedy, .tokens = tokens, .n_tokens = 1000};
    assert_int_equal(sampler_wants(&in, ids, &n_ids), 1);
    in.params = &free_choice;
    assert_int_equal(sampler_wants(&in, ids, &n_ids), 0);
    in.params = &told;
    assert_int_equal(sampler_wants(&in, ids, &n_ids), 0);
    in.params = &window; // more ids than there is room for
    assert_int_equal(sampler_wants(&in, ids, &n_ids), 0);
    in.n_tokens = SAMPLER_MAX_APART;
    assert_int_equal(sampler_wants(&in, ids, &n_ids), 1);
    assert_int_equal(n_ids, SAMPLER_MAX_APART);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_filter_keeps_what_it_should),
        cmocka_unit_test(frequencies_follow_the_probabilities),
        cmocka_unit_test(greedy_takes_the_lowest_of_equal_ids),
        cmocka_unit_test(penalties_act_on_the_window_only),
        cmocka_unit_test(logprobs_are_of_the_raw_distribution),
        cmocka_unit_test(biases_come_first_and_logprobs_do_not_see_them),
        cmocka_unit_test(the_same_seed_and_index_draw_the_same),
        cmocka_unit_test(what_is_not_wanted_changes_no_draw),
        cmocka_unit_test(who_looks_at_all_logits_says_so),
        cmocka_unit_test(exponentials_are_exact_enough),
    };
    int failed = cmocka_run_group_tests(tests, set_four, NULL);
    sampler_scratch_fini(&scratch);
    return failed;
}
