// SPDX-License-Identifier: MIT
// Calls as JSON: in tags, one or several, in an array or not; and without tags at the very beginning of an
// answer, as many models write them whatever their template says.
#include <string.h>

#include "text/reply_internal.h"

static const struct reply_literals json = {0};

// Objects or arrays one behind the other, from *at on; between them may stand ',', ';' and white space, which
// is passed behind the last one too. False: the text ends within.
static bool read_values(struct reply_block *b, size_t *at, size_t *n_calls)
{
    for (;;) {
        size_t from = *at, n;
        bool is_short;
        while (from < b->text.n && reply_is_one_of(b->text.at[from], " \t\r\n,;"))
            from++;
        if (*n_calls == 0 && slice_starts_with(reply_behind(b->text, from), slice_of("```json")))
            from += 7; // as Command R writes it
        else if (*n_calls == 0 && reply_is_prefix_of(reply_behind(b->text, from), "```json") && !b->at_end)
            return false;
        from += reply_count_space(reply_behind(b->text, from));
        if (*n_calls > 0)
            *at = from;
        if (from == b->text.n || !reply_is_one_of(b->text.at[from], "{["))
            return from < b->text.n || b->at_end;
        json_t *value = reply_read_literal(reply_behind(b->text, from), &json, &n, &is_short);
        if (value == NULL)
            return !is_short;
        size_t n_more = reply_add_calls_of(b, value);
        json_decref(value);
        if (n_more == 0)
            return true;
        *n_calls += n_more;
        *at = from + n;
    }
}

enum reply_took reply_take_json(struct reply_block *b)
{
    size_t at = 0, n_calls = 0;
    if (!read_values(b, &at, &n_calls) && !b->at_end)
        return REPLY_WAIT;
    if (n_calls == 0)
        return REPLY_NONE;
    if (!reply_pass_closer(b, &at))
        return REPLY_WAIT;
    b->n_used = at;
    return REPLY_TAKEN;
}

// ---- Without tags ----
// Whether it may still be the JSON of a call: its first member is one of theirs.
static bool may_be_call(struct slice text)
{
    static const char *const keys[] = {"\"name\"",       "\"type\"", "\"function\"", "\"arguments\"",
                                       "\"parameters\"", "\"id\"",   "\"tool_name\""};
    text = reply_behind(text, reply_count_space(text));
    if (text.n > 0 && text.at[0] == '[')
        text = reply_behind(text, 1 + reply_count_space(reply_behind(text, 1)));
    if (text.n > 0 && text.at[0] != '{')
        return false;
    text = reply_behind(text, 1 + reply_count_space(reply_behind(text, 1)));
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (reply_is_prefix_of(text, keys[i]) || slice_starts_with(text, slice_of(keys[i])))
            return true;
    return false;
}

// Whether every call found is one of a tool that the client has.
static bool are_declared(const struct reply_block *b)
{
    for (size_t i = 0; i < json_array_size(b->calls); i++)
        if (reply_find_tool(b->tools, json_slice(json_object_get(json_array_get(b->calls, i), "name"))) ==
            NULL)
            return false;
    return json_array_size(b->calls) > 0;
}

// Behind "```json" and its like; 0: there is no fence; text.n: it may still come.
static size_t pass_fence(struct slice text)
{
    static const char *const fences[] = {"```json", "```tool_call", "```xml", "```"};
    size_t at = reply_count_space(text);
    struct slice rest = reply_behind(text, at);
    for (size_t i = 0; i < sizeof fences / sizeof fences[0]; i++) {
        if (reply_is_prefix_of(rest, fences[i]))
            return text.n;
        if (slice_starts_with(rest, slice_of(fences[i])))
            return at + strlen(fences[i]);
    }
    return 0;
}

enum reply_took reply_take_bare(struct reply_block *b)
{
    size_t first = reply_count_space(b->text), at = 0, n_calls = 0;
    bool is_fenced = first < b->text.n && b->text.at[first] == '`';
    if (is_fenced)
        at = pass_fence(b->text);
    if (at == b->text.n && !b->at_end)
        return REPLY_WAIT;
    if ((is_fenced && at == 0) || !may_be_call(reply_behind(b->text, at)))
        return REPLY_NONE;
    if (!read_values(b, &at, &n_calls) && !b->at_end)
        return REPLY_WAIT;
    if (n_calls == 0 || !are_declared(b))
        return REPLY_NONE;
    struct slice rest = reply_behind(b->text, at);
    if (!b->at_end && is_fenced && reply_is_prefix_of(rest, "```"))
        return REPLY_WAIT;
    if (is_fenced && slice_starts_with(rest, slice_of("```")))
        at += 3;
    if (!reply_pass_closer(b, &at))
        return REPLY_WAIT;
    b->n_used = at;
    return REPLY_TAKEN;
}
