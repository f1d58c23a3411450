// SPDX-License-Identifier: MIT
// Every value lands in exactly one bucket: the first whose bound is not below it.
#include <stddef.h>

#include "../test.h"
#include "base/histogram.h"

static const double *const all[] = {HISTOGRAM_WAITS, HISTOGRAM_TOKEN_GAPS, HISTOGRAM_DURATIONS,
                                    HISTOGRAM_TOKENS, HISTOGRAM_WIDTHS};

static void bounds_rise_and_fit(void **state)
{
    for (size_t k = 0; k < sizeof all / sizeof all[0]; k++) {
        int n = 0;
        while (all[k][n] != 0) {
            assert_true(n == 0 || all[k][n] > all[k][n - 1]);
            n++;
        }
        assert_true(n > 1 && n <= HISTOGRAM_MAX_BOUNDS);
    }
}

static void a_value_on_a_bound_is_counted_there(void **state)
{
    struct histogram h = {0};
    histogram_add(&h, HISTOGRAM_WIDTHS, 2, 1);
    histogram_add(&h, HISTOGRAM_WIDTHS, 2.5, 3);
    histogram_add(&h, HISTOGRAM_WIDTHS, 1e9, 1);
    histogram_add(&h, HISTOGRAM_WIDTHS, 0, 1);
    assert_int_equal(h.counts[0], 1);
    assert_int_equal(h.counts[1], 1);
    assert_int_equal(h.counts[2], 3);
    assert_int_equal(h.counts[12], 1);
    assert_int_equal(histogram_count(&h), 6);
    assert_true(h.sum == 2 + 7.5 + 1e9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bounds_rise_and_fit),
        cmocka_unit_test(a_value_on_a_bound_is_counted_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
