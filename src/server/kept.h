// SPDX-License-Identifier: MIT
// Log-probabilities of a whole answer: deep copies of what events lend, in order.
#pragma once

#include <stddef.h>

#include "host/host.h"

struct kept_logprobs;

struct kept_logprobs *kept_new(void);
void kept_free(struct kept_logprobs *k); // NULL is allowed
void kept_push(struct kept_logprobs *k, const struct token_logprobs *items, size_t n);
const struct token_logprobs *kept_items(const struct kept_logprobs *k, size_t *n);
