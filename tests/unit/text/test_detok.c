// SPDX-License-Identifier: MIT
// The streaming detokeniser: every way to cut a text gives its bytes, and never half a character on the way.
#include "../test.h"

#include "base/utf8.h"
#include "text/detok.h"

static void feed_in_pieces(struct slice text, uint32_t cuts, bool is_valid)
{
    struct detok d = {0};
    struct strbuf out = STRBUF_INIT(1000);
    for (size_t begin = 0; begin < text.n;) {
        size_t end = begin + 1;
        while (end < text.n && (cuts >> (end % 32) & 1) == 0)
            end++;
        detok_push(&d, slice_make(text.at + begin, end - begin), &out);
        assert_true(!is_valid || utf8_is_valid(strbuf_slice(&out)));
        assert_true(d.n_held < 4);
        begin = end;
    }
    strbuf_push(&out, d.held, d.n_held);
    assert_true(slice_equals(strbuf_slice(&out), text));
    strbuf_fini(&out);
}

static void every_cut_gives_the_text(void **state)
{
    static const char *const texts[] = {"aé你👩.", "👩🏽‍🚀", "plain"};
    static const char *const ill_formed[] = {"\xF0\x9F\x98", "a\xFFz",       "\xE4\xF0\x9Fz", "\xC3",
                                             "\x80\x80",     "\xED\xA0\x80", "\xF0\x9F\x80"};
    for (uint32_t cuts = 0; cuts < 1u << 18; cuts += 3)
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
            feed_in_pieces(slice_of(texts[i]), cuts, true);
    for (uint32_t cuts = 0; cuts < 1u << 6; cuts++)
        for (size_t i = 0; i < sizeof ill_formed / sizeof *ill_formed; i++)
            feed_in_pieces(slice_of(ill_formed[i]), cuts, false);
}

static void half_a_character_waits(void **state)
{
    struct detok d = {0};
    struct strbuf out = STRBUF_INIT(100);
    detok_push(&d, slice_of("a\xF0\x9F"), &out);
    assert_string_equal(strbuf_text(&out), "a");
    detok_push(&d, slice_of(""), &out);
    detok_push(&d, slice_of("\x98"), &out);
    assert_string_equal(strbuf_text(&out), "a");
    detok_push(&d, slice_of("\x80"), &out);
    assert_string_equal(strbuf_text(&out), "a\xF0\x9F\x98\x80");
    detok_push(&d, slice_of("\xE4\xBD"), &out);
    detok_push(&d, slice_of("z"), &out); // it will never be whole: passed on as it is
    assert_string_equal(strbuf_text(&out), "a\xF0\x9F\x98\x80\xE4\xBDz");
    strbuf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cut_gives_the_text),
        cmocka_unit_test(half_a_character_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
