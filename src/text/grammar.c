// SPDX-License-Identifier: MIT
// Building, and the two checks that make a grammar safe to walk: no rule calls itself without reading (the
// walk of calls would not end), and how far the end of a rule is away from each of its states, found as
// Knuth's generalisation of Dijkstra's algorithm does (a call is as far as the farther of its two parts).
#include "text/grammar.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { NO_HEIGHT = UINT16_MAX };

struct grammar *grammar_new(void)
{
    struct grammar *g = xcalloc(1, sizeof *g);
    g->n_states = 1; // GRAMMAR_END
    return g;
}

void grammar_free(struct grammar *g)
{
    if (g == NULL)
        return;
    free(g->edges);
    free(g->repeats);
    free(g->first);
    free(g->height);
    free(g);
}

uint32_t grammar_add_state(struct grammar *g)
{
    if (g->n_states == GRAMMAR_MAX_STATES) {
        g->is_full = true;
        return g->n_states - 1;
    }
    return g->n_states++;
}

static void add_edge(struct grammar *g, struct grammar_edge edge)
{
    if (g->n_edges == GRAMMAR_MAX_EDGES)
        g->is_full = true;
    if (g->is_full)
        return;
    if (g->n_edges == g->edge_capacity) {
        g->edge_capacity = MAX(256, g->edge_capacity * 2);
        g->edges = xrealloc(g->edges, g->edge_capacity * sizeof *g->edges);
    }
    g->edges[g->n_edges++] = edge;
}

void grammar_add_bytes(struct grammar *g, uint32_t from, uint8_t lo, uint8_t hi, uint32_t to)
{
    add_edge(g, (struct grammar_edge){.from = from, .to = to, .lo = lo, .hi = hi, .kind = EDGE_BYTES});
}

void grammar_add_jump(struct grammar *g, uint32_t from, uint32_t to)
{
    add_edge(g, (struct grammar_edge){.from = from, .to = to, .kind = EDGE_JUMP});
}

void grammar_add_call(struct grammar *g, uint32_t from, uint32_t rule, uint32_t to)
{
    add_edge(g, (struct grammar_edge){.from = from, .to = to, .rule = rule, .kind = EDGE_CALL});
}

void grammar_add_repeat(struct grammar *g, uint32_t from, uint32_t rule, uint32_t min, uint32_t max,
                        uint32_t to)
{
    if (g->n_repeats == g->repeat_capacity) {
        g->repeat_capacity = MAX(16, g->repeat_capacity * 2);
        g->repeats = xrealloc(g->repeats, g->repeat_capacity * sizeof *g->repeats);
    }
    add_edge(g, (struct grammar_edge){.from = from, .to = to, .rule = g->n_repeats, .kind = EDGE_REPEAT});
    if (!g->is_full)
        g->repeats[g->n_repeats++] = (struct grammar_repeat){rule, min, max};
}

void grammar_add_text(struct grammar *g, uint32_t from, struct slice text, uint32_t to)
{
    if (text.n == 0)
        grammar_add_jump(g, from, to);
    for (size_t i = 0; i < text.n; i++) {
        uint32_t next = i + 1 < text.n ? grammar_add_state(g) : to;
        grammar_add_bytes(g, from, (uint8_t)text.at[i], (uint8_t)text.at[i], next);
        from = next;
    }
}

// ---- Finishing ----

static bool is_call(const struct grammar_edge *e)
{
    return e->kind == EDGE_CALL || e->kind == EDGE_REPEAT;
}

static uint32_t rule_of(const struct grammar *g, const struct grammar_edge *e)
{
    return e->kind == EDGE_REPEAT ? g->repeats[e->rule].rule : e->rule;
}

// A repeat that may do without its rule.
static bool is_optional(const struct grammar *g, const struct grammar_edge *e)
{
    return e->kind == EDGE_REPEAT && g->repeats[e->rule].min == 0;
}

// Edges in the order of their states, kept in order within one.
static void sort_edges(struct grammar *g)
{
    struct grammar_edge *sorted = xcalloc(g->n_edges + 1ul, sizeof *sorted);
    g->first = xcalloc(g->n_states + 2ul, sizeof *g->first);
    for (uint32_t i = 0; i < g->n_edges; i++)
        g->first[g->edges[i].from + 2]++;
    for (uint32_t q = 2; q < g->n_states + 2; q++)
        g->first[q] += g->first[q - 1];
    for (uint32_t i = 0; i < g->n_edges; i++) // first[q + 1] runs from the begin of q to its end
        sorted[g->first[g->edges[i].from + 1]++] = g->edges[i];
    free(g->edges);
    g->edges = sorted;
    g->edge_capacity = g->n_edges;
}

// For every state the edges that lead to it or call it.
struct reverse {
    uint32_t *first, *edges;
};

static struct reverse reverse_of(const struct grammar *g)
{
    struct reverse r = {xcalloc(g->n_states + 2ul, sizeof *r.first),
                        xcalloc(2ul * g->n_edges + 1, sizeof *r.edges)};
    for (uint32_t i = 0; i < g->n_edges; i++) {
        r.first[g->edges[i].to + 2]++;
        if (is_call(&g->edges[i]))
            r.first[rule_of(g, &g->edges[i]) + 2]++;
    }
    for (uint32_t q = 2; q < g->n_states + 2; q++)
        r.first[q] += r.first[q - 1];
    for (uint32_t i = 0; i < g->n_edges; i++) {
        r.edges[r.first[g->edges[i].to + 1]++] = i;
        if (is_call(&g->edges[i]))
            r.edges[r.first[rule_of(g, &g->edges[i]) + 1]++] = i;
    }
    return r;
}

static uint32_t edge_height(const struct grammar *g, const struct grammar_edge *e)
{
    uint32_t to = g->height[e->to];
    if (!is_call(e) || is_optional(g, e) || to == NO_HEIGHT)
        return to;
    uint32_t body = g->height[rule_of(g, e)];
    return body == NO_HEIGHT ? NO_HEIGHT : MAX(body + 1, to);
}

// States whose height is known and whose edges are not looked at yet, and those that are one higher.
struct settling {
    uint32_t *now, *next, n_now, n_next;
};

// What becomes known with the height h of a state: every edge to it whose parts are now all known is that
// high or one higher.
static void settle(struct grammar *g, struct settling *s, const struct reverse *r, uint32_t state, uint32_t h)
{
    for (uint32_t i = r->first[state]; i < r->first[state + 1]; i++) {
        const struct grammar_edge *e = &g->edges[r->edges[i]];
        uint32_t height = g->height[e->from] == NO_HEIGHT ? edge_height(g, e) : NO_HEIGHT;
        if (height == h) {
            g->height[e->from] = (uint16_t)h;
            s->now[s->n_now++] = e->from;
        } else if (height == h + 1) {
            s->next[s->n_next++] = e->from;
        }
    }
}

// In rising order.
static void find_heights(struct grammar *g)
{
    struct reverse r = reverse_of(g);
    struct settling s = {xcalloc(g->n_states, sizeof *s.now), xcalloc(2ul * g->n_edges + 1, sizeof *s.next),
                         0, 0};
    g->height = xmalloc(g->n_states * sizeof *g->height);
    memset(g->height, 0xFF, g->n_states * sizeof *g->height);
    g->height[GRAMMAR_END] = 0;
    s.now[s.n_now++] = GRAMMAR_END;
    for (uint32_t h = 0; s.n_now > 0 && h < GRAMMAR_MAX_DEPTH; h++) {
        s.n_next = 0;
        while (s.n_now > 0) {
            uint32_t state = s.now[--s.n_now];
            settle(g, &s, &r, state, h);
        }
        for (uint32_t i = 0; i < s.n_next; i++) {
            if (g->height[s.next[i]] != NO_HEIGHT)
                continue;
            g->height[s.next[i]] = (uint16_t)(h + 1);
            s.now[s.n_now++] = s.next[i];
        }
    }
    free(s.now);
    free(s.next);
    free(r.first);
    free(r.edges);
}

// Edges that lead nowhere are dropped: nobody has to look at heights but for the depth of calls.
static void drop_dead_edges(struct grammar *g)
{
    uint32_t n = 0;
    for (uint32_t q = 0; q < g->n_states; q++) {
        uint32_t begin = g->first[q], end = g->first[q + 1];
        g->first[q] = n;
        for (uint32_t i = begin; i < end; i++) {
            const struct grammar_edge *e = &g->edges[i];
            bool leads = g->height[e->to] != NO_HEIGHT;
            if (is_call(e) && !is_optional(g, e))
                leads = leads && g->height[rule_of(g, e)] != NO_HEIGHT;
            if (leads)
                g->edges[n++] = *e;
        }
    }
    g->first[g->n_states] = n;
    g->n_edges = n;
}

// The states that a walk reaches from q by edge e without reading: up to two.
static uint32_t unread_targets(const struct grammar *g, const struct grammar_edge *e, uint32_t out[2])
{
    if (e->kind == EDGE_BYTES)
        return 0;
    out[0] = e->kind == EDGE_JUMP ? e->to : rule_of(g, e);
    out[1] = e->to;
    return is_optional(g, e) ? 2 : 1;
}

enum color { NEW, OPEN, DONE };

struct visit {
    uint32_t state, edge, part; // the edge, and which of its targets, that comes next
};

struct search {
    const struct grammar *g;
    struct visit *stack;
    uint32_t n;
    uint8_t *colors; // of enum color
};

static void open_state(struct search *s, uint32_t state)
{
    s->colors[state] = OPEN;
    s->stack[s->n++] = (struct visit){state, s->g->first[state], 0};
}

// One step of the walk; true: it has met a state that is still open.
static bool search_step(struct search *s)
{
    struct visit *v = &s->stack[s->n - 1];
    uint32_t targets[2];
    if (v->edge == s->g->first[v->state + 1]) {
        s->colors[v->state] = DONE;
        s->n--;
        return false;
    }
    if (v->part >= unread_targets(s->g, &s->g->edges[v->edge], targets)) {
        v->edge++;
        v->part = 0;
        return false;
    }
    uint32_t to = targets[v->part++];
    if (s->colors[to] == NEW)
        open_state(s, to);
    else
        return s->colors[to] == OPEN;
    return false;
}

// Depth first over what is reached without reading; an open state met again is a circle.
static bool has_circle(const struct grammar *g)
{
    struct search s = {.g = g};
    bool found = false;
    s.stack = xcalloc(g->n_states + 1ul, sizeof *s.stack);
    s.colors = xcalloc(g->n_states, 1);
    for (uint32_t root = 0; root < g->n_states && !found; root++) {
        if (s.colors[root] == NEW)
            open_state(&s, root);
        while (s.n > 0 && !found)
            found = search_step(&s);
    }
    free(s.stack);
    free(s.colors);
    return found;
}

int grammar_finish(struct grammar *g, uint32_t root, struct err *err)
{
    g->root = root;
    if (g->is_full)
        return err_set(err, ERR_INVALID, "the schema is too large: it needs more than %d states",
                       GRAMMAR_MAX_STATES);
    sort_edges(g);
    if (has_circle(g))
        return err_set(err, ERR_INVALID, "the schema refers to itself without anything between");
    find_heights(g);
    if (g->height[root] == NO_HEIGHT)
        return err_set(err, ERR_INVALID, "no value fits the schema, or only values nested too deeply");
    drop_dead_edges(g);
    return 0;
}
