// SPDX-License-Identifier: MIT
// Which special tokens are cut out, against the plain definition: for each token, longest text first, every
// occurrence in what is left.
#include "../test.h"

#include "base/mem.h"
#include "text/specials.h"

struct token {
    char text[8];
    bool always;
};

static uint32_t random_state = 7;

static uint32_t random_below(uint32_t n)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % n;
}

// owner[i]: the id that covers byte i + 1, negative where it begins; 0: plain text.
static void cut_plainly(const struct token *tokens, int n_tokens, const char *text, int n, bool with_control,
                        int *owner)
{
    memset(owner, 0, (size_t)n * sizeof *owner);
    for (int length = 8; length > 0; length--) {
        for (int at = 0; at + length <= n; at++) {
            for (int id = 0; id < n_tokens; id++) {
                bool is_free = true;
                if ((int)strlen(tokens[id].text) != length ||
                    memcmp(text + at, tokens[id].text, (size_t)length) != 0 ||
                    !(with_control || tokens[id].always))
                    continue;
                for (int i = 0; i < length; i++)
                    is_free &= owner[at + i] == 0;
                for (int i = 0; i < length && is_free; i++)
                    owner[at + i] = i == 0 ? -(id + 1) : id + 1;
            }
        }
    }
}

static void check_text(const struct specials *s, const struct token *tokens, int n_tokens, bool with_control)
{
    char text[61];
    int owner[60], n = (int)random_below(60);
    struct special_scan scan;
    struct special_hit hit;
    for (int i = 0; i < n; i++)
        text[i] = (char)('a' + random_below(3));
    cut_plainly(tokens, n_tokens, text, n, with_control, owner);
    specials_begin(&scan, s, slice_make(text, (size_t)n), with_control);
    for (int i = 0; i < n; i++) {
        if (owner[i] >= 0)
            continue;
        if (!specials_next(&scan, &hit) || hit.at != (size_t)i || hit.id != (uint32_t)(-owner[i] - 1) ||
            hit.n != strlen(tokens[hit.id].text))
            fail_msg("text %.*s: wrong at %d", n, text, i);
    }
    assert_false(specials_next(&scan, &hit));
    specials_end(&scan);
}

static void random_tokens_in_random_texts(void **state)
{
    for (int round = 0; round < 2000; round++) {
        struct specials s;
        struct token tokens[8] = {0};
        int n_tokens = 0;
        specials_init(&s);
        for (int i = 0; i < 8; i++) {
            struct token *t = &tokens[n_tokens];
            bool is_new = true;
            *t = (struct token){.always = random_below(2) == 0};
            for (uint32_t k = 0, n = 1 + random_below(6); k < n; k++)
                t->text[k] = (char)('a' + random_below(2));
            for (int k = 0; k < n_tokens; k++)
                is_new &= strcmp(tokens[k].text, t->text) != 0;
            if (is_new)
                specials_add(&s, slice_of(t->text), (uint32_t)n_tokens++, t->always);
        }
        for (int i = 0; i < 10; i++)
            check_text(&s, tokens, n_tokens, i % 2 == 0);
        specials_fini(&s);
    }
}

// Runs of 2 to 31 spaces are tokens, as in Gemma's vocabulary: a million spaces, one more than a whole number
// of the longest.
static void a_long_run_of_spaces(void **state)
{
    static const char spaces[] = "                               "; // 31
    const size_t n = 31 * 32258 + 1;
    struct specials s;
    struct special_scan scan;
    struct special_hit hit;
    char *text = malloc(n);
    memset(text, ' ', n);
    specials_init(&s);
    for (uint32_t i = 2; i <= 31; i++)
        specials_add(&s, slice_make(spaces, i), i, true);
    specials_begin(&scan, &s, slice_make(text, n), false);
    for (size_t i = 0; i < n / 31; i++)
        assert_true(specials_next(&scan, &hit) && hit.at == i * 31 && hit.n == 31 && hit.id == 31);
    assert_false(specials_next(&scan, &hit));
    specials_end(&scan);
    free(text);
    specials_fini(&s);
}

static void odd_tokens_and_empty_texts(void **state)
{
    struct specials s;
    struct special_scan scan;
    struct special_hit hit;
    char long_text[SPECIAL_MAX_BYTES + 1];
    memset(long_text, 'x', sizeof long_text);
    specials_init(&s);
    specials_begin(&scan, &s, slice_of("text"), true);
    assert_false(specials_next(&scan, &hit));
    specials_end(&scan);
    specials_add(&s, slice_of(""), 3, true);
    specials_add(&s, slice_make("\0\xFF", 2), 4, true);
    specials_add(&s, slice_make(long_text, sizeof long_text), 5, true); // too long: never cut out
    specials_add(&s, slice_make(long_text, SPECIAL_MAX_BYTES), 6, true);
    specials_begin(&scan, &s, slice_of(""), true);
    assert_false(specials_next(&scan, &hit));
    specials_end(&scan);
    specials_begin(&scan, &s, slice_make("a\0\xFF\0", 4), true);
    assert_true(specials_next(&scan, &hit) && hit.at == 1 && hit.n == 2 && hit.id == 4);
    assert_false(specials_next(&scan, &hit));
    specials_end(&scan);
    specials_begin(&scan, &s, slice_make(long_text, sizeof long_text), true);
    assert_true(specials_next(&scan, &hit) && hit.at == 0 && hit.n == SPECIAL_MAX_BYTES && hit.id == 6);
    specials_end(&scan);
    specials_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_tokens_in_random_texts),
        cmocka_unit_test(a_long_run_of_spaces),
        cmocka_unit_test(odd_tokens_and_empty_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
