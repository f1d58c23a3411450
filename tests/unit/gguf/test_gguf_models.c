// SPDX-License-Identifier: MIT
// The three real models: counts, a few values, and golden decodes of one row (whole vector for one
// dimension), from reference data made for this project. Skipped (77), saying so, for models that are not in
// the cache.
#include "../test.h"

#include <fcntl.h>
#include <math.h>
#include <unistd.h>

#include "../models.h"
#include "gguf/gguf.h"

struct golden {
    const char *tensor, *type;
    uint64_t offset; // of the tensor in the file
    float first[4];
    double sum, sum_of_squares;
};

struct model {
    const char *file, *architecture;
    size_t n_tensors, n_values;
    uint64_t size_bytes;
    struct golden golden[5];
};

static const struct model models[] = {
    {"smollm2-135m-instruct-q4_1.gguf",
     "llama",
     272,
     33,
     98362432,
     {{"token_embd.weight",
       "Q8_0",
       1785664,
       {-0.02380371f, -0.01586914f, -0.03967285f, 0.01586914f},
       0.3592272,
       10.95347},
      {"blk.0.attn_q.weight",
       "Q4_1",
       33806656,
       {-0.1173096f, -0.1173096f, -0.1928101f, 0.2601929f},
       -0.7120972,
       33.59827},
      {"blk.0.ffn_down.weight",
       "Q4_1",
       31868992,
       {0.1723633f, -0.1959229f, 0.01452637f, -0.09069824f},
       6.048157,
       34.57555},
      {"output_norm.weight",
       "F32",
       98360128,
       {1.757812f, 1.820312f, 1.78125f, 1.601562f},
       1038.332,
       1921.736}}},
    {"gemma3-270m-q4_k_m.gguf",
     "gemma3",
     236,
     33,
     253113024,
     {{"token_embd.weight",
       "Q8_0",
       6527680,
       {0.02281761f, -0.0611186f, -0.09208536f, -0.05622911f},
       0.8100548,
       1.063236},
      {"blk.0.attn_q.weight",
       "Q5_0",
       185270464,
       {0.003387451f, -0.02032471f, -0.03048706f, -0.006774902f},
       -0.4094849,
       0.5090719},
      {"blk.0.attn_output.weight",
       "Q4_K",
       184901824,
       {0.02973282f, -0.1021986f, -0.006248474f, -0.01824224f},
       -0.06283647,
       1.206301},
      {"blk.0.ffn_down.weight",
       "Q6_K",
       185896128,
       {-0.003341675f, -0.008354187f, -0.0133667f, 0.005012512f},
       0.3005403,
       0.8741751},
      {"blk.0.attn_norm.weight", "F32", 184899264, {16, 16.875f, 10.8125f, 41.5f}, 8627.719, 135484.5}}},
    {"qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
     "qwen2",
     291,
     26,
     491400064,
     {{"token_embd.weight",
       "Q5_0",
       150590848,
       {-0.02114868f, -0.01409912f, 0.00352478f, 0.01409912f},
       1.179184,
       0.295257},
      {"output.weight",
       "Q8_0",
       5947776,
       {-0.020432f, -0.01376939f, 0.003109217f, 0.01288104f},
       1.184783,
       0.2942816},
      {"blk.0.ffn_down.weight",
       "Q6_K",
       244187008,
       {0.008608818f, -0.0009565353f, -0.005739212f, -0.002869606f},
       -0.4618955,
       0.7725419},
      {"blk.0.attn_q.bias",
       "F32",
       254389376,
       {-0.02990723f, -0.00793457f, -0.08544922f, -0.07275391f},
       -158.6401,
       55397.11}}},
};

static void close_to(const char *what, double got, double wanted)
{
    if (!(fabs(got - wanted) <= 2e-6 * fmax(1e-3, fabs(wanted))))
        fail_msg("%s: %.9g instead of %.9g", what, got, wanted);
}

static void check_decode(const struct gguf *g, const struct golden *want)
{
    const struct gguf_tensor *t = gguf_find_tensor(g, want->tensor);
    assert_non_null(t);
    assert_string_equal(t->type->name, want->type);
    uint64_t row_bytes;
    size_t n = t->ne[0];
    float *values = calloc(n, sizeof *values);
    assert_true(dtype_row_bytes(t->type, n, &row_bytes));
    dtype_decode_row(t->type, (const char *)t->data + (t->n_dims > 1 ? row_bytes : 0), n, values);
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++) {
        sum += (double)values[i];
        squares += (double)values[i] * (double)values[i];
    }
    for (size_t i = 0; i < 4; i++)
        close_to(want->tensor, (double)values[i], (double)want->first[i]);
    close_to(want->tensor, sum, want->sum);
    close_to(want->tensor, squares, want->sum_of_squares);
    free(values);
}

static void check_model(const struct model *m, int fd)
{
    struct gguf *g;
    struct err err = {0};
    struct slice name = {0};
    if (gguf_open(&g, fd, &err) != 0)
        fail_msg("%s: %s", m->file, err.message);
    assert_int_equal(gguf_file_bytes(g), m->size_bytes);
    assert_int_equal(gguf_n_tensors(g), m->n_tensors);
    assert_int_equal(gguf_n_values(g), m->n_values);
    assert_int_equal(gguf_get_string(g, "general.architecture", &name, &err), 0);
    assert_true(slice_is(name, m->architecture));
    for (size_t i = 0; i < 5 && m->golden[i].tensor != NULL; i++) {
        const struct gguf_tensor *t = gguf_find_tensor(g, m->golden[i].tensor);
        char in_file[64];
        assert_non_null(t);
        assert_int_equal(pread(fd, in_file, sizeof in_file, (off_t)m->golden[i].offset), sizeof in_file);
        assert_memory_equal(in_file, t->data, sizeof in_file);
        check_decode(g, &m->golden[i]);
        gguf_forget_tensor(g, t);
        check_decode(g, &m->golden[i]);
    }
    gguf_close(g);
}

static void golden_rows_of_the_models(void **state)
{
    int *n_skipped = *state;
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        int fd = model_open(models[i].file);
        *n_skipped += fd < 0;
        if (fd >= 0) {
            check_model(&models[i], fd);
            close(fd);
        }
    }
}

int main(void)
{
    int n_skipped = 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(golden_rows_of_the_models, &n_skipped),
    };
    int n_failed = cmocka_run_group_tests(tests, NULL, NULL);
    return n_failed == 0 && n_skipped > 0 ? 77 : n_failed;
}
