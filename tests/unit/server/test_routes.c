// SPDX-License-Identifier: MIT
// What holds for every request: paths, methods, Host and Origin, request ids; the routes that only look;
// clients that leave.
#include "../test.h"

#include <stdatomic.h>
#include <unistd.h>

#include "harness.h"

static const char *text_of(const json_t *v, const char *key)
{
    return json_string_value(json_object_get(v, key));
}

static void expect(struct reply r, int status, const char *type, const char *body)
{
    char *got = reply_header(&r, "Content-Type");
    assert_int_equal(r.status, status);
    if (type)
        assert_string_equal(got, type);
    if (body)
        assert_string_equal(r.body, body);
    free(got);
    reply_fini(&r);
}

static void expect_header(struct reply r, int status, const char *name, const char *value)
{
    char *got = reply_header(&r, name);
    assert_int_equal(r.status, status);
    if (value)
        assert_string_equal(got, value);
    else
        assert_null(got);
    free(got);
    reply_fini(&r);
}

static void paths_and_methods(void **state)
{
    expect(call(*state, "GET", "/", NULL, NULL), 200, "text/plain; charset=utf-8", "Ollama is running");
    expect(call(*state, "GET", "/nope", NULL, NULL), 404, "text/plain", "404 page not found");
    expect(call(*state, "GET", "/api/generate", NULL, NULL), 405, "text/plain", "405 method not allowed");
    expect(call(*state, "GET", "/v1/models/", NULL, NULL), 301, NULL, NULL);
    expect_header(call(*state, "GET", "/api/generate", NULL, NULL), 405, "Allow", "POST");
    expect_header(call(*state, "POST", "/api/tags", "{}", NULL), 405, "Allow", "HEAD, GET");
    expect_header(call(*state, "GET", "/api/tags/?a=b", NULL, NULL), 301, "Location", "/api/tags?a=b");
    expect_header(call(*state, "POST", "/api/show/", "{}", NULL), 307, "Location", "/api/show");
    expect(call(*state, "HEAD", "/", NULL, NULL), 200, NULL, "");
    expect(call(*state, "HEAD", "/api/version", NULL, NULL), 200, "application/json; charset=utf-8", "");
    expect(call(*state, "HEAD", "/api/tags", NULL, NULL), 200, "application/json; charset=utf-8", "");
    expect(call(*state, "GET", "/api/status", NULL, NULL), 200, NULL,
           "{\"cloud\":{\"disabled\":true,\"source\":\"env\"}}");
    expect(call(*state, "GET", "/health", NULL, NULL), 200, NULL, "{\"status\":\"ok\"}");
    expect(call(*state, "GET", "/health/live", NULL, NULL), 200, NULL, "{\"status\":\"ok\"}");
}

static void hosts_and_origins(void **state)
{
    static const char *const good[] = {"Origin: http://localhost:3000", NULL},
                             *const evil[] = {"Origin: http://evil.example", NULL},
                             *const rebound[] = {"Host: evil.example", NULL},
                             *const local[] = {"Host: x.local", NULL};
    expect_header(call(*state, "GET", "/api/version", NULL, good), 200, "Access-Control-Allow-Origin",
                  "http://localhost:3000");
    expect_header(call(*state, "OPTIONS", "/api/generate", NULL, good), 204, "Allow", "POST");
    expect(call(*state, "GET", "/api/version", NULL, evil), 403, NULL, "");
    expect(call(*state, "GET", "/nope", NULL, evil), 403, NULL, "");
    expect(call(*state, "GET", "/api/version", NULL, rebound), 403, NULL, "");
    expect(call(*state, "GET", "/api/version", NULL, local), 200, NULL, NULL);
}

static void request_ids_are_echoed(void **state)
{
    static const char *const good[] = {"X-Request-Id: a-B.9", NULL}, *const bad[] = {"X-Request-Id: a b\"",
                                                                                     NULL};
    static const char *body = "{\"model\":\"tiny\",\"prompt\":\"x\"}";
    expect_header(call(*state, "POST", "/api/generate", body, good), 200, "X-Request-Id", "a-B.9");
    struct reply r = call(*state, "POST", "/api/generate", body, bad);
    char *id = reply_header(&r, "X-Request-Id");
    assert_memory_equal(id, "req-", 4);
    free(id);
    reply_fini(&r);
}

static void tags_and_ps(void **state)
{
    struct reply r = call(*state, "GET", "/api/tags", NULL, NULL);
    json_t *v = reply_json_value(&r);
    const json_t *m = json_array_get(json_object_get(v, "models"), 0);
    assert_int_equal(json_array_size(json_object_get(v, "models")), 6);
    assert_string_equal(keys_of(m), "name,model,modified_at,size,digest,details,capabilities");
    assert_string_equal(keys_of(json_object_get(m, "details")),
                        "parent_model,format,family,families,parameter_size,quantization_level,context_"
                        "length,embedding_length");
    assert_int_equal(strlen(text_of(m, "digest")), 64);
    json_decref(v);
    reply_fini(&r);
    r = call(*state, "GET", "/api/ps", NULL, NULL);
    v = reply_json_value(&r);
    m = json_array_get(json_object_get(v, "models"), 0);
    assert_string_equal(
        keys_of(m),
        "name,model,size,digest,details,expires_at,size_vram,context_length,state,metrics_name,slots,running,"
        "queued,kv_tokens_used,kv_tokens_total,kv_usage,reasons");
    assert_string_equal(text_of(m, "expires_at"), "2262-04-11T23:47:16.854775807Z"); // for ever
    json_decref(v);
    reply_fini(&r);
}

static void show_tells_all(void **state)
{
    struct reply r = post(*state, "/api/show", "{\"name\":\"TINY\"}");
    json_t *v = reply_json_value(&r);
    assert_string_equal(keys_of(v), "license,modelfile,parameters,template,system,details,messages,model_"
                                    "info,tensors,capabilities,modified_at");
    assert_string_equal(text_of(v, "parameters"),
                        "num_predict                    12\nstop                           \"<e>\"\n"
                        "temperature                    0");
    assert_string_equal(text_of(v, "template"), "{{ messages }}");
    const char *file = strstr(text_of(v, "modelfile"), "\nSYSTEM ");
    assert_string_equal(
        file,
        "\nSYSTEM You are brief.\nPARAMETER num_predict 12\nPARAMETER stop <e>\nPARAMETER temperature 0\n"
        "LICENSE A licence text\nMESSAGE user Hello\nMESSAGE assistant Hi there\n");
    assert_string_equal(
        keys_of(json_object_get(v, "model_info")),
        "general.architecture,general.parameter_count,llama.context_length,tokenizer.ggml.tokens");
    assert_true(json_is_null(json_object_get(json_object_get(v, "model_info"), "tokenizer.ggml.tokens")));
    json_decref(v);
    reply_fini(&r);
    r = post(*state, "/api/show", "{\"model\":\"plain\",\"verbose\":true}");
    v = reply_json_value(&r);
    assert_string_equal(keys_of(v), "modelfile,template,details,model_info,tensors,capabilities,modified_at");
    assert_true(json_is_array(json_object_get(json_object_get(v, "model_info"), "tokenizer.ggml.tokens")));
    json_decref(v);
    reply_fini(&r);
    expect(post(*state, "/api/show", "{}"), 400, NULL, "{\"error\":\"model is required\"}");
    expect(post(*state, "/api/show", ""), 400, NULL, "{\"error\":\"missing request body\"}");
    expect(post(*state, "/api/show", "{\"model\":\"nope\"}"), 404, NULL,
           "{\"error\":\"model 'nope:latest' not found\"}");
    expect(post(*state, "/api/show", "{\"model\":\"me/other\"}"), 404, NULL,
           "{\"error\":\"model 'me/other:latest' not found\"}");
    expect(post(*state, "/api/show", "{\"model\":\"../x\"}"), 400, NULL,
           "{\"error\":\"invalid model name\"}");
}

static void wait_until_idle(struct harness *h)
{
    for (int i = 0; i < 30000 && atomic_load(&h->app.n_generations) > 0; i++)
        usleep(10000);
    assert_int_equal(atomic_load(&h->app.n_generations), 0);
}

static void a_client_that_leaves_is_cancelled(void **state)
{
    struct harness *h = *state;
    struct fake_script s = FAKE_SCRIPT_DEFAULT;
    unsigned before = fake_host_submitted(h->host);
    s.hold_before_prompt = true; // as one that waits in the queue
    fake_host_set(h->host, &s);
    int waiting = send_raw(h, "/api/generate", "{\"model\":\"tiny\",\"prompt\":\"x\"}");
    int whole = send_raw(h, "/v1/chat/completions",
                         "{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}");
    assert_true(fake_host_wait_submitted(h->host, before + 2));
    close(waiting);
    assert_true(fake_host_wait_cancelled(h->host, 1));
    close(whole);
    assert_true(fake_host_wait_cancelled(h->host, 2));
    s.hold_before_prompt = false; // amid its tokens
    s.hold_before_tokens = true;
    fake_host_set(h->host, &s);
    int streaming =
        send_raw(h, "/api/chat", "{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}");
    char text[4096];
    assert_true(read(streaming, text, sizeof text) > 0);
    close(streaming);
    assert_true(fake_host_wait_cancelled(h->host, 3));
    wait_until_idle(h);
}

static void a_slow_reader_is_cut(void **state)
{
    struct harness *h = *state;
    struct fake_script s = FAKE_SCRIPT_DEFAULT;
    s.n_repeats = 2000000;
    fake_host_set(h->host, &s);
    int fd = send_raw(h, "/api/generate", "{\"model\":\"tiny\",\"prompt\":\"x\"}");
    assert_true(fake_host_wait_cancelled(h->host, 4));
    close(fd);
    wait_until_idle(h);
}

static void large_bodies_are_read_elsewhere(void **state)
{
    struct harness *h = *state;
    struct fake_script s = FAKE_SCRIPT_DEFAULT;
    struct strbuf body = STRBUF_INIT(4 << 20);
    fake_host_set(h->host, &s);
    strbuf_push_text(&body, "{\"model\":\"tiny\",\"prompt\":\"");
    for (int i = 0; i < 1 << 20; i++)
        strbuf_push_char(&body, 'a');
    strbuf_push_text(&body, "\"}");
    struct reply r = post(h, "/api/generate", strbuf_text(&body));
    assert_int_equal(r.status, 200);
    assert_int_equal(fake_host_last(h->host)->request.prompt_bytes, 1 << 20);
    strbuf_fini(&body);
    reply_fini(&r);
}

static void a_draining_server_says_so(void **state)
{
    struct harness *h = *state;
    struct fake_script s = FAKE_SCRIPT_DEFAULT;
    s.hold_before_tokens = true;
    fake_host_set(h->host, &s);
    int running = send_raw(h, "/api/generate", "{\"model\":\"tiny\",\"prompt\":\"x\"}");
    char text[8192] = "";
    size_t n = 0;
    ssize_t got;
    while (!strstr(text, "Hel") && (got = read(running, text + n, sizeof text - 1 - n)) > 0)
        n += (size_t)got;
    atomic_store(&h->app.is_draining, true);
    expect(call(h, "GET", "/health", NULL, NULL), 503, NULL,
           "{\"status\":\"draining\",\"reason\":\"the server is shutting down\"}");
    expect(call(h, "GET", "/health/live", NULL, NULL), 200, NULL, NULL);
    expect(post(h, "/api/generate", "{\"model\":\"tiny\",\"prompt\":\"x\"}"), 503, NULL,
           "{\"error\":\"server is shutting down\"}");
    fake_host_release(h->host);
    while (!strstr(text, "\"done\":true") && (got = read(running, text + n, sizeof text - 1 - n)) > 0)
        n += (size_t)got;
    assert_non_null(strstr(text, "\"done\":true"));
    close(running);
    wait_until_idle(h);
    atomic_store(&h->app.is_draining, false);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup(f, harness_reset)
    const struct CMUnitTest tests[] = {
        T(paths_and_methods),
        T(hosts_and_origins),
        T(request_ids_are_echoed),
        T(tags_and_ps),
        T(show_tells_all),
        T(a_client_that_leaves_is_cancelled),
        T(a_slow_reader_is_cut),
        T(large_bodies_are_read_elsewhere),
        T(a_draining_server_says_so),
    };
    return cmocka_run_group_tests(tests, harness_setup, harness_teardown);
}
