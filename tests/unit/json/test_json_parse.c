// SPDX-License-Identifier: MIT
#include "../test.h"

#include "base/mem.h"
#include "base/strbuf.h"
#include "json/json.h"
#include "json/writer.h"

// The text parsed and written again, to be freed.
static char *rewritten(const char *text, size_t n)
{
    struct err err = {0};
    struct strbuf out = STRBUF_INIT(1 << 20);
    json_t *value = json_parse(slice_make(text, n), &err);
    if (value == NULL)
        fail_msg("%s: %s", text, err.message);
    struct json_writer w = json_writer_make(&out);
    json_put_value(&w, value);
    json_decref(value);
    return strbuf_take(&out);
}

static void assert_rewrites(const char *text, const char *want)
{
    char *got = rewritten(text, strlen(text));
    assert_string_equal(got, want);
    free(got);
}

static void values_survive(void **state)
{
    static const char *const same[] = {"null",
                                       "true",
                                       "false",
                                       "0",
                                       "-1",
                                       "9223372036854775807",
                                       "-9223372036854775808",
                                       "0.1",
                                       "1e+21",
                                       "1e-7",
                                       "\"\"",
                                       "\"a\\nb\"",
                                       "[]",
                                       "{}",
                                       "[[],{}]",
                                       "{\"z\":1,\"a\":[1,2,{\"b\":null}],\"m\":\"x\"}",
                                       "9007199254740993"};
    for (size_t i = 0; i < COUNT_OF(same); i++)
        assert_rewrites(same[i], same[i]);
    assert_rewrites(" { \"a\" : 1 , \"a\" : 2 } ", "{\"a\":2}");
    assert_rewrites("1.50", "1.5");
}

static void big_integers_become_reals(void **state)
{
    assert_rewrites("9223372036854775808", "9223372036854776000");
    assert_rewrites("[18446744073709551615,1]", "[18446744073709552000,1]");
    assert_rewrites("-9223372036854775809", "-9223372036854776000");
    assert_rewrites("123456789012345678901234567890", "1.2345678901234568e+29");
    assert_rewrites("\"99999999999999999999\"", "\"99999999999999999999\"");
    assert_rewrites("12345678901234567890.5", "12345678901234567000");
    struct err err = {0};
    json_t *value = json_parse(slice_of("[9223372036854775808]"), &err);
    assert_true(json_is_real(json_array_get(value, 0)));
    json_decref(value);
}

static void lone_surrogates_are_replaced(void **state)
{
#define FFFD "\xEF\xBF\xBD"
    assert_rewrites("\"\\ud83d\"", "\"" FFFD "\"");
    assert_rewrites("\"\\ude00\"", "\"" FFFD "\"");
    assert_rewrites("\"a\\ud83dz\"", "\"a" FFFD "z\"");
    assert_rewrites("\"\\ud83d\\ude00\"", "\"\xF0\x9F\x98\x80\"");
    assert_rewrites("\"\\uD83D\\uDE00\"", "\"\xF0\x9F\x98\x80\"");
    assert_rewrites("\"\\ud83d\\ud83d\\ude00\\udc00\"", "\"" FFFD "\xF0\x9F\x98\x80" FFFD "\"");
    assert_rewrites("\"\\ud83d\\n\"", "\"" FFFD "\\n\"");
    assert_rewrites("\"\\\\ud83d\"", "\"\\\\ud83d\"");
    assert_rewrites("{\"\\udfff\":[\"\\ud800\",99999999999999999999]}",
                    "{\"" FFFD "\":[\"" FFFD "\",100000000000000000000]}");
}

static void nul_is_a_character(void **state)
{
    struct err err = {0};
    json_t *value = json_parse(slice_of("\"a\\u0000b\""), &err);
    assert_true(slice_equals(json_slice(value), slice_make("a\0b", 3)));
    json_decref(value);
    assert_rewrites("\"a\\u0000b\"", "\"a\\u0000b\"");
}

static void wrong_texts_are_refused(void **state)
{
    static const char *const wrong[] = {"",
                                        " ",
                                        "{",
                                        "[1,]",
                                        "{\"a\"}",
                                        "{\"a\":1,}",
                                        "nul",
                                        "NaN",
                                        "01",
                                        "1.",
                                        "+1",
                                        "'a'",
                                        "\"a",
                                        "\"\\x\"",
                                        "\"\\u12\"",
                                        "\"\\",
                                        "\"\n\"",
                                        "\"\xff\"",
                                        "\"\xed\xa0\x80\"",
                                        "1 2",
                                        "{} x",
                                        "1e999",
                                        "\"\\ud83",
                                        "]",
                                        "}",
                                        "[}",
                                        "// x\n1"};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        struct err err = {0};
        if (json_parse(slice_of(wrong[i]), &err) != NULL)
            fail_msg("accepted: %s", wrong[i]);
        assert_int_equal(err.code, ERR_INVALID);
        assert_non_null(strstr(err.message, "invalid JSON at line "));
    }
    struct err err = {0};
    assert_null(json_parse(slice_of("{\n  \"a\": }"), &err));
    assert_string_equal(err.message, "invalid JSON at line 2, column 8: unexpected token near '}'");
    assert_null(json_parse(slice_make("1\0", 2), NULL));
    assert_null(json_parse(slice_make("[1,\0 2]", 8), NULL));
    assert_null(json_parse(slice_make("\"a\0b\"", 5), NULL));
    assert_null(json_parse(slice_make("{} \0", 4), NULL));
}

static void only_the_first_value_is_read(void **state)
{
    static const char *const texts[] = {"{\"a\":1}{\"b\":", "{\"a\":1} trailing", "{\"a\":1}\xff",
                                        "{\"a\":1}]]]"};
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct err err = {0};
        json_t *value = json_parse_first(slice_of(texts[i]), &err);
        assert_int_equal(json_integer_value(json_object_get(value, "a")), 1);
        json_decref(value);
    }
    assert_null(json_parse_first(slice_of("{\"a\":1"), NULL));
}

static void depth_is_bounded(void **state)
{
    char text[2 * JSON_MAX_DEPTH + 8];
    memset(text, '[', JSON_MAX_DEPTH + 1);
    memset(text + JSON_MAX_DEPTH + 1, ']', JSON_MAX_DEPTH + 1);
    struct err err = {0};
    assert_null(json_parse(slice_make(text, 2 * JSON_MAX_DEPTH + 2), &err));
    assert_string_equal(err.message, "invalid JSON at byte 512: more than 512 levels of nesting");
    char *got = rewritten(text + 1, 2 * JSON_MAX_DEPTH);
    assert_memory_equal(got, text + 1, 2 * JSON_MAX_DEPTH);
    free(got);
    // brackets in strings are no nesting, and a long flat array is not deep
    memset(text, '[', sizeof text);
    text[0] = text[sizeof text - 1] = '"';
    free(rewritten(text, sizeof text));
    free(rewritten("[[],[],[],[]]", 13));
}

// Every prefix and every single-byte change of a text must end in a value or an error, never outside the
// buffer (sanitizers watch).
static void damaged_texts_are_safe(void **state)
{
    static const char text[] = "{\"a\":[1,-2.5e3,\"\\ud83d\\ude00\\udc00\\\"\",true,null,"
                               "99999999999999999999],\"b\":{\"c\":\"\xC3\xA4\"}}";
    for (size_t i = 0; i < sizeof text - 1; i++) {
        char *copy = malloc(i > 0 ? i : 1);
        memcpy(copy, text, i);
        json_decref(json_parse(slice_make(copy, i), NULL));
        free(copy);
        for (int c = 0; c < 256; c++) {
            copy = malloc(sizeof text - 1);
            memcpy(copy, text, sizeof text - 1);
            copy[i] = (char)c;
            json_decref(json_parse_first(slice_make(copy, sizeof text - 1), NULL));
            free(copy);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_survive),
        cmocka_unit_test(big_integers_become_reals),
        cmocka_unit_test(lone_surrogates_are_replaced),
        cmocka_unit_test(nul_is_a_character),
        cmocka_unit_test(wrong_texts_are_refused),
        cmocka_unit_test(only_the_first_value_is_read),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(damaged_texts_are_safe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
