// SPDX-License-Identifier: MIT
// Chat templates: a Jinja interpreter with the environment that the transformers package uses (jinja2 3.1.6
// semantics: trim_blocks, lstrip_blocks, loop controls, `generation` blocks, tojson, raise_exception,
// strftime_now). Source and data come from outside: depth, steps and output are bounded. A construct that is
// not known is an error that names it, never wrong text.
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "base/strbuf.h"
#include "json/json.h"

struct template;

// Parses. ERR_UNSUPPORTED names an unknown construct, ERR_FORMAT a syntax error, with line numbers.
int template_new(struct template **out, struct slice source, struct err *err);
void template_free(struct template *t); // takes NULL
const char *template_default(void);     // ChatML, for files without one

struct template_input {
    const json_t *messages; // array of {role, content, ...}
    const json_t *tools;    // array, or NULL: the variable is not defined
    const json_t *extra;    // object whose members become variables too (enable_thinking, ...), or NULL
    bool add_generation_prompt;
    struct slice bos_token, eos_token;
    int64_t now_s; // for strftime_now, seconds since 1970, shown as UTC
};

// Renders into `out` (whose cap bounds the output). ERR_INVALID: the template raised (its message);
// ERR_UNSUPPORTED: an unknown filter, test or function was reached; ERR_FORMAT: an undefined value or wrong
// type was used as jinja2 would refuse.
int template_render(const struct template *t, const struct template_input *in, struct strbuf *out,
                    struct err *err);
