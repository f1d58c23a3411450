// SPDX-License-Identifier: MIT
// Guesses from a sequence's own past: what is guessed, how many, and what is learned from them.
#include "../test.h"

#include "base/mem.h"
#include "engine/draft.h"

#define GUESS(d, max, n_streams, ...)                                                                        \
    draft_guess(d, (uint32_t[]){__VA_ARGS__}, COUNT_OF(((uint32_t[]){__VA_ARGS__})), max, n_streams)

static void what_followed_the_longest_match_is_guessed(void **state)
{
    struct draft d;
    draft_init(&d);
    // 2 3 occurred twice; before the first of them also the 1 was the same
    GUESS(&d, 3, 1, 1, 2, 3, 70, 71, 72, 9, 2, 3, 80, 81, 82, 1, 2, 3);
    assert_int_equal(d.match, 3);
    assert_true(d.n > 0);
    for (uint32_t i = 0; i < d.n; i++)
        assert_int_equal(d.ids[i], 70 + i);
    // of two equally long ones the later
    GUESS(&d, 3, 1, 5, 1, 2, 3, 70, 71, 72, 6, 1, 2, 3, 80, 81, 82, 7, 1, 2, 3);
    assert_int_equal(d.ids[0], 80);
}

static void without_a_past_nothing_is_guessed(void **state)
{
    struct draft d;
    draft_init(&d);
    GUESS(&d, 3, 1, 7);
    assert_int_equal(d.n, 0);
    GUESS(&d, 3, 1, 1, 2, 3, 4, 5);
    assert_int_equal(d.n, 0);
    draft_guess(&d, NULL, 0, 3, 1);
    assert_int_equal(d.n, 0);
}

static void a_guess_keeps_its_bounds(void **state)
{
    struct draft d;
    draft_init(&d);
    for (uint32_t max = 0; max < 6; max++) {
        GUESS(&d, max, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 1, 2, 3, 4, 5, 6);
        assert_true(d.n <= MIN(max, DRAFT_MAX));
    }
}

static void a_repetition_is_guessed_to_go_on(void **state)
{
    struct draft d;
    draft_init(&d);
    d.hit_rate[3] = 0.9f;
    GUESS(&d, 3, 1, 4, 4, 4, 4, 4, 4, 4, 4);
    assert_int_equal(d.n, 3);
    for (uint32_t i = 0; i < d.n; i++)
        assert_int_equal(d.ids[i], 4);
    GUESS(&d, 3, 1, 6, 5, 6, 5, 6, 5, 6, 5, 6, 5);
    assert_int_equal(d.n, 3);
    assert_int_equal(d.ids[0], 6);
    assert_int_equal(d.ids[1], 5);
    assert_int_equal(d.ids[2], 6);
}

static void wrong_guesses_are_given_up_and_tried_again(void **state)
{
    struct draft d;
    uint32_t n_given_up = 0, n_tried_again = 0;
    draft_init(&d);
    for (int i = 0; i < 400; i++) {
        GUESS(&d, 3, 1, 1, 2, 3, 4, 9, 9, 8, 1, 2, 3, 4);
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
        GUESS(&d, 3, 1, 1, 2, 3, 4, 9, 9, 8, 1, 2, 3, 4);
        if (d.n > 0)
            draft_learn(&d, d.n);
    }
    assert_int_equal(d.n, 3);
}

static void many_streams_need_surer_guesses(void **state)
{
    struct draft alone, beside;
    draft_init(&alone);
    draft_init(&beside);
    alone.hit_rate[3] = beside.hit_rate[3] = 0.25f;
    GUESS(&alone, 3, 1, 1, 2, 3, 4, 9, 9, 8, 1, 2, 3, 4);
    GUESS(&beside, 3, 2, 1, 2, 3, 4, 9, 9, 8, 1, 2, 3, 4);
    assert_int_equal(alone.n, 1);
    assert_int_equal(beside.n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_followed_the_longest_match_is_guessed),
        cmocka_unit_test(without_a_past_nothing_is_guessed),
        cmocka_unit_test(a_guess_keeps_its_bounds),
        cmocka_unit_test(a_repetition_is_guessed_to_go_on),
        cmocka_unit_test(wrong_guesses_are_given_up_and_tried_again),
        cmocka_unit_test(many_streams_need_surer_guesses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
