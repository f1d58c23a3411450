// SPDX-License-Identifier: MIT
// JSON numbers within limits, as automata over their digits: exact decimal comparison, no floating point.
// What is written: no exponent, no leading zero, no "-0", at most NUMBERS_DIGITS digits in front of the point
// (more when a limit has more) and behind it.
#pragma once

#include <jansson.h>

#include "text/automaton.h"

enum { NUMBERS_DIGITS = 16, NUMBERS_FRACTION = 20, NUMBERS_MAX_DIGITS = 40, NUMBERS_MAX_MULTIPLE = 4096 };

// A decimal: 0 <= digits before and behind the point, no leading or trailing zeros there.
struct decimal {
    bool is_negative; // never of zero
    char whole[NUMBERS_MAX_DIGITS + 1], fraction[NUMBERS_MAX_DIGITS + 1];
};

struct numbers_limit {
    bool is_set, is_exclusive;
    struct decimal value;
};

struct numbers_range {
    struct numbers_limit min, max;
    bool is_integer;
    uint32_t n_fraction; // most digits behind the point, unless is_integer
    uint32_t multiple;   // is_integer: of this; 0 or 1: any
};

// ERR_INVALID: more digits than can be compared.
int decimal_of(struct decimal *out, const json_t *number, struct err *err);
int decimal_compare(const struct decimal *a, const struct decimal *b);
struct automaton *numbers_automaton(const struct numbers_range *r, uint64_t *work, struct err *err);
