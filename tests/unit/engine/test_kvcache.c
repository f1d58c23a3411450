// SPDX-License-Identifier: MIT
// The prefix tree: sharing, pending pages, eviction, and its invariants under random use.
#include "../test.h"

#include "base/mem.h"
#include "engine/seq.h"

static struct kvcache open_cache(uint32_t n_pages)
{
    struct kvcache c;
    struct kv_layout layout = {.page_bytes = 64};
    struct err err = {0};
    assert_int_equal(kvcache_init(&c, &layout, n_pages, &err), 0);
    return c;
}

static struct seq *new_seq(uint64_t id, const uint32_t *tokens, uint32_t n)
{
    struct request r = {.id = id, .params = PARAMS_DEFAULT};
    struct seq *s = seq_new(&r);
    seq_set_limit(s, n + 64);
    for (uint32_t i = 0; i < n; i++)
        tokens_push(&s->tokens, tokens[i]);
    s->n_prompt = n;
    return s;
}

// One step of at most n tokens, as the engine makes it; returns how many were computed.
static uint32_t compute(struct seq *s, struct kvcache *c, uint32_t n)
{
    s->n_columns = 0;
    while (s->n_columns < MIN(n, seq_n_left(s))) {
        enum seq_page page = seq_next_page(s, c);
        if (page == SEQ_PAGE_STOP)
            break;
        if (page == SEQ_PAGE_NEEDED) {
            uint32_t taken = kvcache_alloc(c);
            if (taken == PAGE_NONE)
                break;
            seq_add_page(s, c, taken);
        }
        s->n_columns++;
    }
    s->n_computed += s->n_columns;
    seq_publish(s, c);
    kvcache_check(c);
    return s->n_columns;
}

static void a_second_sequence_computes_only_its_tail(void **state)
{
    struct kvcache c = open_cache(32);
    uint32_t tokens[100];
    for (uint32_t i = 0; i < 100; i++)
        tokens[i] = i;
    struct seq *a = new_seq(1, tokens, 70);
    tokens[60] = 999;
    struct seq *b = new_seq(2, tokens, 70);
    compute(a, &c, 70);
    assert_false(seq_adopt(b, &c));
    assert_int_equal(b->n_computed, 48); // pages 0..2 are the same, page 3 holds token 60
    assert_int_equal(b->n_cached, 48);
    assert_int_equal(b->pages[2], a->pages[2]);
    seq_release_pages(a, &c);
    kvcache_check(&c);
    compute(b, &c, 22);
    seq_release_pages(b, &c);
    kvcache_check(&c);
    seq_free(a);
    seq_free(b);
    kvcache_fini(&c);
}

static void the_last_token_is_always_computed(void **state)
{
    struct kvcache c = open_cache(32);
    uint32_t tokens[64] = {0};
    struct seq *a = new_seq(1, tokens, 64), *b = new_seq(2, tokens, 64);
    compute(a, &c, 64);
    assert_false(seq_adopt(b, &c));
    assert_int_equal(b->n_computed, 48);
    assert_int_equal(compute(b, &c, 64), 16);
    assert_int_equal(b->pages[3], a->pages[3]); // the same page, computed twice, is kept once
    seq_release_pages(a, &c);
    seq_release_pages(b, &c);
    kvcache_check(&c);
    seq_free(a);
    seq_free(b);
    kvcache_fini(&c);
}

static void a_follower_waits_for_pending_pages_and_takes_over_when_they_are_abandoned(void **state)
{
    struct kvcache c = open_cache(32);
    uint32_t tokens[64] = {0};
    struct seq *a = new_seq(1, tokens, 64), *b = new_seq(2, tokens, 64);
    compute(a, &c, 20); // page 0 published, page 1 pending
    assert_true(seq_adopt(b, &c));
    assert_int_equal(b->n_computed, 16);
    seq_release_pages(a, &c); // cancelled
    kvcache_check(&c);
    assert_false(seq_adopt(b, &c));
    assert_int_equal(b->n_computed, 16);
    assert_int_equal(compute(b, &c, 64), 48);
    seq_release_pages(b, &c);
    seq_free(a);
    seq_free(b);
    kvcache_fini(&c);
}

static void pages_of_others_are_never_found(void **state)
{
    struct kvcache c = open_cache(32);
    uint32_t tokens[40] = {0}, other[40] = {1};
    struct seq *a = new_seq(1, tokens, 40), *b = new_seq(2, other, 40);
    compute(a, &c, 40);
    assert_false(seq_adopt(b, &c));
    assert_int_equal(b->n_computed, 0);
    // The second page has the same tokens, but another parent.
    compute(b, &c, 40);
    assert_int_not_equal(a->pages[1], b->pages[1]);
    seq_release_pages(a, &c);
    seq_release_pages(b, &c);
    seq_free(a);
    seq_free(b);
    kvcache_fini(&c);
}

static uint32_t random_state = 12345;
static uint32_t next_random(uint32_t n)
{
    random_state = random_state * 1664525 + 1013904223;
    return (random_state >> 8) % n;
}

static void random_use_keeps_the_invariants(void **state)
{
    struct kvcache c = open_cache(40);
    struct seq *seqs[8] = {0};
    for (int step = 0; step < 30000; step++) {
        struct seq **s = &seqs[next_random(8)];
        if (*s == NULL) {
            // Few different tokens, so that prefixes are shared often.
            uint32_t tokens[120], n = 1 + next_random(120), change = next_random(120);
            for (uint32_t i = 0; i < n; i++)
                tokens[i] = i == change ? next_random(3) : 0;
            *s = new_seq((uint64_t)step, tokens, n);
        } else if (seq_n_left(*s) == 0 || next_random(20) == 0) {
            seq_release_pages(*s, &c);
            seq_free(*s);
            *s = NULL;
        } else if (!seq_adopt(*s, &c)) {
            if (compute(*s, &c, 1 + next_random(40)) == 0 && next_random(3) == 0)
                seq_release_pages(*s, &c); // preempted
        }
        kvcache_check(&c);
    }
    for (int i = 0; i < 8; i++) {
        if (seqs[i] != NULL)
            seq_release_pages(seqs[i], &c);
        seq_free(seqs[i]);
    }
    kvcache_check(&c);
    assert_int_equal(c.n_free + c.n_idle, 40);
    kvcache_fini(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_second_sequence_computes_only_its_tail),
        cmocka_unit_test(the_last_token_is_always_computed),
        cmocka_unit_test(a_follower_waits_for_pending_pages_and_takes_over_when_they_are_abandoned),
        cmocka_unit_test(pages_of_others_are_never_found),
        cmocka_unit_test(random_use_keeps_the_invariants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
