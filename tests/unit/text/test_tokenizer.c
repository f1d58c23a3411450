// SPDX-License-Identifier: MIT
// The tokenizer with vocabularies small enough to check by hand, broken vocabularies, and texts made to be
// hard.
#include "../test.h"

#include "base/mem.h"
#include "text/detok.h"
#include "text/tokenizer.h"

enum { MAX_SMALL = 400 };

// A vocabulary in the making.
struct small {
    struct slice tokens[MAX_SMALL];
    float scores[MAX_SMALL];
    int32_t types[MAX_SMALL];
    struct slice merges[MAX_SMALL];
    char bytes[256][8]; // texts of byte tokens
    struct vocab_spec spec;
};

static uint32_t add(struct small *s, const char *text, float score, int32_t type)
{
    uint32_t id = s->spec.n_tokens++;
    s->tokens[id] = slice_of(text);
    s->scores[id] = score;
    s->types[id] = type;
    return id;
}

static void add_merge(struct small *s, const char *merge)
{
    s->merges[s->spec.n_merges++] = slice_of(merge);
}

static struct small *small_new(const char *model, const char *pre)
{
    struct small *s = calloc(1, sizeof *s);
    s->spec = (struct vocab_spec){.model = slice_of(model),
                                  .pre = slice_of(pre),
                                  .tokens = s->tokens,
                                  .types = s->types,
                                  .scores = s->scores,
                                  .merges = s->merges,
                                  .bos = TOKEN_NONE,
                                  .eos = TOKEN_NONE,
                                  .eot = TOKEN_NONE,
                                  .eom = TOKEN_NONE,
                                  .unk = TOKEN_NONE,
                                  .pad = TOKEN_NONE,
                                  .add_bos = -1,
                                  .add_eos = -1,
                                  .add_space_prefix = -1};
    return s;
}

static struct tokenizer *made(struct small *s)
{
    struct tokenizer *t;
    struct err err = {0};
    if (tokenizer_new(&t, &s->spec, &err) != 0)
        fail_msg("%s", err.message);
    free(s); // nothing of it is kept
    return t;
}

static void encodes(const struct tokenizer *t, struct slice text, bool parse_special, const char *wanted)
{
    struct tokens ids = {0};
    struct strbuf got = STRBUF_INIT(10000);
    tokenizer_encode(t, text, parse_special, &ids);
    for (size_t i = 0; i < ids.n; i++)
        strbuf_printf(&got, i > 0 ? " %u" : "%u", ids.at[i]);
    if (strcmp(strbuf_text(&got), wanted) != 0)
        fail_msg("\"%.*s\": got %s, wanted %s", (int)text.n, text.at, got.at, wanted);
    strbuf_fini(&got);
    tokens_fini(&ids);
}

// ---- Byte-level BPE

// 0 a, 1 b, 2 c, 3 Ġ, 4 ab, 5 abc, 6 Ġa, 7 bc, 8 <|im_end|>, 9 <x>, 10 <x><y>, 11 Ã, 12 ©, 13 é as bytes, 14
// user-defined "a b"
static struct tokenizer *bpe_new(const char *pre)
{
    struct small *s = small_new("gpt2", pre);
    static const char *const normal[] = {"a", "b", "c", "Ġ", "ab", "abc", "Ġa", "bc"};
    for (size_t i = 0; i < COUNT_OF(normal); i++)
        add(s, normal[i], 0, TOKEN_NORMAL);
    add(s, "<|im_end|>", 0, TOKEN_NORMAL); // detection by text makes it control
    add(s, "<x>", 0, TOKEN_CONTROL);
    add(s, "<x><y>", 0, TOKEN_CONTROL);
    add(s, "Ã", 0, TOKEN_NORMAL);
    add(s, "©", 0, TOKEN_NORMAL);
    add(s, "Ã©", 0, TOKEN_NORMAL);
    add(s, "a b", 0, TOKEN_USER_DEFINED);
    add(s, "[PAD15]", 0, TOKEN_UNUSED);
    add_merge(s, "b c");
    add_merge(s, "a b");
    add_merge(s, "ab c");
    add_merge(s, "Ġ a");
    add_merge(s, "Ã ©");
    add_merge(s, "a b"); // again: the first counts
    add_merge(s, "a d"); // neither d nor ad is a token
    return made(s);
}

static void bpe_merges_by_rank(void **state)
{
    struct tokenizer *t = bpe_new("gpt-2");
    encodes(t, slice_of("abc"), false, "0 7");
    encodes(t, slice_of("ab"), false, "4");
    encodes(t, slice_of("abab"), false, "4 4");
    encodes(t, slice_of("cab"), false, "2 4");
    encodes(t, slice_of("c a"), false, "2 6");
    encodes(t, slice_of("\xC3\xA9"), false, "13");
    encodes(t, slice_of(""), false, "");
    encodes(t, slice_of("ad"), false, "0"); // the joined symbol is spelled by the bytes that are tokens
    encodes(t, slice_of("zzz"), false, "");
    tokenizer_free(t);
    t = bpe_new("llama-bpe"); // takes a piece that is a token whole
    encodes(t, slice_of("abc"), false, "5");
    tokenizer_free(t);
}

static void bpe_specials(void **state)
{
    struct tokenizer *t = bpe_new("gpt-2");
    encodes(t, slice_of("c<|im_end|>ab"), true, "2 8 4");
    encodes(t, slice_of("<x><x><y><x"), true, "9 10");
    encodes(t, slice_of("<x>a"), false, "0");
    encodes(t, slice_of("ca b"), false, "2 14"); // user-defined: always
    assert_true(tokenizer_is_eog(t, 8) && !tokenizer_is_eog(t, 9));
    assert_true(tokenizer_is_unused(t, 15) && !tokenizer_is_unused(t, 0));
    assert_int_equal(tokenizer_bos(t), TOKEN_NONE);
    assert_false(tokenizer_adds_bos(t));
    assert_true(slice_is(tokenizer_piece(t, 8, true), "<|im_end|>") && tokenizer_piece(t, 8, false).n == 0);
    assert_true(slice_is(tokenizer_piece(t, 6, false), " a"));
    assert_true(slice_is(tokenizer_piece(t, 13, false), "\xC3\xA9") &&
                slice_is(tokenizer_piece(t, 11, false), "\xC3"));
    assert_true(slice_is(tokenizer_piece(t, 14, false), "a b") && tokenizer_piece(t, 15, true).n == 0);
    assert_true(slice_is(tokenizer_text(t, 6), "Ġa") && tokenizer_text(t, 16).n == 0);
    assert_true(tokenizer_piece(t, 16, true).n == 0 && tokenizer_piece(t, TOKEN_NONE, true).n == 0);
    assert_int_equal(tokenizer_n_tokens(t), 16);
    tokenizer_free(t);
}

// ---- SPM

// 0 <unk>, 1 <s>, 2 </s>, 3.. bytes, 259 ▁, 260 a, 261 b, 262 ab, 263 ▁a, 264 ▁ab, 265 ba, 266 user-defined
// "\n\n", 267 ▁▁
static struct tokenizer *spm_new(int add_space_prefix)
{
    struct small *s = small_new("llama", "");
    add(s, "<unk>", 0, TOKEN_UNKNOWN);
    add(s, "<s>", 0, TOKEN_CONTROL);
    add(s, "</s>", 0, TOKEN_CONTROL);
    for (int byte = 0; byte < 256; byte++) {
        snprintf(s->bytes[byte], sizeof s->bytes[byte], "<0x%02X>", (unsigned)byte);
        add(s, s->bytes[byte], 0, TOKEN_BYTE);
    }
    add(s, "▁", -10, TOKEN_NORMAL);
    add(s, "a", -11, TOKEN_NORMAL);
    add(s, "b", -12, TOKEN_NORMAL);
    add(s, "ab", -1, TOKEN_NORMAL);
    add(s, "▁a", -2, TOKEN_NORMAL);
    add(s, "▁ab", -3, TOKEN_NORMAL);
    add(s, "ba", -1, TOKEN_NORMAL);
    add(s, "\n\n", 0, TOKEN_USER_DEFINED);
    add(s, "▁▁", -4, TOKEN_NORMAL);
    s->spec.add_space_prefix = add_space_prefix;
    struct tokenizer *t;
    struct err err = {0};
    assert_int_equal(tokenizer_new(&t, &s->spec, &err), 0);
    free(s);
    return t;
}

static void spm_merges_by_score(void **state)
{
    struct tokenizer *t = spm_new(-1); // a space in front is the default
    encodes(t, slice_of("ab"), false, "264");
    encodes(t, slice_of("aba"), false, "264 260"); // ab and ba score the same: the left one
    encodes(t, slice_of("a b"), false, "263 259 261");
    encodes(t, slice_of(" ab"), false, "259 264");
    encodes(t, slice_of("é"), false, "259 198 172");
    encodes(t, slice_of("<s>a</s>"), true, "1 263 2");
    encodes(t, slice_of("a\n\nb"), false, "263 266 259 261");
    encodes(t, slice_of(""), true, "");
    encodes(t, slice_make("\0", 1), false, "259 3");
    assert_true(tokenizer_adds_bos(t) && !tokenizer_adds_eos(t) && tokenizer_bos(t) == 1 &&
                tokenizer_eos(t) == 2);
    assert_true(tokenizer_is_eog(t, 2) && !tokenizer_is_eog(t, 1));
    assert_true(slice_is(tokenizer_piece(t, 264, false), " ab") &&
                slice_is(tokenizer_piece(t, 198, false), "\xC3"));
    assert_true(tokenizer_piece(t, 3, false).n == 1 && tokenizer_piece(t, 3, false).at[0] == 0);
    tokenizer_free(t);
    t = spm_new(0);
    encodes(t, slice_of("ab"), false, "262");
    encodes(t, slice_of("ab ab"), false, "262 264");
    encodes(t, slice_of("b  a"), false, "261 259 263");
    tokenizer_free(t);
}

// A fragment is cut where no token can reach across; a vocabulary with such tokens must not be cut there.
static void spm_tokens_across_words(void **state)
{
    struct small *s = small_new("llama", "");
    static const char *const texts[] = {"<unk>", "<s>", "</s>", "▁", "a", "b", "a▁", "a▁b"};
    static const float scores[] = {0, 0, 0, -5, -6, -7, -1, -2};
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        add(s, texts[i], scores[i], i == 0 ? TOKEN_UNKNOWN : i < 3 ? TOKEN_CONTROL : TOKEN_NORMAL);
    s->spec.add_space_prefix = 0;
    struct tokenizer *t = made(s);
    encodes(t, slice_of("a b"), false, "7");
    encodes(t, slice_of("b a b"), false, "5 3 7");
    encodes(t, slice_of("z"), false, "0"); // neither a token nor bytes: unknown
    tokenizer_free(t);
}

// ---- Detection

static void what_ends_a_generation(void **state)
{
    struct small *s = small_new("gpt2", "qwen2");
    static const char *const texts[] = {"a",           "<|return|>", "<|call|>",    "<|end|>",
                                        "<|channel|>", "</s>",       "<|fim_pad|>", "<|endoftext|>"};
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        add(s, texts[i], 0, i == 0 || i == 5 ? TOKEN_NORMAL : TOKEN_CONTROL);
    struct tokenizer *t = made(s);
    assert_true(tokenizer_is_eog(t, 1) && tokenizer_is_eog(t, 2) && tokenizer_is_eog(t, 6) &&
                tokenizer_is_eog(t, 7));
    assert_false(tokenizer_is_eog(t, 3)); // ends a message, not the turn
    assert_true(slice_is(tokenizer_piece(t, 4, false), "<|channel|>"));
    assert_false(tokenizer_is_eog(t, 5)); // the file calls it text
    assert_false(tokenizer_is_eog(t, 0));
    assert_false(tokenizer_is_eog(t, TOKEN_NONE));
    tokenizer_free(t);
}

static void ids_and_flags_of_the_file_count(void **state)
{
    struct small *s = small_new("gpt2", "llama-bpe");
    for (int i = 0; i < 4; i++)
        add(s, (const char *[]){"a", "b", "<bos>", "<end>"}[i], 0, i < 2 ? TOKEN_NORMAL : TOKEN_CONTROL);
    uint32_t fim[FIM_COUNT] = {TOKEN_NONE, TOKEN_NONE, TOKEN_NONE, TOKEN_NONE, 1, 1000000};
    s->spec.bos = 2;
    s->spec.eos = 3;
    s->spec.pad = 4; // beyond
    s->spec.add_eos = 1;
    s->spec.fim = fim;
    struct tokenizer *t = made(s);
    assert_true(tokenizer_adds_bos(t)); // the default of this pre-tokenizer
    assert_true(tokenizer_adds_eos(t) && tokenizer_bos(t) == 2 && tokenizer_eos(t) == 3);
    assert_true(tokenizer_is_eog(t, 3) && tokenizer_is_eog(t, 1) && !tokenizer_is_eog(t, 2));
    tokenizer_free(t);
}

static void broken_vocabularies_are_refused(void **state)
{
    static const struct {
        const char *model, *pre, *merge, *words;
        enum err_code code;
    } cases[] = {
        {"bert", "", NULL, "'bert'", ERR_UNSUPPORTED},   {"", "", NULL, "''", ERR_UNSUPPORTED},
        {"gpt2", "nix", NULL, "'nix'", ERR_UNSUPPORTED}, {"gpt2", "gpt-2", "ab", "merge 0", ERR_FORMAT},
        {"gpt2", "gpt-2", " a", "merge 0", ERR_FORMAT},  {"gpt2", "gpt-2", "a ", "merge 0", ERR_FORMAT},
        {"gpt2", "gpt-2", "", "merge 0", ERR_FORMAT},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct small *s = small_new(cases[i].model, cases[i].pre);
        struct tokenizer *t;
        struct err err = {0};
        add(s, "a", 0, TOKEN_NORMAL);
        if (cases[i].merge != NULL)
            add_merge(s, cases[i].merge);
        assert_int_equal(tokenizer_new(&t, &s->spec, &err), -1);
        assert_null(t);
        assert_int_equal(err.code, cases[i].code);
        assert_non_null(strstr(err.message, cases[i].words));
        free(s);
    }
    struct small *s = small_new("llama", "");
    struct tokenizer *t;
    struct err err = {0};
    assert_int_equal(tokenizer_new(&t, &s->spec, &err), -1);
    assert_non_null(strstr(err.message, "no tokens"));
    free(s);
}

// Equal texts, empty texts, types that do not exist, texts that are no UTF-8: odd, but answered.
static void odd_vocabularies_are_taken(void **state)
{
    struct small *s = small_new("gpt2", "gpt-2");
    add(s, "a", 0, TOKEN_NORMAL);
    add(s, "", 0, TOKEN_CONTROL);
    add(s, "a", 0, TOKEN_NORMAL);
    add(s, "\xFF\xC3", 0, TOKEN_NORMAL);
    add(s, "b", 0, 77);
    add(s, "<0xG1>", 0, TOKEN_BYTE);
    add(s, "<0xe9>", 0, TOKEN_BYTE);
    struct tokenizer *t = made(s);
    encodes(t, slice_of("ab"), true, "2 4"); // the last of equal ones
    assert_true(slice_is(tokenizer_text(t, 1), "[EMPTY_1]"));
    assert_true(slice_is(tokenizer_piece(t, 3, true), "\xFF\xC3"));
    assert_int_equal(tokenizer_piece(t, 4, true).n, 0);
    assert_int_equal(tokenizer_piece(t, 5, true).n, 0);
    assert_true(slice_is(tokenizer_piece(t, 6, true), "\xE9"));
    tokenizer_free(t);
}

// ---- Hard texts

static struct slice run_of(const char *unit, size_t n_bytes)
{
    struct strbuf b = STRBUF_INIT(16 << 20);
    while (b.n < n_bytes)
        strbuf_push_text(&b, unit);
    size_t n = b.n;
    return slice_make(strbuf_take(&b), n);
}

static size_t count(const struct tokenizer *t, struct slice text)
{
    struct tokens ids = {0};
    tokenizer_encode(t, text, true, &ids);
    size_t n = ids.n;
    tokens_fini(&ids);
    return n;
}

// Anything quadratic in a megabyte would not come back.
static void a_megabyte_of_anything(void **state)
{
    static const char *const units[] = {" ",  "a",   "ab", "ba",   "\n",   "a b",       "<",
                                        "<x", "<x>", "é",  "\xF0", "\x80", "abc abc\n", "\xE2\x96\x81"};
    struct tokenizer *all[] = {bpe_new("gpt-2"), bpe_new("llama-bpe"), bpe_new("default"), spm_new(-1),
                               spm_new(0)};
    for (size_t i = 0; i < COUNT_OF(units); i++) {
        struct slice text = run_of(units[i], i < 2 ? 1 << 20 : 1 << 16);
        for (size_t k = 0; k < COUNT_OF(all); k++)
            count(all[k], text);
        free((char *)text.at);
    }
    struct slice text = run_of("ab", 1 << 20);
    assert_int_equal(count(all[0], text), 1 << 19);
    assert_int_equal(count(all[4], text), 1 << 19);
    free((char *)text.at);
    for (size_t k = 0; k < COUNT_OF(all); k++)
        tokenizer_free(all[k]);
}

// Beyond MERGE_MAX_BYTES: parts are cut between words where that changes nothing, and every byte comes back.
static void more_than_one_part(void **state)
{
    struct tokenizer *t = spm_new(0);
    struct slice text = run_of("ab b ", 5 << 19);
    assert_int_equal(count(t, text), text.n / 5 * 3 + 1); // ▁ab, ▁, b; and the last space
    free((char *)text.at);
    text = run_of("\xC3\xA9", 3 << 20);
    assert_int_equal(count(t, text), text.n);
    free((char *)text.at);
    tokenizer_free(t);
}

// Random bytes, special tokens and halves of characters: nothing crashes; SPM gives every byte back.
static void random_bytes(void **state)
{
    static const char *const bits[] = {"<x>", "<x><y>", "<s>",      "</s>", "\n\n",         " ", "a",
                                       "b",   "ab",     "\xF0\x9F", "\x98", "\xE2\x96\x81", "é", "\xFF"};
    struct tokenizer *bpe = bpe_new("gpt-2"), *spm = spm_new(0);
    uint32_t random = 3;
    for (int round = 0; round < 20000; round++) {
        char text[200], back[200];
        size_t n = 0, n_back = 0;
        for (int i = 0; i < 12; i++) {
            random = random * 1664525u + 1013904223u;
            uint32_t r = random >> 8;
            const char *bit = bits[r % COUNT_OF(bits)];
            size_t n_bit = r % 5 == 0 ? 1 : strlen(bit);
            memcpy(text + n, r % 5 == 0 ? (char[]){(char)(r >> 8)} : bit, n_bit);
            n += n_bit;
        }
        struct tokens ids = {0};
        count(bpe, slice_make(text, n));
        tokenizer_encode(spm, slice_make(text, n), round % 2 == 0, &ids);
        for (size_t i = 0; i < ids.n; i++) {
            struct slice piece = tokenizer_piece(spm, ids.at[i], true);
            memcpy(back + n_back, piece.at, piece.n);
            n_back += piece.n;
        }
        tokens_fini(&ids);
        if (memmem(text, n, "\xE2\x96\x81", 3) == NULL) // that one comes back as a space
            assert_true(slice_equals(slice_make(back, n_back), slice_make(text, n)));
    }
    tokenizer_free(bpe);
    tokenizer_free(spm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bpe_merges_by_rank),
        cmocka_unit_test(bpe_specials),
        cmocka_unit_test(spm_merges_by_score),
        cmocka_unit_test(spm_tokens_across_words),
        cmocka_unit_test(what_ends_a_generation),
        cmocka_unit_test(ids_and_flags_of_the_file_count),
        cmocka_unit_test(broken_vocabularies_are_refused),
        cmocka_unit_test(odd_vocabularies_are_taken),
        cmocka_unit_test(a_megabyte_of_anything),
        cmocka_unit_test(more_than_one_part),
        cmocka_unit_test(random_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
