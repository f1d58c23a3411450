// SPDX-License-Identifier: MIT
// Lists and the hash run through the page array by index. Parents outlive children: a user of a node is a
// user of its whole chain, and idle nodes are kept in an order in which every node comes before its parent,
// so that the oldest idle node is always a leaf.
#include "engine/kvcache.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"

size_t kvcache_bytes_per_page(void)
{
    return sizeof(struct kv_page) + 4 * sizeof(uint32_t); // at most four buckets a page
}

int kvcache_init(struct kvcache *c, const struct kv_layout *layout, uint32_t n_pages, struct err *err)
{
    memset(c, 0, sizeof *c);
    c->layout = *layout;
    if (!mem_mul(n_pages, layout->page_bytes, &c->memory_bytes) ||
        (c->memory = mem_map(c->memory_bytes)) == NULL)
        return err_set(err, ERR_NO_MEMORY, "cannot reserve %u KV pages of %zu KiB", n_pages,
                       layout->page_bytes >> 10);
    c->n_pages = c->n_free = n_pages;
    c->pages = xcalloc(n_pages, sizeof *c->pages);
    for (c->n_buckets = 64; c->n_buckets < 2 * n_pages;)
        c->n_buckets *= 2;
    c->buckets = xmalloc(c->n_buckets * sizeof *c->buckets);
    memset(c->buckets, 0xFF, c->n_buckets * sizeof *c->buckets);
    for (uint32_t i = 0; i < n_pages; i++)
        c->pages[i].next = i + 1 < n_pages ? i + 1 : PAGE_NONE;
    c->free_first = n_pages > 0 ? 0 : PAGE_NONE;
    c->idle_oldest = c->idle_newest = PAGE_NONE;
    return 0;
}

void kvcache_fini(struct kvcache *c)
{
    mem_unmap(c->memory, c->memory_bytes);
    free(c->pages);
    free(c->buckets);
    memset(c, 0, sizeof *c);
}

static uint32_t *bucket_of(const struct kvcache *c, uint32_t parent, const uint32_t *tokens)
{
    uint32_t key[KV_PAGE_TOKENS + 1];
    key[0] = parent;
    memcpy(key + 1, tokens, KV_PAGE_TOKENS * sizeof *tokens);
    return &c->buckets[map_hash(key, sizeof key) & (c->n_buckets - 1)];
}

static void push_free(struct kvcache *c, uint32_t page)
{
    c->pages[page].state = KV_PAGE_FREE;
    c->pages[page].next = c->free_first;
    c->free_first = page;
    c->n_free++;
}

static void push_idle(struct kvcache *c, uint32_t page)
{
    struct kv_page *p = &c->pages[page];
    p->next = PAGE_NONE;
    p->prev = c->idle_newest;
    if (c->idle_newest != PAGE_NONE)
        c->pages[c->idle_newest].next = page;
    else
        c->idle_oldest = page;
    c->idle_newest = page;
    c->n_idle++;
}

static void remove_idle(struct kvcache *c, uint32_t page)
{
    struct kv_page *p = &c->pages[page];
    if (p->prev != PAGE_NONE)
        c->pages[p->prev].next = p->next;
    else
        c->idle_oldest = p->next;
    if (p->next != PAGE_NONE)
        c->pages[p->next].prev = p->prev;
    else
        c->idle_newest = p->prev;
    c->n_idle--;
}

static void unlink_node(struct kvcache *c, uint32_t page)
{
    struct kv_page *p = &c->pages[page];
    uint32_t *at = bucket_of(c, p->parent, p->tokens);
    while (*at != page)
        at = &c->pages[*at].bucket_next;
    *at = p->bucket_next;
    if (p->parent != PAGE_NONE)
        c->pages[p->parent].n_children--;
}

uint32_t kvcache_alloc(struct kvcache *c)
{
    if (c->free_first == PAGE_NONE) {
        uint32_t oldest = c->idle_oldest;
        if (oldest == PAGE_NONE)
            return PAGE_NONE;
        assert(c->pages[oldest].n_children == 0);
        remove_idle(c, oldest);
        unlink_node(c, oldest);
        push_free(c, oldest);
    }
    uint32_t page = c->free_first;
    struct kv_page *p = &c->pages[page];
    c->free_first = p->next;
    c->n_free--;
    p->state = KV_PAGE_PRIVATE;
    return page;
}

void kvcache_free(struct kvcache *c, uint32_t page)
{
    assert(c->pages[page].state == KV_PAGE_PRIVATE);
    push_free(c, page);
}

uint32_t kvcache_find(const struct kvcache *c, uint32_t parent, const uint32_t *tokens)
{
    for (uint32_t page = *bucket_of(c, parent, tokens); page != PAGE_NONE;
         page = c->pages[page].bucket_next) {
        const struct kv_page *p = &c->pages[page];
        if (p->parent == parent && memcmp(p->tokens, tokens, sizeof p->tokens) == 0)
            return page;
    }
    return PAGE_NONE;
}

bool kvcache_is_published(const struct kvcache *c, uint32_t page)
{
    return c->pages[page].state == KV_PAGE_NODE;
}

void kvcache_ref(struct kvcache *c, uint32_t page)
{
    assert(c->pages[page].state == KV_PAGE_NODE);
    if (c->pages[page].refs++ == 0)
        remove_idle(c, page);
}

void kvcache_unref(struct kvcache *c, uint32_t page)
{
    assert(c->pages[page].state == KV_PAGE_NODE && c->pages[page].refs > 0);
    if (--c->pages[page].refs == 0)
        push_idle(c, page);
}

void kvcache_claim(struct kvcache *c, uint32_t page, uint32_t parent, const uint32_t *tokens)
{
    struct kv_page *p = &c->pages[page];
    assert(p->state == KV_PAGE_PRIVATE && kvcache_find(c, parent, tokens) == PAGE_NONE);
    uint32_t *bucket = bucket_of(c, parent, tokens);
    *p = (struct kv_page){.state = KV_PAGE_PENDING, .refs = 1, .parent = parent, .bucket_next = *bucket};
    memcpy(p->tokens, tokens, sizeof p->tokens);
    *bucket = page;
    if (parent != PAGE_NONE)
        c->pages[parent].n_children++;
}

void kvcache_publish(struct kvcache *c, uint32_t page)
{
    assert(c->pages[page].state == KV_PAGE_PENDING);
    c->pages[page].state = KV_PAGE_NODE;
}

void kvcache_abandon(struct kvcache *c, uint32_t page)
{
    assert(c->pages[page].state == KV_PAGE_PENDING && c->pages[page].n_children == 0);
    unlink_node(c, page);
    push_free(c, page);
}

void kvcache_check(const struct kvcache *c)
{
    uint32_t n_free = 0, n_idle = 0;
    for (uint32_t i = c->free_first; i != PAGE_NONE; i = c->pages[i].next, n_free++)
        assert(c->pages[i].state == KV_PAGE_FREE && n_free < c->n_pages);
    for (uint32_t i = c->idle_oldest; i != PAGE_NONE; i = c->pages[i].next, n_idle++)
        assert(c->pages[i].state == KV_PAGE_NODE && c->pages[i].refs == 0 && n_idle < c->n_pages);
    assert(n_free == c->n_free && n_idle == c->n_idle);
    assert(c->idle_oldest == PAGE_NONE || c->pages[c->idle_oldest].n_children == 0);
    for (uint32_t i = 0; i < c->n_pages; i++) {
        const struct kv_page *p = &c->pages[i];
        if (p->state != KV_PAGE_NODE && p->state != KV_PAGE_PENDING)
            continue;
        assert(kvcache_find(c, p->parent, p->tokens) == i);
        assert(p->parent == PAGE_NONE || c->pages[p->parent].state >= KV_PAGE_PENDING);
        assert(p->parent == PAGE_NONE || c->pages[p->parent].refs >= (p->refs > 0));
    }
    (void)n_free;
    (void)n_idle;
}
