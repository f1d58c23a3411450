// SPDX-License-Identifier: MIT
// A compact hash table: four bytes a slot, texts compared in place. (A general map would take 16 times that
// for 260,000 tokens.)
#include "text/symbols.h"

#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"

enum { FIRST_SLOTS = 1024 };

void symbols_init(struct symbols *s)
{
    *s = (struct symbols){0};
    s->n_slots = FIRST_SLOTS;
    s->slots = xcalloc(FIRST_SLOTS, sizeof *s->slots);
    s->offsets_capacity = FIRST_SLOTS;
    s->offsets = xcalloc(FIRST_SLOTS, sizeof *s->offsets);
}

void symbols_fini(struct symbols *s)
{
    free(s->bytes);
    free(s->offsets);
    free(s->slots);
    *s = (struct symbols){0};
}

static uint32_t *slot_of(const struct symbols *s, struct slice text)
{
    size_t i = map_hash(text.n > 0 ? text.at : "", text.n) & (s->n_slots - 1);
    while (s->slots[i] != 0 && !slice_equals(symbols_text(s, s->slots[i] - 1), text))
        i = (i + 1) & (s->n_slots - 1);
    return &s->slots[i];
}

// Makes *memory hold `needed` elements, doubling; keeps it and sets `failed` when that cannot be.
static void *grown(struct symbols *s, void *memory, size_t *capacity, size_t needed, size_t element_bytes)
{
    if (needed <= *capacity)
        return memory;
    size_t wanted = MAX(needed, *capacity * 2), n_bytes;
    void *bigger = mem_mul(wanted, element_bytes, &n_bytes) ? realloc(memory, n_bytes) : NULL;
    if (bigger == NULL) {
        s->failed = true;
        return memory;
    }
    *capacity = wanted;
    return bigger;
}

static void grow_slots(struct symbols *s)
{
    uint32_t *old = s->slots;
    uint32_t *bigger = mem_try_alloc(s->n_slots * 2, sizeof *bigger);
    if (bigger == NULL) {
        s->failed = true;
        return;
    }
    s->slots = bigger;
    s->n_slots *= 2;
    for (uint32_t i = 0; i < s->n; i++)
        *slot_of(s, symbols_text(s, i)) = i + 1;
    free(old);
}

uint32_t symbols_add(struct symbols *s, struct slice text)
{
    if (text.n > UINT32_MAX - 1 - s->n_bytes || s->n >= UINT32_MAX - 2)
        s->failed = true;
    if (!s->failed)
        s->bytes = grown(s, s->bytes, &s->bytes_capacity, s->n_bytes + text.n + 1, 1);
    if (!s->failed)
        s->offsets = grown(s, s->offsets, &s->offsets_capacity, (size_t)s->n + 2, sizeof *s->offsets);
    if (!s->failed && ((size_t)s->n + 1) * 2 > s->n_slots)
        grow_slots(s);
    if (s->failed)
        return 0;
    if (text.n > 0)
        memcpy(s->bytes + s->n_bytes, text.at, text.n);
    s->n_bytes += (uint32_t)text.n;
    s->offsets[s->n + 1] = s->n_bytes;
    s->longest = MAX(s->longest, (uint32_t)text.n);
    uint32_t *slot = slot_of(s, text);
    *slot = ++s->n;
    return s->n - 1;
}

uint32_t symbols_intern(struct symbols *s, struct slice text)
{
    uint32_t i = symbols_find(s, text);
    return i != SYMBOL_NONE ? i : symbols_add(s, text);
}

uint32_t symbols_find(const struct symbols *s, struct slice text)
{
    if (text.n > s->longest)
        return SYMBOL_NONE;
    return *slot_of(s, text) - 1; // 0 - 1: SYMBOL_NONE
}

void symbols_trim(struct symbols *s)
{
    void *smaller = realloc(s->bytes, MAX(s->n_bytes, 1u));
    s->bytes = smaller ? smaller : s->bytes;
    smaller = realloc(s->offsets, ((size_t)s->n + 1) * sizeof *s->offsets);
    s->offsets = smaller ? smaller : s->offsets;
}
