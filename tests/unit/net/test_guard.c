// SPDX-License-Identifier: MIT
#include "../test.h"

#include "base/mem.h"
#include "net/guard.h"

enum { MAX_LINES = 8 };

struct guard_case {
    const char *lines[MAX_LINES]; // "Name|value"
    bool is_http_1_0;
    int status;
};

static size_t split(const struct guard_case *c, struct guard_header *headers)
{
    size_t n = 0;
    for (; n < MAX_LINES && c->lines[n] != NULL; n++) {
        const char *bar = strchr(c->lines[n], '|');
        headers[n] =
            (struct guard_header){slice_make(c->lines[n], (size_t)(bar - c->lines[n])), slice_of(bar + 1)};
    }
    return n;
}

static void ambiguous_headers_are_refused(void **state)
{
    static const struct guard_case cases[] = {
        {{"Host|x"}, false, 0},
        {{"host|[::1]:11434"}, false, 0},
        {{"Host|"}, false, 0},
        {{NULL}, false, 400},
        {{NULL}, true, 0},
        {{"Host|x", "host|x"}, false, 400},
        {{"Host|x", "Content-Length|5"}, false, 0},
        {{"Host|x", "Content-Length|0"}, false, 0},
        {{"Host|x", "Content-Length|"}, false, 400},
        {{"Host|x", "Content-Length|1234567890123456789"}, false, 400},
        {{"Host|x", "Content-Length|5,5"}, false, 400},
        {{"Host|x", "Content-Length|5", "CONTENT-LENGTH|5"}, false, 400},
        {{"Host|x", "Content-Length|5", "Transfer-Encoding|chunked"}, false, 400},
        {{"Host|x", "Transfer-Encoding|Chunked"}, false, 0},
        {{"Host|x", "Transfer-Encoding|chunked"}, true, 400},
        {{"Host|x", "Transfer-Encoding|identity"}, false, 400},
        {{"Host|x", "Transfer-Encoding|"}, false, 400},
        {{"Host|x", "Transfer-Encoding|chunked", "Transfer-Encoding|identity"}, false, 400},
        {{"Host|x", "X-A|1", "X-A|2", "Accept|a", "Accept|b", "Cookie|\xff"}, false, 0},
        {{"Host|x", "X-A |1"}, false, 400},
        {{"Host|x", "|1"}, false, 400},
        {{"Host|x", "X\tA|1"}, false, 400},
        {{"Host|x", "X-A|tab\tis fine"}, false, 0},
        {{"Host|x", "X-A|no\rreturn"}, false, 400},
        {{"Host|x", "X-A|no\nnewline"}, false, 400},
        {{"Host|x", "Authorization|a", "Authorization|b"}, false, 400},
        {{"Host|x", "Expect|100-Continue"}, false, 0},
        {{"Host|x", "Expect|200-maybe"}, false, 417},
        {{"Host|a,b"}, false, 400},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct guard_header headers[MAX_LINES];
        struct guard_facts facts;
        const char *why = NULL;
        size_t n = split(&cases[i], headers);
        int status = guard_check(headers, n, !cases[i].is_http_1_0, &facts, &why);
        if (status != cases[i].status)
            fail_msg("case %zu: %d instead of %d (%s)", i, status, cases[i].status, why ? why : "");
        assert_true(status == 0 || why != NULL);
    }
    struct guard_header nul = {slice_of("X"), slice_make("a\0b", 3)};
    struct guard_facts facts;
    const char *why;
    assert_int_equal(guard_check(&nul, 1, false, &facts, &why), 400);
}

static void facts_of_the_body(void **state)
{
    struct guard_facts facts;
    const char *why;
    struct guard_header length[] = {{slice_of("Content-Length"), slice_of("123456789012345678")},
                                    {slice_of("Expect"), slice_of("100-continue")}};
    assert_int_equal(guard_check(length, 2, false, &facts, &why), 0);
    assert_true(facts.has_body && !facts.is_chunked && facts.expects_continue);
    assert_true(facts.content_length == 123456789012345678u);
    struct guard_header chunked[] = {{slice_of("Transfer-Encoding"), slice_of("chunked")},
                                     {slice_of("Host"), slice_of("x")}};
    assert_int_equal(guard_check(chunked, 2, true, &facts, &why), 0);
    assert_true(facts.has_body && facts.is_chunked && !facts.expects_continue);
}

static void targets_are_taken_apart(void **state)
{
    static const struct {
        const char *raw, *path, *query; // path NULL: refused
    } cases[] = {
        {"/", "/", ""},
        {"/a/b", "/a/b", ""},
        {"/a?", "/a", ""},
        {"/a?b?c%20", "/a", "b?c%20"},
        {"/%2Fx%2f", "//x/", ""},
        {"/%e2%82%AC", "/\xE2\x82\xAC", ""},
        {"*", "*", ""},
        {"http://example:80/p?q", "/p", "q"},
        {"HTTPS://EXAMPLE:80", "/", ""},
        {"http://example:80?q", "/", "q"},
        {"http://other/p", NULL, NULL},
        {"http:///p", NULL, NULL},
        {"", NULL, NULL},
        {"a", NULL, NULL},
        {"?q", NULL, NULL},
        {"**", NULL, NULL},
        {"/%", NULL, NULL},
        {"/%4", NULL, NULL},
        {"/%4g", NULL, NULL},
        {"/%00", NULL, NULL},
        {"/a b", NULL, NULL},
        {"/\x7f", NULL, NULL},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char path[100];
        size_t query = 0;
        const char *why = NULL;
        int status = guard_split_target(slice_of(cases[i].raw), slice_of("example:80"), path, &query, &why);
        if (status != (cases[i].path == NULL ? 400 : 0))
            fail_msg("%s: %d", cases[i].raw, status);
        if (cases[i].path == NULL)
            continue;
        assert_string_equal(path, cases[i].path);
        assert_string_equal(cases[i].raw + query, cases[i].query);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ambiguous_headers_are_refused),
        cmocka_unit_test(facts_of_the_body),
        cmocka_unit_test(targets_are_taken_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
