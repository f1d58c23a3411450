// SPDX-License-Identifier: MIT
#include "net/guard.h"

#include <string.h>
#include <strings.h>

#include "base/mem.h"

// Names of which a second one makes a request ambiguous.
static const char *const unique_names[] = {"Host",         "Content-Length",   "Transfer-Encoding",
                                           "Content-Type", "Content-Encoding", "Authorization",
                                           "Origin",       "Expect",           "X-Api-Key"};

enum { HOST, CONTENT_LENGTH, TRANSFER_ENCODING, EXPECT = 7 };

static bool is_named(struct slice a, const char *name)
{
    return a.n == strlen(name) && strncasecmp(a.at, name, a.n) == 0;
}

static bool is_alphanumeric(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_one_of(char c, const char *set)
{
    return c != 0 && strchr(set, c) != NULL;
}

bool guard_is_token(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (!is_alphanumeric(s.at[i]) && !is_one_of(s.at[i], "!#$%&'*+-.^_`|~"))
            return false;
    }
    return s.n > 0;
}

static bool is_field_value(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.at[i];
        if ((c < 0x20 && c != '\t') || c == 0x7F)
            return false;
    }
    return true;
}

static bool is_host(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (!is_alphanumeric(s.at[i]) && !is_one_of(s.at[i], ".-_:[]%~"))
            return false;
    }
    return true;
}

static bool parse_length(struct slice s, uint64_t *value)
{
    *value = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.at[i] < '0' || s.at[i] > '9' || i >= 18)
            return false;
        *value = *value * 10 + (uint64_t)(s.at[i] - '0');
    }
    return s.n > 0;
}

static int refuse(int status, const char *sentence, const char **why)
{
    *why = sentence;
    return status;
}

// Fills found[] (at == NULL: absent) with the headers that must be unique.
static int find_unique(const struct guard_header *headers, size_t n, struct slice *found, const char **why)
{
    for (size_t i = 0; i < n; i++) {
        if (!guard_is_token(headers[i].name))
            return refuse(400, "malformed header name", why);
        if (!is_field_value(headers[i].value))
            return refuse(400, "control character in a header value", why);
        for (size_t k = 0; k < COUNT_OF(unique_names); k++) {
            if (!is_named(headers[i].name, unique_names[k]))
                continue;
            if (found[k].at != NULL)
                return refuse(400, "a header that may stand only once stands twice", why);
            found[k] = headers[i].value.at != NULL ? headers[i].value : slice_make("", 0);
        }
    }
    return 0;
}

struct slice guard_trim(struct slice s)
{
    while (s.n > 0 && is_one_of(s.at[s.n - 1], " \t"))
        s.n--;
    while (s.n > 0 && is_one_of(s.at[0], " \t"))
        s = slice_make(s.at + 1, s.n - 1);
    return s;
}

static int check_host(struct slice host, bool is_http_1_1, const char **why)
{
    if (host.at == NULL && is_http_1_1)
        return refuse(400, "missing Host header", why);
    if (host.at != NULL && !is_host(guard_trim(host)))
        return refuse(400, "malformed Host header", why);
    return 0;
}

static int check_framing(struct slice length, struct slice encoding, bool is_http_1_1,
                         struct guard_facts *facts, const char **why)
{
    if (encoding.at != NULL) {
        if (length.at != NULL)
            return refuse(400, "both Content-Length and Transfer-Encoding", why);
        if (!is_http_1_1)
            return refuse(400, "Transfer-Encoding in an HTTP/1.0 request", why);
        if (!is_named(encoding, "chunked"))
            return refuse(400, "unsupported Transfer-Encoding", why);
        facts->is_chunked = facts->has_body = true;
    }
    if (length.at != NULL) {
        if (!parse_length(length, &facts->content_length))
            return refuse(400, "malformed Content-Length", why);
        facts->has_body = facts->content_length > 0;
    }
    return 0;
}

int guard_check(const struct guard_header *headers, size_t n, bool is_http_1_1, struct guard_facts *facts,
                const char **why)
{
    struct slice found[COUNT_OF(unique_names)] = {{NULL, 0}};
    *facts = (struct guard_facts){0};
    int status = find_unique(headers, n, found, why);
    if (status == 0)
        status = check_host(found[HOST], is_http_1_1, why);
    if (status == 0)
        status = check_framing(found[CONTENT_LENGTH], found[TRANSFER_ENCODING], is_http_1_1, facts, why);
    if (status == 0 && found[EXPECT].at != NULL) {
        facts->expects_continue = is_named(found[EXPECT], "100-continue");
        if (!facts->expects_continue)
            return refuse(417, "unsupported Expect header", why);
    }
    return status;
}

// --- the layout ---

bool guard_check_layout(const struct guard_layout *layout, const struct guard_header *headers, size_t n)
{
    enum { CRLF = 2 };
    uintptr_t start = (uintptr_t)layout->start, end = start + layout->n_bytes;
    uintptr_t at = start + layout->n_request_line; // where the next line must begin
    for (size_t i = 0; i < n; i++) {
        uintptr_t colon = (uintptr_t)headers[i].name.at + headers[i].name.n,
                  value = (uintptr_t)headers[i].value.at;
        if ((uintptr_t)headers[i].name.at != at || value <= colon || value > end)
            return false;
        at = value + headers[i].value.n + CRLF;
    }
    return at + CRLF == end;
}

// --- the request target ---

static int hex_digit(char c)
{
    int lower = c | 0x20;
    return c >= '0' && c <= '9' ? c - '0' : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static int decode_path(struct slice raw, char *path, const char **why)
{
    size_t n = 0;
    for (size_t i = 0; i < raw.n; i++) {
        unsigned char c = (unsigned char)raw.at[i];
        if (c == '%') {
            int high = i + 2 < raw.n ? hex_digit(raw.at[i + 1]) : -1,
                low = i + 2 < raw.n ? hex_digit(raw.at[i + 2]) : -1;
            if (high < 0 || low < 0)
                return refuse(400, "malformed escape in the path", why);
            c = (unsigned char)(high * 16 + low);
            i += 2;
            if (c == 0)
                return refuse(400, "NUL in the path", why);
        } else if (c <= 0x20 || c == 0x7F) {
            return refuse(400, "control character in the path", why);
        }
        path[n++] = (char)c;
    }
    path[n] = 0;
    return 0;
}

// Length of "http://host" in front of the path, 0 if there is none, SIZE_MAX if it is not `host`.
static size_t authority_length(struct slice raw, struct slice host)
{
    static const char *const schemes[] = {"http://", "https://"};
    for (size_t i = 0; i < COUNT_OF(schemes); i++) {
        size_t scheme = strlen(schemes[i]);
        if (raw.n < scheme || strncasecmp(raw.at, schemes[i], scheme) != 0)
            continue;
        size_t end = scheme;
        while (end < raw.n && !is_one_of(raw.at[end], "/?"))
            end++;
        bool is_same =
            host.n > 0 && end - scheme == host.n && strncasecmp(raw.at + scheme, host.at, host.n) == 0;
        return is_same ? end : SIZE_MAX;
    }
    return 0;
}

int guard_split_target(struct slice raw, struct slice host, char *path, size_t *query, const char **why)
{
    size_t start = authority_length(raw, host);
    if (start == SIZE_MAX)
        return refuse(400, "the request target names another host than the Host header", why);
    const char *mark = memchr(raw.at + start, '?', raw.n - start);
    size_t end = mark != NULL ? (size_t)(mark - raw.at) : raw.n;
    *query = mark != NULL ? end + 1 : raw.n;
    struct slice rest = slice_make(raw.at + start, end - start);
    if (start > 0 && rest.n == 0)
        rest = slice_of("/");
    if (rest.n == 0 || (rest.at[0] != '/' && !slice_is(rest, "*")))
        return refuse(400, "the request target is not a path", why);
    return decode_path(rest, path, why);
}
