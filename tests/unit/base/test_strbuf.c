// SPDX-License-Identifier: MIT
#include "../test.h"

#include "base/strbuf.h"

static void the_cap_holds_and_is_told(void **state)
{
    struct strbuf b = STRBUF_INIT(10);
    strbuf_push_text(&b, "12345");
    assert_false(b.overflow);
    strbuf_printf(&b, "%s", "6789012345");
    assert_true(b.overflow);
    assert_string_equal(strbuf_text(&b), "1234567890");
    strbuf_drop_front(&b, 4);
    assert_string_equal(strbuf_text(&b), "567890");
    strbuf_fini(&b);
}

static void long_formats_are_whole(void **state)
{
    struct strbuf b = STRBUF_INIT(100000);
    strbuf_printf(&b, "%05000d", 7);
    assert_int_equal(b.n, 5000);
    assert_int_equal(b.at[4999], '7');
    strbuf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_cap_holds_and_is_told),
                                       cmocka_unit_test(long_formats_are_whole)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
