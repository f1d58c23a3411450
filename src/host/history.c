// SPDX-License-Identifier: MIT
// The ring. A thousand records are searched from the newest on: no index to keep right.
#include "host/history.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void history_start(struct history *h, size_t capacity)
{
    assert(capacity > 0);
    *h = (struct history){.ring = xcalloc(capacity, sizeof *h->ring), .capacity = capacity};
}

void history_fini(struct history *h)
{
    free(h->ring);
    *h = (struct history){0};
}

void history_push(struct history *h, const struct host_record *r)
{
    h->ring[h->next] = *r;
    h->next = (h->next + 1) % h->capacity;
    h->n = MIN(h->n + 1, h->capacity);
}

const struct host_record *history_at(const struct history *h, size_t i)
{
    assert(i < h->n);
    return &h->ring[(h->next + h->capacity - 1 - i) % h->capacity];
}

const struct host_record *history_find(const struct history *h, const char *request_id)
{
    for (size_t i = 0; i < h->n; i++)
        if (strcmp(history_at(h, i)->request_id, request_id) == 0)
            return history_at(h, i);
    return NULL;
}
