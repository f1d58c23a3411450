// SPDX-License-Identifier: MIT
#include "../test.h"

#include "base/map.h"

static void what_was_set_is_found(void **state)
{
    enum { N = 20000 };
    static char keys[N][12];
    struct map m;
    map_init(&m, 0);
    for (uint32_t i = 0; i < N; i++) {
        snprintf(keys[i], sizeof keys[i], "key%u", i);
        map_set(&m, slice_of(keys[i]), i);
    }
    map_set(&m, slice_of(keys[7]), 70);
    assert_int_equal(m.count, N);
    for (uint32_t i = 0; i < N; i++) {
        uint32_t value;
        assert_true(map_find(&m, slice_of(keys[i]), &value));
        assert_int_equal(value, i == 7 ? 70 : i);
    }
    uint32_t none;
    assert_false(map_find(&m, slice_of("absent"), &none));
    map_set(&m, slice_make("", 0), 5);
    assert_true(map_find(&m, slice_make(NULL, 0), &none));
    assert_int_equal(none, 5);
    map_fini(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_was_set_is_found)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
