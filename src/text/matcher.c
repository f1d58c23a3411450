// SPDX-License-Identifier: MIT
// A place is a set of items: a state that reads a byte, and the frame of the call it stands in. Frames (where
// a call goes on, and its own frame) and sets are interned: equal ones have equal ids, so what follows a set
// by a byte can be kept in a row of 256 ids, and the tokens that may follow it as bits. The tables are thrown
// away when they have grown past a limit, between two calls; only the present place is carried over.
#include "text/matcher.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum {
    NO_SET = 0,           // nothing may come and it may not end
    BOTTOM = 0,           // the frame below the first call
    UNKNOWN = UINT32_MAX, // in a row: not worked out yet
    MAX_ITEMS = 2048,     // of a set: where more ways are open, none is taken
    MAX_ROWS = 512,
    MAX_MASKS = 16,
    KEEP_SETS = 4096, // more of these are not kept from one call to the next
    KEEP_FRAMES = 16384,
    KEEP_ITEMS = 65536,
};

struct frame {
    uint32_t state, count, parent, depth; // count: of a repeat that is gone on with
};

struct item {
    uint32_t state, frame;
};

struct set {
    uint32_t first, n, hash, row, mask; // row, mask: 1 + index; 0: none
    bool may_end;
};

// A state that is reached without reading, on its way to the items.
struct reached {
    uint32_t state, count, frame, round;
};

struct mask {
    uint32_t set;
    uint64_t *bits;
};

// Open addressing over ids kept elsewhere; 0 is empty, so id + 1 is stored.
struct index {
    uint32_t *slots;
    uint32_t capacity, count;
};

struct matcher {
    const struct grammar *grammar;
    uint32_t place;
    struct frame *frames;
    struct item *items;
    struct set *sets;
    uint32_t n_frames, n_items, n_sets, frame_capacity, item_capacity, set_capacity;
    struct index frame_index, set_index;
    uint32_t *rows, n_rows, row_capacity;
    struct mask masks[MAX_MASKS];
    uint32_t next_mask;
    // of the step being worked out
    struct reached *seen, *work;
    uint32_t seen_capacity, n_seen, n_work, work_capacity, round;
    struct item *found;
    uint32_t n_found, found_capacity;
    bool ends, is_overfull;
};

static uint32_t mix(uint32_t h, uint32_t x)
{
    h = (h ^ x) * 0x9E3779B1u;
    return h ^ (h >> 15);
}

// Makes room for one more; existing entries are put in anew by the caller when it returns true.
static bool index_grow(struct index *x)
{
    if (2 * (x->count + 1) <= x->capacity)
        return false;
    x->capacity = MAX(64, x->capacity * 2);
    free(x->slots);
    x->slots = xcalloc(x->capacity, sizeof *x->slots);
    x->count = 0;
    return true;
}

static void index_put(struct index *x, uint32_t hash, uint32_t id)
{
    uint32_t at = hash & (x->capacity - 1);
    while (x->slots[at] != 0)
        at = (at + 1) & (x->capacity - 1);
    x->slots[at] = id + 1;
    x->count++;
}

// ---- Frames ----

static uint32_t frame_hash(const struct frame *f)
{
    return mix(mix(mix(17, f->state), f->count), f->parent);
}

static uint32_t intern_frame(struct matcher *m, struct frame f)
{
    if (index_grow(&m->frame_index))
        for (uint32_t i = 1; i < m->n_frames; i++)
            index_put(&m->frame_index, frame_hash(&m->frames[i]), i);
    uint32_t hash = frame_hash(&f), mask = m->frame_index.capacity - 1;
    for (uint32_t at = hash & mask; m->frame_index.slots[at] != 0; at = (at + 1) & mask) {
        const struct frame *old = &m->frames[m->frame_index.slots[at] - 1];
        if (old->state == f.state && old->count == f.count && old->parent == f.parent)
            return m->frame_index.slots[at] - 1;
    }
    if (m->n_frames == m->frame_capacity) {
        m->frame_capacity = MAX(64, m->frame_capacity * 2);
        m->frames = xrealloc(m->frames, m->frame_capacity * sizeof *m->frames);
    }
    m->frames[m->n_frames] = f;
    index_put(&m->frame_index, hash, m->n_frames);
    return m->n_frames++;
}

// ---- Sets ----

static int by_state(const void *va, const void *vb)
{
    const struct item *a = va, *b = vb;
    if (a->state != b->state)
        return a->state < b->state ? -1 : 1;
    return (a->frame > b->frame) - (a->frame < b->frame);
}

// The set of the items found.
static uint32_t intern_set(struct matcher *m)
{
    uint32_t hash = m->ends ? 1 : 0, n = m->n_found;
    if ((n == 0 && !m->ends) || m->is_overfull)
        return NO_SET;
    if (n > 1)
        qsort(m->found, n, sizeof *m->found, by_state);
    for (uint32_t i = 0; i < n; i++)
        hash = mix(mix(hash, m->found[i].state), m->found[i].frame);
    if (index_grow(&m->set_index))
        for (uint32_t i = 1; i < m->n_sets; i++)
            index_put(&m->set_index, m->sets[i].hash, i);
    uint32_t mask = m->set_index.capacity - 1;
    for (uint32_t at = hash & mask; m->set_index.slots[at] != 0; at = (at + 1) & mask) {
        uint32_t id = m->set_index.slots[at] - 1;
        const struct set *s = &m->sets[id];
        if (s->hash == hash && s->n == n && s->may_end == m->ends &&
            (n == 0 || memcmp(m->items + s->first, m->found, n * sizeof *m->found) == 0))
            return id;
    }
    if (m->n_items + n > m->item_capacity) {
        m->item_capacity = MAX(256, (m->n_items + n) * 2);
        m->items = xrealloc(m->items, m->item_capacity * sizeof *m->items);
    }
    if (m->n_sets == m->set_capacity) {
        m->set_capacity = MAX(64, m->set_capacity * 2);
        m->sets = xrealloc(m->sets, m->set_capacity * sizeof *m->sets);
    }
    if (n > 0)
        memcpy(m->items + m->n_items, m->found, n * sizeof *m->found);
    m->sets[m->n_sets] = (struct set){.first = m->n_items, .n = n, .hash = hash, .may_end = m->ends};
    m->n_items += n;
    index_put(&m->set_index, hash, m->n_sets);
    return m->n_sets++;
}

// ---- One step ----

static uint32_t reached_hash(const struct reached *r)
{
    return mix(mix(mix(29, r->state), r->count), r->frame);
}

static void grow_seen(struct matcher *m)
{
    struct reached *old = m->seen;
    uint32_t n = m->seen_capacity;
    m->seen_capacity = MAX(64, n * 2);
    m->seen = xcalloc(m->seen_capacity, sizeof *m->seen);
    for (uint32_t i = 0; i < n; i++) {
        if (old[i].round != m->round)
            continue;
        uint32_t at = reached_hash(&old[i]) & (m->seen_capacity - 1);
        while (m->seen[at].round == m->round)
            at = (at + 1) & (m->seen_capacity - 1);
        m->seen[at] = old[i];
    }
    free(old);
}

// Notes a state that is reached, once a step. What needs more calls than are allowed is not reached.
static void reach(struct matcher *m, uint32_t state, uint32_t count, uint32_t frame)
{
    struct reached r = {state, count, frame, m->round};
    if (m->frames[frame].depth + m->grammar->height[state] > GRAMMAR_MAX_DEPTH)
        return;
    if (2 * (m->n_seen + 1) > m->seen_capacity)
        grow_seen(m);
    uint32_t at = reached_hash(&r) & (m->seen_capacity - 1);
    for (; m->seen[at].round == m->round; at = (at + 1) & (m->seen_capacity - 1))
        if (m->seen[at].state == state && m->seen[at].count == count && m->seen[at].frame == frame)
            return;
    m->seen[at] = r;
    m->n_seen++;
    if (m->n_work == m->work_capacity) {
        m->work_capacity = MAX(64, m->work_capacity * 2);
        m->work = xrealloc(m->work, m->work_capacity * sizeof *m->work);
    }
    m->work[m->n_work++] = r;
}

static void call(struct matcher *m, uint32_t rule, struct frame f)
{
    const struct grammar *g = m->grammar;
    f.depth = m->frames[f.parent].depth + 1;
    if (f.depth + g->height[rule] <= GRAMMAR_MAX_DEPTH &&
        f.depth - 1u + g->height[f.state] <= GRAMMAR_MAX_DEPTH)
        reach(m, rule, 0, intern_frame(m, f));
}

static void repeat(struct matcher *m, const struct grammar_edge *e, const struct reached *r)
{
    const struct grammar_repeat *c = &m->grammar->repeats[e->rule];
    // Without an upper limit only whether the lower one is met counts.
    uint32_t done = r->count, next = c->max == GRAMMAR_UNLIMITED ? MIN(done + 1, c->min) : done + 1;
    if (done < c->max)
        call(m, c->rule, (struct frame){.state = e->from, .count = next, .parent = r->frame});
    if (done >= c->min)
        reach(m, e->to, 0, r->frame);
}

static void find(struct matcher *m, uint32_t state, uint32_t frame)
{
    m->is_overfull |= m->n_found == MAX_ITEMS;
    if (m->is_overfull)
        return;
    if (m->n_found == m->found_capacity) {
        m->found_capacity = MAX(64, m->found_capacity * 2);
        m->found = xrealloc(m->found, m->found_capacity * sizeof *m->found);
    }
    m->found[m->n_found++] = (struct item){state, frame};
}

// Everything that is reached without reading, from what is in `work`.
static void follow(struct matcher *m)
{
    const struct grammar *g = m->grammar;
    while (m->n_work > 0) {
        struct reached r = m->work[--m->n_work];
        bool reads = false;
        if (r.state == GRAMMAR_END && r.frame == BOTTOM)
            m->ends = true;
        else if (r.state == GRAMMAR_END)
            reach(m, m->frames[r.frame].state, m->frames[r.frame].count, m->frames[r.frame].parent);
        for (uint32_t i = g->first[r.state]; i < g->first[r.state + 1]; i++) {
            const struct grammar_edge *e = &g->edges[i];
            if (e->kind == EDGE_BYTES)
                reads = true;
            else if (e->kind == EDGE_JUMP)
                reach(m, e->to, 0, r.frame);
            else if (e->kind == EDGE_CALL)
                call(m, e->rule, (struct frame){.state = e->to, .parent = r.frame});
            else
                repeat(m, e, &r);
        }
        if (reads)
            find(m, r.state, r.frame);
    }
}

static void begin_step(struct matcher *m)
{
    m->n_seen = m->n_work = m->n_found = 0;
    m->ends = m->is_overfull = false;
    if (++m->round == 0) { // the numbers of rounds begin again: forget all
        if (m->seen_capacity > 0)
            memset(m->seen, 0, m->seen_capacity * sizeof *m->seen);
        m->round = 1;
    }
}

static uint32_t work_out(struct matcher *m, uint32_t set, uint8_t byte)
{
    const struct grammar *g = m->grammar;
    struct set s = m->sets[set];
    begin_step(m);
    for (uint32_t i = 0; i < s.n; i++) {
        struct item item = m->items[s.first + i];
        for (uint32_t k = g->first[item.state]; k < g->first[item.state + 1]; k++) {
            const struct grammar_edge *e = &g->edges[k];
            if (e->kind == EDGE_BYTES && e->lo <= byte && byte <= e->hi)
                reach(m, e->to, 0, item.frame);
        }
    }
    follow(m);
    return intern_set(m);
}

static bool give_row(struct matcher *m, uint32_t set)
{
    if (m->n_rows == MAX_ROWS)
        return false;
    if (m->n_rows == m->row_capacity) {
        m->row_capacity = MAX(16, m->row_capacity * 2);
        m->rows = xrealloc(m->rows, (size_t)m->row_capacity * 256 * sizeof *m->rows);
    }
    memset(m->rows + (size_t)m->n_rows * 256, 0xFF, 256 * sizeof *m->rows);
    m->sets[set].row = ++m->n_rows;
    return true;
}

static inline uint32_t step(struct matcher *m, uint32_t set, uint8_t byte)
{
    if (set == NO_SET || (m->sets[set].row == 0 && !give_row(m, set)))
        return set == NO_SET ? NO_SET : work_out(m, set, byte);
    size_t at = (size_t)(m->sets[set].row - 1) * 256 + byte;
    uint32_t next = m->rows[at];
    if (next != UNKNOWN)
        return next;
    next = work_out(m, set, byte);
    m->rows[at] = next;
    return next;
}

static uint32_t walk(struct matcher *m, uint32_t set, struct slice bytes)
{
    for (size_t i = 0; i < bytes.n && set != NO_SET; i++)
        set = step(m, set, (uint8_t)bytes.at[i]);
    return set;
}

// ---- The tables ----

static void drop_tables(struct matcher *m)
{
    m->n_frames = m->n_sets = 1; // BOTTOM and NO_SET
    m->n_items = m->n_rows = 0;
    m->frame_index.count = m->set_index.count = 0;
    if (m->frame_index.capacity > 0)
        memset(m->frame_index.slots, 0, m->frame_index.capacity * sizeof(uint32_t));
    if (m->set_index.capacity > 0)
        memset(m->set_index.slots, 0, m->set_index.capacity * sizeof(uint32_t));
    for (uint32_t i = 0; i < MAX_MASKS; i++)
        m->masks[i].set = NO_SET;
}

// A frame of the old table in the new one: from the bottom up.
static uint32_t carry_frame(struct matcher *m, const struct frame *old, uint32_t frame)
{
    uint32_t chain[GRAMMAR_MAX_DEPTH + 1], n = 0, parent = BOTTOM;
    for (; frame != BOTTOM; frame = old[frame].parent)
        chain[n++] = frame;
    while (n > 0) {
        struct frame f = old[chain[--n]];
        f.parent = parent;
        parent = intern_frame(m, f);
    }
    return parent;
}

static void trim(struct matcher *m)
{
    if (m->n_sets <= KEEP_SETS && m->n_frames <= KEEP_FRAMES && m->n_items <= KEEP_ITEMS &&
        m->n_rows < MAX_ROWS)
        return;
    struct frame *old = m->frames;
    struct set place = m->sets[m->place];
    struct item *items = xcalloc(place.n + 1ul, sizeof *items);
    if (place.n > 0)
        memcpy(items, m->items + place.first, place.n * sizeof *items);
    m->frames = xcalloc(m->frame_capacity, sizeof *m->frames);
    drop_tables(m);
    begin_step(m);
    for (uint32_t i = 0; i < place.n; i++)
        find(m, items[i].state, carry_frame(m, old, items[i].frame));
    m->ends = place.may_end;
    m->place = intern_set(m);
    free(items);
    free(old);
}

struct matcher *matcher_new(const struct grammar *g)
{
    struct matcher *m = xcalloc(1, sizeof *m);
    m->grammar = g;
    m->frame_capacity = m->set_capacity = 64;
    m->frames = xcalloc(m->frame_capacity, sizeof *m->frames);
    m->sets = xcalloc(m->set_capacity, sizeof *m->sets);
    drop_tables(m);
    begin_step(m);
    reach(m, g->root, 0, BOTTOM);
    follow(m);
    m->place = intern_set(m);
    return m;
}

void matcher_free(struct matcher *m)
{
    if (m == NULL)
        return;
    for (uint32_t i = 0; i < MAX_MASKS; i++)
        free(m->masks[i].bits);
    free(m->frames);
    free(m->items);
    free(m->sets);
    free(m->frame_index.slots);
    free(m->set_index.slots);
    free(m->rows);
    free(m->seen);
    free(m->work);
    free(m->found);
    free(m);
}

bool matcher_may_end(const struct matcher *m)
{
    return m->sets[m->place].may_end;
}

bool matcher_must_end(const struct matcher *m)
{
    return m->sets[m->place].may_end && m->sets[m->place].n == 0;
}

bool matcher_takes(struct matcher *m, struct slice bytes)
{
    trim(m);
    return walk(m, m->place, bytes) != NO_SET;
}

bool matcher_push(struct matcher *m, struct slice bytes)
{
    trim(m);
    uint32_t next = walk(m, m->place, bytes);
    if (next != NO_SET)
        m->place = next;
    return next != NO_SET;
}

// ---- Tokens ----

static uint32_t walk_token(struct matcher *m, const struct tokenizer *t, uint32_t id)
{
    struct slice text = tokenizer_piece(t, id, false);
    trim(m);
    if (tokenizer_is_eog(t, id))
        return NO_SET;
    if (text.n > 0)
        return memchr(text.at, GRAMMAR_CONTROL, text.n) != NULL ? NO_SET : walk(m, m->place, text);
    text = tokenizer_piece(t, id, true);
    return text.n > 0 ? walk(m, step(m, m->place, GRAMMAR_CONTROL), text) : NO_SET;
}

bool matcher_takes_token(struct matcher *m, const struct tokenizer *t, uint32_t id)
{
    return walk_token(m, t, id) != NO_SET;
}

bool matcher_push_token(struct matcher *m, const struct tokenizer *t, uint32_t id)
{
    uint32_t next = walk_token(m, t, id);
    if (next != NO_SET)
        m->place = next;
    return next != NO_SET;
}

static void fill_mask(struct matcher *m, const struct pieces *p, uint64_t *bits)
{
    uint32_t places[PIECE_MAX_BYTES + 1];
    const unsigned char *bytes = p->bytes;
    uint32_t failed = UINT32_MAX; // bytes of the beginning that was read before one may not come
    memset(bits, 0, ((size_t)p->n_vocab + 63) / 64 * sizeof *bits);
    places[0] = m->place;
    for (uint32_t i = 0; i < p->n; i++) {
        uint32_t at = p->shared[i], n = p->fresh[i];
        const unsigned char *fresh = bytes;
        bytes += n;
        if (at > failed)
            continue;
        failed = UINT32_MAX;
        for (uint32_t k = 0; k < n; k++, at++) {
            places[at + 1] = step(m, places[at], fresh[k]);
            if (places[at + 1] == NO_SET) {
                failed = at;
                break;
            }
        }
        if (failed == UINT32_MAX)
            bits[p->ids[i] / 64] |= 1ull << (p->ids[i] % 64);
    }
}

const uint64_t *matcher_mask(struct matcher *m, const struct pieces *p)
{
    trim(m);
    uint32_t kept = m->sets[m->place].mask;
    if (kept > 0 && m->masks[kept - 1].set == m->place)
        return m->masks[kept - 1].bits;
    uint32_t slot = m->next_mask++ % MAX_MASKS;
    struct mask *mask = &m->masks[slot];
    if (mask->bits == NULL)
        mask->bits = xcalloc(((size_t)p->n_vocab + 63) / 64, sizeof *mask->bits);
    fill_mask(m, p, mask->bits);
    mask->set = m->place;
    m->sets[m->place].mask = slot + 1;
    return mask->bits;
}
