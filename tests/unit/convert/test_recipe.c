// SPDX-License-Identifier: MIT
// Which tensor gets which type. The counts for two models are those of their published Q4_K_M files.
#include "../test.h"

#include "base/mem.h"
#include "convert/recipe.h"

static void add(struct tensors *t, const char *name, uint64_t n_cols, uint64_t n_rows)
{
    struct tensor *one = tensors_add(t);
    snprintf(one->name, sizeof one->name, "%s", name);
    one->n_dims = n_rows > 0 ? 2 : 1;
    one->ne[0] = n_cols;
    one->ne[1] = MAX(n_rows, 1ul);
    one->from = dtype_find(n_rows > 0 ? DTYPE_BF16 : DTYPE_F32);
}

static void add_of_layer(struct tensors *t, uint32_t layer, const char *name, uint64_t n_cols,
                         uint64_t n_rows)
{
    char full[64];
    snprintf(full, sizeof full, "blk.%u.%s", layer, name);
    add(t, full, n_cols, n_rows);
}

static void add_layers(struct tensors *t, uint32_t n_layers, uint64_t n_embd, uint64_t n_q, uint64_t n_ff)
{
    for (uint32_t i = 0; i < n_layers; i++) {
        add_of_layer(t, i, "attn_norm.weight", n_embd, 0);
        add_of_layer(t, i, "attn_q.weight", n_embd, n_q);
        add_of_layer(t, i, "attn_k.weight", n_embd, 256);
        add_of_layer(t, i, "attn_v.weight", n_embd, 256);
        add_of_layer(t, i, "attn_output.weight", n_q, n_embd);
        add_of_layer(t, i, "ffn_gate.weight", n_embd, n_ff);
        add_of_layer(t, i, "ffn_up.weight", n_embd, n_ff);
        add_of_layer(t, i, "ffn_down.weight", n_ff, n_embd);
    }
    add(t, "token_embd.weight", n_embd, 1000);
    add(t, "output_norm.weight", n_embd, 0);
}

static size_t count(const struct tensors *t, enum dtype type)
{
    size_t n = 0;
    for (size_t i = 0; i < t->n; i++)
        n += t->at[i].to->id == (int32_t)type;
    return n;
}

static const char *type_of(const struct tensors *t, const char *name)
{
    for (size_t i = 0; i < t->n; i++)
        if (strcmp(t->at[i].name, name) == 0)
            return t->at[i].to->name;
    fail_msg("no tensor %s", name);
    return NULL;
}

static void test_the_types_of_a_published_file(void **state)
{
    struct tensors gemma = {0}, qwen = {0};
    add_layers(&gemma, 18, 640, 1024, 2048); // tied: the embedding is the output too
    recipe_apply(recipe_find("Q4_K_M"), &gemma, 18);
    assert_int_equal(count(&gemma, DTYPE_Q5_0), 81);
    assert_int_equal(count(&gemma, DTYPE_Q4_K), 27);
    assert_int_equal(count(&gemma, DTYPE_Q8_0), 10);
    assert_int_equal(count(&gemma, DTYPE_Q6_K), 9);
    assert_string_equal(type_of(&gemma, "token_embd.weight"), "Q8_0");
    tensors_fini(&gemma);
    add_layers(&qwen, 24, 896, 896, 4864);
    add(&qwen, "output.weight", 896, 1000);
    recipe_apply(recipe_find("Q4_K_M"), &qwen, 24);
    assert_int_equal(count(&qwen, DTYPE_Q5_0), 133);
    assert_int_equal(count(&qwen, DTYPE_Q8_0), 13);
    assert_int_equal(count(&qwen, DTYPE_Q6_K), 12);
    assert_int_equal(count(&qwen, DTYPE_Q4_K), 12);
    assert_string_equal(type_of(&qwen, "token_embd.weight"), "Q5_0");
    assert_string_equal(type_of(&qwen, "output.weight"), "Q8_0");
    tensors_fini(&qwen);
}

static void test_each_recipe(void **state)
{
    static const struct {
        const char *name;
        uint32_t file_type;
        const char *embedding, *output, *q, *v_first, *v_fifth, *down_first, *down_fifth;
    } rows[] = {
        {"F32", 0, "F32", "F32", "F32", "F32", "F32", "F32", "F32"},
        {"F16", 1, "F16", "F16", "F16", "F16", "F16", "F16", "F16"},
        {"BF16", 32, "BF16", "BF16", "BF16", "BF16", "BF16", "BF16", "BF16"},
        {"Q8_0", 7, "Q8_0", "Q8_0", "Q8_0", "Q8_0", "Q8_0", "Q8_0", "Q8_0"},
        {"Q6_K", 18, "Q6_K", "Q6_K", "Q6_K", "Q6_K", "Q6_K", "Q6_K", "Q6_K"},
        {"Q5_K_M", 17, "Q5_K", "Q6_K", "Q5_K", "Q6_K", "Q5_K", "Q6_K", "Q5_K"},
        {"Q5_K_S", 16, "Q5_K", "Q6_K", "Q5_K", "Q5_K", "Q5_K", "Q5_K", "Q5_K"},
        {"q5_k", 17, "Q5_K", "Q6_K", "Q5_K", "Q6_K", "Q5_K", "Q6_K", "Q5_K"},
        {"Q5_1", 9, "Q5_1", "Q6_K", "Q5_1", "Q5_1", "Q5_1", "Q5_1", "Q5_1"},
        {"Q5_0", 8, "Q5_0", "Q6_K", "Q5_0", "Q5_0", "Q5_0", "Q5_0", "Q5_0"},
        {"Q4_K_M", 15, "Q4_K", "Q6_K", "Q4_K", "Q6_K", "Q4_K", "Q6_K", "Q4_K"},
        {"q4_K_m", 15, "Q4_K", "Q6_K", "Q4_K", "Q6_K", "Q4_K", "Q6_K", "Q4_K"},
        {"Q4_K", 15, "Q4_K", "Q6_K", "Q4_K", "Q6_K", "Q4_K", "Q6_K", "Q4_K"},
        {"Q4_K_S", 14, "Q4_K", "Q6_K", "Q4_K", "Q5_K", "Q4_K", "Q5_K", "Q4_K"},
        {"Q4_1", 3, "Q4_1", "Q6_K", "Q4_1", "Q4_1", "Q4_1", "Q4_1", "Q4_1"},
        {"Q4_0", 2, "Q4_0", "Q6_K", "Q4_0", "Q4_0", "Q4_0", "Q4_0", "Q4_0"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct tensors t = {0};
        const struct recipe *r = recipe_find(rows[i].name);
        assert_non_null(r);
        assert_int_equal(recipe_file_type(r), rows[i].file_type);
        assert_ptr_equal(recipe_of_file_type(rows[i].file_type), r);
        add_layers(&t, 8, 512, 512, 1024);
        add(&t, "output.weight", 512, 1000);
        add(&t, "blk.0.ffn_gate_inp.weight", 512, 8); // a router, and two more that stay
        add(&t, "blk.0.attn_q_norm.weight", 64, 8);
        add(&t, "blk.0.attn_q.bias", 512, 0);
        recipe_apply(r, &t, 8);
        assert_string_equal(type_of(&t, "token_embd.weight"), rows[i].embedding);
        assert_string_equal(type_of(&t, "output.weight"), rows[i].output);
        assert_string_equal(type_of(&t, "blk.5.attn_q.weight"), rows[i].q);
        assert_string_equal(type_of(&t, "blk.0.attn_v.weight"), rows[i].v_first);
        assert_string_equal(type_of(&t, "blk.4.attn_v.weight"), rows[i].v_fifth);
        assert_string_equal(type_of(&t, "blk.0.ffn_down.weight"), rows[i].down_first);
        assert_string_equal(type_of(&t, "blk.4.ffn_down.weight"), rows[i].down_fifth);
        const char *kept = i == 0 ? "F32" : "BF16";
        assert_string_equal(type_of(&t, "blk.0.ffn_gate_inp.weight"), kept);
        assert_string_equal(type_of(&t, "blk.0.attn_q_norm.weight"), kept);
        assert_string_equal(type_of(&t, "blk.0.attn_q.bias"), "F32");
        tensors_fini(&t);
    }
    static const char *const none[] = {"", "Q9_0", "Q2_K", "IQ4_XS", "Q4", "F8"};
    for (size_t i = 0; i < COUNT_OF(none); i++)
        assert_null(recipe_find(none[i]));
    assert_null(recipe_of_file_type(10));
}

// A row that is no whole number of blocks falls back, step by step.
static void test_short_rows(void **state)
{
    static const struct {
        const char *recipe;
        uint64_t n_cols;
        const char *type;
    } rows[] = {{"Q4_K_M", 256, "Q4_K"}, {"Q4_K_M", 160, "Q5_0"}, {"Q4_K_M", 100, "F16"},
                {"Q5_K_M", 96, "Q5_1"},  {"Q6_K", 96, "Q8_0"},    {"Q6_K", 7, "F16"},
                {"Q8_0", 48, "F16"},     {"F16", 7, "F16"},       {"BF16", 7, "BF16"}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct tensors t = {0};
        add(&t, "blk.5.attn_q.weight", rows[i].n_cols, 4);
        recipe_apply(recipe_find(rows[i].recipe), &t, 8);
        assert_string_equal(t.at[0].to->name, rows[i].type);
        tensors_fini(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_types_of_a_published_file),
        cmocka_unit_test(test_each_recipe),
        cmocka_unit_test(test_short_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
