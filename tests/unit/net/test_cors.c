// SPDX-License-Identifier: MIT
#include "../test.h"

#include <unistd.h>

#include "base/mem.h"
#include "base/strbuf.h"
#include "net/cors.h"

struct cors_case {
    const char *method, *host, *origin;
    enum cors_verdict verdict;
    const char *headers; // "Name=value;" ...; NULL: not looked at
};

static char *list_headers(const struct cors_answer *a)
{
    struct strbuf b = STRBUF_INIT(8192);
    strbuf_text(&b);
    for (size_t i = 0; i < a->n_headers; i++)
        strbuf_printf(&b, "%s=%s;", a->headers[i].name, a->headers[i].value);
    return strbuf_take(&b);
}

static void check(const char *extra, bool listens_on_loopback, const struct cors_case *cases, size_t n)
{
    struct err err = {0};
    struct cors *c = cors_new(extra, &err);
    if (c == NULL)
        fail_msg("%s", err.message);
    for (size_t i = 0; i < n; i++) {
        struct cors_question q = {listens_on_loopback, cases[i].method, cases[i].host, cases[i].origin};
        struct cors_answer a = cors_decide(c, &q);
        if (a.verdict != cases[i].verdict)
            fail_msg("case %zu: %s host=%s origin=%s: verdict %d", i, q.method, q.host ? q.host : "-",
                     q.origin ? q.origin : "-", a.verdict);
        char *headers = list_headers(&a);
        if (cases[i].headers != NULL)
            assert_string_equal(headers, cases[i].headers);
        free(headers);
    }
    cors_free(c);
}

static void origins_are_judged(void **state)
{
    static const struct cors_case cases[] = {
        {"GET", "x:1", NULL, CORS_PASS, ""},
        {"GET", "x:1", "", CORS_PASS, ""},
        {"GET", "x:1", "http://x:1", CORS_PASS, ""},
        {"GET", "x:1", "https://x:1", CORS_PASS, ""},
        {"OPTIONS", "x:1", "https://x:1", CORS_PASS, ""},
        {"GET", "x:1", "http://evil.example", CORS_REFUSE, ""},
        {"OPTIONS", "x:1", "http://evil.example", CORS_REFUSE, ""},
        {"GET", "x:1", "null", CORS_REFUSE, ""},
        {"POST", "x:1", "http://localhost:3000", CORS_PASS,
         "Access-Control-Allow-Origin=http://localhost:3000;Vary=Origin;"},
        {"POST", "x:1", "http://localhost", CORS_PASS, NULL},
        {"POST", "x:1", "https://127.0.0.1", CORS_PASS, NULL},
        {"POST", "x:1", "https://0.0.0.0:1", CORS_PASS, NULL},
        {"POST", "x:1", "http://localhost.evil.example", CORS_REFUSE, NULL},
        {"POST", "x:1", "http://127.0.0.1.evil.example", CORS_REFUSE, NULL},
        {"POST", "x:1", "ftp://localhost", CORS_REFUSE, NULL},
        {"POST", "x:1", "app://anything", CORS_PASS, NULL},
        {"POST", "x:1", "tauri://localhost", CORS_PASS, NULL},
        {"POST", "x:1", "file://", CORS_PASS, NULL},
        {"POST", "x:1", "vscode-webview://abc", CORS_PASS, NULL},
        {"POST", "x:1", "vscode-file://vscode-app", CORS_PASS, NULL},
        {"OPTIONS", "x:1", "http://localhost:3000", CORS_PREFLIGHT,
         "Access-Control-Allow-Origin=http://"
         "localhost:3000;Access-Control-Allow-Methods=GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS;"
         "Access-Control-Allow-Headers=Authorization,Content-Type,User-Agent,Accept,X-Requested-With,Openai-"
         "Beta,"
         "X-Stainless-Arch,X-Stainless-Async,X-Stainless-Custom-Poll-Interval,X-Stainless-Helper-Method,X-"
         "Stainless-Lang,"
         "X-Stainless-Os,X-Stainless-Package-Version,X-Stainless-Poll-Helper,X-Stainless-Retry-Count,X-"
         "Stainless-Runtime,"
         "X-Stainless-Runtime-Version,X-Stainless-Timeout;Access-Control-Max-Age=43200;Vary=Origin;"
         "Vary=Access-Control-Request-Method;Vary=Access-Control-Request-Headers;"},
    };
    check(NULL, false, cases, COUNT_OF(cases));
}

static void extra_origins_are_added(void **state)
{
    static const struct cors_case cases[] = {
        {"GET", "x", "http://10.0.0.1", CORS_PASS,
         "Access-Control-Allow-Origin=http://10.0.0.1;Vary=Origin;"},
        {"GET", "x", "http://10.0.0.1:80", CORS_REFUSE, ""},
        {"GET", "x", "https://Totally.Safe", CORS_PASS, NULL},
        {"GET", "x", "https://a.example.org", CORS_PASS, NULL},
        {"GET", "x", "https://.example.org", CORS_PASS, NULL},
        {"GET", "x", "https://example.org", CORS_REFUSE, NULL},
        {"GET", "x", "http://a.example.org", CORS_REFUSE, NULL},
        {"GET", "x", "chrome-extension://abcdef", CORS_PASS, NULL},
        {"GET", "x", "moz-extension://xyz", CORS_PASS, NULL},
        {"GET", "x", "http://localhost:1", CORS_PASS, NULL},
    };
    check("http://10.0.0.1, HTTPS://totally.safe "
          ",,https://*.example.org,chrome-extension://abcdef,moz-extension://*",
          false, cases, COUNT_OF(cases));
    static const struct cors_case all[] = {
        {"GET", "x", "http://evil.example", CORS_PASS, "Access-Control-Allow-Origin=*;"},
        {"GET", "x", NULL, CORS_PASS, ""},
        {"OPTIONS", "x", "null", CORS_PREFLIGHT, NULL},
    };
    check("*", false, all, COUNT_OF(all));
}

static void bad_origins_are_named(void **state)
{
    static const char *const bad[] = {"example.com", "http://*.a.*", "**", "http://ok.example,ftp://x"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct err err = {0};
        assert_null(cors_new(bad[i], &err));
        assert_int_equal(err.code, ERR_INVALID);
        assert_non_null(strstr(err.message, "bad origin '"));
    }
}

static void hosts_are_guarded_on_loopback_only(void **state)
{
    static const struct cors_case open[] = {{"GET", "evil.example", NULL, CORS_PASS, ""},
                                            {"OPTIONS", "evil.example", NULL, CORS_PASS, ""}};
    check(NULL, false, open, COUNT_OF(open));
    char own[256] = "";
    gethostname(own, sizeof own - 1);
    const struct cors_case guarded[] = {
        {"GET", NULL, NULL, CORS_PASS, ""},
        {"GET", "", NULL, CORS_PASS, ""},
        {"GET", "localhost", NULL, CORS_PASS, ""},
        {"GET", "LOCALHOST:11434", NULL, CORS_PASS, ""},
        {"GET", "127.0.0.1:11434", NULL, CORS_PASS, ""},
        {"GET", "127.1.2.3", NULL, CORS_PASS, ""},
        {"GET", "0.0.0.0:1", NULL, CORS_PASS, ""},
        {"GET", "10.1.2.3", NULL, CORS_PASS, ""},
        {"GET", "172.16.0.1:80", NULL, CORS_PASS, ""},
        {"GET", "172.32.0.1", NULL, CORS_REFUSE, ""},
        {"GET", "192.168.1.1", NULL, CORS_PASS, ""},
        {"GET", "8.8.8.8", NULL, CORS_REFUSE, ""},
        {"GET", "[::1]:11434", NULL, CORS_PASS, ""},
        {"GET", "[::1]", NULL, CORS_PASS, ""},
        {"GET", "[fd00::1]:1", NULL, CORS_PASS, ""},
        {"GET", "[2001:db8::1]", NULL, CORS_REFUSE, ""},
        {"GET", "evil.example:11434", NULL, CORS_REFUSE, ""},
        {"GET", "notlocalhost", NULL, CORS_REFUSE, ""},
        {"GET", "a.localhost", NULL, CORS_PASS, ""},
        {"GET", "printer.local:1", NULL, CORS_PASS, ""},
        {"GET", "host.docker.internal:11434", NULL, CORS_PASS, ""},
        {"GET", "local", NULL, CORS_REFUSE, ""},
        {"GET", own, NULL, CORS_PASS, ""},
        {"OPTIONS", "localhost", NULL, CORS_PREFLIGHT, ""},
        {"OPTIONS", "127.0.0.1", NULL, CORS_PASS, ""},
        {"GET", "evil.example", "http://localhost:3000", CORS_REFUSE, ""},
        {"GET", "localhost:11434", "http://localhost:3000", CORS_PASS,
         "Access-Control-Allow-Origin=http://localhost:3000;Vary=Origin;"},
        {"GET", "evil.example", "http://evil.example", CORS_REFUSE,
         ""}, // rebinding: the same site in both headers
    };
    check(NULL, true, guarded, COUNT_OF(guarded));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(origins_are_judged),
        cmocka_unit_test(extra_origins_are_added),
        cmocka_unit_test(bad_origins_are_named),
        cmocka_unit_test(hosts_are_guarded_on_loopback_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
