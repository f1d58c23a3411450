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
// A Go template, as far as one can tell one from Jinja: actions begin with '.', '$', a literal, a keyword or
// a function of Go's; a text without any action is one too.
bool traits_text_is_go(struct slice text);

enum go_template_use { GO_TEMPLATE_AUTOMATIC, GO_TEMPLATE_ALWAYS, GO_TEMPLATE_NEVER };
enum go_template_use traits_read_option(const char *text); // of OPT_GO_TEMPLATE
// Whether the Jinja template of the model's file, which must be there, stands in for the stored Go template.
// Automatic, as in Ollama: where it can do more.
bool traits_choose_jinja(enum go_template_use use, struct template_traits go, struct template_traits jinja);
