// SPDX-License-Identifier: MIT
// Progress of long work on stderr: lines of text, and bars with rate and time left. On a terminal they are
// redrawn in place; elsewhere each line is printed once, when it is complete. Main thread. Private to the cli
// room.
#pragma once

#include <stdint.h>

struct progress *progress_new(void);
// A step: the lines before it are over.
void progress_say(struct progress *p, const char *text);
// A bar, known by its text. completed == total: it is full.
void progress_bar(struct progress *p, const char *text, uint64_t total, uint64_t completed);
void progress_end(struct progress *p); // draws for the last time, frees; NULL allowed
