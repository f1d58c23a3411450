// SPDX-License-Identifier: MIT
#include "../test.h"

#include "base/options.h"

static void forms_of_the_host(void **state)
{
    static const struct {
        const char *text, *scheme, *host;
        int port;
        const char *path, *url;
    } table[] = {
        {"", "http", "127.0.0.1", 11434, "", "http://127.0.0.1:11434"},
        {"1.2.3.4", "http", "1.2.3.4", 11434, "", "http://1.2.3.4:11434"},
        {"1.2.3.4:1234", "http", "1.2.3.4", 1234, "", "http://1.2.3.4:1234"},
        {":1234", "http", "", 1234, "", "http://127.0.0.1:1234"},
        {"0.0.0.0", "http", "0.0.0.0", 11434, "", "http://127.0.0.1:11434"},
        {"example.com", "http", "example.com", 11434, "", "http://example.com:11434"},
        {"example.com:1234", "http", "example.com", 1234, "", "http://example.com:1234"},
        {":0", "http", "", 0, "", "http://127.0.0.1:0"},
        {":66000", "http", "", 11434, "", "http://127.0.0.1:11434"},
        {":-1", "http", "", 11434, "", "http://127.0.0.1:11434"},
        {"host:", "http", "host", 11434, "", "http://host:11434"},
        {"[::1]", "http", "::1", 11434, "", "http://[::1]:11434"},
        {"[::]", "http", "::", 11434, "", "http://[::1]:11434"},
        {"::1", "http", "::1", 11434, "", "http://[::1]:11434"},
        {"[::1]:1337", "http", "::1", 1337, "", "http://[::1]:1337"},
        {" 1.2.3.4 ", "http", "1.2.3.4", 11434, "", "http://1.2.3.4:11434"},
        {"http://1.2.3.4", "http", "1.2.3.4", 80, "", "http://1.2.3.4:80"},
        {"http://1.2.3.4:4321", "http", "1.2.3.4", 4321, "", "http://1.2.3.4:4321"},
        {"https://1.2.3.4", "https", "1.2.3.4", 443, "", "https://1.2.3.4:443"},
        {"https://1.2.3.4:4321", "https", "1.2.3.4", 4321, "", "https://1.2.3.4:4321"},
        {"https://example.com/ollama", "https", "example.com", 443, "/ollama",
         "https://example.com:443/ollama"},
        {"http://:99999", "http", "", 80, "", "http://127.0.0.1:80"},
        {"h:1/", "http", "h", 1, "", "http://h:1"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct options_address a;
        char url[640];
        options_address_parse(&a, table[i].text);
        options_address_url(&a, url);
        assert_string_equal(a.scheme, table[i].scheme);
        assert_string_equal(a.host, table[i].host);
        assert_int_equal(a.port, table[i].port);
        assert_string_equal(a.path, table[i].path);
        assert_string_equal(url, table[i].url);
    }
}

static void long_text_does_no_harm(void **state)
{
    char text[4000];
    memset(text, 'a', sizeof text);
    text[sizeof text - 1] = 0;
    struct options_address a;
    options_address_parse(&a, text);
    assert_int_equal(strlen(a.host), 255);
    text[300] = ':';
    text[200] = '/';
    options_address_parse(&a, text);
    assert_int_equal(strlen(a.host), 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(forms_of_the_host),
                                       cmocka_unit_test(long_text_does_no_harm)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
