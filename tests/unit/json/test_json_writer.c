// SPDX-License-Identifier: MIT
#include "../test.h"

#include <float.h>
#include <locale.h>
#include <math.h>

#include "base/mem.h"
#include "json/writer.h"

static void commas_are_right(void **state)
{
    struct strbuf out = STRBUF_INIT(1 << 16);
    struct json_writer w = json_writer_make(&out);
    json_begin_object(&w);
    json_member_text(&w, "a", "x");
    json_member_text(&w, "none", NULL);
    json_key(&w, "list");
    json_begin_array(&w);
    json_put_int(&w, INT64_MIN);
    json_put_uint(&w, UINT64_MAX);
    json_begin_object(&w);
    json_end_object(&w);
    json_begin_array(&w);
    json_end_array(&w);
    json_put_bool(&w, false);
    json_put_null(&w);
    json_put_raw(&w, slice_of("{\"raw\":1}"));
    json_end_array(&w);
    json_member_int(&w, "n", -7);
    json_member_bool(&w, "yes", true);
    json_member_slice(&w, "s", slice_make("a\0b", 3));
    json_end_object(&w);
    assert_string_equal(
        strbuf_text(&out),
        "{\"a\":\"x\",\"none\":null,\"list\":[-9223372036854775808,18446744073709551615,{},[],"
        "false,null,{\"raw\":1}],\"n\":-7,\"yes\":true,\"s\":\"a\\u0000b\"}");
    strbuf_fini(&out);
}

static void strings_are_escaped_as_go_does(void **state)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"", "\"\""},
        {"plain", "\"plain\""},
        {"\"\\/", "\"\\\"\\\\/\""},
        {"\b\f\n\r\t\x01\x1f\x7f", "\"\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\""},
        {"<a&b>", "\"\\u003ca\\u0026b\\u003e\""},
        {"\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80", "\"\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80\""},
        {"\xE2\x80\xA8\xE2\x80\xA9", "\"\\u2028\\u2029\""},
        {"a\xFFz", "\"a\xEF\xBF\xBDz\""},
        {"\xE2\x82", "\"\xEF\xBF\xBD\xEF\xBF\xBD\""},
        {"\xED\xA0\x80", "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct strbuf out = STRBUF_INIT(1 << 16);
        struct json_writer w = json_writer_make(&out);
        json_put_text(&w, cases[i].text);
        assert_string_equal(strbuf_text(&out), cases[i].want);
        strbuf_fini(&out);
    }
}

static void assert_number(double value, bool is_float, const char *want)
{
    struct strbuf out = STRBUF_INIT(100);
    struct json_writer w = json_writer_make(&out);
    if (is_float)
        json_put_float(&w, (float)value);
    else
        json_put_double(&w, value);
    assert_string_equal(strbuf_text(&out), want);
    strbuf_fini(&out);
}

static void numbers_are_shortest(void **state)
{
    static const struct {
        double value;
        const char *want;
    } doubles[] = {
        {0, "0"},
        {-0.0, "-0"},
        {1, "1"},
        {-1.5, "-1.5"},
        {0.1, "0.1"},
        {0.1 + 0.2, "0.30000000000000004"},
        {1.0 / 3, "0.3333333333333333"},
        {100, "100"},
        {1e20, "100000000000000000000"},
        {1e21, "1e+21"},
        {123456789e15, "1.23456789e+23"},
        {1e-6, "0.000001"},
        {1e-7, "1e-7"},
        {1.5e-9, "1.5e-9"},
        {5e-324, "5e-324"},
        {DBL_MAX, "1.7976931348623157e+308"},
        {DBL_MIN, "2.2250738585072014e-308"},
        {9007199254740993.0, "9007199254740992"},
        {NAN, "null"},
        {INFINITY, "null"},
        {-INFINITY, "null"},
    };
    for (size_t i = 0; i < COUNT_OF(doubles); i++)
        assert_number(doubles[i].value, false, doubles[i].want);
    static const struct {
        float value;
        const char *want;
    } floats[] = {
        {0.1f, "0.1"},
        {0.010071f, "0.010071"},
        {16777216.0f, "16777216"},
        {3.4028235e38f, "3.4028235e+38"},
        {1e-45f, "1e-45"},
        {1.17549435e-38f, "1.1754944e-38"},
        {-0.009803f, "-0.009803"},
        {1.0f / 3, "0.33333334"},
        {NAN, "null"},
    };
    for (size_t i = 0; i < COUNT_OF(floats); i++)
        assert_number((double)floats[i].value, true, floats[i].want);
}

static void numbers_read_back_equal(void **state)
{
    uint64_t random = 88172645463325252ull;
    for (int i = 0; i < 200000; i++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        double d;
        float f;
        uint32_t low = (uint32_t)random;
        memcpy(&d, &random, sizeof d);
        memcpy(&f, &low, sizeof f);
        struct strbuf out = STRBUF_INIT(200);
        struct json_writer w = json_writer_make(&out);
        if (isfinite(d)) {
            json_put_double(&w, d);
            assert_true(strtod(strbuf_text(&out), NULL) == d);
        }
        strbuf_reset(&out);
        w = json_writer_make(&out);
        if (isfinite(f)) {
            json_put_float(&w, f);
            assert_true(strtof(strbuf_text(&out), NULL) == f);
            assert_true(out.n <= 16 || fabsf(f) > 1e8f); // 9 digits at most
        }
        strbuf_fini(&out);
    }
}

static void the_cap_of_the_buffer_holds(void **state)
{
    struct strbuf out = STRBUF_INIT(10);
    struct json_writer w = json_writer_make(&out);
    json_put_text(&w, "much longer than ten bytes");
    assert_true(out.overflow);
    assert_int_equal(out.n, 10);
    strbuf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commas_are_right),
        cmocka_unit_test(strings_are_escaped_as_go_does),
        cmocka_unit_test(numbers_are_shortest),
        cmocka_unit_test(numbers_read_back_equal),
        cmocka_unit_test(the_cap_of_the_buffer_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
