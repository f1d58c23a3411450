// SPDX-License-Identifier: MIT
// What /api/show says of a model, printed for people. Private to the cli room; the prompt's /show uses it
// too.
#pragma once

#include <stdbool.h>

#include "json/json.h"

// The answer of /api/show, the caller's.
int show_request(const char *model, bool verbose, json_t **answer, struct err *err);
void show_print_info(const json_t *answer, bool verbose);
// One text of it: "license", "modelfile", "parameters", "system", "template". False: the model has none.
bool show_print_text(const json_t *answer, const char *which);
