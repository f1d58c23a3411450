// SPDX-License-Identifier: MIT
// /v1/chat/completions, /v1/completions, /v1/models: bodies, replies, events, errors.
#include "../test.h"

#include "harness.h"

#define MESSAGES "\"messages\":[{\"role\":\"user\",\"content\":\"Why?\"}]"

static const char *text_of(const json_t *v, const char *key)
{
    return json_string_value(json_object_get(v, key));
}

static const json_t *choice_of(const json_t *v)
{
    return json_array_get(json_object_get(v, "choices"), 0);
}

static void expect_error(struct reply r, int status, const char *type, const char *message)
{
    json_t *v = reply_json_value(&r);
    const json_t *e = json_object_get(v, "error");
    assert_int_equal(r.status, status);
    assert_string_equal(keys_of(e), "message,type,param,code");
    assert_string_equal(text_of(e, "type"), type);
    assert_string_equal(text_of(e, "message"), message);
    json_decref(v);
    reply_fini(&r);
}

static void chat_answers_whole(void **state)
{
    struct reply r = post(*state, "/v1/chat/completions", "{\"model\":\"tiny\"," MESSAGES ",\"seed\":1}");
    json_t *v = reply_json_value(&r);
    char *type = reply_header(&r, "Content-Type");
    assert_string_equal(type, "application/json");
    assert_string_equal(keys_of(v), "id,object,created,model,system_fingerprint,choices,usage");
    assert_string_equal(text_of(v, "object"), "chat.completion");
    assert_memory_equal(text_of(v, "id"), "chatcmpl-", 9);
    assert_string_equal(keys_of(choice_of(v)), "index,message,finish_reason");
    assert_string_equal(text_of(json_object_get(choice_of(v), "message"), "content"), "Hello you");
    assert_string_equal(text_of(choice_of(v), "finish_reason"), "stop");
    const json_t *usage = json_object_get(v, "usage");
    assert_string_equal(keys_of(usage), "prompt_tokens,completion_tokens,total_tokens,prompt_tokens_details");
    assert_int_equal(json_integer_value(json_object_get(usage, "total_tokens")), 8);
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(usage, "prompt_tokens_details"), "cached_tokens")),
        2);
    free(type);
    json_decref(v);
    reply_fini(&r);
}

static void chat_streams_events(void **state)
{
    struct reply r = post(*state, "/v1/chat/completions",
                          "{\"model\":\"tiny\"," MESSAGES
                          ",\"seed\":1,\"stream\":true,\"stream_options\":{\"include_usage\":true}}");
    char *type = reply_header(&r, "Content-Type");
    assert_string_equal(type, "text/event-stream");
    assert_int_equal(reply_count_lines(&r), 6);
    json_t *first = reply_line(&r, 0), *second = reply_line(&r, 1), *finish = reply_line(&r, 3),
           *usage = reply_line(&r, 4);
    assert_string_equal(keys_of(first), "id,object,created,model,system_fingerprint,choices");
    assert_string_equal(keys_of(choice_of(first)), "index,delta,finish_reason");
    assert_string_equal(keys_of(json_object_get(choice_of(first), "delta")), "role,content");
    assert_string_equal(keys_of(json_object_get(choice_of(second), "delta")), "content");
    assert_true(json_is_null(json_object_get(choice_of(second), "finish_reason")));
    assert_int_equal(json_object_size(json_object_get(choice_of(finish), "delta")), 0);
    assert_string_equal(text_of(choice_of(finish), "finish_reason"), "stop");
    assert_int_equal(json_array_size(json_object_get(usage, "choices")), 0);
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(usage, "usage"), "completion_tokens")), 3);
    assert_string_equal(text_of(usage, "id"), text_of(first, "id"));
    assert_string_equal(r.body + strlen(r.body) - 16, "\n\ndata: [DONE]\n\n");
    json_decref(first);
    json_decref(second);
    json_decref(finish);
    json_decref(usage);
    free(type);
    reply_fini(&r);
}

static void a_stream_without_text_still_has_a_role(void **state)
{
    struct harness *h = *state;
    struct fake_script s = FAKE_SCRIPT_DEFAULT;
    s.tokens[0] = "";
    s.tokens[1] = NULL;
    fake_host_set(h->host, &s);
    struct reply r =
        post(h, "/v1/chat/completions", "{\"model\":\"tiny\"," MESSAGES ",\"seed\":1,\"stream\":true}");
    json_t *first = reply_line(&r, 0);
    assert_int_equal(reply_count_lines(&r), 3);
    assert_string_equal(text_of(json_object_get(choice_of(first), "delta"), "role"), "assistant");
    json_decref(first);
    reply_fini(&r);
}

static void parameters_are_honoured(void **state)
{
    struct harness *h = *state;
    struct reply r = post(
        h, "/v1/chat/completions",
        "{\"model\":\"tiny\"," MESSAGES
        ",\"max_tokens\":5,\"max_completion_tokens\":7,\"seed\":3,\"stop\":\"a\",\"top_p\":0.5,"
        "\"frequency_penalty\":0.25,\"presence_penalty\":0.5,\"n\":1,\"tools\":[],\"tool_choice\":\"none\","
        "\"logit_bias\":{},"
        "\"response_format\":{\"type\":\"text\"},\"modalities\":[\"text\"],\"user\":\"u\",\"store\":false,"
        "\"reasoning_effort\":\"none\",\"audio\":null,\"service_tier\":\"auto\",\"parallel_tool_calls\":"
        "true}");
    const struct request *q = &fake_host_last(h->host)->request;
    assert_int_equal(r.status, 200);
    assert_int_equal(q->params.num_predict, 7);
    assert_int_equal(q->params.seed, 3);
    assert_true(q->params.temperature == 1.0f); // not the Modelfile's 0
    assert_true(q->params.top_p == 0.5f && q->params.frequency_penalty == 0.25f &&
                q->params.presence_penalty == 0.5f);
    assert_int_equal(q->n_stops, 1);
    assert_string_equal(q->stops[0], "a");
    assert_int_equal(q->truncate, TRUNCATE_REFUSE);
    reply_fini(&r);
    r = post(h, "/v1/chat/completions",
             "{\"model\":\"tiny\",\"messages\":[{\"role\":\"developer\",\"content\":[{\"type\":\"text\","
             "\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]},"
             "{\"role\":\"user\",\"content\":\"c\"}],\"max_tokens\":-1,\"stop\":[\"x\",\"y\"]}");
    q = &fake_host_last(h->host)->request;
    assert_int_equal(q->n_stops, 2);
    assert_int_equal(q->params.num_predict, -1);
    assert_string_equal(
        q->messages_json,
        "[{\"role\":\"system\",\"content\":\"a\\nb\"},{\"role\":\"user\",\"content\":\"Hello\"},"
        "{\"role\":\"assistant\",\"content\":\"Hi there\"},{\"role\":\"user\",\"content\":\"c\"}]");
    reply_fini(&r);
}

static void calls_and_results_become_messages(void **state)
{
    static const char messages[] =
        "[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":null,\"reasoning\":"
        "\"hm\",\"tool_calls\":[{\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":\"f\","
        "\"arguments\":\"{\\\"y\\\": 1, \\\"x\\\": \\\"2\\\"}\"}},{\"id\":\"c2\",\"index\":1,\"type\":"
        "\"function\",\"function\":{\"name\":\"g\",\"arguments\":\"{}\"}}]},{\"role\":\"tool\","
        "\"tool_call_id\":\"c2\",\"content\":[{\"type\":\"text\",\"text\":\"7\"}]},{\"role\":\"tool\","
        "\"name\":\"h\",\"content\":\"8\"}]";
    static const char expected[] =
        "[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"\",\"thinking\":"
        "\"hm\",\"tool_calls\":[{\"id\":\"c1\",\"function\":{\"index\":0,\"name\":\"f\",\"arguments\":{"
        "\"y\":1,\"x\":\"2\"}}},{\"id\":\"c2\",\"function\":{\"index\":1,\"name\":\"g\",\"arguments\":{}}"
        "}]},{\"role\":\"tool\",\"content\":\"7\",\"tool_name\":\"g\",\"tool_call_id\":\"c2\"},{\"role\":"
        "\"tool\",\"content\":\"8\",\"tool_name\":\"h\"}]";
    struct strbuf body = STRBUF_INIT(4096);
    strbuf_printf(&body, "{\"model\":\"plain\",\"messages\":%s}", messages);
    struct reply r = post(*state, "/v1/chat/completions", strbuf_text(&body));
    if (r.status != 200)
        fail_msg("%s", r.body);
    assert_string_equal(fake_host_last(((struct harness *)*state)->host)->request.messages_json, expected);
    assert_null(reply_header(&r, "X-Ignored-Parameters"));
    reply_fini(&r);
    strbuf_fini(&body);
}

#define CLEVER                                                                                               \
    "{\"model\":\"clever\"," MESSAGES                                                                        \
    ",\"seed\":1,\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\","                            \
    "\"description\":\"d\",\"parameters\":{\"type\":\"object\"}}},{\"type\":\"function\",\"function\":{"     \
    "\"name\":"                                                                                              \
    "\"g\"}}]"

static void use_clever(void **state)
{
    struct fake_script s = FAKE_SCRIPT_CLEVER;
    fake_host_set(((struct harness *)*state)->host, &s);
}

static void thoughts_and_calls_are_members_of_the_message(void **state)
{
    use_clever(state);
    struct reply r = post(*state, "/v1/chat/completions", CLEVER ",\"reasoning_effort\":\"xhigh\"}");
    const struct request *q = &fake_host_last(((struct harness *)*state)->host)->request;
    assert_string_equal(q->tools_json,
                        "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":\"d\","
                        "\"parameters\":{\"type\":\"object\"}}},{\"type\":\"function\",\"function\":{"
                        "\"name\":\"g\"}}]");
    assert_int_equal(q->think, THINK_ON);
    assert_string_equal(q->think_level, "max");
    json_t *v = reply_json_value(&r);
    const json_t *message = json_object_get(choice_of(v), "message");
    const json_t *details = json_object_get(json_object_get(v, "usage"), "completion_tokens_details");
    assert_int_equal(json_integer_value(json_object_get(details, "reasoning_tokens")), 2); // of 6
    assert_string_equal(keys_of(message), "role,content,reasoning,tool_calls");
    assert_string_equal(text_of(message, "content"), "Let me see.");
    assert_string_equal(text_of(message, "reasoning"), "hm");
    assert_string_equal(text_of(choice_of(v), "finish_reason"), "tool_calls");
    const json_t *calls = json_object_get(message, "tool_calls"), *call = json_array_get(calls, 0);
    assert_int_equal(json_array_size(calls), 2);
    assert_string_equal(keys_of(call), "id,index,type,function");
    assert_memory_equal(text_of(call, "id"), "call_", 5);
    assert_string_equal(text_of(call, "type"), "function");
    assert_string_equal(text_of(json_object_get(call, "function"), "name"), "f");
    assert_string_equal(text_of(json_object_get(call, "function"), "arguments"),
                        "{\"y\":1,\"x\":\"\\u003c\"}");
    assert_int_equal(json_integer_value(json_object_get(json_array_get(calls, 1), "index")), 1);
    json_decref(v);
    reply_fini(&r);
}

static void thoughts_and_calls_are_deltas(void **state)
{
    static const char *const keys[] = {"role,content,reasoning", "content,reasoning",  "content", "content",
                                       "content,tool_calls",     "content,tool_calls", ""};
    use_clever(state);
    struct reply r = post(*state, "/v1/chat/completions", CLEVER ",\"stream\":true}");
    assert_int_equal(reply_count_lines(&r), 8);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        json_t *v = reply_line(&r, i);
        const json_t *delta = json_object_get(choice_of(v), "delta");
        const json_t *call = json_array_get(json_object_get(delta, "tool_calls"), 0);
        assert_string_equal(keys_of(delta), keys[i]);
        if (call)
            assert_int_equal(json_integer_value(json_object_get(call, "index")), i - 4);
        if (i == 6)
            assert_string_equal(text_of(choice_of(v), "finish_reason"), "tool_calls");
        else
            assert_true(json_is_null(json_object_get(choice_of(v), "finish_reason")));
        json_decref(v);
    }
    reply_fini(&r);
}

static void the_choice_of_tools_is_honoured(void **state)
{
    use_clever(state);
    struct reply r = post(*state, "/v1/chat/completions", CLEVER ",\"parallel_tool_calls\":false}");
    json_t *v = reply_json_value(&r);
    const json_t *calls = json_object_get(json_object_get(choice_of(v), "message"), "tool_calls");
    assert_int_equal(json_array_size(calls), 1);
    json_decref(v);
    reply_fini(&r);
    r = post(*state, "/v1/chat/completions", CLEVER ",\"tool_choice\":\"none\"}");
    v = reply_json_value(&r);
    assert_null(fake_host_last(((struct harness *)*state)->host)->request.tools_json);
    assert_string_equal(keys_of(json_object_get(choice_of(v), "message")), "role,content,reasoning");
    assert_string_equal(text_of(choice_of(v), "finish_reason"), "stop");
    json_decref(v);
    reply_fini(&r);
    const struct request *q = &fake_host_last(((struct harness *)*state)->host)->request;
    assert_false(q->must_call);
    r = post(*state, "/v1/chat/completions", CLEVER ",\"tool_choice\":\"required\"}");
    q = &fake_host_last(((struct harness *)*state)->host)->request;
    assert_true(q->must_call && !q->one_call);
    assert_null(q->one_tool);
    reply_fini(&r);
    r = post(*state, "/v1/chat/completions",
             CLEVER ",\"parallel_tool_calls\":false,\"tool_choice\":{\"type\":\"function\",\"function\":{"
                    "\"name\":\"g\"}}}");
    q = &fake_host_last(((struct harness *)*state)->host)->request;
    assert_true(q->must_call && q->one_call);
    assert_string_equal(q->one_tool, "g");
    reply_fini(&r);
    r = post(*state, "/v1/chat/completions",
             CLEVER ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"strict\":true}}]}");
    char *ignored = reply_header(&r, "X-Ignored-Parameters");
    assert_string_equal(ignored, "tools.function.strict");
    free(ignored);
    reply_fini(&r);
}

static void what_is_not_honoured_is_refused(void **state)
{
    static const char *const cases[][2] = {
        {"\"n\":129", "n must be between 1 and 128"},
        {"\"best_of\":2", "drover does not support \"best_of\" other than \"n\" yet"},
        {"\"logit_bias\":{\"1\":200}", "logit_bias: the bias of \"1\" must be between -100 and 100"},
        {"\"logit_bias\":{\"one\":2}", "logit_bias: \"one\" is no token id"},
        {"\"tools\":[5]",
         "json: cannot unmarshal number into Go struct field ChatCompletionRequest.tools of type api.Tool"},
        {"\"tools\":[{\"type\":\"custom\"}]", "drover does not support tools of type \"custom\" yet"},
        {"\"tools\":[{\"type\":\"function\",\"function\":{}}]", "a tool has no name"},
        {"\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":[]}}]",
         "the parameters of tool \"f\" must be an object"},
        {"\"tool_choice\":\"required\"", "tool_choice: there are no tools to choose from"},
        {"\"tool_choice\":\"any\"", "drover does not support \"tool_choice\" other than \"none\", \"auto\", "
                                    "\"required\" or a function yet"},
        {"\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}],\"tool_choice\":{\"type\":"
         "\"function\",\"function\":{\"name\":\"g\"}}",
         "tool_choice: no tool is named \"g\""},
        {"\"tool_choice\":{\"type\":\"function\"}", "tool_choice names no function"},
        {"\"parallel_tool_calls\":5", "json: cannot unmarshal number into Go struct field "
                                      "ChatCompletionRequest.parallel_tool_calls of type bool"},
        {"\"functions\":[{}]", "drover does not support \"functions\" yet"},
        {"\"audio\":{\"voice\":\"x\"}", "drover does not support \"audio\" yet"},
        {"\"modalities\":[\"audio\"]", "drover does not support \"modalities\" other than [\"text\"] yet"},
        {"\"response_format\":{\"type\":\"xml\"}",
         "response_format.type must be \"text\", \"json_object\" or \"json_schema\""},
        {"\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"schema\":{\"type\":\"int\"}}}",
         "invalid response_format: #: unknown type \"int\""},
        {"\"store\":true", "drover does not support \"store\" yet"},
        {"\"reasoning_effort\":\"nope\"",
         "invalid reasoning value: \"nope\" (must be \"minimal\", \"low\", \"medium\", \"high\", \"xhigh\", "
         "\"ultra\", \"max\", or \"none\")"},
        {"\"reasoning_effort\":\"low\"", "\"tiny\" does not support thinking"},
        {"\"stop\":5", "stop must be a string or an array of strings that are not empty"},
        {"\"max_tokens\":0", "max_tokens must be at least 1"},
        {"\"max_tokens\":\"5\"",
         "json: cannot unmarshal string into Go struct field ChatCompletionRequest.max_tokens of type int"},
        {"\"temperature\":\"5\"", "json: cannot unmarshal string into Go struct field "
                                  "ChatCompletionRequest.temperature of type float64"},
        {"\"top_logprobs\":21", "top_logprobs must be between 0 and 20"},
        {"\"stream_options\":{\"include_usage\":5}",
         "json: cannot unmarshal number into Go struct field StreamOptions.include_usage of type bool"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char body[1024];
        snprintf(body, sizeof body, "{\"model\":\"tiny\"," MESSAGES ",%s}", cases[i][0]);
        expect_error(post(*state, "/v1/chat/completions", body), 400, "invalid_request_error", cases[i][1]);
    }
}

static void bad_bodies_are_refused(void **state)
{
    static const char *const cases[][2] = {
        {"", "EOF"},
        {"[]", "json: cannot unmarshal array into Go value of type openai.ChatCompletionRequest"},
        {"{}", "[] is too short - 'messages'"},
        {"{\"model\":\"nope\",\"messages\":[]}", "[] is too short - 'messages'"},
        {"{" MESSAGES "}", "model is required"},
        {"{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\",\"content\":null}]}",
         "invalid message content type: null"},
        {"{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\",\"content\":5}]}",
         "invalid message content type: number"},
        {"{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_"
         "url\":{\"url\":\"data:\"}}]}]}",
         "drover does not support content of type \"image_url\" yet"},
        {"{\"model\":\"tiny\",\"messages\":[{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":"
         "\"a\",\"function\":{\"arguments\":\"{\"}}]}]}",
         "invalid tool call arguments"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect_error(post(*state, "/v1/chat/completions", cases[i][0]), 400, "invalid_request_error",
                     cases[i][1]);
    expect_error(post(*state, "/v1/chat/completions", "{\"model\":\"nope\"," MESSAGES "}"), 404,
                 "not_found_error", "model 'nope' not found");
    expect_error(post(*state, "/v1/completions", "{}"), 404, "not_found_error", "model '' not found");
    expect_error(post(*state, "/v1/completions", "{\"model\":\"tiny\",\"prompt\":[\"a\"]}"), 400,
                 "invalid_request_error",
                 "json: cannot unmarshal array into Go struct field CompletionRequest.prompt of type string");
    expect_error(post(*state, "/v1/completions", "{\"model\":\"tiny\",\"prompt\":\"Hi\",\"suffix\":\"x\"}"),
                 400, "invalid_request_error",
                 "registry.ollama.ai/library/tiny:latest does not support insert");
    expect_error(post(*state, "/v1/completions", "{\"model\":\"tiny\",\"prompt\":\"Hi\",\"echo\":true}"), 400,
                 "invalid_request_error", "drover does not support \"echo\" yet");
}

static void completions_answer_and_stream(void **state)
{
    struct harness *h = *state;
    struct fake_script s = FAKE_SCRIPT_DEFAULT;
    s.reason = DONE_LENGTH;
    s.has_logprobs = true;
    fake_host_set(h->host, &s);
    struct reply r =
        post(h, "/v1/completions", "{\"model\":\"tiny\",\"prompt\":\"Hi\",\"seed\":1,\"logprobs\":2}");
    json_t *v = reply_json_value(&r);
    assert_string_equal(keys_of(v), "id,object,created,model,system_fingerprint,choices,usage");
    assert_string_equal(keys_of(choice_of(v)), "text,index,finish_reason,logprobs");
    assert_string_equal(text_of(choice_of(v), "text"), "Hello you");
    assert_string_equal(text_of(choice_of(v), "finish_reason"), "length");
    const json_t *p = json_object_get(choice_of(v), "logprobs");
    assert_string_equal(keys_of(p), "tokens,token_logprobs,top_logprobs,text_offset");
    assert_int_equal(json_integer_value(json_array_get(json_object_get(p, "text_offset"), 2)), 5);
    json_decref(v);
    reply_fini(&r);
    r = post(h, "/v1/completions",
             "{\"model\":\"tiny\",\"prompt\":\"Hi\",\"seed\":1,\"stream\":true,\"stream_options\":{\"include_"
             "usage\":true}}");
    assert_int_equal(reply_count_lines(&r), 6);
    json_t *first = reply_line(&r, 0), *last = reply_line(&r, 4);
    assert_string_equal(keys_of(first), "id,object,created,model,system_fingerprint,choices,usage");
    assert_int_equal(json_integer_value(json_object_get(json_object_get(first, "usage"), "total_tokens")), 0);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(last, "usage"), "total_tokens")), 8);
    json_decref(first);
    json_decref(last);
    reply_fini(&r);
}

static void chat_logprobs(void **state)
{
    struct harness *h = *state;
    struct fake_script s = FAKE_SCRIPT_DEFAULT;
    s.has_logprobs = true;
    fake_host_set(h->host, &s);
    struct reply r = post(h, "/v1/chat/completions",
                          "{\"model\":\"tiny\"," MESSAGES ",\"logprobs\":true,\"stream\":true}");
    json_t *first = reply_line(&r, 0);
    assert_string_equal(keys_of(choice_of(first)), "index,delta,finish_reason,logprobs");
    const json_t *list = json_object_get(json_object_get(choice_of(first), "logprobs"), "content");
    assert_string_equal(keys_of(json_array_get(list, 0)), "token,logprob,bytes,top_logprobs");
    json_decref(first);
    reply_fini(&r);
}

static void errors_amid_a_stream_end_it(void **state)
{
    struct harness *h = *state;
    struct fake_script s = FAKE_SCRIPT_DEFAULT;
    s.fails_in_tokens = true;
    err_set(&s.error, ERR_INTERNAL, "gone");
    fake_host_set(h->host, &s);
    struct reply r = post(h, "/v1/chat/completions", "{\"model\":\"tiny\"," MESSAGES ",\"stream\":true}");
    json_t *v = reply_line(&r, 3);
    assert_string_equal(text_of(json_object_get(v, "error"), "message"), "gone");
    assert_string_equal(text_of(json_object_get(v, "error"), "type"), "api_error");
    assert_string_equal(r.body + strlen(r.body) - 16, "\n\ndata: [DONE]\n\n");
    json_decref(v);
    reply_fini(&r);
}

static void full_queue_and_long_prompt_have_codes(void **state)
{
    struct harness *h = *state;
    struct fake_script s = FAKE_SCRIPT_DEFAULT;
    s.is_full = true;
    fake_host_set(h->host, &s);
    struct reply r = post(h, "/v1/chat/completions", "{\"model\":\"tiny\"," MESSAGES "}");
    json_t *v = reply_json_value(&r);
    char *retry = reply_header(&r, "Retry-After");
    assert_int_equal(r.status, 503);
    assert_string_equal(retry, "9");
    assert_string_equal(text_of(json_object_get(v, "error"), "type"), "api_error");
    assert_string_equal(text_of(json_object_get(v, "error"), "code"), "queue_full");
    free(retry);
    json_decref(v);
    reply_fini(&r);
    s.is_full = false;
    s.fails_at_prompt = true;
    err_set(&s.error, ERR_INVALID,
            "the prompt has 5000 tokens, the context length is 4096: the prompt is too long by 904");
    fake_host_set(h->host, &s);
    r = post(h, "/v1/chat/completions", "{\"model\":\"tiny\"," MESSAGES ",\"stream\":true}");
    v = reply_json_value(&r);
    assert_int_equal(r.status, 400);
    assert_string_equal(text_of(json_object_get(v, "error"), "code"), "context_length_exceeded");
    json_decref(v);
    reply_fini(&r);
}

static void models_are_listed(void **state)
{
    struct reply r = call(*state, "GET", "/v1/models", NULL, NULL);
    json_t *v = reply_json_value(&r);
    assert_int_equal(json_array_size(json_object_get(v, "data")), 6);
    assert_string_equal(keys_of(json_array_get(json_object_get(v, "data"), 0)), "id,object,created,owned_by");
    json_decref(v);
    reply_fini(&r);
    r = call(*state, "GET", "/v1/models/me%2Fother:v2", NULL, NULL);
    v = reply_json_value(&r);
    assert_string_equal(text_of(v, "id"), "me/other:v2");
    assert_string_equal(text_of(v, "owned_by"), "me");
    json_decref(v);
    reply_fini(&r);
    expect_error(call(*state, "GET", "/v1/models/nope", NULL, NULL), 404, "not_found_error",
                 "model 'nope' not found");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup(f, harness_reset)
    const struct CMUnitTest tests[] = {
        T(chat_answers_whole),
        T(chat_streams_events),
        T(a_stream_without_text_still_has_a_role),
        T(parameters_are_honoured),
        T(calls_and_results_become_messages),
        T(thoughts_and_calls_are_members_of_the_message),
        T(thoughts_and_calls_are_deltas),
        T(the_choice_of_tools_is_honoured),
        T(what_is_not_honoured_is_refused),
        T(bad_bodies_are_refused),
        T(completions_answer_and_stream),
        T(chat_logprobs),
        T(errors_amid_a_stream_end_it),
        T(full_queue_and_long_prompt_have_codes),
        T(models_are_listed),
    };
    return cmocka_run_group_tests(tests, harness_setup, harness_teardown);
}
