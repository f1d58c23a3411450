// SPDX-License-Identifier: MIT
// Lines typed at a terminal: editing and history by libedit, pasted text as one piece, an editor for long
// ones. On a terminal that cannot position its cursor lines are read plainly. One of it, main thread; SIGINT,
// SIGWINCH and SIGCONT are its business while it exists. Private to the cli room.
#pragma once

#include <signal.h>
#include <stdbool.h>

// Ctrl-C while no line is being read sets it; who looks at it clears it.
extern volatile sig_atomic_t line_interrupted;

// From now on Ctrl-C sets it, or ends the program again.
void line_catch_interrupt(bool on);

enum line_end { LINE_READ, LINE_END_OF_FILE, LINE_INTERRUPTED };

void line_open(void);
void line_close(void);
// `*text` is the caller's, without the newline. `placeholder` (may be "") stands grey behind the prompt until
// something is typed.
enum line_end line_read(const char *prompt, const char *placeholder, char **text);
void line_remember(const char *text); // in the history, unless that is off
void line_keep_history(bool on);
