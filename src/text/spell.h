// SPDX-License-Identifier: MIT
// Writing texts into a grammar of bytes: code points as UTF-8, and inside of JSON strings with their escapes.
// Never half a character, never a lone surrogate, never U+0000.
#pragma once

#include "text/automaton.h"
#include "text/grammar.h"

// One character of a JSON string, in any of its spellings, leads from `from` to `to`.
void spell_any_char(struct grammar *g, uint32_t from, uint32_t to);
// The code points from lo to hi, as they are, lead from `from` to `to`.
void spell_range(struct grammar *g, uint32_t from, uint32_t lo, uint32_t hi, uint32_t to);
// The texts of an automaton lead from `from` to `to`. In a string each character is spelled one way: itself,
// or its shortest escape where JSON wants one.
void spell_automaton(struct grammar *g, const struct automaton *a, bool in_string, uint32_t from,
                     uint32_t to);
