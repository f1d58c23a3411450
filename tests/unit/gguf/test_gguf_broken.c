// SPDX-License-Identifier: MIT
// Hostile and broken files: each is refused with words that name what is wrong, and nothing crashes (run
// under ASan too). The classes follow the published flaws of GGUF readers: counts and lengths multiplied
// unchecked, wrapping sums of sizes, removed types with a block of 0, alignment 0, duplicate names, shapes
// whose product wraps, offsets that overlap.
#include "file.h"

#include <inttypes.h>

#define STR(text) put_string(b, text)
#define U32(v)    put_u32(b, v)
#define U64(v)    put_u64(b, v)

static void put_u32(struct strbuf *b, uint32_t v)
{
    strbuf_push(b, &v, 4);
}

static void put_u64(struct strbuf *b, uint64_t v)
{
    strbuf_push(b, &v, 8);
}

static void put_string(struct strbuf *b, const char *text)
{
    put_u64(b, strlen(text));
    strbuf_push_text(b, text);
}

static void header(struct strbuf *b, uint32_t version, uint64_t n_tensors, uint64_t n_values)
{
    strbuf_push_text(b, "GGUF");
    U32(version);
    U64(n_tensors);
    U64(n_values);
}

static void zeros(struct strbuf *b, size_t n)
{
    while (n-- > 0)
        strbuf_push_char(b, 0);
}

// One tensor in the table. dims: NULL ends with n_dims.
static void tensor(struct strbuf *b, const char *name, uint32_t n_dims, const uint64_t *ne, int32_t type,
                   uint64_t offset)
{
    STR(name);
    U32(n_dims);
    for (uint32_t d = 0; d < n_dims; d++)
        U64(ne[d]);
    U32((uint32_t)type);
    U64(offset);
}

static void one_tensor(struct strbuf *b, uint32_t n_dims, const uint64_t *ne, int32_t type, uint64_t offset)
{
    header(b, 3, 1, 0);
    tensor(b, "w", n_dims, ne, type, offset);
    zeros(b, 256);
}

static void value_head(struct strbuf *b, const char *key, int32_t type)
{
    header(b, 3, 0, 1);
    STR(key);
    U32((uint32_t)type);
}

static void array_head(struct strbuf *b, int32_t elem_type, uint64_t count)
{
    value_head(b, "a.list", GGUF_ARRAY);
    U32((uint32_t)elem_type);
    U64(count);
}

static void alignment(struct strbuf *b, uint32_t value)
{
    value_head(b, "general.alignment", GGUF_U32);
    U32(value);
}

static void two_tensors(struct strbuf *b, const char *second, uint64_t offset)
{
    header(b, 3, 2, 0);
    tensor(b, "w", 1, (uint64_t[]){8}, 0, 0);
    tensor(b, second, 1, (uint64_t[]){8}, 0, offset);
    zeros(b, 256);
}

#define CASES(X)                                                                                             \
    X("not a GGUF file", strbuf_push_text(b, "GGML and more than 24 bytes of it"))                           \
    X("not a GGUF file", strbuf_push_text(b, "<!DOCTYPE html>"))                                             \
    X("version 0 is unknown", header(b, 0, 0, 0))                                                            \
    X("version 1 is not supported", header(b, 1, 0, 0))                                                      \
    X("version 4 is unknown", header(b, 4, 0, 0))                                                            \
    X("big-endian", header(b, 0x03000000, 0, 0))                                                             \
    X("absurd", header(b, 3, UINT64_MAX, 0))                                                                 \
    X("absurd", header(b, 3, 0, UINT64_MAX))                                                                 \
    X("absurd", header(b, 3, (uint64_t)1 << 63, 0))                                                          \
    X("absurd", header(b, 3, 0, UINT64_MAX / 14 + 2))                                                        \
    X("bytes are missing", header(b, 3, 1000, 0))                                                            \
    X("bytes are missing", header(b, 3, 0, 1000))                                                            \
    X("a key is empty|empty", (value_head(b, "", GGUF_U8), zeros(b, 9)))                                     \
    X("bytes are missing", (header(b, 3, 0, 1), U64(UINT64_MAX), zeros(b, 20)))                              \
    X("bytes are missing", (header(b, 3, 0, 1), U64(UINT64_MAX - 31), zeros(b, 20)))                         \
    X("'a.key': value type 13", (value_head(b, "a.key", 13), U64(0)))                                        \
    X("'a.key': value type -1", (value_head(b, "a.key", -1), U64(0)))                                        \
    X("'a.key': value type -2147483648", (value_head(b, "a.key", INT32_MIN), U64(0)))                        \
    X("'a.key'", (value_head(b, "a.key", GGUF_STRING), U64(UINT64_MAX)))                                     \
    X("'a.key'", (value_head(b, "a.key", GGUF_STRING), U64(1 << 30)))                                        \
    X("'a.list': an array of arrays", array_head(b, GGUF_ARRAY, 1))                                          \
    X("'a.list': value type 99", array_head(b, 99, 1))                                                       \
    X("'a.list': value type -7", array_head(b, -7, 1))                                                       \
    X("'a.list'", array_head(b, GGUF_U8, UINT64_MAX))                                                        \
    X("'a.list'", array_head(b, GGUF_U64, UINT64_MAX / 8 + 1))                                               \
    X("'a.list'", array_head(b, GGUF_F32, (uint64_t)1 << 62))                                                \
    X("'a.list'", array_head(b, GGUF_STRING, (uint64_t)1 << 61))                                             \
    X("'a.list'", (array_head(b, GGUF_STRING, 2), U64(0), U64(1)))                                           \
    X("'a.key' occurs twice",                                                                                \
      (header(b, 3, 0, 2), STR("a.key"), U32(GGUF_U32), U32(1), STR("a.key"), U32(GGUF_U32), U32(1)))        \
    X("'general.alignment': 0 is not", alignment(b, 0))                                                      \
    X("'general.alignment': 48 is not", alignment(b, 48))                                                    \
    X("'general.alignment': 2147483648 is more", alignment(b, 1u << 31))                                     \
    X("'general.alignment' is of type u64", (value_head(b, "general.alignment", GGUF_U64), U64(32)))         \
    X("'general.alignment' is of type string", (value_head(b, "general.alignment", GGUF_STRING), STR("x")))  \
    X("'w': 5 dimensions", one_tensor(b, 5, (uint64_t[]){1, 1, 1, 1, 1}, 0, 0))                              \
    X("'w': 4294967295 dimensions", (header(b, 3, 1, 0), STR("w"), U32(UINT32_MAX), zeros(b, 64)))           \
    X("'w': dimension 0 is negative", one_tensor(b, 1, (uint64_t[]){UINT64_MAX}, 0, 0))                      \
    X("'w': the product", one_tensor(b, 2, (uint64_t[]){(uint64_t)1 << 32, (uint64_t)1 << 32}, 0, 0))        \
    X("'w': the product", one_tensor(b, 4, (uint64_t[]){1 << 16, 1 << 16, 1 << 16, 1 << 16}, 0, 0))          \
    X("'w': its size overflows", one_tensor(b, 2, (uint64_t[]){4, (uint64_t)1 << 60}, 0, 0))                 \
    X("bytes are missing", one_tensor(b, 2, (uint64_t[]){1 << 30, 1 << 30}, 0, 0))                           \
    X("'w': tensor type 43 is unknown|'w': tensor type 99", one_tensor(b, 1, (uint64_t[]){32}, 99, 0))       \
    X("'w': tensor type -1 is unknown", one_tensor(b, 1, (uint64_t[]){32}, -1, 0))                           \
    X("'w': tensor type 2147483647", one_tensor(b, 1, (uint64_t[]){32}, INT32_MAX, 0))                       \
    X("'w': type Q4_2 (4) was removed", one_tensor(b, 1, (uint64_t[]){32}, 4, 0))                            \
    X("'w': type Q4_0_4_4 (31) was removed", one_tensor(b, 1, (uint64_t[]){32}, 31, 0))                      \
    X("'w': type IQ4_NL_8_8 (38) was removed", one_tensor(b, 1, (uint64_t[]){32}, 38, 0))                    \
    X("'w': its rows of 33 values", one_tensor(b, 1, (uint64_t[]){33}, 2, 0))                                \
    X("'w': its rows of 128 values", one_tensor(b, 1, (uint64_t[]){128}, 12, 0))                             \
    X("'w': offset 8 is not a multiple", one_tensor(b, 1, (uint64_t[]){8}, 0, 8))                            \
    X("'w': offset 32 instead of 0", one_tensor(b, 1, (uint64_t[]){8}, 0, 32))                               \
    X("'w': offset", one_tensor(b, 1, (uint64_t[]){8}, 0, UINT64_MAX - 31))                                  \
    X("'v': offset 0 instead of 32", two_tensors(b, "v", 0))                                                 \
    X("'v': offset 64 instead of 32", two_tensors(b, "v", 64))                                               \
    X("'w' occurs twice", two_tensors(b, "w", 32))                                                           \
    X("instead of 1 to 63", (header(b, 3, 1, 0), STR(""), zeros(b, 64)))                                     \
    X("instead of 1 to 63",                                                                                  \
      two_tensors(b, "0123456789012345678901234567890123456789012345678901234567890123", 32))                \
    X("'w' (128 bytes) lies beyond the end: truncated, 96 bytes",                                            \
      (header(b, 3, 1, 0), tensor(b, "w", 1, (uint64_t[]){32}, 0, 0), zeros(b, 7 + 32)))

// The sum of padded sizes must not wrap: three tensors, each of nearly 2^63 bytes.
static void wrapping_sum(struct strbuf *b)
{
    uint64_t ne[] = {(uint64_t)1 << 61};
    header(b, 3, 3, 0);
    tensor(b, "t0", 1, ne, 0, 0);
    tensor(b, "t1", 1, ne, 0, (uint64_t)1 << 63);
    tensor(b, "t2", 1, ne, 0, 0);
    zeros(b, 64);
}

static bool says_one_of(const char *message, const char *wanted)
{
    char words[200];
    snprintf(words, sizeof words, "%s", wanted);
    for (char *save, *word = strtok_r(words, "|", &save); word != NULL; word = strtok_r(NULL, "|", &save))
        if (strstr(message, word) != NULL)
            return true;
    return false;
}

static void refused(struct strbuf *b, const char *wanted)
{
    struct err err = {0};
    struct gguf *g = open_bytes(b->at, b->n, &err);
    if (g != NULL || err.code != ERR_FORMAT || !says_one_of(err.message, wanted))
        fail_msg("wanted \"%s\", got %s: \"%s\"", wanted, g ? "a file" : "a refusal", err.message);
    strbuf_fini(b);
}

static void broken_files_are_refused_by_name(void **state)
{
    struct strbuf buffer = STRBUF_INIT(1 << 20), *b = &buffer;
#define X(words, make)                                                                                       \
    make;                                                                                                    \
    refused(b, words);
    CASES(X)
#undef X
    wrapping_sum(b);
    refused(b, "overflows");
}

static void a_directory_and_an_empty_file_are_refused(void **state)
{
    struct err err = {0};
    assert_null(open_bytes("", 0, &err));
    assert_non_null(strstr(err.message, "24 bytes are missing"));
    struct gguf *g;
    struct err second = {0};
    int pair[2];
    assert_int_equal(pipe(pair), 0);
    assert_int_equal(gguf_open(&g, pair[0], &second), -1);
    assert_non_null(strstr(second.message, "not a regular file"));
    close(pair[0]);
    close(pair[1]);
}

// Names are shown, whatever bytes they are made of, as short printable text.
static void names_in_messages_are_made_printable(void **state)
{
    struct strbuf buffer = STRBUF_INIT(1 << 20), *b = &buffer;
    char key[3000];
    struct err err = {0};
    memset(key, 'k', sizeof key - 1);
    key[0] = '\n';
    key[1] = '\x80';
    key[sizeof key - 1] = 0;
    value_head(b, key, 77);
    assert_null(open_bytes(b->at, b->n, &err));
    assert_non_null(strstr(err.message, "'??kkkk"));
    assert_non_null(strstr(err.message, "...': value type 77"));
    assert_true(strlen(err.message) < 200);
    strbuf_fini(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(broken_files_are_refused_by_name),
        cmocka_unit_test(a_directory_and_an_empty_file_are_refused),
        cmocka_unit_test(names_in_messages_are_made_printable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
