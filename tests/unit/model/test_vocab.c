// SPDX-License-Identifier: MIT
// Vocabularies in files: what is read, and that arrays of a wrong type or length are refused by name, never
// read beyond.
#include "../test.h"

#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "gguf/gguf_write.h"
#include "model/vocab.h"

#define KEY(name) "tokenizer.ggml." name

static const struct slice texts[] = {{"a", 1}, {"b", 1}, {"ab", 2}, {"<s>", 3}, {"</s>", 4}};
static const int32_t types[] = {TOKEN_NORMAL, TOKEN_NORMAL, TOKEN_NORMAL, TOKEN_CONTROL, TOKEN_CONTROL};
enum { N_TOKENS = COUNT_OF(texts) };

static struct gguf *opened(struct gguf_writer *w)
{
    struct gguf *g = NULL;
    struct err err = {0};
    int fd = memfd_create("vocab", MFD_CLOEXEC);
    if (gguf_writer_write(w, fd, &err) != 0 || gguf_open(&g, fd, &err) != 0)
        fail_msg("%s", err.message);
    gguf_writer_free(w);
    close(fd);
    return g;
}

// A good file without the parts that a case writes itself.
static struct gguf_writer *begun(const char *model, bool with_merges)
{
    static const struct slice merges[] = {{"a b", 3}};
    struct gguf_writer *w = gguf_writer_new(32);
    gguf_writer_set_string(w, KEY("model"), slice_of(model));
    gguf_writer_set_string(w, KEY("pre"), slice_of("gpt-2"));
    gguf_writer_set_strings(w, KEY("tokens"), texts, N_TOKENS);
    if (with_merges)
        gguf_writer_set_strings(w, KEY("merges"), merges, 1);
    return w;
}

static void a_file_is_read(void **state)
{
    struct gguf_writer *w = begun("gpt2", true);
    struct tokenizer *t;
    struct tokens ids = {0};
    struct slice source;
    struct err err = {0};
    gguf_writer_set_array(w, KEY("token_type"), GGUF_I32, types, N_TOKENS);
    gguf_writer_set_u32(w, KEY("bos_token_id"), 3);
    gguf_writer_set_scalar(w, KEY("eos_token_id"), GGUF_U64, &(uint64_t){4});
    gguf_writer_set_u32(w, KEY("padding_token_id"), 77); // beyond: ignored
    gguf_writer_set_bool(w, KEY("add_bos_token"), true);
    gguf_writer_set_string(w, "tokenizer.chat_template", slice_of("{{ x }}"));
    gguf_writer_set_string(w, "tokenizer.chat_template.tool_use", slice_of("{{ y }}"));
    struct gguf *g = opened(w);
    assert_int_equal(vocab_load(&t, g, &err), 0);
    assert_int_equal(vocab_chat_template(g, NULL, &source, &err), 0);
    assert_true(slice_is(source, "{{ x }}"));
    assert_int_equal(vocab_chat_template(g, "tool_use", &source, &err), 0);
    assert_true(slice_is(source, "{{ y }}"));
    assert_int_equal(vocab_chat_template(g, "rag", &source, &err), 0);
    assert_int_equal(source.n, 0);
    gguf_close(g);
    tokenizer_encode(t, slice_of("ab</s>"), true, &ids);
    assert_true(ids.n == 2 && ids.at[0] == 2 && ids.at[1] == 4);
    assert_true(tokenizer_adds_bos(t) && tokenizer_bos(t) == 3 && tokenizer_is_eog(t, 4));
    tokens_fini(&ids);
    tokenizer_free(t);
}

static void scores_may_be_integers(void **state)
{
    static const int32_t integers[] = {-3, -4, -1, 0, 0};
    static const float floats[] = {-3, -4, -1, 0, 0};
    for (int kind = 0; kind < 2; kind++) {
        struct gguf_writer *w = begun("llama", false);
        struct tokenizer *t;
        struct tokens ids = {0};
        struct err err = {0};
        gguf_writer_set_array(w, KEY("scores"), kind ? GGUF_I32 : GGUF_F32,
                              kind ? (const void *)integers : floats, N_TOKENS);
        gguf_writer_set_bool(w, KEY("add_space_prefix"), false);
        struct gguf *g = opened(w);
        assert_int_equal(vocab_load(&t, g, &err), 0);
        gguf_close(g);
        tokenizer_encode(t, slice_of("ab"), true, &ids);
        assert_true(ids.n == 1 && ids.at[0] == 2);
        tokens_fini(&ids);
        tokenizer_free(t);
    }
}

static void refused(struct gguf_writer *w, const char *words)
{
    struct tokenizer *t;
    struct err err = {0};
    struct gguf *g = opened(w);
    assert_int_equal(vocab_load(&t, g, &err), -1);
    assert_null(t);
    if (strstr(err.message, words) == NULL)
        fail_msg("wanted \"%s\", got \"%s\"", words, err.message);
    gguf_close(g);
}

static void arrays_of_a_wrong_type_or_length(void **state)
{
    static const struct {
        const char *key;
        enum gguf_type type;
        uint64_t count;
        const char *words;
    } cases[] = {
        {KEY("token_type"), GGUF_I8, N_TOKENS,
         "'tokenizer.ggml.token_type' is an array of i8 instead of an array of i32"},
        {KEY("token_type"), GGUF_I32, N_TOKENS - 1,
         "'tokenizer.ggml.token_type' has 4 elements for 5 tokens"},
        {KEY("token_type"), GGUF_I32, N_TOKENS + 1, "'tokenizer.ggml.token_type' has 6 elements"},
        {KEY("scores"), GGUF_U8, N_TOKENS,
         "'tokenizer.ggml.scores' is an array of u8 instead of an array of f32"},
        {KEY("scores"), GGUF_F64, N_TOKENS, "'tokenizer.ggml.scores'"},
        {KEY("scores"), GGUF_F32, 0, "'tokenizer.ggml.scores' has 0 elements"},
        {KEY("scores"), GGUF_I32, 1, "'tokenizer.ggml.scores' has 1 elements"},
        {KEY("merges"), GGUF_U8, 8,
         "'tokenizer.ggml.merges' is an array of u8 instead of an array of string"},
    };
    static const char zeros[64];
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct gguf_writer *w = begun("gpt2", strcmp(cases[i].key, KEY("merges")) != 0);
        gguf_writer_set_array(w, cases[i].key, cases[i].type, zeros, cases[i].count);
        refused(w, cases[i].words);
    }
}

static void what_is_missing_or_wrong_is_named(void **state)
{
    struct gguf_writer *w = gguf_writer_new(32);
    refused(w, "no vocabulary (key 'tokenizer.ggml.model' is missing)");
    w = gguf_writer_new(32);
    gguf_writer_set_string(w, KEY("model"), slice_of("gpt2"));
    refused(w, "key 'tokenizer.ggml.tokens' is missing");
    refused(begun("gpt2", false), "'tokenizer.ggml.merges' is missing");
    refused(begun("rwkv", true), "'rwkv' is not supported");
    w = gguf_writer_new(32);
    gguf_writer_set_string(w, KEY("model"), slice_of("llama"));
    gguf_writer_set_string(w, KEY("tokens"), slice_of("a"));
    refused(w, "'tokenizer.ggml.tokens' is of type string instead of an array of string");
    w = gguf_writer_new(32);
    gguf_writer_set_u32(w, KEY("model"), 1);
    refused(w, "'tokenizer.ggml.model'");
    w = begun("gpt2", true);
    gguf_writer_set_string(w, KEY("bos_token_id"), slice_of("x"));
    refused(w, "'tokenizer.ggml.bos_token_id'");
    w = begun("gpt2", true);
    gguf_writer_set_u32(w, KEY("add_bos_token"), 1);
    refused(w, "'tokenizer.ggml.add_bos_token'");
    w = begun("gpt2", true);
    gguf_writer_set_u32(w, "tokenizer.chat_template", 1);
    struct gguf *g = opened(w);
    struct err err = {0};
    struct slice source;
    assert_int_equal(vocab_chat_template(g, NULL, &source, &err), -1);
    assert_non_null(strstr(err.message, "'tokenizer.chat_template'"));
    gguf_close(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_read),
        cmocka_unit_test(scores_may_be_integers),
        cmocka_unit_test(arrays_of_a_wrong_type_or_length),
        cmocka_unit_test(what_is_missing_or_wrong_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
