// SPDX-License-Identifier: MIT
// /v1/messages and its count_tokens: every member of a body honoured or refused by name, the answers and the
// events of a stream with their members in order, errors in Anthropic's shape.
#include "../test.h"

#include "harness.h"

#define PATH "/v1/messages"
#define ASK  "\"model\":\"plain\",\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":\"Why?\"}]"

static const char *text_of(const json_t *v, const char *key)
{
    return json_string_value(json_object_get(v, key));
}

static void assert_json(const json_t *v, const char *expected)
{
    char *text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
    assert_string_equal(text, expected);
    free(text);
}

static void assert_event(struct reply *r, size_t i, const char *expected)
{
    json_t *v = reply_event(r, i);
    assert_json(v, expected);
    json_decref(v);
}

static void expect_error(struct reply r, int status, const char *type, const char *message)
{
    json_t *v = reply_json_value(&r);
    const json_t *e = json_object_get(v, "error");
    assert_int_equal(r.status, status);
    assert_string_equal(keys_of(v), "type,error,request_id");
    assert_string_equal(text_of(v, "type"), "error");
    assert_int_equal(strlen(text_of(v, "request_id")), 4 + 24);
    assert_memory_equal(text_of(v, "request_id"), "req_", 4);
    assert_string_equal(keys_of(e), "type,message");
    assert_string_equal(text_of(e, "message"), message);
    assert_string_equal(text_of(e, "type"), type);
    json_decref(v);
    reply_fini(&r);
}

static void it_answers_whole(void **state)
{
    struct reply r = post(*state, PATH, "{" ASK "}");
    json_t *v = reply_json_value(&r);
    assert_int_equal(r.status, 200);
    assert_string_equal(keys_of(v), "id,type,role,model,content,stop_reason,usage");
    assert_int_equal(strlen(text_of(v, "id")), 4 + 24);
    assert_memory_equal(text_of(v, "id"), "msg_", 4);
    assert_string_equal(text_of(v, "type"), "message");
    assert_string_equal(text_of(v, "role"), "assistant");
    assert_string_equal(text_of(v, "model"), "plain");
    assert_json(json_object_get(v, "content"), "[{\"type\":\"text\",\"text\":\"Hello you\"}]");
    assert_string_equal(text_of(v, "stop_reason"), "end_turn");
    assert_json(json_object_get(v, "usage"), "{\"input_tokens\":5,\"output_tokens\":3}");
    json_decref(v);
    reply_fini(&r);
}

static void it_streams_events(void **state)
{
    struct reply r = post(*state, PATH, "{" ASK ",\"stream\":true}");
    char *type = reply_header(&r, "Content-Type");
    assert_string_equal(type, "text/event-stream");
    assert_string_equal(reply_event_names(&r),
                        "message_start content_block_start content_block_delta content_block_delta "
                        "content_block_delta content_block_stop message_delta message_stop");
    json_t *start = reply_event(&r, 0);
    const json_t *message = json_object_get(start, "message");
    assert_string_equal(keys_of(message), "id,type,role,model,content,usage");
    assert_json(json_object_get(message, "content"), "[]");
    assert_json(json_object_get(message, "usage"), "{\"input_tokens\":5,\"output_tokens\":0}"); // no estimate
    assert_event(
        &r, 1,
        "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":"
        "\"\"}}");
    assert_event(&r, 2,
                 "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":"
                 "\"Hel\"}}");
    assert_event(&r, 5, "{\"type\":\"content_block_stop\",\"index\":0}");
    assert_event(&r, 6,
                 "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"input_"
                 "tokens\":5,\"output_tokens\":3}}");
    assert_event(&r, 7, "{\"type\":\"message_stop\"}");
    json_decref(start);
    free(type);
    reply_fini(&r);
}

#define CLEVER                                                                                               \
    "{" ASK                                                                                                  \
    ",\"model\":\"clever\",\"tools\":[{\"name\":\"f\",\"description\":\"d\",\"input_schema\":{\"type\":"     \
    "\"object\"},\"cache_control\":{}},{\"type\":\"custom\",\"name\":\"g\"}]"

static void use_clever(void **state)
{
    struct fake_script s = FAKE_SCRIPT_CLEVER;
    fake_host_set(((struct harness *)*state)->host, &s);
}

static void thoughts_and_calls_are_blocks(void **state)
{
    use_clever(state);
    struct reply r =
        post(*state, PATH, CLEVER ",\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":1024}}");
    const struct request *q = last_request(state);
    json_t *v = reply_json_value(&r), *content = json_object_get(v, "content");
    char *ignored = reply_header(&r, "X-Ignored-Parameters");
    assert_string_equal(q->tools_json,
                        "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":\"d\","
                        "\"parameters\":{\"type\":\"object\"}}},{\"type\":\"function\",\"function\":{"
                        "\"name\":\"g\"}}]");
    assert_int_equal(q->think, THINK_ON);
    assert_string_equal(ignored, "thinking.budget_tokens");
    assert_int_equal(json_array_size(content), 4);
    assert_json(json_array_get(content, 0), "{\"type\":\"thinking\",\"thinking\":\"hm\",\"signature\":\"\"}");
    assert_json(json_array_get(content, 1), "{\"type\":\"text\",\"text\":\"Let me see.\"}");
    assert_string_equal(keys_of(json_array_get(content, 2)), "type,id,name,input");
    assert_json(json_object_get(json_array_get(content, 2), "input"), "{\"y\":1,\"x\":\"<\"}");
    assert_string_equal(text_of(json_array_get(content, 3), "name"), "g");
    assert_string_equal(text_of(v, "stop_reason"), "tool_use");
    free(ignored);
    json_decref(v);
    reply_fini(&r);
}

static void blocks_of_a_stream_follow_each_other(void **state)
{
    static const char *const expected[][2] = {
        {"1", "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"thinking\","
              "\"thinking\":"
              "\"\",\"signature\":\"\"}}"},
        {"2",
         "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":"
         "\"h\"}}"},
        {"4", "{\"type\":\"content_block_stop\",\"index\":0}"},
        {"6",
         "{\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"text_delta\",\"text\":\"Let "
         "me\"}}"},
        {"8", "{\"type\":\"content_block_stop\",\"index\":1}"},
        {"10",
         "{\"type\":\"content_block_delta\",\"index\":2,\"delta\":{\"type\":\"input_json_delta\",\"partial_"
         "json\":\"{\\\"y\\\":1,\\\"x\\\":\\\"\\\\u003c\\\"}\"}}"},
        {"14", "{\"type\":\"content_block_stop\",\"index\":3}"},
        {"15",
         "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\"},\"usage\":{\"input_tokens\":5,"
         "\"output_tokens\":6}}"},
    };
    use_clever(state);
    struct reply r = post(*state, PATH, CLEVER ",\"stream\":true}");
    assert_string_equal(
        reply_event_names(&r),
        "message_start content_block_start content_block_delta content_block_delta "
        "content_block_stop content_block_start content_block_delta content_block_delta "
        "content_block_stop content_block_start content_block_delta content_block_stop "
        "content_block_start content_block_delta content_block_stop message_delta message_stop");
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
        assert_event(&r, (size_t)atoi(expected[i][0]), expected[i][1]);
    json_t *start = reply_event(&r, 9), *block = json_object_get(start, "content_block");
    assert_string_equal(keys_of(block), "type,id,name,input");
    assert_json(json_object_get(block, "input"), "{}");
    json_decref(start);
    reply_fini(&r);
}

static void thinking_is_a_wish(void **state)
{
    struct reply r = post(*state, PATH, "{" ASK ",\"thinking\":{\"type\":\"enabled\"}}"); // plain cannot
    char *ignored = reply_header(&r, "X-Ignored-Parameters");
    assert_int_equal(r.status, 200);
    assert_string_equal(ignored, "thinking");
    assert_int_equal(last_request(state)->think, THINK_UNSET);
    free(ignored);
    reply_fini(&r);
    r = post(*state, PATH, CLEVER ",\"thinking\":{\"type\":\"disabled\"}}");
    assert_int_equal(last_request(state)->think, THINK_OFF);
    reply_fini(&r);
    r = post(*state, PATH, CLEVER ",\"output_config\":{\"effort\":\"xhigh\"}}");
    assert_int_equal(last_request(state)->think, THINK_ON);
    assert_string_equal(last_request(state)->think_level, "high");
    reply_fini(&r);
}

static void the_choice_of_tools_is_honoured(void **state)
{
    use_clever(state);
    struct reply r =
        post(*state, PATH, CLEVER ",\"tool_choice\":{\"type\":\"auto\",\"disable_parallel_tool_use\":true}}");
    json_t *v = reply_json_value(&r);
    assert_int_equal(json_array_size(json_object_get(v, "content")), 3);
    json_decref(v);
    reply_fini(&r);
    r = post(*state, PATH, CLEVER ",\"tool_choice\":{\"type\":\"any\"}}");
    assert_true(last_request(state)->must_call);
    assert_null(last_request(state)->one_tool);
    reply_fini(&r);
    r = post(*state, PATH, CLEVER ",\"tool_choice\":{\"type\":\"tool\",\"name\":\"g\"}}");
    assert_true(last_request(state)->must_call);
    assert_string_equal(last_request(state)->one_tool, "g");
    reply_fini(&r);
    r = post(*state, PATH, CLEVER ",\"tool_choice\":{\"type\":\"none\"}}");
    assert_null(last_request(state)->tools_json);
    reply_fini(&r);
}

static void an_answer_without_text_has_no_block(void **state)
{
    struct harness *h = *state;
    struct fake_script s = FAKE_SCRIPT_DEFAULT;
    s.tokens[0] = "";
    s.tokens[1] = NULL;
    fake_host_set(h->host, &s);
    struct reply r = post(h, PATH, "{" ASK ",\"stream\":true}");
    assert_string_equal(reply_event_names(&r), "message_start message_delta message_stop");
    reply_fini(&r);
    r = post(h, PATH, "{" ASK "}");
    json_t *v = reply_json_value(&r);
    assert_json(json_object_get(v, "content"), "[]"); // clients read a list
    json_decref(v);
    reply_fini(&r);
}

static void the_end_has_its_reason(void **state)
{
    static const struct {
        enum done_reason reason;
        uint32_t stop_i;
        const char *more, *expected;
    } cases[] = {
        {DONE_STOP, 0, "", "{\"stop_reason\":\"end_turn\"}"},
        {DONE_LENGTH, 0, "", "{\"stop_reason\":\"max_tokens\"}"},
        {DONE_STOP, 2, ",\"stop_sequences\":[\"a\",\"b\"]",
         "{\"stop_reason\":\"stop_sequence\",\"stop_sequence\":\"b\"}"},
        {DONE_STOP, 1, "", "{\"stop_reason\":\"end_turn\"}"}, // one of the model's own
    };
    struct harness *h = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fake_script s = FAKE_SCRIPT_DEFAULT;
        char body[512];
        s.reason = cases[i].reason;
        s.stop_i = cases[i].stop_i;
        fake_host_set(h->host, &s);
        snprintf(body, sizeof body, "{" ASK ",\"stream\":true%s}", cases[i].more);
        struct reply r = post(h, PATH, body);
        json_t *v = reply_event(&r, 6);
        assert_json(json_object_get(v, "delta"), cases[i].expected);
        json_decref(v);
        reply_fini(&r);
    }
}

static void parameters_are_honoured(void **state)
{
    struct reply r = post(*state, PATH,
                          "{" ASK ",\"temperature\":0.25,\"top_p\":0.5,\"top_k\":3,\"stop_sequences\":[\"a\","
                          "\"b\"],\"metadata\":{\"user_id\":\"u\"},\"service_tier\":\"auto\",\"thinking\":{"
                          "\"type\":\"disabled\"},\"tools\":[],\"tool_choice\":{\"type\":\"auto\"}}");
    const struct request *q = last_request(state);
    assert_int_equal(r.status, 200);
    assert_int_equal(q->params.num_predict, 9);
    assert_true(q->params.temperature == 0.25f && q->params.top_p == 0.5f);
    assert_int_equal(q->params.top_k, 3);
    assert_int_equal(q->n_stops, 2);
    assert_string_equal(q->stops[1], "b");
    assert_int_equal(q->truncate, TRUNCATE_REFUSE);
    assert_null(reply_header(&r, "X-Ignored-Parameters"));
    reply_fini(&r);
    r = post(*state, PATH,
             "{" ASK ",\"messages\":[{\"role\":\"user\",\"content\":\"x\",\"name\":\"n\"}],\"new\":1}");
    char *ignored = reply_header(&r, "X-Ignored-Parameters");
    assert_string_equal(ignored, "messages.name, new");
    free(ignored);
    reply_fini(&r);
    r = post(*state, PATH,
             "{\"model\":\"tiny\",\"max_tokens\":4,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}");
    assert_true(last_request(state)->params.temperature == 0.0f); // the Modelfile's counts here
    assert_int_equal(last_request(state)->params.num_predict, 4);
    reply_fini(&r);
}

static void a_format_is_handed_on(void **state)
{
    static const char *const places[] = {"\"output_config\":{\"format\":%s}", "\"output_format\":%s"};
    for (size_t i = 0; i < 2; i++) {
        char member[256], body[512];
        snprintf(member, sizeof member, places[i],
                 "{\"type\":\"json_schema\",\"schema\":{\"type\":\"integer\"}}");
        snprintf(body, sizeof body, "{" ASK ",%s}", member);
        struct reply r = post(*state, PATH, body);
        assert_int_equal(r.status, 200);
        assert_string_equal(last_request(state)->format_json, "{\"type\":\"integer\"}");
        reply_fini(&r);
    }
}

static void contents_become_messages(void **state)
{
    static const struct {
        const char *members, *messages;
    } cases[] = {
        {"\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]", "[{\"role\":\"user\",\"content\":\"a\"}]"},
        {"\"system\":\"s\",\"messages\":[{\"role\":\"User\",\"content\":\"a\"}]",
         "[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":\"a\"}]"},
        {"\"system\":[{\"type\":\"text\",\"text\":\"s\",\"cache_control\":{\"type\":\"ephemeral\"}},{"
         "\"type\":"
         "\"text\",\"text\":\"t\"}],\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]",
         "[{\"role\":\"system\",\"content\":\"s\\nt\"},{\"role\":\"user\",\"content\":\"a\"}]"},
        {"\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":"
         "\"text\","
         "\"text\":\"b\"}]},{\"role\":\"assistant\",\"content\":[]},{\"role\":\"user\",\"content\":\"c\"}]",
         "[{\"role\":\"user\",\"content\":\"a\\nb\"},{\"role\":\"assistant\",\"content\":\"\"},{\"role\":"
         "\"user\",\"content\":\"c\"}]"},
        {"\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"system\",\"content\":\"s\"},{"
         "\"role\":\"user\",\"content\":\"b\"}]",
         "[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\","
         "\"content\":\"b\"}]"},
        {"\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":[{\"type\":"
         "\"thinking\",\"thinking\":\"hm\",\"signature\":\"s\"},{\"type\":\"text\",\"text\":\"b\"},{\"type\":"
         "\"tool_use\",\"id\":\"t1\",\"name\":\"f\",\"input\":{\"x\":1}},{\"type\":\"tool_use\",\"id\":"
         "\"t2\","
         "\"name\":\"g\",\"input\":{}}]},{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"c\"},{"
         "\"type\":\"tool_result\",\"tool_use_id\":\"t1\",\"content\":\"7\"},{\"type\":\"tool_result\","
         "\"tool_"
         "use_id\":\"t2\",\"content\":[{\"type\":\"text\",\"text\":\"8\"}]}]},{\"role\":\"user\",\"content\":"
         "["
         "{\"type\":\"tool_result\",\"tool_use_id\":\"t3\"}]}]",
         "[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\",\"thinking\":"
         "\"hm\","
         "\"tool_calls\":[{\"id\":\"t1\",\"function\":{\"index\":0,\"name\":\"f\",\"arguments\":{\"x\":1}}},{"
         "\"id\":\"t2\",\"function\":{\"index\":1,\"name\":\"g\",\"arguments\":{}}}]},{\"role\":\"tool\","
         "\"content\":\"7\",\"tool_name\":\"f\",\"tool_call_id\":\"t1\"},{\"role\":\"tool\",\"content\":"
         "\"8\","
         "\"tool_name\":\"g\",\"tool_call_id\":\"t2\"},{\"role\":\"user\",\"content\":\"c\"},{\"role\":"
         "\"tool\","
         "\"content\":\"\",\"tool_call_id\":\"t3\"}]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char body[2048];
        snprintf(body, sizeof body, "{\"model\":\"plain\",\"max_tokens\":9,%s}", cases[i].members);
        struct reply r = post(*state, PATH, body);
        if (r.status != 200)
            fail_msg("%s", r.body);
        assert_string_equal(last_request(state)->messages_json, cases[i].messages);
        reply_fini(&r);
    }
}

static void what_is_not_honoured_is_refused(void **state)
{
    static const char *const cases[][2] = {
        {"\"max_tokens\":0", "max_tokens is required and must be positive"},
        {"\"max_tokens\":\"5\"",
         "json: cannot unmarshal string into Go struct field MessagesRequest.max_tokens of type int"},
        {"\"model\":\"\"", "model is required"},
        {"\"messages\":[]", "messages is required"},
        {"\"messages\":null", "messages is required"},
        {"\"messages\":[5]", "json: cannot unmarshal number into Go struct field MessagesRequest.messages of "
                             "type anthropic.MessageParam"},
        {"\"messages\":[{\"content\":\"x\"}]", "a message has no \"role\""},
        {"\"messages\":[{\"role\":\"user\"}]", "content must be a string or an array of blocks"},
        {"\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}]",
         "a block of type \"text\" has no \"text\""},
        {"\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"document\"}]}]",
         "drover does not support content of type \"document\" yet"},
        {"\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image\"}]}]",
         "registry.ollama.ai/library/plain:latest does not support vision"},
        {"\"system\":5", "system must be a string or an array of blocks"},
        {"\"stop_sequences\":\"a\"", "json: cannot unmarshal string into Go struct field "
                                     "MessagesRequest.stop_sequences of type []string"},
        {"\"stop_sequences\":[\"\"]", "stop_sequences must be strings that are not empty"},
        {"\"temperature\":\"x\"",
         "json: cannot unmarshal string into Go struct field MessagesRequest.temperature of type float64"},
        {"\"top_k\":1.5",
         "json: cannot unmarshal number 1.5 into Go struct field MessagesRequest.top_k of type int"},
        {"\"stream\":1",
         "json: cannot unmarshal number into Go struct field MessagesRequest.stream of type bool"},
        {"\"tools\":[{\"name\":\"\"}]", "a tool has no name"},
        {"\"tools\":[{\"type\":\"web_search_20250305\",\"name\":\"web_search\"}]",
         "drover does not support tools of type \"web_search_20250305\" yet"},
        {"\"tool_choice\":{\"type\":\"any\"}", "tool_choice: there are no tools to choose from"},
        {"\"tool_choice\":{\"type\":\"some\"}",
         "tool_choice must be \"auto\", \"any\", \"tool\" or \"none\""},
        {"\"tools\":[{\"name\":\"f\",\"input_schema\":{}}],\"tool_choice\":{\"type\":\"tool\",\"name\":"
         "\"g\"}",
         "tool_choice: no tool is named \"g\""},
        {"\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"server_tool_use\"}]}]",
         "drover does not support content of type \"server_tool_use\" yet"},
        {"\"thinking\":{\"type\":\"some\"}",
         "thinking.type must be \"enabled\", \"adaptive\" or \"disabled\""},
        {"\"output_config\":{\"effort\":\"some\"}",
         "output_config.effort must be \"low\", \"medium\", \"high\", \"xhigh\" or \"max\""},
        {"\"container\":\"c\"", "drover does not support \"container\" yet"},
        {"\"mcp_servers\":[{}]", "drover does not support \"mcp_servers\" yet"},
        {"\"context_management\":{\"edits\":[]}", "drover does not support \"context_management\" yet"},
    };
    unsigned before = fake_host_submitted(((struct harness *)*state)->host);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char body[512];
        snprintf(body, sizeof body, "{" ASK ",%s}", cases[i][0]); // the last of equal names counts
        expect_error(post(*state, PATH, body), 400, "invalid_request_error", cases[i][1]);
    }
    expect_error(post(*state, PATH, ""), 400, "invalid_request_error", "EOF");
    expect_error(post(*state, PATH, "[]"), 400, "invalid_request_error",
                 "json: cannot unmarshal array into Go value of type anthropic.MessagesRequest");
    expect_error(post(*state, PATH, "{" ASK ",\"model\":\"nope\"}"), 404, "not_found_error",
                 "model 'nope' not found");
    expect_error(post(*state, PATH, "{" ASK ",\"model\":\"bertie\"}"), 400, "invalid_request_error",
                 "\"bertie\" does not support chat");
    assert_int_equal(fake_host_submitted(((struct harness *)*state)->host), before);
}

static void tokens_are_counted(void **state)
{
    struct reply r =
        post(*state, PATH "/count_tokens",
             "{\"model\":\"plain\",\"system\":\"s\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}");
    assert_int_equal(r.status, 200);
    assert_string_equal(r.body, "{\"input_tokens\":5}\n");
    assert_int_equal(last_request(state)->task, TASK_TOKENIZE);
    reply_fini(&r);
}

static void errors_have_a_type_for_their_status(void **state)
{
    struct harness *h = *state;
    struct fake_script s = FAKE_SCRIPT_DEFAULT;
    s.is_full = true;
    fake_host_set(h->host, &s);
    expect_error(post(h, PATH, "{" ASK "}"), 503, "overloaded_error",
                 "server busy, please try again.  maximum pending requests exceeded");
    s.is_full = false;
    s.fails_at_prompt = true;
    err_set(&s.error, ERR_INTERNAL, "gone");
    fake_host_set(h->host, &s);
    expect_error(post(h, PATH, "{" ASK ",\"stream\":true}"), 500, "api_error",
                 "gone"); // before the first byte
    s.fails_at_prompt = false;
    s.fails_in_tokens = true;
    fake_host_set(h->host, &s);
    struct reply r = post(h, PATH, "{" ASK ",\"stream\":true}");
    json_t *v = reply_event(&r, 5);
    assert_string_equal(reply_event_names(&r), "message_start content_block_start content_block_delta "
                                               "content_block_delta content_block_delta error");
    assert_json(json_object_get(v, "error"), "{\"type\":\"api_error\",\"message\":\"gone\"}");
    json_decref(v);
    reply_fini(&r);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup(f, harness_reset)
    const struct CMUnitTest tests[] = {
        T(it_answers_whole),
        T(it_streams_events),
        T(thoughts_and_calls_are_blocks),
        T(blocks_of_a_stream_follow_each_other),
        T(thinking_is_a_wish),
        T(the_choice_of_tools_is_honoured),
        T(an_answer_without_text_has_no_block),
        T(the_end_has_its_reason),
        T(parameters_are_honoured),
        T(a_format_is_handed_on),
        T(contents_become_messages),
        T(what_is_not_honoured_is_refused),
        T(tokens_are_counted),
        T(errors_have_a_type_for_their_status),
    };
    return cmocka_run_group_tests(tests, harness_setup, harness_teardown);
}
