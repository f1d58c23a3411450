// SPDX-License-Identifier: MIT
// Requests, events and the small messages: what is encoded comes back; every shortened, lengthened or random
// message is refused or decoded without harm.
#include "../test.h"

#include "base/mem.h"
#include "frames/event.h"
#include "frames/message.h"
#include "frames/request.h"

static uint64_t state = 88172645463325252ull;
static uint32_t next_random(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 11);
}

static void fill_request(struct request *r)
{
    request_init(r);
    r->id = 0x1122334455667788ull;
    r->kind = PROMPT_MESSAGES;
    r->prompt = malloc(6);
    memcpy(r->prompt, "a\0bcd", 6);
    r->prompt_bytes = 5;
    r->messages_json = xstrdup("[{\"role\":\"user\"}]");
    r->variables_json = xstrdup("");
    r->bare_without_template = true;
    r->context_ids = xmalloc(3 * sizeof(uint32_t));
    memcpy(r->context_ids, (uint32_t[]){1, 2, UINT32_MAX}, 12);
    r->n_context_ids = 3;
    r->replay_ids = xmalloc(sizeof(uint32_t));
    r->replay_ids[0] = 7;
    r->n_replay_ids = 1;
    r->truncate = TRUNCATE_HEAD;
    r->params.seed = UINT64_MAX;
    r->params.num_predict = -2;
    r->params.top_p = 0.25f;
    r->params.logprobs = true;
    r->params.top_logprobs = 20;
    request_add_stop(r, "stopper", 4);
    request_add_stop(r, "", 0);
    r->task = TASK_EMBED;
    r->is_plain = true;
    request_add_bias(r, 5, -1.5f);
    r->format_json = xstrdup("{}");
    r->must_call = true;
    r->one_tool = xstrdup("f");
    request_add_input(r, "first", 5);
    request_add_input(r, "", 0);
    request_add_input(r, "a\0b", 3);
    r->now_s = -5;
}

static void test_request_comes_back(void **unused)
{
    struct request in, out;
    struct strbuf bytes = STRBUF_INIT(1 << 20), again = STRBUF_INIT(1 << 20);
    fill_request(&in);
    request_encode(&in, &bytes);
    assert_int_equal(request_decode(&out, bytes.at, bytes.n, NULL), 0);
    assert_true(out.id == in.id && out.kind == in.kind && out.truncate == TRUNCATE_HEAD && out.now_s == -5);
    assert_int_equal(out.prompt_bytes, 5);
    assert_memory_equal(out.prompt, "a\0bcd", 6);
    assert_string_equal(out.messages_json, in.messages_json);
    assert_null(out.tools_json);
    assert_string_equal(out.variables_json, "");
    assert_int_equal(out.n_context_ids, 3);
    assert_int_equal(out.context_ids[2], UINT32_MAX);
    assert_int_equal(out.n_replay_ids, 1);
    assert_int_equal(out.n_stops, 2);
    assert_string_equal(out.stops[0], "stop");
    assert_true(out.task == TASK_EMBED && out.is_plain && !out.has_no_bos);
    assert_true(out.n_biases == 1 && out.biases[0].token_id == 5 && out.biases[0].bias == -1.5f);
    assert_string_equal(out.format_json, "{}");
    assert_true(out.must_call && !out.one_call);
    assert_string_equal(out.one_tool, "f");
    assert_true(out.n_inputs == 3 && out.inputs[1].n == 0 && out.inputs[2].n == 3);
    assert_string_equal(out.inputs[0].at, "first");
    assert_memory_equal(out.inputs[2].at, "a\0b", 3);
    assert_true(out.params.seed == UINT64_MAX && out.params.top_logprobs == 20 && out.params.top_p == 0.25f);
    request_encode(&out, &again);
    assert_int_equal(again.n, bytes.n);
    assert_memory_equal(again.at, bytes.at, bytes.n);
    assert_true(request_bytes(&out) > 0);
    request_fini(&in);
    request_fini(&out);
    strbuf_fini(&bytes);
    strbuf_fini(&again);
}

// A copy on the heap, so that the sanitizer sees a read past its end.
static int decode_request_copy(const void *bytes, size_t n)
{
    struct request r;
    struct err err = {0};
    char *copy = malloc(n + 1);
    memcpy(copy, bytes, n);
    copy = realloc(copy, n > 0 ? n : 1);
    int rc = request_decode(&r, copy, n, &err);
    if (rc == 0)
        request_fini(&r);
    else
        assert_int_equal(err.code, ERR_FORMAT);
    free(copy);
    return rc;
}

static void test_broken_requests_are_refused(void **unused)
{
    struct request in;
    struct strbuf bytes = STRBUF_INIT(1 << 20);
    fill_request(&in);
    request_encode(&in, &bytes);
    for (size_t n = 0; n < bytes.n; n++)
        assert_int_equal(decode_request_copy(bytes.at, n), -1);
    strbuf_push_char(&bytes, 0);
    assert_int_equal(decode_request_copy(bytes.at, bytes.n), -1);
    strbuf_truncate(&bytes, bytes.n - 1);
    for (int i = 0; i < 50000; i++) {
        size_t at = next_random() % bytes.n;
        char old = bytes.at[at];
        bytes.at[at] = (char)next_random();
        decode_request_copy(bytes.at, bytes.n);
        if (i % 3 != 0)
            bytes.at[at] = old;
    }
    for (int i = 0; i < 50000; i++) {
        char noise[96];
        size_t n = next_random() % sizeof noise;
        for (size_t k = 0; k < n; k++)
            noise[k] = (char)(next_random() % 5 == 0 ? next_random() : 0);
        decode_request_copy(noise, n);
    }
    request_fini(&in);
    strbuf_fini(&bytes);
}

static struct token_logprobs *sample_logprobs(void)
{
    static struct logprob best[2] = {{.token_id = 4, .logprob = -0.5f, .bytes = {"ab", 2}},
                                     {.token_id = 5, .logprob = -1.5f}};
    static struct token_logprobs list[2];
    list[0] = (struct token_logprobs){
        .chosen = {.token_id = 4, .logprob = -0.5f, .bytes = {"ab", 2}}, .n_top = 2, .top = best};
    list[1] = (struct token_logprobs){.chosen = {.token_id = 9, .logprob = -3.f, .bytes = {"\xff", 1}}};
    return list;
}

static int decode_event_copy(struct event *e, const void *bytes, size_t n, struct strbuf *scratch)
{
    struct err err = {0};
    char *copy = malloc(n > 0 ? n : 1);
    memcpy(copy, bytes, n);
    int rc = event_decode(e, copy, n, scratch, &err);
    if (rc != 0)
        assert_int_equal(err.code, ERR_FORMAT);
    free(copy);
    return rc;
}

static void test_events_come_back(void **unused)
{
    static const uint32_t ids[3] = {10, 11, 12};
    struct strbuf bytes = STRBUF_INIT(1 << 20), scratch = STRBUF_INIT(1 << 20);
    struct event out, in = {.kind = EVENT_PROMPT,
                            .request_id = 3,
                            .prompt_ids = ids,
                            .n_prompt = 3,
                            .n_cached = 2,
                            .n_truncated = 1};

    event_encode(&in, &bytes);
    assert_int_equal(event_decode(&out, bytes.at, bytes.n, &scratch, NULL), 0);
    assert_true(out.kind == EVENT_PROMPT && out.request_id == 3 && out.n_prompt == 3 && out.n_cached == 2 &&
                out.n_truncated == 1);
    assert_memory_equal(out.prompt_ids, ids, sizeof ids);

    strbuf_reset(&bytes);
    in = (struct event){.kind = EVENT_TOKENS,
                        .request_id = 4,
                        .ids = ids,
                        .n_ids = 3,
                        .text = {"hé", 3},
                        .logprobs = sample_logprobs(),
                        .n_logprobs = 2};
    event_encode(&in, &bytes);
    assert_int_equal(event_decode(&out, bytes.at, bytes.n, &scratch, NULL), 0);
    assert_true(out.n_ids == 3 && slice_is(out.text, "hé") && out.n_logprobs == 2);
    assert_memory_equal(out.ids, ids, sizeof ids);
    assert_int_equal(out.logprobs[0].n_top, 2);
    assert_true(slice_is(out.logprobs[0].top[0].bytes, "ab") && out.logprobs[0].top[1].token_id == 5);
    assert_true(out.logprobs[1].chosen.logprob == -3.f && out.logprobs[1].n_top == 0);

    static const float vector[2] = {0.5f, -2};
    strbuf_reset(&bytes);
    in = (struct event){
        .kind = EVENT_VECTOR, .input_i = 7, .n_prompt = 9, .n_truncated = 1, .vector = vector, .n_vector = 2};
    event_encode(&in, &bytes);
    for (size_t n = 0; n < bytes.n; n++)
        assert_int_equal(decode_event_copy(&out, bytes.at, n, &scratch), -1);
    assert_int_equal(event_decode(&out, bytes.at, bytes.n, &scratch, NULL), 0);
    assert_true(out.input_i == 7 && out.n_prompt == 9 && out.n_truncated == 1 && out.n_vector == 2);
    assert_memory_equal(out.vector, vector, sizeof vector);

    strbuf_reset(&bytes);
    in = (struct event){.kind = EVENT_DONE,
                        .stop_i = 3,
                        .reason = DONE_LENGTH,
                        .n_prompt = 5,
                        .n_generated = 6,
                        .prompt_ns = -1,
                        .generate_ns = 1ll << 40};
    event_encode(&in, &bytes);
    assert_int_equal(event_decode(&out, bytes.at, bytes.n, &scratch, NULL), 0);
    assert_true(out.reason == DONE_LENGTH && out.stop_i == 3 && out.n_generated == 6 && out.prompt_ns == -1 &&
                out.generate_ns == 1ll << 40);

    strbuf_reset(&bytes);
    in = (struct event){.kind = EVENT_ERROR, .error = {ERR_INVALID, "too long"}};
    event_encode(&in, &bytes);
    assert_int_equal(event_decode(&out, bytes.at, bytes.n, &scratch, NULL), 0);
    assert_int_equal(out.error.code, ERR_INVALID);
    assert_string_equal(out.error.message, "too long");
    strbuf_fini(&bytes);
    strbuf_fini(&scratch);
}

static void test_broken_events_are_refused(void **unused)
{
    static const uint32_t ids[3] = {10, 11, 12};
    struct strbuf bytes = STRBUF_INIT(1 << 20), scratch = STRBUF_INIT(1 << 16);
    struct event out, in = {.kind = EVENT_TOKENS,
                            .ids = ids,
                            .n_ids = 3,
                            .text = {"text", 4},
                            .logprobs = sample_logprobs(),
                            .n_logprobs = 2};
    event_encode(&in, &bytes);
    for (size_t n = 0; n < bytes.n; n++)
        assert_int_equal(decode_event_copy(&out, bytes.at, n, &scratch), -1);
    for (int i = 0; i < 100000; i++) {
        size_t at = next_random() % bytes.n;
        char old = bytes.at[at];
        bytes.at[at] = (char)(next_random() % 4 == 0 ? 0xff : next_random());
        decode_event_copy(&out, bytes.at, bytes.n, &scratch);
        if (i % 3 != 0)
            bytes.at[at] = old;
    }
    for (int i = 0; i < 100000; i++) {
        char noise[64];
        size_t n = next_random() % sizeof noise;
        for (size_t k = 0; k < n; k++)
            noise[k] = (char)(next_random() % 5 == 0 ? next_random() : 0);
        if (n > 0)
            noise[0] = (char)(next_random() % (EVENT_KIND_COUNT + 1));
        decode_event_copy(&out, noise, n, &scratch);
    }
    strbuf_fini(&bytes);
    strbuf_fini(&scratch);
}

static void test_small_messages(void **unused)
{
    struct strbuf b = STRBUF_INIT(4096);
    struct err err = {0};
    hello_encode(&b);
    assert_int_equal(hello_decode(b.at, b.n, NULL), 0);
    b.at[4]++; // another version
    assert_int_equal(hello_decode(b.at, b.n, &err), -1);
    assert_int_equal(err.code, ERR_UNSUPPORTED);

    struct open_options open_in = {.n_threads = 2,
                                   .kv_type = "f16",
                                   .cpu_level = "",
                                   .log_level = 3,
                                   .use_sandbox = true},
                        open_out;
    strbuf_reset(&b);
    open_options_encode(&open_in, &b);
    assert_int_equal(open_options_decode(&open_out, b.at, b.n, NULL), 0);
    assert_true(open_out.n_threads == 2 && open_out.log_level == 3 && open_out.use_sandbox);
    assert_string_equal(open_out.kv_type, "f16");
    for (size_t n = 0; n < b.n; n++)
        assert_int_equal(open_options_decode(&open_out, b.at, n, NULL), -1);

    struct model_plan plan_in = {1, 2, 3, 4, 5}, plan_out;
    strbuf_reset(&b);
    model_plan_encode(&plan_in, &b);
    assert_int_equal(model_plan_decode(&plan_out, b.at, b.n, NULL), 0);
    assert_true(plan_out.weights_bytes == 1 && plan_out.process_bytes == 4 && plan_out.train_context == 5);

    struct err failure_in = {ERR_NO_MEMORY, "no room"}, failure_out;
    strbuf_reset(&b);
    failure_encode(&failure_in, &b);
    assert_int_equal(failure_decode(&failure_out, b.at, b.n, NULL), 0);
    assert_string_equal(failure_out.message, "no room");
    b.at[0] = 0;
    assert_int_equal(failure_decode(&failure_out, b.at, b.n, NULL), -1);
    strbuf_fini(&b);
}

static void test_orders_to_convert(void **unused)
{
    static char names[2][CONVERT_NAME_BYTES] = {"config.json", "model-00001-of-00002.safetensors"};
    struct convert_order in = {.quantize = "Q4_K_M", .n_threads = 3, .n_files = 2, .names = names}, out;
    struct convert_state state_in = {"converting model", 5, 1ull << 40}, state_out;
    struct strbuf bytes = STRBUF_INIT(4096);
    convert_order_encode(&in, &bytes);
    assert_int_equal(convert_order_decode(&out, bytes.at, bytes.n, NULL), 0);
    assert_true(strcmp(out.quantize, "Q4_K_M") == 0 && out.n_threads == 3 && out.n_files == 2);
    assert_memory_equal(out.names, names, sizeof names);
    free(out.names);
    for (size_t n = 0; n < bytes.n; n++) {
        assert_int_equal(convert_order_decode(&out, bytes.at, n, NULL), -1);
        free(out.names);
    }
    strbuf_reset(&bytes);
    in.n_files = 0;
    convert_order_encode(&in, &bytes);
    memset(bytes.at + bytes.n - 4, 0xff, 4); // more files than there may be
    assert_int_equal(convert_order_decode(&out, bytes.at, bytes.n, NULL), -1);
    free(out.names);
    strbuf_reset(&bytes);
    convert_state_encode(&state_in, &bytes);
    assert_int_equal(convert_state_decode(&state_out, bytes.at, bytes.n, NULL), 0);
    assert_true(strcmp(state_out.text, "converting model") == 0 && state_out.done == 5 &&
                state_out.total == 1ull << 40);
    assert_int_equal(convert_state_decode(&state_out, bytes.at, bytes.n - 1, NULL), -1);
    strbuf_fini(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_comes_back), cmocka_unit_test(test_broken_requests_are_refused),
        cmocka_unit_test(test_events_come_back),   cmocka_unit_test(test_broken_events_are_refused),
        cmocka_unit_test(test_small_messages),     cmocka_unit_test(test_orders_to_convert),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
