// SPDX-License-Identifier: MIT
// What Ollama reads off a template's tree: which names it mentions (they decide capabilities and the kind of
// data it gets), the tags around thinking and tool calls, and the tree that ends at the answer.
#include <ctype.h>
#include <string.h>

#include "base/mem.h"
#include "text/gotmpl_tree.h"

// ---- Names ----
typedef bool test_fn(const struct gotmpl_node *n, const char *what);

static bool has_name(const struct gotmpl_node *n, const char *name)
{
    size_t length = strlen(name);
    bool is_named = n->type == GOTMPL_NODE_FIELD || n->type == GOTMPL_NODE_VARIABLE;
    for (uint32_t i = 0; is_named && i < n->n_names; i++)
        if (n->names[i].n == length && strncasecmp(n->names[i].at, name, length) == 0)
            return true;
    return false;
}

static bool is_text(const struct gotmpl_node *n, const char *text)
{
    return n->type == GOTMPL_NODE_STRING && slice_is(n->text, text);
}

// Whether the test holds for an argument within; what a parenthesis is followed by does not count.
static bool any(const struct gotmpl_node *n, test_fn *test, const char *what)
{
    if (test(n, what))
        return true;
    for (const struct gotmpl_node *c = n->list; c != NULL; c = c->next)
        if (any(c, test, what))
            return true;
    return (n->pipe != NULL && n->type != GOTMPL_NODE_CHAIN && any(n->pipe, test, what)) ||
           (n->body != NULL && any(n->body, test, what)) || (n->other != NULL && any(n->other, test, what));
}

static bool any_def(const struct gotmpl_tree *tree, test_fn *test, const char *what)
{
    for (const struct gotmpl_def *d = tree->defs; d != NULL; d = d->next)
        if (any(d->root, test, what))
            return true;
    return false;
}

bool gotmpl_mentions(const struct gotmpl_tree *tree, const char *name)
{
    return any_def(tree, has_name, name);
}

bool gotmpl_has_text(const struct gotmpl_tree *tree, const char *text)
{
    return any_def(tree, is_text, text);
}

// ---- Tags ----
static struct slice trim(struct slice text)
{
    while (text.n > 0 && isspace((unsigned char)text.at[0]))
        text = slice_make(text.at + 1, text.n - 1);
    while (text.n > 0 && isspace((unsigned char)text.at[text.n - 1]))
        text.n--;
    return text;
}

struct tags {
    struct slice opening, closing;
};

// What stands around a place of the tree, the innermost.
struct around {
    const struct gotmpl_node *range, *list;
};

static bool is_field_of(const struct gotmpl_node *n, const char *name)
{
    return n->type == GOTMPL_NODE_FIELD && slice_is(n->names[0], name);
}

static bool pipe_uses(const struct gotmpl_node *n, const char *name)
{
    bool found = is_field_of(n, name);
    if (n->type == GOTMPL_NODE_PIPE || n->type == GOTMPL_NODE_COMMAND)
        for (const struct gotmpl_node *c = n->list; c != NULL && !found; c = c->next)
            found = pipe_uses(c, name);
    return found;
}

static void note_thinking(struct tags *tags, struct around around)
{
    if (around.range == NULL || !pipe_uses(around.range->pipe, "Messages"))
        return;
    const struct gotmpl_node *first = around.list->list, *last = first;
    while (last->next != NULL)
        last = last->next;
    if (first->type == GOTMPL_NODE_TEXT)
        tags->opening = trim(first->text);
    if (last->type == GOTMPL_NODE_TEXT)
        tags->closing = trim(last->text);
}

static void find_thinking(const struct gotmpl_node *n, struct around around, struct tags *tags)
{
    if (is_field_of(n, "Thinking"))
        note_thinking(tags, around);
    if (n->type == GOTMPL_NODE_RANGE)
        around.range = n;
    if (n->type == GOTMPL_NODE_LIST)
        around.list = n;
    bool is_list =
        n->type == GOTMPL_NODE_LIST || n->type == GOTMPL_NODE_PIPE || n->type == GOTMPL_NODE_COMMAND;
    for (const struct gotmpl_node *c = is_list ? n->list : NULL; c != NULL; c = c->next)
        find_thinking(c, around, tags);
    if (n->pipe != NULL && n->type != GOTMPL_NODE_CHAIN)
        find_thinking(n->pipe, around, tags);
    if (n->body != NULL)
        find_thinking(n->body, around, tags);
    if (n->other != NULL)
        find_thinking(n->other, around, tags);
}

void gotmpl_find_thinking_tags(const struct gotmpl_tree *tree, struct slice *opening, struct slice *closing)
{
    struct tags tags = {slice_make("", 0), slice_make("", 0)};
    find_thinking(tree->root, (struct around){0}, &tags);
    *opening = tags.opening;
    *closing = tags.closing;
}

// The first text within that is not blank.
static struct slice first_text(const struct gotmpl_node *n)
{
    struct slice found = slice_make("", 0);
    if (n->type == GOTMPL_NODE_TEXT)
        return trim(n->text);
    for (const struct gotmpl_node *c = n->type == GOTMPL_NODE_LIST ? n->list : NULL;
         c != NULL && found.n == 0; c = c->next)
        found = first_text(c);
    if (found.n == 0 && n->body != NULL)
        found = first_text(n->body);
    if (found.n == 0 && n->other != NULL)
        found = first_text(n->other);
    return found;
}

static const struct gotmpl_node *find_tool_calls(const struct gotmpl_node *n)
{
    const struct gotmpl_node *found = NULL;
    if (n->type == GOTMPL_NODE_IF && any(n->pipe, has_name, "ToolCalls"))
        return n;
    for (const struct gotmpl_node *c = n->type == GOTMPL_NODE_LIST ? n->list : NULL; c && !found; c = c->next)
        found = find_tool_calls(c);
    if (found == NULL && n->body != NULL)
        found = find_tool_calls(n->body);
    if (found == NULL && n->other != NULL)
        found = find_tool_calls(n->other);
    return found;
}

struct slice gotmpl_find_tool_tag(const struct gotmpl_tree *tree)
{
    const struct gotmpl_node *n = find_tool_calls(tree->root);
    struct slice tag = n != NULL ? first_text(n->body) : slice_make("", 0);
    const char *brace = tag.n > 0 ? memchr(tag.at, '{', tag.n) : NULL;
    if (brace != NULL)
        tag = trim(slice_make(tag.at, (size_t)(brace - tag.at)));
    return tag.n > 0 ? tag : slice_of("{");
}

// ---- The cut ----
static struct gotmpl_node *cut(struct gotmpl_node *n, bool *is_cut);

static void cut_siblings(struct gotmpl_node **link, bool *is_cut)
{
    while (*link != NULL) {
        struct gotmpl_node *n = *link, *rest = n->next;
        if (cut(n, is_cut) == NULL)
            *link = rest;
        else
            link = &n->next;
    }
}

static struct gotmpl_node *cut_pipe(struct gotmpl_node *n, bool *is_cut)
{
    struct gotmpl_node *last = NULL;
    for (struct gotmpl_node *c = n->list; c != NULL; c = c->next) {
        cut_siblings(&c->list, is_cut);
        if (c->list == NULL)
            return NULL;
        last = c;
    }
    return last != NULL ? n : NULL;
}

// The node without what is behind the answer's place; NULL: all of it is. Conditions are left alone.
static struct gotmpl_node *cut(struct gotmpl_node *n, bool *is_cut)
{
    bool is_answer = false;
    for (uint32_t i = 0; n->type == GOTMPL_NODE_FIELD && i < n->n_names; i++)
        is_answer |= slice_is(n->names[i], "Response");
    if (is_answer) {
        *is_cut = true;
        return n;
    }
    if (*is_cut)
        return NULL;
    switch (n->type) {
    case GOTMPL_NODE_LIST:
        cut_siblings(&n->list, is_cut);
        break;
    case GOTMPL_NODE_IF:
    case GOTMPL_NODE_WITH:
    case GOTMPL_NODE_RANGE:
        cut(n->body, is_cut);
        n->other = n->other != NULL ? cut(n->other, is_cut) : NULL;
        break;
    case GOTMPL_NODE_ACTION:
        n->pipe = cut_pipe(n->pipe, is_cut);
        return n->pipe != NULL ? n : NULL;
    case GOTMPL_NODE_PIPE:
        return cut_pipe(n, is_cut);
    default:
        break;
    }
    return n;
}

void gotmpl_cut_after_response(struct gotmpl_tree *tree)
{
    bool is_cut = false;
    cut(tree->root, &is_cut);
}
