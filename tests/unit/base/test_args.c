// SPDX-License-Identifier: MIT
#include "../test.h"

#include "base/args.h"
#include "base/options.h"

static const struct args_flag flags[] = {{"verbose", 'v', ARGS_SWITCH, NULL, "say more"},
                                         {"keepalive", 0, ARGS_TEXT, "D", "stay"},
                                         {"top", 't', ARGS_UINT, "N", "how many"},
                                         {"think", 0, ARGS_MAYBE, "[=LEVEL]", "think"},
                                         {NULL}};

enum { MAX_WORDS = 12 };

static int parse(struct args *a, struct err *err, const char *const words[MAX_WORDS])
{
    static char *argv[MAX_WORDS + 2];
    int argc = 1;
    argv[0] = (char *)(uintptr_t) "run";
    for (int i = 0; i < MAX_WORDS && words[i] != NULL; i++)
        argv[argc++] = (char *)(uintptr_t)words[i];
    argv[argc] = NULL;
    *err = (struct err){0};
    return args_parse(a, flags, false, argc, argv, err);
}

#define WORDS(...) ((const char *const[MAX_WORDS]){__VA_ARGS__})

static void flags_and_operands_mix(void **state)
{
    static const char *const table[][MAX_WORDS] = {{"m", "p", "--verbose", "--keepalive", "5m", "-t", "3"},
                                                   {"--verbose", "m", "--keepalive=5m", "p", "--top=3"},
                                                   {"-vt3", "--keepalive", "5m", "m", "p"},
                                                   {"-v", "--keepalive=5m", "--top", "3", "--", "m", "p"}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct args a;
        struct err err;
        assert_int_equal(parse(&a, &err, table[i]), 0);
        assert_int_equal(a.n_operands, 2);
        assert_string_equal(a.operands[0], "m");
        assert_string_equal(a.operands[1], "p");
        assert_true(args_has(&a, "verbose"));
        assert_string_equal(args_text(&a, "keepalive"), "5m");
        assert_int_equal(args_uint(&a, "top", 9), 3);
        args_fini(&a);
    }
}

static void a_value_may_be_left_out(void **state)
{
    struct args a;
    struct err err;
    assert_int_equal(parse(&a, &err, WORDS("--think", "m")), 0); // the next word is none of its
    assert_string_equal(args_text(&a, "think"), "");
    assert_int_equal(a.n_operands, 1);
    args_fini(&a);
    assert_int_equal(parse(&a, &err, WORDS("--think=high", "m")), 0);
    assert_string_equal(args_text(&a, "think"), "high");
    args_fini(&a);
    assert_int_equal(parse(&a, &err, WORDS("m", "-v", "--verbose=false")), 0);
    assert_null(args_text(&a, "think"));
    assert_false(args_has(&a, "verbose"));
    args_fini(&a);
    assert_int_equal(parse(&a, &err, WORDS("m", "--verbose=true")), 0);
    assert_true(args_has(&a, "verbose"));
    args_fini(&a);
}

static void two_dashes_end_the_flags(void **state)
{
    struct args a;
    struct err err;
    assert_int_equal(parse(&a, &err, WORDS("m", "--", "-v", "--nonsense", "-")), 0);
    assert_int_equal(a.n_operands, 4);
    assert_string_equal(a.operands[2], "--nonsense");
    assert_false(args_has(&a, "verbose"));
    assert_int_equal(args_uint(&a, "top", 9), 9);
    assert_null(args_text(&a, "keepalive"));
    args_fini(&a);
    assert_int_equal(parse(&a, &err, WORDS("-", "")), 0); // a lone dash and an empty word are operands
    assert_int_equal(a.n_operands, 2);
    args_fini(&a);
}

static void what_is_wrong_is_said(void **state)
{
    static const struct {
        const char *words[MAX_WORDS], *message;
    } table[] = {{{"--nope"}, "unknown flag: --nope"},
                 {{"m", "-x"}, "unknown flag: -x"},
                 {{"--keepalive"}, "flag needs a value: --keepalive"},
                 {{"-t"}, "flag needs a value: -t"},
                 {{"--top", "many"}, "--top: \"many\" is not a whole number from 0"},
                 {{"--top=-1"}, "--top: \"-1\" is not a whole number from 0"},
                 {{"--verbose=1"}, "flag takes no value: --verbose=1"}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct args a;
        struct err err;
        assert_int_equal(parse(&a, &err, table[i].words), -1);
        assert_string_equal(err.message, table[i].message);
        args_fini(&a);
    }
}

static void help_is_always_known(void **state)
{
    struct args a;
    struct err err;
    assert_int_equal(parse(&a, &err, WORDS("--help")), 0);
    assert_true(a.wants_help);
    args_fini(&a);
    assert_int_equal(parse(&a, &err, WORDS("m", "-h")), 0);
    assert_true(a.wants_help);
    args_fini(&a);
}

static void options_are_flags_too(void **state)
{
    struct args a;
    struct err err = {0};
    char *good[] = {"serve", "--num-parallel", "7", "--host=:1", NULL},
         *bad[] = {"serve", "--max-queue", "x", NULL};
    options_load(false);
    assert_int_equal(args_parse(&a, NULL, true, 4, good, &err), 0);
    assert_int_equal(options_uint(OPT_NUM_PARALLEL), 7);
    assert_string_equal(options_text(OPT_HOST), ":1");
    args_fini(&a);
    assert_int_equal(args_parse(&a, NULL, true, 3, bad, &err), -1);
    assert_string_equal(err.message, "max_queue: \"x\" is not a whole number from 0");
    args_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flags_and_operands_mix),   cmocka_unit_test(a_value_may_be_left_out),
        cmocka_unit_test(two_dashes_end_the_flags), cmocka_unit_test(what_is_wrong_is_said),
        cmocka_unit_test(help_is_always_known),     cmocka_unit_test(options_are_flags_too)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
