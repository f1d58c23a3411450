// SPDX-License-Identifier: MIT
// What is learned from requests and loads that have ended. Private to sched/.
#pragma once

#include "sched/state.h"

void estimate_on_finished(struct sched *s, const struct sched_request *r);
void estimate_on_loaded(struct sched *s, struct sched_model *m);
