// SPDX-License-Identifier: MIT
// Random worlds (world.c): all orders, one CPU, one GPU and four, crashes, cancels, new configurations,
// memory that moves. Each world runs in a child, so that a violation can be caught and the list of steps that
// leads to it made smaller (delta debugging) before it is printed; such cases are kept in tests/data/sched
// and run again. SCHED_EVENTS=100000000 runs longer, SCHED_SEED another part of the space.
#include "../test.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "world.h"

#define SECOND 1000000000LL
enum { STEPS = 10000, MAX_STEPS = 20000, PATIENCE_S = 120 };

// ---- Drawing ----
static uint64_t state;
static uint32_t dice(uint32_t sides)
{
    return (uint32_t)((world_mix(&state) >> 32) % sides);
}

static struct step draw_step(uint32_t load)
{
    struct step e = {.what = dice(1 << 30), .bits = world_mix(&state)};
    uint32_t kind = dice(1000);
    e.dt_ns = dice(4) == 0 ? dice(2000000000u) : dice(20000000);
    if (kind < 600)
        e.kind = dice(100) < load ? STEP_SUBMIT
                 : dice(10) < 6   ? STEP_FINISH
                 : dice(3)        ? STEP_TOKEN
                                  : STEP_CANCEL;
    else if (kind < 870)
        e.kind = STEP_ON;
    else if (kind < 885)
        e.kind = STEP_FAIL;
    else if (kind < 895)
        e.kind = STEP_CRASH;
    else if (kind < 930) {
        e.kind = STEP_BUDGET;
        e.bits = dice(4) == 0 ? dice(200) : 300 + dice(1000);
    } else if (kind < 945) {
        e.kind = STEP_KEEP;
        e.bits = dice(5);
    } else if (kind < 950)
        e.kind = STEP_UNLOAD;
    else if (kind < 955)
        e.kind = STEP_PRELOAD;
    else if (kind < 965)
        e.kind = STEP_MODEL;
    else if (kind < 967)
        e.kind = STEP_OPTIONS;
    else
        e.kind = STEP_TIME;
    return e;
}

static size_t draw_world(uint64_t round, struct world_setup *setup, struct step *steps)
{
    static const uint32_t devices[] = {0, 0, 1, 4};
    state = 77 + round * 1000003;
    *setup = (struct world_setup){world_mix(&state), devices[dice(4)]};
    uint32_t load = (uint32_t[]){10, 40, 70}[dice(3)];
    for (size_t i = 0; i < STEPS; i++)
        steps[i] = draw_step(load);
    if (dice(4) == 0)
        steps[STEPS - 1 - dice(STEPS / 10)].kind = STEP_DRAIN;
    return STEPS;
}

// ---- Running ----
// Several worlds in one child would be faster, but one that fails must be known.
static bool holds(const struct world_setup *setup, const struct step *steps, size_t n, bool is_quiet)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        if (is_quiet && freopen("/dev/null", "w", stderr) == NULL)
            _exit(3);
        alarm(PATIENCE_S);
        signal(SIGABRT, SIG_DFL);
        world_run(setup, steps, n);
        _exit(0);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// Leaves out pieces, ever smaller ones, as long as it still fails. Returns how many steps are left.
static size_t shrink(const struct world_setup *setup, struct step *steps, size_t n)
{
    struct step *less = malloc((n + 1) * sizeof *less);
    assert_non_null(less);
    for (size_t piece = (n + 1) / 2; piece > 0; piece /= 2) {
        for (size_t at = 0; at < n;) {
            size_t cut = at + piece < n ? piece : n - at;
            memcpy(less, steps, at * sizeof *less);
            memcpy(less + at, steps + at + cut, (n - at - cut) * sizeof *less);
            if (!holds(setup, less, n - cut, true)) {
                n -= cut;
                memcpy(steps, less, n * sizeof *less);
            } else {
                at += cut;
            }
        }
    }
    free(less);
    return n;
}

static void report(const struct world_setup *setup, struct step *steps, size_t n)
{
    n = shrink(setup, steps, n);
    fprintf(stderr, "---- a smallest case; keep it in tests/data/sched ----\n");
    world_write(stderr, setup, steps, n);
    holds(setup, steps, n, false);
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static void test_random_worlds(void **unused)
{
    uint64_t n_events = from_environment("SCHED_EVENTS", 1000000), first = from_environment("SCHED_SEED", 0);
    struct step *steps = calloc(STEPS, sizeof *steps);
    assert_non_null(steps);
    for (uint64_t round = 0; round < (n_events + STEPS - 1) / STEPS; round++) {
        struct world_setup setup;
        size_t n = draw_world(first + round, &setup, steps);
        if (!holds(&setup, steps, n, false)) {
            report(&setup, steps, n);
            fail_msg("world %llu", (unsigned long long)(first + round));
        }
    }
    free(steps);
    print_message("%llu events\n", (unsigned long long)n_events);
}

// The shrinker itself: of a list that fails because of a few of its steps, about these are left.
static void test_shrinking(void **unused)
{
    struct world_setup setup = {5, 0};
    struct step *steps = calloc(STEPS, sizeof *steps);
    assert_non_null(steps);
    state = 5;
    for (size_t i = 0; i < 200; i++)
        steps[i] = draw_step(40);
    steps[50] = (struct step){.kind = STEP_BUDGET, .bits = 100};
    steps[120] = (struct step){.kind = STEP_TIME, .dt_ns = -(1LL << 40)}; // backwards: never comes in a world
    steps[121] = (struct step){.kind = STEP_SUBMIT, .what = 299, .bits = 1};
    assert_false(holds(&setup, steps, 200, true));
    assert_true(shrink(&setup, steps, 200) <= 8);
    free(steps);
}

static void test_corpus(void **unused)
{
    const char *folder = getenv("SCHED_CORPUS");
    struct step *steps = calloc(MAX_STEPS, sizeof *steps);
    int n_cases = 0;
    assert_non_null(steps);
    assert_non_null(folder);
    DIR *d = opendir(folder);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char path[1024];
        struct world_setup setup;
        if (strstr(e->d_name, ".txt") == NULL)
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        FILE *f = fopen(path, "r");
        assert_non_null(f);
        size_t n = world_read(f, &setup, steps, MAX_STEPS);
        fclose(f);
        print_message("%s: %zu steps\n", e->d_name, n);
        assert_true(n > 0);
        assert_true(holds(&setup, steps, n, false));
        n_cases++;
    }
    closedir(d);
    free(steps);
    assert_true(n_cases > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_corpus),
        cmocka_unit_test(test_shrinking),
        cmocka_unit_test(test_random_worlds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
