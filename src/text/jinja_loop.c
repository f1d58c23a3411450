// SPDX-License-Identifier: MIT
// `for` loops. The condition of `for x in y if c` is tried as late as jinja2 does: when the next item is
// asked for, by the loop itself or by loop.last, loop.nextitem or loop.length.
#include "base/mem.h"
#include "text/jinja_run.h"

struct jinja_loop {
    const struct jinja_node *node;
    struct jinja_frame *outer;
    const struct jinja_list *source;
    size_t source_i;         // items before this one were tried
    struct jinja_list *kept; // all items so far, the current one included
    size_t index;            // of the current item in kept
    struct jinja_value changed;
};

static bool is_kept(struct jinja_run *r, const struct jinja_loop *l, struct jinja_value item)
{
    if (l->node->c == NULL)
        return true;
    struct jinja_frame *current = r->frame;
    jinja_scope_enter(r, l->outer);
    jinja_scope_assign(r, l->node->a, item);
    bool kept = jinja_truth(r, jinja_eval(r, l->node->c));
    r->frame = current;
    return kept;
}

// Whether there is an item number i; goes on in the source as far as needed.
static bool has_item(struct jinja_run *r, struct jinja_loop *l, size_t i)
{
    while (l->kept->n <= i && l->source_i < l->source->n && jinja_step(r, 1)) {
        struct jinja_value item = l->source->at[l->source_i++];
        if (is_kept(r, l, item))
            jinja_list_push(r, l->kept, item);
    }
    return !r->failed && l->kept->n > i;
}

static int64_t length_of(struct jinja_run *r, struct jinja_loop *l)
{
    has_item(r, l, SIZE_MAX);
    return (int64_t)l->kept->n;
}

static struct jinja_value neighbour(struct jinja_run *r, struct jinja_loop *l, bool exists, size_t i)
{
    if (!exists)
        return jinja_undefined(r, slice_of("there is no such item"), NULL);
    return l->kept->at[i];
}

struct jinja_value jinja_loop_attr(struct jinja_run *r, struct jinja_loop *l, struct slice name)
{
    int64_t i = (int64_t)l->index;
    if (slice_is(name, "index"))
        return jinja_int(i + 1);
    if (slice_is(name, "index0"))
        return jinja_int(i);
    if (slice_is(name, "first"))
        return jinja_bool(i == 0);
    if (slice_is(name, "last"))
        return jinja_bool(!has_item(r, l, l->index + 1));
    if (slice_is(name, "length"))
        return jinja_int(length_of(r, l));
    if (slice_is(name, "revindex"))
        return jinja_int(length_of(r, l) - i);
    if (slice_is(name, "revindex0"))
        return jinja_int(length_of(r, l) - i - 1);
    if (slice_is(name, "previtem"))
        return neighbour(r, l, i > 0, l->index - 1);
    if (slice_is(name, "nextitem"))
        return neighbour(r, l, has_item(r, l, l->index + 1), l->index + 1);
    if (slice_is(name, "depth"))
        return jinja_int(1);
    if (slice_is(name, "depth0"))
        return jinja_int(0);
    return (struct jinja_value){.kind = JINJA_MISSING};
}

struct jinja_value jinja_loop_cycle(struct jinja_run *r, const struct jinja_call *c)
{
    if (c->raw.n == 0)
        return jinja_fail(r, ERR_FORMAT, "no items for cycling given");
    return c->raw.at[c->self.loop->index % c->raw.n];
}

struct jinja_value jinja_loop_changed(struct jinja_run *r, const struct jinja_call *c)
{
    struct jinja_value now = jinja_list_new(r, c->raw.n, JINJA_FLAVOR_TUPLE);
    for (size_t i = 0; i < c->raw.n; i++)
        jinja_list_push(r, now.list, c->raw.at[i]);
    if (c->self.loop->changed.kind == JINJA_LIST && jinja_equals(r, now, c->self.loop->changed))
        return jinja_bool(false);
    c->self.loop->changed = now;
    return jinja_bool(true);
}

// A scope for the next turn: the last one again, unless a macro holds on to it.
static void enter_turn(struct jinja_run *r, struct jinja_frame *outer, struct jinja_frame *last)
{
    if (last == NULL || last->is_captured) {
        jinja_scope_enter(r, outer);
    } else {
        last->n = 0;
        r->frame = last;
    }
}

enum jinja_flow jinja_loop_exec(struct jinja_run *r, const struct jinja_node *node)
{
    struct jinja_frame *outer = r->frame, *turn = NULL;
    struct jinja_loop *l = jinja_new(r, sizeof *l);
    bool had_items = false;
    *l = (struct jinja_loop){.node = node, .outer = outer};
    l->source = jinja_items(r, jinja_eval(r, node->b));
    l->kept = jinja_list_new(r, node->c == NULL ? l->source->n : 0, JINJA_FLAVOR_LIST).list;
    for (; has_item(r, l, l->index); l->index++) {
        had_items = true;
        enter_turn(r, outer, turn);
        turn = r->frame;
        jinja_scope_set(r, JINJA_NAME_LOOP, (struct jinja_value){.kind = JINJA_LOOP, .loop = l});
        jinja_scope_assign(r, node->a, l->kept->at[l->index]);
        if (jinja_exec(r, node->list) == JINJA_FLOW_BREAK)
            break;
    }
    enum jinja_flow flow = JINJA_FLOW_NEXT;
    if (!had_items && node->other != NULL && !r->failed) {
        jinja_scope_enter(r, outer);
        flow = jinja_exec(r, node->other);
    }
    r->frame = outer;
    return flow;
}
