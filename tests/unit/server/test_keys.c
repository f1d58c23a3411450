// SPDX-License-Identifier: MIT
// The file of API keys and the keys in force.
#include "../test.h"

#include <string.h>

#include "base/mem.h"
#include "server/keys.h"

// Some 64 digits.
#define HASH_A "2d29ddc504591e5e366c9a3d82bb1c0b7e9d9cf14b3dd29a4d05d3e6a4b3c1c0"

static int parse(struct key_list *list, const char *text, struct err *err)
{
    *err = (struct err){0};
    return key_list_parse(list, slice_of(text), "keys", err);
}

// A line for a key drawn now.
static void draw(const char *name, enum key_role role, char secret[KEY_SECRET_BYTES],
                 char line[KEY_LINE_BYTES])
{
    struct key key = {.role = role};
    struct err err = {0};
    snprintf(key.name, sizeof key.name, "%s", name);
    assert_int_equal(key_draw(&key, secret, &err), 0);
    key_write_line(&key, line);
}

static void a_drawn_key_is_found_by_what_it_is(void **state)
{
    char secrets[2][KEY_SECRET_BYTES], lines[2][KEY_LINE_BYTES], text[1000];
    struct key_list list;
    struct key key;
    struct err err;
    draw("alice", KEY_INFER, secrets[0], lines[0]);
    draw("ops@example.org", KEY_ADMIN, secrets[1], lines[1]);
    snprintf(text, sizeof text, "# who\n\n%s\r\n \t%s", lines[0], lines[1]);
    assert_int_equal(parse(&list, text, &err), 0);
    assert_int_equal(list.n, 2);
    struct keyring *ring = keyring_new();
    keyring_take(ring, &list);
    assert_int_equal(list.n, 0);
    assert_int_equal(keyring_count(ring), 2);
    assert_true(keyring_find(ring, secrets[0], &key));
    assert_string_equal(key.name, "alice");
    assert_int_equal(key.role, KEY_INFER);
    assert_true(keyring_find(ring, secrets[1], &key));
    assert_string_equal(key.name, "ops@example.org");
    assert_int_equal(key.role, KEY_ADMIN);
    secrets[0][20] ^= 1;
    assert_false(keyring_find(ring, secrets[0], &key));
    assert_false(keyring_find(ring, "", &key));
    assert_false(keyring_find(ring, strstr(lines[0], "sha256:") + 7, &key)); // the hash is no key
    keyring_free(ring);
}

static void keys_have_256_bits_and_never_repeat(void **state)
{
    char a[KEY_SECRET_BYTES], b[KEY_SECRET_BYTES], line[KEY_LINE_BYTES];
    for (int i = 0; i < 100; i++) {
        draw("x", KEY_INFER, a, line);
        draw("x", KEY_INFER, b, line);
        assert_string_not_equal(a, b);
        assert_int_equal(strlen(a), 7 + 43);
        assert_memory_equal(a, "drover_", 7);
        assert_int_equal(strspn(a + 7, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
                         43);
    }
}

static void what_is_no_line_is_refused_with_its_number(void **state)
{
    static const struct {
        const char *text, *error;
    } table[] = {
        {"", "keys: no key stands in it"},
        {"# nothing\n\n", "keys: no key stands in it"},
        {"alice\n", "keys:1: a line is NAME ROLE sha256:HEX, as `drover key new` prints it"},
        {"alice infer\n", "keys:1: a line is NAME ROLE sha256:HEX, as `drover key new` prints it"},
        {"alice infer sha256:" HASH_A " more\n",
         "keys:1: a line is NAME ROLE sha256:HEX, as `drover key new` prints it"},
        {"\n#\nal/ce infer sha256:" HASH_A "\n", "keys:3: a name is 1 to 63 letters, digits and -_.@"},
        {"alice root sha256:" HASH_A "\n", "keys:1: the role of alice is neither infer nor admin"},
        {"alice Infer sha256:" HASH_A "\n", "keys:1: the role of alice is neither infer nor admin"},
        {"alice infer drover_topsecret\n",
         "keys:1: the third word of alice is not sha256: and 64 hexadecimal "
         "digits; the file has hashes, not keys"},
        {"alice infer sha256:00\n",
         "keys:1: the third word of alice is not sha256: and 64 hexadecimal digits; the "
         "file has hashes, not keys"},
        {"alice infer sha256:" HASH_A "\nbob admin sha256:" HASH_A "\n",
         "keys:2: this is the key of alice, which stands above"},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct key_list list;
        struct err err;
        assert_int_equal(parse(&list, table[i].text, &err), -1);
        assert_string_equal(err.message, table[i].error);
        assert_int_equal(err.code, ERR_INVALID);
        assert_int_equal(list.n, 0);
        assert_null(strstr(err.message, "topsecret"));
    }
}

static void a_name_may_have_several_keys(void **state)
{
    char secret[KEY_SECRET_BYTES], lines[2][KEY_LINE_BYTES], text[1000];
    struct key_list list;
    struct err err;
    draw("alice", KEY_INFER, secret, lines[0]);
    draw("alice", KEY_INFER, secret, lines[1]);
    snprintf(text, sizeof text, "%s\n%s\n", lines[0], lines[1]);
    assert_int_equal(parse(&list, text, &err), 0);
    assert_int_equal(list.n, 2);
    key_list_fini(&list);
}

static void broken_bytes_are_an_error_and_nothing_worse(void **state)
{
    uint32_t seed = 1;
    char text[300];
    for (int round = 0; round < 20000; round++) {
        struct key_list list;
        struct err err = {0};
        int n = snprintf(text, sizeof text, "alice infer sha256:" HASH_A "\nbob admin sha256:%064x\n",
                         (unsigned)round);
        for (int k = 0; k < 3; k++) {
            seed = seed * 1664525u + 1013904223u;
            text[(seed >> 8) % (unsigned)n] = (char)(seed >> 24);
        }
        if (key_list_parse(&list, slice_make(text, (size_t)n), "keys", &err) == 0)
            assert_true(list.n >= 1 && list.n <= 2);
        else
            assert_true(err.message[0] != 0 && list.n == 0);
        key_list_fini(&list);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_drawn_key_is_found_by_what_it_is),
        cmocka_unit_test(keys_have_256_bits_and_never_repeat),
        cmocka_unit_test(what_is_no_line_is_refused_with_its_number),
        cmocka_unit_test(a_name_may_have_several_keys),
        cmocka_unit_test(broken_bytes_are_an_error_and_nothing_worse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
