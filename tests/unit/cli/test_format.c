// SPDX-License-Identifier: MIT
#include "../test.h"

#include "base/clock.h"
#include "cli/format.h"

static void sizes_are_decimal(void **state)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } table[] = {{0, "0 B"},
                 {1, "1 B"},
                 {999, "999 B"},
                 {1000, "1 KB"},
                 {1500, "1.5 KB"},
                 {9999, "10.0 KB"},
                 {10000, "10 KB"},
                 {99999, "99 KB"},
                 {1000000, "1 MB"},
                 {91726272, "91 MB"},
                 {274000000, "274 MB"},
                 {999999999, "999 MB"},
                 {1300000000, "1.3 GB"},
                 {5368709120, "5.4 GB"},
                 {12345678901, "12 GB"},
                 {1500000000000, "1.5 TB"},
                 {UINT64_MAX, "18446744 TB"}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char text[FORMAT_BYTES];
        format_size(table[i].bytes, text);
        assert_string_equal(text, table[i].text);
    }
}

static void times_are_words(void **state)
{
    const int64_t minute = 60, hour = 3600, day = 24 * hour, now = 1700000000;
    const struct {
        int64_t seconds; // ahead
        const char *text;
    } table[] = {{0, "Less than a second ago"},
                 {-1, "1 second ago"},
                 {-59, "59 seconds ago"},
                 {-60, "About a minute ago"},
                 {-119, "About a minute ago"},
                 {-2 * minute, "2 minutes ago"},
                 {-59 * minute, "59 minutes ago"},
                 {-hour, "About an hour ago"},
                 {-80 * minute, "About an hour ago"},
                 {-2 * hour, "2 hours ago"},
                 {-47 * hour, "47 hours ago"},
                 {-48 * hour, "2 days ago"},
                 {-13 * day, "13 days ago"},
                 {-14 * day, "2 weeks ago"},
                 {-59 * day, "8 weeks ago"},
                 {-60 * day, "2 months ago"},
                 {-729 * day, "24 months ago"},
                 {-730 * day, "2 years ago"},
                 {4 * minute + 1, "4 minutes from now"},
                 {24 * hour, "24 hours from now"},
                 {20 * 365 * day, "20 years from now"},
                 {22 * 365 * day, "Forever"},
                 {INT64_MAX / NS_PER_S - now, "Forever"}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char text[FORMAT_BYTES];
        format_when((now + table[i].seconds) * NS_PER_S, now * NS_PER_S, text);
        assert_string_equal(text, table[i].text);
    }
}

static void durations_are_gos(void **state)
{
    static const struct {
        int64_t ns;
        const char *text;
    } table[] = {{0, "0s"},
                 {1, "1ns"},
                 {1100, "1.1\xC2\xB5s"},
                 {2200000, "2.2ms"},
                 {130000000, "130ms"},
                 {130208333, "130.208333ms"},
                 {3300000000, "3.3s"},
                 {1000000001, "1.000000001s"},
                 {62500000000, "1m2.5s"},
                 {245000000000, "4m5s"},
                 {245001000000, "4m5.001s"},
                 {18367001000000, "5h6m7.001s"},
                 {3600000000000, "1h0m0s"},
                 {480000000001, "8m0.000000001s"},
                 {INT64_MAX, "2562047h47m16.854775807s"},
                 {INT64_MIN, "-2562047h47m16.854775808s"},
                 {-1500000, "-1.5ms"}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char text[FORMAT_BYTES];
        format_duration(table[i].ns, text);
        assert_string_equal(text, table[i].text);
    }
}

static void times_are_read(void **state)
{
    static const struct {
        const char *text;
        int64_t ns;
    } table[] = {{"1970-01-01T00:00:00Z", 0},
                 {"1970-01-01T00:00:01.5Z", 1500000000},
                 {"2026-11-25T17:00:37.228225806Z", 1795626037228225806},
                 {"2026-11-25T18:00:37.228225806+01:00", 1795626037228225806},
                 {"2026-11-25T14:30:37-02:30", 1795626037000000000},
                 {"2318-01-01T00:00:00Z", INT64_MAX},
                 {"0001-01-01T00:00:00Z", INT64_MIN},
                 {"", INT64_MIN},
                 {"yesterday", INT64_MIN},
                 {"2026-11-25", INT64_MIN},
                 {"2026-11-25T17:00:37", INT64_MIN}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (format_parse_time(table[i].text) != table[i].ns)
            fail_msg("%s: %lld", table[i].text, (long long)format_parse_time(table[i].text));
    assert_true(format_parse_time(NULL) == INT64_MIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sizes_are_decimal), cmocka_unit_test(times_are_words),
                                       cmocka_unit_test(durations_are_gos), cmocka_unit_test(times_are_read)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
