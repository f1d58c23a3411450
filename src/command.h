// SPDX-License-Identifier: MIT
// A row of the command table in main.c.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/args.h"

struct command {
    const char *name, *alias; // alias may be NULL
    const char *operands, *summary;
    int (*run)(const struct args *a);      // with its arguments parsed by the flags below, or
    int (*run_raw)(int argc, char **argv); // one that reads its own; the flags below are for help
    const struct args_flag *flags;
    int min_operands, max_operands; // -1: any number
    bool takes_options;             // the rows of base/options.h are flags too
    bool loads_options;             // itself, in its own way
    bool is_hidden;
};

extern const struct command commands[];
extern const size_t n_commands;

int manual_main(const struct args *a);     // `drover manual 1|5`: a manual page on stdout (manual.c)
int completion_main(const struct args *a); // `drover completion bash|zsh|fish`: a script (completion.c)
