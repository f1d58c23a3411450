// SPDX-License-Identifier: MIT
// How large a model may be: slots and pool for the memory that there is. Pure arithmetic; the order of
// reduction is DESIGN "Pool".
#pragma once

#include "sched/sched.h"

#define GIB ((double)(1ull << 30))
enum {
    FIT_AUTO_SLOTS = SCHED_AUTO_SLOTS,
    FIT_SLOT_TOKENS = 4096,
    FIT_LEAST_POOL = 2048,
    FIT_PAGE_TOKENS = 16
};

// What is asked for: of the model's own options, else of all models'.
struct fit_wish {
    uint32_t num_parallel;   // 0: 4, or 1 when memory is short
    uint32_t context_length; // 0: the smaller of training context and pool
    uint64_t front_bytes;
};

// The largest sizes that `room_bytes` allows with a pool of at least need_tokens (what requests ask for; 0:
// nothing). False when not even the smallest fits; *sizes is then the smallest.
bool fit_sizes(const struct fit_wish *w, const struct sched_plan *plan, uint32_t need_tokens,
               uint64_t room_bytes, struct sched_sizes *sizes);
uint64_t fit_bytes(const struct fit_wish *w, const struct sched_plan *plan, uint32_t pool_tokens);
// Sets the refusal: need, have, and what would fit. pinned_bytes: what pinned models hold of it for good.
int fit_refuse(const struct fit_wish *w, const struct sched_plan *plan, uint32_t need_tokens,
               uint64_t room_bytes, uint64_t pinned_bytes, struct err *err);
