// SPDX-License-Identifier: MIT
// The server: routes, the dialects of Ollama and OpenAI, and `drover serve`. It speaks HTTP through net/,
// finds models in store/ and hands every generation to host/; it never reads a model file and never computes.
#pragma once

#include "base/args.h"

extern const struct args_flag server_flags[], key_flags[];

// `drover serve [OPTIONS]`; argv[0] is the command's name. Loads the options (environment, then the flags
// given here, then drover.conf), serves until SIGTERM or SIGINT, lets requests finish for up to
// OPT_DRAIN_TIMEOUT, reads drover.conf again on SIGHUP, and returns the exit code: 0, 1 (could not serve), 2
// (usage). Call it in the main thread before other threads exist: it blocks signals for all of them.
int server_main(int argc, char **argv);
int key_main(const struct args *a); // `drover key new`: draws an API key
