// SPDX-License-Identifier: MIT
// Deterministic automata over code points: what patterns, formats, ranges of numbers, enumerations and key
// names become before they are written into a grammar. Built from an NFA by the subset construction, combined
// by product and complement. Every state of a finished one can still reach an accepting state. Bounded in
// size, and in time by a budget of the caller: steps of some nanoseconds, taken off as they are made.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

enum { AUTOMATON_MAX_STATES = 20000, AUTOMATON_MAX_EDGES = 200000, CODE_POINT_MAX = 0x10FFFF };

struct automaton_edge {
    uint32_t lo, hi, to; // code points, both included
};

struct automaton {
    uint32_t n_states; // state 0 begins; 0 states: accepts nothing
    uint32_t *first;   // edges of state q are [first[q], first[q + 1]), in rising order, without overlap
    struct automaton_edge *edges;
    bool *accepts;
};

// An NFA being built. State 0 begins.
struct nfa_edge {
    uint32_t from, to, lo, hi; // lo > hi: reads nothing
};

struct nfa {
    struct nfa_edge *edges;
    uint32_t n_edges, edge_capacity, n_states, n_accepting, accepting_capacity;
    uint32_t *accepting;
    bool is_full;
};

struct nfa *nfa_new(void); // with its state 0
void nfa_free(struct nfa *n);
uint32_t nfa_add_state(struct nfa *n);
void nfa_add_edge(struct nfa *n, uint32_t from, uint32_t lo, uint32_t hi, uint32_t to);
void nfa_add_jump(struct nfa *n, uint32_t from, uint32_t to);
uint32_t nfa_add_text(struct nfa *n, uint32_t from, struct slice text); // valid UTF-8; where it ends
void nfa_accept(struct nfa *n, uint32_t state);

// ERR_INVALID: too large, or more work than is left. The caller's (automaton_free).
struct automaton *automaton_of(const struct nfa *n, uint64_t *work, struct err *err);
struct automaton *automaton_both(const struct automaton *a, const struct automaton *b, uint64_t *work,
                                 struct err *err);
struct automaton *automaton_not(const struct automaton *a, uint64_t *work, struct err *err); // of all texts
struct automaton *automaton_of_lengths(uint32_t min, uint32_t max, uint64_t *work,
                                       struct err *err); // max UINT32_MAX: any
void automaton_free(struct automaton *a);                // takes NULL
bool automaton_matches(const struct automaton *a, struct slice text);
