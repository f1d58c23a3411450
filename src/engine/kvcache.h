// SPDX-License-Identifier: MIT
// The pages of one model's KV pool and the prefix tree over them. A page is free, private to one sequence, or
// a node of the tree: full, immutable, keyed by its parent and its exact 16 token ids (compared, not only
// hashed), counted by the sequences that use it. A node starts pending (its owner is computing it: nobody
// else may use it yet) and is published when done. Published nodes without users stay for reuse and are
// evicted, oldest leaf first, when pages run out.
//
// One thread. Constant work per call; nothing is allocated after kvcache_init().
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "model/decoder.h"

#define PAGE_NONE UINT32_MAX

struct kvcache {
    struct kv_layout layout;
    char *memory;
    size_t memory_bytes;
    uint32_t n_pages, n_free, n_idle; // idle: nodes without users, evictable
    struct kv_page *pages;
    uint32_t *buckets; // hash of (parent, tokens) to the first node of a chain
    uint32_t n_buckets;
    uint32_t free_first, idle_oldest, idle_newest; // lists through kv_page.next / prev
};

enum kv_page_state { KV_PAGE_FREE, KV_PAGE_PRIVATE, KV_PAGE_PENDING, KV_PAGE_NODE };

struct kv_page {
    enum kv_page_state state;
    uint32_t refs, parent, n_children;
    uint32_t bucket_next;
    uint32_t next, prev;
    uint32_t tokens[KV_PAGE_TOKENS];
};

size_t kvcache_bytes_per_page(void); // of its own tables, beside the page itself
int kvcache_init(struct kvcache *c, const struct kv_layout *layout, uint32_t n_pages, struct err *err);
void kvcache_fini(struct kvcache *c);

// A private page, evicting an unused node if need be; PAGE_NONE when every page is in use.
uint32_t kvcache_alloc(struct kvcache *c);
void kvcache_free(struct kvcache *c, uint32_t page); // private
// The child of `parent` (PAGE_NONE: the root) with exactly these tokens, pending or published; PAGE_NONE:
// there is none.
uint32_t kvcache_find(const struct kvcache *c, uint32_t parent, const uint32_t *tokens);
bool kvcache_is_published(const struct kvcache *c, uint32_t page);
void kvcache_ref(struct kvcache *c, uint32_t page);   // a published node gets a user
void kvcache_unref(struct kvcache *c, uint32_t page); // release a chain from its end to its start
// A private page becomes a pending node under `parent`, which has a user or is PAGE_NONE. No such child
// exists.
void kvcache_claim(struct kvcache *c, uint32_t page, uint32_t parent, const uint32_t *tokens);
void kvcache_publish(struct kvcache *c,
                     uint32_t page); // pending: its keys and values are computed; its owner is its first user
void kvcache_abandon(struct kvcache *c, uint32_t page); // pending: leaves the tree and is free
void kvcache_check(const struct kvcache *c);            // asserts every invariant; for tests and debug builds
