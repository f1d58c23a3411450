// SPDX-License-Identifier: MIT
// The ring of ended requests: bounded, the oldest goes first, the newest of an id is found.
#include "../test.h"
#include "host/history.h"

static void push(struct history *h, const char *id, uint32_t n)
{
    struct host_record r = {.n_generated = n};
    snprintf(r.request_id, sizeof r.request_id, "%s", id);
    history_push(h, &r);
}

static void an_empty_one_knows_nobody(void **state)
{
    struct history h;
    history_start(&h, 3);
    assert_int_equal(h.n, 0);
    assert_null(history_find(&h, "a"));
    assert_null(history_find(&h, ""));
    history_fini(&h);
}

static void the_newest_comes_first(void **state)
{
    struct history h;
    history_start(&h, 3);
    push(&h, "a", 1);
    push(&h, "b", 2);
    assert_int_equal(h.n, 2);
    assert_string_equal(history_at(&h, 0)->request_id, "b");
    assert_string_equal(history_at(&h, 1)->request_id, "a");
    history_fini(&h);
}

static void exactly_the_oldest_goes(void **state)
{
    struct history h;
    char id[16];
    history_start(&h, 10);
    for (uint32_t i = 0; i < 1000; i++) {
        snprintf(id, sizeof id, "r%u", i);
        push(&h, id, i);
        assert_int_equal(h.n, i < 10 ? i + 1 : 10);
        for (uint32_t k = 0; k < h.n; k++)
            assert_int_equal(history_at(&h, k)->n_generated, i - k);
        snprintf(id, sizeof id, "r%u", i - 10);
        assert_null(i >= 10 ? history_find(&h, id) : NULL);
    }
    history_fini(&h);
}

static void of_one_id_the_newest_is_found(void **state)
{
    struct history h;
    history_start(&h, 4);
    push(&h, "twin", 1);
    push(&h, "other", 2);
    push(&h, "twin", 3);
    assert_int_equal(history_find(&h, "twin")->n_generated, 3);
    push(&h, "x", 4);
    push(&h, "y", 5);
    push(&h, "z", 6);
    assert_int_equal(history_find(&h, "twin")->n_generated, 3);
    push(&h, "w", 7);
    assert_null(history_find(&h, "twin"));
    history_fini(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_one_knows_nobody),
        cmocka_unit_test(the_newest_comes_first),
        cmocka_unit_test(exactly_the_oldest_goes),
        cmocka_unit_test(of_one_id_the_newest_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
