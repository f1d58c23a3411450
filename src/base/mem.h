// SPDX-License-Identifier: MIT
// Memory of the process and of a model. x*alloc are for small control structures and abort when the system is
// out of memory; whatever a file or a client sizes goes through mem_try_alloc or mem_map and is answered.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define MIN(a, b)       ((a) < (b) ? (a) : (b))
#define MAX(a, b)       ((a) > (b) ? (a) : (b))
#define ROUND_UP(n, to) (((n) + (to)-1) / (to) * (to))

void *xmalloc(size_t size_bytes);
void *xcalloc(size_t count, size_t size_bytes);
void *xrealloc(void *old, size_t size_bytes);
char *xstrdup(const char *text);
char *xstrndup(const char *text, size_t n_bytes);

// Zeroed, NULL when not available or when count * size overflows.
void *mem_try_alloc(size_t count, size_t size_bytes);

// Anonymous zeroed memory at a 2 MiB boundary with huge pages asked for; touched lazily. NULL when refused.
// Freed by mem_unmap with the same size.
void *mem_map(size_t size_bytes);
void mem_unmap(void *memory, size_t size_bytes);
// Gives the pages back to the system; the range reads as zero afterwards.
void mem_discard(void *memory, size_t size_bytes);

// *out = a * b or a + b; false (and *out = 0) on overflow.
bool mem_mul(size_t a, size_t b, size_t *out);
bool mem_add(size_t a, size_t b, size_t *out);
