// SPDX-License-Identifier: MIT
// Which pre-tokenizer a tokenizer.json means, and that what is a little different is not taken for it.
#include "../test.h"

#include "base/mem.h"
#include "convert/pretokenizer.h"

#define LLAMA3                                                                                               \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,3}| "                   \
    "?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|"                                                               \
    "\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"
#define BYTES "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}"
#define SPLIT(regex, behavior)                                                                               \
    "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" regex "\"},\"behavior\":\"" behavior                     \
    "\",\"invert\":false}"
#define SEQUENCE(first, second) "{\"type\":\"Sequence\",\"pretokenizers\":[" first "," second "]}"
#define DIGITS                  "{\"type\":\"Digits\",\"individual_digits\":true}"
#define GPT2                    "{\"type\":\"ByteLevel\",\"add_prefix_space\":false}"

static const struct {
    const char *pre, *model, *name; // name NULL: refused
} rows[] = {
    {SEQUENCE(SPLIT(LLAMA3, "Isolated"), BYTES), "{\"ignore_merges\":true}", "llama-bpe"},
    {SEQUENCE(SPLIT(LLAMA3, "Isolated"), BYTES), "{}", "smaug-bpe"},
    {SEQUENCE(DIGITS, GPT2), "{}", "smollm"},
    {GPT2, "{}", "gpt-2"},
    {"{\"type\":\"ByteLevel\",\"add_prefix_space\":true}", "{}", NULL},
    {"{\"type\":\"ByteLevel\"}", "{}", NULL}, // a prefix is the default
    {SEQUENCE(SPLIT(LLAMA3, "Removed"), BYTES), "{\"ignore_merges\":true}", NULL},
    {SEQUENCE(SPLIT("\\\\w+", "Isolated"), BYTES), "{}", NULL},
    {SEQUENCE(BYTES, SPLIT(LLAMA3, "Isolated")), "{}", NULL},
    {SEQUENCE(SPLIT(LLAMA3, "Isolated"), GPT2), "{}", NULL},
    {"{\"type\":\"Whitespace\"}", "{}", NULL},
    {"null", "{}", NULL},
    {"7", "{}", NULL},
};

static void test_names(void **state)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char text[4096];
        const char *name = NULL;
        struct err err = {0};
        snprintf(text, sizeof text, "{\"pre_tokenizer\":%s,\"model\":%s}", rows[i].pre, rows[i].model);
        json_t *tokenizer = json_parse(slice_of(text), &err);
        assert_non_null(tokenizer);
        int rc = pretokenizer_name(&name, tokenizer, &err);
        json_decref(tokenizer);
        if (rows[i].name == NULL) {
            assert_int_equal(rc, -1);
            assert_int_equal(err.code, ERR_UNSUPPORTED);
        } else {
            assert_int_equal(rc, 0);
            assert_string_equal(name, rows[i].name);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_names)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
