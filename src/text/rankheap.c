// SPDX-License-Identifier: MIT
#include "text/rankheap.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/mem.h"

static bool is_before(const struct rankheap_entry *a, const struct rankheap_entry *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->place < b->place;
}

void rankheap_fini(struct rankheap *h)
{
    free(h->at);
    *h = (struct rankheap){0};
}

void rankheap_push(struct rankheap *h, struct rankheap_entry entry)
{
    if (h->n == h->capacity) {
        h->capacity = MAX((size_t)64, h->capacity * 2);
        h->at = xrealloc(h->at, h->capacity * sizeof *h->at);
    }
    size_t i = h->n++;
    for (size_t parent; i > 0 && is_before(&entry, &h->at[parent = (i - 1) / 2]); i = parent)
        h->at[i] = h->at[parent];
    h->at[i] = entry;
}

struct rankheap_entry rankheap_pop(struct rankheap *h)
{
    assert(h->n > 0);
    struct rankheap_entry first = h->at[0], last = h->at[--h->n];
    size_t i = 0;
    for (size_t child = 1; child < h->n; child = 2 * i + 1) {
        child += child + 1 < h->n && is_before(&h->at[child + 1], &h->at[child]);
        if (!is_before(&h->at[child], &last))
            break;
        h->at[i] = h->at[child];
        i = child;
    }
    if (h->n > 0)
        h->at[i] = last;
    return first;
}
