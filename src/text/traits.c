// SPDX-License-Identifier: MIT
// Traits: read off the tree of a Go template, and off the words of a Jinja one.
#include "text/traits.h"

#include <ctype.h>
#include <string.h>

#include "base/mem.h"
#include "base/option_value.h"
#include "text/reply.h"

// ---- The language ----
static bool starts_with_word(struct slice text, const char *word)
{
    size_t n = strlen(word);
    return slice_starts_with(text, slice_of(word)) &&
           (n == text.n || (!isalnum((unsigned char)text.at[n]) && text.at[n] != '_'));
}

// What stands behind "{{", and "-" and spaces.
static bool action_is_go(struct slice text)
{
    static const char *const words[] = {"if",
                                        "range",
                                        "end",
                                        "else",
                                        "with",
                                        "define",
                                        "template",
                                        "block",
                                        "break",
                                        "and",
                                        "or",
                                        "not",
                                        "eq",
                                        "ne",
                                        "lt",
                                        "le",
                                        "gt",
                                        "ge",
                                        "len",
                                        "index",
                                        "slice",
                                        "print",
                                        "printf",
                                        "println",
                                        "html",
                                        "js",
                                        "json",
                                        "continue",
                                        "call",
                                        "currentDate",
                                        "yesterdayDate",
                                        "urlquery"};
    if (text.n > 0 && (text.at[0] == '.' || text.at[0] == '$' || text.at[0] == '`' || text.at[0] == '('))
        return true;
    if (slice_starts_with(text, slice_of("/*")))
        return true;
    for (size_t k = 0; k < COUNT_OF(words); k++)
        if (starts_with_word(text, words[k]))
            return true;
    return false;
}

bool traits_text_is_go(struct slice text)
{
    bool has_action = false;
    for (size_t i = 0; i + 1 < text.n; i++) {
        if (text.at[i] != '{' || (text.at[i + 1] != '{' && text.at[i + 1] != '%' && text.at[i + 1] != '#'))
            continue;
        if (text.at[i + 1] != '{')
            return false;
        size_t j = i + 2;
        has_action = true;
        while (j < text.n && (text.at[j] == '-' || isspace((unsigned char)text.at[j])))
            j++;
        if (action_is_go(slice_make(text.at + j, text.n - j)))
            return true;
    }
    return !has_action;
}

// ---- The traits ----
static bool has(struct slice text, const char *word)
{
    return text.at != NULL && memmem(text.at, text.n, word, strlen(word)) != NULL;
}

struct template_traits traits_of_go(const struct gotmpl *t)
{
    struct gotmpl_traits own = gotmpl_traits(t);
    return (struct template_traits){.takes_tools = own.takes_tools,
                                    .takes_tool_results = own.takes_tool_results,
                                    .takes_thinking = own.takes_thinking,
                                    .takes_suffix = own.takes_suffix};
}

struct template_traits traits_of_jinja(struct slice source)
{
    bool splits = has(source, "split('</think>')") || has(source, "split(\"</think>\")");
    return (struct template_traits){.takes_tools = has(source, "tools") || has(source, "tool_call"),
                                    .takes_tool_results = has(source, "'tool'") || has(source, "\"tool\"") ||
                                                          has(source, "tool_response"),
                                    .takes_thinking = reply_spec_of_jinja(source).closing[0] != 0 ||
                                                      (splits && !has(source, "reasoning_content"))};
}

// It can do more, or the same with tools, whose results only it takes; and nothing of tools is lost.
static bool prefers_jinja(struct template_traits go, struct template_traits jinja)
{
    bool has_all = jinja.takes_tools >= go.takes_tools && jinja.takes_thinking >= go.takes_thinking;
    bool has_more = jinja.takes_tools > go.takes_tools || jinja.takes_thinking > go.takes_thinking;
    if (!has_all || (go.takes_tools && go.takes_tool_results && !jinja.takes_tool_results))
        return false;
    return has_more || (jinja.takes_tools && jinja.takes_tool_results && !go.takes_tool_results);
}

enum go_template_use traits_read_option(const char *text)
{
    if (text[0] == 0 || strcmp(text, "auto") == 0)
        return GO_TEMPLATE_AUTOMATIC;
    return option_value_is_true(text) ? GO_TEMPLATE_ALWAYS : GO_TEMPLATE_NEVER;
}

bool traits_choose_jinja(enum go_template_use use, struct template_traits go, struct template_traits jinja)
{
    return use == GO_TEMPLATE_NEVER || (use == GO_TEMPLATE_AUTOMATIC && prefers_jinja(go, jinja));
}
