// SPDX-License-Identifier: MIT
// Calls whose name and arguments each stand in tags of their own. Values are raw text, which the tool's
// schema makes a number or a list of.
#include <string.h>

#include "text/reply_internal.h"
#include "text/reply_styles.h"

enum found { FOUND_NONE, FOUND_SHORT, FOUND_ONE };

// What stands before a word, which is passed.
static enum found pass_until(struct slice text, size_t *at, const char *word, struct slice *before)
{
    struct slice rest = reply_behind(text, *at);
    size_t n = reply_find(rest, word);
    if (n == rest.n)
        return FOUND_SHORT;
    *before = slice_make(rest.at, n);
    *at += n + strlen(word);
    return FOUND_ONE;
}

// Behind white space a word. FOUND_SHORT: it may still come.
static enum found pass_word(struct slice text, size_t *at, const char *word)
{
    size_t from = *at + reply_count_space(reply_behind(text, *at));
    struct slice rest = reply_behind(text, from);
    if (slice_starts_with(rest, slice_of(word))) {
        *at = from + strlen(word);
        return FOUND_ONE;
    }
    return reply_is_prefix_of(rest, word) ? FOUND_SHORT : FOUND_NONE;
}

// One line end at either side belongs to the tags.
static struct slice without_line_ends(struct slice text)
{
    if (text.n > 0 && text.at[0] == '\n')
        text = reply_behind(text, 1);
    if (text.n > 0 && text.at[text.n - 1] == '\n')
        text.n--;
    return text;
}

static struct slice without_cdata(struct slice text)
{
    static const char open[] = "<![CDATA[", close[] = "]]>";
    struct slice bare = reply_trim(text);
    size_t n_open = sizeof open - 1, n_close = sizeof close - 1;
    if (bare.n < n_open + n_close || memcmp(bare.at, open, n_open) != 0 ||
        memcmp(bare.at + bare.n - n_close, close, n_close) != 0)
        return text;
    return slice_make(bare.at + n_open, bare.n - n_open - n_close);
}

// `attributes`: what stands in the tag besides, where a family says there which values are JSON.
static json_t *value_of(const json_t *function, struct slice key, struct slice text, struct slice attributes)
{
    static const struct reply_literals json = {0};
    size_t n;
    bool is_short;
    if (reply_find(attributes, "string=\"true\"") < attributes.n)
        return json_stringn(text.n ? text.at : "", text.n);
    text = without_cdata(without_line_ends(text));
    if (reply_find(attributes, "string=\"false\"") == attributes.n)
        return reply_type_text(function, key, text);
    json_t *value = json_loadb(text.n ? text.at : "", text.n, JSON_DECODE_ANY, NULL);
    return value != NULL ? value : reply_read_literal(text, &json, &n, &is_short)
                                 ?: json_stringn(text.n ? text.at : "", text.n);
}

static enum found pass_parameter(const struct reply_xml *x, struct slice text, size_t *at,
                                 const json_t *function, json_t *arguments)
{
    struct slice key, value, attributes = slice_of("");
    size_t to = *at;
    enum found found = pass_word(text, &to, x->param_open);
    if (found != FOUND_ONE)
        return found;
    if (pass_until(text, &to, x->param_name_end, &key) != FOUND_ONE)
        return FOUND_SHORT;
    if (x->value_open == NULL && x->param_name_end[strlen(x->param_name_end) - 1] != '>' &&
        pass_until(text, &to, ">", &attributes) != FOUND_ONE)
        return FOUND_SHORT;
    if (x->value_open != NULL && (found = pass_word(text, &to, x->value_open)) != FOUND_ONE)
        return found;
    if (pass_until(text, &to, x->param_close, &value) != FOUND_ONE)
        return FOUND_SHORT;
    key = reply_trim(key);
    if (key.n == 0 || memchr(key.at, 0, key.n) != NULL)
        return FOUND_NONE;
    json_object_setn_new(arguments, key.at, key.n, value_of(function, key, value, attributes));
    *at = to;
    return FOUND_ONE;
}

// The name up to a tag or the end of the line, which stays.
static enum found pass_bare_name(struct slice text, size_t *at, struct slice *name)
{
    struct slice rest = reply_behind(text, *at);
    size_t n = 0;
    while (n < rest.n && rest.at[n] != '<' && rest.at[n] != '\n')
        n++;
    if (n == rest.n)
        return FOUND_SHORT;
    *name = slice_make(rest.at, n);
    *at += n;
    return reply_trim(*name).n > 0 ? FOUND_ONE : FOUND_NONE;
}

static bool has_required(const json_t *function, const json_t *arguments)
{
    const json_t *required = json_object_get(json_object_get(function, "parameters"), "required");
    for (size_t i = 0; i < json_array_size(required); i++)
        if (json_object_get(arguments, json_string_value(json_array_get(required, i)) ?: "") == NULL)
            return false;
    return true;
}

// One call from *at on. At the end of an answer what closes it may be missing, but no argument.
static enum found pass_call(struct reply_block *b, size_t *at, bool is_open)
{
    const struct reply_xml *x = b->row->style;
    struct slice name;
    size_t to = *at;
    enum found found = FOUND_ONE;
    if (!is_open && x->call_open[0] != 0)
        found = pass_word(b->text, &to, x->call_open);
    if (found == FOUND_ONE && x->name_end != NULL)
        found = pass_until(b->text, &to, x->name_end, &name);
    else if (found == FOUND_ONE)
        found = pass_bare_name(b->text, &to, &name);
    if (found != FOUND_ONE)
        return found;
    if (x->name_end != NULL && x->name_end[strlen(x->name_end) - 1] != '>' &&
        pass_until(b->text, &to, ">", &(struct slice){0}) != FOUND_ONE)
        return FOUND_SHORT;
    name = reply_trim(name);
    const json_t *function = reply_find_tool(b->tools, name);
    json_t *arguments = json_object();
    while ((found = pass_parameter(x, b->text, &to, function, arguments)) == FOUND_ONE)
        ;
    enum found closed = x->call_close != NULL ? pass_word(b->text, &to, x->call_close) : FOUND_ONE;
    bool has_rest = to + reply_count_space(reply_behind(b->text, to)) < b->text.n;
    bool is_cut = found == FOUND_SHORT && (has_rest || !b->at_end);
    if (is_cut || (closed == FOUND_SHORT && !b->at_end)) {
        json_decref(arguments);
        return FOUND_SHORT;
    }
    if (b->at_end && closed != FOUND_ONE && !has_required(function, arguments)) {
        json_decref(arguments);
        return FOUND_NONE;
    }
    if (!reply_add_call(b, name, arguments, slice_of("")))
        return FOUND_NONE;
    *at = to;
    return FOUND_ONE;
}

// Several calls may stand in one block, but where the opener is a call's own, each is a block.
enum reply_took reply_take_xml(struct reply_block *b)
{
    const struct reply_xml *x = b->row->style;
    bool is_open = x->call_open[0] != 0 && strcmp(b->row->openers[b->opener_i], x->call_open) == 0;
    size_t at = 0;
    enum found found = pass_call(b, &at, is_open);
    while (found == FOUND_ONE && !is_open && x->call_open[0] != 0 && at < b->text.n)
        if ((found = pass_call(b, &at, false)) == FOUND_NONE)
            break;
    if (found == FOUND_SHORT && !b->at_end)
        return REPLY_WAIT;
    if (json_array_size(b->calls) == 0)
        return REPLY_NONE;
    if (!reply_pass_closer(b, &at))
        return REPLY_WAIT;
    b->n_used = at;
    return REPLY_TAKEN;
}
