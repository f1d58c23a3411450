// SPDX-License-Identifier: MIT
// Each place where some special token begins enters a heap with its longest one; popped longest first, a
// place is taken, or dropped when it lies in a taken range, or comes back with the longest token that ends
// before the next taken range. In a run of a million spaces each place is looked at once or twice, however
// many tokens are runs of spaces.
#include "text/specials.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/rankheap.h"
#include "text/tokenizer.h"

struct special_node {
    uint32_t child, sibling; // 0: none
    uint32_t id;             // TOKEN_NONE: no token ends here
    unsigned char byte;
    bool always;
};

static uint32_t node_new(struct specials *s, unsigned char byte)
{
    if (s->n == s->capacity) {
        s->capacity = MAX(64u, s->capacity * 2);
        s->nodes = xrealloc(s->nodes, s->capacity * sizeof *s->nodes);
    }
    s->nodes[s->n] = (struct special_node){.id = TOKEN_NONE, .byte = byte};
    return s->n++;
}

void specials_init(struct specials *s)
{
    *s = (struct specials){0};
    node_new(s, 0);
}

void specials_fini(struct specials *s)
{
    free(s->nodes);
    *s = (struct specials){0};
}

static uint32_t child_of(const struct specials *s, uint32_t node, unsigned char byte)
{
    if (node == 0)
        return s->first[byte];
    uint32_t child = s->nodes[node].child;
    while (child != 0 && s->nodes[child].byte != byte)
        child = s->nodes[child].sibling;
    return child;
}

static uint32_t child_make(struct specials *s, uint32_t node, unsigned char byte)
{
    uint32_t child = child_of(s, node, byte);
    if (child != 0)
        return child;
    child = node_new(s, byte);
    if (node == 0) {
        s->first[byte] = child;
    } else {
        s->nodes[child].sibling = s->nodes[node].child;
        s->nodes[node].child = child;
    }
    return child;
}

void specials_add(struct specials *s, struct slice text, uint32_t id, bool always)
{
    uint32_t node = 0;
    if (text.n == 0)
        return;
    for (size_t i = 0; i < text.n; i++)
        node = child_make(s, node, (unsigned char)text.at[i]);
    s->nodes[node].id = id;
    s->nodes[node].always = always;
}

// The longest token at the beginning of text; 0: none.
static uint32_t longest(const struct specials *s, struct slice text, bool with_control, uint32_t *id)
{
    uint32_t node = 0, found = 0;
    for (size_t i = 0; i < text.n; i++) {
        node = child_of(s, node, (unsigned char)text.at[i]);
        if (node == 0)
            break;
        const struct special_node *at = &s->nodes[node];
        if (at->id == TOKEN_NONE || !(at->always || with_control))
            continue;
        found = (uint32_t)i + 1;
        *id = at->id;
    }
    return found;
}

static void enter(struct rankheap *heap, const struct specials *s, struct slice text, uint32_t place,
                  bool with_control)
{
    uint32_t id = 0, n = longest(s, slice_make(text.at + place, text.n - place), with_control, &id);
    if (n > 0)
        rankheap_push(heap, (struct rankheap_entry){UINT32_MAX - n, place, n, id});
}

static int by_place(const void *a, const void *b)
{
    const struct special_hit *x = a, *y = b;
    return (x->at > y->at) - (x->at < y->at);
}

// Takes places off the heap; `taken` has one byte for each byte of the text. Returns the number of hits.
static uint32_t resolve(struct rankheap *heap, const struct specials *s, struct slice text, bool with_control,
                        char *taken, struct special_hit *hits)
{
    uint32_t n_hits = 0;
    while (heap->n > 0) {
        struct rankheap_entry e = rankheap_pop(heap);
        const char *blocked = memchr(taken + e.place, 1, e.size);
        if (blocked == taken + e.place)
            continue;
        if (blocked != NULL) {
            struct slice until = slice_make(text.at, (size_t)(blocked - taken));
            enter(heap, s, until, e.place, with_control);
            continue;
        }
        memset(taken + e.place, 1, e.size);
        hits[n_hits++] = (struct special_hit){e.place, e.size, e.value};
    }
    return n_hits;
}

uint32_t specials_find(const struct specials *s, struct slice text, bool with_control,
                       struct special_hit **hits)
{
    struct rankheap heap = {0};
    uint32_t n_hits = 0;
    *hits = NULL;
    for (size_t i = 0; i < text.n; i++)
        if (s->first[(unsigned char)text.at[i]] != 0)
            enter(&heap, s, text, (uint32_t)i, with_control);
    if (heap.n > 0) {
        char *taken = xcalloc(text.n, 1);
        *hits = xmalloc(heap.n * sizeof **hits);
        n_hits = resolve(&heap, s, text, with_control, taken, *hits);
        qsort(*hits, n_hits, sizeof **hits, by_place);
        free(taken);
    }
    rankheap_fini(&heap);
    return n_hits;
}
