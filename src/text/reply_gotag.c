// SPDX-License-Identifier: MIT
// Calls of Ollama's Go templates, whatever the model: behind the template's tag the name of a tool that the
// client has, then the first object that says its arguments. What else the model writes there is markup and
// dropped, but if no call comes at all it was content.
#include <string.h>

#include "base/mem.h"
#include "text/reply_internal.h"

static const struct reply_literals json = {0};

static struct slice tool_name(const struct reply_block *b, size_t i)
{
    const json_t *function = json_object_get(json_array_get(b->tools, i), "function");
    return json_slice(json_object_get(function, "name"));
}

// Whether the text ends within what may become a tool's name that begins at `limit` or before.
static bool may_name_before(const struct reply_block *b, size_t limit)
{
    for (size_t i = 0; i < json_array_size(b->tools); i++) {
        struct slice n = tool_name(b, i);
        for (size_t at = b->text.n - MIN(b->text.n, n.n > 0 ? n.n - 1 : 0); at < b->text.n && at <= limit;
             at++)
            if (memcmp(b->text.at + at, n.at, b->text.n - at) == 0)
                return true;
    }
    return false;
}

// The name of a tool that comes first in the text, the longest of those. False: there is none, or not yet.
static bool find_name(const struct reply_block *b, struct slice *name, size_t *at)
{
    *at = b->text.n;
    for (size_t i = 0; i < json_array_size(b->tools); i++) {
        struct slice n = tool_name(b, i);
        const char *found = n.n > 0 && b->text.n > 0 ? memmem(b->text.at, b->text.n, n.at, n.n) : NULL;
        size_t where = found != NULL ? (size_t)(found - b->text.at) : b->text.n;
        if (where < *at || (found != NULL && where == *at && n.n > name->n)) {
            *at = where;
            *name = n;
        }
    }
    return *at < b->text.n && (b->at_end || !may_name_before(b, *at));
}

// Where the arguments are within an object that was found: borrowed, or NULL.
static const json_t *find_arguments(const json_t *value, struct slice name, int depth)
{
    const char *key;
    json_t *inner;
    if (!json_is_object(value) || depth > 8)
        return NULL;
    if (json_object_get(value, "name") != NULL) {
        const json_t *found = json_object_get(value, "arguments");
        return found != NULL ? found : json_object_get(value, "parameters");
    }
    const json_t *found = json_object_getn(value, name.at, name.n);
    if (found != NULL)
        return found;
    json_object_foreach((json_t *)value, key, inner)
    {
        found = find_arguments(inner, name, depth + 1);
        if (found != NULL)
            return found;
    }
    return NULL;
}

// The first object from `from` on that can be read. NULL: it may still come.
static json_t *find_object(const struct reply_block *b, size_t from, size_t *end)
{
    for (size_t at = from; at < b->text.n; at++) {
        size_t n;
        bool is_short;
        if (b->text.at[at] != '{')
            continue;
        json_t *value = reply_read_literal(reply_behind(b->text, at), &json, &n, &is_short);
        *end = at + n;
        if (value != NULL || is_short)
            return value;
    }
    return NULL;
}

// Where the object begins that holds the name: {"name": "f", ...} begins before it.
static size_t find_start(const struct reply_block *b, size_t name_at)
{
    for (size_t i = name_at; i > 0; i--) {
        if (b->text.at[i - 1] == '}')
            break;
        if (b->text.at[i - 1] == '{')
            return i - 1;
    }
    return name_at;
}

// Behind the bracket that the block began with.
static bool is_balanced(const struct reply_block *b, size_t *end)
{
    char open = b->tag[0], close = open == '{' ? '}' : ']';
    int depth = 0;
    for (size_t i = 0; i < b->text.n; i++) {
        depth += (b->text.at[i] == open) - (b->text.at[i] == close);
        if (depth == 0 && b->text.at[i] == close) {
            *end = i + 1;
            return true;
        }
    }
    return false;
}

static enum reply_took take_rest(struct reply_block *b, bool has_calls)
{
    b->n_used = has_calls ? b->text.n : 0;
    return has_calls ? REPLY_TAKEN : REPLY_NONE;
}

// One call of the text from *at on; then *at is behind it. REPLY_NONE: there is none.
static enum reply_took take_one(struct reply_block *b, size_t *at)
{
    struct reply_block rest = *b;
    struct slice name = slice_of("");
    size_t name_at, end;
    bool is_short;
    rest.text = reply_behind(b->text, *at);
    json_t *value =
        find_name(&rest, &name, &name_at) ? find_object(&rest, find_start(&rest, name_at), &end) : NULL;
    if (value == NULL)
        return b->at_end ? REPLY_NONE : REPLY_WAIT;
    const json_t *found = find_arguments(value, name, 0);
    json_t *arguments = json_is_string(found)
                            ? reply_read_literal(json_slice(found), &json, &(size_t){0}, &is_short)
                            : json_incref((json_t *)(found != NULL ? found : value));
    if (found == NULL && json_object_get(value, "name") != NULL) { // a call without arguments
        json_decref(arguments);
        arguments = json_object();
    }
    reply_add_call(b, name, arguments, slice_of(""));
    json_decref(value);
    *at += end;
    return REPLY_TAKEN;
}

// A tag that is a bracket: the block is what is between it and its end.
static enum reply_took take_bracketed(struct reply_block *b)
{
    size_t n_space = reply_count_space(b->text), end, at = 0;
    struct reply_block whole = *b;
    whole.text = reply_behind(b->text, n_space);
    bool is_whole = is_balanced(&whole, &end);
    if (!is_whole && !b->at_end)
        return REPLY_WAIT;
    whole.text.n = is_whole ? end : whole.text.n;
    whole.at_end = true;
    while (take_one(&whole, &at) == REPLY_TAKEN)
        ;
    if (json_array_size(b->calls) == 0)
        return REPLY_NONE;
    b->n_used = n_space + whole.text.n;
    return REPLY_TAKEN;
}

enum reply_took reply_take_go_tag(struct reply_block *b)
{
    size_t at = 0;
    if (strcmp(b->tag, "{") == 0 || strcmp(b->tag, "[") == 0)
        return take_bracketed(b);
    enum reply_took took = take_one(b, &at);
    if (took == REPLY_NONE)
        return take_rest(b, b->n_calls > 0);
    b->stays = true;
    b->n_used = at;
    return took;
}
