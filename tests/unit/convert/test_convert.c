// SPDX-License-Identifier: MIT
// Quantising a GGUF file: what is copied, what changes, that the number of threads does not matter, and which
// files are refused in which words.
#include "../test.h"

#include <math.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/strbuf.h"
#include "convert/convert.h"
#include "gguf/gguf.h"
#include "gguf/gguf_write.h"

enum { N_COLS = 512, N_ROWS = 700 };

static float matrix[N_COLS * N_ROWS], norm[N_COLS];

static void make_values(void)
{
    uint32_t seed = 1;
    for (size_t i = 0; i < COUNT_OF(matrix); i++) {
        seed = seed * 1664525 + 1013904223;
        matrix[i] = (float)(seed >> 8) / (1 << 23) - 1;
    }
    for (size_t i = 0; i < COUNT_OF(norm); i++)
        norm[i] = (float)i;
}

static int file_with(int file_type, enum dtype type, const void *data)
{
    struct gguf_writer *w = gguf_writer_new(64);
    int fd = memfd_create("model", MFD_CLOEXEC);
    gguf_writer_set_string(w, "general.architecture", slice_of("llama"));
    if (file_type >= 0)
        gguf_writer_set_u32(w, "general.file_type", (uint32_t)file_type);
    gguf_writer_set_u32(w, "llama.block_count", 1);
    gguf_writer_set_strings(w, "tokenizer.ggml.tokens",
                            (struct slice[]){slice_of("a"), slice_make("b\0c", 3)}, 2);
    gguf_writer_add_tensor(w, "output_norm.weight", DTYPE_F32, 1, (uint64_t[]){N_COLS}, norm);
    gguf_writer_add_tensor(w, "token_embd.weight", (int32_t)type, 2, (uint64_t[]){N_COLS, N_ROWS}, data);
    gguf_writer_add_tensor(w, "blk.0.attn_q.weight", (int32_t)type, 2, (uint64_t[]){N_COLS, N_ROWS}, data);
    assert_int_equal(gguf_writer_write(w, fd, NULL), 0);
    gguf_writer_free(w);
    return fd;
}

struct made {
    struct strbuf bytes;
    char text[128];
    uint64_t done, total;
    int n_told;
    size_t fail_at; // refuse when so many bytes are there; 0: never
};

static int take_bytes(void *user, const void *bytes, size_t n, struct err *err)
{
    struct made *m = user;
    strbuf_push(&m->bytes, bytes, n);
    if (m->fail_at > 0 && m->bytes.n >= m->fail_at)
        return err_set(err, ERR_CANCELLED, "the reader left");
    return 0;
}

static int take_state(void *user, const char *text, uint64_t done, uint64_t total, struct err *err)
{
    struct made *m = user;
    assert_true(done >= m->done && done <= total && (m->total == 0 || total == m->total));
    m->done = done;
    m->total = total;
    m->n_told++;
    snprintf(m->text, sizeof m->text, "%s", text);
    return 0;
}

static int quantize(int fd, const char *type, int n_threads, struct made *m, struct err *err)
{
    size_t fail_at = m->fail_at;
    *m = (struct made){.bytes = STRBUF_INIT(64 << 20), .fail_at = fail_at};
    const struct convert_file file = {"m.gguf", fd};
    const struct convert_job job = {&file, 1, type, n_threads};
    const struct convert_output out = {m, take_bytes, take_state};
    return convert_run(&job, &out, err);
}

static struct gguf *reopen(const struct made *m)
{
    struct gguf *g = NULL;
    int fd = memfd_create("made", MFD_CLOEXEC);
    assert_int_equal(write(fd, m->bytes.at, m->bytes.n), m->bytes.n);
    assert_int_equal(gguf_open(&g, fd, NULL), 0);
    close(fd);
    return g;
}

static void check_matrix(const struct gguf *g, const char *name, const char *type, double bound)
{
    static float got[N_COLS * N_ROWS];
    const struct gguf_tensor *t = gguf_find_tensor(g, name);
    double miss = 0, all = 0;
    assert_non_null(t);
    assert_string_equal(t->type->name, type);
    assert_true(t->ne[0] == N_COLS && t->ne[1] == N_ROWS);
    dtype_decode_row(t->type, t->data, COUNT_OF(got), got);
    for (size_t i = 0; i < COUNT_OF(got); i++) {
        miss += pow((double)got[i] - (double)matrix[i], 2);
        all += pow((double)matrix[i], 2);
    }
    assert_true(sqrt(miss / all) < bound);
}

static void test_a_file_is_quantised(void **state)
{
    struct made one = {0}, three = {0};
    uint32_t n = 0;
    make_values();
    int fd = file_with(0, DTYPE_F32, matrix);
    assert_int_equal(quantize(fd, "q4_k_m", 1, &one, NULL), 0);
    assert_string_equal(one.text, "quantizing F32 model to Q4_K_M");
    assert_true(one.done == one.total && one.total == one.bytes.n && one.n_told > 3);
    assert_int_equal(quantize(fd, "Q4_K", 3, &three, NULL), 0);
    assert_true(slice_equals(strbuf_slice(&one.bytes), strbuf_slice(&three.bytes)));
    struct gguf *g = reopen(&one);
    check_matrix(g, "blk.0.attn_q.weight", "Q4_K", 0.08);
    check_matrix(g, "token_embd.weight", "Q6_K", 0.02);
    assert_memory_equal(gguf_find_tensor(g, "output_norm.weight")->data, norm, sizeof norm);
    assert_int_equal(gguf_get_u32(g, "general.file_type", &n, NULL), 0);
    assert_int_equal(n, 15);
    assert_int_equal(gguf_get_u32(g, "general.quantization_version", &n, NULL), 0);
    assert_int_equal(n, 2);
    assert_null(gguf_find(g, "general.alignment"));
    assert_int_equal(gguf_find(g, "tokenizer.ggml.tokens")->count, 2);
    gguf_close(g);
    strbuf_fini(&one.bytes);
    strbuf_fini(&three.bytes);
    close(fd);
}

static void test_nothing_to_do(void **state)
{
    struct made m = {0};
    int fd = file_with(-1, DTYPE_F32, matrix); // what a file without the key is, its tensors say
    assert_int_equal(quantize(fd, "F32", 1, &m, NULL), 0);
    assert_int_equal(m.bytes.n, 0);
    assert_int_equal(quantize(fd, "BF16", 1, &m, NULL), 0);
    assert_string_equal(m.text, "quantizing F32 model to BF16");
    strbuf_fini(&m.bytes);
    close(fd);
}

static void check_refused(int fd, const char *type, const char *message)
{
    struct made m = {0};
    struct err err = {0};
    assert_int_equal(quantize(fd, type, 2, &m, &err), -1);
    assert_true(strncmp(err.message, message, strlen(message)) == 0);
    strbuf_fini(&m.bytes);
    close(fd);
}

static void test_refusals(void **state)
{
    static unsigned char blocks[N_COLS / 32 * 34 * N_ROWS];
    check_refused(file_with(0, DTYPE_F32, matrix), "Q9",
                  "unsupported quantization type Q9 - supported types are F32, F16, BF16, Q8_0, Q6_K, ");
    check_refused(file_with(7, DTYPE_Q8_0, blocks), "Q4_0",
                  "quantization is only supported for F16, BF16 and F32 models");
    check_refused(file_with(-1, DTYPE_Q8_0, blocks), "Q8_0",
                  "quantization is only supported for F16, BF16 and F32 models");
    check_refused(file_with(1, DTYPE_Q8_0, blocks), "Q4_0", "tensor 'token_embd.weight' is Q8_0");
    int broken = memfd_create("broken", MFD_CLOEXEC);
    assert_int_equal(write(broken, "GGUF\3\0\0\0", 8), 8);
    check_refused(broken, "Q4_0", "");
    static const float bad[] = {NAN, INFINITY, -INFINITY, 1e6f};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        make_values();
        matrix[N_COLS * 500 + 3] = bad[i];
        check_refused(file_with(0, DTYPE_F32, matrix), "Q4_K_M",
                      "tensor 'token_embd.weight' holds the value ");
    }
    make_values();
}

static void test_a_reader_that_leaves(void **state)
{
    struct made m = {.fail_at = 1000};
    struct err err = {0};
    int fd = file_with(0, DTYPE_F32, matrix);
    assert_int_equal(quantize(fd, "Q8_0", 2, &m, &err), -1);
    assert_int_equal(err.code, ERR_CANCELLED);
    strbuf_fini(&m.bytes);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_file_is_quantised),
        cmocka_unit_test(test_nothing_to_do),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_a_reader_that_leaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
