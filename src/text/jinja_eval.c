// SPDX-License-Identifier: MIT
// Expressions: a walk over the tree. Depth is counted here, so that neither a long chain nor macros that call
// themselves can use up the thread's stack.
#include "base/mem.h"
#include "text/jinja_run.h"

static struct jinja_value eval_list(struct jinja_run *r, const struct jinja_node *node)
{
    size_t n = 0;
    for (const struct jinja_node *item = node->list; item != NULL; item = item->next)
        n++;
    struct jinja_value out =
        jinja_list_new(r, n, node->type == JINJA_NODE_TUPLE ? JINJA_FLAVOR_TUPLE : JINJA_FLAVOR_LIST);
    for (const struct jinja_node *item = node->list; item != NULL && !r->failed; item = item->next)
        jinja_list_push(r, out.list, jinja_eval(r, item));
    return out;
}

static struct jinja_value eval_dict(struct jinja_run *r, const struct jinja_node *node)
{
    struct jinja_value out = jinja_dict_new(r);
    for (const struct jinja_node *key = node->list; key != NULL && !r->failed; key = key->next->next) {
        struct jinja_value k = jinja_eval(r, key);
        jinja_dict_set(r, out.dict, k, jinja_eval(r, key->next));
    }
    return out;
}

static struct jinja_value eval_cond(struct jinja_run *r, const struct jinja_node *node)
{
    if (jinja_truth(r, jinja_eval(r, node->b)))
        return jinja_eval(r, node->a);
    if (node->c != NULL)
        return jinja_eval(r, node->c);
    return jinja_undefined(r, slice_of("the inline if-expression without else"), NULL);
}

static struct jinja_value eval_concat(struct jinja_run *r, const struct jinja_node *node)
{
    struct jinja_value out = jinja_eval(r, node->list);
    out = jinja_str(r, out);
    for (const struct jinja_node *part = node->list->next; part != NULL && !r->failed; part = part->next)
        out = jinja_text_concat(r, out, jinja_str(r, jinja_eval(r, part)));
    if (out.kind == JINJA_TEXT)
        out.markup = false;
    return out;
}

static bool holds(struct jinja_run *r, enum jinja_op op, struct jinja_value a, struct jinja_value b)
{
    static const char *const signs[] = {"<", "<=", ">", ">="};
    if (op == JINJA_OP_EQ || op == JINJA_OP_NE)
        return jinja_equals(r, a, b) == (op == JINJA_OP_EQ);
    if (op == JINJA_OP_IN || op == JINJA_OP_NOT_IN)
        return jinja_contains(r, a, b) == (op == JINJA_OP_IN);
    int order = jinja_compare(r, a, b, signs[op - JINJA_OP_LT]);
    if (order == 2)
        return false;
    return op == JINJA_OP_LT   ? order < 0
           : op == JINJA_OP_LE ? order <= 0
           : op == JINJA_OP_GT ? order > 0
                               : order >= 0;
}

static struct jinja_value eval_compare(struct jinja_run *r, const struct jinja_node *node)
{
    struct jinja_value left = jinja_eval(r, node->a);
    for (const struct jinja_node *part = node->list; part != NULL; part = part->next) {
        struct jinja_value right = jinja_eval(r, part->a);
        if (r->failed || !holds(r, part->op, left, right))
            return jinja_bool(false);
        left = right;
    }
    return jinja_bool(true);
}

static struct jinja_value eval_cut(struct jinja_run *r, const struct jinja_node *node)
{
    struct jinja_value part[3], v = jinja_eval(r, node->a);
    const struct jinja_node *n = node->list;
    for (int i = 0; i < 3; i++, n = n->next)
        part[i] = jinja_eval(r, n);
    r->line = node->line;
    return jinja_cut(r, v, part);
}

static struct jinja_value eval_item(struct jinja_run *r, const struct jinja_node *node)
{
    struct jinja_value v = jinja_eval(r, node->a), key = jinja_eval(r, node->b);
    r->line = node->line;
    return r->failed ? v : jinja_item(r, v, key);
}

static struct jinja_value eval_binary(struct jinja_run *r, const struct jinja_node *node)
{
    struct jinja_value a = jinja_eval(r, node->a), b = jinja_eval(r, node->b);
    r->line = node->line;
    return jinja_binary(r, node->op, a, b);
}

static struct jinja_value eval_attr(struct jinja_run *r, const struct jinja_node *node)
{
    struct jinja_value v = jinja_eval(r, node->a);
    r->line = node->line;
    return r->failed ? v : jinja_attr(r, v, node->name);
}

static struct jinja_value eval_either(struct jinja_run *r, const struct jinja_node *node)
{
    struct jinja_value a = jinja_eval(r, node->a);
    return jinja_truth(r, a) == (node->type == JINJA_NODE_AND) ? jinja_eval(r, node->b) : a;
}

static struct jinja_value eval_one(struct jinja_run *r, const struct jinja_node *node)
{
    switch (node->type) {
    case JINJA_NODE_CONST:
        return node->value;
    case JINJA_NODE_NAME:
        return jinja_scope_get(r, node);
    case JINJA_NODE_LIST:
    case JINJA_NODE_TUPLE:
        return eval_list(r, node);
    case JINJA_NODE_DICT:
        return eval_dict(r, node);
    case JINJA_NODE_COND:
        return eval_cond(r, node);
    case JINJA_NODE_AND:
    case JINJA_NODE_OR:
        return eval_either(r, node);
    case JINJA_NODE_NOT:
        return jinja_bool(!jinja_truth(r, jinja_eval(r, node->a)));
    case JINJA_NODE_MINUS:
    case JINJA_NODE_PLUS:
        return jinja_negate(r, jinja_eval(r, node->a), node->type == JINJA_NODE_MINUS);
    case JINJA_NODE_BINARY:
        return eval_binary(r, node);
    case JINJA_NODE_CONCAT:
        return eval_concat(r, node);
    case JINJA_NODE_COMPARE:
        return eval_compare(r, node);
    case JINJA_NODE_ATTR:
        return eval_attr(r, node);
    case JINJA_NODE_ITEM:
        return eval_item(r, node);
    case JINJA_NODE_CUT:
        return eval_cut(r, node);
    case JINJA_NODE_CALL:
        return jinja_call_node(r, node, NULL);
    case JINJA_NODE_FILTER:
        return jinja_filter_node(r, node);
    case JINJA_NODE_TEST:
        return jinja_test_node(r, node);
    default: // JINJA_NODE_INPUT; the parser puts no other kind here
        return r->block_input;
    }
}

struct jinja_value jinja_eval(struct jinja_run *r, const struct jinja_node *node)
{
    if (!jinja_step(r, 1))
        return jinja_none();
    if (r->depth >= JINJA_DEPTH)
        return jinja_fail(r, ERR_TOO_LARGE, "calls nested too deep");
    r->depth++;
    struct jinja_value v = eval_one(r, node);
    r->depth--;
    return v;
}
