// SPDX-License-Identifier: MIT
// Logs on stderr, one line an event: `time=... level=INFO source=host msg="..." key=value`. Thread-safe: a
// line is one write(2). The message is a sentence; what varies goes into it or, for what a person greps, into
// key=value pairs at its end.
#pragma once

#include <stdbool.h>

enum log_level { LOG_TRACE, LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

void log_set_level(enum log_level level);
void log_set_json(bool json);
bool log_is_on(enum log_level level);
bool log_is_json(void);
void log_write(enum log_level level, const char *source, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define log_debug(source, ...) log_write(LOG_DEBUG, source, __VA_ARGS__)
#define log_info(source, ...)  log_write(LOG_INFO, source, __VA_ARGS__)
#define log_warn(source, ...)  log_write(LOG_WARN, source, __VA_ARGS__)
#define log_error(source, ...) log_write(LOG_ERROR, source, __VA_ARGS__)
