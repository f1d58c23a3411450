// SPDX-License-Identifier: MIT
// An entry of the heap names the left symbol and the size of both together. It is stale when the left one was
// joined away, or when it and its present neighbour have another size: symbols only grow, so the same place
// and size mean the same pair.
#include "text/merge.h"

#include <stdlib.h>

#include "base/mem.h"

void merger_fini(struct merger *m)
{
    free(m->symbols);
    rankheap_fini(&m->heap);
    *m = (struct merger){0};
}

void merger_clear(struct merger *m)
{
    m->n = 0;
    m->heap.n = 0;
}

void merger_push(struct merger *m, uint32_t n_bytes, uint32_t sym)
{
    if (m->n == m->capacity) {
        m->capacity = MAX(64u, m->capacity * 2);
        m->symbols = xrealloc(m->symbols, m->capacity * sizeof *m->symbols);
    }
    struct merge_symbol s = {.prev = MERGE_END, .next = MERGE_END, .start = 0, .n = n_bytes, .sym = sym};
    if (m->n > 0) {
        struct merge_symbol *before = &m->symbols[m->n - 1];
        before->next = m->n;
        s.prev = m->n - 1;
        s.start = before->start + before->n;
    }
    m->symbols[m->n++] = s;
}

static void consider(struct merger *m, uint32_t left, merge_find_fn *find, const void *arg)
{
    uint32_t rank, sym;
    if (left == MERGE_END || m->symbols[left].next == MERGE_END)
        return;
    const struct merge_symbol *l = &m->symbols[left], *r = &m->symbols[l->next];
    if (find(arg, l, r, &rank, &sym))
        rankheap_push(&m->heap, (struct rankheap_entry){rank, left, l->n + r->n, sym});
}

void merger_run(struct merger *m, merge_find_fn *find, const void *arg)
{
    for (uint32_t i = 0; i + 1 < m->n; i++)
        consider(m, i, find, arg);
    while (m->heap.n > 0) {
        struct rankheap_entry e = rankheap_pop(&m->heap);
        struct merge_symbol *left = &m->symbols[e.place];
        if (left->n == 0 || left->next == MERGE_END)
            continue;
        struct merge_symbol *right = &m->symbols[left->next];
        if (left->n + right->n != e.size)
            continue;
        left->n = e.size;
        left->sym = e.value;
        left->next = right->next;
        right->n = 0;
        if (left->next != MERGE_END)
            m->symbols[left->next].prev = e.place;
        consider(m, left->prev, find, arg);
        consider(m, e.place, find, arg);
    }
}
