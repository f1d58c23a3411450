// SPDX-License-Identifier: MIT
// The text of a tree's nodes, as Go's messages show them. Bounded by the buffer, as deep as the tree.
#include "text/gotmpl_tree.h"

static void put_names(struct strbuf *out, const struct gotmpl_node *n, bool begins_with_dot)
{
    for (uint32_t i = 0; i < n->n_names; i++) {
        if (i > 0 || begins_with_dot)
            strbuf_push_char(out, '.');
        strbuf_push_slice(out, n->names[i]);
    }
}

static void put_operand(struct strbuf *out, const struct gotmpl_node *n)
{
    bool is_pipe = n->type == GOTMPL_NODE_PIPE;
    if (is_pipe)
        strbuf_push_char(out, '(');
    gotmpl_put_node(out, n);
    if (is_pipe)
        strbuf_push_char(out, ')');
}

static void put_pipe(struct strbuf *out, const struct gotmpl_node *n)
{
    for (const struct gotmpl_node *v = n->declares; v != NULL; v = v->next) {
        gotmpl_put_node(out, v);
        strbuf_push_text(out, v->next != NULL ? ", " : n->flag ? " = " : " := ");
    }
    for (const struct gotmpl_node *c = n->list; c != NULL; c = c->next) {
        gotmpl_put_node(out, c);
        if (c->next != NULL)
            strbuf_push_text(out, " | ");
    }
}

static void put_action(struct strbuf *out, const struct gotmpl_node *n, const char *keyword)
{
    strbuf_printf(out, "{{%s", keyword);
    if (n->type == GOTMPL_NODE_TEMPLATE)
        gotmpl_put_quoted(out, n->text);
    if (n->type == GOTMPL_NODE_TEMPLATE && n->pipe != NULL)
        strbuf_push_char(out, ' ');
    if (n->pipe != NULL)
        put_pipe(out, n->pipe);
    strbuf_push_text(out, "}}");
    if (n->body != NULL)
        gotmpl_put_node(out, n->body);
    if (n->other != NULL) {
        strbuf_push_text(out, "{{else}}");
        gotmpl_put_node(out, n->other);
    }
    if (n->body != NULL)
        strbuf_push_text(out, "{{end}}");
}

static void put_command(struct strbuf *out, const struct gotmpl_node *n)
{
    for (const struct gotmpl_node *a = n->list; a != NULL; a = a->next) {
        put_operand(out, a);
        if (a->next != NULL)
            strbuf_push_char(out, ' ');
    }
}

void gotmpl_put_node(struct strbuf *out, const struct gotmpl_node *n)
{
    if (out->overflow)
        return;
    switch (n->type) {
    case GOTMPL_NODE_TEXT:
    case GOTMPL_NODE_IDENTIFIER:
        strbuf_push_slice(out, n->text);
        break;
    case GOTMPL_NODE_LIST:
        for (const struct gotmpl_node *c = n->list; c != NULL; c = c->next)
            gotmpl_put_node(out, c);
        break;
    case GOTMPL_NODE_ACTION:
        put_action(out, n, "");
        break;
    case GOTMPL_NODE_IF:
        put_action(out, n, "if ");
        break;
    case GOTMPL_NODE_WITH:
        put_action(out, n, "with ");
        break;
    case GOTMPL_NODE_RANGE:
        put_action(out, n, "range ");
        break;
    case GOTMPL_NODE_TEMPLATE:
        put_action(out, n, "template ");
        break;
    case GOTMPL_NODE_BREAK:
        strbuf_push_text(out, "{{break}}");
        break;
    case GOTMPL_NODE_CONTINUE:
        strbuf_push_text(out, "{{continue}}");
        break;
    case GOTMPL_NODE_ELSE:
        strbuf_push_text(out, "{{else}}");
        break;
    case GOTMPL_NODE_END:
        strbuf_push_text(out, "{{end}}");
        break;
    case GOTMPL_NODE_PIPE:
        put_pipe(out, n);
        break;
    case GOTMPL_NODE_COMMAND:
        put_command(out, n);
        break;
    case GOTMPL_NODE_FIELD:
        put_names(out, n, true);
        break;
    case GOTMPL_NODE_VARIABLE:
        put_names(out, n, false);
        break;
    case GOTMPL_NODE_CHAIN:
        put_operand(out, n->pipe);
        put_names(out, n, true);
        break;
    case GOTMPL_NODE_DOT:
        strbuf_push_char(out, '.');
        break;
    case GOTMPL_NODE_NIL:
        strbuf_push_text(out, "nil");
        break;
    case GOTMPL_NODE_BOOL:
        strbuf_push_text(out, n->flag ? "true" : "false");
        break;
    case GOTMPL_NODE_NUMBER:
    case GOTMPL_NODE_STRING:
        strbuf_push_slice(out, n->quoted);
        break;
    }
}
