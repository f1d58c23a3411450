// SPDX-License-Identifier: MIT
// The compute team: every thread runs once, barriers separate phases, sleeping and waking works, also with
// more threads than cores.
#include "../test.h"

#include <time.h>

#include "compute/pool.h"

enum { MAX_THREADS = 16, N_PHASES = 300 };

struct phases {
    struct pool *pool;
    int counts[MAX_THREADS]; // plain ints: a barrier that orders too little shows under TSan
    int n_wrong[MAX_THREADS];
    int n_phases, sleep_thread;
};

static void count_phases(void *arg, int thread_i, int n_threads)
{
    struct phases *s = arg;
    for (int phase = 1; phase <= s->n_phases; phase++) {
        if (s->sleep_thread == thread_i && phase % 10 == 0)
            nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL); // long enough for the others to sleep too
        s->counts[thread_i]++;
        pool_barrier(s->pool);
        for (int i = 0; i < n_threads; i++)
            s->n_wrong[thread_i] += s->counts[i] != phase;
        pool_barrier(s->pool);
    }
}

static void check_phases(int n_threads, int n_phases, int sleep_thread)
{
    struct phases s = {.pool = pool_new(n_threads), .n_phases = n_phases, .sleep_thread = sleep_thread};
    assert_int_equal(pool_size(s.pool), n_threads);
    pool_run(s.pool, count_phases, &s);
    for (int i = 0; i < n_threads; i++) {
        assert_int_equal(s.counts[i], n_phases);
        assert_int_equal(s.n_wrong[i], 0);
    }
    pool_free(s.pool);
}

static void barriers_separate_phases(void **state)
{
    for (int n = 1; n <= 4; n++)
        check_phases(n, N_PHASES, -1);
}

static void barriers_hold_when_threads_sleep(void **state)
{
    for (int sleeper = 0; sleeper < 3; sleeper++)
        check_phases(3, 30, sleeper);
}

static void oversubscription_makes_progress(void **state)
{
    check_phases(MAX_THREADS, 20, -1);
}

static void add_thread(void *arg, int thread_i, int n_threads)
{
    int *sums = arg;
    sums[thread_i] += n_threads;
}

static void runs_follow_each_other_at_once_and_after_a_rest(void **state)
{
    for (int n = 1; n <= 4; n *= 2) {
        struct pool *p = pool_new(n);
        int sums[4] = {0};
        for (int i = 0; i < 2000; i++) {
            if (i % 400 == 0)
                nanosleep(&(struct timespec){.tv_nsec = 3000000}, NULL);
            pool_run(p, add_thread, sums);
        }
        for (int i = 0; i < n; i++)
            assert_int_equal(sums[i], 2000 * n);
        pool_free(p);
    }
}

static void a_team_that_never_ran_can_be_freed(void **state)
{
    pool_free(pool_new(3));
    pool_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(barriers_separate_phases),
        cmocka_unit_test(barriers_hold_when_threads_sleep),
        cmocka_unit_test(oversubscription_makes_progress),
        cmocka_unit_test(runs_follow_each_other_at_once_and_after_a_rest),
        cmocka_unit_test(a_team_that_never_ran_can_be_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
