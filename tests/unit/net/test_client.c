// SPDX-License-Identifier: MIT
// The client against our own server.
#include "../test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/client.h"
#include "net/http.h"

static struct http_server *server;
static volatile sig_atomic_t cancel_flag;

static void forget(void *user, struct http_request *r) // on_gone of /never
{
    http_request_unref(r);
}

static void handle(void *user, struct http_request *r)
{
    const char *path = http_request_path(r);
    if (strcmp(path, "/never") == 0) {
        http_request_ref(r);
        http_request_on_gone(r, forget, NULL);
        if (http_request_query(r)[0] == 'c')
            __atomic_store_n(&cancel_flag, 1, __ATOMIC_RELAXED);
    } else if (strcmp(path, "/lines") == 0) {
        http_stream_begin(r, 200, "application/x-ndjson");
        for (int i = 0; i < 5; i++)
            http_stream_write(r, slice_of("line\n"));
        http_stream_end(r);
    } else if (strcmp(path, "/broken") == 0) {
        http_stream_begin(r, 200, "application/x-ndjson");
        http_stream_write(r, slice_of("half"));
        http_abort(r);
    } else if (strcmp(path, "/missing") == 0) {
        http_reply(r, 404, "application/json", slice_of("{\"error\":\"gone fishing\"}"));
    } else if (strcmp(path, "/big") == 0) {
        char *big = calloc(1, 1 << 20);
        http_reply(r, 200, "text/plain", slice_make(big, 1 << 20));
        free(big);
    } else {
        struct strbuf b = STRBUF_INIT(4096);
        const char *type = http_request_header(r, "Content-Type");
        strbuf_printf(&b, "%s %s %s %s ", http_request_method(r), path, type ? type : "-",
                      http_request_header(r, "User-Agent"));
        strbuf_push_slice(&b, http_request_body(r));
        http_add_header(r, "X-Answer", "  42 ");
        http_reply(r, 200, "text/plain", strbuf_slice(&b));
        strbuf_fini(&b);
    }
}

static int start(void **state)
{
    struct http_server_options o = HTTP_SERVER_OPTIONS_DEFAULT;
    struct err err = {0};
    o.handler = handle;
    server = http_server_new(&o, &err);
    return server != NULL && http_client_init(&err) == 0 ? 0 : -1;
}

static int stop(void **state)
{
    http_server_free(server);
    http_client_fini();
    return 0;
}

static const char *url(const char *path)
{
    static char text[200];
    snprintf(text, sizeof text, "http://127.0.0.1:%u%s", http_server_port(server), path);
    return text;
}

static void requests_are_answered(void **state)
{
    struct http_client_reply reply;
    struct err err = {0};
    struct http_client_call call = {.url = url("/x")};
    assert_int_equal(http_client_request(&call, &reply, &err), 0);
    assert_int_equal(reply.end, HTTP_CLIENT_OK);
    assert_int_equal(reply.status, 200);
    assert_string_equal(strbuf_text(&reply.body), "GET /x - drover/" DROVER_VERSION " ");
    char *answer = http_client_find_header(&reply, "x-answer");
    assert_string_equal(answer, "42");
    free(answer);
    assert_null(http_client_find_header(&reply, "X-Nothing"));
    http_client_reply_fini(&reply);

    call.body = slice_of("{\"a\":1}");
    assert_int_equal(http_client_request(&call, &reply, &err), 0);
    assert_string_equal(strbuf_text(&reply.body),
                        "POST /x application/json drover/" DROVER_VERSION " {\"a\":1}");
    http_client_reply_fini(&reply);

    const char *const headers[] = {"content-type: text/odd", "User-Agent: me", NULL};
    call.headers = headers;
    call.method = "DELETE";
    assert_int_equal(http_client_request(&call, &reply, &err), 0);
    assert_string_equal(strbuf_text(&reply.body), "DELETE /x text/odd me {\"a\":1}");
    http_client_reply_fini(&reply);

    call = (struct http_client_call){.url = url("/x"), .method = "HEAD"};
    assert_int_equal(http_client_request(&call, &reply, &err), 0);
    assert_int_equal(reply.status, 200);
    assert_int_equal(reply.body.n, 0);
    http_client_reply_fini(&reply);
}

static bool count_bytes(void *user, struct slice bytes)
{
    *(size_t *)user += bytes.n;
    return true;
}

static bool refuse_bytes(void *user, struct slice bytes)
{
    return false;
}

static void answers_are_streamed(void **state)
{
    size_t n = 0;
    struct http_client_reply reply;
    struct err err = {0};
    struct http_client_call call = {.url = url("/lines"), .on_data = count_bytes, .user = &n};
    assert_int_equal(http_client_request(&call, &reply, &err), 0);
    assert_int_equal(n, 25);
    assert_int_equal(reply.body.n, 0);
    http_client_reply_fini(&reply);

    call.url = url("/missing"); // an error's body is collected
    n = 0;
    assert_int_equal(http_client_request(&call, &reply, &err), 0);
    assert_int_equal(reply.status, 404);
    assert_int_equal(n, 0);
    assert_string_equal(strbuf_text(&reply.body), "{\"error\":\"gone fishing\"}");
    http_client_reply_fini(&reply);

    call = (struct http_client_call){.url = url("/lines"), .on_data = refuse_bytes};
    assert_int_equal(http_client_request(&call, &reply, &err), -1);
    assert_int_equal(reply.end, HTTP_CLIENT_CANCELLED);
    assert_int_equal(err.code, ERR_CANCELLED);
    http_client_reply_fini(&reply);

    call = (struct http_client_call){.url = url("/big"), .max_body_bytes = 1000};
    err_clear(&err);
    assert_int_equal(http_client_request(&call, &reply, &err), -1);
    assert_int_equal(err.code, ERR_TOO_LARGE);
    http_client_reply_fini(&reply);
}

static void failures_are_told_apart(void **state)
{
    struct http_client_reply reply;
    struct err err = {0};
    struct http_client_call call = {.url = url("/broken")};
    assert_int_equal(http_client_request(&call, &reply, &err), -1);
    assert_int_equal(reply.end, HTTP_CLIENT_BROKEN);
    http_client_reply_fini(&reply);

    call = (struct http_client_call){.url = url("/never"), .stall_timeout_s = 1};
    err_clear(&err);
    assert_int_equal(http_client_request(&call, &reply, &err), -1);
    assert_int_equal(reply.end, HTTP_CLIENT_TIMEOUT);
    assert_int_equal(err.code, ERR_TIMEOUT);
    http_client_reply_fini(&reply);

    call = (struct http_client_call){.url = url("/never?c"),
                                     .cancel = &cancel_flag}; // the handler raises the flag
    err_clear(&err);
    assert_int_equal(http_client_request(&call, &reply, &err), -1);
    assert_int_equal(reply.end, HTTP_CLIENT_CANCELLED);
    http_client_reply_fini(&reply);

    int fd = socket(AF_INET, SOCK_STREAM, 0); // bound but not listening: refuses
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof address;
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &n), 0);
    char refused[100], want[200];
    snprintf(refused, sizeof refused, "http://127.0.0.1:%u/", ntohs(address.sin_port));
    snprintf(want, sizeof want, "127.0.0.1:%u: connection refused, no server is running there",
             ntohs(address.sin_port));
    call = (struct http_client_call){.url = refused};
    err_clear(&err);
    assert_int_equal(http_client_request(&call, &reply, &err), -1);
    assert_int_equal(reply.end, HTTP_CLIENT_REFUSED);
    assert_string_equal(err.message, want);
    http_client_reply_fini(&reply);
    close(fd);

    static const char *const bad[] = {"", "http://", "ftp://x/", "http://[::1/"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        call = (struct http_client_call){.url = bad[i]};
        err_clear(&err);
        assert_int_equal(http_client_request(&call, &reply, &err), -1);
        assert_int_equal(reply.end, HTTP_CLIENT_FAILED);
        assert_int_equal(err.code, ERR_INVALID);
        http_client_reply_fini(&reply);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_answered),
        cmocka_unit_test(answers_are_streamed),
        cmocka_unit_test(failures_are_told_apart),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
