// SPDX-License-Identifier: MIT
// One formatted line, one write: lines of several threads and processes never mix (up to PIPE_BUF bytes).
#include "base/log.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/utf8.h"

enum { MAX_LINE_BYTES = 16 << 10, MAX_VALUE_BYTES = 2048 };

static _Atomic enum log_level threshold = LOG_INFO; // a reload may change them
static _Atomic bool as_json;

static const char *const names[] = {"TRACE", "DEBUG", "INFO", "WARN", "ERROR"};

void log_set_level(enum log_level level)
{
    threshold = level;
}

void log_set_json(bool json)
{
    as_json = json;
}

bool log_is_json(void)
{
    return as_json;
}

bool log_is_on(enum log_level level)
{
    return level >= threshold;
}

// Quoted for logfmt and JSON alike: both take \" \\ \n and \u00xx.
static void push_quoted(struct strbuf *b, const char *text)
{
    struct strbuf valid = STRBUF_INIT((size_t)4 * MAX_VALUE_BYTES);
    utf8_push_valid(&valid, slice_make(text, strnlen(text, MAX_VALUE_BYTES)));
    strbuf_push_char(b, '"');
    for (const char *p = strbuf_text(&valid); *p; p++) {
        unsigned char c = (unsigned char)*p;
        if (c == '"' || c == '\\')
            strbuf_printf(b, "\\%c", c);
        else if (c == '\n')
            strbuf_push_text(b, "\\n");
        else if (c < 0x20)
            strbuf_printf(b, "\\u%04x", c);
        else
            strbuf_push_char(b, (char)c);
    }
    strbuf_push_char(b, '"');
    strbuf_fini(&valid);
}

struct log_line log_begin(enum log_level level, const char *source, const char *message)
{
    struct log_line l = {.text = STRBUF_INIT(MAX_LINE_BYTES), .is_on = log_is_on(level)};
    char time[40];
    if (!l.is_on)
        return l;
    clock_format_rfc3339(clock_wall_ns(), time);
    strbuf_printf(&l.text,
                  as_json ? "{\"time\":\"%s\",\"level\":\"%s\",\"source\":\"%s\",\"msg\":"
                          : "time=%s level=%s source=%s msg=",
                  time, names[level], source);
    push_quoted(&l.text, message);
    return l;
}

// What follows the key is written by the caller.
static bool add_key(struct log_line *l, const char *key)
{
    if (l->is_on)
        strbuf_printf(&l->text, as_json ? ",\"%s\":" : " %s=", key);
    return l->is_on;
}

static bool is_plain(const char *text)
{
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7F || strchr("\"\\=", *p))
            return false;
    return true;
}

void log_add_text(struct log_line *l, const char *key, const char *value)
{
    if (value == NULL || value[0] == 0 || !add_key(l, key))
        return;
    if (!as_json && is_plain(value) && strlen(value) < MAX_VALUE_BYTES)
        strbuf_push_text(&l->text, value);
    else
        push_quoted(&l->text, value);
}

void log_add_int(struct log_line *l, const char *key, int64_t value)
{
    if (add_key(l, key))
        strbuf_printf(&l->text, "%" PRId64, value);
}

void log_add_ms(struct log_line *l, const char *key, int64_t ns)
{
    if (add_key(l, key))
        strbuf_printf(&l->text, "%.1f", (double)ns / (double)NS_PER_MS);
}

void log_add_number(struct log_line *l, const char *key, double value)
{
    if (!add_key(l, key))
        return;
    if (isfinite(value))
        strbuf_printf(&l->text, "%.6g", value);
    else
        strbuf_push_text(&l->text, "null");
}

void log_add_bool(struct log_line *l, const char *key, bool value)
{
    if (add_key(l, key))
        strbuf_push_text(&l->text, value ? "true" : "false");
}

void log_end(struct log_line *l)
{
    if (!l->is_on)
        return;
    if (as_json)
        strbuf_push_char(&l->text, '}');
    strbuf_push_char(&l->text, '\n');
    ssize_t n = write(STDERR_FILENO, l->text.at, l->text.n);
    (void)n; // nobody to tell
    strbuf_fini(&l->text);
}

void log_write(enum log_level level, const char *source, const char *format, ...)
{
    if (!log_is_on(level))
        return;
    char message[MAX_VALUE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    struct log_line line = log_begin(level, source, message);
    log_end(&line);
}
