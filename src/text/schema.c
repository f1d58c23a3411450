// SPDX-License-Identifier: MIT
// The queue of rules. A schema's rule is found by its text, so equal schemas share one and recursion ends; it
// gets its first state at once and is written when its turn comes, so nothing recurses as deep as the schema.
#include "text/schema.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/strbuf.h"
#include "text/pattern.h"
#include "text/schema_internal.h"
#include "text/spell.h"

enum { MAX_EXPANSIONS = 4096, MAX_BLANKS = 32, MAX_WORK = 1 << 23, MAX_TEXT_BYTES = 16 << 20 };

int schema_fail(struct schema *s, const char *format, ...)
{
    char text[600];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return err_set(s->err, ERR_INVALID, "%.200s: %s", s->path, text);
}

uint32_t schema_rule(struct schema *s, const json_t *schema, const char *step)
{
    char *text = json_dumps(schema, JSON_COMPACT | JSON_ENCODE_ANY);
    struct strbuf path = STRBUF_INIT(256);
    uint32_t start;
    if (text == NULL)
        text = xstrdup("");
    if (map_find(&s->rules, slice_of(text), &start)) {
        free(text);
        return start;
    }
    s->n_text_bytes += strlen(text);
    if (s->n_jobs == SCHEMA_MAX_RULES || s->n_text_bytes > MAX_TEXT_BYTES) {
        s->g->is_full = true;
        free(text);
        return 0;
    }
    if (s->n_jobs == s->job_capacity) {
        s->job_capacity = MAX(32, s->job_capacity * 2);
        s->jobs = xrealloc(s->jobs, s->job_capacity * sizeof *s->jobs);
        s->texts = xrealloc(s->texts, s->job_capacity * sizeof *s->texts);
    }
    strbuf_printf(&path, "%s%s", s->path, step);
    start = grammar_add_state(s->g);
    s->jobs[s->n_jobs] = (struct schema_job){json_incref((json_t *)schema), strbuf_take(&path), start};
    s->texts[s->n_jobs++] = text;
    map_set(&s->rules, slice_of(text), start);
    strbuf_fini(&path);
    return start;
}

json_t *schema_all_of(json_t *list)
{
    json_t *only = json_array_size(list) == 1   ? json_incref(json_array_get(list, 0))
                   : json_array_size(list) == 0 ? json_true()
                                                : NULL;
    for (size_t i = 0; i < json_array_size(list) && only == NULL; i++)
        if (json_is_false(json_array_get(list, i)))
            only = json_false();
    if (only == NULL)
        only = json_pack("{s:O}", "allOf", list);
    json_decref(list);
    return only;
}

// ---- Rules that many use ----

void schema_write_space(struct schema *s, uint32_t from, uint32_t to)
{
    struct grammar *g = s->g;
    if (s->blank == 0) {
        s->blank = grammar_add_state(g);
        grammar_add_bytes(g, s->blank, ' ', ' ', GRAMMAR_END);
        grammar_add_bytes(g, s->blank, '\t', '\t', GRAMMAR_END);
    }
    uint32_t line = grammar_add_state(g);
    grammar_add_jump(g, from, to);
    grammar_add_bytes(g, from, ' ', ' ', to);
    grammar_add_bytes(g, from, '\n', '\n', line);
    grammar_add_repeat(g, line, s->blank, 0, MAX_BLANKS, to);
}

uint32_t schema_string_rule(struct schema *s)
{
    if (s->string == 0) {
        uint32_t inside = grammar_add_state(s->g);
        s->string = grammar_add_state(s->g);
        grammar_add_bytes(s->g, s->string, '"', '"', inside);
        spell_any_char(s->g, inside, inside);
        grammar_add_bytes(s->g, inside, '"', '"', GRAMMAR_END);
    }
    return s->string;
}

uint32_t schema_value_rule(struct schema *s)
{
    json_t *anything = json_true();
    return schema_rule(s, anything, "");
}

// ---- One rule ----

static int write_node(struct schema *s, struct node *n, uint32_t start);

// One of the first group's alternatives, beside everything else.
static int write_group(struct schema *s, struct node *n, uint32_t start)
{
    json_t *group = json_incref(json_array_get(n->groups, 0)), *list = json_object_get(group, "of");
    bool is_last = json_array_size(n->groups) == 1, is_one = json_is_true(json_object_get(group, "one"));
    int rc = 0;
    json_array_remove(n->groups, 0);
    if (is_one)
        rc = schema_check_one_of(s, n, list);
    for (size_t i = 0; i < json_array_size(list) && rc == 0; i++) {
        struct node part;
        if (is_last && node_is_bare(n)) {
            char step[32];
            snprintf(step, sizeof step, "/%s/%zu", is_one ? "oneOf" : "anyOf", i);
            grammar_add_call(s->g, start, schema_rule(s, json_array_get(list, i), step), GRAMMAR_END);
            continue;
        }
        if (++s->n_expansions > MAX_EXPANSIONS) {
            rc = schema_fail(s, "too many combinations of anyOf and oneOf");
            break;
        }
        node_copy(&part, n);
        rc = node_read(s, &part, json_array_get(list, i), 1);
        if (rc == 0)
            rc = write_node(s, &part, start);
        node_fini(&part);
    }
    json_decref(group);
    return rc;
}

static int write_types(struct schema *s, const struct node *n, uint32_t start)
{
    unsigned types = node_written_types(n);
    int rc = 0;
    if (types & TYPE_NULL)
        grammar_add_text(s->g, start, slice_of("null"), GRAMMAR_END);
    if (types & TYPE_BOOLEAN) {
        grammar_add_text(s->g, start, slice_of("true"), GRAMMAR_END);
        grammar_add_text(s->g, start, slice_of("false"), GRAMMAR_END);
    }
    if (types & TYPE_NUMBER)
        rc = schema_write_numbers(s, n, types, start);
    if (rc == 0 && (types & TYPE_STRING))
        rc = schema_write_string(s, n, start);
    if (rc == 0 && (types & TYPE_ARRAY))
        rc = schema_write_array(s, n, start);
    if (rc == 0 && (types & TYPE_OBJECT))
        rc = schema_write_object(s, n, start);
    return rc;
}

static int write_node(struct schema *s, struct node *n, uint32_t start)
{
    if (json_array_size(n->groups) > 0)
        return write_group(s, n, start);
    return n->values != NULL ? schema_write_values(s, n, start) : write_types(s, n, start);
}

static int write_rule(struct schema *s, const json_t *schema, uint32_t start)
{
    struct node n;
    node_init(&n);
    int rc = node_read(s, &n, schema, 0);
    if (rc == 0)
        rc = write_node(s, &n, start);
    node_fini(&n);
    return rc;
}

int schema_compile(struct grammar *g, const json_t *schema, uint32_t *rule, struct err *err)
{
    struct schema s = {.g = g, .root = schema, .err = err, .path = "#", .work = MAX_WORK};
    int rc = 0;
    map_init(&s.rules, 64);
    *rule = schema_rule(&s, schema, "");
    while (rc == 0 && s.next_job < s.n_jobs && !g->is_full) {
        struct schema_job job = s.jobs[s.next_job++];
        s.path = job.path;
        rc = write_rule(&s, job.schema, job.start);
    }
    for (uint32_t i = 0; i < s.n_jobs; i++) {
        json_decref(s.jobs[i].schema);
        free(s.jobs[i].path);
        free(s.texts[i]);
    }
    free(s.jobs);
    free(s.texts);
    map_fini(&s.rules);
    return rc;
}
