// SPDX-License-Identifier: MIT
// Calls that are a name and then an object.
#include <string.h>

#include "text/reply_internal.h"
#include "text/reply_styles.h"

static const struct reply_literals json = {0};

// The first of the words that comes; its index, -1 when none is there.
static int find_first(struct slice text, const char *const *words, size_t n_words, size_t *at)
{
    int found = -1;
    *at = text.n;
    for (size_t i = 0; i < n_words && words[i] != NULL; i++) {
        size_t where = reply_find(text, words[i]);
        if (where < *at) {
            *at = where;
            found = (int)i;
        }
    }
    return found;
}

// functions.NAME:0
static struct slice bare_name(struct slice name)
{
    struct slice prefix = slice_of("functions.");
    if (slice_starts_with(name, prefix))
        name = reply_behind(name, prefix.n);
    const char *colon = name.n > 0 ? memrchr(name.at, ':', name.n) : NULL;
    return colon != NULL ? slice_make(name.at, (size_t)(colon - name.at)) : name;
}

// The name, and where the object is looked for.
static bool read_name(const struct reply_named *s, struct slice text, struct slice *name, struct slice *id,
                      size_t *at)
{
    int end = find_first(text, s->name_end, 3, at);
    if (end < 0)
        return false;
    *name = reply_trim(slice_make(text.at, *at));
    *at += strcmp(s->name_end[end], "{") == 0 ? 0 : strlen(s->name_end[end]); // the object itself
    if (s->kind != NULL && slice_is(*name, s->kind)) { // the name comes next, up to the end of its line
        struct slice rest = reply_behind(text, *at);
        size_t n = reply_find(rest, "\n");
        *name = reply_trim(slice_make(rest.at, n));
        *at += n;
        if (n == rest.n)
            return false;
    }
    size_t mark = s->id_mark != NULL ? reply_find(*name, s->id_mark) : name->n;
    if (mark < name->n) {
        struct slice before = reply_trim(slice_make(name->at, mark)),
                     behind = reply_trim(reply_behind(*name, mark + strlen(s->id_mark)));
        *id = s->id_first ? before : behind;
        *name = s->id_first ? behind : before;
    }
    if (s->has_index) {
        *id = *name;
        *name = bare_name(*name);
    }
    return true;
}

// Where the object begins, behind white space and a fence; text.n when that is not decided.
static size_t find_brace(struct slice text, size_t at, bool *is_fenced)
{
    static const char *const fences[] = {"```json", "```"};
    at += reply_count_space(reply_behind(text, at));
    struct slice rest = reply_behind(text, at);
    if (reply_is_prefix_of(rest, fences[0]))
        return text.n;
    for (size_t i = 0; i < 2; i++)
        if (slice_starts_with(rest, slice_of(fences[i]))) {
            at += strlen(fences[i]);
            *is_fenced = true;
            break;
        }
    return at + reply_count_space(reply_behind(text, at));
}

// Behind white space the end of a fence, if it is there. False: it may still come.
static bool pass_fence_end(const struct reply_block *b, size_t *at)
{
    size_t after = *at + reply_count_space(reply_behind(b->text, *at));
    struct slice rest = reply_behind(b->text, after);
    if (!b->at_end && reply_is_prefix_of(rest, "```"))
        return false;
    if (slice_starts_with(rest, slice_of("```")))
        *at = after + 3;
    return true;
}

enum reply_took reply_take_named(struct reply_block *b)
{
    struct slice name, id = slice_of(""), first = reply_behind(b->text, reply_count_space(b->text));
    size_t at, n;
    bool is_short, is_fenced = false;
    if (first.n > 0 && reply_is_one_of(first.at[0], "[{")) // an older way of the same family
        return reply_take_json(b);
    if (!read_name(b->row->style, b->text, &name, &id, &at))
        return b->at_end ? REPLY_NONE : REPLY_WAIT;
    at = find_brace(b->text, at, &is_fenced);
    struct slice rest = reply_behind(b->text, at);
    if (rest.n > 0 && rest.at[0] != '{')
        return REPLY_NONE;
    json_t *arguments = reply_read_literal(rest, &json, &n, &is_short);
    if (arguments == NULL)
        return is_short && !b->at_end ? REPLY_WAIT : REPLY_NONE;
    at += n;
    if (!reply_add_call(b, name, arguments, id))
        return REPLY_NONE;
    if ((is_fenced && !pass_fence_end(b, &at)) || !reply_pass_closer(b, &at))
        return REPLY_WAIT;
    b->n_used = at;
    return REPLY_TAKEN;
}
