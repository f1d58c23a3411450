// SPDX-License-Identifier: MIT
// Each place where some special token begins is given its longest one. Lengths are then gone through from the
// longest down: a place is taken, or dropped when it lies in a taken range, or given the longest token that
// ends before the next taken range, which is shorter. In a run of a million spaces each place is looked at
// once or twice, however many tokens are runs of spaces.
#include "text/specials.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
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
    if (text.n == 0 || text.n > SPECIAL_MAX_BYTES)
        return;
    for (size_t i = 0; i < text.n; i++)
        node = child_make(s, node, (unsigned char)text.at[i]);
    s->nodes[node].id = id;
    s->nodes[node].always = always;
}

// The longest token at the beginning of text; 0: none.
static size_t longest(const struct specials *s, struct slice text, bool with_control, uint32_t *id)
{
    uint32_t node = 0;
    size_t found = 0;
    for (size_t i = 0; i < text.n; i++) {
        node = child_of(s, node, (unsigned char)text.at[i]);
        if (node == 0)
            break;
        const struct special_node *at = &s->nodes[node];
        if (at->id == TOKEN_NONE || !(at->always || with_control))
            continue;
        found = i + 1;
        *id = at->id;
    }
    return found;
}

// Gives `place` the longest token that ends at or before `end`.
static void enter(struct special_scan *scan, size_t place, size_t end, size_t *n_by_length)
{
    uint32_t id;
    struct slice rest = slice_make(scan->text.at + place, end - place);
    size_t n = longest(scan->specials, rest, scan->with_control, &id);
    if (n > 0 && scan->lengths == NULL)
        scan->lengths = xcalloc(scan->text.n, 1);
    if (scan->lengths != NULL)
        scan->lengths[place] = (uint8_t)n;
    n_by_length[n]++;
}

// Decides the places whose token is of `length`. `taken` has one byte for each byte of the text.
static void resolve_length(struct special_scan *scan, size_t length, char *taken, size_t *n_by_length)
{
    size_t place = 0;
    for (; n_by_length[length] > 0; n_by_length[length]--, place++) {
        const uint8_t *found = memchr(scan->lengths + place, (int)length, scan->text.n - place);
        if (found == NULL)
            break;
        place = (size_t)(found - scan->lengths);
        const char *blocked = memchr(taken + place, 1, length);
        if (blocked == NULL) {
            memset(taken + place, 1, length);
            continue;
        }
        scan->lengths[place] = 0;
        if (blocked > taken + place)
            enter(scan, place, (size_t)(blocked - taken), n_by_length);
    }
}

void specials_begin(struct special_scan *scan, const struct specials *s, struct slice text, bool with_control)
{
    size_t n_by_length[SPECIAL_MAX_BYTES + 1] = {0};
    *scan = (struct special_scan){.specials = s, .text = text, .with_control = with_control};
    for (size_t i = 0; i < text.n; i++)
        if (s->first[(unsigned char)text.at[i]] != 0)
            enter(scan, i, text.n, n_by_length);
    if (scan->lengths == NULL)
        return;
    char *taken = xcalloc(text.n, 1);
    for (size_t length = SPECIAL_MAX_BYTES; length > 0; length--)
        resolve_length(scan, length, taken, n_by_length);
    free(taken);
}

bool specials_next(struct special_scan *scan, struct special_hit *hit)
{
    if (scan->lengths == NULL)
        return false;
    while (scan->at < scan->text.n && scan->lengths[scan->at] == 0)
        scan->at++;
    if (scan->at == scan->text.n)
        return false;
    hit->at = scan->at;
    hit->n = scan->lengths[scan->at];
    longest(scan->specials, slice_make(scan->text.at + hit->at, hit->n), scan->with_control, &hit->id);
    scan->at += hit->n;
    return true;
}

void specials_end(struct special_scan *scan)
{
    free(scan->lengths);
    scan->lengths = NULL;
}
