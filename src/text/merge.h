// SPDX-License-Identifier: MIT
// Merging neighbours by rank, which byte-pair encoding and SPM share: the pair of the lowest rank is joined
// first, among equal ranks the leftmost; then its new neighbour pairs are looked at. O(n log n) by a heap
// whose stale entries are skipped. Private to text/.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "text/rankheap.h"

#define MERGE_END UINT32_MAX
// A run without any break is merged in parts of this many bytes, so that memory stays bounded; a part costs
// some 60 bytes for each.
enum { MERGE_MAX_BYTES = 1 << 20 };

struct merge_symbol {
    uint32_t prev, next; // MERGE_END at the ends
    uint32_t start, n;   // its bytes in the text; n == 0: joined to the one before
    uint32_t sym;        // number of its text, or SYMBOL_NONE
};

// Scratch memory, used again for each piece.
struct merger {
    struct merge_symbol *symbols;
    uint32_t n, capacity;
    struct rankheap heap;
};

// Whether left and right (neighbours) may be joined; then the rank of that and the number of the joined text.
typedef bool merge_find_fn(const void *arg, const struct merge_symbol *left, const struct merge_symbol *right,
                           uint32_t *rank, uint32_t *sym);

void merger_fini(struct merger *m);
void merger_clear(struct merger *m);
void merger_push(struct merger *m, uint32_t n_bytes, uint32_t sym); // the next symbol of the text
// Joins until nothing can be joined. Symbol 0 stays the first; the rest follow by `next`.
void merger_run(struct merger *m, merge_find_fn *find, const void *arg);
