// SPDX-License-Identifier: MIT
#include "net/cors.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/slice.h"
#include "net/hosts.h"

static const char *const always_allowed[] = {
    "http://localhost", "https://localhost", "http://localhost:*", "https://localhost:*",
    "http://127.0.0.1", "https://127.0.0.1", "http://127.0.0.1:*", "https://127.0.0.1:*",
    "http://0.0.0.0",   "https://0.0.0.0",   "http://0.0.0.0:*",   "https://0.0.0.0:*",
    "app://*",          "file://*",          "tauri://*",          "vscode-webview://*",
    "vscode-file://*",
};

static const char *const exact_schemes[] = {"http://",
                                            "https://",
                                            "chrome-extension://",
                                            "safari-extension://",
                                            "moz-extension://",
                                            "ms-browser-extension://"};

static const char allowed_methods[] = "GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS";
static const char allowed_headers[] = "Authorization,Content-Type,User-Agent,Accept,X-Requested-With,Openai-"
                                      "Beta,X-Stainless-Arch,X-Stainless-Async,"
                                      "X-Stainless-Custom-Poll-Interval,X-Stainless-Helper-Method,X-"
                                      "Stainless-Lang,X-Stainless-Os,X-Stainless-Package-Version,"
                                      "X-Stainless-Poll-Helper,X-Stainless-Retry-Count,X-Stainless-Runtime,X-"
                                      "Stainless-Runtime-Version,X-Stainless-Timeout";

struct cors {
    bool allows_all;
    char **entries; // lower case
    size_t n;
};

// --- the allow list ---

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static int check_entry(const char *entry, struct err *err)
{
    const char *star = strchr(entry, '*');
    if (star != NULL && strchr(star + 1, '*') != NULL)
        return err_set(err, ERR_INVALID, "bad origin '%s': only one '*' is allowed", entry);
    if (star != NULL)
        return 0;
    for (size_t i = 0; i < COUNT_OF(exact_schemes); i++) {
        if (starts_with(entry, exact_schemes[i]))
            return 0;
    }
    return err_set(err, ERR_INVALID,
                   "bad origin '%s': an origin without '*' begins with http://, https:// or the scheme of a "
                   "browser extension",
                   entry);
}

// Takes `entry`.
static void add_entry(struct cors *c, char *entry)
{
    c->entries = xrealloc(c->entries, (c->n + 1) * sizeof(char *));
    c->entries[c->n++] = entry;
    if (strcmp(entry, "*") == 0)
        c->allows_all = true;
}

static char *lower_trimmed(const char *at, size_t n)
{
    while (n > 0 && isspace((unsigned char)at[n - 1]))
        n--;
    while (n > 0 && isspace((unsigned char)at[0]))
        at++, n--;
    char *entry = xstrndup(at, n);
    for (char *c = entry; *c != 0; c++)
        *c = (char)tolower((unsigned char)*c);
    return entry;
}

struct cors *cors_new(const char *extra, struct err *err)
{
    struct cors *c = xcalloc(1, sizeof *c);
    for (const char *at = extra != NULL ? extra : ""; *at != 0;) {
        size_t n = strcspn(at, ",");
        char *entry = lower_trimmed(at, n);
        at += n + (at[n] == ',');
        if (entry[0] == 0) {
            free(entry);
            continue;
        }
        add_entry(c, entry);
        if (check_entry(entry, err) != 0) {
            cors_free(c);
            return NULL;
        }
    }
    for (size_t i = 0; i < COUNT_OF(always_allowed); i++)
        add_entry(c, xstrdup(always_allowed[i]));
    return c;
}

void cors_free(struct cors *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; i < c->n; i++)
        free(c->entries[i]);
    free(c->entries);
    free(c);
}

static bool entry_matches(const char *entry, const char *origin)
{
    const char *star = strchr(entry, '*');
    if (star == NULL)
        return strcasecmp(entry, origin) == 0;
    size_t before = (size_t)(star - entry), after = strlen(star + 1), n = strlen(origin);
    return n >= before + after && strncasecmp(entry, origin, before) == 0 &&
           strcasecmp(star + 1, origin + n - after) == 0;
}

static bool origin_is_allowed(const struct cors *c, const char *origin)
{
    for (size_t i = 0; i < c->n; i++) {
        if (entry_matches(c->entries[i], origin))
            return true;
    }
    return false;
}

// --- Host ---

// The host without its port and brackets.
static void split_host(const char *text, char out[256])
{
    struct slice s = slice_of(text);
    const char *bracket = s.n > 0 && s.at[0] == '[' ? memchr(s.at, ']', s.n) : NULL;
    const char *colon = memchr(s.at, ':', s.n);
    if (bracket != NULL)
        s = slice_make(s.at + 1, (size_t)(bracket - s.at) - 1);
    else if (colon != NULL && strchr(colon + 1, ':') == NULL)
        s.n = (size_t)(colon - s.at);
    snprintf(out, 256, "%.*s", (int)MIN(s.n, (size_t)255), s.at);
}

static bool is_private_v4(uint32_t a)
{
    return a == 0 || a >> 24 == 127 || a >> 24 == 10 || a >> 20 == 0xAC1 || a >> 16 == 0xC0A8;
}

static bool is_private_v6(const struct in6_addr *a)
{
    if (IN6_IS_ADDR_V4MAPPED(a)) {
        uint32_t four;
        memcpy(&four, a->s6_addr + 12, sizeof four);
        return is_private_v4(ntohl(four));
    }
    return IN6_IS_ADDR_LOOPBACK(a) || IN6_IS_ADDR_UNSPECIFIED(a) || (a->s6_addr[0] & 0xFE) == 0xFC;
}

static bool is_same_address(const struct sockaddr *a, int family, const void *address)
{
    if (a == NULL || a->sa_family != family)
        return false;
    if (family == AF_INET)
        return memcmp(&((const struct sockaddr_in *)a)->sin_addr, address, sizeof(struct in_addr)) == 0;
    return memcmp(&((const struct sockaddr_in6 *)a)->sin6_addr, address, sizeof(struct in6_addr)) == 0;
}

static bool is_own_address(int family, const void *address)
{
    struct ifaddrs *list = NULL;
    bool found = false;
    if (getifaddrs(&list) != 0)
        return false;
    for (const struct ifaddrs *i = list; i != NULL && !found; i = i->ifa_next)
        found = is_same_address(i->ifa_addr, family, address);
    freeifaddrs(list);
    return found;
}

enum host_kind { HOST_REFUSED, HOST_ADDRESS, HOST_NAME };

static bool ends_with(const char *text, const char *suffix)
{
    size_t n = strlen(text), n_suffix = strlen(suffix);
    return n >= n_suffix && strcasecmp(text + n - n_suffix, suffix) == 0;
}

static bool name_is_allowed(const char *host)
{
    char own[256] = "";
    if (host[0] == 0 || strcasecmp(host, "localhost") == 0)
        return true;
    if (ends_with(host, ".localhost") || ends_with(host, ".local") || ends_with(host, ".internal"))
        return true;
    return gethostname(own, sizeof own - 1) == 0 && strcasecmp(host, own) == 0;
}

static enum host_kind classify(const char *text)
{
    char host[256];
    struct in_addr four;
    struct in6_addr six;
    if (text != NULL && strlen(text) > 255)
        return HOST_REFUSED; // longer than any name
    split_host(text != NULL ? text : "", host);
    bool ok;
    if (inet_pton(AF_INET, host, &four) == 1)
        ok = is_private_v4(ntohl(four.s_addr)) || is_own_address(AF_INET, &four);
    else if (inet_pton(AF_INET6, host, &six) == 1)
        ok = is_private_v6(&six) || is_own_address(AF_INET6, &six);
    else
        return name_is_allowed(host) ? HOST_NAME : HOST_REFUSED;
    return ok ? HOST_ADDRESS : HOST_REFUSED;
}

bool cors_host_is_allowed(const char *host)
{
    return classify(host) != HOST_REFUSED;
}

// --- the decision ---

static void add(struct cors_answer *a, const char *name, const char *value)
{
    a->headers[a->n_headers++] = (struct cors_header){name, value};
}

static bool is_same_site(const char *origin, const char *host)
{
    size_t scheme = strncasecmp(origin, "http://", 7) == 0    ? 7
                    : strncasecmp(origin, "https://", 8) == 0 ? 8
                                                              : 0;
    return scheme > 0 && host != NULL && strcasecmp(origin + scheme, host) == 0;
}

static void add_preflight(struct cors_answer *a, bool allows_all)
{
    add(a, "Access-Control-Allow-Methods", allowed_methods);
    add(a, "Access-Control-Allow-Headers", allowed_headers);
    add(a, "Access-Control-Max-Age", "43200");
    if (allows_all)
        return;
    add(a, "Vary", "Origin");
    add(a, "Vary", "Access-Control-Request-Method");
    add(a, "Vary", "Access-Control-Request-Headers");
}

struct cors_answer cors_decide(const struct cors *c, const struct cors_question *q)
{
    struct cors_answer a = {.verdict = CORS_PASS};
    bool is_options = strcmp(q->method, "OPTIONS") == 0;
    if (q->origin != NULL && q->origin[0] != 0 && !is_same_site(q->origin, q->host)) {
        if (!c->allows_all && !origin_is_allowed(c, q->origin))
            return (struct cors_answer){.verdict = CORS_REFUSE};
        add(&a, "Access-Control-Allow-Origin", c->allows_all ? "*" : q->origin);
        if (is_options) {
            add_preflight(&a, c->allows_all);
            a.verdict = CORS_PREFLIGHT;
            return a;
        }
        if (!c->allows_all)
            add(&a, "Vary", "Origin");
    }
    if (!q->listens_on_loopback)
        return a;
    enum host_kind kind = classify(q->host);
    if (kind == HOST_REFUSED)
        return (struct cors_answer){.verdict = CORS_REFUSE};
    if (kind == HOST_NAME && is_options)
        a.verdict = CORS_PREFLIGHT;
    return a;
}
