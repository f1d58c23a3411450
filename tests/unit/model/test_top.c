// SPDX-License-Identifier: MIT
// The largest logits out of a coarse head: those that are wanted have the bits of the whole product, whatever
// stands in the matrix, for any number of threads and columns; the others are -inf or have them, too.
#include "../test.h"

#include <math.h>

#include "base/mem.h"
#include "model/top.h"

enum {
    VOCAB = 5003,
    EMBD = 192,
    BLOCK_BYTES = 34,
    N_BLOCKS = EMBD / 32,
    ROW_BYTES = N_BLOCKS * BLOCK_BYTES,
    MAX_LOGITS = 3
};
enum { STRIDE = ROUND_UP(VOCAB, PANEL_ROWS) };

static uint32_t seed;

static uint32_t draw(uint32_t below)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % below;
}

struct head {
    struct matrix exact;
    struct coarse coarse;
    struct top top;
    void *memory;
    float x[MAX_LOGITS][EMBD];
    float whole[MAX_LOGITS][STRIDE], found[MAX_LOGITS][STRIDE];
};

// Rows of which some are equal, some huge, some broken.
static void fill_rows(uint8_t *rows, bool has_broken)
{
    for (uint32_t r = 0; r < VOCAB; r++) {
        if (r % 97 == 5 && r > 200) {
            memcpy(rows + r * ROW_BYTES, rows + (r - 192) * ROW_BYTES, ROW_BYTES);
            continue;
        }
        for (uint32_t b = 0; b < N_BLOCKS; b++) {
            uint8_t *block = rows + r * ROW_BYTES + b * BLOCK_BYTES;
            uint16_t d = (uint16_t)(0x1c00 + draw(0x800) + (r % 501 == 7 ? 0x1800 : 0));
            if (has_broken && r % 1009 == 11)
                d = 0x7e00;
            memcpy(block, &d, 2);
            for (int i = 2; i < BLOCK_BYTES; i++)
                block[i] = (uint8_t)(draw(255) - 127);
        }
    }
}

static struct head *head_new(int n_threads, uint32_t case_seed)
{
    struct head *h = aligned_alloc(64, ROUND_UP(sizeof *h, 64));
    uint8_t *rows = xmalloc(VOCAB * ROW_BYTES);
    memset(h, 0, sizeof *h);
    seed = case_seed;
    fill_rows(rows, case_seed % 2 == 1);
    h->exact = (struct matrix){DTYPE_Q8_0, VOCAB, EMBD,
                               aligned_alloc(64, matrix_packed_bytes(DTYPE_Q8_0, VOCAB, EMBD))};
    matrix_pack(&h->exact, rows, 0, matrix_panels(&h->exact));
    coarse_place(&h->coarse, &h->exact, aligned_alloc(64, coarse_bytes(DTYPE_Q8_0, VOCAB, EMBD)));
    coarse_pack(&h->coarse, DTYPE_Q8_0, rows, 0, matrix_panels(&h->exact));
    free(rows);
    h->top = (struct top){.kernels = kernels_get(cpu_best_level()), .exact = &h->exact, .coarse = &h->coarse};
    h->memory = aligned_alloc(64, top_place(&h->top, MAX_LOGITS, VOCAB, EMBD, n_threads, NULL));
    top_place(&h->top, MAX_LOGITS, VOCAB, EMBD, n_threads, h->memory);
    for (uint32_t i = 0; i < MAX_LOGITS; i++) {
        for (int k = 0; k < EMBD; k++) // as in a language model: a few values are much larger
            h->x[i][k] = ((float)draw(2001) - 1000) * (k % 61 == 3 ? 0.02f : 0.001f);
        struct acts *a = &h->top.columns[i];
        acts_store(h->top.kernels, a, 0, 0, EMBD, h->x[i]);
        matmul(h->top.kernels, &h->exact, a, 0, matrix_panels(&h->exact), h->whole[i], STRIDE);
    }
    return h;
}

static void head_free(struct head *h)
{
    free(h->exact.data);
    free(h->coarse.errors);
    free(h->memory);
    free(h);
}

// The regions one after the other, each thread's part in turn. False: it is to be done in the usual way.
static bool pass(struct head *h, const struct decoder_top *tops, uint32_t n_logits)
{
    struct decoder_batch batch = {.n_logits = n_logits, .tops = tops};
    int n = h->top.n_threads;
    if (!top_begin(&h->top, &batch))
        return false;
    for (uint32_t i = 0; i < n_logits; i++)
        matmul(h->top.kernels, &h->coarse.matrix, &h->top.columns[i], 0, matrix_panels(&h->exact),
               h->found[i], STRIDE);
    for (struct worker me = {0, n, 0, NULL}; me.thread_i < n; me.thread_i++)
        for (uint32_t i = 0; i < n_logits; i++)
            top_rank(&h->top, &tops[i], i, &h->top.columns[i], h->found[i], &me);
    for (struct worker me = {n - 1, n, 0, NULL}; me.thread_i >= 0; me.thread_i--)
        for (uint32_t i = 0; i < n_logits; i++)
            top_refine(&h->top, &tops[i], i, &h->top.columns[i], h->found[i], &me);
    top_end(&h->top, &batch);
    return true;
}

static bool is_apart(const struct decoder_top *want, uint32_t row)
{
    for (uint32_t i = 0; i < want->n_apart; i++)
        if (want->apart[i] == row)
            return true;
    return false;
}

static bool same_bits(float a, float b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

// What the k-th largest of those that are not apart has.
static float kth_of(const float *logits, const struct decoder_top *want)
{
    static float sorted[VOCAB];
    uint32_t n = 0;
    for (uint32_t r = 0; r < VOCAB; r++)
        if (!is_apart(want, r) && !isnan(logits[r]))
            sorted[n++] = logits[r];
    qsort(sorted, n, sizeof *sorted, by_value);
    return sorted[want->k - 1];
}

// Returns how many logits were not computed. Equal ones are all among the largest.
static uint32_t check(const struct head *h, const struct decoder_top *want, uint32_t i)
{
    uint32_t n_left_out = 0;
    float kth = kth_of(h->whole[i], want);
    for (uint32_t r = 0; r < VOCAB; r++) {
        bool is_left_out = h->found[i][r] == -INFINITY;
        n_left_out += is_left_out;
        if (is_left_out)
            assert_true(h->whole[i][r] < kth && !is_apart(want, r));
        else
            assert_true(same_bits(h->found[i][r], h->whole[i][r]));
    }
    return n_left_out;
}

static const uint32_t apart[] = {3, 4999, 4999, 7, 17, 508, 5002, 1009 + 11, 900000};

static void the_k_largest_have_the_bits_of_the_whole_product(void **state)
{
    static const uint32_t ks[] = {1, 2, 40, DECODER_MAX_TOP};
    static const int threads[] = {1, 2, 3, 7, 84, 512};
    for (uint32_t case_seed = 1; case_seed <= 4; case_seed++) {
        for (size_t t = 0; t < COUNT_OF(threads); t++) {
            struct head *h = head_new(threads[t], case_seed);
            for (size_t k = 0; k < COUNT_OF(ks); k++) {
                struct decoder_top tops[] = {{ks[k], apart, COUNT_OF(apart)}, {1, NULL, 0}, {ks[k], NULL, 0}};
                h->top.exact_share = 0; // whether it pays is another question
                assert_true(pass(h, tops, MAX_LOGITS));
                uint32_t n_left_out = 0;
                for (uint32_t i = 0; i < MAX_LOGITS; i++)
                    n_left_out += check(h, &tops[i], i);
                assert_true(n_left_out > 0 || threads[t] > 7); // many threads begin with many rows
            }
            head_free(h);
        }
    }
}

static void rows_that_are_banned_are_not_among_them(void **state)
{
    struct head *h = head_new(2, 2);
    struct decoder_top one = {1, NULL, 0};
    uint32_t best = 0;
    for (uint32_t r = 1; r < VOCAB; r++)
        best = h->whole[0][r] > h->whole[0][best] ? r : best;
    for (uint32_t r = 0; r < PANEL_ROWS; r++)
        h->coarse.errors[best / PANEL_ROWS * PANEL_ROWS + r] = -INFINITY;
    assert_true(pass(h, &one, 1));
    assert_true(h->found[0][best] == -INFINITY);
    uint32_t second = 0;
    for (uint32_t r = 1; r < VOCAB; r++)
        if (r / PANEL_ROWS != best / PANEL_ROWS && h->whole[0][r] > h->whole[0][second])
            second = r;
    assert_true(same_bits(h->found[0][second], h->whole[0][second]));
    head_free(h);
}

static void an_input_that_is_no_number_is_computed_whole(void **state)
{
    struct head *h = head_new(2, 2);
    struct decoder_top one = {1, NULL, 0};
    h->x[0][5] = NAN;
    acts_store(h->top.kernels, &h->top.columns[0], 0, 0, EMBD, h->x[0]);
    matmul(h->top.kernels, &h->exact, &h->top.columns[0], 0, matrix_panels(&h->exact), h->whole[0], STRIDE);
    assert_true(pass(h, &one, 1));
    assert_memory_equal(h->found[0], h->whole[0], VOCAB * sizeof(float));
    head_free(h);
}

static void it_is_left_where_it_does_not_pay_and_tried_again(void **state)
{
    struct head *h = head_new(2, 2);
    struct decoder_top wide = {DECODER_MAX_TOP, NULL, 0}, one = {1, NULL, 0};
    uint32_t n_done = 0;
    memset(h->x, 0, sizeof h->x); // all logits are 0: every row has to be looked at
    acts_store(h->top.kernels, &h->top.columns[0], 0, 0, EMBD, h->x[0]);
    for (int i = 0; i < 200; i++)
        n_done += pass(h, &wide, 1);
    assert_true(n_done > 4);
    assert_true(n_done < 40);
    for (int k = 0; k < EMBD; k++)
        h->x[0][k] = k % 61 == 3 ? 20 : (float)draw(100) * 0.001f;
    acts_store(h->top.kernels, &h->top.columns[0], 0, 0, EMBD, h->x[0]);
    n_done = 0;
    for (int i = 0; i < 200; i++)
        n_done += pass(h, &one, 1);
    assert_true(n_done > 150);
    head_free(h);
}

static void more_threads_than_rows_to_begin_with_do_it_in_the_usual_way(void **state)
{
    struct head *h = head_new(513, 2);
    struct decoder_top one = {1, NULL, 0};
    assert_false(pass(h, &one, 1));
    head_free(h);
}

static void who_wants_all_gets_all(void **state)
{
    struct head *h = head_new(1, 2);
    struct decoder_top tops[] = {{1, NULL, 0}, {0, NULL, 0}, {DECODER_MAX_TOP + 1, NULL, 0}};
    struct decoder_batch batch = {.n_logits = 1};
    assert_false(top_begin(&h->top, &batch));
    assert_false(pass(h, tops, 2));
    assert_false(pass(h, tops + 2, 1));
    assert_true(pass(h, tops, 1));
    h->top.coarse = NULL;
    assert_false(pass(h, tops, 1));
    head_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_k_largest_have_the_bits_of_the_whole_product),
        cmocka_unit_test(rows_that_are_banned_are_not_among_them),
        cmocka_unit_test(an_input_that_is_no_number_is_computed_whole),
        cmocka_unit_test(it_is_left_where_it_does_not_pay_and_tried_again),
        cmocka_unit_test(more_threads_than_rows_to_begin_with_do_it_in_the_usual_way),
        cmocka_unit_test(who_wants_all_gets_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
