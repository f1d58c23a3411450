// SPDX-License-Identifier: MIT
// Does again what an event log tells: feeds its events to a state machine of its own, and holds the actions
// that come out against those that came out then. One thread; allocates per request, unlike the scheduler.
#pragma once

#include "sched/sched.h"

struct replay;

// What happens, told as it happens. Each may be NULL. A request is valid during the call only.
struct replay_hooks {
    void *user;
    void (*named)(void *user, uint32_t model_i, const char *name);
    void (*submitted)(void *user, const struct sched_request *r, uint32_t model_i, bool accepted,
                      int64_t now_ns);
    void (*acted)(void *user, const struct sched_action *a, int64_t now_ns);
    void (*finished)(void *user, const struct sched_request *r, int64_t now_ns); // it ran to its end
    void (*cancelled)(void *user, const struct sched_request *r, int64_t now_ns);
};

struct replay *replay_new(const struct replay_hooks *hooks);
void replay_free(struct replay *p);
// One line, without its end. ERR_FORMAT: not a line of an event log, or not of one from its beginning.
// ERR_CONFLICT: the state machine did something else than it did then; the message has both.
int replay_line(struct replay *p, const char *line, struct err *err);
const struct sched *replay_sched(const struct replay *p); // NULL before the first line
