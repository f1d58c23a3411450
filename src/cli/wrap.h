// SPDX-License-Identifier: MIT
// What a model says, written to a terminal: words that would cross the right edge move to the next line,
// control characters (a model must not steer the terminal) become U+FFFD. To anything but a terminal bytes
// pass unchanged. Private to the cli room.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/slice.h"

enum { WRAP_MAX_WORD_BYTES = 512 };

struct wrap {
    FILE *out;
    bool is_terminal;
    size_t limit;                   // columns of a line; 0: no wrapping
    size_t column;                  // of the cursor
    char word[WRAP_MAX_WORD_BYTES]; // the word at the end of the line, to be moved when it grows too long
    size_t word_bytes, word_width;
    bool wrote, ends_line; // anything at all; the last thing was a newline
};

// `n_columns`: width of the terminal, 0 for no wrapping.
void wrap_init(struct wrap *w, FILE *out, bool is_terminal, size_t n_columns);
void wrap_resize(struct wrap *w, size_t n_columns); // the terminal's width may have changed
void wrap_push(struct wrap *w, struct slice text);  // whole characters
void wrap_flush(struct wrap *w);

// Text of a model or a server, unwrapped, without control characters if `out` is a terminal.
void wrap_print(FILE *out, struct slice text);

size_t wrap_width(struct slice text); // in terminal columns
// Of stdout: from the terminal, else COLUMNS' usual value of 80.
size_t wrap_terminal_columns(void);
