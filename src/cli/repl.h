// SPDX-License-Identifier: MIT
// The prompt of `drover run MODEL`. Private to the cli room.
#pragma once

#include "cli/chat.h"

// Until /bye or Ctrl-D; returns the exit code.
int repl_run(struct chat *c);
