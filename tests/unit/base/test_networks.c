// SPDX-License-Identifier: MIT
// Lists of addresses and networks.
#include "../test.h"

#include "base/networks.h"

static void lists_contain_what_they_say(void **state)
{
    static const struct {
        const char *list, *address;
        bool is_in;
    } table[] = {
        {"", "127.0.0.1", false},
        {"127.0.0.1", "127.0.0.1", true},
        {"127.0.0.1", "127.0.0.2", false},
        {"10.0.0.0/8", "10.1.2.3", true},
        {"10.0.0.0/8", "11.1.2.3", false},
        {"192.168.4.0/22", "192.168.7.255", true},
        {"192.168.4.0/22", "192.168.8.0", false},
        {"0.0.0.0/0", "1.2.3.4", true},
        {"0.0.0.0/0", "::1", false},
        {"::/0", "::1", true},
        {"::1", "::1", true},
        {"fd00::/7", "fc12::1", true},
        {"fd00::/8", "fc12::1", false},
        {"1.1.1.1, 2.2.2.2,3.3.3.3", "3.3.3.3", true},
        {"::ffff:1.2.3.4", "1.2.3.4", true},
        {"unix", "unix", true},
        {"unix", "::", false},
        {"::/0", "unix", false},
        {"127.0.0.1", "nonsense", false},
        {"127.0.0.1", "", false},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        assert_int_equal(networks_check(table[i].list, NULL), 0);
        if (networks_contain(table[i].list, table[i].address) != table[i].is_in)
            fail_msg("%s in %s", table[i].address, table[i].list);
    }
}

static void other_lists_are_refused(void **state)
{
    static const char *const table[] = {"localhost",     "1.2.3",      "1.2.3.4/33",  "1.2.3.4/",
                                        "1.2.3.4/x",     "1.2.3.4/8x", "::1/129",     "unix/8",
                                        "127.0.0.1 and", "[::1]",      "10.0.0.0/-1", "1.1.1.1;"};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct err err = {0};
        if (networks_check(table[i], &err) == 0)
            fail_msg("%s", table[i]);
        assert_non_null(strstr(err.message, "is no address or network"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_contain_what_they_say),
        cmocka_unit_test(other_lists_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
