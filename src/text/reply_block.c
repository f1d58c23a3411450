// SPDX-License-Identifier: MIT
// What the hooks of several families need: words, calls, closers, and texts as a schema wants them.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "text/reply_internal.h"

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

size_t reply_count_space(struct slice text)
{
    size_t n = 0;
    while (n < text.n && is_space(text.at[n]))
        n++;
    return n;
}

struct slice reply_behind(struct slice text, size_t n)
{
    return n < text.n ? slice_make(text.at + n, text.n - n) : slice_make("", 0);
}

struct slice reply_trim(struct slice text)
{
    text = reply_behind(text, reply_count_space(text));
    while (text.n > 0 && is_space(text.at[text.n - 1]))
        text.n--;
    return text;
}

size_t reply_find(struct slice text, const char *word)
{
    const char *at = text.n > 0 ? memmem(text.at, text.n, word, strlen(word)) : NULL;
    return at != NULL ? (size_t)(at - text.at) : text.n;
}

bool reply_is_prefix_of(struct slice text, const char *word)
{
    return text.n < strlen(word) && (text.n == 0 || memcmp(text.at, word, text.n) == 0);
}

const json_t *reply_find_tool(const json_t *tools, struct slice name)
{
    for (size_t i = 0; i < json_array_size(tools); i++) {
        const json_t *function = json_object_get(json_array_get(tools, i), "function");
        if (name.n > 0 && slice_equals(json_slice(json_object_get(function, "name")), name))
            return function;
    }
    return NULL;
}

bool reply_add_call(struct reply_block *b, struct slice name, json_t *arguments, struct slice id)
{
    name = reply_trim(name);
    if (name.n == 0 || !json_is_object(arguments)) {
        json_decref(arguments);
        arguments = name.n > 0 ? json_object() : NULL;
    }
    json_t *call = json_object(), *text = json_stringn(name.at, name.n);
    bool is_call = name.n > 0 && text != NULL;
    json_object_set_new(call, "name", text);
    json_object_set_new(call, "arguments", arguments);
    if (id.n > 0)
        json_object_set_new(call, "id", json_stringn(id.at, id.n));
    if (is_call)
        json_array_append(b->calls, call);
    json_decref(call);
    return is_call;
}

// The first member of these names, or NULL.
static const json_t *find_member(const json_t *object, const char *const *names)
{
    const json_t *found = NULL;
    for (size_t i = 0; names[i] != NULL && found == NULL; i++)
        found = json_object_get(object, names[i]);
    return found;
}

// Arguments that are a text hold the JSON of them.
static json_t *read_arguments(const json_t *value)
{
    static const struct reply_literals json = {0};
    size_t n;
    bool is_short;
    if (json_is_string(value))
        return reply_read_literal(json_slice(value), &json, &n, &is_short);
    return json_incref((json_t *)value);
}

// {"f": {arguments}}, of a tool that the client has.
static bool add_keyed_call(struct reply_block *b, const json_t *object)
{
    void *at = json_object_iter((json_t *)object);
    struct slice name = slice_make(json_object_iter_key(at), json_object_iter_key_len(at));
    json_t *value = json_object_iter_value(at);
    if (!json_is_object(value) || reply_find_tool(b->tools, name) == NULL)
        return false;
    return reply_add_call(b, name, json_incref(value), slice_of(""));
}

static bool add_call_of(struct reply_block *b, const json_t *object)
{
    static const char *const names[] = {"name", "tool_name", "function", NULL},
                             *const arguments[] = {"arguments", "parameters", NULL},
                             *const ids[] = {"id", "tool_call_id", NULL};
    const json_t *name = find_member(object, names), *inner = object;
    if (json_is_object(name)) { // {"function": {"name", "arguments"}}
        inner = name;
        name = json_object_get(inner, "name");
    }
    struct slice text = reply_trim(json_slice(name));
    if (name == NULL && json_object_size(object) == 1)
        return add_keyed_call(b, object);
    if (text.n == 0 || slice_is(text, "directly_answer")) // Cohere's word for no call
        return false;
    return reply_add_call(b, text, read_arguments(find_member(inner, arguments)),
                          json_slice(find_member(object, ids)));
}

size_t reply_add_calls_of(struct reply_block *b, const json_t *value)
{
    size_t n = 0, i;
    json_t *item;
    if (json_is_object(value))
        return add_call_of(b, value);
    json_array_foreach((json_t *)value, i, item) n += add_call_of(b, item);
    return n;
}

bool reply_pass_closer(const struct reply_block *b, size_t *at)
{
    size_t after = *at + reply_count_space(reply_behind(b->text, *at));
    struct slice rest = reply_behind(b->text, after);
    bool may_come = false;
    for (size_t i = 0; i < REPLY_MAX_CLOSERS && b->row->closers[i] != NULL; i++) {
        if (slice_starts_with(rest, slice_of(b->row->closers[i]))) {
            *at = after + strlen(b->row->closers[i]);
            return true;
        }
        may_come |= reply_is_prefix_of(rest, b->row->closers[i]);
    }
    return b->at_end || !may_come;
}

// ---- Texts by schema ----
static json_t *as_json(struct slice text, bool (*is_wanted)(const json_t *))
{
    static const struct reply_literals json = {0};
    struct strbuf ended = STRBUF_INIT(SIZE_MAX / 2);
    size_t n;
    bool is_short;
    strbuf_push_slice(&ended, text);
    strbuf_push_char(&ended, ' '); // a number ends
    json_t *value = reply_read_literal(strbuf_slice(&ended), &json, &n, &is_short);
    if (value != NULL && (n < text.n || !is_wanted(value))) {
        json_decref(value);
        value = NULL;
    }
    strbuf_fini(&ended);
    return value;
}

static bool is_boolean(const json_t *v)
{
    return json_is_boolean(v);
}

static bool is_integer(const json_t *v)
{
    return json_is_integer(v);
}

static bool is_number(const json_t *v)
{
    return json_is_number(v);
}

static bool is_array(const json_t *v)
{
    return json_is_array(v);
}

static bool is_object(const json_t *v)
{
    return json_is_object(v);
}

static bool names_type(const json_t *type, const char *name)
{
    for (size_t i = 0; i < json_array_size(type); i++)
        if (slice_is(json_slice(json_array_get(type, i)), name))
            return true;
    return slice_is(json_slice(type), name);
}

static bool has_type(const json_t *schema, const char *name)
{
    const json_t *any = json_object_get(schema, "anyOf");
    for (size_t i = 0; i < json_array_size(any); i++)
        if (names_type(json_object_get(json_array_get(any, i), "type"), name))
            return true;
    return names_type(json_object_get(schema, "type"), name);
}

json_t *reply_type_text(const json_t *function, struct slice parameter, struct slice text)
{
    static const struct {
        const char *type;
        bool (*is_wanted)(const json_t *);
    } types[] = {{"boolean", is_boolean},
                 {"integer", is_integer},
                 {"number", is_number},
                 {"array", is_array},
                 {"object", is_object}};
    const json_t *properties = json_object_get(json_object_get(function, "parameters"), "properties");
    const json_t *schema = parameter.n > 0 ? json_object_getn(properties, parameter.at, parameter.n) : NULL;
    struct slice bare = reply_trim(text);
    json_t *value = NULL;
    if (bare.n == 4 && strncasecmp(bare.at, "null", 4) == 0)
        return json_null();
    for (size_t i = 0; i < COUNT_OF(types) && value == NULL; i++)
        if (has_type(schema, types[i].type))
            value = as_json(bare, types[i].is_wanted);
    if (value == NULL && slice_is(json_slice(json_object_get(schema, "type")), "boolean"))
        return json_boolean(bare.n == 4 && strncasecmp(bare.at, "true", 4) == 0);
    return value != NULL ? value : json_stringn(text.n ? text.at : "", text.n);
}
