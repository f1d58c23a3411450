// SPDX-License-Identifier: MIT
// Which models have to go: sets that free enough, and not one model more. Private to sched/.
#pragma once

#include "sched/devices.h"

// Marks (is_marked) the idle models to unload so that `bytes` fit on the device beside busy models and
// `taken`, and a place is free. False: not even without all idle ones. *cost: what their reloads cost.
bool evict_choose_idle(struct sched *s, const struct sched_model *claimant, uint32_t device_i, uint64_t bytes,
                       uint64_t taken_bytes, uint32_t n_taken, double *cost);
// Marks the busy models to drain so that the claimant fits somehow; those that drain already count as gone.
// False: those that have been resident long enough do not suffice. *work: how many requests they have.
bool evict_choose_drain(struct sched *s, const struct sched_model *claimant, uint32_t device_i,
                        uint64_t taken_bytes, uint32_t n_taken, uint32_t *work);
// Marks the idle models to unload so that what stays on the device, and in number, is no more than there is;
// all idle ones where that is not enough.
void evict_choose_excess(struct sched *s, uint32_t device_i);
double evict_reload_cost(const struct sched *s, const struct sched_model *m);
