// SPDX-License-Identifier: MIT
// The runner locks itself in before it reads the first byte of a model file.
#pragma once

#include "base/err.h"

// From here on the process computes on the descriptors that it has: it opens no file, no socket, starts no
// program, signals nobody. Whatever else it tries fails with EPERM. Cannot be undone. Call before other
// threads exist. In builds with a sanitizer, which needs more, it does nothing.
int sandbox_enter(struct err *err);
