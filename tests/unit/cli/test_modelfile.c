// SPDX-License-Identifier: MIT
// Modelfiles to commands: quotes, lines, comments, and what is no Modelfile.
#include "../test.h"

#include "cli/modelfile.h"

static void values_are_taken_apart(void **state)
{
    static const struct {
        const char *text, *name, *key, *value; // of the last command
    } table[] = {
        {"FROM m", "from", NULL, "m"},
        {"from m:t\n", "from", NULL, "m:t"},
        {"  FROM   m  \n\n", "from", NULL, "m"},
        {"# FROM x\nFROM m\n# end", "from", NULL, "m"},
        {"FROM m\nSYSTEM one two  three ", "system", NULL, "one two  three"},
        {"FROM m\nSYSTEM \"one\ntwo\"\n", "system", NULL, "one\ntwo"},
        {"FROM m\nSYSTEM \"\"\"\none \"two\"\n\n# three\n\"\"\"", "system", NULL,
         "\none \"two\"\n\n# three\n"},
        {"FROM m\nSYSTEM \"\"\"one\"\"\"", "system", NULL, "one"},
        {"FROM m\nSYSTEM \"a \"b\" c\"", "system", NULL, "a \"b\" c"},
        {"FROM m\nSYSTEM 'single'", "system", NULL, "'single'"},
        {"FROM m\nSYSTEM a \\n b", "system", NULL, "a \\n b"},
        {"FROM m\nSYSTEM \"\"", "system", NULL, ""},
        {"FROM m\nSYSTEM \"\"\"\"\"\"", "system", NULL, ""},
        {"FROM m\nPARAMETER stop \"a b\"", "parameter", "stop", "a b"},
        {"FROM m\nparameter\tnum_ctx\t10", "parameter", "num_ctx", "10"},
        {"FROM m\nMESSAGE user \"\"\"one\ntwo\"\"\"\r\n", "message", "user", "one\ntwo"},
        {"FROM m\nMESSAGE assistant Hi: there", "message", "assistant", "Hi: there"},
        {"FROM m\nLICENSE MIT", "license", NULL, "MIT"},
        {"FROM m\nSYSTEM caf\xe9 noir", "system", NULL, "caf\xef\xbf\xbd noir"}, // Latin-1
        {"FROM m\nREQUIRES 0.14.0", "requires", NULL, "0.14.0"},
        {"\xef\xbb\xbf"
         "FROM m\x01\x7f",
         "from", NULL, "m"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct modelfile m;
        struct err err = {0};
        if (modelfile_parse(slice_of(table[i].text), &m, &err) != 0)
            fail_msg("%s: %s", table[i].text, err.message);
        const struct modelfile_command *last = &m.commands[m.n - 1];
        assert_string_equal(last->name, table[i].name);
        assert_string_equal(last->value, table[i].value);
        if (table[i].key)
            assert_string_equal(last->key, table[i].key);
        else
            assert_null(last->key);
        modelfile_fini(&m);
    }
}

static void utf16_is_read(void **state)
{
    static const char little[] =
        "\xff\xfe"
        "F\0R\0O\0M\0 \0m\0\n\0S\0Y\0S\0T\0E\0M\0 \0\xe9\0=\xd8\0\xde"; // e acute, U+1F600
    static const char big[] = "\xfe\xff"
                              "\0F\0R\0O\0M\0 \0m\0\n\0S\0Y\0S\0T\0E\0M\0 \0\xe9\xd8=\xde\0";
    const struct slice texts[] = {slice_make(little, sizeof little - 1), slice_make(big, sizeof big - 1)};
    for (size_t i = 0; i < 2; i++) {
        struct modelfile m;
        struct err err = {0};
        assert_int_equal(modelfile_parse(texts[i], &m, &err), 0);
        assert_int_equal(m.n, 2);
        assert_string_equal(m.commands[0].value, "m");
        assert_string_equal(m.commands[1].value, "\xc3\xa9\xf0\x9f\x98\x80");
        modelfile_fini(&m);
    }
}

static void what_is_none_is_told(void **state)
{
    static const struct {
        const char *text, *message;
    } table[] = {
        {"", "no FROM line"},
        {"# only this\n", "no FROM line"},
        {"SYSTEM x", "no FROM line"},
        {"FROM", "unexpected EOF"},
        {"FROM \n", "unexpected EOF"},
        {"FROM m\nSYSTEM \"x", "unexpected EOF"},
        {"FROM m\nSYSTEM \"\"\"x\"\"\n", "unexpected EOF"},
        {"FROM m\nPARAMETER", "unexpected EOF"},
        {"FROM m\nPARAMETER stop", "unexpected EOF"},
        {"FROM m\n\nPARAMETER a-b 1", "(line 3): parameter names have letters, digits and _"},
        {"FROM m\nMESSAGE bot x",
         "(line 2): message role must be one of \"system\", \"user\", or \"assistant\""},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct modelfile m;
        struct err err = {0};
        if (modelfile_parse(slice_of(table[i].text), &m, &err) == 0 && table[i].text[0] != 0)
            fail_msg("accepted: %s", table[i].text);
        assert_string_equal(err.message, table[i].message);
        modelfile_fini(&m);
    }
}

static void any_bytes_are_read(void **state)
{
    char text[400];
    unsigned seed = 1;
    static const char alphabet[] = "FROM m\n\"\"\"#PARAMETER stop MESSAGE user \t\r\xff\xfe\0";
    for (int round = 0; round < 20000; round++) {
        struct modelfile m;
        struct err err = {0};
        size_t n = (size_t)(rand_r(&seed) % (int)sizeof text);
        for (size_t i = 0; i < n; i++)
            text[i] = alphabet[(size_t)rand_r(&seed) % (sizeof alphabet - 1)];
        int rc = modelfile_parse(slice_make(text, n), &m, &err);
        assert_true((rc == 0) == (err.code == ERR_NONE));
        modelfile_fini(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_taken_apart),
        cmocka_unit_test(utf16_is_read),
        cmocka_unit_test(what_is_none_is_told),
        cmocka_unit_test(any_bytes_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
