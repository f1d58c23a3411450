// SPDX-License-Identifier: MIT
// The event log: one line of text per event and action. Private to sched/; replay.h reads it back.
//
//     TIME EVENT name=value ...        something went in
//     TIME > ACTION name=value ...     something came out
//     TIME name m=0 TEXT               for people
// m: the model, counted from 0; r: the request, counted from 0 as they were accepted; times in ns.
#pragma once

#include "sched/state.h"

// Nothing happens in these while the log is off.
void log_options(struct sched *s, const char *event, const struct sched_options *o);
void log_model(struct sched *s, const struct sched_model *m);
void log_model_options(struct sched *s, const struct sched_model *m, const struct sched_model_options *o);
void log_submit(struct sched *s, const struct sched_model *m, const struct sched_request *r, bool accepted);
void log_event(struct sched *s, const char *event);
void log_event_of_model(struct sched *s, const char *event, const struct sched_model *m);
void log_event_of_request(struct sched *s, const char *event, const struct sched_request *r);
void log_number(struct sched *s, const char *event, const struct sched_model *m, int64_t value);
void log_plan(struct sched *s, const struct sched_model *m, const struct sched_plan *plan);
void log_failed(struct sched *s, const struct sched_model *m, const struct err *why);
void log_budget(struct sched *s, uint32_t device_i, uint64_t bytes);
void log_action(struct sched *s, const struct sched_action *a);
// The line of an action, as log_action writes it.
enum { LOG_LINE_BYTES = 1400 };
void log_format_action(char *line, int64_t now_ns, const struct sched_action *a);
