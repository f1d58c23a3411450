// SPDX-License-Identifier: MIT
// Draft tokens of a sequence from its own past: what followed when the last tokens occurred before ("prompt
// lookup decoding", speculative decoding without a second model). A step of few streams waits for memory and
// has columns to spare; draft tokens are computed in them, and then the sampler draws as ever: a draft token
// that is drawn is accepted, its keys and values stay and the next logits are there already. So a draft costs
// or saves time and never changes a token.
//
// How long a draft is follows from how often those of this sequence were accepted. Pure; one thread.
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { DRAFT_MAX = 3, DRAFT_MATCHES = 4 };

struct draft { // of one sequence
    uint32_t ids[DRAFT_MAX], n;
    uint32_t match;                   // how many tokens before it were the same, at most DRAFT_MATCHES
    float accept_rate[DRAFT_MATCHES]; // [match - 1] part that was accepted
};

void draft_init(struct draft *d);
// Sets ids and n <= max. n_streams: how many share the step, at least 1.
void draft_propose(struct draft *d, const uint32_t *tokens, size_t n_tokens, uint32_t max,
                   uint32_t n_streams);
// The first n_accepted of the draft were drawn; called once for a draft that was computed.
void draft_learn(struct draft *d, uint32_t n_accepted);
