// SPDX-License-Identifier: MIT
#include "../test.h"

#include "base/utf8.h"

static void every_code_point_round_trips(void **state)
{
    for (uint32_t c = 0; c <= 0x10FFFF; c++) {
        if (c >= 0xD800 && c <= 0xDFFF)
            continue;
        char text[4];
        uint32_t back;
        size_t n = utf8_encode(c, text);
        assert_int_equal(utf8_decode(text, n, &back), n);
        assert_int_equal(back, c);
        for (size_t cut = 1; cut < n; cut++)
            assert_int_equal(utf8_incomplete_tail(slice_make(text, cut)), cut);
        assert_int_equal(utf8_incomplete_tail(slice_make(text, n)), 0);
    }
}

static void ill_formed_bytes_are_replaced_one_by_one(void **state)
{
    static const char *const bad[] = {"\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80",
                                      "\x80",     "\xFF",         "\xE0\x9F\xBF"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct slice text = slice_of(bad[i]);
        struct strbuf out = STRBUF_INIT(100);
        assert_false(utf8_is_valid(text));
        utf8_push_valid(&out, text);
        assert_int_equal(out.n, text.n * 3);
        assert_int_equal(utf8_incomplete_tail(text), 0);
        strbuf_fini(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point_round_trips),
        cmocka_unit_test(ill_formed_bytes_are_replaced_one_by_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
