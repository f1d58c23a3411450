// SPDX-License-Identifier: MIT
// Schemas as grammars: tests/data/schema/cases.json says for each which values fit and which do not. Besides:
// what is written at random is JSON and fits, and the tokens of a mask are those that may come, one by one.
#include "../test.h"

#include "base/mem.h"
#include "base/strbuf.h"
#include "base/utf8.h"
#include "text/constraint.h"
#include "text/matcher.h"
#include "text/schema.h"

static json_t *load_cases(void)
{
    json_error_t why;
    json_t *cases = json_load_file(TEST_DATA "/schema/cases.json", 0, &why);
    if (cases == NULL)
        fail_msg("cases.json:%d: %s", why.line, why.text);
    return cases;
}

static struct constraint *compile(const json_t *schema, struct err *err)
{
    char *text = json_dumps(schema, JSON_COMPACT | JSON_ENCODE_ANY);
    struct constraint *c;
    constraint_new(&c, &(struct constraint_spec){.format = slice_of(text)}, err);
    free(text);
    return c;
}

static bool takes_whole(const struct constraint *c, struct slice text)
{
    struct matcher *m = matcher_new(constraint_grammar(c));
    bool result = matcher_push(m, text) && matcher_may_end(m);
    matcher_free(m);
    // The same letter by letter.
    m = matcher_new(constraint_grammar(c));
    bool is_taken = true;
    for (size_t i = 0; i < text.n && is_taken; i++) {
        struct slice letter = slice_make(text.at + i, 1);
        bool may = matcher_takes(m, letter);
        assert_int_equal(matcher_push(m, letter), may);
        is_taken = may;
    }
    assert_int_equal(is_taken && matcher_may_end(m), result);
    matcher_free(m);
    return result;
}

static void check_text(const json_t *about, const struct constraint *c, const char *text, bool fits)
{
    if (takes_whole(c, slice_of(text)) != fits)
        fail_msg("%s: %s %s", json_string_value(about), text, fits ? "must be taken" : "must not be taken");
}

// A value as it is written with and without blanks.
static void check_value(const json_t *about, const struct constraint *c, const json_t *value, bool fits)
{
    char *compact = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
    char *spaced = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
    char *indented = json_dumps(value, JSON_INDENT(2) | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
    check_text(about, c, compact, fits);
    check_text(about, c, spaced, fits);
    check_text(about, c, indented, fits);
    free(compact);
    free(spaced);
    free(indented);
}

static void each_schema_takes_what_fits_and_nothing_else(void **state)
{
    json_t *cases = load_cases(), *row, *item;
    size_t i, k;
    json_array_foreach(cases, i, row)
    {
        struct err err = {0};
        const json_t *about = json_object_get(row, "about"), *error = json_object_get(row, "error");
        struct constraint *c = compile(json_object_get(row, "schema"), &err);
        if (error != NULL) {
            if (c != NULL || err.code != ERR_INVALID || strstr(err.message, json_string_value(error)) == NULL)
                fail_msg("%s: must be refused with \"%s\", is \"%s\"", json_string_value(about),
                         json_string_value(error), err.message);
            continue;
        }
        if (c == NULL)
            fail_msg("%s: %s", json_string_value(about), err.message);
        json_array_foreach(json_object_get(row, "accept"), k, item) check_value(about, c, item, true);
        json_array_foreach(json_object_get(row, "reject"), k, item) check_value(about, c, item, false);
        json_array_foreach(json_object_get(row, "accept_texts"), k, item)
            check_text(about, c, json_string_value(item), true);
        json_array_foreach(json_object_get(row, "reject_texts"), k, item)
            check_text(about, c, json_string_value(item), false);
        constraint_free(c);
    }
    json_decref(cases);
}

static uint32_t draw(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33);
}

// One of the bytes that may come; endings are preferred more and more, so that it ends.
static bool write_byte(struct matcher *m, uint64_t *seed, size_t n_written, char *byte)
{
    char may[256];
    size_t n = 0;
    for (int c = 0; c < 256; c++) {
        char letter = (char)c;
        if (matcher_takes(m, slice_make(&letter, 1)))
            may[n++] = letter;
    }
    if (n == 0)
        return false;
    *byte = may[draw(seed) % n];
    for (size_t i = 0; i < n && draw(seed) % 100 < n_written; i++)
        if (strchr("\"}],:", may[i]) != NULL && may[i] != 0)
            *byte = may[i];
    return true;
}

static void what_is_written_at_random_is_json_that_fits(void **state)
{
    json_t *cases = load_cases(), *row;
    size_t i, n_whole = 0;
    uint64_t seed = 1;
    json_array_foreach(cases, i, row)
    {
        struct err err = {0};
        struct constraint *c = compile(json_object_get(row, "schema"), &err);
        for (int round = 0; c != NULL && round < 20; round++) {
            struct matcher *m = matcher_new(constraint_grammar(c));
            struct strbuf text = STRBUF_INIT(1 << 20);
            char byte;
            while (text.n < 3000 && !(matcher_may_end(m) && draw(&seed) % 4 == 0)) {
                assert_true(matcher_may_end(m) || !matcher_must_end(m));
                if (!write_byte(m, &seed, text.n, &byte)) {
                    assert_true(matcher_must_end(m)); // never a dead end
                    break;
                }
                assert_true(matcher_push(m, slice_make(&byte, 1)));
                strbuf_push_char(&text, byte);
            }
            if (matcher_may_end(m)) {
                json_error_t why;
                json_t *value = json_loadb(text.at, text.n, JSON_DECODE_ANY, &why);
                if (value == NULL)
                    fail_msg("%s: %s: %s", json_string_value(json_object_get(row, "about")), text.at,
                             why.text);
                assert_true(utf8_is_valid(strbuf_slice(&text)));
                n_whole++;
                json_decref(value);
            }
            strbuf_fini(&text);
            matcher_free(m);
        }
        constraint_free(c);
    }
    assert_true(n_whole > 500);
    json_decref(cases);
}

// ---- Thinking and calls ----

struct text_row {
    const char *text;
    bool fits;
};

static void check_rows(const struct constraint_spec *spec, const struct text_row *rows, size_t n)
{
    struct err err = {0};
    struct constraint *c;
    if (constraint_new(&c, spec, &err) != 0)
        fail_msg("%s", err.message);
    for (size_t i = 0; i < n; i++)
        if (takes_whole(c, slice_of(rows[i].text)) != rows[i].fits)
            fail_msg("%s %s", rows[i].text, rows[i].fits ? "must be taken" : "must not be taken");
    constraint_free(c);
}

static void the_form_counts_from_behind_the_thinking(void **state)
{
    static const struct text_row open[] = {
        {"{\"a\":1} <not yet> </think>\n\n{\"a\":1}", true},
        {"</think>{}", true},
        {"a <</</think</thi</think>{}", true},
        {"\xFF</think>{}", true}, // the tag as a token of its own
        {"é 😀<é</think> {}", true},
        {"\xE4 </think> {}", false}, // half a character
        {"\xFF<other></think>{}", false},
        {"</think>\n\n\n\n\n\n\n\n\n{}", false}, // not blanks without end
        {"</think>", false},
        {"</think>no", false},
        {"{}", false},
    };
    static const struct text_row free_to_think[] = {
        {"<think>\nwell</think>\n{}", true},  {"{}", true},        {"\n<think></think>{}", true},
        {"\xFF<think>x\xFF</think>{}", true}, {"<thin>{}", false}, {"<think>{}", false},
    };
    struct constraint_spec spec = {.format = slice_of("\"json\""),
                                   .think_begin = slice_of("<think>"),
                                   .think_end = slice_of("</think>"),
                                   .in_thinking = true};
    check_rows(&spec, open, COUNT_OF(open));
    spec.in_thinking = false;
    check_rows(&spec, free_to_think, COUNT_OF(free_to_think));
    static const struct text_row channels[] = {
        {"<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>1", true},
        {"\xFF<|channel|>final\xFF<|message|>1", true},
        {"1", false},
        {"<|channel|>analysis<|message|>hm<|end|>1", false},
    };
    spec = (struct constraint_spec){.format = slice_of("{\"const\":1}"),
                                    .think_begin = slice_of("<|channel|>analysis<|message|>"),
                                    .think_end = slice_of("<|end|>"),
                                    .after_thinking = slice_of("<|start|>assistant"),
                                    .before_content = slice_of("<|channel|>final<|message|>")};
    check_rows(&spec, channels, COUNT_OF(channels));
}

static const char tools[] =
    "[{\"type\":\"function\",\"function\":{\"name\":\"get_weather\",\"parameters\":{\"type\":\"object\","
    "\"properties\":{"
    "\"city\":{\"type\":\"string\"}},\"required\":[\"city\"]}}},"
    "{\"type\":\"function\",\"function\":{\"name\":\"now\"}},"
    "{\"type\":\"function\",\"function\":{\"name\":\"odd\",\"parameters\":{\"not\":{}}}}]";

static void calls_of_tools_are_of_their_names_and_schemas(void **state)
{
    static const struct call_form form = {
        "", "<tool_call>\n{\"name\": \"", "\", \"arguments\": ", "}\n</tool_call>", "\n", ""};
#define CALL(name, arguments)                                                                                \
    "<tool_call>\n{\"name\": \"" name "\", \"arguments\": " arguments "}\n</tool_call>"
    static const struct text_row rows[] = {
        {CALL("get_weather", "{\"city\": \"Oslo\"}"), true},
        {CALL("now", "{}") "\n" CALL("get_weather", "{\"city\":\"\"}"), true},
        {CALL("odd", "{\"any\": [1]}"), true}, // what cannot be enforced of arguments is any object
        {"\xFF<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n\xFF</tool_call>", true},
        {CALL("get_weather", "{}"), false},
        {CALL("get_rain", "{}"), false},
        {CALL("now", "1"), false},
        {"It is sunny.", false},
        {"", false},
        {"{\"a\":1}", false},
    };
    struct constraint_spec spec = {.forms = &form, .n_forms = 1, .tools_json = slice_of(tools)};
    check_rows(&spec, rows, COUNT_OF(rows));
    static const struct text_row one[] = {
        {CALL("now", "{}"), true},
        {CALL("now", "{}") "\n" CALL("now", "{}"), false},
        {CALL("get_weather", "{\"city\": \"Oslo\"}"), false},
    };
    spec.only_tool = slice_of("now");
    spec.one_call = true;
    check_rows(&spec, one, COUNT_OF(one));
    static const struct text_row either[] = {{CALL("now", "{}"), true}, {"{\"a\":1}", true}, {"[]", false}};
    spec.format = slice_of("\"json\"");
    check_rows(&spec, either, COUNT_OF(either));
}

static void arguments_in_tags_are_of_their_types(void **state)
{
    static const char typed[] = "[{\"name\":\"f\",\"parameters\":{\"type\":\"object\",\"properties\":{"
                                "\"text\":{\"type\":\"string\"},\"n\":{\"type\":"
                                "\"integer\"},\"unit\":{\"type\":\"string\",\"enum\":[\"C\",\"F\"]}},"
                                "\"required\":[\"text\",\"unit\"]}},"
                                "{\"name\":\"g\"}]";
    static const struct call_form form = {"", "<call=", ">\n", "</call>", NULL, "", "<p=", ">", "</p>\n"};
    static const struct text_row rows[] = {
        {"<call=f>\n<p=text>a </p <p> </p>\n<p=n>12</p>\n<p=unit>C</p>\n</call>", true},
        {"<call=f>\n<p=text></p>\n<p=unit>F</p>\n</call>", true},
        {"<call=g>\n</call>", true},
        {"<call=f>\n<p=text>a</p>\n<p=n>twelve</p>\n<p=unit>C</p>\n</call>", false},
        {"<call=f>\n<p=text>a</p>\n<p=unit>K</p>\n</call>", false},
        {"<call=f>\n<p=text>a</p>\n</call>", false},
        {"<call=f>\n<p=unit>C</p>\n</call>", false},
        {"<call=h>\n</call>", false},
    };
    check_rows(&(struct constraint_spec){.forms = &form, .n_forms = 1, .tools_json = slice_of(typed)}, rows,
               COUNT_OF(rows));
}

static void calls_that_cannot_be_written_are_refused(void **state)
{
    static const struct call_form form = {"", "<", ">", "", NULL, ""};
    static const struct {
        const char *tools, *only, *why;
    } rows[] = {{"[]", "", "there are no tools"},
                {"[{\"name\":\"f\"}]", "g", "there is no tool \"g\""},
                {"[{\"name\":\"\"}]", "", "has no name"},
                {"[{\"name\":\"a\\\"b\"}]", "", "cannot be written"},
                {"[", "", ""}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct err err = {0};
        struct constraint *c;
        struct constraint_spec spec = {.forms = &form,
                                       .n_forms = 1,
                                       .tools_json = slice_of(rows[i].tools),
                                       .only_tool = slice_of(rows[i].only)};
        assert_int_equal(constraint_new(&c, &spec, &err), -1);
        assert_null(c);
        assert_non_null(strstr(err.message, rows[i].why));
    }
}

// What a grammar costs is bounded, however small the text that asks for it.
static void large_schemas_are_refused(void **state)
{
    static const char *const texts[] = {
        "{\"type\":\"string\",\"pattern\":\"^(a|b)*a(a|b){18}$\"}",
        "{\"type\":\"object\",\"additionalProperties\":true,\"minProperties\":4000000}",
        "{\"type\":\"string\",\"pattern\":\"^(.{1,9999}){1,9999}$\"}",
        "{\"type\":\"string\",\"pattern\":\"x\",\"minLength\":30000}",
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct err err = {0};
        struct constraint *c;
        struct constraint_spec spec = {.format = slice_of(texts[i])};
        assert_int_equal(constraint_new(&c, &spec, &err), -1);
        assert_int_equal(err.code, ERR_INVALID);
    }
    // Counts alone cost nothing.
    static const struct text_row any[] = {{"\"x\"", true}, {"1", false}};
    check_rows(
        &(struct constraint_spec){.format = slice_of("{\"type\":\"string\",\"maxLength\":1000000000}")}, any,
        2);
    static const struct text_row list[] = {{"[1,2]", true}, {"[]", false}};
    check_rows(&(struct constraint_spec){.format = slice_of(
                                             "{\"type\":\"array\",\"minItems\":1,\"maxItems\":99999999}")},
               list, 2);
}

static void nesting_is_bounded_and_still_ends(void **state)
{
    struct err err = {0};
    struct constraint *c;
    constraint_new(&c, &(struct constraint_spec){.format = slice_of("{\"type\":\"array\"}")}, &err);
    struct matcher *m = matcher_new(constraint_grammar(c));
    size_t n = 0;
    while (matcher_push(m, slice_of("[")))
        n++;
    assert_true(n >= 60 && n < 400);
    for (size_t i = 0; i < n; i++)
        assert_true(matcher_push(m, slice_of("]")));
    assert_true(matcher_must_end(m));
    matcher_free(m);
    // The tables are thrown away on the way, the place is not.
    m = matcher_new(constraint_grammar(c));
    assert_true(matcher_push(m, slice_of("[")));
    for (int i = 0; i < 30000; i++) {
        char item[64];
        snprintf(item, sizeof item, "%s[{\"k%d\": [%d]}]", i > 0 ? "," : "", i, i);
        assert_true(matcher_push(m, slice_of(item)));
    }
    assert_true(matcher_push(m, slice_of("]")) && matcher_must_end(m));
    matcher_free(m);
    constraint_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_schema_takes_what_fits_and_nothing_else),
        cmocka_unit_test(what_is_written_at_random_is_json_that_fits),
        cmocka_unit_test(the_form_counts_from_behind_the_thinking),
        cmocka_unit_test(calls_of_tools_are_of_their_names_and_schemas),
        cmocka_unit_test(arguments_in_tags_are_of_their_types),
        cmocka_unit_test(calls_that_cannot_be_written_are_refused),
        cmocka_unit_test(large_schemas_are_refused),
        cmocka_unit_test(nesting_is_bounded_and_still_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
