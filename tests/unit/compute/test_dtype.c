// SPDX-License-Identifier: MIT
// Tensor types: sizes, and decoders against reference blocks bit for bit.
#include "../test.h"

#include "compute/dtype.h"
#include "compute/half.h"

static size_t read_hex(const char *hex, uint8_t *out, size_t size)
{
    size_t n = strlen(hex) / 2;
    assert_true(n <= size);
    for (size_t i = 0; i < n; i++) {
        unsigned byte;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
        out[i] = (uint8_t)byte;
    }
    return n;
}

static const struct dtype_info *find_by_name(const char *name)
{
    for (int32_t id = 0; id < 64; id++)
        if (dtype_find(id) != NULL && strcmp(dtype_find(id)->name, name) == 0)
            return dtype_find(id);
    fail_msg("type %s is not in the table", name);
    return NULL;
}

static void test_reference_blocks(void **state)
{
    FILE *f = fopen(TEST_DATA "/tensors/blocks.txt", "r");
    assert_non_null(f);
    static char name[32], raw_hex[1024], values_hex[4096];
    static uint8_t raw[512], expected[2048];
    static float values[256];
    int n_blocks = 0;
    while (fscanf(f, "%31s %1023s %4095s", name, raw_hex, values_hex) == 3) {
        const struct dtype_info *type = find_by_name(name);
        size_t n_raw = read_hex(raw_hex, raw, sizeof raw),
               n_expected = read_hex(values_hex, expected, sizeof expected);
        assert_int_equal(n_raw / type->block_bytes * type->block_elems, n_expected / 4);
        dtype_decode_row(type, raw, n_expected / 4, values);
        if (memcmp(values, expected, n_expected) != 0)
            fail_msg("block %d (%s) differs", n_blocks, name);
        n_blocks++;
    }
    fclose(f);
    assert_int_equal(n_blocks, 58);
}

// Bytes (37 k + 11) mod 256 with d = 1 and m or dmin = 0.5: sums worked out by hand-made formulas.
static void test_check_vectors(void **state)
{
    static const struct {
        const char *name;
        int d_at, m_at;
        double sum, sum_abs;
        float first;
    } rows[] = {
        {"Q4_0", 0, -1, -21, 123, -3},
        {"Q4_1", 0, 2, 261, 261, 15.5f},
        {"Q5_0", 0, -1, 15, 247, 9},
        {"Q5_1", 0, 2, 521, 521, 19.5f},
        {"Q8_0", 0, -1, -176, 2172, 85},
        {"Q4_K", 0, 2, 54440, 55028, 315.5f},
        {"Q5_K", 0, 2, 116216, 116559, 811.5f},
        {"Q6_K", 208, -1, 4612, 266502, -1431},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct dtype_info *type = find_by_name(rows[i].name);
        uint8_t block[256];
        float values[256];
        for (uint32_t k = 0; k < type->block_bytes; k++)
            block[k] = (uint8_t)(37 * k + 11);
        memcpy(block + rows[i].d_at, "\x00\x3c", 2);
        if (rows[i].m_at >= 0)
            memcpy(block + rows[i].m_at, "\x00\x38", 2);
        type->decode(block, values);
        double sum = 0, sum_abs = 0;
        for (uint32_t k = 0; k < type->block_elems; k++) {
            sum += (double)values[k];
            sum_abs += values[k] < 0 ? -(double)values[k] : (double)values[k];
        }
        assert_true(values[0] == rows[i].first && sum == rows[i].sum && sum_abs == rows[i].sum_abs);
    }
}

static void test_table(void **state)
{
    static const int32_t removed[] = {-1, 4, 5, 31, 32, 33, 36, 37, 38, 43, 1000};
    for (size_t i = 0; i < sizeof removed / sizeof removed[0]; i++)
        assert_null(dtype_find(removed[i]));
    const struct dtype_info *type = dtype_find(DTYPE_Q4_K);
    uint64_t n_bytes = 0;
    assert_string_equal(type->name, "Q4_K");
    assert_true(dtype_row_bytes(type, 512, &n_bytes) && n_bytes == 288);
    assert_false(dtype_row_bytes(type, 300, &n_bytes));
    assert_false(dtype_row_bytes(dtype_find(DTYPE_F32), UINT64_MAX, &n_bytes));
}

static void test_half_round_trip(void **state)
{
    for (uint32_t h = 0; h < 65536; h++) {
        float f = half_to_float((uint16_t)h);
        bool is_nan = f != f;
        assert_int_equal(half_from_float(f), is_nan ? h | 0x200 : h);
        f = half_bf16_to_float((uint16_t)h);
        is_nan = f != f;
        assert_int_equal(half_bf16_from_float(f), is_nan ? h | 0x40 : h);
    }
    assert_int_equal(half_from_float(65519.0f), 0x7bff);
    assert_int_equal(half_from_float(65520.0f), 0x7c00);
    assert_int_equal(half_from_float(1.0f + 0x1p-11f), 0x3c00); // a tie goes to even
    assert_int_equal(half_from_float(1.0f + 3 * 0x1p-11f), 0x3c02);
    assert_int_equal(half_from_float(0x1p-25f), 0);
    assert_int_equal(half_from_float(0x1.8p-25f), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_reference_blocks),
        cmocka_unit_test(test_check_vectors),
        cmocka_unit_test(test_half_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
