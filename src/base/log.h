// SPDX-License-Identifier: MIT
// Logs on stderr, one line an event: `time=... level=INFO source=host msg="..." key=value`, or the same
// members as a JSON object. Thread-safe: a line is one write(2). What a person greps or a program reads is a
// member (log_begin, log_add_*, log_end); what is only told to a person is one sentence (log_write).
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/strbuf.h"

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

// A line with members. Below the level of the log nothing is built. Values of any bytes are made one valid
// line; the line is bounded, what does not fit is cut.
struct log_line {
    struct strbuf text;
    bool is_on;
};
struct log_line log_begin(enum log_level level, const char *source, const char *message);
void log_add_text(struct log_line *l, const char *key, const char *value); // NULL or "": left out
void log_add_int(struct log_line *l, const char *key, int64_t value);
void log_add_ms(struct log_line *l, const char *key, int64_t ns); // in milliseconds, one decimal
void log_add_number(struct log_line *l, const char *key, double value);
void log_add_bool(struct log_line *l, const char *key, bool value);
void log_end(struct log_line *l); // writes and frees
