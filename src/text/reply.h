// SPDX-License-Identifier: MIT
// What a model's raw answer means: content, thinking, calls of tools. Families of models write the last two
// in their own ways; each is a row of one table (reply_families.c), found by the words of its template. The
// parser is a pure function of the text: however the text is cut into pieces, the parts are the same, and no
// part holds half a tag. What looked like a call and is none becomes content: nothing a model says gets lost,
// but tags.
//
// Where it runs: a runner knows the template, so it says how the answer is to be read (reply_spec, in the
// first event of a request); the front reads it (server/generate.c), so that an answer that goes on in
// another runner after a crash stays the same bytes. Any thread, one parser a choice.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "json/json.h"
#include "text/gotmpl.h"

enum { REPLY_TAG_BYTES = 64 }; // with the terminator; a longer tag of a template counts as none

struct reply_spec {
    uint8_t family;   // row of the table; 0: no calls are known
    bool in_thinking; // the answer begins inside thinking: the prompt ended with the opening tag
    bool wants_calls; // there are tools
    char opening[REPLY_TAG_BYTES], closing[REPLY_TAG_BYTES]; // around thinking; both or none ""
    char tag[REPLY_TAG_BYTES];                               // before calls, as a Go template has it
};

// What a template says: of a model's file, by its words; of Ollama's, by its tree.
struct reply_spec reply_spec_of_jinja(struct slice source);
struct reply_spec reply_spec_of_go(const struct gotmpl *t, struct slice source);
void reply_spec_see_prompt(struct reply_spec *s, struct slice prompt); // sets in_thinking
void reply_spec_forget_thinking(struct reply_spec *s);                 // none is looked for
void reply_spec_forget_calls(struct reply_spec *s);
// Whether a control token of that text must be seen: it is, or is in, one of the family's tags.
bool reply_spec_keeps(const struct reply_spec *s, struct slice token_text);
// Name of a family ("hermes"), for logs and tests; NULL: no such row.
const char *reply_family_name(uint8_t family);

enum reply_kind { REPLY_CONTENT, REPLY_THINKING, REPLY_CALL };

struct reply_call {
    uint32_t index;         // from 0, within the answer
    struct slice id;        // as the model wrote it, mostly empty
    struct slice name;      // not empty
    struct slice arguments; // a JSON object, compact, its members in the model's order
    bool wants_short_id;    // the template takes ids of 9 letters and digits only (Mistral's)
};

struct reply_part {
    enum reply_kind kind;
    struct slice text; // REPLY_CONTENT, REPLY_THINKING: not empty; whole characters if what came was
    struct reply_call call;
};

// Slices live as long as the call of it lasts.
typedef void reply_part_fn(void *user, const struct reply_part *part);

struct reply;

// `tools`: array of {type, function: {name, parameters}}, shared; NULL: no calls are looked for.
struct reply *reply_new(const struct reply_spec *s, json_t *tools, reply_part_fn *on_part, void *user);
void reply_free(struct reply *r); // takes NULL
void reply_push(struct reply *r, struct slice text);
void reply_finish(struct reply *r); // the answer is over: what was held back
// Nothing but thinking was said so far, or nothing at all that is not blank.
bool reply_is_thinking(const struct reply *r);
