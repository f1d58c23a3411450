// SPDX-License-Identifier: MIT
#include "net/hosts.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/slice.h"

static bool is_one_of(char c, const char *set)
{
    return c != 0 && strchr(set, c) != NULL;
}

static struct slice trim(struct slice s, const char *set)
{
    while (s.n > 0 && is_one_of(s.at[s.n - 1], set))
        s.n--;
    while (s.n > 0 && is_one_of(s.at[0], set))
        s = slice_make(s.at + 1, s.n - 1);
    return s;
}

// Cuts `s` at the first byte of `set`; the rest begins with that byte, or is empty.
static struct slice cut_before(struct slice *s, const char *set)
{
    size_t n = 0;
    while (n < s->n && !is_one_of(s->at[n], set))
        n++;
    struct slice rest = slice_make(s->at + n, s->n - n);
    s->n = n;
    return rest;
}

static void copy(char *out, size_t size, struct slice s)
{
    snprintf(out, size, "%.*s", (int)(s.n < size ? s.n : size - 1), s.at);
}

enum { SCHEME_BYTES = sizeof(((struct hosts_address *)0)->scheme) };

// Takes "scheme://" off. The port that goes with it is the default; without a scheme Ollama's.
static uint16_t take_scheme(struct slice *s, char scheme[SCHEME_BYTES])
{
    static const struct {
        const char *text, *name;
        uint16_t port;
    } schemes[] = {{"http://", "http", 80}, {"https://", "https", 443}};
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        size_t n = strlen(schemes[i].text);
        if (s->n < n || strncasecmp(s->at, schemes[i].text, n) != 0)
            continue;
        *s = slice_make(s->at + n, s->n - n);
        snprintf(scheme, SCHEME_BYTES, "%s", schemes[i].name);
        return schemes[i].port;
    }
    snprintf(scheme, SCHEME_BYTES, "http");
    return HOSTS_DEFAULT_PORT;
}

static bool parse_port(struct slice s, uint16_t *port)
{
    uint32_t value = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.at[i] < '0' || s.at[i] > '9' || i >= 9)
            return false;
        value = value * 10 + (uint32_t)(s.at[i] - '0');
    }
    *port = (uint16_t)value;
    return s.n > 0 && value <= UINT16_MAX;
}

// Where ":port" begins, or s.n. More than one colon without brackets is an IPv6 address and no port.
static size_t find_port(struct slice s)
{
    const char *bracket = s.n > 0 && s.at[0] == '[' ? memchr(s.at, ']', s.n) : NULL;
    size_t from = bracket != NULL ? (size_t)(bracket - s.at) : 0;
    const char *colon = memchr(s.at + from, ':', s.n - from);
    if (colon == NULL ||
        (bracket == NULL && memchr(colon + 1, ':', (size_t)(s.at + s.n - colon - 1)) != NULL))
        return s.n;
    return (size_t)(colon - s.at);
}

static bool take_unix(struct slice s, struct hosts_address *a)
{
    static const char scheme[] = "unix:";
    size_t n = sizeof scheme - 1;
    if (s.n < n || strncasecmp(s.at, scheme, n) != 0)
        return false;
    s = slice_make(s.at + n, s.n - n);
    if (s.n >= 2 && memcmp(s.at, "//", 2) == 0)
        s = slice_make(s.at + 2, s.n - 2);
    snprintf(a->scheme, sizeof a->scheme, "unix");
    copy(a->host, sizeof a->host, slice_of("127.0.0.1"));
    copy(a->path, sizeof a->path, s);
    return true;
}

bool hosts_is_unix(const struct hosts_address *a)
{
    return strcmp(a->scheme, "unix") == 0;
}

struct hosts_address hosts_parse(const char *text)
{
    struct hosts_address a = {0};
    struct slice s = trim(trim(trim(slice_of(text != NULL ? text : ""), " \t\r\n"), "\"'"), " \t\r\n");
    if (take_unix(s, &a))
        return a;
    uint16_t default_port = take_scheme(&s, a.scheme);
    struct slice path = cut_before(&s, "/");
    cut_before(&path, "?#");
    while (path.n > 0 && path.at[path.n - 1] == '/')
        path.n--;
    copy(a.path, sizeof a.path, path);

    size_t colon = find_port(s);
    struct slice host = trim(slice_make(s.at, colon), "[]");
    a.port = default_port;
    if (colon < s.n && !parse_port(slice_make(s.at + colon + 1, s.n - colon - 1), &a.port)) {
        a.port = default_port;
        a.port_is_bad = true;
    }
    if ((host.n == 0 && colon == s.n) || host.n >= sizeof a.host)
        host = slice_of("127.0.0.1");
    copy(a.host, sizeof a.host, host);
    return a;
}

static void format(const struct hosts_address *a, const char *host, char out[HOSTS_URL_BYTES])
{
    bool is_v6 = strchr(host, ':') != NULL;
    snprintf(out, HOSTS_URL_BYTES, is_v6 ? "%s://[%s]:%u%s" : "%s://%s:%u%s", a->scheme, host, a->port,
             a->path);
}

void hosts_format(const struct hosts_address *a, char out[HOSTS_URL_BYTES])
{
    if (hosts_is_unix(a)) {
        snprintf(out, HOSTS_URL_BYTES, "unix://%s", a->path);
        return;
    }
    format(a, a->host, out);
}

static bool parse_v4(const char *host, uint32_t *address)
{
    struct in_addr four;
    if (inet_pton(AF_INET, host, &four) != 1)
        return false;
    *address = ntohl(four.s_addr);
    return true;
}

void hosts_format_client_url(const struct hosts_address *a, char out[HOSTS_URL_BYTES])
{
    uint32_t four;
    struct in6_addr six;
    const char *host = a->host;
    if (hosts_is_unix(a)) {
        snprintf(out, HOSTS_URL_BYTES, "http://localhost");
        return;
    }
    if (host[0] == 0 || (parse_v4(host, &four) && four == 0))
        host = "127.0.0.1";
    else if (inet_pton(AF_INET6, host, &six) == 1 && IN6_IS_ADDR_UNSPECIFIED(&six))
        host = "::1";
    format(a, host, out);
}

bool hosts_is_loopback(const char *host)
{
    uint32_t four;
    struct in6_addr six;
    if (parse_v4(host, &four))
        return four >> 24 == 127;
    if (inet_pton(AF_INET6, host, &six) == 1)
        return IN6_IS_ADDR_LOOPBACK(&six) || (IN6_IS_ADDR_V4MAPPED(&six) && six.s6_addr[12] == 127);
    return strcasecmp(host, "localhost") == 0;
}
