// SPDX-License-Identifier: MIT
// Calls as Python writes them: [f(a="x", b=1), g()].
#include <ctype.h>
#include <string.h>

#include "text/reply_internal.h"

static const struct reply_literals python = {0};

struct reader {
    struct slice text;
    size_t at;
    bool is_short; // the end of the text was seen: with more of it, all that was read behind may differ
};

static void skip_space(struct reader *r)
{
    r->at += reply_count_space(reply_behind(r->text, r->at));
    r->is_short |= r->at >= r->text.n;
}

static bool passes(struct reader *r, char c)
{
    skip_space(r);
    if (r->at >= r->text.n || r->text.at[r->at] != c)
        return false;
    r->at++;
    return true;
}

static struct slice read_identifier(struct reader *r)
{
    skip_space(r);
    size_t from = r->at;
    while (r->at < r->text.n &&
           (isalnum((unsigned char)r->text.at[r->at]) || reply_is_one_of(r->text.at[r->at], "_.-")))
        r->at++;
    r->is_short |= r->at == r->text.n;
    return slice_make(r->text.at + from, r->at - from);
}

// The name of the i-th parameter, for a value without one.
static struct slice parameter_name(const json_t *function, size_t i)
{
    json_t *properties = json_object_get(json_object_get(function, "parameters"), "properties");
    void *at = json_object_iter(properties);
    while (at != NULL && i-- > 0)
        at = json_object_iter_next(properties, at);
    return at != NULL ? slice_make(json_object_iter_key(at), json_object_iter_key_len(at)) : slice_of("");
}

static bool read_argument(struct reader *r, const json_t *function, json_t *arguments)
{
    size_t before = r->at, n;
    bool is_short;
    struct slice name = read_identifier(r);
    if (name.n == 0 || !passes(r, '=')) {
        r->at = before;
        name = parameter_name(function, json_object_size(arguments));
    }
    skip_space(r);
    json_t *value = reply_read_literal(reply_behind(r->text, r->at), &python, &n, &is_short);
    r->is_short |= is_short;
    r->at += n;
    if (value != NULL && name.n > 0)
        json_object_setn(arguments, name.at, name.n, value);
    json_decref(value);
    return value != NULL;
}

static bool read_call(struct reader *r, struct reply_block *b)
{
    struct slice name = read_identifier(r);
    if (name.n > 5 && memcmp(name.at + name.n - 5, ".call", 5) == 0) // Llama's tools of its own
        name.n -= 5;
    if (name.n == 0 || !passes(r, '('))
        return false;
    json_t *arguments = json_object();
    const json_t *function = reply_find_tool(b->tools, name);
    bool is_good = true, is_over = passes(r, ')');
    while (is_good && !is_over) {
        is_good = read_argument(r, function, arguments);
        is_over = is_good && passes(r, ')');
        is_good = is_good && (is_over || passes(r, ','));
    }
    if (is_good)
        return reply_add_call(b, name, arguments, slice_of(""));
    json_decref(arguments);
    return false;
}

enum reply_took reply_take_python(struct reply_block *b)
{
    struct reader r = {.text = b->text};
    bool is_list = passes(&r, '['), goes_on = true, is_good = true;
    size_t end = 0;
    while (goes_on && (is_good = read_call(&r, b))) {
        end = r.at;
        if (is_list) {
            goes_on = passes(&r, ',');
        } else {
            passes(&r, ',');
            passes(&r, ';');
            skip_space(&r);
            goes_on = r.at < r.text.n && (isalpha((unsigned char)r.text.at[r.at]) || r.text.at[r.at] == '_');
        }
    }
    bool is_whole = is_list && is_good && passes(&r, ']');
    if (is_whole)
        end = r.at;
    else if (r.is_short && !b->at_end) // behind a call another may come
        return REPLY_WAIT;
    bool is_broken = is_list && !is_whole && !b->at_end;
    if (is_broken || json_array_size(b->calls) == 0)
        return REPLY_NONE;
    if (!reply_pass_closer(b, &end))
        return REPLY_WAIT;
    b->n_used = end;
    return REPLY_TAKEN;
}

// Behind Llama's <|python_tag|>: JSON, a call, or a program, which is text.
enum reply_took reply_take_llama(struct reply_block *b)
{
    struct slice first = reply_behind(b->text, reply_count_space(b->text));
    if (first.n == 0)
        return b->at_end ? REPLY_NONE : REPLY_WAIT;
    if (first.at[0] == '{' || first.at[0] == '[')
        return reply_take_json(b);
    return reply_take_python(b);
}
