// SPDX-License-Identifier: MIT
// Two names are known; under any other the program is drover.
#include "base/program.h"

#include <string.h>

static bool is_ollama;

void program_init(const char *argv0)
{
    const char *slash = strrchr(argv0, '/');
    is_ollama = strcmp(slash != NULL ? slash + 1 : argv0, "ollama") == 0;
}

const char *program_name(void)
{
    return is_ollama ? "ollama" : "drover";
}

bool program_is_ollama(void)
{
    return is_ollama;
}
