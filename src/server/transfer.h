// SPDX-License-Identifier: MIT
// Pulls and pushes as the server's handlers ask for them: from within a chore, whose client hears of the
// progress.
#pragma once

#include "base/slice.h"
#include "server/chore.h"

int transfer_pull(struct chore *c, const char *name, bool insecure, struct err *err);
// A name of a request as C text, the caller's; with NUL inside it becomes one that is no name.
char *transfer_name(struct slice text);
