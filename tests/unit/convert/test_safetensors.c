// SPDX-License-Identifier: MIT
// The reader of safetensors by itself: a good file, the same cut at every byte, and headers that lie.
#include "../test.h"

#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "convert/safetensors.h"

static int file_of(const char *header, size_t n_data)
{
    int fd = memfd_create("shard", MFD_CLOEXEC);
    uint64_t n = strlen(header);
    static const char data[256];
    assert_true(n_data <= sizeof data);
    assert_int_equal(write(fd, &n, 8), 8);
    assert_int_equal(write(fd, header, n), n);
    assert_int_equal(write(fd, data, n_data), n_data);
    return fd;
}

#define GOOD                                                                                                 \
    "{\"__metadata__\":{\"format\":\"pt\"},\"a\":{\"dtype\":\"F16\",\"shape\":[2,3],\"data_offsets\":[0,12]" \
    "},"                                                                                                     \
    "\"b\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[12,20]}}   "

static void test_a_good_file(void **state)
{
    struct safetensors *s = NULL;
    struct err err = {0};
    int fd = file_of(GOOD, 20);
    assert_int_equal(safetensors_open(&s, fd, &err), 0);
    assert_int_equal(safetensors_count(s), 2);
    const struct safetensor *a = safetensors_at(s, 0), *b = safetensors_at(s, 1);
    assert_string_equal(a->name, "a");
    assert_string_equal(a->type->name, "F16");
    assert_true(a->n_dims == 2 && a->shape[0] == 2 && a->shape[1] == 3 && a->size_bytes == 12);
    assert_ptr_equal((const char *)b->data - (const char *)a->data, 12);
    assert_null(b->type);
    assert_string_equal(b->kind, "I64");
    assert_true(b->n_dims == 0 && b->size_bytes == 8);
    safetensors_close(s);
    close(fd);
    safetensors_close(NULL);
}

static void test_a_cut_file(void **state)
{
    for (size_t n = 0; n < 8 + sizeof GOOD - 1 + 20; n++) {
        struct safetensors *s = NULL;
        struct err err = {0};
        int fd = file_of(GOOD, 20);
        assert_int_equal(ftruncate(fd, (off_t)n), 0);
        assert_int_equal(safetensors_open(&s, fd, &err), -1);
        assert_true(s == NULL && err.code == ERR_FORMAT && err.message[0] != 0);
        close(fd);
    }
}

static void test_headers_that_lie(void **state)
{
    static const struct {
        const char *header, *message;
    } rows[] = {
        {"[]", "the header is no JSON object"},
        {"{\"a\":", "the header is no JSON object: "},
        {"{\"a\":1}", "tensor 'a': unknown dtype ''"},
        {"{\"a\":{\"dtype\":\"F99\"}}", "tensor 'a': unknown dtype 'F99'"},
        {"{\"a\":{\"dtype\":\"F32\"}}", "tensor 'a': the shape is no list of up to 4 numbers"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1]}}", "tensor 'a': the shape is no list of up to 4"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1]}}", "tensor 'a': the shape is no list of sizes"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5]}}", "tensor 'a': the shape is no list of sizes"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296]}}", "tensor 'a': the shape overflows"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", "tensor 'a': its data_offsets do not lie in the file"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}",
         "tensor 'a': its data_offsets do not"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]}}",
         "tensor 'a': its data_offsets do not"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[18,22]}}",
         "tensor 'a': its data_offsets do not"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", "tensor 'a': its shape and its"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387905],\"data_offsets\":[0,4]}}",
         "tensor 'a': its shape and its"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct safetensors *s = NULL;
        struct err err = {0};
        int fd = file_of(rows[i].header, 20);
        assert_int_equal(safetensors_open(&s, fd, &err), -1);
        assert_int_equal(err.code, ERR_FORMAT);
        if (strncmp(err.message, rows[i].message, strlen(rows[i].message)) != 0)
            fail_msg("%s: %s", rows[i].header, err.message);
        close(fd);
    }
    struct safetensors *s = NULL;
    struct err err = {0};
    int fd = memfd_create("long", MFD_CLOEXEC);
    assert_int_equal(write(fd, "\xff\xff\xff\xff\xff\xff\xff\xff{}", 10), 10); // a length without end
    assert_int_equal(safetensors_open(&s, fd, &err), -1);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_good_file),
        cmocka_unit_test(test_a_cut_file),
        cmocka_unit_test(test_headers_that_lie),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
