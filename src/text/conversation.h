// SPDX-License-Identifier: MIT
// The neutral conversation (frames/request.h) in the words of the templates of model files: what Ollama calls
// `thinking` and `tool_name` is `reasoning_content` and `name` there, and calls have a type.
#pragma once

#include "json/json.h"

// A new array. `as_texts`: the arguments of calls are texts of JSON, as some templates want them.
json_t *conversation_messages(const json_t *messages, bool as_texts);
// A new array of {type, function: {name, description, parameters}}, in this order and nothing else; NULL if
// there are none.
json_t *conversation_tools(const json_t *tools);
bool conversation_has_calls(const json_t *messages);
