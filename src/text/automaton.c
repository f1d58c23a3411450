// SPDX-License-Identifier: MIT
// States are made in the order in which they are met and worked off in the same order, so the edges of one
// lie together. What a state stands for (a set of NFA states, a pair) is kept in one list of numbers and
// found again by its hash. Adjacent edges to one state become one.
#include "text/automaton.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"

enum { NFA_MAX = 100000 };

// ---- The NFA ----

struct nfa *nfa_new(void)
{
    struct nfa *n = xcalloc(1, sizeof *n);
    n->n_states = 1;
    return n;
}

void nfa_free(struct nfa *n)
{
    if (n == NULL)
        return;
    free(n->edges);
    free(n->accepting);
    free(n);
}

uint32_t nfa_add_state(struct nfa *n)
{
    if (n->n_states == NFA_MAX)
        n->is_full = true;
    return n->is_full ? n->n_states - 1 : n->n_states++;
}

void nfa_add_edge(struct nfa *n, uint32_t from, uint32_t lo, uint32_t hi, uint32_t to)
{
    if (n->n_edges == NFA_MAX)
        n->is_full = true;
    if (n->is_full)
        return;
    if (n->n_edges == n->edge_capacity) {
        n->edge_capacity = MAX(32, n->edge_capacity * 2);
        n->edges = xrealloc(n->edges, n->edge_capacity * sizeof *n->edges);
    }
    n->edges[n->n_edges++] = (struct nfa_edge){from, to, lo, hi};
}

void nfa_add_jump(struct nfa *n, uint32_t from, uint32_t to)
{
    nfa_add_edge(n, from, 1, 0, to);
}

uint32_t nfa_add_text(struct nfa *n, uint32_t from, struct slice text)
{
    for (size_t i = 0; i < text.n;) {
        uint32_t c, to = nfa_add_state(n);
        i += utf8_decode(text.at + i, text.n - i, &c);
        nfa_add_edge(n, from, c, c, to);
        from = to;
    }
    return from;
}

void nfa_accept(struct nfa *n, uint32_t state)
{
    if (n->n_accepting == n->accepting_capacity) {
        n->accepting_capacity = MAX(8, n->accepting_capacity * 2);
        n->accepting = xrealloc(n->accepting, n->accepting_capacity * sizeof *n->accepting);
    }
    n->accepting[n->n_accepting++] = state;
}

// ---- An automaton being made ----

struct meaning {
    uint32_t first, n, hash; // in `parts`
};

struct making {
    struct automaton *a;
    uint32_t edge_capacity, state_capacity;
    struct meaning *meanings;
    uint32_t *parts, n_parts, part_capacity;
    uint32_t *slots, slot_capacity; // 1 + state
    uint64_t *work;                 // left
    bool is_full, is_spent;
};

static void making_init(struct making *m, uint64_t *work)
{
    memset(m, 0, sizeof *m);
    m->work = work;
    m->a = xcalloc(1, sizeof *m->a);
}

static void spend(struct making *m, uint64_t work)
{
    m->is_spent |= *m->work < work;
    m->is_full |= m->is_spent;
    *m->work -= MIN(*m->work, work);
}

static uint32_t hash_parts(const uint32_t *parts, uint32_t n)
{
    uint32_t h = 7;
    for (uint32_t i = 0; i < n; i++) {
        h = (h ^ parts[i]) * 0x9E3779B1u;
        h ^= h >> 15;
    }
    return h;
}

static void place(struct making *m, uint32_t state)
{
    uint32_t at = m->meanings[state].hash & (m->slot_capacity - 1);
    while (m->slots[at] != 0)
        at = (at + 1) & (m->slot_capacity - 1);
    m->slots[at] = state + 1;
}

static void grow_states(struct making *m)
{
    struct automaton *a = m->a;
    m->state_capacity = MAX(32, m->state_capacity * 2);
    a->first = xrealloc(a->first, (m->state_capacity + 1) * sizeof *a->first);
    a->accepts = xrealloc(a->accepts, m->state_capacity * sizeof *a->accepts);
    m->meanings = xrealloc(m->meanings, m->state_capacity * sizeof *m->meanings);
    free(m->slots);
    m->slot_capacity = m->state_capacity * 4;
    m->slots = xcalloc(m->slot_capacity, sizeof *m->slots);
    for (uint32_t i = 0; i < a->n_states; i++)
        place(m, i);
}

// The state that stands for these numbers; a new one when there is none.
static uint32_t state_of(struct making *m, const uint32_t *parts, uint32_t n)
{
    struct automaton *a = m->a;
    uint32_t hash = hash_parts(parts, n);
    spend(m, n + 4ul);
    if (a->n_states == m->state_capacity)
        grow_states(m);
    for (uint32_t at = hash & (m->slot_capacity - 1); m->slots[at] != 0;
         at = (at + 1) & (m->slot_capacity - 1)) {
        const struct meaning *old = &m->meanings[m->slots[at] - 1];
        if (old->hash == hash && old->n == n &&
            (n == 0 || memcmp(m->parts + old->first, parts, n * sizeof *parts) == 0))
            return m->slots[at] - 1;
    }
    if (a->n_states == AUTOMATON_MAX_STATES) {
        m->is_full = true;
        return 0;
    }
    if (m->n_parts + n > m->part_capacity) {
        m->part_capacity = MAX(64, (m->n_parts + n) * 2);
        m->parts = xrealloc(m->parts, m->part_capacity * sizeof *m->parts);
    }
    if (n > 0)
        memcpy(m->parts + m->n_parts, parts, n * sizeof *parts);
    m->meanings[a->n_states] = (struct meaning){m->n_parts, n, hash};
    m->n_parts += n;
    a->accepts[a->n_states] = false;
    place(m, a->n_states);
    return a->n_states++;
}

static void add_edge(struct making *m, uint32_t from_edge, uint32_t lo, uint32_t hi, uint32_t to)
{
    struct automaton *a = m->a;
    uint32_t n = a->first[a->n_states]; // while it is made: how many edges there are
    if (n > from_edge && a->edges[n - 1].to == to && a->edges[n - 1].hi + 1 == lo) {
        a->edges[n - 1].hi = hi;
        return;
    }
    if (n == AUTOMATON_MAX_EDGES) {
        m->is_full = true;
        return;
    }
    if (n == m->edge_capacity) {
        m->edge_capacity = MAX(64, m->edge_capacity * 2);
        a->edges = xrealloc(a->edges, m->edge_capacity * sizeof *a->edges);
    }
    a->edges[n] = (struct automaton_edge){lo, hi, to};
    a->first[a->n_states] = n + 1;
}

// Leaves out what cannot reach an accepting state any more; what begins stays state 0.
static void prune(struct automaton *a)
{
    uint32_t n = a->n_states, n_left = 0, n_edges = 0;
    bool *lives = xcalloc(n + 1ul, sizeof *lives), changed = true;
    uint32_t *renamed = xcalloc(n + 1ul, sizeof *renamed);
    for (uint32_t q = 0; q < n; q++)
        lives[q] = a->accepts[q];
    while (changed) {
        changed = false;
        for (uint32_t q = n; q-- > 0;)
            for (uint32_t i = a->first[q]; i < a->first[q + 1] && !lives[q]; i++)
                changed |= lives[q] = lives[a->edges[i].to];
    }
    for (uint32_t q = 0; q < n; q++)
        renamed[q] = lives[q] ? n_left++ : 0;
    if (n > 0 && !lives[0])
        n_left = 0;
    for (uint32_t q = 0, k = 0; q < n && n_left > 0; q++) {
        uint32_t begin = a->first[q], end = a->first[q + 1];
        if (!lives[q])
            continue;
        a->accepts[k] = a->accepts[q];
        a->first[k++] = n_edges;
        for (uint32_t i = begin; i < end; i++)
            if (lives[a->edges[i].to])
                a->edges[n_edges++] =
                    (struct automaton_edge){a->edges[i].lo, a->edges[i].hi, renamed[a->edges[i].to]};
    }
    a->n_states = n_left;
    if (a->first != NULL)
        a->first[n_left] = n_edges;
    free(lives);
    free(renamed);
}

static struct automaton *finish(struct making *m, struct err *err)
{
    struct automaton *a = m->a;
    free(m->meanings);
    free(m->parts);
    free(m->slots);
    if (m->is_full) {
        automaton_free(a);
        if (m->is_spent)
            err_set(err, ERR_INVALID, "takes too much work");
        else
            err_set(err, ERR_INVALID, "needs more than %d states", AUTOMATON_MAX_STATES);
        return NULL;
    }
    prune(a);
    return a;
}

void automaton_free(struct automaton *a)
{
    if (a == NULL)
        return;
    free(a->first);
    free(a->edges);
    free(a->accepts);
    free(a);
}

// ---- Subset construction ----

struct subset {
    struct making m;
    const struct nfa *n;
    uint32_t *first, *order; // edges of each NFA state
    bool *accepts;
    uint32_t *mark, round; // mark[q] == round: in `set`
    uint32_t *set, n_set;
    uint32_t *edges, n_edges; // that leave the set
    uint32_t *points, n_points;
};

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void subset_init(struct subset *s, const struct nfa *n, uint64_t *work)
{
    memset(s, 0, sizeof *s);
    making_init(&s->m, work);
    spend(&s->m, n->n_states + n->n_edges);
    s->n = n;
    s->first = xcalloc(n->n_states + 2ul, sizeof *s->first);
    s->order = xcalloc(n->n_edges + 1ul, sizeof *s->order);
    s->accepts = xcalloc(n->n_states, sizeof *s->accepts);
    s->mark = xcalloc(n->n_states, sizeof *s->mark);
    s->set = xcalloc(n->n_states, sizeof *s->set);
    s->edges = xcalloc(n->n_edges + 1ul, sizeof *s->edges);
    s->points = xcalloc(2ul * n->n_edges + 1, sizeof *s->points);
    for (uint32_t i = 0; i < n->n_edges; i++)
        s->first[n->edges[i].from + 2]++;
    for (uint32_t q = 2; q < n->n_states + 2; q++)
        s->first[q] += s->first[q - 1];
    for (uint32_t i = 0; i < n->n_edges; i++)
        s->order[s->first[n->edges[i].from + 1]++] = i;
    for (uint32_t i = 0; i < n->n_accepting; i++)
        s->accepts[n->accepting[i]] = true;
}

static void subset_fini(struct subset *s)
{
    free(s->first);
    free(s->order);
    free(s->accepts);
    free(s->mark);
    free(s->set);
    free(s->edges);
    free(s->points);
}

static void subset_reach(struct subset *s, uint32_t state)
{
    if (s->mark[state] == s->round)
        return;
    s->mark[state] = s->round;
    s->set[s->n_set++] = state;
}

// The state of what was reached, with all that is reached by jumps.
static uint32_t subset_close(struct subset *s)
{
    bool accepts = false;
    for (uint32_t i = 0; i < s->n_set; i++) {
        uint32_t q = s->set[i];
        for (uint32_t k = s->first[q]; k < s->first[q + 1]; k++) {
            const struct nfa_edge *e = &s->n->edges[s->order[k]];
            if (e->lo > e->hi)
                subset_reach(s, e->to);
        }
        accepts |= s->accepts[q];
    }
    spend(&s->m, s->n_set);
    qsort(s->set, s->n_set, sizeof *s->set, by_number);
    uint32_t before = s->m.a->n_states, n_edges = before > 0 ? s->m.a->first[before] : 0;
    uint32_t state = state_of(&s->m, s->set, s->n_set);
    s->m.a->first[s->m.a->n_states] = n_edges;
    s->m.a->accepts[state] = accepts;
    return state;
}

static void subset_collect(struct subset *s, uint32_t state)
{
    struct meaning set = s->m.meanings[state];
    s->n_edges = s->n_points = 0;
    for (uint32_t i = 0; i < set.n; i++) {
        uint32_t q = s->m.parts[set.first + i];
        for (uint32_t k = s->first[q]; k < s->first[q + 1]; k++) {
            const struct nfa_edge *e = &s->n->edges[s->order[k]];
            if (e->lo > e->hi)
                continue;
            s->edges[s->n_edges++] = s->order[k];
            s->points[s->n_points++] = e->lo;
            s->points[s->n_points++] = e->hi + 1;
        }
    }
    qsort(s->points, s->n_points, sizeof *s->points, by_number);
}

static void subset_expand(struct subset *s, uint32_t state)
{
    uint32_t begin = s->m.a->first[s->m.a->n_states], previous = UINT32_MAX;
    s->m.a->first[state] = begin;
    subset_collect(s, state);
    for (uint32_t i = 0; i + 1 < s->n_points && !s->m.is_full; i++) {
        uint32_t lo = s->points[i], hi = s->points[i + 1] - 1;
        if (lo == previous || lo > hi)
            continue;
        previous = lo;
        s->round++;
        s->n_set = 0;
        for (uint32_t k = 0; k < s->n_edges; k++) {
            const struct nfa_edge *e = &s->n->edges[s->edges[k]];
            if (e->lo <= lo && hi <= e->hi)
                subset_reach(s, e->to);
        }
        spend(&s->m, s->n_edges);
        if (s->n_set > 0)
            add_edge(&s->m, begin, lo, hi, subset_close(s));
    }
}

struct automaton *automaton_of(const struct nfa *n, uint64_t *work, struct err *err)
{
    struct subset s;
    subset_init(&s, n, work);
    s.m.is_full |= n->is_full;
    s.round = 1;
    subset_reach(&s, 0);
    subset_close(&s);
    // first[state] is overwritten as each is worked off; the entry after the last holds the number of edges.
    for (uint32_t q = 0; q < s.m.a->n_states && !s.m.is_full; q++)
        subset_expand(&s, q);
    subset_fini(&s);
    return finish(&s.m, err);
}

// ---- Products and complement ----

// A state for the pair; UINT32_MAX stands for a side that has failed (complements only).
static uint32_t pair_of(struct making *m, uint32_t a, uint32_t b, bool accepts)
{
    uint32_t before = m->a->n_states, n_edges = before > 0 ? m->a->first[before] : 0;
    uint32_t state = state_of(m, (const uint32_t[]){a, b}, 2);
    m->a->first[m->a->n_states] = n_edges;
    m->a->accepts[state] = accepts;
    return state;
}

struct automaton *automaton_both(const struct automaton *a, const struct automaton *b, uint64_t *work,
                                 struct err *err)
{
    struct making m;
    making_init(&m, work);
    if (a->n_states > 0 && b->n_states > 0)
        pair_of(&m, 0, 0, a->accepts[0] && b->accepts[0]);
    for (uint32_t q = 0; q < m.a->n_states && !m.is_full; q++) {
        assert(m.parts != NULL); // there is a state
        uint32_t pa = m.parts[m.meanings[q].first], pb = m.parts[m.meanings[q].first + 1];
        uint32_t i = a->first[pa], k = b->first[pb], begin = m.a->first[m.a->n_states];
        m.a->first[q] = begin;
        while (i < a->first[pa + 1] && k < b->first[pb + 1] && !m.is_full) {
            const struct automaton_edge *x = &a->edges[i], *y = &b->edges[k];
            uint32_t lo = MAX(x->lo, y->lo), hi = MIN(x->hi, y->hi);
            if (lo <= hi)
                add_edge(&m, begin, lo, hi,
                         pair_of(&m, x->to, y->to, a->accepts[x->to] && b->accepts[y->to]));
            if (x->hi <= y->hi)
                i++;
            else
                k++;
        }
    }
    return finish(&m, err);
}

struct automaton *automaton_not(const struct automaton *a, uint64_t *work, struct err *err)
{
    enum { FAILED = UINT32_MAX };
    struct making m;
    making_init(&m, work);
    pair_of(&m, a->n_states > 0 ? 0 : FAILED, 0, a->n_states == 0 || !a->accepts[0]);
    for (uint32_t q = 0; q < m.a->n_states && !m.is_full; q++) {
        uint32_t p = m.parts[m.meanings[q].first], begin = m.a->first[m.a->n_states], next = 0;
        m.a->first[q] = begin;
        for (uint32_t i = p == FAILED ? 0 : a->first[p]; p != FAILED && i < a->first[p + 1]; i++) {
            const struct automaton_edge *e = &a->edges[i];
            if (e->lo > next)
                add_edge(&m, begin, next, e->lo - 1, pair_of(&m, FAILED, 0, true));
            add_edge(&m, begin, e->lo, e->hi, pair_of(&m, e->to, 0, !a->accepts[e->to]));
            next = e->hi + 1;
        }
        if (next <= CODE_POINT_MAX)
            add_edge(&m, begin, next, CODE_POINT_MAX, pair_of(&m, FAILED, 0, true));
    }
    return finish(&m, err);
}

struct automaton *automaton_of_lengths(uint32_t min, uint32_t max, uint64_t *work, struct err *err)
{
    struct nfa *n = nfa_new();
    uint32_t last = max == UINT32_MAX ? min : max, q = 0;
    if (last >= AUTOMATON_MAX_STATES)
        n->is_full = true;
    for (uint32_t i = 0; i <= last && !n->is_full; i++) {
        if (i >= min)
            nfa_accept(n, q);
        uint32_t to = i < last ? nfa_add_state(n) : q;
        if (i < last || max == UINT32_MAX)
            nfa_add_edge(n, q, 0, CODE_POINT_MAX, to);
        q = to;
    }
    struct automaton *a = automaton_of(n, work, err);
    nfa_free(n);
    return a;
}

bool automaton_matches(const struct automaton *a, struct slice text)
{
    uint32_t q = 0;
    if (a->n_states == 0)
        return false;
    for (size_t i = 0; i < text.n;) {
        uint32_t c, to = UINT32_MAX;
        i += utf8_decode(text.at + i, text.n - i, &c);
        for (uint32_t k = a->first[q]; k < a->first[q + 1]; k++)
            if (a->edges[k].lo <= c && c <= a->edges[k].hi)
                to = a->edges[k].to;
        if (to == UINT32_MAX)
            return false;
        q = to;
    }
    return a->accepts[q];
}
