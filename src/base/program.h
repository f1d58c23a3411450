// SPDX-License-Identifier: MIT
// The name that the program was called by. Called "ollama" (a symbolic link), it speaks as a person or a
// script expects of Ollama: its own name in texts, the version's form, 1 as the exit code of wrong usage. Set
// once at the beginning of main, read by every thread.
#pragma once

#include <stdbool.h>

// Clients gate features on Ollama's version; this is the one whose interfaces are served here.
#define OLLAMA_VERSION "0.33.0"

void program_init(const char *argv0);
const char *program_name(void); // "drover" or "ollama"
bool program_is_ollama(void);
