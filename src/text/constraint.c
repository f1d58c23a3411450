// SPDX-License-Identifier: MIT
// Thinking is free text that ends where its end tag ends: the automaton of Knuth, Morris and Pratt, as states
// of the grammar. Tags can be control tokens, so before every letter of one the mark of such a token may
// come.
#include "text/constraint.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/schema.h"
#include "text/spell.h"

enum { MAX_TAG_BYTES = 128, MAX_BLANKS = 8 };

struct constraint {
    struct grammar *g;
};

static void write_tag(struct grammar *g, uint32_t from, struct slice text, uint32_t to)
{
    if (text.n == 0)
        grammar_add_jump(g, from, to);
    for (size_t i = 0; i < text.n; i++) {
        uint32_t next = i + 1 < text.n ? grammar_add_state(g) : to, marked = grammar_add_state(g);
        uint8_t byte = (uint8_t)text.at[i];
        grammar_add_bytes(g, from, byte, byte, next);
        grammar_add_bytes(g, from, GRAMMAR_CONTROL, GRAMMAR_CONTROL, marked);
        grammar_add_bytes(g, marked, byte, byte, next);
        from = next;
    }
}

// ---- Thinking ----

// How much of the tag's beginning the text ends with, after `matched` bytes of it and one more.
static size_t matched_after(struct slice tag, size_t matched, uint8_t byte)
{
    for (size_t n = MIN(matched + 1, tag.n); n > 0; n--) {
        if ((uint8_t)tag.at[n - 1] == byte && memcmp(tag.at, tag.at + matched - (n - 1), n - 1) == 0)
            return n;
    }
    return 0;
}

static bool is_ascii(struct slice text)
{
    for (size_t i = 0; i < text.n; i++)
        if ((uint8_t)text.at[i] >= 0x80)
            return false;
    return true;
}

// The bytes up to `last` from behind i bytes of the tag, each run with one outcome as one edge.
static void write_bytes_until(struct grammar *g, const uint32_t *states, size_t i, struct slice tag,
                              uint32_t last)
{
    uint32_t first = 0, first_to = states[matched_after(tag, i, 0)];
    for (uint32_t byte = 1; byte <= last + 1; byte++) {
        uint32_t next = byte <= last ? states[matched_after(tag, i, (uint8_t)byte)] : UINT32_MAX;
        if (next == first_to)
            continue;
        grammar_add_bytes(g, states[i], (uint8_t)first, (uint8_t)(byte - 1), first_to);
        first = byte;
        first_to = next;
    }
}

// Free text from `from` to behind the tag; whole characters, unless the tag is made of bytes of others.
static void write_until(struct grammar *g, uint32_t from, struct slice tag, uint32_t to)
{
    uint32_t states[MAX_TAG_BYTES + 1], marked = grammar_add_state(g);
    bool has_plain_tag = is_ascii(tag);
    for (size_t i = 0; i < tag.n; i++)
        states[i] = i == 0 ? from : grammar_add_state(g);
    states[tag.n] = to;
    for (size_t i = 0; i < tag.n; i++) {
        write_bytes_until(g, states, i, tag, has_plain_tag ? 0x7F : GRAMMAR_CONTROL - 1);
        if (has_plain_tag)
            spell_range(g, states[i], 0x80, CODE_POINT_MAX, from);
        grammar_add_bytes(g, states[i], GRAMMAR_CONTROL, GRAMMAR_CONTROL, marked);
    }
    grammar_add_text(g, marked, tag, to);
}

static void write_blanks(struct grammar *g, uint32_t from, uint32_t to)
{
    uint32_t blank = grammar_add_state(g), repeat = grammar_add_state(g);
    for (const char *c = " \t\r\n"; *c != 0; c++)
        grammar_add_bytes(g, blank, (uint8_t)*c, (uint8_t)*c, GRAMMAR_END);
    grammar_add_jump(g, from, repeat);
    grammar_add_repeat(g, repeat, blank, 0, MAX_BLANKS, to);
}

// The whole reply's first state, when `rule` is what must come after the thinking.
static uint32_t write_thinking(struct grammar *g, const struct constraint_spec *spec, uint32_t rule)
{
    uint32_t inside = grammar_add_state(g), done = grammar_add_state(g), reply = grammar_add_state(g);
    write_until(g, inside, spec->think_end, done);
    uint32_t blank = grammar_add_state(g);
    write_blanks(g, done, blank);
    write_tag(g, blank, spec->after_thinking, reply);
    grammar_add_call(g, reply, rule, GRAMMAR_END);
    if (spec->in_thinking)
        return inside;
    uint32_t root = grammar_add_state(g), tag = grammar_add_state(g);
    grammar_add_call(g, root, rule, GRAMMAR_END);
    if (spec->think_begin.n > 0) {
        write_blanks(g, root, tag);
        write_tag(g, tag, spec->think_begin, inside);
    }
    return root;
}

// ---- Calls ----

static json_t *find_function(const json_t *tool)
{
    json_t *function = json_object_get(tool, "function");
    return json_is_object(function) ? function : (json_t *)tool;
}

static bool is_plain_name(struct slice name)
{
    for (size_t i = 0; i < name.n; i++)
        if ((unsigned char)name.at[i] < ' ' || name.at[i] == '"' || name.at[i] == '\\' || name.at[i] == 0x7F)
            return false;
    return name.n > 0 && name.n <= CONSTRAINT_MAX_NAME;
}

static int arguments_rule(struct grammar *g, const json_t *parameters, uint32_t *rule)
{
    struct err why = {0};
    json_t *object = json_pack("{s:s}", "type", "object");
    int rc = -1;
    if (json_object_size(parameters) > 0 && schema_compile(g, parameters, rule, &why) == 0)
        rc = 0;
    else if (!g->is_full) {
        err_clear(&why);
        rc = schema_compile(g, object, rule, &why);
    }
    json_decref(object);
    return rc;
}

// ---- Arguments in tags ----

static bool is_text(const json_t *schema)
{
    return slice_is(json_slice(json_object_get(schema, "type")), "string");
}

static bool is_in(const json_t *names, const char *name)
{
    for (size_t i = 0; i < json_array_size(names); i++)
        if (slice_is(json_slice(json_array_get(names, i)), name))
            return true;
    return false;
}

// The value of an argument and what ends it: one of the listed texts, any text, or JSON.
static void write_value(struct grammar *g, const json_t *schema, struct slice end, uint32_t from, uint32_t to)
{
    const json_t *listed = json_object_get(schema, "enum");
    struct err why = {0};
    uint32_t rule, behind = grammar_add_state(g);
    for (size_t i = 0; is_text(schema) && i < json_array_size(listed); i++)
        grammar_add_text(g, from, json_slice(json_array_get(listed, i)), behind);
    if (is_text(schema) && json_array_size(listed) > 0) {
        write_tag(g, behind, end, to);
    } else if (!is_text(schema) && schema_compile(g, schema, &rule, &why) == 0) {
        grammar_add_call(g, from, rule, behind);
        write_tag(g, behind, end, to);
    } else {
        write_until(g, from, end, to);
    }
}

// Those that the schema names, in its order; what is not required may be left out.
static uint32_t tagged_arguments_rule(struct grammar *g, const struct call_form *form,
                                      const json_t *parameters)
{
    uint32_t rule = grammar_add_state(g), at = rule;
    const json_t *required = json_object_get(parameters, "required");
    const char *name;
    json_t *schema;
    json_object_foreach(json_object_get(parameters, "properties"), name, schema)
    {
        uint32_t key = grammar_add_state(g), named = grammar_add_state(g), value = grammar_add_state(g),
                 next = grammar_add_state(g);
        write_tag(g, at, slice_of(form->before_key), key);
        grammar_add_text(g, key, slice_of(name), named);
        write_tag(g, named, slice_of(form->after_key), value);
        write_value(g, schema, slice_of(form->after_value), value, next);
        if (!is_in(required, name))
            grammar_add_jump(g, at, next);
        at = next;
    }
    write_tag(g, at, slice_of(form->after_arguments), GRAMMAR_END);
    return rule;
}

// The rules of the arguments of each function; 0: it may not be called.
static int write_arguments(struct grammar *g, const struct constraint_spec *spec, const json_t *tools,
                           uint32_t *rules, struct err *err)
{
    size_t n_written = 0;
    for (size_t i = 0; i < json_array_size(tools); i++) {
        const json_t *function = find_function(json_array_get(tools, i));
        struct slice name = json_slice(json_object_get(function, "name"));
        if (spec->only_tool.n > 0 && !slice_equals(name, spec->only_tool))
            continue;
        if (!is_plain_name(name))
            return err_set(err, ERR_INVALID, "a tool has no name, or one that cannot be written");
        if (arguments_rule(g, json_object_get(function, "parameters"), &rules[i]) != 0)
            return err_set(err, ERR_INVALID, "the schemas of the tools are too large");
        n_written++;
    }
    if (n_written == 0)
        return spec->only_tool.n > 0 ? err_set(err, ERR_INVALID, "there is no tool \"%.*s\"",
                                               (int)MIN(spec->only_tool.n, 200ul), spec->only_tool.at)
                                     : err_set(err, ERR_INVALID, "there are no tools");
    return 0;
}

// A rule that reads one call of any function that may be called.
static uint32_t write_call(struct grammar *g, const struct call_form *form, const json_t *tools,
                           const uint32_t *rules)
{
    uint32_t rule = grammar_add_state(g), name_at = grammar_add_state(g);
    write_tag(g, rule, slice_of(form->before_name), name_at);
    for (size_t i = 0; i < json_array_size(tools); i++) {
        const json_t *function = find_function(json_array_get(tools, i));
        if (rules[i] == 0)
            continue;
        uint32_t named = grammar_add_state(g), open = grammar_add_state(g), close = grammar_add_state(g);
        grammar_add_text(g, name_at, json_slice(json_object_get(function, "name")), named);
        write_tag(g, named, slice_of(form->before_arguments), open);
        if (form->before_key != NULL) {
            grammar_add_call(g, open, tagged_arguments_rule(g, form, json_object_get(function, "parameters")),
                             GRAMMAR_END);
            continue;
        }
        grammar_add_call(g, open, rules[i], close);
        write_tag(g, close, slice_of(form->after_arguments), GRAMMAR_END);
    }
    return rule;
}

static void write_form(struct grammar *g, const struct constraint_spec *spec, const struct call_form *form,
                       const json_t *tools, const uint32_t *rules, uint32_t rule)
{
    uint32_t call = write_call(g, form, tools, rules), first = grammar_add_state(g),
             end = grammar_add_state(g);
    uint32_t repeat = grammar_add_state(g);
    write_tag(g, rule, slice_of(form->before_calls), first);
    grammar_add_call(g, first, call, repeat);
    if (form->between_calls == NULL || spec->one_call) {
        grammar_add_jump(g, repeat, end);
    } else {
        uint32_t more = grammar_add_state(g), next = grammar_add_state(g);
        write_tag(g, more, slice_of(form->between_calls), next);
        grammar_add_call(g, next, call, GRAMMAR_END);
        grammar_add_repeat(g, repeat, more, 0, CONSTRAINT_MAX_CALLS - 1, end);
    }
    write_tag(g, end, slice_of(form->after_calls), GRAMMAR_END);
}

static int write_calls(struct grammar *g, const struct constraint_spec *spec, uint32_t rule, struct err *err)
{
    json_t *tools = json_parse(spec->tools_json, err);
    uint32_t *rules = xcalloc(json_array_size(tools) + 1, sizeof *rules);
    int rc = tools == NULL ? -1 : write_arguments(g, spec, tools, rules, err);
    for (size_t i = 0; i < spec->n_forms && rc == 0; i++)
        write_form(g, spec, &spec->forms[i], tools, rules, rule);
    json_decref(tools);
    free(rules);
    return rc;
}

// ---- The whole ----

static int write_format(struct grammar *g, const struct constraint_spec *spec, uint32_t rule, struct err *err)
{
    struct slice format = spec->format;
    uint32_t value;
    if (format.n > SCHEMA_MAX_BYTES)
        return err_set(err, ERR_INVALID, "the schema is larger than %d KiB", SCHEMA_MAX_BYTES >> 10);
    json_t *schema = json_parse(format, err);
    if (schema == NULL)
        return -1;
    bool is_any_object = (json_is_string(schema) && slice_is(json_slice(schema), "json")) ||
                         (json_is_object(schema) && json_object_size(schema) == 0);
    if (is_any_object) {
        json_decref(schema);
        schema = json_pack("{s:s}", "type", "object");
    }
    int rc = schema_compile(g, schema, &value, err);
    if (rc == 0) {
        uint32_t begin = grammar_add_state(g);
        write_tag(g, rule, spec->before_content, begin);
        grammar_add_call(g, begin, value, GRAMMAR_END);
    }
    json_decref(schema);
    return rc;
}

int constraint_new(struct constraint **out, const struct constraint_spec *spec, struct err *err)
{
    struct constraint *c = xcalloc(1, sizeof *c);
    struct err why = {0};
    int rc = 0;
    c->g = grammar_new();
    uint32_t rule = grammar_add_state(c->g);
    if (spec->think_end.n > MAX_TAG_BYTES || spec->think_begin.n > MAX_TAG_BYTES)
        rc = err_set(&why, ERR_INVALID, "a tag of the model's thinking is too long");
    if (rc == 0 && spec->format.n > 0)
        rc = write_format(c->g, spec, rule, &why);
    if (rc == 0 && spec->n_forms > 0)
        rc = write_calls(c->g, spec, rule, &why);
    if (rc == 0 && spec->think_end.n > 0)
        rule = write_thinking(c->g, spec, rule);
    if (rc == 0)
        rc = grammar_finish(c->g, rule, &why);
    if (rc != 0) {
        err_set(err, why.code, "%s", why.message);
        constraint_free(c);
        c = NULL;
    }
    *out = c;
    return rc;
}

void constraint_free(struct constraint *c)
{
    if (c == NULL)
        return;
    grammar_free(c->g);
    free(c);
}

const struct grammar *constraint_grammar(const struct constraint *c)
{
    return c->g;
}
