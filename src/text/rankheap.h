// SPDX-License-Identifier: MIT
// A binary heap of (rank, place): the lowest rank comes first, among equal ranks the lowest place. Private to
// text/.
#pragma once

#include <stddef.h>
#include <stdint.h>

struct rankheap_entry {
    uint32_t rank, place;
    uint32_t size, value; // the owner's
};

struct rankheap {
    struct rankheap_entry *at;
    size_t n, capacity;
};

void rankheap_fini(struct rankheap *h);
void rankheap_push(struct rankheap *h, struct rankheap_entry entry);
struct rankheap_entry rankheap_pop(struct rankheap *h); // n > 0
