// SPDX-License-Identifier: MIT
// The sentences that tell why a request waited and how it ended.
#include "../test.h"
#include "base/clock.h"
#include "server/why.h"

#define MS NS_PER_MS
#define S  NS_PER_S

static void check(const struct host_record *r, enum why_part part, const char *expected)
{
    struct strbuf out = STRBUF_INIT(4096);
    bool told = why_write(r, part, &out);
    assert_string_equal(strbuf_text(&out), expected);
    assert_int_equal(told, expected[0] != 0);
    strbuf_fini(&out);
}

static struct host_record waited(enum sched_cause first, int64_t first_ns, enum sched_cause second,
                                 int64_t second_ns)
{
    struct host_record r = {.phase = HOST_DECODING, .model = "gemma3", .n_streams = 2};
    r.cause_ns[first] += first_ns;
    r.cause_ns[second] += second_ns;
    r.queue_ns = first_ns;
    r.load_ns = second_ns;
    return r;
}

static void waits_name_each_cause_with_its_share(void **state)
{
    struct host_record r = waited(SCHED_CAUSE_SLOT, 2900 * MS, SCHED_CAUSE_LOAD, 300 * MS);
    check(&r, WHY_WAITS, "waited 3.2 s: 2.9 s for the two streams of gemma3, 0.3 s loading");
    r.phase = HOST_QUEUED;
    check(&r, WHY_WAITS, "has waited 3.2 s: 2.9 s for the two streams of gemma3, 0.3 s loading");
    r = waited(SCHED_CAUSE_SLOT, 300 * MS, SCHED_CAUSE_LOAD, 2900 * MS); // the greater share first
    r.n_streams = 1;
    check(&r, WHY_WAITS, "waited 3.2 s: 2.9 s loading, 0.3 s for the one stream of gemma3");
    r = waited(SCHED_CAUSE_SLOT, 1000 * S, SCHED_CAUSE_LOAD, 300 * MS); // what does not matter is left out
    r.n_streams = 16;
    check(&r, WHY_WAITS, "waited 1000 s: 1000 s for the 16 streams of gemma3");
    r = waited(SCHED_CAUSE_PROBE, 20 * MS, SCHED_CAUSE_LOAD, 70 * MS);
    check(&r, WHY_WAITS, "waited 90 ms: 70 ms loading, 20 ms while the model's process started");
}

static void waits_name_the_models_that_stood_in_the_way(void **state)
{
    struct host_record r = waited(SCHED_CAUSE_ROOM, 4 * S, SCHED_CAUSE_LOAD, S);
    check(&r, WHY_WAITS, "waited 5.0 s: 4.0 s for memory held by other models that were busy, 1.0 s loading");
    snprintf(r.blockers[0].model, sizeof r.blockers[0].model, "qwen");
    r.blockers[0].n_streams = 3;
    snprintf(r.blockers[1].model, sizeof r.blockers[1].model, "smollm2");
    r.blockers[1].n_streams = 1;
    check(&r, WHY_WAITS,
          "waited 5.0 s: 4.0 s for the three streams of qwen and the one stream of smollm2, 1.0 s loading");
    r.cause_ns[SCHED_CAUSE_UNLOAD] = r.cause_ns[SCHED_CAUSE_ROOM];
    r.cause_ns[SCHED_CAUSE_ROOM] = 0;
    check(&r, WHY_WAITS, "waited 5.0 s: 4.0 s while qwen was unloaded, 1.0 s loading");
}

static void who_did_not_wait_is_told_so(void **state)
{
    struct host_record r = {.phase = HOST_ENDED, .model = "gemma3", .queue_ns = 1000};
    check(&r, WHY_WAITS, "did not wait");
    r.phase = HOST_QUEUED;
    check(&r, WHY_WAITS, "has just arrived");
}

static void the_state_is_told_until_the_end(void **state)
{
    struct host_record r = {
        .phase = HOST_QUEUED, .model = "gemma3", .position = 3, .cause = SCHED_CAUSE_SLOT};
    check(&r, WHY_STATE, "is at position 3 of the queue of gemma3, waiting for a slot of the model");
    r.phase = HOST_PROMPT;
    check(&r, WHY_STATE, "has a slot of gemma3, which is reading its prompt");
    r.phase = HOST_DECODING;
    check(&r, WHY_STATE, "is being answered by gemma3");
    r.phase = HOST_ENDED;
    check(&r, WHY_STATE, "");
    check(&(struct host_record){.phase = HOST_QUEUED}, WHY_END, "");
}

static void work_is_counted(void **state)
{
    struct host_record r = {.phase = HOST_ENDED};
    check(&r, WHY_WORK, "");
    r.n_prompt = 30;
    check(&r, WHY_WORK, "had a prompt of 30 tokens");
    r.n_cached = 16;
    r.first_token_ns = 420 * MS;
    r.n_generated = 1;
    check(&r, WHY_WORK,
          "had a prompt of 30 tokens, of which 16 were cached, and its first token 0.4 s after it came; 1 "
          "token "
          "was generated");
    r.phase = HOST_DECODING;
    r.n_generated = 12;
    r.n_cached = 0;
    check(&r, WHY_WORK,
          "had a prompt of 30 tokens, and its first token 0.4 s after it came; 12 tokens generated so far");
}

static void ends_and_restarts(void **state)
{
    struct host_record r = {.phase = HOST_ENDED, .outcome = "stop", .status = 200, .total_ns = 4100 * MS};
    check(&r, WHY_END, "ended after 4.1 s (stop)");
    check(&r, WHY_RESTARTS, "");
    r.n_resubmissions = 1;
    check(&r, WHY_RESTARTS, "went on in a new process of the model after the one it ran in had died");
    r.n_resubmissions = 2;
    check(&r, WHY_RESTARTS,
          "went on in a new process of the model after the one it ran in had died, two times");
    r = (struct host_record){
        .phase = HOST_ENDED, .outcome = "cancelled", .total_ns = 42 * MS, .error = "the client left"};
    check(&r, WHY_END, "was cancelled after 42 ms: the client left");
    r = (struct host_record){
        .phase = HOST_ENDED, .outcome = "refused", .status = 503, .error = "server busy"};
    check(&r, WHY_END, "was refused with status 503: server busy");
    check(&r, WHY_WAITS, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_name_each_cause_with_its_share),
        cmocka_unit_test(waits_name_the_models_that_stood_in_the_way),
        cmocka_unit_test(who_did_not_wait_is_told_so),
        cmocka_unit_test(the_state_is_told_until_the_end),
        cmocka_unit_test(work_is_counted),
        cmocka_unit_test(ends_and_restarts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
