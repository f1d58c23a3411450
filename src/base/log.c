// SPDX-License-Identifier: MIT
// One formatted line, one write: lines of several threads and processes never mix (up to PIPE_BUF bytes).
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/strbuf.h"

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
    strbuf_push_char(b, '"');
    for (const char *p = text; *p; p++) {
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
}

void log_write(enum log_level level, const char *source, const char *format, ...)
{
    if (!log_is_on(level))
        return;
    char message[2048], time[40];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    clock_format_rfc3339(clock_wall_ns(), time);

    struct strbuf line = STRBUF_INIT(8192);
    strbuf_printf(&line,
                  as_json ? "{\"time\":\"%s\",\"level\":\"%s\",\"source\":\"%s\",\"msg\":"
                          : "time=%s level=%s source=%s msg=",
                  time, names[level], source);
    push_quoted(&line, message);
    strbuf_push_text(&line, as_json ? "}\n" : "\n");
    ssize_t n = write(STDERR_FILENO, line.at, line.n);
    (void)n; // nobody to tell
    strbuf_fini(&line);
}
