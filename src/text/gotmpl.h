// SPDX-License-Identifier: MIT
// Templates of Ollama's TEMPLATE layers: Go's text/template with Ollama's functions, data and rules. Sources
// and data come from outside: depth, steps, memory and output are bounded, a template that is made once may
// be read by any number of threads. Messages are Go's ("template: :1:3: executing ...").
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "base/strbuf.h"
#include "json/json.h"

struct gotmpl;

// Parses; keeps nothing of `source`. ERR_FORMAT: "template: :LINE: ...", as Go says it.
int gotmpl_new(struct gotmpl **out, struct slice source, struct err *err);
void gotmpl_free(struct gotmpl *t); // takes NULL

// What a template says of a model without being run.
struct gotmpl_traits {
    bool takes_messages; // else it is run once per turn with System, Prompt and Response
    bool takes_tools, takes_suffix, takes_thinking;
    bool takes_tool_results; // speaks of the role "tool"
    // The tags around what a model thinks, both or none empty; before its calls of tools ("{": the call
    // itself).
    struct slice opening_tag, closing_tag, tool_tag; // of the template, valid as long as it is
};
struct gotmpl_traits gotmpl_traits(const struct gotmpl *t);

struct gotmpl_input {
    const json_t *messages;      // array of Ollama's messages, or NULL
    const json_t *tools;         // array of Ollama's tools, or NULL
    struct slice prompt, suffix; // both not empty: what is to be filled in between, nothing else counts
    bool is_think_set, think;
    struct slice think_level;
    int64_t now_s; // for currentDate, shown as local time
};

// Renders into `out`, whose cap bounds the output. ERR_FORMAT: the template failed; ERR_INVALID: the data
// have a wrong type; ERR_TOO_LARGE: a bound is reached.
int gotmpl_render(const struct gotmpl *t, const struct gotmpl_input *in, struct strbuf *out, struct err *err);

// Parses `source` and runs it on any JSON as its data, without Ollama's rules: for tests and fuzzing.
int gotmpl_run_plain(struct slice source, const json_t *data, struct strbuf *out, struct err *err);
