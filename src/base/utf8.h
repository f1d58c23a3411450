// SPDX-License-Identifier: MIT
// UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/strbuf.h"

#define UTF8_REPLACEMENT 0xFFFDu

// Decodes one character of n >= 1 bytes. Returns its length (1..4) and sets *code_point; for an ill-formed
// byte returns 1 and sets *code_point to UTF8_INVALID.
#define UTF8_INVALID UINT32_MAX
size_t utf8_decode(const char *at, size_t n, uint32_t *code_point);
// Writes 1..4 bytes, returns how many.
size_t utf8_encode(uint32_t code_point, char out[4]);
bool utf8_is_valid(struct slice text);
size_t utf8_count(struct slice text); // code points; every ill-formed byte counts as one
// How many bytes at the end are the beginning of a character that is not complete yet (0..3).
size_t utf8_incomplete_tail(struct slice text);
// Appends text with each ill-formed byte replaced by U+FFFD.
void utf8_push_valid(struct strbuf *out, struct slice text);
