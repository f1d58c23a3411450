// SPDX-License-Identifier: MIT
// A small good file: written, read back, cut at every byte, corrupted at every byte.
#include "file.h"

#include "base/err.h"
#include "gguf/gguf_write.h"

static const float weights[64] = {1.5f, -2.0f, 3.25f};

static int fill_counting(void *arg, uint64_t begin, void *buffer, size_t n, struct err *err)
{
    for (size_t i = 0; i < n; i++)
        ((unsigned char *)buffer)[i] = (unsigned char)((begin + i) * 7);
    *(uint64_t *)arg += n;
    return 0;
}

static int write_good(uint32_t alignment, uint64_t *n_filled)
{
    static const int32_t layers[] = {4, 5, 6};
    const struct slice words[] = {slice_of("one"), slice_make("t\0wo", 4), slice_of("")};
    struct gguf_writer *w = gguf_writer_new(alignment);
    struct err err = {0};
    gguf_writer_set_string(w, "general.architecture", slice_of("llama"));
    gguf_writer_set_u32(w, "a.u32", 4000000000u);
    gguf_writer_set_f32(w, "a.f32", 0.5f);
    gguf_writer_set_bool(w, "a.bool", true);
    gguf_writer_set_scalar(w, "a.i64", GGUF_I64, &(int64_t){-3});
    gguf_writer_set_scalar(w, "a.u64", GGUF_U64, &(uint64_t){1ull << 40});
    gguf_writer_set_scalar(w, "a.u16", GGUF_U16, &(uint16_t){65535});
    gguf_writer_set_scalar(w, "a.f64", GGUF_F64, &(double){1e300});
    gguf_writer_set_array(w, "a.layers", GGUF_I32, layers, 3);
    gguf_writer_set_strings(w, "a.words", words, 3);
    gguf_writer_add_tensor(w, "w.float", DTYPE_F32, 2, (uint64_t[]){8, 3}, weights);
    gguf_writer_add_tensor_fill(w, "w.q8", DTYPE_Q8_0, 2, (uint64_t[]){32, 3}, fill_counting, n_filled);
    gguf_writer_add_tensor(w, "w.one", DTYPE_F32, 1, (uint64_t[]){1}, weights);
    int fd = memfd_create("good", MFD_CLOEXEC);
    assert_int_equal(gguf_writer_write(w, fd, &err), 0);
    gguf_writer_free(w);
    return fd;
}

static void check_values(const struct gguf *g)
{
    struct err err = {0};
    uint32_t u = 7, layers[3] = {0};
    float f = 0;
    bool b = false;
    struct slice s = {0};
    assert_int_equal(gguf_get_u32(g, "a.u32", &u, &err), 0);
    assert_int_equal(u, 4000000000u);
    assert_int_equal(gguf_get_u32(g, "a.u16", &u, &err), 0);
    assert_int_equal(u, 65535);
    assert_int_equal(gguf_get_u32(g, "absent", &u, &err), 0);
    assert_int_equal(u, 65535);
    assert_int_equal(gguf_get_f32(g, "a.f32", &f, &err), 0);
    assert_true(f == 0.5f);
    assert_int_equal(gguf_get_bool(g, "a.bool", &b, &err), 0);
    assert_true(b);
    assert_int_equal(gguf_get_string(g, "general.architecture", &s, &err), 0);
    assert_true(slice_is(s, "llama"));
    assert_int_equal(gguf_get_u32_per_layer(g, "a.layers", layers, 3, &err), 0);
    assert_int_equal(layers[0] + layers[1] * 10 + layers[2] * 100, 654);
    assert_int_equal(gguf_get_u32_per_layer(g, "a.u16", layers, 3, &err), 0);
    assert_int_equal(layers[2], 65535);
}

static void refused(int rc, struct err *err, const char *words)
{
    assert_int_equal(rc, -1);
    assert_int_equal(err->code, ERR_FORMAT);
    if (strstr(err->message, words) == NULL)
        fail_msg("wanted \"%s\", got \"%s\"", words, err->message);
    err_clear(err);
}

static void check_wrong_kinds(const struct gguf *g)
{
    struct err err = {0};
    uint32_t u, many[4];
    float f;
    bool b;
    struct slice s;
    refused(gguf_get_u32(g, "a.i64", &u, &err), &err, "'a.i64': -3 is out of range");
    refused(gguf_get_u32(g, "a.u64", &u, &err), &err, "'a.u64': 1099511627776 is out of range");
    refused(gguf_get_u32(g, "a.f32", &u, &err), &err, "'a.f32' is of type f32 instead of an integer");
    refused(gguf_get_u32(g, "a.layers", &u, &err), &err, "'a.layers' is an array of i32");
    refused(gguf_get_f32(g, "a.words", &f, &err), &err, "'a.words'");
    refused(gguf_get_f32(g, "a.f64", &f, &err), &err, "'a.f64' is not a finite number");
    refused(gguf_get_bool(g, "a.u32", &b, &err), &err, "'a.u32' is of type u32 instead of bool");
    refused(gguf_get_string(g, "a.u32", &s, &err), &err, "'a.u32'");
    refused(gguf_get_string(g, "a.words", &s, &err), &err, "'a.words' is an array of string");
    refused(gguf_get_u32_per_layer(g, "a.layers", many, 4, &err), &err,
            "'a.layers' has 3 elements, 4 layers");
    refused(gguf_get_u32_per_layer(g, "a.words", many, 3, &err), &err, "'a.words'");
}

static void check_strings(const struct gguf *g)
{
    const void *at = NULL;
    struct slice s;
    const struct gguf_value *v = gguf_find(g, "a.words");
    assert_true(gguf_next_string(v, &at, &s) && slice_is(s, "one"));
    assert_true(gguf_next_string(v, &at, &s) && s.n == 4 && memcmp(s.at, "t\0wo", 4) == 0);
    assert_true(gguf_next_string(v, &at, &s) && s.n == 0);
    assert_false(gguf_next_string(v, &at, &s));
    at = NULL;
    assert_false(gguf_next_string(gguf_find(g, "a.layers"), &at, &s));
}

static void check_tensors(const struct gguf *g)
{
    assert_int_equal(gguf_n_tensors(g), 3);
    const struct gguf_tensor *t = gguf_find_tensor(g, "w.float");
    assert_int_equal(t->size_bytes, 8 * 3 * 4);
    assert_int_equal(t->ne[1] * t->ne[2] * t->ne[3], 3);
    assert_memory_equal(t->data, weights, t->size_bytes);
    gguf_forget_tensor(g, t);
    assert_memory_equal(t->data, weights, t->size_bytes);
    t = gguf_find_tensor(g, "w.q8");
    assert_int_equal(t->size_bytes, 34 * 3);
    for (size_t i = 0; i < t->size_bytes; i++)
        assert_int_equal(((const unsigned char *)t->data)[i], (unsigned char)(i * 7));
    assert_null(gguf_find_tensor(g, "w"));
}

static void what_is_written_is_read_back(void **state)
{
    static const uint32_t alignments[] = {32, 1, 8, 4096};
    for (size_t i = 0; i < sizeof alignments / sizeof *alignments; i++) {
        uint64_t n_filled = 0;
        int fd = write_good(alignments[i], &n_filled);
        struct gguf *g;
        struct err err = {0};
        if (gguf_open(&g, fd, &err) != 0)
            fail_msg("%s", err.message);
        close(fd);
        assert_int_equal(n_filled, 34 * 3);
        assert_int_equal(gguf_version(g), 3);
        assert_int_equal(gguf_n_values(g), alignments[i] == 32 ? 10 : 11);
        check_values(g);
        check_wrong_kinds(g);
        check_strings(g);
        check_tensors(g);
        gguf_close(g);
    }
}

static char *good_bytes(size_t *n)
{
    uint64_t n_filled = 0;
    struct stat st;
    int fd = write_good(32, &n_filled);
    assert_int_equal(fstat(fd, &st), 0);
    *n = (size_t)st.st_size;
    char *bytes = malloc(*n);
    assert_int_equal(pread(fd, bytes, *n, 0), *n);
    close(fd);
    return bytes;
}

// Cut anywhere, the file is refused as truncated; only the padding behind the last tensor may be missing.
static void truncation_at_every_byte_is_told(void **state)
{
    size_t n;
    char *bytes = good_bytes(&n);
    size_t last_padding = 32 - 4;
    for (size_t cut = 0; cut < n; cut++) {
        struct err err = {0};
        char *copy = malloc(cut + 1); // of exact size, so that a sanitizer sees a read beyond it
        memcpy(copy, bytes, cut);
        struct gguf *g = open_bytes(copy, cut, &err);
        free(copy);
        if (cut >= n - last_padding)
            assert_non_null(g);
        else if (g != NULL || strstr(err.message, "missing") == NULL)
            fail_msg("cut at %zu of %zu: %s", cut, n, g ? "opened" : err.message);
        gguf_close(g);
    }
    free(bytes);
}

// Reads all that an open file offers, so that a wrong bound shows.
static uint64_t touch_all(const struct gguf *g)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < gguf_n_values(g); i++) {
        const struct gguf_value *v = gguf_value_at(g, i);
        const void *at = NULL;
        struct slice s;
        for (uint64_t k = 0; k < v->size_bytes; k++)
            sum += ((const unsigned char *)v->data)[k];
        while (gguf_next_string(v, &at, &s))
            for (size_t k = 0; k < s.n; k++)
                sum += (unsigned char)s.at[k];
    }
    for (size_t i = 0; i < gguf_n_tensors(g); i++)
        for (uint64_t k = 0; k < gguf_tensor_at(g, i)->size_bytes; k++)
            sum += ((const unsigned char *)gguf_tensor_at(g, i)->data)[k];
    return sum;
}

static void corruption_of_any_byte_never_crashes(void **state)
{
    static const unsigned char changes[] = {0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xFF};
    size_t n, n_opened = 0;
    uint64_t sum = 0;
    char *bytes = good_bytes(&n);
    for (size_t i = 0; i < n; i++) {
        for (size_t c = 0; c < sizeof changes; c++) {
            struct err err = {0};
            bytes[i] = (char)(bytes[i] ^ changes[c]);
            struct gguf *g = open_bytes(bytes, n, &err);
            if (g != NULL) {
                sum += touch_all(g);
                n_opened++;
            } else {
                assert_true(err.code == ERR_FORMAT && err.message[0] != 0);
            }
            gguf_close(g);
            bytes[i] = (char)(bytes[i] ^ changes[c]);
        }
    }
    assert_true(n_opened > 0 && sum > 0);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(truncation_at_every_byte_is_told),
        cmocka_unit_test(corruption_of_any_byte_never_crashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
