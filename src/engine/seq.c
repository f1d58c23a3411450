// SPDX-License-Identifier: MIT
#include "engine/seq.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct seq *seq_new(const struct request *r)
{
    struct seq *s = xcalloc(1, sizeof *s);
    list_init(&s->node);
    s->request_id = r->id;
    s->task = r->task;
    s->params = r->params;
    s->stops = xcalloc(r->n_stops, sizeof *s->stops);
    s->n_stops = r->n_stops;
    for (size_t i = 0; i < r->n_stops; i++)
        s->stops[i] = xstrdup(r->stops[i]);
    s->biases = xcalloc(r->n_biases, sizeof *s->biases);
    s->n_biases = r->n_biases;
    if (r->n_biases > 0)
        memcpy(s->biases, r->biases, r->n_biases * sizeof *s->biases);
    draft_init(&s->draft);
    output_init(&s->output, s->stops, s->n_stops, r->params.logprobs);
    return s;
}

void seq_free(struct seq *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->n_stops; i++)
        free(s->stops[i]);
    free(s->stops);
    free(s->biases);
    free(s->pooled);
    tokens_fini(&s->tokens);
    free(s->pages);
    output_fini(&s->output);
    matcher_free(s->matcher);
    constraint_free(s->constraint);
    strbuf_fini(&s->rendered);
    free(s);
}

void seq_set_limit(struct seq *s, uint32_t limit)
{
    s->limit = limit;
    s->pages = xcalloc((limit + KV_PAGE_TOKENS - 1) / KV_PAGE_TOKENS, sizeof *s->pages);
}

static uint32_t last_node(const struct seq *s)
{
    return s->n_nodes > 0 ? s->pages[s->n_nodes - 1] : PAGE_NONE;
}

bool seq_adopt(struct seq *s, struct kvcache *c)
{
    while (s->embedding == NULL && s->n_computed % KV_PAGE_TOKENS == 0 &&
           s->n_computed + KV_PAGE_TOKENS < s->tokens.n && s->n_pages == s->n_computed / KV_PAGE_TOKENS &&
           s->n_published == s->n_pages) {
        uint32_t page = kvcache_find(c, last_node(s), s->tokens.at + s->n_computed);
        if (page == PAGE_NONE)
            return false;
        if (!kvcache_is_published(c, page))
            return true;
        kvcache_ref(c, page);
        s->pages[s->n_pages++] = page;
        s->n_nodes = s->n_published = s->n_pages;
        s->n_computed += KV_PAGE_TOKENS;
        if (s->n_generated == 0 && !s->was_preempted)
            s->n_cached += KV_PAGE_TOKENS;
    }
    return false;
}

// All tokens of the page are known and every page before it is a node: it can be a node itself.
static bool can_be_node(const struct seq *s, uint32_t page_i)
{
    return s->embedding == NULL && s->n_nodes == page_i &&
           ((size_t)page_i + 1) * KV_PAGE_TOKENS <= s->tokens.n;
}

enum seq_page seq_next_page(const struct seq *s, const struct kvcache *c)
{
    uint32_t position = s->n_computed + s->n_columns, page_i = position / KV_PAGE_TOKENS;
    if (page_i < s->n_pages)
        return SEQ_PAGE_READY;
    // The page with the last token is always computed: its logits are needed.
    bool may_adopt = can_be_node(s, page_i) && position + KV_PAGE_TOKENS < s->tokens.n;
    if (may_adopt && kvcache_find(c, last_node(s), s->tokens.at + position) != PAGE_NONE)
        return SEQ_PAGE_STOP;
    return SEQ_PAGE_NEEDED;
}

void seq_add_page(struct seq *s, struct kvcache *c, uint32_t page)
{
    uint32_t page_i = s->n_pages;
    const uint32_t *tokens = s->tokens.at + (size_t)page_i * KV_PAGE_TOKENS;
    if (can_be_node(s, page_i) && kvcache_find(c, last_node(s), tokens) == PAGE_NONE) {
        kvcache_claim(c, page, last_node(s), tokens);
        s->n_nodes++;
    }
    s->pages[s->n_pages++] = page;
}

void seq_publish(struct seq *s, struct kvcache *c)
{
    while (s->n_published < s->n_nodes && (s->n_published + 1) * KV_PAGE_TOKENS <= s->n_computed)
        kvcache_publish(c, s->pages[s->n_published++]);
    if (s->embedding != NULL)
        return;
    // Private pages that became full: into the tree, or dropped in favour of the same page computed by
    // another.
    while (s->n_published == s->n_nodes && s->n_nodes < s->n_pages &&
           (s->n_nodes + 1) * KV_PAGE_TOKENS <= s->n_computed) {
        const uint32_t *tokens = s->tokens.at + (size_t)s->n_nodes * KV_PAGE_TOKENS;
        uint32_t mine = s->pages[s->n_nodes], other = kvcache_find(c, last_node(s), tokens);
        if (other == PAGE_NONE) {
            kvcache_claim(c, mine, last_node(s), tokens);
            kvcache_publish(c, mine);
        } else if (kvcache_is_published(c, other)) {
            kvcache_ref(c, other);
            kvcache_free(c, mine);
            s->pages[s->n_nodes] = other;
        } else {
            return;
        }
        s->n_published = ++s->n_nodes;
    }
}

void seq_release_pages(struct seq *s, struct kvcache *c)
{
    while (s->n_pages > 0) {
        uint32_t i = --s->n_pages;
        if (i >= s->n_nodes)
            kvcache_free(c, s->pages[i]);
        else if (i >= s->n_published)
            kvcache_abandon(c, s->pages[i]);
        else
            kvcache_unref(c, s->pages[i]);
    }
    s->n_nodes = s->n_published = s->n_computed = 0;
}
