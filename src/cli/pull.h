// SPDX-License-Identifier: MIT
// Lines of status from the server as progress. Private to the cli room.
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/slice.h"

struct progress;
// POSTs and shows what comes.
int pull_watch(const char *path, struct slice body, struct progress *p, struct err *err);
int pull_model(const char *model, bool insecure, struct err *err); // with progress of its own
