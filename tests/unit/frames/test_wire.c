// SPDX-License-Identifier: MIT
// The wire: messages of every size come through whole, split at every byte; caps hold on both sides; noise is
// refused or ignored, never harmful.
#include "../test.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "frames/wire.h"

static void make_pair(int fds[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
}

static char *pattern(size_t n)
{
    char *bytes = malloc(n + 1);
    for (size_t i = 0; i < n; i++)
        bytes[i] = (char)(i * 31 + i / 251);
    return bytes;
}

// Moves everything from a to b until the next message is there.
static void receive(struct wire *a, struct wire *b, struct wire_message *m)
{
    for (;;) {
        assert_int_equal(wire_flush(a, NULL), 0);
        int rc = wire_next(b, m, NULL);
        assert_true(rc >= 0);
        if (rc == 1)
            return;
        assert_true(wire_fill(b, NULL) >= 0);
    }
}

static void test_messages_of_every_size(void **unused)
{
    static const size_t sizes[] = {
        0,      1, 11, 12, WIRE_MAX_PAYLOAD - 1, WIRE_MAX_PAYLOAD, WIRE_MAX_PAYLOAD + 1, 3 * WIRE_MAX_PAYLOAD,
        5000000};
    int fds[2];
    struct wire a, b;
    make_pair(fds);
    wire_init(&a, fds[0], 100, 8 << 20);
    wire_init(&b, fds[1], 5000000, 100);
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct wire_message m;
        char *bytes = pattern(sizes[i]);
        assert_int_equal(wire_push(&a, (uint16_t)(i + 1), (uint32_t)i, bytes, sizes[i], NULL), 0);
        receive(&a, &b, &m);
        assert_true(m.type == i + 1 && m.id == i);
        assert_int_equal(m.n, sizes[i]);
        assert_true(m.n == 0 || memcmp(m.bytes, bytes, m.n) == 0);
        free(bytes);
    }
    assert_int_equal(wire_queued_bytes(&a), 0);
    wire_fini(&a);
    wire_fini(&b);
}

static void test_split_at_every_byte(void **unused)
{
    struct strbuf stream = STRBUF_INIT(1000);
    static const unsigned char two_parts[] = {3, 0, 0, 0, 7, 0, 1, 0, 9, 0, 0, 0, 'a', 'b', 'c',
                                              2, 0, 0, 0, 7, 0, 0, 0, 9, 0, 0, 0, 'd', 'e'};
    static const unsigned char one[] = {1, 0, 0, 0, 8, 0, 0, 0, 4, 0, 0, 0, 'x'};
    strbuf_push(&stream, two_parts, sizeof two_parts);
    strbuf_push(&stream, one, sizeof one);
    for (size_t cut = 0; cut <= stream.n; cut++) {
        int fds[2], seen = 0;
        struct wire w;
        struct wire_message m;
        make_pair(fds);
        wire_init(&w, fds[1], 1000, 1000);
        for (int part = 0; part < 2; part++) {
            size_t from = part == 0 ? 0 : cut, n = part == 0 ? cut : stream.n - cut;
            assert_int_equal(write(fds[0], stream.at + from, n), n);
            while (wire_fill(&w, NULL) == 1)
                ;
            while (wire_next(&w, &m, NULL) == 1) {
                if (seen++ == 0)
                    assert_true(m.type == 7 && m.id == 9 && m.n == 5 && memcmp(m.bytes, "abcde", 5) == 0);
                else
                    assert_true(m.type == 8 && m.id == 4 && m.n == 1 && memcmp(m.bytes, "x", 1) == 0);
            }
        }
        assert_int_equal(seen, 2);
        close(fds[0]);
        struct err err = {0};
        assert_int_equal(wire_fill(&w, &err), -1);
        assert_int_equal(err.code, ERR_NOT_FOUND);
        wire_fini(&w);
    }
    strbuf_fini(&stream);
}

static void test_caps(void **unused)
{
    int fds[2];
    struct wire a, b;
    struct wire_message m;
    struct err err = {0};
    char *bytes = pattern(200000);
    make_pair(fds);
    wire_init(&a, fds[0], 1000, 300000);
    wire_init(&b, fds[1], 150000, 1000);
    assert_int_equal(wire_push(&a, 1, 1, bytes, 200000, NULL), 0);
    size_t before = wire_queued_bytes(&a);
    assert_int_equal(wire_push(&a, 1, 2, bytes, 200000, &err),
                     -1); // does not fit behind the first: nothing of it is queued
    assert_int_equal(err.code, ERR_TOO_LARGE);
    assert_int_equal(wire_queued_bytes(&a), before);
    err_clear(&err);
    int rc;
    do { // longer than the receiver takes
        assert_int_equal(wire_flush(&a, NULL), 0);
        assert_true(wire_fill(&b, NULL) >= 0);
        rc = wire_next(&b, &m, &err);
    } while (rc == 0);
    assert_int_equal(rc, -1);
    assert_int_equal(err.code, ERR_FORMAT);
    free(bytes);
    wire_fini(&a);
    wire_fini(&b);
}

static void check_refused(const void *bytes, size_t n)
{
    int fds[2];
    struct wire w;
    struct wire_message m;
    struct err err = {0};
    make_pair(fds);
    wire_init(&w, fds[1], 1000, 1000);
    assert_int_equal(write(fds[0], bytes, n), n);
    assert_int_equal(wire_fill(&w, NULL), 1);
    int rc;
    while ((rc = wire_next(&w, &m, &err)) == 1)
        ;
    assert_int_equal(rc, -1);
    assert_int_equal(err.code, ERR_FORMAT);
    close(fds[0]);
    wire_fini(&w);
}

static void test_broken_frames(void **unused)
{
    static const unsigned char too_long[12] = {1, 0, 1, 0, 1, 0, 0, 0};
    static const unsigned char odd_flag[12] = {0, 0, 0, 0, 1, 0, 2, 0};
    static const unsigned char other_type[24] = {0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0};
    static const unsigned char other_id[24] = {0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1};
    check_refused(too_long, sizeof too_long);
    check_refused(odd_flag, sizeof odd_flag);
    check_refused(other_type, sizeof other_type);
    check_refused(other_id, sizeof other_id);
}

static void test_noise(void **unused)
{
    uint64_t state = 12345;
    for (int i = 0; i < 3000; i++) {
        int fds[2];
        struct wire w;
        struct wire_message m;
        unsigned char noise[512];
        for (size_t k = 0; k < sizeof noise; k++) {
            state = state * 6364136223846793005ull + 1442695040888963407ull;
            noise[k] = (unsigned char)(state >> 60 > 11 ? state >> 33 : 0);
        }
        make_pair(fds);
        wire_init(&w, fds[1], 4096, 1000);
        assert_int_equal(write(fds[0], noise, sizeof noise), sizeof noise);
        while (wire_fill(&w, NULL) == 1)
            ;
        while (wire_next(&w, &m, NULL) == 1)
            assert_true(m.n <= 4096);
        close(fds[0]);
        wire_fini(&w);
    }
}

static void test_other_side_gone(void **unused)
{
    int fds[2];
    struct wire a;
    struct err err = {0};
    make_pair(fds);
    wire_init(&a, fds[0], 1000, 1000);
    close(fds[1]);
    assert_int_equal(wire_push(&a, 1, 1, "x", 1, NULL), 0);
    assert_int_equal(wire_flush(&a, &err), -1);
    assert_int_equal(err.code, ERR_NOT_FOUND);
    wire_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages_of_every_size),
        cmocka_unit_test(test_split_at_every_byte),
        cmocka_unit_test(test_caps),
        cmocka_unit_test(test_broken_frames),
        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_other_side_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
