// SPDX-License-Identifier: MIT
#include "../test.h"

#include "base/mem.h"
#include "net/hosts.h"

static void every_form_is_understood(void **state)
{
    static const struct {
        const char *text, *url;
        bool port_is_bad;
    } cases[] = {
        {NULL, "http://127.0.0.1:11434", false},
        {"", "http://127.0.0.1:11434", false},
        {"1.2.3.4", "http://1.2.3.4:11434", false},
        {":1234", "http://:1234", false},
        {"1.2.3.4:1234", "http://1.2.3.4:1234", false},
        {"example.com", "http://example.com:11434", false},
        {"example.com:1234", "http://example.com:1234", false},
        {"example.com:", "http://example.com:11434", true},
        {":0", "http://:0", false},
        {":65535", "http://:65535", false},
        {":66000", "http://:11434", true},
        {":99999999999999999999", "http://:11434", true},
        {":-1", "http://:11434", true},
        {":http", "http://:11434", true},
        {"[::1]", "http://[::1]:11434", false},
        {"[::]", "http://[::]:11434", false},
        {"::1", "http://[::1]:11434", false},
        {"::", "http://[::]:11434", false},
        {"[::1]:1337", "http://[::1]:1337", false},
        {" 1.2.3.4 ", "http://1.2.3.4:11434", false},
        {"\"1.2.3.4\"", "http://1.2.3.4:11434", false},
        {" \" 1.2.3.4 \" ", "http://1.2.3.4:11434", false},
        {"'1.2.3.4'", "http://1.2.3.4:11434", false},
        {"http://1.2.3.4", "http://1.2.3.4:80", false},
        {"http://1.2.3.4:4321", "http://1.2.3.4:4321", false},
        {"http://1.2.3.4:bad", "http://1.2.3.4:80", true},
        {"https://1.2.3.4", "https://1.2.3.4:443", false},
        {"https://1.2.3.4:4321", "https://1.2.3.4:4321", false},
        {"https://1.2.3.4:99999", "https://1.2.3.4:443", true},
        {"HTTPS://example.com", "https://example.com:443", false},
        {"https://example.com/ollama", "https://example.com:443/ollama", false},
        {"http://example.com:8080/a/b/?q#f", "http://example.com:8080/a/b", false},
        {"http://[fe80::1]:81/x", "http://[fe80::1]:81/x", false},
        {"http://", "http://127.0.0.1:80", false},
        {"0.0.0.0", "http://0.0.0.0:11434", false},
        {"unix:///run/drover.sock", "unix:///run/drover.sock", false},
        {" \"unix:///a/b:80/\" ", "unix:///a/b:80/", false},
        {"UNIX:/run/x", "unix:///run/x", false},
        {"unix:x.sock", "unix://x.sock", false},
        {"unix://", "unix://", false},
        {"unixhost:80", "http://unixhost:80", false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char url[HOSTS_URL_BYTES];
        struct hosts_address a = hosts_parse(cases[i].text);
        hosts_format(&a, url);
        assert_string_equal(url, cases[i].url);
        if (a.port_is_bad != cases[i].port_is_bad)
            fail_msg("%s: port_is_bad", cases[i].text);
    }
}

static void over_long_names_become_the_default(void **state)
{
    char text[600], url[HOSTS_URL_BYTES];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = 0;
    struct hosts_address a = hosts_parse(text);
    assert_string_equal(a.host, "127.0.0.1");
    memcpy(text, "http://h/", 9);
    a = hosts_parse(text);
    hosts_format(&a, url);
    assert_string_equal(a.host, "h");
    assert_int_equal(strlen(a.path), sizeof a.path - 1);
}

static void clients_reach_unspecified_addresses_by_loopback(void **state)
{
    static const struct {
        const char *text, *url;
    } cases[] = {
        {":1234", "http://127.0.0.1:1234"},    {"0.0.0.0", "http://127.0.0.1:11434"},
        {"[::]:99", "http://[::1]:99"},        {"::", "http://[::1]:11434"},
        {"10.0.0.1", "http://10.0.0.1:11434"}, {"https://x.org/p", "https://x.org:443/p"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char url[HOSTS_URL_BYTES];
        struct hosts_address a = hosts_parse(cases[i].text);
        hosts_format_client_url(&a, url);
        assert_string_equal(url, cases[i].url);
    }
}

static void loopback_is_known(void **state)
{
    static const char *const yes[] = {"127.0.0.1", "127.9.9.9", "::1",
                                      "localhost", "LOCALHOST", "::ffff:127.0.0.1"};
    static const char *const no[] = {
        "", "0.0.0.0", "::", "10.0.0.1", "example.com", "127.0.0.1.example.com", "localhost.example.com"};
    for (size_t i = 0; i < COUNT_OF(yes); i++)
        assert_true(hosts_is_loopback(yes[i]));
    for (size_t i = 0; i < COUNT_OF(no); i++)
        assert_false(hosts_is_loopback(no[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_is_understood),
        cmocka_unit_test(over_long_names_become_the_default),
        cmocka_unit_test(clients_reach_unspecified_addresses_by_loopback),
        cmocka_unit_test(loopback_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
