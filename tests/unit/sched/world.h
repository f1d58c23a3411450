// SPDX-License-Identifier: MIT
// A world around the scheduler that can be told any list of steps: each step does something only if it is
// possible now, so every part of a list is a list too and a failing one can be made smaller. The world keeps
// its own books and holds the scheduler to them after every step; a violation aborts the process.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define STEP_LIST(X)                                                                                         \
    X(STEP_SUBMIT, "submit") /* life, bits: model, context, client, ... */                                   \
    X(STEP_FINISH, "finish") /* life */                                                                      \
    X(STEP_CANCEL, "cancel") /* life */                                                                      \
    X(STEP_TOKEN, "token")   /* life */                                                                      \
    X(STEP_ON, "on")         /* model: what its process does next, if it behaves */                          \
    X(STEP_FAIL, "fail")     /* model: its process says that it cannot load */                               \
    X(STEP_CRASH, "crash")   /* model */                                                                     \
    X(STEP_BUDGET, "budget") /* device, MiB */                                                               \
    X(STEP_KEEP, "keep")     /* model, seconds + 1 */                                                        \
    X(STEP_UNLOAD, "unload") /* model */                                                                     \
    X(STEP_PRELOAD, "preload")                                                                               \
    X(STEP_MODEL, "model")     /* model, bits: its options */                                                \
    X(STEP_OPTIONS, "options") /* bits: everybody's options */                                               \
    X(STEP_TIME, "time")                                                                                     \
    X(STEP_DRAIN, "drain")
enum step_kind {
#define X(kind, name) kind,
    STEP_LIST(X)
#undef X
        STEP_KIND_COUNT
};

struct step {
    enum step_kind kind;
    uint32_t what; // life, model or device
    uint64_t bits; // what the kind says
    int64_t dt_ns; // time that passes before
};

// All that a world is made of: `devices` 0: one CPU, 1: one GPU, 4: four GPUs.
struct world_setup {
    uint64_t bits; // options and plans are drawn from it
    uint32_t devices;
};

enum { WORLD_MODELS = 6, WORLD_LIVES = 300, WORLD_CLIENTS = 5 };

uint64_t world_mix(uint64_t *state); // a random number from a seed that moves on
void world_run(const struct world_setup *setup, const struct step *steps, size_t n);
// Text of a case: a line "world DEVICES BITS", then one step a line.
void world_write(FILE *out, const struct world_setup *setup, const struct step *steps, size_t n);
size_t world_read(FILE *in, struct world_setup *setup, struct step *steps, size_t max_steps); // 0: broken
