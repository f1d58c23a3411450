// SPDX-License-Identifier: MIT
// The door of the chat templates: a tree made once, walked by any number of threads, each with memory of its
// own.
#include "text/template.h"

#include <stdlib.h>

#include "base/mem.h"
#include "text/jinja_run.h"
#include "text/jinja_tree.h"

struct template
{
    struct jinja_tree tree;
};

int template_new(struct template **out, struct slice source, struct err *err)
{
    struct template *t = xcalloc(1, sizeof *t);
    int rc = jinja_parse(&t->tree, source, err);
    if (rc != 0) {
        template_free(t);
        t = NULL;
    }
    *out = t;
    return rc;
}

void template_free(struct template *t)
{
    if (t != NULL)
        jinja_tree_fini(&t->tree);
    free(t);
}

const char *template_default(void)
{
    return "{% for message in messages %}"
           "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
           "{% endfor %}"
           "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
}

// A variable that the template never names needs no place.
static void define(struct jinja_run *r, const struct jinja_tree *tree, struct slice name,
                   struct jinja_value value)
{
    uint32_t id;
    if (map_find(&tree->names, name, &id))
        r->globals[id] = value;
}

static bool is_named(const struct jinja_tree *tree, struct slice name)
{
    uint32_t id;
    return map_find(&tree->names, name, &id);
}

static void define_json(struct jinja_run *r, const struct jinja_tree *tree, struct slice name,
                        const json_t *value)
{
    if (value != NULL && is_named(tree, name))
        define(r, tree, name, jinja_from_json(r, value, 0));
}

static void define_all(struct jinja_run *r, const struct jinja_tree *tree, const struct template_input *in)
{
    json_t *extra = (json_t *)in->extra; // jansson's iterators want it so; nothing is changed
    define(r, tree, slice_of("documents"), jinja_none());
    define(r, tree, slice_of("add_generation_prompt"), jinja_bool(in->add_generation_prompt));
    define(r, tree, slice_of("bos_token"), jinja_text_borrow(r, in->bos_token));
    define(r, tree, slice_of("eos_token"), jinja_text_borrow(r, in->eos_token));
    define_json(r, tree, slice_of("messages"), in->messages);
    define_json(r, tree, slice_of("tools"), in->tools);
    for (void *it = json_object_iter(extra); it != NULL; it = json_object_iter_next(extra, it)) {
        struct slice name = slice_make(json_object_iter_key(it), json_object_iter_key_len(it));
        define_json(r, tree, name, json_object_iter_value(it));
    }
}

int template_render(const struct template *t, const struct template_input *in, struct strbuf *out,
                    struct err *err)
{
    struct jinja_frame outermost = {0};
    struct jinja_run r = {
        .arena = {.cap_bytes = JINJA_RENDER_BYTES}, .err = err, .out = out, .now_s = in->now_s, .line = 1};
    r.frame = &outermost;
    r.globals = xcalloc(t->tree.n_names, sizeof *r.globals);
    define_all(&r, &t->tree, in);
    jinja_exec(&r, t->tree.body);
    free(r.globals);
    jinja_arena_fini(&r.arena);
    return r.failed ? -1 : 0;
}
