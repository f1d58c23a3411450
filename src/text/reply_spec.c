// SPDX-License-Identifier: MIT
// From a template to how its model's answers are to be read.
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "text/reply_internal.h"

// Tags around thinking that templates of model files write.
static const char *const pairs[][2] = {
    {"<think>", "</think>"},
    {"[THINK]", "[/THINK]"},
    {"<|START_THINKING|>", "<|END_THINKING|>"},
    {"<seed:think>", "</seed:think>"},
    {"<mm:think>", "</mm:think>"},
    {"<|inner_prefix|>", "<|inner_suffix|>"},
};

static bool has(struct slice text, const char *word)
{
    return reply_find(text, word) < text.n;
}

static void copy_tag(char out[REPLY_TAG_BYTES], struct slice tag)
{
    out[0] = 0;
    if (tag.n < REPLY_TAG_BYTES && (tag.n == 0 || memchr(tag.at, 0, tag.n) == NULL))
        snprintf(out, REPLY_TAG_BYTES, "%.*s", (int)tag.n, tag.n ? tag.at : "");
}

static void set_thinking(struct reply_spec *s, struct slice opening, struct slice closing)
{
    copy_tag(s->opening, opening);
    copy_tag(s->closing, closing);
    if (s->opening[0] == 0 || s->closing[0] == 0)
        reply_spec_forget_thinking(s);
}

static bool is_of_row(struct slice source, const struct reply_row *row)
{
    for (size_t i = 0; i < REPLY_MAX_NEEDLES && row->needles[i] != NULL; i++) {
        bool is_unwanted = row->needles[i][0] == '!';
        if (has(source, row->needles[i] + is_unwanted) == is_unwanted)
            return false;
    }
    return row->needles[0] != NULL;
}

// A template that takes thinking out of earlier turns by its closing tag, and leaves the opening one to the
// model.
static bool splits_at(struct slice source, const char *closing)
{
    char single[64], twofold[64];
    snprintf(single, sizeof single, "split('%s')", closing);
    snprintf(twofold, sizeof twofold, "split(\"%s\")", closing);
    return has(source, single) || has(source, twofold);
}

struct reply_spec reply_spec_of_jinja(struct slice source)
{
    struct reply_spec s = {.family = REPLY_PLAIN};
    for (size_t i = reply_n_rows; i-- > 0;)
        if (is_of_row(source, &reply_rows[i]))
            s.family = (uint8_t)i; // the first row counts
    const struct reply_row *row = &reply_rows[s.family];
    for (size_t i = 0; i < COUNT_OF(pairs) && s.opening[0] == 0; i++)
        if (has(source, pairs[i][1]) && (has(source, pairs[i][0]) || splits_at(source, pairs[i][1])))
            set_thinking(&s, slice_of(pairs[i][0]), slice_of(pairs[i][1]));
    if (row->opening != NULL)
        set_thinking(&s, slice_of(row->opening), slice_of(row->closing));
    return s;
}

// The one family that needs its own reading whatever language its template is in: everything it says is in
// channels.
static bool is_harmony(struct slice source)
{
    return has(source, "<|start|>") && has(source, "<|end|>") && has(source, "<|channel|>");
}

struct reply_spec reply_spec_of_go(const struct gotmpl *t, struct slice source)
{
    if (is_harmony(source))
        return reply_spec_of_jinja(source);
    struct gotmpl_traits traits = gotmpl_traits(t);
    struct reply_spec s = {.family = traits.takes_tools ? REPLY_GO_TAG : REPLY_PLAIN};
    set_thinking(&s, traits.opening_tag, traits.closing_tag);
    copy_tag(s.tag, traits.takes_tools ? traits.tool_tag : slice_of(""));
    if (s.tag[0] == 0)
        s.family = REPLY_PLAIN;
    return s;
}

void reply_spec_see_prompt(struct reply_spec *s, struct slice prompt)
{
    struct slice tag = slice_of(s->opening);
    while (prompt.n > 0 && reply_is_one_of(prompt.at[prompt.n - 1], " \t\r\n"))
        prompt.n--;
    s->in_thinking =
        tag.n > 0 && prompt.n >= tag.n && memcmp(prompt.at + prompt.n - tag.n, tag.at, tag.n) == 0;
}

void reply_spec_forget_thinking(struct reply_spec *s)
{
    s->opening[0] = s->closing[0] = 0;
    s->in_thinking = false;
}

void reply_spec_forget_calls(struct reply_spec *s)
{
    s->family = REPLY_PLAIN;
    s->tag[0] = 0;
}

static bool holds(const char *const *words, size_t n, struct slice token_text)
{
    for (size_t i = 0; i < n && words[i] != NULL; i++)
        if (memmem(words[i], strlen(words[i]), token_text.at, token_text.n) != NULL)
            return true;
    return false;
}

bool reply_spec_keeps(const struct reply_spec *s, struct slice token_text)
{
    const struct reply_row *row = &reply_rows[s->family];
    const char *const own[] = {s->opening, s->closing}, *const tag = s->tag;
    if (token_text.n == 0)
        return false;
    if (holds(own, COUNT_OF(own), token_text) || holds(row->noise, REPLY_MAX_NOISE, token_text))
        return true;
    return (s->wants_calls || row->always) &&
           (holds(row->openers, REPLY_MAX_OPENERS, token_text) ||
            holds(row->closers, REPLY_MAX_CLOSERS, token_text) || holds(&tag, 1, token_text));
}

const char *reply_family_name(uint8_t family)
{
    return family < reply_n_rows ? reply_rows[family].name : NULL;
}
