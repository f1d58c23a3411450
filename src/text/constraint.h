// SPDX-License-Identifier: MIT
// What a reply must look like, compiled into a grammar: JSON that fits a schema, or calls of tools in the
// words of the model's family; after the model's thinking, if it thinks. Immutable, any thread. A matcher
// (matcher.h) walks it.
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/slice.h"
#include "text/grammar.h"

// How a family writes calls: before_calls, then for each call before_name NAME before_arguments {...}
// after_arguments, with between_calls between two, then after_calls. The texts are exact. Whatever part of
// them is a control token of the model may come as that token.
struct call_form {
    const char *before_calls, *before_name, *before_arguments, *after_arguments;
    const char *between_calls; // NULL: there is one call only
    const char *after_calls;
    // Instead of an object: for each argument before_key NAME after_key VALUE after_value. Values that are
    // texts are written as they are, others as JSON. NULL: an object.
    const char *before_key, *after_key, *after_value;
};

enum { CONSTRAINT_MAX_CALLS = 16, CONSTRAINT_MAX_NAME = 256 };

// An answer is what `format` says, or calls; if both are given, either.
struct constraint_spec {
    struct slice format;           // `"json"` in its quotes (any object), or a JSON Schema; empty: no content
    const struct call_form *forms; // any of them
    size_t n_forms;                // 0: no calls
    struct slice tools_json;       // OpenAI's list of tools as JSON, or one of their functions alone
    struct slice only_tool;        // the one that must be called; empty: any
    bool one_call;                 // not more than one
    // Thinking that may come first: up to the end tag everything goes, then come up to 8 blanks,
    // after_thinking and the answer. Empty end tag: no thinking.
    struct slice think_begin, think_end, after_thinking;
    bool in_thinking;            // the prompt ends behind the begin tag: else the reply may begin with it
    struct slice before_content; // what a family writes in front of content
};

struct constraint;

// ERR_INVALID names what is wrong: in a schema, with its place. Arguments of a tool whose schema uses what
// cannot be enforced may be any object.
int constraint_new(struct constraint **out, const struct constraint_spec *spec, struct err *err);
void constraint_free(struct constraint *c); // takes NULL
const struct grammar *constraint_grammar(const struct constraint *c);
