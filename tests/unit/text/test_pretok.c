// SPDX-License-Identifier: MIT
// Pre-tokenizers: how rows cut, that every row compiles and loses nothing, and that a million characters of
// one kind are answered. Includes the source to reach the table of rows.
#include "../test.h"

#include "text/pretok.c"

struct collected {
    struct strbuf text;   // pieces with | between
    struct strbuf joined; // pieces put together
    size_t n;
};

static void collect(void *arg, struct slice piece)
{
    struct collected *c = arg;
    assert_true(piece.n > 0);
    if (c->n++ > 0)
        strbuf_push_char(&c->text, '|');
    strbuf_push_slice(&c->text, piece);
    strbuf_push_slice(&c->joined, piece);
}

static struct collected split_text(const char *name, struct slice text)
{
    struct pretok p;
    struct pretok_scratch scratch = {0};
    struct err err = {0};
    struct collected c = {STRBUF_INIT(64 << 20), STRBUF_INIT(64 << 20), 0};
    if (pretok_init(&p, slice_of(name), &err) != 0)
        fail_msg("%s", err.message);
    pretok_split(&p, &scratch, text, collect, &c);
    assert_true(slice_equals(strbuf_slice(&c.joined), text));
    pretok_scratch_fini(&scratch);
    return c;
}

static void collected_fini(struct collected *c)
{
    strbuf_fini(&c->text);
    strbuf_fini(&c->joined);
}

static void cuts(const char *name, const char *text, const char *wanted)
{
    struct collected c = split_text(name, slice_of(text));
    if (strcmp(strbuf_text(&c.text), wanted) != 0)
        fail_msg("%s: \"%s\": got \"%s\", wanted \"%s\"", name, text, c.text.at, wanted);
    collected_fini(&c);
}

static void rows_cut_as_published(void **state)
{
    cuts("gpt-2", "Hello world's 123  x", "Hello| world|'s| 123| | x");
    cuts("gpt-2", "WE'LL don't", "WE|'|LL| don|'t");
    cuts("smollm", "a  1", "a|  |1");
    cuts("smollm", "in 1984", "in| |1|9|8|4");
    cuts("llama-bpe", "WE'LL 12345 x\n\n  y", "WE|'LL| |123|45| x|\n\n| | y");
    cuts("llama3", "it's (ok)!!\n\nnew", "it|'s| (|ok|)!!\n\n|new");
    cuts("llama-v3", "a \n b", "a| \n| b");
    cuts("qwen2", "x 12 yy\r\n", "x| |1|2| yy|\r\n");
    cuts("qwen2", "tab\tword", "tab|\tword");
    cuts("default", "a+b = 1234", "a|+|b| |=| |123|4");
    cuts("falcon", "1234567", "123|456|7");
    cuts("deepseek-v3", "abc1234.x 你好", "abc|123|4|.x| |你好");
    cuts("tekken", "HelloWorld 12", "Hello|World| |1|2");
    cuts("gpt-4o", "HelloWORLDs 1234", "Hello|WORLDs| |123|4");
    cuts("viking", "abc 12", "abc| |1|2");
    cuts("exaone-moe", "a b c1", "a b c|1");
    cuts("deepseek-llm", "ab c\n", "ab| c|\n");
    cuts("jais-2", "a       b", "a|    |  | b");
}

// U+180E is no White_Space (PCRE2 says it is), U+0085 and U+3000 are.
static void white_space_is_unicodes(void **state)
{
    cuts("gpt-2", "a \xE1\xA0\x8E", "a| \xE1\xA0\x8E");
    cuts("gpt-2", "a\xC2\x85\xE3\x80\x80", "a|\xC2\x85\xE3\x80\x80");
    cuts("gpt-2", "a\xE1\xA0\x8E b", "a|\xE1\xA0\x8E| b");
}

static void unknown_names_are_named(void **state)
{
    static const char *const names[] = {"nix", "gpt", "gpt-2 phi-2", "qwen", ""};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct pretok p;
        struct err err = {0};
        assert_int_equal(pretok_init(&p, slice_of(names[i]), &err), -1);
        assert_int_equal(err.code, ERR_UNSUPPORTED);
        assert_non_null(strstr(err.message, names[i]));
    }
}

static void first_name(const struct pretok_row *row, char out[64])
{
    snprintf(out, 64, "%.*s", (int)strcspn(row->names, " "), row->names);
}

static void every_row_keeps_every_byte(void **state)
{
    static const char *const bits[] = {"a",  "Z",    " ", "\n", "\r\n", "\t", "1", "'", "'s",  "LL",
                                       ".",  "/",    "é", "你", "ß",    "  ", "́",  "👩", "‍", "٣",
                                       "x<", "\x01", " ", "が", "한",   "$",  "_", "İ"};
    struct err err = {0};
    char name[64], text[400];
    uint32_t random = 5;
    assert_int_equal(pretok_prepare(&err), 0);
    for (size_t row = 0; row < COUNT_OF(rows); row++) {
        first_name(&rows[row], name);
        for (int round = 0; round < 300; round++) {
            size_t n = 0;
            for (int i = 0; i < 40; i++) {
                random = random * 1664525u + 1013904223u;
                const char *bit = bits[(random >> 8) % COUNT_OF(bits)];
                memcpy(text + n, bit, strlen(bit));
                n += strlen(bit);
            }
            struct collected c = split_text(name, slice_make(text, n)); // checks that the pieces are the text
            collected_fini(&c);
        }
    }
}

static struct slice repeated(const char *unit, size_t n_bytes, const char *tail)
{
    struct strbuf b = STRBUF_INIT(64 << 20);
    while (b.n < n_bytes)
        strbuf_push_text(&b, unit);
    strbuf_push_text(&b, tail);
    size_t n = b.n;
    return slice_make(strbuf_take(&b), n);
}

// Quadratic behaviour would take hours here. No piece may be lost, and no limit of the matcher met: a run is
// one piece where the row says so.
static void long_runs_are_answered(void **state)
{
    static const char *const units[] = {" ",  "a", "A",  "\n",   "\t", "'",   "1",  "é",
                                        "你", ".", " a", "\r\n", "a ", " \n", "a1", "É"};
    static const char *const tails[] = {"", "x", "\n", " "};
    char name[64];
    for (size_t row = 0; row < COUNT_OF(rows); row++) {
        first_name(&rows[row], name);
        for (size_t i = 0; i < COUNT_OF(units); i++) {
            struct slice text = repeated(units[i], 20000, tails[(row + i) % COUNT_OF(tails)]);
            struct collected c = split_text(name, text);
            collected_fini(&c);
            free((char *)text.at);
        }
    }
    static const char *const big[] = {"gpt-2",   "smollm",       "llama-bpe", "qwen2",
                                      "default", "deepseek-llm", "tekken"};
    for (size_t i = 0; i < COUNT_OF(big); i++) {
        for (int kind = 0; kind < 3; kind++) {
            struct slice text = repeated(kind == 0 ? " " : kind == 1 ? "a" : "\n", 1 << 20, "x");
            struct collected c = split_text(big[i], text);
            if (kind == 1)
                assert_int_equal(c.n, 1);
            else if (strcmp(big[i], "deepseek-llm") != 0)
                assert_in_range(c.n, 2, 3);
            collected_fini(&c);
            free((char *)text.at);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_cut_as_published),   cmocka_unit_test(white_space_is_unicodes),
        cmocka_unit_test(unknown_names_are_named), cmocka_unit_test(every_row_keeps_every_byte),
        cmocka_unit_test(long_runs_are_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
