// SPDX-License-Identifier: MIT
// Tools in the neutral form of frames/request.h, whatever a dialect calls them: what a model may call, what
// it called in earlier turns and what came back, and whether it has to call one now. Each dialect reads its
// own members and builds with these.
#pragma once

#include "server/ask.h"

struct tool {
    struct slice name, description;
    const json_t *parameters; // an object, or NULL: none
};

// Adds one to a->tools. A tool without a name is refused, and one whose parameters are no object.
void tools_add(struct ask *a, struct fields *f, const struct tool *t);
// To be called when tools and choice are read: without tools none can be required, a tool that is named has
// to be among them, and with TOOL_CHOICE_NONE there are none.
void tools_settle(struct ask *a, struct fields *f);

// Adds a call to a message of the assistant. `arguments`, an object, is taken; NULL: none.
void tools_add_call(json_t *message, struct slice id, struct slice name, json_t *arguments);
// The arguments as the text of a JSON object. NULL: they are none ("invalid tool call arguments").
json_t *tools_parse_arguments(struct slice text, struct fields *f);
// A message with what a call gave. Without a name it is that of the last call with that id.
void tools_push_result(json_t *messages, struct slice call_id, struct slice name, struct slice content);
// What the model thought before a message of an earlier turn; templates see it.
void tools_set_thinking(json_t *message, struct slice text);
