// SPDX-License-Identifier: MIT
// The table of families, in the order in which a template's words are looked at. To add one: a row here; a
// hook only if none of the others reads its calls.
#include "base/mem.h"
#include "text/reply_internal.h"

const struct reply_row reply_rows[] = {
    [REPLY_PLAIN] = {.name = "plain", .keeps_space = true},
    [REPLY_GO_TAG] = {.name = "go", .take = reply_take_go_tag, .keeps_space = true},
    {.name = "hermes", // Qwen 2.5, Qwen 3, QwQ, Granite 4, ...
     .needles = {"<tool_call>", "!<function=", "!<arg_key>"},
     .take = reply_take_json,
     .openers = {"<tool_call>"},
     .closers = {"</tool_call>"},
     .ends_thinking = true,
     .takes_bare_json = true},
};
const size_t reply_n_rows = COUNT_OF(reply_rows);
