// SPDX-License-Identifier: MIT
// Statements. Output goes to the caller's buffer or, inside a macro, a set block, a filter block or a call
// block, to a sink.
#include "base/mem.h"
#include "text/jinja_run.h"

void jinja_emit(struct jinja_run *r, struct slice text)
{
    if (r->failed || text.n == 0)
        return;
    if (r->capture != NULL) {
        jinja_put_slice(r, r->capture, text);
        return;
    }
    strbuf_push_slice(r->out, text);
    if (r->out->overflow)
        jinja_fail(r, ERR_TOO_LARGE, "the prompt is too long");
}

static void emit_value(struct jinja_run *r, struct jinja_value v)
{
    struct jinja_value text = jinja_str(r, v);
    if (!r->failed)
        jinja_emit(r, jinja_slice(text));
}

struct jinja_value jinja_capture(struct jinja_run *r, const struct jinja_node *list)
{
    struct jinja_sink sink = {0}, *outer = r->capture;
    r->capture = &sink;
    jinja_exec(r, list);
    r->capture = outer;
    return jinja_sink_text(r, &sink);
}

// The statements print in a scope of their own.
static struct jinja_value capture_scope(struct jinja_run *r, const struct jinja_node *list)
{
    struct jinja_frame *outer = r->frame;
    jinja_scope_enter(r, outer);
    struct jinja_value text = jinja_capture(r, list);
    r->frame = outer;
    return text;
}

static struct jinja_value filter_text(struct jinja_run *r, const struct jinja_node *filters,
                                      struct jinja_value text)
{
    struct jinja_value outer = r->block_input;
    r->block_input = text;
    struct jinja_value out = jinja_eval(r, filters);
    r->block_input = outer;
    return out;
}

static enum jinja_flow exec_if(struct jinja_run *r, const struct jinja_node *node)
{
    for (const struct jinja_node *b = node->list; b != NULL && !r->failed; b = b->next)
        if (b->a == NULL || jinja_truth(r, jinja_eval(r, b->a)))
            return r->failed ? JINJA_FLOW_NEXT : jinja_exec(r, b->list);
    return JINJA_FLOW_NEXT;
}

static void exec_set_block(struct jinja_run *r, const struct jinja_node *node)
{
    struct jinja_value text = capture_scope(r, node->list);
    if (node->b != NULL)
        text = filter_text(r, node->b, text);
    jinja_scope_assign(r, node->a, text);
}

static enum jinja_flow exec_with(struct jinja_run *r, const struct jinja_node *node)
{
    struct jinja_frame *outer = r->frame;
    jinja_scope_enter(r, outer);
    struct jinja_frame *inner = r->frame;
    for (const struct jinja_node *set = node->other; set != NULL && !r->failed; set = set->next) {
        r->frame = outer; // values do not see the new names
        struct jinja_value value = jinja_eval(r, set->b);
        r->frame = inner;
        jinja_scope_assign(r, set->a, value);
    }
    enum jinja_flow flow = jinja_exec(r, node->list);
    r->frame = outer;
    return flow;
}

static enum jinja_flow exec_scope(struct jinja_run *r, const struct jinja_node *node)
{
    struct jinja_frame *outer = r->frame;
    jinja_scope_enter(r, outer);
    enum jinja_flow flow = jinja_exec(r, node->list);
    r->frame = outer;
    return flow;
}

static void exec_call_block(struct jinja_run *r, const struct jinja_node *node)
{
    struct jinja_keyword caller = {slice_of("caller"), jinja_macro_new(r, node->b)};
    emit_value(r, jinja_call_node(r, node->a, &caller));
}

static enum jinja_flow exec_one(struct jinja_run *r, const struct jinja_node *node)
{
    r->line = node->line;
    switch (node->type) {
    case JINJA_NODE_DATA:
        jinja_emit(r, node->name);
        break;
    case JINJA_NODE_PRINT:
        emit_value(r, jinja_eval(r, node->a));
        break;
    case JINJA_NODE_IF:
        return exec_if(r, node);
    case JINJA_NODE_FOR:
        return jinja_loop_exec(r, node);
    case JINJA_NODE_SET:
        jinja_scope_assign(r, node->a, jinja_eval(r, node->b));
        break;
    case JINJA_NODE_SET_BLOCK:
        exec_set_block(r, node);
        break;
    case JINJA_NODE_MACRO:
        jinja_scope_set(r, node->id, jinja_macro_new(r, node));
        break;
    case JINJA_NODE_CALL_BLOCK:
        exec_call_block(r, node);
        break;
    case JINJA_NODE_FILTER_BLOCK:
        emit_value(r, filter_text(r, node->a, capture_scope(r, node->list)));
        break;
    case JINJA_NODE_WITH:
        return exec_with(r, node);
    case JINJA_NODE_SCOPE:
        return exec_scope(r, node);
    case JINJA_NODE_BREAK:
        return JINJA_FLOW_BREAK;
    case JINJA_NODE_CONTINUE:
        return JINJA_FLOW_CONTINUE;
    default:
        break;
    }
    return JINJA_FLOW_NEXT;
}

enum jinja_flow jinja_exec(struct jinja_run *r, const struct jinja_node *list)
{
    enum jinja_flow flow = JINJA_FLOW_NEXT;
    if (r->depth >= JINJA_DEPTH) {
        jinja_fail(r, ERR_TOO_LARGE, "calls nested too deep");
        return flow;
    }
    r->depth++;
    for (; list != NULL && flow == JINJA_FLOW_NEXT && jinja_step(r, 1); list = list->next)
        flow = exec_one(r, list);
    r->depth--;
    return flow;
}
