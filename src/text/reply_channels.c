// SPDX-License-Identifier: MIT
// Families that write a header before everything they say: gpt-oss (harmony: a channel, and who a message is
// for) and Functionary 3.2 (who it is for, on a line of its own).
#include <string.h>

#include "base/mem.h"
#include "text/reply_internal.h"

static const struct reply_literals json = {0};

// An object, and what closes it. The call is of `name`.
static enum reply_took take_body(struct reply_block *b, size_t at, struct slice name)
{
    size_t n;
    bool is_short;
    struct slice body = reply_behind(b->text, at);
    json_t *arguments = reply_read_literal(body, &json, &n, &is_short);
    bool is_json = arguments != NULL;
    if (!is_json && !b->at_end && (is_short || body.n == 0))
        return REPLY_WAIT;
    if (!is_json || !reply_add_call(b, name, arguments, slice_of("")))
        return REPLY_NONE;
    at += n;
    if (!reply_pass_closer(b, &at))
        return REPLY_WAIT;
    b->n_used = at;
    return REPLY_TAKEN;
}

// The word behind "to=" in a header, without "functions."; empty: nobody.
static struct slice recipient_of(struct slice header)
{
    struct slice prefix = slice_of("functions.");
    size_t at = reply_find(header, "to="), n = 0;
    struct slice name = at < header.n ? reply_behind(header, at + 3) : slice_of("");
    while (n < name.n && !reply_is_one_of(name.at[n], " \t\n<"))
        n++;
    name.n = n;
    if (slice_is(name, "assistant") || slice_is(name, "user") || slice_is(name, "all"))
        name.n = 0;
    return slice_starts_with(name, prefix) ? reply_behind(name, prefix.n) : name;
}

// Where the header ends; if that has not come yet, the earliest place where it may: the length that a header
// may have is then judged alike however the text is cut.
static size_t end_of_header(struct slice text)
{
    static const char end[] = "<|message|>";
    size_t at = reply_find(text, end);
    for (size_t n = at < text.n ? 0 : MIN(text.n, sizeof end - 2); n > 0; n--)
        if (memcmp(text.at + text.n - n, end, n) == 0)
            return text.n - n;
    return at;
}

// The beginning of a header, or what may become one.
static bool may_be_header(struct slice text)
{
    static const char *const words[] = {"analysis", "commentary", "final", "assistant", "<|channel|>", "to="};
    enum { MAX_HEADER_BYTES = 256 };
    size_t end = end_of_header(text);
    text = reply_behind(text, reply_count_space(text));
    for (size_t i = 0; i < sizeof words / sizeof words[0] && end < MAX_HEADER_BYTES; i++)
        if (reply_is_prefix_of(text, words[i]) || slice_starts_with(text, slice_of(words[i])))
            return true;
    return false;
}

// The prompt ends behind the role, so an answer begins in a header too.
enum reply_took reply_take_harmony(struct reply_block *b)
{
    size_t n = reply_find(b->text, "<|message|>");
    struct slice header = slice_make(b->text.at, n);
    if (!may_be_header(b->text))
        return REPLY_NONE;
    b->n_used = n;
    if (n == b->text.n) // a header that does not end says nothing
        return b->at_end ? REPLY_SPEAKS : REPLY_WAIT;
    b->n_used = n + strlen("<|message|>");
    struct slice name = recipient_of(header);
    if (name.n > 0)
        return take_body(b, b->n_used, name);
    return reply_find(header, "analysis") < header.n ? REPLY_THINKS : REPLY_SPEAKS;
}

enum reply_took reply_take_functionary(struct reply_block *b)
{
    size_t n = reply_find(b->text, "\n");
    struct slice name = reply_trim(slice_make(b->text.at, n));
    if (n == b->text.n && !b->at_end)
        return REPLY_WAIT;
    b->n_used = n + (n < b->text.n);
    if (slice_is(name, "all"))
        return REPLY_SPEAKS;
    if (reply_find_tool(b->tools, name) == NULL) {
        b->n_used = 0;
        return REPLY_NONE;
    }
    return take_body(b, b->n_used, name);
}
