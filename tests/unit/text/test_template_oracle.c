// SPDX-License-Identifier: MIT
// A folder of chat templates with reference renders, given by the build option `oracle` (conversations.jsonl,
// templates.jsonl, templates/*.jinja); skipped (77) without one. A line with "error" must fail, any other
// must render exactly. With "rendered_if_tools_undefined" that is what is wanted, because drover leaves
// `tools` undefined when there are none.
#include "../jsonl.h"

#include "base/map.h"
#include "template_check.h"

struct oracle {
    const char *folder;
    json_t *conversations; // by id
    json_t *head;
    char name[256]; // of the template at hand
    struct template *t;
    int n_right, n_wrong, n_lists;
};

static void keep_conversation(void *arg, const json_t *line)
{
    struct oracle *o = arg;
    json_object_set(o->conversations, json_string_value(json_object_get(line, "id")), (json_t *)line);
}

static void use_template(struct oracle *o, const char *name)
{
    char path[1024];
    size_t n = 0;
    struct err err = {0};
    if (strcmp(o->name, name) == 0)
        return;
    template_free(o->t);
    snprintf(o->name, sizeof o->name, "%s", name);
    snprintf(path, sizeof path, "%s/templates/%s", o->folder, name);
    char *source = template_check_read(path, &n);
    if (source == NULL)
        fail_msg("no %s", path);
    if (template_new(&o->t, slice_make(source, n), &err) != 0)
        printf("%s: %s\n", name, err.message);
    free(source);
}

static void wrong(struct oracle *o, const char *conversation, const char *wanted, const char *got)
{
    size_t same = 0;
    while (wanted[same] != 0 && wanted[same] == got[same])
        same++;
    size_t from = same > 30 ? same - 30 : 0;
    printf("%s, %s: at byte %zu\n  wanted %.100s\n  got    %.100s\n", o->name, conversation, same,
           wanted + from, got + from);
    o->n_wrong++;
}

static void check_line(void *arg, const json_t *line)
{
    struct oracle *o = arg;
    const char *id = json_string_value(json_object_get(line, "conversation"));
    const char *wanted = json_string_value(json_object_get(line, "rendered"));
    const char *error = json_string_value(json_object_get(line, "error"));
    if (wanted == NULL)
        wanted = json_string_value(json_object_get(line, "rendered_if_tools_undefined"));
    struct strbuf out = STRBUF_INIT(1 << 20);
    struct err err = {0};
    use_template(o, json_string_value(json_object_get(line, "template")));
    if (o->t == NULL) {
        o->n_wrong++;
        return;
    }
    int rc = template_check_render(o->t, json_object_get(o->conversations, id),
                                   json_object_get(line, "variables"), o->head, &out, &err);
    if (wanted == NULL && strstr(error, "'list' object is unsafe") != NULL && rc == 0)
        o->n_lists++; // what changes a list is allowed here
    else if (wanted == NULL ? rc != 0 : rc == 0 && strcmp(strbuf_text(&out), wanted) == 0)
        o->n_right++;
    else
        wrong(o, id, wanted != NULL ? wanted : error, rc == 0 ? strbuf_text(&out) : err.message);
    strbuf_fini(&out);
}

// The head has tokens that the renders need.
static json_t *read_head(const char *path)
{
    FILE *f = fopen(path, "rb");
    char *line = NULL;
    size_t capacity = 0;
    json_t *head = NULL;
    if (f != NULL && getline(&line, &capacity, f) > 0)
        head = json_loads(line, 0, NULL);
    free(line);
    if (f != NULL)
        fclose(f);
    return head;
}

// conversations.jsonl has no head: its first line counts.
static void read_conversations(struct oracle *o, const char *path)
{
    json_t *first = read_head(path);
    keep_conversation(o, first);
    json_decref(first);
    jsonl_each(path, keep_conversation, o);
}

int main(int argc, char **argv)
{
    struct oracle o = {.folder = argc > 1 ? argv[1] : "", .conversations = json_object()};
    char path[1024];
    snprintf(path, sizeof path, "%s/templates.jsonl", o.folder);
    o.head = read_head(path);
    if (o.head == NULL) {
        printf("skipped: the build option `oracle` names no folder with templates.jsonl\n");
        json_decref(o.conversations);
        return 77;
    }
    snprintf(path, sizeof path, "%s/conversations.jsonl", o.folder);
    read_conversations(&o, path);
    snprintf(path, sizeof path, "%s/templates.jsonl", o.folder);
    jsonl_each(path, check_line, &o);
    printf("%d right, %d rendered where the reference refuses to change a list, %d wrong\n", o.n_right,
           o.n_lists, o.n_wrong);
    template_free(o.t);
    json_decref(o.head);
    json_decref(o.conversations);
    return o.n_wrong != 0;
}
