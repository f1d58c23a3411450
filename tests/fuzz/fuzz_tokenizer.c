// SPDX-License-Identifier: MIT
// Texts to ids and back, in a small vocabulary of each kind: the first byte chooses the tokenizer. Every id
// lies in the vocabulary, what is streamed is what the pieces hold, and a byte-level tokenizer loses nothing
// of a well-formed text.
#include "fuzz.h"

#include "base/utf8.h"
#include "text/detok.h"
#include "text/tokenizer.h"

enum { MAX_TOKENS = 300 };

static const char *const pres[] = {"gpt-2",   "llama-bpe",   "qwen2",  "smollm", "falcon",
                                   "default", "deepseek-v3", "tekken", "gpt-4o", "qwen35"};

struct made {
    char texts[MAX_TOKENS][16];
    struct slice tokens[MAX_TOKENS];
    int32_t types[MAX_TOKENS];
    float scores[MAX_TOKENS];
    uint32_t n;
};

static void add(struct made *m, const char *text, enum token_type type)
{
    snprintf(m->texts[m->n], sizeof m->texts[0], "%s", text);
    m->tokens[m->n] = slice_of(m->texts[m->n]);
    m->types[m->n] = type;
    m->scores[m->n] = -(float)m->n;
    m->n++;
}

// How GPT-2 spells a byte: itself where it can be seen, else a letter from U+0100 on.
static void add_bytes_as_letters(struct made *m)
{
    unsigned hidden = 0;
    for (unsigned byte = 0; byte < 256; byte++) {
        bool is_seen = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
        unsigned letter = is_seen ? byte : 256 + hidden++;
        char text[3] = {(char)letter, 0, 0};
        if (letter >= 128) {
            text[0] = (char)(0xc0 | letter >> 6);
            text[1] = (char)(0x80 | (letter & 63));
        }
        add(m, text, TOKEN_NORMAL);
    }
}

static struct tokenizer *make(const struct vocab_spec *spec)
{
    struct tokenizer *t = NULL;
    struct err err = {0};
    if (tokenizer_new(&t, spec, &err) != 0)
        fprintf(stderr, "%s\n", err.message);
    FUZZ_CHECK(t != NULL);
    return t;
}

static struct tokenizer *make_bpe(const char *pre)
{
    static const char *const merges[] = {"h e", "l l", "he ll", "hell o", "\xc4\xa0 w",
                                         "o r", "1 2", "a a",   "aa aa",  "\xc3\xa9 \xc3\xa9"};
    static struct made m;
    struct slice lines[COUNT_OF(merges)];
    m.n = 0;
    add_bytes_as_letters(&m);
    for (size_t i = 0; i < COUNT_OF(merges); i++) {
        char text[16];
        size_t left = strcspn(merges[i], " ");
        snprintf(text, sizeof text, "%.*s%s", (int)left, merges[i], merges[i] + left + 1);
        add(&m, text, TOKEN_NORMAL);
        lines[i] = slice_of(merges[i]);
    }
    add(&m, "<|end|>", TOKEN_CONTROL);
    add(&m, "<user>", TOKEN_USER_DEFINED);
    return make(&(struct vocab_spec){.model = slice_of("gpt2"),
                                     .pre = slice_of(pre),
                                     .n_tokens = m.n,
                                     .tokens = m.tokens,
                                     .types = m.types,
                                     .n_merges = COUNT_OF(merges),
                                     .merges = lines,
                                     .bos = TOKEN_NONE,
                                     .eos = m.n - 2,
                                     .eot = TOKEN_NONE,
                                     .eom = TOKEN_NONE,
                                     .unk = TOKEN_NONE,
                                     .pad = TOKEN_NONE,
                                     .add_bos = -1,
                                     .add_eos = -1,
                                     .add_space_prefix = -1});
}

static struct tokenizer *make_spm(void)
{
    static const char *const pieces[] = {"\xe2\x96\x81",
                                         "\xe2\x96\x81w",
                                         "he",
                                         "ll",
                                         "hell",
                                         "hello",
                                         "\xc3\xa9",
                                         "aa",
                                         "aaaa",
                                         "h",
                                         "e",
                                         "l",
                                         "o",
                                         "w",
                                         "a"};
    static struct made m;
    m.n = 0;
    add(&m, "<unk>", TOKEN_UNKNOWN);
    add(&m, "<s>", TOKEN_CONTROL);
    add(&m, "</s>", TOKEN_CONTROL);
    for (unsigned byte = 0; byte < 256; byte++) {
        char text[8];
        snprintf(text, sizeof text, "<0x%02X>", byte);
        add(&m, text, TOKEN_BYTE);
    }
    for (size_t i = 0; i < COUNT_OF(pieces); i++)
        add(&m, pieces[i], TOKEN_NORMAL);
    add(&m, "<user>", TOKEN_USER_DEFINED);
    return make(&(struct vocab_spec){.model = slice_of("llama"),
                                     .n_tokens = m.n,
                                     .tokens = m.tokens,
                                     .types = m.types,
                                     .scores = m.scores,
                                     .bos = 1,
                                     .eos = 2,
                                     .eot = TOKEN_NONE,
                                     .eom = TOKEN_NONE,
                                     .unk = 0,
                                     .pad = TOKEN_NONE,
                                     .add_bos = -1,
                                     .add_eos = -1,
                                     .add_space_prefix = 0});
}

// The text of the ids, whole and as it is streamed.
static void put_together(const struct tokenizer *t, const struct tokens *ids, struct strbuf *whole,
                         struct strbuf *streamed)
{
    struct detok d = {0};
    for (size_t i = 0; i < ids->n; i++) {
        FUZZ_CHECK(ids->at[i] < tokenizer_n_tokens(t));
        struct slice piece = tokenizer_piece(t, ids->at[i], true);
        strbuf_push_slice(whole, piece);
        detok_push(&d, piece, streamed);
        FUZZ_CHECK(d.n_held < 4);
    }
    strbuf_push(streamed, d.held, d.n_held);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static struct tokenizer *made[COUNT_OF(pres) + 1];
    struct slice text = slice_make(bytes, n);
    unsigned choice = fuzz_take_choice(&text, COUNT_OF(made));
    struct strbuf whole = STRBUF_INIT(16 << 20), streamed = STRBUF_INIT(16 << 20);
    struct tokens ids = {0};
    if (made[choice] == NULL)
        made[choice] = choice < COUNT_OF(pres) ? make_bpe(pres[choice]) : make_spm();
    for (int parse_special = 0; parse_special < 2; parse_special++) {
        ids.n = 0;
        strbuf_reset(&whole);
        strbuf_reset(&streamed);
        tokenizer_encode(made[choice], text, parse_special, &ids);
        put_together(made[choice], &ids, &whole, &streamed);
        FUZZ_CHECK(slice_equals(strbuf_slice(&whole), strbuf_slice(&streamed)));
        FUZZ_CHECK(choice == COUNT_OF(pres) || !utf8_is_valid(text) ||
                   slice_equals(strbuf_slice(&whole), text));
    }
    tokens_fini(&ids);
    strbuf_fini(&whole);
    strbuf_fini(&streamed);
    return 0;
}
