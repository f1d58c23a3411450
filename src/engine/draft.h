// SPDX-License-Identifier: MIT
// Guesses of a sequence's next tokens from its own past: what followed when the last tokens occurred before
// ("prompt lookup decoding", speculative decoding without a second model). A step of few streams waits for
// memory and has columns to spare; guessed tokens are computed in them, and then the sampler draws as ever:
// where it draws what was guessed, the next logits are there already. So a guess costs or saves time and
// never changes a token.
//
// How far ahead to guess follows from how often guesses of this sequence were right. Pure; one thread.
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { DRAFT_MAX = 3, DRAFT_MATCHES = 4 };

struct draft { // of one sequence
    uint32_t ids[DRAFT_MAX], n;
    uint32_t match;                // how many tokens before the guess were the same, at most DRAFT_MATCHES
    float hit_rate[DRAFT_MATCHES]; // [match - 1] part of the guesses that were right
};

void draft_init(struct draft *d);
// Sets ids and n <= max. n_streams: how many share the step, at least 1.
void draft_guess(struct draft *d, const uint32_t *tokens, size_t n_tokens, uint32_t max, uint32_t n_streams);
// The first n_right of the guess were drawn; called once for a guess that was computed.
void draft_learn(struct draft *d, uint32_t n_right);
