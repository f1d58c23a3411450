// SPDX-License-Identifier: MIT
// /v1/responses: every member of a body honoured, echoed or refused by name; the whole answer in OpenAI's
// order, the events of a stream numbered, with their members in alphabetical order.
#include "../test.h"

#include "harness.h"

#define PATH "/v1/responses"
#define ASK  "\"model\":\"plain\",\"input\":\"Why?\""

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

static void expect_error(struct reply r, int status, const char *message)
{
    json_t *v = reply_json_value(&r);
    const json_t *e = json_object_get(v, "error");
    assert_int_equal(r.status, status);
    assert_string_equal(keys_of(e), "message,type,param,code");
    assert_string_equal(text_of(e, "message"), message);
    json_decref(v);
    reply_fini(&r);
}

static const char whole_keys[] =
    "id,object,created_at,completed_at,status,incomplete_details,model,previous_response_id,instructions,"
    "output,error,tools,tool_choice,truncation,parallel_tool_calls,text,top_p,presence_penalty,frequency_"
    "penalty,top_logprobs,temperature,reasoning,usage,max_output_tokens,max_tool_calls,store,background,"
    "service_tier,metadata,safety_identifier,prompt_cache_key";

static void it_answers_whole(void **state)
{
    struct reply r = post(*state, PATH, "{" ASK "}");
    json_t *v = reply_json_value(&r);
    assert_int_equal(r.status, 200);
    assert_string_equal(keys_of(v), whole_keys);
    assert_memory_equal(text_of(v, "id"), "resp_", 5);
    assert_string_equal(text_of(v, "status"), "completed");
    const json_t *item = json_array_get(json_object_get(v, "output"), 0);
    assert_string_equal(keys_of(item), "id,type,status,role,content");
    assert_memory_equal(text_of(item, "id"), "msg_", 4);
    assert_string_equal(text_of(item, "status"), "completed");
    assert_json(json_object_get(item, "content"), "[{\"type\":\"output_text\",\"text\":\"Hello you\","
                                                  "\"annotations\":[],\"logprobs\":[]}]");
    assert_json(json_object_get(v, "usage"),
                "{\"input_tokens\":5,\"output_tokens\":3,\"total_tokens\":8,\"input_tokens_details\":{"
                "\"cached_tokens\":2},\"output_tokens_details\":{\"reasoning_tokens\":0}}");
    json_decref(v);
    reply_fini(&r);
}

static void it_streams_numbered_events(void **state)
{
    static const char *const keys[] = {
        "response,sequence_number,type",
        "response,sequence_number,type",
        "item,output_index,sequence_number,type",
        "content_index,item_id,output_index,part,sequence_number,type",
        "content_index,delta,item_id,logprobs,output_index,sequence_number,type",
        "content_index,delta,item_id,logprobs,output_index,sequence_number,type",
        "content_index,delta,item_id,logprobs,output_index,sequence_number,type",
        "content_index,item_id,logprobs,output_index,sequence_number,text,type",
        "content_index,item_id,output_index,part,sequence_number,type",
        "item,output_index,sequence_number,type",
        "response,sequence_number,type",
    };
    struct reply r = post(*state, PATH, "{" ASK ",\"stream\":true}");
    char *type = reply_header(&r, "Content-Type"), *cache = reply_header(&r, "Cache-Control");
    assert_string_equal(type, "text/event-stream");
    assert_string_equal(cache, "no-cache");
    assert_string_equal(reply_event_names(&r),
                        "response.created response.in_progress response.output_item.added "
                        "response.content_part.added response.output_text.delta response.output_text.delta "
                        "response.output_text.delta response.output_text.done response.content_part.done "
                        "response.output_item.done response.completed");
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        json_t *v = reply_event(&r, i);
        assert_string_equal(keys_of(v), keys[i]);
        assert_int_equal(json_integer_value(json_object_get(v, "sequence_number")), i);
        if (i == 0)
            assert_string_equal(text_of(json_object_get(v, "response"), "status"), "in_progress");
        if (i == 2)
            assert_string_equal(text_of(json_object_get(v, "item"), "status"), "in_progress");
        if (i == 7)
            assert_string_equal(text_of(v, "text"), "Hello you");
        if (i == 10)
            assert_string_equal(text_of(json_object_get(v, "response"), "status"), "completed");
        json_decref(v);
    }
    assert_null(strstr(r.body, "[DONE]"));
    free(type);
    free(cache);
    reply_fini(&r);
}

#define CLEVER                                                                                               \
    "{" ASK ",\"model\":\"clever\",\"tools\":[{\"type\":\"function\",\"name\":\"f\",\"description\":\"d\","  \
    "\"parameters\":{\"type\":\"object\"},\"strict\":false},{\"type\":\"namespace\",\"name\":\"n\","         \
    "\"description\":"                                                                                       \
    "\"all\",\"tools\":[{\"type\":\"function\",\"name\":\"g\"}]}],\"reasoning\":{\"effort\":\"minimal\","    \
    "\"summary\":"                                                                                           \
    "\"auto\"}"

static void use_clever(void **state)
{
    struct fake_script s = FAKE_SCRIPT_CLEVER;
    fake_host_set(((struct harness *)*state)->host, &s);
}

static void thoughts_and_calls_are_items(void **state)
{
    use_clever(state);
    struct reply r = post(*state, PATH, CLEVER "}");
    const struct request *q = last_request(state);
    json_t *v = reply_json_value(&r), *output = json_object_get(v, "output");
    assert_string_equal(q->tools_json,
                        "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":\"d\","
                        "\"parameters\":{\"type\":\"object\"}}},{\"type\":\"function\",\"function\":{"
                        "\"name\":\"n.g\"}}]");
    assert_int_equal(q->think, THINK_ON);
    assert_string_equal(q->think_level, "low");
    assert_int_equal(json_array_size(output), 4);
    assert_string_equal(keys_of(json_array_get(output, 0)), "id,type,summary,encrypted_content,status");
    assert_json(json_object_get(json_array_get(output, 0), "summary"),
                "[{\"type\":\"summary_text\",\"text\":\"hm\"}]");
    assert_string_equal(text_of(json_array_get(output, 1), "type"), "message");
    const json_t *call = json_array_get(output, 2);
    assert_string_equal(keys_of(call), "id,type,status,call_id,name,arguments");
    assert_string_equal(text_of(call, "type"), "function_call");
    assert_string_equal(text_of(call, "name"), "f");
    assert_string_equal(text_of(call, "arguments"), "{\"y\":1,\"x\":\"\\u003c\"}");
    for (size_t i = 0; i < 4; i++)
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(text_of(json_array_get(output, i), "id"),
                                    text_of(json_array_get(output, k), "id"));
    assert_int_equal(json_array_size(json_object_get(v, "tools")), 2);
    json_decref(v);
    reply_fini(&r);
}

static void the_choice_of_tools_is_honoured(void **state)
{
    use_clever(state);
    struct reply r = post(*state, PATH, CLEVER ",\"tool_choice\":{\"type\":\"function\",\"name\":\"n.g\"}}");
    assert_true(last_request(state)->must_call && !last_request(state)->one_call);
    assert_string_equal(last_request(state)->one_tool, "n.g");
    reply_fini(&r);
    r = post(*state, PATH, CLEVER ",\"tool_choice\":\"none\",\"parallel_tool_calls\":false}");
    assert_null(last_request(state)->tools_json);
    reply_fini(&r);
}

static void items_of_a_stream_follow_each_other(void **state)
{
    use_clever(state);
    struct reply r = post(*state, PATH, CLEVER ",\"stream\":true}");
    assert_string_equal(
        reply_event_names(&r),
        "response.created response.in_progress response.output_item.added "
        "response.reasoning_summary_text.delta response.reasoning_summary_text.delta "
        "response.reasoning_summary_text.done response.output_item.done response.output_item.added "
        "response.content_part.added response.output_text.delta response.output_text.delta "
        "response.output_text.done response.content_part.done response.output_item.done "
        "response.output_item.added response.function_call_arguments.delta "
        "response.function_call_arguments.done response.output_item.done response.output_item.added "
        "response.function_call_arguments.delta response.function_call_arguments.done "
        "response.output_item.done response.completed");
    json_t *all = json_array(), *last = reply_event(&r, 22);
    for (size_t i = 0; i < 23; i++) {
        json_t *v = reply_event(&r, i);
        assert_int_equal(json_integer_value(json_object_get(v, "sequence_number")), i);
        if (strcmp(text_of(v, "type"), "response.output_item.done") == 0) {
            assert_int_equal(json_integer_value(json_object_get(v, "output_index")), json_array_size(all));
            json_array_append(all, json_object_get(v, "item"));
        }
        json_decref(v);
    }
    assert_true(json_equal(all, json_object_get(json_object_get(last, "response"), "output")));
    json_decref(all);
    json_decref(last);
    json_t *thought = reply_event(&r, 5), *part = reply_event(&r, 11), *call = reply_event(&r, 16);
    assert_string_equal(keys_of(thought), "item_id,output_index,sequence_number,summary_index,text,type");
    assert_string_equal(text_of(thought, "text"), "hm");
    assert_string_equal(text_of(part, "text"), "Let me see.");
    assert_string_equal(keys_of(call), "arguments,item_id,output_index,sequence_number,type");
    json_decref(thought);
    json_decref(part);
    json_decref(call);
    reply_fini(&r);
}

static void inputs_become_messages(void **state)
{
    static const struct {
        const char *members, *messages;
    } cases[] = {
        {"\"input\":\"a\"", "[{\"role\":\"user\",\"content\":\"a\"}]"},
        {"\"instructions\":\"s\",\"input\":\"a\"",
         "[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":\"a\"}]"},
        {"\"input\":[{\"role\":\"user\",\"content\":\"a\"}]", "[{\"role\":\"user\",\"content\":\"a\"}]"},
        {"\"input\":[{\"content\":\"a\"}]", "[{\"role\":\"user\",\"content\":\"a\"}]"},
        {"\"input\":[{\"type\":\"message\",\"id\":\"m\",\"status\":\"completed\",\"role\":\"developer\","
         "\"content\":[{\"type\":\"input_text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]},{"
         "\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\",\"text\":\"c\"}]},{\"role\":\"user\","
         "\"content\":\"d\"}]",
         "[{\"role\":\"system\",\"content\":\"a\\nb\"},{\"role\":\"assistant\",\"content\":\"c\"},{\"role\":"
         "\"user\",\"content\":\"d\"}]"},
        {"\"input\":[{\"role\":\"user\",\"content\":\"a\"},{\"type\":\"reasoning\",\"id\":\"rs_1\","
         "\"summary\":["
         "{\"type\":\"summary_text\",\"text\":\"h\"}],\"encrypted_content\":\"hm\"},{\"role\":\"assistant\","
         "\"content\":\"b\"},{\"type\":\"function_call\",\"id\":\"fc_1\",\"call_id\":\"c1\",\"name\":\"f\","
         "\"arguments\":\"{\\\"x\\\":1}\"},{\"type\":\"function_call\",\"call_id\":\"c2\",\"name\":\"g\","
         "\"arguments\":\"{}\"},{\"type\":\"function_call_output\",\"call_id\":\"c1\",\"output\":\"7\"},{"
         "\"type\":"
         "\"function_call_output\",\"call_id\":\"c2\",\"output\":[{\"type\":\"input_text\",\"text\":\"8\"}]},"
         "{"
         "\"type\":\"reasoning\",\"summary\":[{\"type\":\"summary_text\",\"text\":\"so\"}]},{\"type\":"
         "\"function_call\",\"call_id\":\"c3\",\"name\":\"f\",\"arguments\":\"{}\"}]",
         "[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\",\"thinking\":"
         "\"hm\","
         "\"tool_calls\":[{\"id\":\"c1\",\"function\":{\"index\":0,\"name\":\"f\",\"arguments\":{\"x\":1}}},{"
         "\"id\":\"c2\",\"function\":{\"index\":1,\"name\":\"g\",\"arguments\":{}}}]},{\"role\":\"tool\","
         "\"content\":\"7\",\"tool_name\":\"f\",\"tool_call_id\":\"c1\"},{\"role\":\"tool\",\"content\":"
         "\"8\","
         "\"tool_name\":\"g\",\"tool_call_id\":\"c2\"},{\"role\":\"assistant\",\"content\":\"\",\"thinking\":"
         "\"so\",\"tool_calls\":[{\"id\":\"c3\",\"function\":{\"index\":0,\"name\":\"f\",\"arguments\":{}}}]}"
         "]"},
        {"\"input\":[{\"type\":\"reasoning\",\"summary\":[],\"encrypted_content\":\"hm\"},{\"role\":\"user\","
         "\"content\":\"a\"},{\"type\":\"reasoning\",\"summary\":[],\"encrypted_content\":\"so\"}]",
         "[{\"role\":\"assistant\",\"content\":\"\",\"thinking\":\"hm\"},{\"role\":\"user\",\"content\":"
         "\"a\"},{"
         "\"role\":\"assistant\",\"content\":\"\",\"thinking\":\"so\"}]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char body[2048];
        snprintf(body, sizeof body, "{\"model\":\"plain\",%s}", cases[i].members);
        struct reply r = post(*state, PATH, body);
        if (r.status != 200)
            fail_msg("%s", r.body);
        assert_string_equal(last_request(state)->messages_json, cases[i].messages);
        reply_fini(&r);
    }
}

static void parameters_are_honoured_and_echoed(void **state)
{
    static const char *const echoed[][2] = {
        {"temperature", "0.5"},
        {"top_p", "0.25"},
        {"max_output_tokens", "7"},
        {"instructions", "\"s\""},
        {"truncation", "\"auto\""},
        {"metadata", "{\"a\":\"b\"}"},
        {"tool_choice", "\"none\""},
        {"parallel_tool_calls", "false"},
        {"safety_identifier", "\"i\""},
        {"prompt_cache_key", "\"k\""},
        {"max_tool_calls", "3"},
        {"reasoning", "{\"effort\":\"none\"}"},
        {"text", "{\"format\":{\"type\":\"text\"}}"},
    };
    struct strbuf body = STRBUF_INIT(4096);
    strbuf_push_text(
        &body,
        "{" ASK
        ",\"store\":false,\"background\":false,\"include\":[\"reasoning.encrypted_content\"],\"user\":\"u\"");
    for (size_t i = 0; i < sizeof echoed / sizeof echoed[0]; i++)
        strbuf_printf(&body, ",\"%s\":%s", echoed[i][0], echoed[i][1]);
    strbuf_push_char(&body, '}');
    struct reply r = post(*state, PATH, strbuf_text(&body));
    const struct request *q = last_request(state);
    json_t *v = reply_json_value(&r);
    assert_int_equal(r.status, 200);
    assert_true(q->params.temperature == 0.5f && q->params.top_p == 0.25f);
    assert_int_equal(q->params.num_predict, 7);
    assert_int_equal(q->truncate, TRUNCATE_OLD_TURNS);
    for (size_t i = 0; i < sizeof echoed / sizeof echoed[0]; i++)
        assert_json(json_object_get(v, echoed[i][0]), echoed[i][1]);
    assert_null(reply_header(&r, "X-Ignored-Parameters"));
    json_decref(v);
    reply_fini(&r);
    strbuf_fini(&body);
    r = post(*state, PATH, "{\"model\":\"tiny\",\"input\":\"x\"}");
    assert_true(last_request(state)->params.temperature == 1.0f); // not the Modelfile's
    assert_int_equal(last_request(state)->truncate, TRUNCATE_REFUSE);
    reply_fini(&r);
    r = post(*state, PATH, "{" ASK ",\"frequency_penalty\":1}");
    char *ignored = reply_header(&r, "X-Ignored-Parameters");
    assert_string_equal(ignored, "frequency_penalty");
    free(ignored);
    reply_fini(&r);
}

static void what_is_not_honoured_is_refused(void **state)
{
    static const char *const cases[][2] = {
        {"\"model\":\"\"", "model is required"},
        {"\"input\":5", "input must be a string or an array of items"},
        {"\"input\":[5]", "json: cannot unmarshal number into Go struct field ResponsesRequest.input of type "
                          "openai.ResponsesInputItem"},
        {"\"input\":[{\"role\":\"user\"}]", "the content of a message must be a string or an array"},
        {"\"input\":[{\"type\":\"computer_call\"}]",
         "drover does not support input of type \"computer_call\" yet"},
        {"\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_file\"}]}]",
         "drover does not support content of type \"input_file\" yet"},
        {"\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_image\"}]}]",
         "registry.ollama.ai/library/plain:latest does not support vision"},
        {"\"input\":[{\"type\":\"function_call\",\"name\":\"f\",\"arguments\":\"[]\"}]",
         "invalid tool call arguments"},
        {"\"input\":[{\"type\":\"function_call_output\",\"call_id\":\"c\"}]",
         "the output of a call must be a string or an array"},
        {"\"tools\":[{\"type\":\"web_search\"}]", "drover does not support tools of type \"web_search\" yet"},
        {"\"tools\":[{\"type\":\"function\"}]", "a tool has no name"},
        {"\"tool_choice\":\"required\"", "tool_choice: there are no tools to choose from"},
        {"\"tools\":[{\"type\":\"namespace\",\"name\":\"n\",\"tools\":[{\"type\":\"function\",\"name\":\"f\"}"
         "]}],\"tool_choice\":{\"type\":\"function\",\"name\":\"f\"}",
         "tool_choice: no tool is named \"f\""},
        {"\"include\":[\"file_search_call.results\"]", "drover does not support \"include\" yet"},
        {"\"store\":true", "drover does not support \"store\" yet"},
        {"\"previous_response_id\":\"resp_1\"", "drover does not support \"previous_response_id\" yet"},
        {"\"conversation\":\"c\"", "drover does not support \"conversation\" yet"},
        {"\"prompt\":{\"id\":\"p\"}", "drover does not support \"prompt\" yet"},
        {"\"background\":true", "drover does not support \"background\" yet"},
        {"\"service_tier\":\"flex\"", "drover does not support \"service_tier\" yet"},
        {"\"truncation\":\"some\"", "truncation must be \"auto\" or \"disabled\""},
        {"\"max_output_tokens\":0", "max_output_tokens must be at least 1"},
        {"\"top_logprobs\":2", "drover does not support \"top_logprobs\" yet"},
        {"\"text\":{\"verbosity\":\"low\"}", "drover does not support \"verbosity\" yet"},
        {"\"temperature\":[]",
         "json: cannot unmarshal array into Go struct field ResponsesRequest.temperature of type float64"},
        {"\"stream_options\":{\"include_obfuscation\":true}",
         "drover does not support \"include_obfuscation\" yet"},
    };
    unsigned before = fake_host_submitted(((struct harness *)*state)->host);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char body[512];
        snprintf(body, sizeof body, "{" ASK ",%s}", cases[i][0]); // the last of equal names counts
        expect_error(post(*state, PATH, body), 400, cases[i][1]);
    }
    expect_error(post(*state, PATH, ""), 400, "EOF");
    expect_error(post(*state, PATH, "{" ASK ",\"model\":\"nope\"}"), 404, "model 'nope' not found");
    assert_int_equal(fake_host_submitted(((struct harness *)*state)->host), before);
}

static void without_input_the_model_is_loaded(void **state)
{
    struct reply r = post(*state, PATH, "{\"model\":\"plain\",\"stream\":true}");
    assert_false(fake_host_last(((struct harness *)*state)->host)->has_request);
    assert_memory_equal(reply_event_names(&r), "response.created response.in_progress ", 38);
    reply_fini(&r);
}

static void errors_amid_a_stream_are_an_event(void **state)
{
    struct harness *h = *state;
    struct fake_script s = FAKE_SCRIPT_DEFAULT;
    s.fails_in_tokens = true;
    err_set(&s.error, ERR_INTERNAL, "gone");
    fake_host_set(h->host, &s);
    struct reply r = post(h, PATH, "{" ASK ",\"stream\":true}");
    json_t *v = reply_event(&r, 7);
    assert_string_equal(keys_of(v), "code,error,message,param,sequence_number,type");
    assert_string_equal(text_of(v, "message"), "gone");
    assert_string_equal(text_of(json_object_get(v, "error"), "message"),
                        "gone"); // by which openai's client raises
    assert_int_equal(json_integer_value(json_object_get(v, "sequence_number")), 7);
    json_decref(v);
    reply_fini(&r);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup(f, harness_reset)
    const struct CMUnitTest tests[] = {
        T(it_answers_whole),
        T(it_streams_numbered_events),
        T(thoughts_and_calls_are_items),
        T(the_choice_of_tools_is_honoured),
        T(items_of_a_stream_follow_each_other),
        T(inputs_become_messages),
        T(parameters_are_honoured_and_echoed),
        T(what_is_not_honoured_is_refused),
        T(without_input_the_model_is_loaded),
        T(errors_amid_a_stream_are_an_event),
    };
    return cmocka_run_group_tests(tests, harness_setup, harness_teardown);
}
