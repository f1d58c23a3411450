// SPDX-License-Identifier: MIT
// What the files of the reply parser share: the table's rows, the blocks of text in which calls stand, and
// what reads them. A hook gets the text behind an opener and says what became of it; it is asked again with
// more text as long as it waits, so it keeps no state and its answer depends on the text alone. Whatever it
// says but REPLY_WAIT it would say of every longer text too, with the same calls and n_used: else an answer
// would depend on how it is cut. So a hook that looked at the end of the text waits.
#pragma once

#include "base/strbuf.h"
#include "text/reply.h"

enum reply_took {
    REPLY_WAIT,   // not decided; never with at_end
    REPLY_TAKEN,  // n_used bytes are done with, `calls` were found in them
    REPLY_NONE,   // no call stands here; what does is content, behind n_used bytes of markup
    REPLY_THINKS, // n_used bytes are a header, and thinking follows
    REPLY_SPEAKS, // n_used bytes are a header, and content follows
};

struct reply_row;

struct reply_block {
    const struct reply_row *row;
    struct slice text;   // behind the opener, all there is so far
    size_t opener_i;     // which of the row
    const char *tag;     // of a Go template, or ""
    const json_t *tools; // array
    uint32_t n_calls;    // made so far in this answer
    bool at_end;         // nothing follows
    size_t n_used;
    bool stays;    // REPLY_TAKEN: what follows is still inside the block
    json_t *calls; // array of {name, arguments (an object), id}; see reply_add_call
};

typedef enum reply_took reply_take_fn(struct reply_block *b);

enum { REPLY_MAX_NEEDLES = 4, REPLY_MAX_OPENERS = 4, REPLY_MAX_CLOSERS = 3, REPLY_MAX_NOISE = 8 };

// One family.
struct reply_row {
    const char *name;
    const char *needles[REPLY_MAX_NEEDLES]; // words that its templates have, all of them; '!' before: not it
    reply_take_fn *take;                    // reads what is behind an opener; NULL: no calls
    const char *openers[REPLY_MAX_OPENERS];
    const char *closers[REPLY_MAX_CLOSERS]; // what ends a block; dropped where it stands alone
    const char *noise[REPLY_MAX_NOISE];     // dropped from content, also without tools
    const char *opening, *closing;          // around thinking; NULL: whatever the template has (reply_tags)
    const void *style;                      // of the hook
    bool ends_thinking;                     // a call may come before thinking is closed
    bool takes_bare_json; // an answer that begins with the JSON of a call is one, without tags
    bool keeps_space;     // white space before a call is content
    bool wants_short_id;
    bool begins_inside; // the prompt ends with the opener
    bool always;        // the hook is asked without tools too: its tags are around all the model says
};

extern const struct reply_row reply_rows[];
extern const size_t reply_n_rows;
enum { REPLY_PLAIN, REPLY_GO_TAG }; // rows that are not found by words

// ---- Values (reply_literal.c) ----
// How values are written: JSON, and what models make of it: 'text', True, None.
struct reply_literals {
    const char *quote; // a further one, around text without escapes
    bool bare_keys;    // {key: value}, and words without quotes are texts
};
// The value that the text begins with, or NULL: `*is_short` the text ends before it does, else it is none.
json_t *reply_read_literal(struct slice text, const struct reply_literals *how, size_t *n_used,
                           bool *is_short);

// ---- For hooks (reply_block.c) ----
static inline bool reply_is_one_of(char c, const char *set)
{
    return c != 0 && strchr(set, c) != NULL;
}
size_t reply_count_space(struct slice text);
struct slice reply_behind(struct slice text, size_t n); // without its first n bytes
struct slice reply_trim(struct slice text);
// Where a word begins; text.n: nowhere.
size_t reply_find(struct slice text, const char *word);
// The text is a beginning of the word, and not all of it.
bool reply_is_prefix_of(struct slice text, const char *word);
const json_t *reply_find_tool(const json_t *tools, struct slice name); // its "function", or NULL
// Takes `arguments` (an object, else they count as none). False: there is no name.
bool reply_add_call(struct reply_block *b, struct slice name, json_t *arguments, struct slice id);
// The calls that a value says: an object with name and arguments, or an array of them. How many.
size_t reply_add_calls_of(struct reply_block *b, const json_t *value);
// Behind a block: white space and the closer of the row, if it is there. False: it may still come.
bool reply_pass_closer(const struct reply_block *b, size_t *at);
// A text as the tool's schema wants the parameter. The caller's.
json_t *reply_type_text(const json_t *function, struct slice parameter, struct slice text);

// ---- Hooks ----
reply_take_fn reply_take_bare; // of any family: JSON without tags, in a fence or not
reply_take_fn reply_take_json, reply_take_go_tag, reply_take_xml, reply_take_named, reply_take_python,
    reply_take_llama, reply_take_gemma, reply_take_harmony, reply_take_functionary;
