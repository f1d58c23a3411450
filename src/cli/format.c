// SPDX-License-Identifier: MIT
// Sizes, times and durations as words. Pure functions; the bounds are those of Ollama's own tables.
#include "cli/format.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

void format_size(uint64_t size_bytes, char out[FORMAT_BYTES])
{
    static const char *const units[] = {"B", "KB", "MB", "GB", "TB"};
    double value = (double)size_bytes;
    size_t unit = 0;
    while (value >= 1000 && unit < 4) {
        value /= 1000;
        unit++;
    }
    bool has_fraction = unit > 0 && value < 10 && value > floor(value);
    if (has_fraction)
        snprintf(out, FORMAT_BYTES, "%.1f %s", value, units[unit]);
    else
        snprintf(out, FORMAT_BYTES, "%.0f %s", floor(value), units[unit]);
}

static void format_span(int64_t ns, char out[FORMAT_BYTES])
{
    int64_t seconds = ns / NS_PER_S, minutes = seconds / 60;
    int64_t hours = llround((double)ns / 3600e9);
    if (seconds < 1)
        snprintf(out, FORMAT_BYTES, "Less than a second");
    else if (seconds == 1)
        snprintf(out, FORMAT_BYTES, "1 second");
    else if (seconds < 60)
        snprintf(out, FORMAT_BYTES, "%d seconds", (int)seconds);
    else if (minutes == 1)
        snprintf(out, FORMAT_BYTES, "About a minute");
    else if (minutes < 60)
        snprintf(out, FORMAT_BYTES, "%d minutes", (int)minutes);
    else if (hours == 1)
        snprintf(out, FORMAT_BYTES, "About an hour");
    else if (hours < 48)
        snprintf(out, FORMAT_BYTES, "%d hours", (int)hours);
    else if (hours < 24L * 7 * 2)
        snprintf(out, FORMAT_BYTES, "%d days", (int)(hours / 24));
    else if (hours < 24L * 30 * 2)
        snprintf(out, FORMAT_BYTES, "%d weeks", (int)(hours / 24 / 7));
    else if (hours < 24L * 365 * 2)
        snprintf(out, FORMAT_BYTES, "%d months", (int)(hours / 24 / 30));
    else
        snprintf(out, FORMAT_BYTES, "%d years", (int)(minutes / 60 / 24 / 365));
}

void format_when(int64_t then_ns, int64_t now_ns, char out[FORMAT_BYTES])
{
    char span[FORMAT_BYTES];
    bool is_ahead = then_ns > now_ns;
    int64_t distance;
    if (__builtin_sub_overflow(is_ahead ? then_ns : now_ns, is_ahead ? now_ns : then_ns, &distance))
        distance = INT64_MAX;
    if (is_ahead && distance / NS_PER_S / 3600 / 24 / 365 > 20) {
        snprintf(out, FORMAT_BYTES, "Forever");
        return;
    }
    format_span(distance, span);
    snprintf(out, FORMAT_BYTES, "%.48s %s", span, is_ahead ? "from now" : "ago");
}

// `value` with up to `digits` decimals, zeros at the end dropped.
static int format_decimal(char *out, size_t n, uint64_t value, uint64_t unit, int digits)
{
    int used = snprintf(out, n, "%llu", (unsigned long long)(value / unit));
    uint64_t fraction = value % unit;
    if (fraction == 0)
        return used;
    used += snprintf(out + used, n - (size_t)used, ".%0*llu", digits, (unsigned long long)fraction);
    while (out[used - 1] == '0')
        used--;
    out[used] = 0;
    return used;
}

void format_duration(int64_t ns, char out[FORMAT_BYTES])
{
    const char *sign = ns < 0 ? "-" : "";
    uint64_t value = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
    char text[FORMAT_BYTES];
    uint64_t hours = value / (3600ull * NS_PER_S), minutes = value / (60ull * NS_PER_S) % 60;
    if (value == 0) {
        snprintf(out, FORMAT_BYTES, "0s");
    } else if (value < 1000) {
        snprintf(out, FORMAT_BYTES, "%s%uns", sign, (unsigned)value);
    } else if (value < 1000000) {
        format_decimal(text, sizeof text, value, 1000, 3);
        snprintf(out, FORMAT_BYTES, "%s%.40s\xC2\xB5s", sign, text);
    } else if (value < (uint64_t)NS_PER_S) {
        format_decimal(text, sizeof text, value, 1000000, 6);
        snprintf(out, FORMAT_BYTES, "%s%.40sms", sign, text);
    } else {
        format_decimal(text, sizeof text, value % (60ull * NS_PER_S), NS_PER_S, 9);
        if (hours > 0)
            snprintf(out, FORMAT_BYTES, "%s%lluh%llum%.24ss", sign, (unsigned long long)hours,
                     (unsigned long long)minutes, text);
        else if (minutes > 0)
            snprintf(out, FORMAT_BYTES, "%s%llum%.24ss", sign, (unsigned long long)minutes, text);
        else
            snprintf(out, FORMAT_BYTES, "%s%.24ss", sign, text);
    }
}

int64_t format_parse_time(const char *text)
{
    struct tm tm = {0};
    const char *p = text != NULL ? strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;
    int64_t fraction = 0, offset_s = 0, ns;
    if (p == NULL)
        return INT64_MIN;
    if (*p == '.') {
        int64_t scale = NS_PER_S;
        for (p++; *p >= '0' && *p <= '9'; p++) {
            scale /= 10;
            fraction += scale * (*p - '0');
        }
    }
    if (*p == '+' || *p == '-') {
        int hours = 0, minutes = 0;
        if (sscanf(p + 1, "%2d:%2d", &hours, &minutes) != 2)
            return INT64_MIN;
        offset_s = ((int64_t)hours * 60 + minutes) * 60 * (*p == '-' ? -1 : 1);
    } else if (*p != 'Z' && *p != 'z') {
        return INT64_MIN;
    }
    if (__builtin_mul_overflow((int64_t)timegm(&tm) - offset_s, NS_PER_S, &ns) ||
        __builtin_add_overflow(ns, fraction, &ns))
        return tm.tm_year > 70 ? INT64_MAX : INT64_MIN;
    return ns;
}
