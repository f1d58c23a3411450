// SPDX-License-Identifier: MIT
// Who holds how much of which device, and what a model could have there. Private to sched/.
#pragma once

#include "sched/state.h"

// What the models other than one hold: of one device in bytes, of all devices in places.
struct devices_use {
    uint64_t busy_bytes;    // with work, pinned, or growing: stays
    uint64_t idle_bytes;    // could be unloaded
    uint64_t leaving_bytes; // is being unloaded
    uint32_t n_busy, n_idle, n_leaving;
};

// Which models count as gone already.
enum devices_without { DEVICES_ALL, DEVICES_WITHOUT_MARKED, DEVICES_WITHOUT_DRAINING };

bool devices_may_hold(const struct sched *s, uint32_t device_i); // models are placed on it at all
bool devices_is_evictable(const struct sched_model *m);          // holds room that it may lose at once
// Without `except`, and without those that are marked or draining as `without` says.
struct devices_use devices_count(const struct sched *s, const struct sched_model *except, uint32_t device_i,
                                 enum devices_without without);
// What m could ever have: the largest device less what other pinned models hold there. *pinned_bytes: that.
uint64_t devices_most_bytes(const struct sched *s, const struct sched_model *m, uint64_t *pinned_bytes);
uint32_t devices_count_pinned(const struct sched *s, const struct sched_model *except);
uint64_t devices_held_bytes(const struct sched *s, uint32_t device_i); // by all, leaving ones too
uint32_t devices_count_held(const struct sched *s);                    // models that hold a place
// Whether m may be loaded beside n_others models. One that grows keeps the place that it has, also where
// max_loaded has become less.
bool devices_has_place(const struct sched *s, const struct sched_model *m, uint32_t n_others);
