// SPDX-License-Identifier: MIT
// Traits: read off the tree of a Go template, and off the words of a Jinja one.
#include "text/traits.h"

#include <string.h>

static bool has(struct slice text, const char *word)
{
    return text.n > 0 && memmem(text.at, text.n, word, strlen(word)) != NULL;
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
                                    .takes_thinking = (has(source, "<think>") && has(source, "</think>")) ||
                                                      (splits && !has(source, "reasoning_content"))};
}

bool traits_prefer_jinja(struct template_traits go, struct template_traits jinja)
{
    bool has_all = jinja.takes_tools >= go.takes_tools && jinja.takes_thinking >= go.takes_thinking;
    bool has_more = jinja.takes_tools > go.takes_tools || jinja.takes_thinking > go.takes_thinking;
    if (!has_all || (go.takes_tools && go.takes_tool_results && !jinja.takes_tool_results))
        return false;
    return has_more || (jinja.takes_tools && jinja.takes_tool_results && !go.takes_tool_results);
}
