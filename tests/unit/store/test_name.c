// SPDX-License-Identifier: MIT
#include "../test.h"

#include "store/name.h"

static void names_are_taken_apart(void **state)
{
    static const struct {
        const char *text, *host, *ns, *model, *tag, *display;
    } table[] = {
        {"m", "registry.ollama.ai", "library", "m", "latest", "m:latest"},
        {"m:t", "registry.ollama.ai", "library", "m", "t", "m:t"},
        {"ns/m", "registry.ollama.ai", "ns", "m", "latest", "ns/m:latest"},
        {"ns/m:t", "registry.ollama.ai", "ns", "m", "t", "ns/m:t"},
        {"h/ns/m", "h", "ns", "m", "latest", "h/ns/m:latest"},
        {"h/ns/m:t", "h", "ns", "m", "t", "h/ns/m:t"},
        {"h:5000/ns/m:t", "h:5000", "ns", "m", "t", "h:5000/ns/m:t"},
        {"https://h/ns/m:t", "h", "ns", "m", "t", "h/ns/m:t"},
        {"http://h:80/ns/m", "h:80", "ns", "m", "latest", "h:80/ns/m:latest"},
        {"registry.ollama.ai/library/m:t", "registry.ollama.ai", "library", "m", "t", "m:t"},
        {"registry.ollama.ai/me/m", "registry.ollama.ai", "me", "m", "latest", "me/m:latest"},
        {"Registry.Ollama.AI/Library/M", "Registry.Ollama.AI", "Library", "M", "latest", "M:latest"},
        {"h/library/m", "h", "library", "m", "latest", "h/library/m:latest"},
        {"library/m", "registry.ollama.ai", "library", "m", "latest", "m:latest"},
        {"llama3.2-1b_x:q4_K.M", "registry.ollama.ai", "library", "llama3.2-1b_x", "q4_K.M",
         "llama3.2-1b_x:q4_K.M"},
        {"_m:_t", "registry.ollama.ai", "library", "_m", "_t", "_m:_t"},
        {"0:1", "registry.ollama.ai", "library", "0", "1", "0:1"},
        {"h-1.example.com:443/n-s_1/m..", "h-1.example.com:443", "n-s_1", "m..", "latest",
         "h-1.example.com:443/n-s_1/m..:latest"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct model_name n;
        struct err err = {0};
        char text[640], full[640];
        assert_int_equal(name_parse(&n, table[i].text, &err), 0);
        assert_string_equal(n.host, table[i].host);
        assert_string_equal(n.ns, table[i].ns);
        assert_string_equal(n.model, table[i].model);
        assert_string_equal(n.tag, table[i].tag);
        name_format(&n, text);
        assert_string_equal(text, table[i].display);
        name_format_full(&n, text);
        snprintf(full, sizeof full, "%s/%s/%s:%s", table[i].host, table[i].ns, table[i].model, table[i].tag);
        assert_string_equal(text, full);
    }
}

static void bad_names_are_refused(void **state)
{
    static const char *const table[] = {
        "",         ":",           "/",         ":t",        "m:",           "m:t:u",         "/m",
        "m/",       "ns//m",       "h//m",      "//m",       "a/b/c/d",      "a/b/c/d/e",     "..",
        ".",        "../m",        "ns/..",     "../../m:t", "ns/../m",      "m:..",          ".m",
        "-m",       "m:-t",        "m:.t",      "n.s/m",     "-ns/m",        "h/n.s/m",       "-h/ns/m",
        ".h/ns/m",  "bad name",    "m t",       "m\n",       "m@x",          "m@sha256:0000", "m:t/u",
        "m\\n",     "m:t t",       "n:s/m",     "m\xC3\xA9", "\xEF\xBD\x8D", "m%2e",          "m+t",
        "http://m", "http://ns/m", "://h/ns/m", "h/ns/m:",   "~/m",          "m:~",           "m\x01",
        "C:\\m"};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct model_name n;
        struct err err = {0};
        if (name_parse(&n, table[i], &err) == 0)
            fail_msg("accepted: \"%s\"", table[i]);
        assert_string_equal(err.message, "invalid model name");
        assert_int_equal(err.code, ERR_INVALID);
    }
}

static void lengths_have_limits(void **state)
{
    char text[1000], part[400];
    struct model_name n;
    memset(part, 'a', sizeof part);
    snprintf(text, sizeof text, "%.350s/%.80s/%.80s:%.80s", part, part, part, part);
    assert_int_equal(name_parse(&n, text, NULL), 0);
    name_format(&n, text);
    assert_int_equal(strlen(text), 350 + 80 * 3 + 3);
    snprintf(text, sizeof text, "%.351s/%.80s/%.80s:%.80s", part, part, part, part);
    assert_int_equal(name_parse(&n, text, NULL), -1);
    snprintf(text, sizeof text, "h/%.81s/m", part);
    assert_int_equal(name_parse(&n, text, NULL), -1);
    snprintf(text, sizeof text, "%.81s", part);
    assert_int_equal(name_parse(&n, text, NULL), -1);
    snprintf(text, sizeof text, "m:%.81s", part);
    assert_int_equal(name_parse(&n, text, NULL), -1);
    assert_int_equal(name_parse(&n, NULL, NULL), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(names_are_taken_apart),
                                       cmocka_unit_test(bad_names_are_refused),
                                       cmocka_unit_test(lengths_have_limits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
