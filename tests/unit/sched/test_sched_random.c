// SPDX-License-Identifier: MIT
// A world of random events around the scheduler: requests come, leave, end; processes start, fail, crash;
// memory and time move. After each event sched_check() and the checks here: every action is one that the
// world allows, requests start in order, every accepted request ends exactly once, memory is never
// overcommitted, and when the world calms down everything is served.
#include "../test.h"

#include "base/mem.h"
#include "sched/sched.h"

#define SECOND 1000000000LL
#define MIB    (1ull << 20)
enum { N_MODELS = 5, N_REQUESTS = 300, ROUNDS = 100, EVENTS = 10000 };

enum process { NONE, PROBING, PARKED, LOADING, LOADED, ENDING };

struct life {
    struct sched_request sched;
    bool open, dispatched;
    int model;
};

static struct {
    struct sched *s;
    struct sched_options options;
    struct sched_model *models[N_MODELS];
    struct sched_plan plans[N_MODELS];
    enum process process[N_MODELS];
    uint64_t last_started[N_MODELS], started_any[N_MODELS];
    struct life lives[N_REQUESTS];
    uint64_t budget;
    int64_t now;
    uint64_t n_accepted, n_ended;
} w;

static uint64_t state;
static uint32_t dice(uint32_t sides)
{
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)((state >> 33) % sides);
}

static int index_of(const struct sched_model *m)
{
    for (int i = 0; i < N_MODELS; i++)
        if (w.models[i] == m)
            return i;
    fail();
    return -1;
}

static void check_memory(int loading)
{
    uint64_t sum = 0;
    for (int i = 0; i < N_MODELS; i++)
        if (w.process[i] == LOADING || w.process[i] == LOADED ||
            (w.process[i] == ENDING && w.models[i]->sizes.n_slots > 0) || i == loading)
            sum += w.models[i]->sizes.memory_bytes;
    assert_true(sum <= w.budget);
}

static void end_life(struct life *l)
{
    assert_true(l->open);
    l->open = l->dispatched = false;
    w.n_ended++;
}

static void act_on_request(const struct sched_action *a)
{
    struct life *l = (struct life *)((char *)a->request - offsetof(struct life, sched));
    int i = l->model;
    assert_true(l->open);
    if (a->kind == SCHED_DISPATCH) {
        assert_int_equal(w.process[i], LOADED);
        assert_false(l->dispatched);
        l->dispatched = true;
        if (!a->request->was_started) {
            assert_true(!w.started_any[i] || a->request->order > w.last_started[i]);
            w.last_started[i] = a->request->order;
            w.started_any[i] = true;
        }
        return;
    }
    assert_false(l->dispatched);
    if (a->kind == SCHED_LOADED)
        assert_true(a->request->is_load); // keep_alive 0 may have unloaded it again since
    else
        assert_true(a->kind == SCHED_FAIL && a->request->failure.code != ERR_NONE);
    end_life(l);
}

static void act(void)
{
    struct sched_action a;
    while (sched_next_action(w.s, &a)) {
        if (a.request != NULL) {
            act_on_request(&a);
        } else {
            int i = index_of(a.model);
            if (a.kind == SCHED_PROBE) {
                assert_int_equal(w.process[i], NONE);
                w.process[i] = PROBING;
            } else if (a.kind == SCHED_LOAD) {
                assert_int_equal(w.process[i], PARKED);
                check_memory(i);
                w.process[i] = LOADING;
            } else {
                assert_int_equal(a.kind, SCHED_STOP);
                for (int k = 0; k < N_REQUESTS && a.model->is_growing; k++)
                    if (w.lives[k].model == i) // carried over to the next process
                        w.lives[k].dispatched = false;
                for (int k = 0; k < N_REQUESTS; k++)
                    assert_false(w.lives[k].open && w.lives[k].dispatched && w.lives[k].model == i);
                w.process[i] = ENDING;
            }
        }
    }
}

static void process_gone(int i)
{
    w.process[i] = NONE;
    for (int k = 0; k < N_REQUESTS; k++)
        if (w.lives[k].model == i)
            w.lives[k].dispatched = false;
    sched_on_gone(w.s, w.models[i], w.now);
}

// What the process of a model does next, if it behaves.
static void process_goes_on(int i)
{
    if (w.process[i] == PROBING) {
        w.process[i] = PARKED;
        sched_on_plan(w.s, w.models[i], &w.plans[i], w.now);
    } else if (w.process[i] == LOADING) {
        w.process[i] = LOADED;
        sched_on_ready(w.s, w.models[i], w.now);
    } else if (w.process[i] == ENDING) {
        process_gone(i);
    }
}

static void process_fails(int i)
{
    struct err why = {ERR_FORMAT, "broken"};
    if ((w.process[i] == PROBING || w.process[i] == LOADING) && dice(2))
        sched_on_failed(w.s, w.models[i], &why, w.now);
    else if (w.process[i] != NONE && dice(4) == 0)
        process_gone(i);
}

static void submit(struct life *l)
{
    l->model = (int)dice(N_MODELS);
    l->sched.is_load = dice(20) == 0;
    l->sched.need_tokens = dice(10) == 0 ? dice(60000) : 0;
    struct err err = {0};
    if (sched_submit(w.s, w.models[l->model], &l->sched, w.now, &err) == 0) {
        l->open = true;
        l->dispatched = false;
        w.n_accepted++;
    } else {
        assert_int_equal(err.code, ERR_BUSY);
    }
}

static void request_moves(struct life *l, uint32_t load)
{
    if (!l->open) {
        if (dice(100) < load)
            submit(l);
    } else if (l->dispatched && dice(3) != 0) {
        sched_on_finished(w.s, &l->sched, w.now);
        end_life(l);
    } else if (dice(8) == 0) {
        assert_true(sched_cancel(w.s, &l->sched, w.now) == l->dispatched);
        end_life(l);
    }
}

static void one_event(uint32_t load)
{
    uint32_t kind = dice(100);
    int i = (int)dice(N_MODELS);
    w.now += dice(4) == 0 ? dice(2000000000u) : dice(20000000);
    if (kind < 60)
        request_moves(&w.lives[dice(N_REQUESTS)], load);
    else if (kind < 85)
        process_goes_on(i);
    else if (kind < 88)
        process_fails(i);
    else if (kind < 92)
        sched_set_budget(w.s, 0, w.budget = (dice(4) == 0 ? dice(200) : 300 + dice(1000)) * MIB, w.now);
    else if (kind < 94)
        sched_set_keep_alive(w.s, w.models[i], (int64_t)dice(5) * SECOND - SECOND, w.now);
    else if (kind < 95)
        sched_unload(w.s, w.models[i], w.now);
    else
        sched_on_time(w.s, w.now);
    sched_check(w.s);
    act();
    sched_check(w.s);
}

// No more requests, crashes or failures: all that was accepted is served in a bounded number of steps.
static void calm_down(void)
{
    sched_set_budget(w.s, 0, w.budget = 2000 * MIB, w.now);
    for (int step = 0; step < 3000 && w.n_ended < w.n_accepted; step++) {
        for (int i = 0; i < N_MODELS; i++)
            process_goes_on(i);
        act();
        for (int k = 0; k < N_REQUESTS; k++) {
            if (w.lives[k].open && w.lives[k].dispatched) {
                sched_on_finished(w.s, &w.lives[k].sched, w.now);
                end_life(&w.lives[k]);
            }
        }
        int64_t due = sched_deadline_ns(w.s);
        w.now = due != INT64_MAX && due > w.now ? due : w.now + 1;
        sched_on_time(w.s, w.now);
        act();
        sched_check(w.s);
    }
    assert_true(w.n_ended == w.n_accepted);
}

static void one_round(int round)
{
    memset(&w, 0, sizeof w);
    state = 77 + (uint64_t)round * 1000003;
    w.now = 1;
    w.options = (struct sched_options){.num_parallel = dice(6),
                                       .max_queue = dice(3) == 0 ? dice(4) : dice(200),
                                       .max_loaded = 1 + dice(3),
                                       .context_length = dice(3) == 0 ? dice(9000) : 0,
                                       .keep_alive_ns = (int64_t)dice(20) * SECOND,
                                       .load_timeout_ns = dice(2) ? 30 * SECOND : 0,
                                       .swap_after_ns = SCHED_SWAP_AFTER_NS,
                                       .min_resident_ns = SCHED_MIN_RESIDENT_NS,
                                       .front_bytes = MIB};
    w.s = sched_new(&w.options);
    for (int i = 0; i < N_MODELS; i++) {
        w.models[i] = sched_add_model(w.s, NULL);
        w.plans[i] = (struct sched_plan){(50 + dice(400)) * MIB, dice(20000), dice(4) == 0 ? 2048 : 32768};
    }
    sched_set_budget(w.s, 0, w.budget = 900 * MIB, w.now);
    act();
    for (int k = 0; k < EVENTS; k++)
        one_event(round % 2 ? 90 : 15);
    calm_down();
    sched_free(w.s);
}

static void test_random_worlds(void **unused)
{
    uint64_t sum = 0;
    for (int round = 0; round < ROUNDS; round++) {
        one_round(round);
        sum += w.n_accepted;
    }
    print_message("%d events, %llu requests\n", ROUNDS * EVENTS, (unsigned long long)sum);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_worlds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
