// SPDX-License-Identifier: MIT
// From logits to a token. The chain, in this order: penalties, top_k, typical_p, top_p, min_p, temperature,
// draw. Ties go to the lower id. Random numbers are a function of (seed, index of the token in the answer),
// so that a stream can be taken up again anywhere. No math library: results are the same on every machine.
//
// With a grammar a token is drawn as without one. Only when it may not come, the logits of all that may not
// are taken out and another one is drawn, with a random number of its own. So the cost of a mask is paid
// where the grammar and the model disagree, and what it says never depends on what was worked out before.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/params.h"
#include "compute/compute.h"
#include "frames/request.h"
#include "text/matcher.h"

struct sample_logprob {
    uint32_t token_id;
    float logprob;
};

struct sample {
    uint32_t token_id; // TOKEN_NONE: the vocabulary has no token that may come
    float logprob;     // of the raw distribution; when params.logprobs
    uint32_t n_top;
    struct sample_logprob top[PARAMS_MAX_TOP_LOGPROBS]; // best first
};

struct sample_input {
    float *logits; // n_vocab values, changed
    uint32_t n_vocab;
    const struct params *params;
    const uint32_t *tokens; // prompt and answer so far: the penalties' window is its tail
    size_t n_tokens;
    uint32_t index;         // of the token to draw, in the answer
    const uint32_t *banned; // ids that must not be drawn
    uint32_t n_banned;
    const struct logit_bias *biases; // added first; the log-probabilities told are those without them
    size_t n_biases;
    // The answer must be a text of a grammar: where it stands; NULL: free.
    struct matcher *matcher;
    const struct pieces *pieces;
    const struct tokenizer *tokenizer;
};

// Scratch of one thread; grows once to the size of the vocabulary.
struct sampler_scratch {
    struct candidate *candidates;
    size_t capacity;
    uint32_t *window;
    size_t window_capacity;
};

// Which logits sampler_draw() will look at: those of `ids`, whose number is told, and the k largest of the
// others, where k is returned; 0: all. ids has room for SAMPLER_MAX_APART. What is not among them may be -inf
// when it comes to the draw, and in->logits need not be there yet.
enum { SAMPLER_MAX_APART = 256 };
uint32_t sampler_wants(const struct sample_input *in, uint32_t *ids, uint32_t *n_ids);

void sampler_scratch_fini(struct sampler_scratch *s);
void sampler_draw(const struct kernels *kn, struct sampler_scratch *scratch, const struct sample_input *in,
                  struct sample *out);
double sampler_uniform(uint64_t seed, uint64_t index); // [0, 1)
double sampler_exp(double x);                          // within 1e-15 relative
