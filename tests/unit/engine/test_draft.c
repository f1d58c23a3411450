// SPDX-License-Identifier: MIT
// Drafts from a sequence's own past: which tokens, how many, and what is learned from them.
#include "../test.h"

#include "base/mem.h"
#include "engine/draft.h"

#define DRAFT(d, max, n_streams, ...)                                                                        \
    draft_propose(d, (uint32_t[]){__VA_ARGS__}, COUNT_OF(((uint32_t[]){__VA_ARGS__})), max, n_streams)

static void what_followed_the_longest_match_is_the_draft(void **state)
{
    struct draft d;
    draft_init(&d);
    // 2 3 occurred twice; before the first of them also the 1 was the same
    DRAFT(&d, 3, 1, 1, 2, 3, 70, 71, 72, 9, 2, 3, 80, 81, 82, 1, 2, 3);
    assert_int_equal(d.match, 3);
    assert_true(d.n > 0);
    for (uint32_t i = 0; i < d.n; i++)
        assert_int_equal(d.ids[i], 70 + i);
    // of two equally long ones the later
    DRAFT(&d, 3, 1, 5, 1, 2, 3, 70, 71, 72, 6, 1, 2, 3, 80, 81, 82, 7, 1, 2, 3);
    assert_int_equal(d.ids[0], 80);
}

static void without_a_past_there_is_no_draft(void **state)
{
    struct draft d;
    draft_init(&d);
    DRAFT(&d, 3, 1, 7);
    assert_int_equal(d.n, 0);
    DRAFT(&d, 3, 1, 1, 2, 3, 4, 5);
    assert_int_equal(d.n, 0);
    draft_propose(&d, NULL, 0, 3, 1);
    assert_int_equal(d.n, 0);
}

static void a_draft_keeps_its_bounds(void **state)
{
    struct draft d;
    draft_init(&d);
    for (uint32_t max = 0; max < 6; max++) {
        DRAFT(&d, max, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 1, 2, 3, 4, 5, 6);
        assert_true(d.n <= MIN(max, DRAFT_MAX));
    }
}

static void a_repetition_goes_on(void **state)
{
    struct draft d;
    draft_init(&d);
    d.accept_rate[3] = 0.9f;
    DRAFT(&d, 3, 1, 4, 4, 4, 4, 4, 4, 4, 4);
    assert_int_equal(d.n, 3);
    for (uint32_t i = 0; i < d.n; i++)
        assert_int_equal(d.ids[i], 4);
    DRAFT(&d, 3, 1, 6, 5, 6, 5, 6, 5, 6, 5, 6, 5);
    assert_int_equal(d.n, 3);
    assert_int_equal(d.ids[0], 6);
    assert_int_equal(d.ids[1], 5);
    assert_int_equal(d.ids[2], 6);
}

static void refused_drafts_are_given_up_and_tried_again(void **state)
{
    struct draft d;
    uint32_t n_given_up = 0, n_tried_again = 0;
    draft_init(&d);
    for (int i = 0; i < 400; i++) {
        DRAFT(&d, 3, 1, 1, 2, 3, 4, 9, 9, 8, 1, 2, 3, 4);
        if (d.n > 0) {
            draft_learn(&d, 0);
            n_tried_again += n_given_up > 0;
        } else {
            n_given_up++;
        }
    }
    assert_true(n_given_up > 200);
    assert_true(n_tried_again > 0);
    for (int i = 0; i < 100; i++) { // and right ones are made longer
        DRAFT(&d, 3, 1, 1, 2, 3, 4, 9, 9, 8, 1, 2, 3, 4);
        if (d.n > 0)
            draft_learn(&d, d.n);
    }
    assert_int_equal(d.n, 3);
}

static void many_streams_need_surer_drafts(void **state)
{
    struct draft alone, beside;
    draft_init(&alone);
    draft_init(&beside);
    alone.accept_rate[3] = beside.accept_rate[3] = 0.25f;
    DRAFT(&alone, 3, 1, 1, 2, 3, 4, 9, 9, 8, 1, 2, 3, 4);
    DRAFT(&beside, 3, 2, 1, 2, 3, 4, 9, 9, 8, 1, 2, 3, 4);
    assert_int_equal(alone.n, 1);
    assert_int_equal(beside.n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_followed_the_longest_match_is_the_draft),
        cmocka_unit_test(without_a_past_there_is_no_draft),
        cmocka_unit_test(a_draft_keeps_its_bounds),
        cmocka_unit_test(a_repetition_goes_on),
        cmocka_unit_test(refused_drafts_are_given_up_and_tried_again),
        cmocka_unit_test(many_streams_need_surer_drafts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
