// SPDX-License-Identifier: MIT
// The arguments of one command: flags, described by rows, and operands. The rows are what parses, what
// `--help` prints, and what completions and manual pages are made from. Flags and operands may be mixed; "--"
// ends the flags; "--flag=value" and "--flag value" both work.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"

enum args_kind {
    ARGS_SWITCH, // --verbose; also --verbose=true, and =false as if it were not given
    ARGS_TEXT,   // --keepalive 5m
    ARGS_UINT,   // --top 5: a whole number from 0
    ARGS_MAYBE,  // --think or --think=high: the value only behind "="; none reads as ""
};

struct args_flag {
    const char *name; // without dashes; NULL ends the rows
    char letter;      // short form, or 0
    enum args_kind kind;
    const char *value; // how help names the value: "DURATION"; NULL for a switch
    const char *help;
};

enum { ARGS_MAX_FLAGS = 48 };

struct args {
    const struct args_flag *flags;
    const char *values[ARGS_MAX_FLAGS]; // NULL: not given; "" for a switch
    bool wants_help;                    // -h or --help
    char **operands;                    // into argv, in their order
    int n_operands;
};

// argv[0] is the command's name. With `with_options` every row of base/options.h is a flag as well and is set
// by options_set. ERR_INVALID says what is wrong with which flag. The caller calls args_fini. Not thread-safe
// (getopt); call it in main.
int args_parse(struct args *out, const struct args_flag *flags, bool with_options, int argc, char **argv,
               struct err *err);
void args_fini(struct args *a);

const char *args_text(const struct args *a, const char *flag); // NULL: not given
bool args_has(const struct args *a, const char *flag);
uint64_t args_uint(const struct args *a, const char *flag, uint64_t fallback);
// The rows as lines of help.
void args_print_flags(FILE *out, const struct args_flag *flags, bool with_options);
