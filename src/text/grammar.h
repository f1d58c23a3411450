// SPDX-License-Identifier: MIT
// A grammar of bytes as a recursive network: states joined by edges that read a byte, jump, call a rule (its
// first state) and go on behind it, or call one several times. A rule ends where it reaches GRAMMAR_END.
// Built state by state, checked once by grammar_finish(), immutable afterwards, so any thread may use it.
//
// A finished grammar never leads into a dead end: every state can still reach the end of its rule, and knows
// how many calls deep it must go for that.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

enum {
    GRAMMAR_END = 0,
    GRAMMAR_MAX_STATES = 1 << 17,
    GRAMMAR_MAX_EDGES = 1 << 18,
    GRAMMAR_MAX_DEPTH = 256, // calls within calls of a text: what needs more is no part of the language
    // A byte that no text has: in front of the text of a control token. So a tag of a grammar can be a token
    // of its own, and control tokens never get into strings.
    GRAMMAR_CONTROL = 0xFF,
};
#define GRAMMAR_UNLIMITED UINT32_MAX

enum grammar_edge_kind { EDGE_BYTES, EDGE_JUMP, EDGE_CALL, EDGE_REPEAT };

struct grammar_edge {
    uint32_t from, to;
    uint32_t rule;  // EDGE_CALL; EDGE_REPEAT: index in `repeats`
    uint8_t lo, hi; // EDGE_BYTES
    uint8_t kind;
};

struct grammar_repeat {
    uint32_t rule, min, max;
};

struct grammar {
    struct grammar_edge *edges; // finished: in the order of `from`
    uint32_t n_edges, edge_capacity, n_states;
    struct grammar_repeat *repeats;
    uint32_t n_repeats, repeat_capacity;
    uint32_t *first;  // finished: edges of state q are [first[q], first[q + 1])
    uint16_t *height; // finished: calls that the end of the rule is away at least
    uint32_t root;
    bool is_full; // a limit was met: what was added since is lost
};

struct grammar *grammar_new(void);
void grammar_free(struct grammar *g); // takes NULL
uint32_t grammar_add_state(struct grammar *g);
void grammar_add_bytes(struct grammar *g, uint32_t from, uint8_t lo, uint8_t hi, uint32_t to);
void grammar_add_jump(struct grammar *g, uint32_t from, uint32_t to);
// `rule` reads at least one byte. A state that has a repeat has no other edge and no repeat leads back to it.
void grammar_add_call(struct grammar *g, uint32_t from, uint32_t rule, uint32_t to);
void grammar_add_repeat(struct grammar *g, uint32_t from, uint32_t rule, uint32_t min, uint32_t max,
                        uint32_t to);
// A text letter by letter; the last one leads to `to`. An empty one is a jump.
void grammar_add_text(struct grammar *g, uint32_t from, struct slice text, uint32_t to);
// ERR_INVALID: too large; a rule that calls itself before it reads a byte; a root that derives no text.
int grammar_finish(struct grammar *g, uint32_t root, struct err *err);
