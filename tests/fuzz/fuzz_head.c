// SPDX-License-Identifier: MIT
// The head of an HTTP request, cut into lines as the library does it: the check against smuggling, the
// target, the guard of Host and Origin, and what options and peers write as addresses.
#include "fuzz.h"

#include "base/networks.h"
#include "net/cors.h"
#include "net/guard.h"
#include "net/hosts.h"

enum { MAX_HEADERS = 128 };

struct head {
    struct slice target;
    struct guard_header headers[MAX_HEADERS];
    size_t n_headers, n_line;
};

static struct slice take_line(struct slice *rest)
{
    const char *end = rest->n > 0 ? memchr(rest->at, '\n', rest->n) : NULL;
    struct slice line = slice_make(rest->at, end != NULL ? (size_t)(end - rest->at) : rest->n);
    size_t used = line.n + (end != NULL);
    *rest = slice_make(rest->at + used, rest->n - used);
    if (line.n > 0 && line.at[line.n - 1] == '\r')
        line.n--;
    return line;
}

static void read_head(struct head *h, struct slice bytes)
{
    struct slice rest = bytes;
    h->target = take_line(&rest);
    h->n_line = bytes.n - rest.n;
    while (rest.n > 0 && h->n_headers < MAX_HEADERS) {
        struct slice line = take_line(&rest);
        const char *colon = line.n > 0 ? memchr(line.at, ':', line.n) : NULL;
        struct guard_header *to = &h->headers[h->n_headers];
        if (line.n == 0)
            break;
        to->name = slice_make(line.at, colon != NULL ? (size_t)(colon - line.at) : line.n);
        to->value = colon != NULL ? guard_trim(slice_make(colon + 1, line.n - to->name.n - 1)) : slice_of("");
        h->n_headers++;
    }
}

static void check_target(struct slice raw, struct slice host)
{
    char *path = xmalloc(raw.n + 2);
    size_t query = 0;
    const char *why = NULL;
    int status = guard_split_target(raw, host, path, &query, &why);
    FUZZ_CHECK(status == 0 || (status == 400 && why != NULL));
    FUZZ_CHECK(status != 0 || (query <= raw.n && strlen(path) <= raw.n + 1));
    free(path);
}

static void check_addresses(const char *text)
{
    static struct cors *cors;
    struct err err = {0};
    char url[HOSTS_URL_BYTES];
    if (cors == NULL)
        cors = cors_new("https://*.example.org,http://one", &err);
    struct cors_question q = {.listens_on_loopback = true, .method = "GET", .host = text, .origin = text};
    struct cors_answer answer = cors_decide(cors, &q);
    FUZZ_CHECK(answer.n_headers <= CORS_MAX_HEADERS);
    struct cors *own = cors_new(text, &err);
    fuzz_check_result(own != NULL ? 0 : -1, &err);
    cors_free(own);
    struct err none = {0};
    if (networks_check(text, &none) == 0)
        networks_contain(text, "10.1.2.3");
    struct hosts_address a = hosts_parse(text);
    hosts_format(&a, url);
    hosts_format_client_url(&a, url);
    hosts_is_loopback(a.host);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static struct head h;
    struct guard_facts facts = {0};
    const char *why = NULL;
    h.n_headers = 0;
    read_head(&h, slice_make(bytes, n));
    int status = guard_check(h.headers, h.n_headers, true, &facts, &why);
    FUZZ_CHECK(status == 0 || ((status == 400 || status == 417) && why != NULL));
    guard_check(h.headers, h.n_headers, false, &facts, &why);
    struct guard_layout layout = {.start = (const char *)bytes, .n_bytes = n, .n_request_line = h.n_line};
    guard_check_layout(&layout, h.headers, h.n_headers);
    check_target(h.target, h.n_headers > 0 ? h.headers[0].value : slice_of("localhost"));
    if (h.n_headers > 0) {
        char *text = xstrndup(h.headers[0].value.at, h.headers[0].value.n);
        check_addresses(text);
        free(text);
    }
    return 0;
}
