// SPDX-License-Identifier: MIT
// What a template says of a model without being run: Ollama's capabilities, and its choice where a model has
// two templates.
#pragma once

#include <stdbool.h>

#include "text/gotmpl.h"

struct template_traits {
    bool takes_tools, takes_tool_results, takes_thinking, takes_suffix;
};

struct template_traits traits_of_go(const struct gotmpl *t);
struct template_traits traits_of_jinja(struct slice source); // by words; an empty source has none
// Whether the Jinja template of the model's file is used in place of the stored Go template: it can do more,
// or the same with tools, whose results only it takes; and nothing of tools is lost.
bool traits_prefer_jinja(struct template_traits go, struct template_traits jinja);
