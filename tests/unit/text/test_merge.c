// SPDX-License-Identifier: MIT
// The merging engine against the plain definition (look at all pairs, join the best, repeat), and the work it
// does on long runs.
#include "../test.h"

#include "base/mem.h"
#include "text/merge.h"

enum { N_SYMBOLS = 6, N_RULES = N_SYMBOLS * N_SYMBOLS };

// A table of random rules: (left, right) -> rank, joined. Joined symbols repeat, so that long chains arise.
struct rules {
    uint32_t rank[N_SYMBOLS][N_SYMBOLS]; // UINT32_MAX: none
    uint32_t joined[N_SYMBOLS][N_SYMBOLS];
    size_t n_lookups;
};

static uint32_t random_state = 1;

static uint32_t random_below(uint32_t n)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % n;
}

static void make_rules(struct rules *r)
{
    for (uint32_t i = 0; i < N_SYMBOLS; i++) {
        for (uint32_t k = 0; k < N_SYMBOLS; k++) {
            r->rank[i][k] = random_below(3) == 0 ? UINT32_MAX : random_below(10);
            r->joined[i][k] = random_below(N_SYMBOLS);
        }
    }
}

static bool find(const void *arg, const struct merge_symbol *left, const struct merge_symbol *right,
                 uint32_t *rank, uint32_t *sym)
{
    struct rules *r = (void *)(uintptr_t)arg;
    r->n_lookups++;
    *rank = r->rank[left->sym][right->sym];
    *sym = r->joined[left->sym][right->sym];
    return *rank != UINT32_MAX;
}

static size_t merge_plainly(const struct rules *r, uint32_t *symbols, size_t n)
{
    for (;;) {
        size_t best = n;
        for (size_t i = 0; i + 1 < n; i++) {
            uint32_t rank = r->rank[symbols[i]][symbols[i + 1]];
            if (rank != UINT32_MAX && (best == n || rank < r->rank[symbols[best]][symbols[best + 1]]))
                best = i;
        }
        if (best == n)
            return n;
        symbols[best] = r->joined[symbols[best]][symbols[best + 1]];
        memmove(&symbols[best + 1], &symbols[best + 2], (n - best - 2) * sizeof *symbols);
        n--;
    }
}

static void merges_as_defined(void **state)
{
    struct merger m = {0};
    struct rules r = {0};
    for (int round = 0; round < 1000; round++) {
        uint32_t symbols[40];
        size_t n = 1 + random_below(40);
        make_rules(&r);
        merger_clear(&m);
        for (size_t i = 0; i < n; i++) {
            symbols[i] = random_below(N_SYMBOLS);
            merger_push(&m, 1 + random_below(3), symbols[i]);
        }
        size_t n_left = merge_plainly(&r, symbols, n), k = 0;
        merger_run(&m, find, &r);
        for (uint32_t i = 0; i != MERGE_END; i = m.symbols[i].next)
            assert_true(k < n_left && symbols[k++] == m.symbols[i].sym);
        assert_int_equal(k, n_left);
    }
    merger_fini(&m);
}

// The number of look-ups is at most three a symbol, whatever the rules are: one at the start and two after
// each join.
static void work_grows_with_the_length_only(void **state)
{
    struct merger m = {0};
    struct rules r = {0};
    const uint32_t n = 1000000;
    memset(r.rank, 0, sizeof r.rank); // everything joins with everything, again and again
    for (uint32_t i = 0; i < n; i++)
        merger_push(&m, 1, 0);
    merger_run(&m, find, &r);
    assert_int_equal(m.symbols[0].n, n);
    assert_int_equal(m.symbols[0].next, MERGE_END);
    assert_true(r.n_lookups <= 3 * (size_t)n);
    merger_fini(&m);
}

static void one_symbol_stays(void **state)
{
    struct merger m = {0};
    struct rules r = {0};
    merger_push(&m, 4, 2);
    merger_run(&m, find, &r);
    assert_int_equal(m.symbols[0].next, MERGE_END);
    assert_int_equal(m.symbols[0].n, 4);
    merger_fini(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merges_as_defined),
        cmocka_unit_test(work_grows_with_the_length_only),
        cmocka_unit_test(one_symbol_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
