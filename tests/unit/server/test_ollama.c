// SPDX-License-Identifier: MIT
// /api/generate and /api/chat: every field of the body, the members and their order in every reply.
#include "../test.h"

#include "harness.h"

static void expect_error(struct reply r, int status, const char *text)
{
    json_t *v = reply_json_value(&r);
    char *type = reply_header(&r, "Content-Type");
    assert_int_equal(r.status, status);
    assert_string_equal(json_string_value(json_object_get(v, "error")), text);
    assert_string_equal(keys_of(v), "error");
    assert_string_equal(type, "application/json; charset=utf-8");
    free(type);
    json_decref(v);
    reply_fini(&r);
}

static const char *text_of(const json_t *v, const char *key)
{
    return json_string_value(json_object_get(v, key));
}

static void generate_streams(void **state)
{
    struct reply r =
        post(*state, "/api/generate", "{\"model\":\"tiny\",\"prompt\":\"Hi\",\"options\":{\"seed\":1}}");
    char *type = reply_header(&r, "Content-Type");
    assert_int_equal(r.status, 200);
    assert_string_equal(type, "application/x-ndjson");
    assert_int_equal(reply_count_lines(&r), 4);
    json_t *first = reply_line(&r, 0), *last = reply_line(&r, 3);
    assert_string_equal(keys_of(first), "model,created_at,response,done");
    assert_string_equal(text_of(first, "response"), "Hel");
    assert_true(json_is_false(json_object_get(first, "done")));
    assert_string_equal(
        keys_of(last),
        "model,created_at,response,done,done_reason,context,total_duration,load_duration,prompt_eval_count,"
        "prompt_eval_duration,eval_count,eval_duration");
    assert_string_equal(text_of(last, "response"), "");
    assert_string_equal(text_of(last, "done_reason"), "stop");
    assert_int_equal(json_array_size(json_object_get(last, "context")), 5 + 3);
    assert_int_equal(json_integer_value(json_array_get(json_object_get(last, "context"), 5)), 100);
    assert_int_equal(json_integer_value(json_object_get(last, "prompt_eval_count")), 5);
    assert_int_equal(json_integer_value(json_object_get(last, "prompt_eval_duration")), 3000);
    assert_int_equal(json_integer_value(json_object_get(last, "eval_count")), 3);
    assert_int_equal(r.body[strlen(r.body) - 1], '\n');
    json_decref(first);
    json_decref(last);
    free(type);
    reply_fini(&r);
}

static void generate_answers_whole(void **state)
{
    struct reply r = post(*state, "/api/generate",
                          "{\"model\":\"tiny\",\"prompt\":\"Hi\",\"stream\":false,\"options\":{\"seed\":1}}");
    json_t *v = reply_json_value(&r);
    char *type = reply_header(&r, "Content-Type");
    assert_string_equal(type, "application/json; charset=utf-8");
    assert_string_equal(text_of(v, "response"), "Hello you");
    assert_string_equal(text_of(v, "model"), "tiny");
    assert_int_not_equal(r.body[strlen(r.body) - 1], '\n');
    free(type);
    json_decref(v);
    reply_fini(&r);
}

static void chat_streams_and_answers_whole(void **state)
{
    struct reply r = post(*state, "/api/chat",
                          "{\"MODEL\":\"tiny\",\"messages\":[{\"role\":\"User\",\"content\":\"Why?\"}],"
                          "\"options\":{\"seed\":1}}");
    assert_int_equal(reply_count_lines(&r), 4);
    json_t *first = reply_line(&r, 0), *last = reply_line(&r, 3);
    assert_string_equal(keys_of(first), "model,created_at,message,done");
    assert_string_equal(keys_of(json_object_get(first, "message")), "role,content");
    assert_string_equal(text_of(json_object_get(first, "message"), "role"), "assistant");
    assert_string_equal(
        keys_of(last),
        "model,created_at,message,done,done_reason,total_duration,load_duration,prompt_eval_count,"
        "prompt_eval_duration,eval_count,eval_duration");
    json_decref(first);
    json_decref(last);
    reply_fini(&r);
    const struct request *q = &fake_host_last(((struct harness *)*state)->host)->request;
    assert_string_equal(
        q->messages_json,
        "[{\"role\":\"system\",\"content\":\"You are brief.\"},{\"role\":\"user\",\"content\":\"Hello\"},"
        "{\"role\":\"assistant\",\"content\":\"Hi there\"},{\"role\":\"user\",\"content\":\"Why?\"}]");
    assert_int_equal(q->truncate, TRUNCATE_OLD_TURNS);
    r = post(*state, "/api/chat",
             "{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\",\"content\":\"Why?\"}],\"stream\":false}");
    json_t *v = reply_json_value(&r);
    assert_string_equal(text_of(json_object_get(v, "message"), "content"), "Hello you");
    assert_true(json_is_integer(json_object_get(v, "seed"))); // none was given: the one that was drawn
    json_decref(v);
    reply_fini(&r);
}

static void system_of_the_request_wins(void **state)
{
    struct harness *h = *state;
    struct reply r = post(h, "/api/chat",
                          "{\"model\":\"tiny\",\"messages\":[{\"role\":\"system\",\"content\":\"S\"},{"
                          "\"role\":\"user\",\"content\":null}],\"truncate\":false}");
    reply_fini(&r);
    const struct request *q = &fake_host_last(h->host)->request;
    assert_string_equal(
        q->messages_json,
        "[{\"role\":\"system\",\"content\":\"S\"},{\"role\":\"user\",\"content\":\"Hello\"},"
        "{\"role\":\"assistant\",\"content\":\"Hi there\"},{\"role\":\"user\",\"content\":\"\"}]");
    assert_int_equal(q->truncate, TRUNCATE_REFUSE);
    r = post(
        h, "/api/generate",
        "{\"model\":\"tiny\",\"prompt\":\"Hi\",\"system\":\"Other\",\"context\":[1,2],\"truncate\":true}");
    reply_fini(&r);
    q = &fake_host_last(h->host)->request;
    assert_string_equal(
        q->messages_json,
        "[{\"role\":\"system\",\"content\":\"Other\"},{\"role\":\"user\",\"content\":\"Hi\"}]");
    assert_int_equal(q->n_context_ids, 2);
    assert_int_equal(q->context_ids[1], 2);
    assert_int_equal(q->truncate, TRUNCATE_HEAD);
}

static void raw_prompt_goes_untouched(void **state)
{
    struct harness *h = *state;
    struct reply r =
        post(h, "/api/generate", "{\"model\":\"go\",\"prompt\":\"<s>Hi\",\"raw\":true,\"stream\":false}");
    json_t *v = reply_json_value(&r);
    const struct request *q = &fake_host_last(h->host)->request;
    assert_int_equal(r.status, 200);
    assert_null(json_object_get(v, "context"));
    assert_int_equal(q->kind, PROMPT_RAW);
    assert_string_equal(q->prompt, "<s>Hi");
    assert_null(q->messages_json);
    assert_int_equal(q->truncate, TRUNCATE_REFUSE);
    json_decref(v);
    reply_fini(&r);
}

static void parameters_are_laid_over(void **state)
{
    struct harness *h = *state;
    struct reply r = post(h, "/api/generate",
                          "{\"model\":\"tiny\",\"prompt\":\"Hi\",\"options\":{\"top_k\":1.5,\"nope\":1,"
                          "\"seed\":-1,\"min_p\":null}}");
    const struct request *q = &fake_host_last(h->host)->request;
    assert_int_equal(q->params.num_predict, 12); // the Modelfile's
    assert_true(q->params.temperature == 0);
    assert_int_equal(q->n_stops, 1);
    assert_string_equal(q->stops[0], "<e>");
    assert_int_equal(q->params.top_k, 1);
    assert_true(q->params.top_p == 0.9f);
    assert_true(q->params.seed < (1ull << 53));
    reply_fini(&r);
    r = post(h, "/api/generate",
             "{\"model\":\"tiny\",\"prompt\":\"Hi\",\"options\":{\"num_predict\":0,\"temperature\":-1,"
             "\"stop\":[\"a\",\"\",\"b\"],\"seed\":7,"
             "\"num_ctx\":1,\"repeat_last_n\":-1,\"repeat_penalty\":1.1,\"presence_penalty\":0.5,\"frequency_"
             "penalty\":0.25,\"typical_p\":0.5,"
             "\"top_p\":0.5,\"min_p\":0.1,\"num_keep\":9,\"num_thread\":3,\"use_mmap\":true}}");
    q = &fake_host_last(h->host)->request;
    assert_int_equal(q->params.num_predict, -1);
    assert_true(q->params.temperature == 0);
    assert_int_equal(q->n_stops, 2);
    assert_string_equal(q->stops[1], "b");
    assert_int_equal(q->params.seed, 7);
    assert_int_equal(q->params.num_ctx, 4);
    assert_int_equal(q->params.repeat_last_n, -1);
    assert_true(q->params.repeat_penalty == 1.1f && q->params.presence_penalty == 0.5f &&
                q->params.frequency_penalty == 0.25f);
    assert_true(q->params.typical_p == 0.5f && q->params.top_p == 0.5f && q->params.min_p == 0.1f &&
                q->params.num_keep == 9);
    reply_fini(&r);
}

static void wrong_options_are_named(void **state)
{
    static const char *const cases[][2] = {
        {"\"num_predict\":\"x\"", "option \"num_predict\" must be of type integer"},
        {"\"stop\":5", "option \"stop\" must be of type array"},
        {"\"stop\":[5]", "option \"stop\" must be of an array of strings"},
        {"\"num_ctx\":\"1\"", "option \"num_ctx\" must be of type integer"},
        {"\"temperature\":\"1\"", "option \"temperature\" must be of type float32"},
        {"\"use_mmap\":\"yes\"", "option \"use_mmap\" must be of type boolean"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char body[256];
        snprintf(body, sizeof body, "{\"model\":\"tiny\",\"prompt\":\"Hi\",\"options\":{%s}}", cases[i][0]);
        expect_error(post(*state, "/api/generate", body), 500, cases[i][1]);
    }
}

struct bad {
    const char *path, *body;
    int status;
    const char *text;
};

static void bad_bodies_are_refused(void **state)
{
#define G "/api/generate"
#define C "/api/chat"
#define M "{\"model\":\"tiny\",\"prompt\":\"Hi\","
    static const struct bad cases[] = {
        {G, "", 400, "missing request body"},
        {G, " \n", 400, "missing request body"},
        {G, "[]", 400, "json: cannot unmarshal array into Go value of type api.GenerateRequest"},
        {C, "[]", 400, "json: cannot unmarshal array into Go value of type api.ChatRequest"},
        {G, "{}", 404, "model '' not found"},
        {G, "{\"model\":\"nope\"}", 404, "model 'nope' not found"},
        {C, "{}", 400, "model is required"},
        {C, "{\"model\":\"nope\"}", 404, "model 'nope' not found"},
        {G, "{\"model\":\"bad name\"}", 400, "invalid model name"},
        {G, "{\"model\":\"a\\u0000b\"}", 400, "invalid model name"},
        {G, "{\"model\":\"tiny:cloud\",\"prompt\":\"x\"}", 403,
         "ollama cloud is disabled: remote model is unavailable"},
        {G, M "\"raw\":true,\"system\":\"x\"}", 400,
         "raw mode does not support template, system, or context"},
        {G, M "\"raw\":true,\"context\":[1]}", 400, "raw mode does not support template, system, or context"},
        {G, M "\"suffix\":\"x\"}", 400, "registry.ollama.ai/library/tiny:latest does not support insert"},
        {G, M "\"images\":[\"aGk=\"]}", 400,
         "registry.ollama.ai/library/tiny:latest does not support vision"},
        {G, M "\"think\":true}", 400, "\"tiny\" does not support thinking"},
        {G, M "\"think\":\"low\"}", 400, "\"tiny\" does not support thinking"},
        {G, M "\"think\":\"hard\"}", 400,
         "invalid think value: \"hard\" (must be \"high\", \"medium\", \"low\", \"max\", true, or false)"},
        {G, M "\"format\":{\"type\":\"int\"}}", 400, "invalid format: #: unknown type \"int\""},
        {G, M "\"format\":{\"items\":{\"not\":true}}}", 400, "invalid format: #/items: not is not supported"},
        {G, M "\"format\":5}", 500, "invalid format: \"5\"; expected \"json\" or a valid JSON Schema object"},
        {G, M "\"format\":[]}", 500,
         "invalid format: \"[]\"; expected \"json\" or a valid JSON Schema object"},
        {G, M "\"stream\":\"yes\"}", 400,
         "json: cannot unmarshal string into Go struct field GenerateRequest.stream of type bool"},
        {G, M "\"prompt\":[1]}", 400,
         "json: cannot unmarshal array into Go struct field GenerateRequest.prompt of type string"},
        {G, M "\"context\":\"x\"}", 400,
         "json: cannot unmarshal string into Go struct field GenerateRequest.context of type []int"},
        {G, M "\"context\":[1,\"x\"]}", 400,
         "json: cannot unmarshal string into Go struct field GenerateRequest.context of type int"},
        {G, M "\"context\":[-1]}", 400, "context: -1 is no token id"},
        {G, M "\"options\":[]}", 400,
         "json: cannot unmarshal array into Go struct field GenerateRequest.options of type "
         "map[string]interface {}"},
        {G, M "\"logprobs\":true,\"top_logprobs\":21}", 400, "top_logprobs must be between 0 and 20"},
        {G, M "\"top_logprobs\":\"x\"}", 400,
         "json: cannot unmarshal string into Go struct field GenerateRequest.top_logprobs of type int"},
        {G, M "\"top_logprobs\":1.5}", 400,
         "json: cannot unmarshal number 1.5 into Go struct field GenerateRequest.top_logprobs of type int"},
        {G, M "\"keep_alive\":true}", 400, "Unsupported type: 'bool'"},
        {G, M "\"keep_alive\":{}}", 400, "Unsupported type: 'map[string]interface {}'"},
        {G, M "\"keep_alive\":\"1d\"}", 400, "time: unknown unit \"d\" in duration \"1d\""},
        {G, M "\"keep_alive\":\"\"}", 400, "time: invalid duration \"\""},
        {G, "{\"model\":\"bertie\",\"prompt\":\"x\"}", 400, "\"bertie\" does not support generate"},
        {C, "{\"model\":\"bertie\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}", 400,
         "\"bertie\" does not support chat"},
        {C, "{\"model\":\"tiny\",\"messages\":[5]}", 400,
         "json: cannot unmarshal number into Go struct field ChatRequest.messages of type api.Message"},
        {C, "{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\",\"content\":[]}]}", 400,
         "json: cannot unmarshal array into Go struct field ChatRequest.messages.content of type string"},
        {C, "{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\",\"content\":\"\",\"images\":[\"aa\"]}]}",
         400, "registry.ollama.ai/library/tiny:latest does not support vision"},
        {C,
         "{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\",\"content\":\"\"}],\"tools\":[{\"type\":"
         "\"function\"}]}",
         400, "registry.ollama.ai/library/tiny:latest does not support tools"},
        {C,
         "{\"model\":\"tiny\",\"messages\":[{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[5]}]}",
         400,
         "json: cannot unmarshal number into Go struct field ChatRequest.messages.tool_calls of type "
         "api.ToolCall"},
    };
    unsigned before = fake_host_submitted(((struct harness *)*state)->host);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect_error(post(*state, cases[i].path, cases[i].body), cases[i].status, cases[i].text);
    assert_int_equal(fake_host_submitted(((struct harness *)*state)->host), before);
    struct reply r = post(*state, G, "{\"model\":");
    assert_int_equal(r.status, 400);
    reply_fini(&r);
}

static void templates_travel_with_their_language(void **state)
{
    struct reply r = post(*state, "/api/generate",
                          "{\"model\":\"go\",\"prompt\":\"x\",\"think\":false,\"_debug_render_only\":true}");
    assert_int_equal(r.status, 200);
    assert_int_equal(last_request(state)->template_kind, TEMPLATE_GO);
    assert_true(last_request(state)->template_yields);
    assert_int_equal(last_request(state)->task, TASK_RENDER);
    assert_int_equal(last_request(state)->think, THINK_OFF);
    reply_fini(&r);
    r = post(*state, "/api/generate", "{\"model\":\"tiny\",\"prompt\":\"x\",\"template\":\"{{ .Prompt }}\"}");
    assert_int_equal(last_request(state)->template_kind, TEMPLATE_GO);
    assert_false(last_request(state)->template_yields);
    assert_string_equal(last_request(state)->template_text, "{{ .Prompt }}");
    reply_fini(&r);
    r = post(*state, "/api/generate",
             "{\"model\":\"tiny\",\"prompt\":\"x\",\"template\":\"{% if a %}{{ messages }}{% endif %}\"}");
    assert_int_equal(last_request(state)->template_kind, TEMPLATE_JINJA);
    reply_fini(&r);
}

static void what_asks_for_nothing_is_fine(void **state)
{
    struct reply r = post(
        *state, "/api/chat",
        "{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\",\"content\":\"x\",\"images\":[],\"tool_calls\":"
        "null}],\"tools\":[],"
        "\"think\":false,\"format\":\"\",\"stream\":null,\"unknown\":{\"a\":1},\"shift\":true} trailing");
    assert_int_equal(r.status, 200);
    reply_fini(&r);
    r = post(*state, "/api/generate",
             "{\"model\":\"tiny\",\"prompt\":\"x\",\"template\":\"{{ messages "
             "}}\",\"suffix\":\"\",\"images\":null,\"format\":null}");
    assert_int_equal(r.status, 200);
    assert_string_equal(fake_host_last(((struct harness *)*state)->host)->request.template_text,
                        "{{ messages }}");
    reply_fini(&r);
    r = post(*state, "/api/generate", "{\"model\":\"me/other:v2\",\"prompt\":\"x\"}");
    assert_string_equal(fake_host_last(((struct harness *)*state)->host)->name, "me/other:v2");
    assert_non_null(fake_host_last(((struct harness *)*state)->host)->request.template_text);
    reply_fini(&r);
}

static void a_format_travels_as_it_was_sent(void **state)
{
    static const struct {
        const char *sent, *travels;
    } rows[] = {{"\"json\"", "\"json\""},
                {"{\"properties\": {\"b\": {\"type\": \"integer\"}, \"a\": true}}",
                 "{\"properties\":{\"b\":{\"type\":\"integer\"},\"a\":true}}"},
                {"\"\"", NULL},
                {"null", NULL}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char body[256];
        snprintf(body, sizeof body, "{\"model\":\"tiny\",\"prompt\":\"x\",\"format\":%s}", rows[i].sent);
        struct reply r = post(*state, "/api/generate", body);
        assert_int_equal(r.status, 200);
        if (rows[i].travels != NULL)
            assert_string_equal(last_request(state)->format_json, rows[i].travels);
        else
            assert_null(last_request(state)->format_json);
        reply_fini(&r);
    }
}

static void expect_load(struct harness *h, const char *path, const char *body, const char *reason,
                        const char *keys)
{
    struct reply r = post(h, path, body);
    json_t *v = reply_json_value(&r);
    char *type = reply_header(&r, "Content-Type");
    assert_int_equal(r.status, 200);
    assert_string_equal(type, "application/json; charset=utf-8");
    assert_string_equal(keys_of(v), keys);
    assert_string_equal(text_of(v, "done_reason"), reason);
    assert_false(fake_host_last(h->host)->has_request);
    free(type);
    json_decref(v);
    reply_fini(&r);
}

static void empty_prompt_loads_or_unloads(void **state)
{
    static const char *const generate = "model,created_at,response,done,done_reason";
    static const char *const chat = "model,created_at,message,done,done_reason";
    struct harness *h = *state;
    expect_load(h, "/api/generate", "{\"model\":\"tiny\"}", "load", generate);
    assert_false(fake_host_last(h->host)->has_keep_alive);
    expect_load(h, "/api/generate", "{\"model\":\"tiny\",\"keep_alive\":0,\"think\":true}", "unload",
                generate);
    assert_true(fake_host_last(h->host)->unload);
    expect_load(h, "/api/chat", "{\"model\":\"tiny\",\"messages\":[],\"keep_alive\":\"1h30m\"}", "load",
                chat);
    assert_true(fake_host_last(h->host)->keep_alive_ns == 5400LL * 1000000000);
    expect_load(h, "/api/chat", "{\"model\":\"tiny\",\"keep_alive\":\"0\"}", "unload", chat);
    expect_load(h, "/api/generate", "{\"model\":\"tiny\",\"keep_alive\":1.5}", "load", generate);
    assert_true(fake_host_last(h->host)->keep_alive_ns == 1500000000);
    expect_load(h, "/api/generate", "{\"model\":\"tiny\",\"keep_alive\":\"-1m\"}", "load", generate);
    assert_true(fake_host_last(h->host)->keep_alive_ns < 0);
    expect_load(h, "/api/generate", "{\"model\":\"tiny\",\"keep_alive\":-1}", "load", generate);
    assert_true(fake_host_last(h->host)->keep_alive_ns < 0);
}

static void logprobs_are_written(void **state)
{
    struct harness *h = *state;
    struct fake_script s = FAKE_SCRIPT_DEFAULT;
    s.has_logprobs = true;
    s.tokens[0] = "<&\xc3\xa9"; // and a token without text: its chunk is sent for its logprob
    s.tokens[1] = "";
    fake_host_set(h->host, &s);
    struct reply r =
        post(h, "/api/generate",
             "{\"model\":\"tiny\",\"prompt\":\"x\",\"logprobs\":true,\"top_logprobs\":2,\"stream\":false}");
    json_t *v = reply_json_value(&r);
    const json_t *list = json_object_get(v, "logprobs");
    assert_int_equal(json_array_size(list), 3);
    assert_string_equal(keys_of(json_array_get(list, 0)), "token,logprob,bytes,top_logprobs");
    assert_string_equal(text_of(json_array_get(list, 0), "token"), "<&\xc3\xa9");
    assert_int_equal(json_integer_value(json_array_get(json_object_get(json_array_get(list, 0), "bytes"), 3)),
                     0xa9);
    assert_string_equal(keys_of(json_array_get(list, 1)), "token,logprob,top_logprobs");
    const json_t *top = json_array_get(json_object_get(json_array_get(list, 0), "top_logprobs"), 1);
    assert_string_equal(text_of(top, "token"), "\xef\xbf\xbd\xef\xbf\xbd"); // part of a character
    assert_int_equal(json_array_size(json_object_get(top, "bytes")), 2);
    assert_non_null(strstr(r.body, "\\u003c\\u0026"));
    json_decref(v);
    reply_fini(&r);
    r = post(h, "/api/chat",
             "{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"logprobs\":true}");
    assert_int_equal(reply_count_lines(&r), 4);
    v = reply_line(&r, 1);
    assert_string_equal(keys_of(v), "model,created_at,message,done,logprobs");
    json_decref(v);
    reply_fini(&r);
    r = post(h, "/api/generate", "{\"model\":\"tiny\",\"prompt\":\"x\"}");
    assert_int_equal(reply_count_lines(&r), 3); // not asked for: the empty token is no chunk
    assert_null(strstr(r.body, "logprob"));
    reply_fini(&r);
}

static void errors_after_the_first_byte_are_a_line(void **state)
{
    struct harness *h = *state;
    struct fake_script s = FAKE_SCRIPT_DEFAULT;
    s.fails_in_tokens = true;
    err_set(&s.error, ERR_INTERNAL, "model runner has unexpectedly stopped");
    fake_host_set(h->host, &s);
    struct reply r = post(h, "/api/generate", "{\"model\":\"tiny\",\"prompt\":\"x\"}");
    json_t *v = reply_line(&r, 3);
    assert_int_equal(r.status, 200);
    assert_string_equal(keys_of(v), "error");
    assert_int_equal(reply_count_lines(&r), 4);
    json_decref(v);
    reply_fini(&r);
    expect_error(
        post(h, "/api/chat",
             "{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"stream\":false}"),
        500, "model runner has unexpectedly stopped");
}

static void long_prompts_are_refused_or_marked(void **state)
{
    struct harness *h = *state;
    struct fake_script s = FAKE_SCRIPT_DEFAULT;
    s.n_truncated = 42;
    fake_host_set(h->host, &s);
    struct reply r =
        post(h, "/api/chat", "{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}");
    char *header = reply_header(&r, "X-Truncated");
    json_t *v = reply_line(&r, 3);
    assert_string_equal(header, "42");
    assert_int_equal(json_integer_value(json_object_get(v, "truncated")), 42);
    free(header);
    json_decref(v);
    reply_fini(&r);
    s.fails_at_prompt = true;
    err_set(&s.error, ERR_INVALID,
            "the prompt has 5000 tokens, the context length is 4096: the prompt is too long by 904");
    fake_host_set(h->host, &s);
    expect_error(post(h, "/api/generate", "{\"model\":\"tiny\",\"prompt\":\"x\"}"), 400,
                 "the prompt has 5000 tokens, the context length is 4096: the prompt is too long by 904");
}

static void a_full_queue_says_when_to_come_back(void **state)
{
    struct harness *h = *state;
    struct fake_script s = FAKE_SCRIPT_DEFAULT;
    s.is_full = true;
    fake_host_set(h->host, &s);
    struct reply r = post(h, "/api/generate", "{\"model\":\"tiny\",\"prompt\":\"x\"}");
    char *retry = reply_header(&r, "Retry-After"), *depth = reply_header(&r, "X-Queue-Depth");
    assert_string_equal(retry, "9");
    assert_string_equal(depth, "8");
    expect_error(r, 503, "server busy, please try again.  maximum pending requests exceeded");
    free(retry);
    free(depth);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup(f, harness_reset)
    const struct CMUnitTest tests[] = {
        T(generate_streams),
        T(generate_answers_whole),
        T(chat_streams_and_answers_whole),
        T(system_of_the_request_wins),
        T(raw_prompt_goes_untouched),
        T(parameters_are_laid_over),
        T(wrong_options_are_named),
        T(bad_bodies_are_refused),
        T(templates_travel_with_their_language),
        T(what_asks_for_nothing_is_fine),
        T(a_format_travels_as_it_was_sent),
        T(empty_prompt_loads_or_unloads),
        T(logprobs_are_written),
        T(errors_after_the_first_byte_are_a_line),
        T(long_prompts_are_refused_or_marked),
        T(a_full_queue_says_when_to_come_back),
    };
    return cmocka_run_group_tests(tests, harness_setup, harness_teardown);
}
