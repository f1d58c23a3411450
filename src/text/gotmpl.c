// SPDX-License-Identifier: MIT
// The door of the Go templates, and Ollama's rules of running one: what data it gets, and what happens with
// templates that know no messages.
#include "text/gotmpl.h"

#include <stdlib.h>

#include "base/mem.h"
#include "text/gotmpl_data.h"
#include "text/gotmpl_run.h"

struct gotmpl {
    struct gotmpl_tree tree, until_answer; // the second one only for templates without messages
    bool takes_messages;
};

// A template that has no place for the answer gets one at its end.
static void append_response(struct gotmpl_tree *tree)
{
    static struct slice name[] = {{"Response", 8}};
    struct gotmpl_node *field = gotmpl_node_new(tree, GOTMPL_NODE_FIELD, 0);
    struct gotmpl_node *command = gotmpl_node_new(tree, GOTMPL_NODE_COMMAND, 0);
    struct gotmpl_node *pipe = gotmpl_node_new(tree, GOTMPL_NODE_PIPE, 0);
    struct gotmpl_node *action = gotmpl_node_new(tree, GOTMPL_NODE_ACTION, 0), **tail = &tree->root->list;
    field->names = name;
    field->n_names = 1;
    command->list = field;
    pipe->list = command;
    action->pipe = pipe;
    while (*tail != NULL)
        tail = &(*tail)->next;
    *tail = action;
}

static int parse(struct gotmpl_tree *tree, struct slice source, struct err *err)
{
    if (gotmpl_parse(tree, source, err) != 0)
        return -1;
    if (!gotmpl_mentions(tree, "Messages") && !gotmpl_mentions(tree, "Response"))
        append_response(tree);
    return 0;
}

int gotmpl_new(struct gotmpl **out, struct slice source, struct err *err)
{
    struct gotmpl *t = xcalloc(1, sizeof *t);
    int rc = parse(&t->tree, source, err);
    if (rc == 0) {
        t->takes_messages = gotmpl_mentions(&t->tree, "Messages");
        rc = t->takes_messages ? 0 : parse(&t->until_answer, source, err);
    }
    if (rc == 0 && !t->takes_messages)
        gotmpl_cut_after_response(&t->until_answer);
    if (rc != 0) {
        gotmpl_free(t);
        t = NULL;
    }
    *out = t;
    return rc;
}

void gotmpl_free(struct gotmpl *t)
{
    if (t != NULL) {
        gotmpl_tree_fini(&t->tree);
        gotmpl_tree_fini(&t->until_answer);
    }
    free(t);
}

struct gotmpl_traits gotmpl_traits(const struct gotmpl *t)
{
    struct gotmpl_traits traits = {.takes_messages = t->takes_messages,
                                   .takes_tools = gotmpl_mentions(&t->tree, "Tools"),
                                   .takes_suffix = gotmpl_mentions(&t->tree, "Suffix"),
                                   .takes_tool_results = gotmpl_has_text(&t->tree, "tool"),
                                   .tool_tag = gotmpl_find_tool_tag(&t->tree)};
    gotmpl_find_thinking_tags(&t->tree, &traits.opening_tag, &traits.closing_tag);
    traits.takes_thinking = traits.opening_tag.n > 0 && traits.closing_tag.n > 0;
    if (!traits.takes_thinking)
        traits.opening_tag = traits.closing_tag = slice_make("", 0);
    return traits;
}

// ---- Running ----
enum { MAX_ROOT = 10 };

struct root {
    struct gotmpl_pair at[MAX_ROOT];
    size_t n;
};

static void add(struct root *root, const char *key, struct gotmpl_value value)
{
    root->at[root->n++] = (struct gotmpl_pair){slice_of(key), value};
}

static struct root root_of(const struct gotmpl_input *in)
{
    struct root root = {0};
    add(&root, "Think", gotmpl_bool(in->think));
    add(&root, "ThinkLevel", gotmpl_text(in->think_level));
    add(&root, "IsThinkSet", gotmpl_bool(in->is_think_set));
    return root;
}

static void exec(struct gotmpl_run *r, const struct gotmpl_tree *tree, struct root *root)
{
    struct gotmpl_pair *pairs = gotmpl_alloc(r, root->n, sizeof *pairs);
    if (pairs == NULL)
        return;
    memcpy(pairs, root->at, root->n * sizeof *pairs);
    r->tree = tree;
    r->at = NULL;
    gotmpl_exec(r, tree->root, gotmpl_map_new(r, &gotmpl_type_object, pairs, root->n));
}

// One turn of a conversation, for templates that know no messages.
struct legacy {
    struct slice system, prompt, response;
};

static void exec_legacy(struct gotmpl_run *r, const struct gotmpl_tree *tree, const struct gotmpl_input *in,
                        struct legacy *turn)
{
    struct root root = root_of(in);
    add(&root, "System", gotmpl_text(turn->system));
    add(&root, "Prompt", gotmpl_text(turn->prompt));
    add(&root, "Response", gotmpl_text(turn->response));
    if (!r->failed)
        exec(r, tree, &root);
    *turn = (struct legacy){slice_of(""), slice_of(""), slice_of("")};
}

static void run_turns(struct gotmpl_run *r, const struct gotmpl *t, const struct gotmpl_input *in,
                      const struct gotmpl_data *data)
{
    struct legacy turn = {slice_of(""), slice_of(""), slice_of("")};
    for (size_t i = 0; i < data->n_turns; i++) {
        const struct gotmpl_turn *m = &data->turns[i];
        if (slice_is(m->role, "system")) {
            if (turn.prompt.n > 0 || turn.response.n > 0)
                exec_legacy(r, &t->tree, in, &turn);
            turn.system = m->content;
        } else if (slice_is(m->role, "user")) {
            if (turn.response.n > 0)
                exec_legacy(r, &t->tree, in, &turn);
            turn.prompt = m->content;
        } else if (slice_is(m->role, "assistant")) {
            turn.response = m->content;
        }
    }
    exec_legacy(r, &t->until_answer, in, &turn);
}

static void run(struct gotmpl_run *r, const struct gotmpl *t, const struct gotmpl_input *in)
{
    struct root root = root_of(in);
    struct gotmpl_data data;
    add(&root, "Response", gotmpl_text(slice_of("")));
    if (in->prompt.n > 0 && in->suffix.n > 0) {
        add(&root, "Prompt", gotmpl_text(in->prompt));
        add(&root, "Suffix", gotmpl_text(in->suffix));
        exec(r, &t->tree, &root);
        return;
    }
    gotmpl_read_data(r, in, &data);
    if (r->failed)
        return;
    if (!t->takes_messages) {
        run_turns(r, t, in, &data);
        return;
    }
    add(&root, "System", gotmpl_text(data.system));
    add(&root, "Messages", data.messages);
    add(&root, "Tools", data.tools);
    exec(r, &t->tree, &root);
}

static int end(struct gotmpl_run *r)
{
    if (!r->failed)
        gotmpl_step(r, 0); // a bound that was reached last
    jinja_arena_fini(&r->arena);
    return r->failed ? -1 : 0;
}

int gotmpl_render(const struct gotmpl *t, const struct gotmpl_input *in, struct strbuf *out, struct err *err)
{
    struct gotmpl_run r = {
        .arena = {.cap_bytes = GOTMPL_RENDER_BYTES}, .err = err, .out = out, .now_s = in->now_s};
    r.tree = &t->tree;
    run(&r, t, in);
    return end(&r);
}

int gotmpl_run_plain(struct slice source, const json_t *data, struct strbuf *out, struct err *err)
{
    struct gotmpl_tree tree;
    struct gotmpl_run r = {
        .arena = {.cap_bytes = GOTMPL_RENDER_BYTES}, .err = err, .out = out, .tree = &tree};
    int rc = gotmpl_parse(&tree, source, err);
    if (rc == 0) {
        struct gotmpl_value value = gotmpl_from_json(&r, data, 0);
        if (!r.failed)
            gotmpl_exec(&r, tree.root, gotmpl_unbox(value));
        rc = end(&r);
    }
    gotmpl_tree_fini(&tree);
    return rc;
}
