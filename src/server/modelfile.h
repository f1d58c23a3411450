// SPDX-License-Identifier: MIT
// A stored model as text: the Modelfile that would make it, and its parameters as a table.
#pragma once

#include "base/strbuf.h"
#include "json/json.h"
#include "store/store.h"

struct modelfile {
    const struct stored_model *model;
    const char *template_text; // NULL: no TEMPLATE line
    const char *system_text;   // NULL: none
    const json_t *parameters;  // object or NULL
    const json_t *messages;    // array or NULL
};

void modelfile_write(struct strbuf *out, const struct modelfile *m);
// One parameter a line, the name padded to 30 columns, strings quoted as Go does; no newline at the end.
void modelfile_write_parameters(struct strbuf *out, const json_t *parameters);
