// SPDX-License-Identifier: MIT
// Reading a Modelfile: the text to commands, the commands to the body of a creation. Pure. Private to the cli
// room.
#pragma once

#include <stddef.h>

#include "base/slice.h"
#include "base/strbuf.h"
#include "json/json.h"

struct modelfile_command {
    char *name;  // in lower case: "from", "parameter", ...
    char *key;   // of PARAMETER its name, of MESSAGE its role; else NULL
    char *value; // without quotes
    int line;
};
struct modelfile {
    struct modelfile_command *commands;
    size_t n;
};

// UTF-8 or, with a mark at its begin, UTF-16. ERR_INVALID with Ollama's words: "(line 3): command must be one
// of ...", "no FROM line", "unexpected EOF". The caller calls modelfile_fini in every case.
int modelfile_parse(struct slice text, struct modelfile *out, struct err *err);
void modelfile_fini(struct modelfile *m);
// All but FROM and ADAPTER as members of `body`. *warnings gets a sentence a line. ERR_INVALID: "unknown
// parameter 'x'", "invalid int value [x]", ...
int modelfile_fill(const struct modelfile *m, json_t *body, struct strbuf *warnings, struct err *err);
