// SPDX-License-Identifier: MIT
#include "../test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "base/mem.h"
#include "net/peers.h"

static struct sockaddr *address_of(struct sockaddr_storage *storage, const char *text)
{
    struct sockaddr_in *four = (struct sockaddr_in *)storage;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)storage;
    *storage = (struct sockaddr_storage){0};
    if (inet_pton(AF_INET, text, &four->sin_addr) == 1)
        four->sin_family = AF_INET;
    else if (inet_pton(AF_INET6, text, &six->sin6_addr) == 1)
        six->sin6_family = AF_INET6;
    else
        storage->ss_family = AF_UNIX;
    return (struct sockaddr *)storage;
}

static void each_address_is_counted_by_itself(void **state)
{
    static const struct {
        const char *text;
        int n; // with it
    } table[] = {{"10.0.0.1", 1},
                 {"10.0.0.2", 1},
                 {"10.0.0.1", 2},
                 {"::ffff:10.0.0.1", 3},
                 {"2001:db8:1:2::1", 1},
                 {"2001:db8:1:2::2", 2}, // one /64
                 {"2001:db8:1:3::1", 1},
                 {"unix", 0},
                 {"unix", 0},
                 {"::1", 1}};
    struct peers *p = peers_new();
    struct sockaddr_storage s;
    for (size_t i = 0; i < COUNT_OF(table); i++)
        assert_int_equal(peers_enter(p, address_of(&s, table[i].text)), table[i].n);
    assert_int_equal(peers_count(p, address_of(&s, "10.0.0.1")), 3);
    assert_int_equal(peers_count(p, address_of(&s, "10.0.0.3")), 0);
    assert_int_equal(peers_count(p, NULL), 0);
    assert_int_equal(peers_leave(p, address_of(&s, "10.0.0.1")), 2);
    assert_int_equal(peers_leave(p, address_of(&s, "10.0.0.2")), 0);
    assert_int_equal(peers_leave(p, address_of(&s, "10.0.0.2")), 0); // it is not there any more
    assert_int_equal(peers_enter(p, address_of(&s, "10.0.0.2")), 1);
    peers_free(p);
}

static void many_addresses_come_and_go(void **state)
{
    struct peers *p = peers_new();
    struct sockaddr_in four = {.sin_family = AF_INET};
    for (int round = 1; round <= 2; round++)
        for (uint32_t i = 0; i < 20000; i++) {
            four.sin_addr.s_addr = htonl(i);
            assert_int_equal(peers_enter(p, (struct sockaddr *)&four), round);
        }
    for (int round = 1; round >= 0; round--)
        for (uint32_t i = 0; i < 20000; i++) {
            four.sin_addr.s_addr = htonl(i);
            assert_int_equal(peers_leave(p, (struct sockaddr *)&four), round);
        }
    peers_free(p);
}

static void addresses_are_named_without_a_port(void **state)
{
    static const struct {
        const char *text, *shown;
    } table[] = {{"10.0.0.1", "10.0.0.1"},
                 {"::ffff:10.0.0.1", "10.0.0.1"},
                 {"2001:db8:1:2:3333:4444:5555:6666", "2001:db8:1:2:3333:4444:5555:6666"},
                 {"unix", "unix"}};
    char shown[PEERS_ADDRESS_BYTES];
    struct sockaddr_storage s;
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        peers_format(address_of(&s, table[i].text), shown);
        assert_string_equal(shown, table[i].shown);
    }
    peers_format(NULL, shown);
    assert_string_equal(shown, "unix");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_address_is_counted_by_itself),
                                       cmocka_unit_test(many_addresses_come_and_go),
                                       cmocka_unit_test(addresses_are_named_without_a_port)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
