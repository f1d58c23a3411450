// SPDX-License-Identifier: MIT
#include "engine/draft.h"

#include "base/mem.h"

enum {
    WINDOW_TOKENS = 16384, // of the past that is looked at
    LONGEST_MATCH = 8,
};
// Of a step with one column; measured on small models, larger ones have it cheaper.
#define COLUMN_COST 0.2f
#define LEARN_RATE  0.1f
#define FORGET_RATE 0.02f

// After a match of so many tokens, before anything was learned.
static const float usual_rate[DRAFT_MATCHES] = {0.1f, 0.3f, 0.5f, 0.65f};

void draft_init(struct draft *d)
{
    *d = (struct draft){0};
    for (uint32_t i = 0; i < DRAFT_MATCHES; i++)
        d->accept_rate[i] = usual_rate[i];
}

// How many tokens before `at` are the same as those before the end.
static uint32_t match_at(const uint32_t *tokens, size_t n_tokens, size_t at)
{
    uint32_t n = 0;
    while (n < LONGEST_MATCH && n < at && tokens[at - 1 - n] == tokens[n_tokens - 1 - n])
        n++;
    return n;
}

// Where what followed the longest match begins, the latest of several; 0: the last token is new.
static size_t find_match(const uint32_t *tokens, size_t n_tokens, uint32_t *longest)
{
    size_t first = n_tokens > WINDOW_TOKENS ? n_tokens - WINDOW_TOKENS : 0, found = 0;
    *longest = 0;
    for (size_t at = n_tokens - 1; at > first && *longest < LONGEST_MATCH; at--) {
        if (tokens[at - 1] != tokens[n_tokens - 1])
            continue;
        uint32_t n = match_at(tokens, n_tokens, at);
        if (n > *longest) {
            *longest = n;
            found = at;
        }
    }
    return found;
}

// The length with the most tokens for the time, when each is accepted with `rate`.
static uint32_t best_number(float rate, uint32_t max, uint32_t n_streams)
{
    float tokens = (float)n_streams, right = 1, cost = 1 + COLUMN_COST * (float)(n_streams - 1);
    uint32_t n = 0;
    for (; n < max; n++) {
        right *= rate;
        if ((tokens + right) * cost <= tokens * (cost + COLUMN_COST))
            break;
        tokens += right;
        cost += COLUMN_COST;
    }
    return n;
}

void draft_propose(struct draft *d, const uint32_t *tokens, size_t n_tokens, uint32_t max, uint32_t n_streams)
{
    uint32_t longest = 0;
    size_t at = n_tokens > 1 ? find_match(tokens, n_tokens, &longest) : 0;
    d->n = 0;
    if (longest == 0)
        return;
    d->match = MIN(longest, DRAFT_MATCHES);
    float *rate = &d->accept_rate[d->match - 1];
    uint32_t n = best_number(*rate, MIN(max, DRAFT_MAX), n_streams);
    if (n == 0 && max > 0)
        *rate += FORGET_RATE * (usual_rate[d->match - 1] - *rate); // to be tried again some day
    for (; d->n < n; d->n++, at++)                                 // behind the end it repeats itself
        d->ids[d->n] = at < n_tokens ? tokens[at] : d->ids[at - n_tokens];
}

void draft_learn(struct draft *d, uint32_t n_accepted)
{
    float *rate = &d->accept_rate[d->match - 1];
    for (uint32_t i = 0; i < n_accepted; i++)
        *rate += LEARN_RATE * (1 - *rate);
    if (n_accepted < d->n)
        *rate -= LEARN_RATE * *rate;
}
