// SPDX-License-Identifier: MIT
// Memory that dies at once: all of a template's tree, or all values of one render. Bounded: beyond the cap
// `full` is set and large requests are refused; small ones (structures of fixed size) are still granted so
// that their callers need no check, and the owner stops at its next step.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

struct jinja_arena {
    struct jinja_chunk *chunks;
    char *at;
    size_t left;
    size_t used_bytes;
    size_t cap_bytes;
    bool full;
};

enum { JINJA_ARENA_SMALL = 512 };

// Zeroed, aligned to 16. size_bytes <= JINJA_ARENA_SMALL; never NULL.
void *jinja_arena_new(struct jinja_arena *a, size_t size_bytes);
// Not zeroed, aligned to 16. NULL beyond the cap.
void *jinja_arena_try(struct jinja_arena *a, size_t size_bytes);
void jinja_arena_fini(struct jinja_arena *a);
