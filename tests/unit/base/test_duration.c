// SPDX-License-Identifier: MIT
#include "../test.h"

#include "base/options.h"

static void durations_are_gos(void **state)
{
    static const struct {
        const char *text;
        int64_t ns;
    } table[] = {{"0", 0},
                 {"-0", 0},
                 {"+0", 0},
                 {"5s", 5000000000},
                 {"-5s", -5000000000},
                 {"+5s", 5000000000},
                 {"1h30m", 5400000000000},
                 {"1.5s", 1500000000},
                 {".5s", 500000000},
                 {"1.s", 1000000000},
                 {"300ms", 300000000},
                 {"3us", 3000},
                 {"3\xC2\xB5s", 3000},
                 {"3\xCE\xBCs", 3000},
                 {"7ns", 7},
                 {"1m0.25s", 60250000000},
                 {"9223372036854775807ns", INT64_MAX}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct err err = {0};
        int64_t ns = 99;
        assert_int_equal(duration_parse(table[i].text, &ns, &err), 0);
        assert_int_equal(ns, table[i].ns);
    }
}

static void what_go_refuses_is_refused(void **state)
{
    static const struct {
        const char *text, *message;
    } table[] = {{"", "time: invalid duration \"\""},
                 {"3", "time: missing unit in duration \"3\""},
                 {"1d", "time: unknown unit \"d\" in duration \"1d\""},
                 {"-", "time: invalid duration \"-\""},
                 {"s", "time: invalid duration \"s\""},
                 {".s", "time: invalid duration \".s\""},
                 {" 1s", "time: invalid duration \" 1s\""},
                 {"1s ", "time: unknown unit \"s \" in duration \"1s \""},
                 {"9223372036854775808ns", "time: invalid duration \"9223372036854775808ns\""},
                 {"9999999999h", "time: invalid duration \"9999999999h\""},
                 {"99999999999999999999s", "time: invalid duration \"99999999999999999999s\""}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct err err = {0};
        int64_t ns = 99;
        assert_int_equal(duration_parse(table[i].text, &ns, &err), -1);
        assert_string_equal(err.message, table[i].message);
        assert_int_equal(err.code, ERR_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(durations_are_gos),
                                       cmocka_unit_test(what_go_refuses_is_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
