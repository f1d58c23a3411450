// SPDX-License-Identifier: MIT
// Open addressing with linear probing.
#include "base/map.h"

#include <stdlib.h>
#include <sys/random.h>

#include "base/mem.h"

static uint64_t seed(void)
{
    static uint64_t value;
    if (value == 0) {
        uint64_t drawn = 0;
        if (getrandom(&drawn, sizeof drawn, GRND_NONBLOCK) != (ssize_t)sizeof drawn)
            drawn = (uintptr_t)&value; // address space layout is random enough here
        uint64_t zero = 0;
        __atomic_compare_exchange_n(&value, &zero, drawn | 1, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    }
    return __atomic_load_n(&value, __ATOMIC_RELAXED);
}

static uint64_t mix(uint64_t a, uint64_t b)
{
    __uint128_t product = (__uint128_t)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t map_hash(const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    uint64_t h = seed() ^ n;
    while (n >= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        h = mix(h ^ word, 0x9E3779B97F4A7C15u);
        p += 8;
        n -= 8;
    }
    uint64_t word = 0;
    memcpy(&word, p, n);
    return mix(h ^ word, 0xD6E8FEB86659FD93u);
}

void map_init(struct map *m, size_t expected)
{
    size_t capacity = 16;
    while (capacity < expected * 2)
        capacity *= 2;
    *m = (struct map){.entries = xcalloc(capacity, sizeof(struct map_entry)), .capacity = capacity};
}

void map_fini(struct map *m)
{
    free(m->entries);
    *m = (struct map){0};
}

static struct map_entry *probe(const struct map *m, struct slice key, uint32_t hash)
{
    size_t i = hash & (m->capacity - 1);
    while (m->entries[i].key.at != NULL) {
        if (m->entries[i].hash == hash && slice_equals(m->entries[i].key, key))
            break;
        i = (i + 1) & (m->capacity - 1);
    }
    return &m->entries[i];
}

static void grow(struct map *m)
{
    struct map old = *m;
    map_init(m, old.capacity);
    for (size_t i = 0; i < old.capacity; i++)
        if (old.entries[i].key.at != NULL)
            *probe(m, old.entries[i].key, old.entries[i].hash) = old.entries[i];
    m->count = old.count;
    free(old.entries);
}

void map_set(struct map *m, struct slice key, uint32_t value)
{
    if (m->count * 2 >= m->capacity)
        grow(m);
    if (key.at == NULL)
        key.at = "";
    uint32_t hash = (uint32_t)map_hash(key.at, key.n);
    struct map_entry *e = probe(m, key, hash);
    m->count += e->key.at == NULL;
    *e = (struct map_entry){key, value, hash};
}

bool map_find(const struct map *m, struct slice key, uint32_t *value)
{
    if (m->capacity == 0)
        return false;
    if (key.at == NULL)
        key.at = "";
    const struct map_entry *e = probe(m, key, (uint32_t)map_hash(key.at, key.n));
    if (e->key.at == NULL)
        return false;
    *value = e->value;
    return true;
}
