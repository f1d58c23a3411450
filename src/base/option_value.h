// SPDX-License-Identifier: MIT
// One value of one option: a text and what it means. Private to the options of base/.
#pragma once

#include "base/options.h"

struct option_value {
    const char *text;
    uint64_t uint;
    int64_t duration_ns;
};

// `out->text` is `text` itself. ERR_INVALID says what is wrong; `help` names the values of an OPTION_CHOICE.
int option_value_read(struct option_value *out, enum option_type type, const char *help, const char *text,
                      struct err *err);
// The same by Ollama's rules for its own variables: any unknown word is a yes, and no level.
int option_value_read_ollama(struct option_value *out, enum option_type type, const char *help,
                             const char *text, struct err *err);
// Go's strconv.ParseBool; any other text that is not empty counts as true, as in Ollama.
bool option_value_is_true(const char *text);
// A copy without blanks and quotes at both ends; the caller frees it.
char *option_value_trim(const char *text);
// A copy that is never freed, the same for the same text: what other threads read stays right over a reload,
// and reloading the same values again costs nothing. Any thread.
const char *option_value_keep(const char *text);
