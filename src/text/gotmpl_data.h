// SPDX-License-Identifier: MIT
// Ollama's data for templates, made from the neutral request's JSON: messages and tools as structs with Go's
// names, so that a member that is not there is the same error as in Ollama.
#pragma once

#include "text/gotmpl.h"
#include "text/gotmpl_value.h"

struct gotmpl_turn {
    struct slice role, content;
};

struct gotmpl_data {
    struct gotmpl_value messages, tools;
    struct gotmpl_turn *turns; // the same messages, for templates that know none
    size_t n_turns;
    struct slice system;
};

// Messages with the same role become one (tool results stay apart); all system texts are joined. Fails the
// run where a member has the wrong type.
void gotmpl_read_data(struct gotmpl_run *r, const struct gotmpl_input *in, struct gotmpl_data *out);
