// SPDX-License-Identifier: MIT
// Gemma's calls: call:NAME{key:<escape>text<escape>,n:1}, keys without quotes.
#include <string.h>

#include "text/reply_internal.h"
#include "text/reply_styles.h"

enum reply_took reply_take_gemma(struct reply_block *b)
{
    const struct reply_gemma *s = b->row->style;
    struct reply_literals how = {.quote = s->quote, .bare_keys = true};
    size_t at = reply_count_space(b->text), n;
    bool is_short;
    struct slice rest = reply_behind(b->text, at), prefix = slice_of("call:");
    if (!b->at_end && (rest.n == 0 || reply_is_prefix_of(rest, prefix.at)))
        return REPLY_WAIT;
    if (!slice_starts_with(rest, prefix))
        return REPLY_NONE;
    rest = reply_behind(rest, prefix.n);
    size_t brace = reply_find(rest, "{");
    if (brace == rest.n)
        return b->at_end ? REPLY_NONE : REPLY_WAIT;
    json_t *arguments = reply_read_literal(reply_behind(rest, brace), &how, &n, &is_short);
    if (arguments == NULL)
        return is_short && !b->at_end ? REPLY_WAIT : REPLY_NONE;
    if (!reply_add_call(b, slice_make(rest.at, brace), arguments, slice_of("")))
        return REPLY_NONE;
    at += prefix.n + brace + n;
    if (!reply_pass_closer(b, &at))
        return REPLY_WAIT;
    b->n_used = at;
    return REPLY_TAKEN;
}
