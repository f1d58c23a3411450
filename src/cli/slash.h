// SPDX-License-Identifier: MIT
// Commands typed at the prompt: /set, /show, /load, ... One row each in slash.c. Private to the cli room.
#pragma once

#include "cli/chat.h"

enum slash_result { SLASH_DONE, SLASH_LEAVE, SLASH_OPEN_SYSTEM };

// `text` begins with '/'. SLASH_OPEN_SYSTEM: a system text was begun with """ and goes on in the next lines;
// `*begun` (the caller's) is its first line.
enum slash_result slash_run(struct chat *c, const char *text, char **begun);
