// SPDX-License-Identifier: MIT
// A list is read anew for each question: it is short, and so nothing has to be kept in step with the option.
// Everything is an IPv6 address inside; IPv4 ones are mapped.
#include "base/networks.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct network {
    uint8_t at[16];
    unsigned n_bits;
    bool is_unix;
};

static bool read_address(const char *text, struct network *out)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    *out = (struct network){.n_bits = 128, .is_unix = strcasecmp(text, "unix") == 0};
    if (out->is_unix || inet_pton(AF_INET6, text, out->at) == 1)
        return true;
    memcpy(out->at, mapped, sizeof mapped);
    return inet_pton(AF_INET, text, out->at + sizeof mapped) == 1;
}

// "10.0.0.0/8"
static bool read_network(char *text, struct network *out)
{
    char *slash = strchr(text, '/'), *end = NULL;
    if (slash == NULL)
        return read_address(text, out);
    *slash = 0;
    bool is_four = strchr(text, ':') == NULL;
    unsigned long n = slash[1] >= '0' && slash[1] <= '9' ? strtoul(slash + 1, &end, 10) : 999;
    if (!read_address(text, out) || out->is_unix || n > (is_four ? 32u : 128u) || *end != 0)
        return false;
    out->n_bits = (unsigned)n + (is_four ? 96 : 0);
    return true;
}

// The next entry's text into `out`, cut if too long (then it is no network). False: there is none.
static bool next_entry(const char **list, char out[64])
{
    static const char *const between = ", \t";
    *list += strspn(*list, between);
    size_t n = strcspn(*list, between), n_kept = n < 63 ? n : 63;
    memcpy(out, *list, n_kept);
    out[n_kept] = 0;
    *list += n;
    return n > 0;
}

int networks_check(const char *list, struct err *err)
{
    char text[64], shown[64];
    struct network n;
    while (next_entry(&list, text)) {
        memcpy(shown, text, sizeof shown);
        if (!read_network(text, &n))
            return err_set(err, ERR_INVALID, "\"%s\" is no address or network such as 10.0.0.0/8", shown);
    }
    return 0;
}

static bool is_inside(const struct network *n, const struct network *address)
{
    unsigned n_bytes = n->n_bits / 8, n_rest = n->n_bits % 8;
    if (n->is_unix || address->is_unix)
        return n->is_unix && address->is_unix;
    if (memcmp(n->at, address->at, n_bytes) != 0)
        return false;
    return n_rest == 0 || (n->at[n_bytes] ^ address->at[n_bytes]) >> (8 - n_rest) == 0;
}

bool networks_contain(const char *list, const char *address)
{
    char text[64];
    struct network n, wanted;
    if (!read_address(address, &wanted))
        return false;
    while (next_entry(&list, text))
        if (read_network(text, &n) && is_inside(&n, &wanted))
            return true;
    return false;
}
