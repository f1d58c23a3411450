// SPDX-License-Identifier: MIT
// Go's duration syntax: an optional sign, then decimal numbers each with a unit ("1h30m", "1.5s"). "0" alone
// needs no unit. Messages use Go's words, because clients of Ollama show them. Pure.
#include "base/options.h"

#include <string.h>

#include "base/clock.h"

static const struct unit {
    const char *name;
    uint64_t ns;
} units[] = {{"ns", 1},           {"us", 1000},    {"\xC2\xB5s", 1000}, // micro sign
             {"\xCE\xBCs", 1000},                                       // Greek mu
             {"ms", 1000000},     {"s", NS_PER_S}, {"m", 60 * NS_PER_S}, {"h", 3600 * NS_PER_S}};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

// Digits up to the first other character; false when the number leaves 63 bits.
static bool read_digits(const char **at, uint64_t *value)
{
    const char *p = *at;
    uint64_t v = 0;
    for (; is_digit(*p); p++) {
        if (v > (uint64_t)INT64_MAX / 10)
            return false;
        v = v * 10 + (uint64_t)(*p - '0');
        if (v > (uint64_t)INT64_MAX)
            return false;
    }
    *at = p;
    *value = v;
    return true;
}

// Digits after the point, as value / scale; digits that no longer fit are dropped.
static void read_fraction(const char **at, double *fraction)
{
    double scale = 1, value = 0;
    const char *p = *at;
    for (; is_digit(*p); p++) {
        if (scale < 1e18) {
            scale *= 10;
            value = value * 10 + (*p - '0');
        }
    }
    *at = p;
    *fraction = value / scale;
}

static const struct unit *find_unit(const char *name, size_t n)
{
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (strlen(units[i].name) == n && memcmp(units[i].name, name, n) == 0)
            return &units[i];
    return NULL;
}

// One number with its unit, added to *sum.
static int read_term(const char **at, uint64_t *sum, const char *text, struct err *err)
{
    const char *p = *at;
    uint64_t whole = 0;
    double fraction = 0;
    const char *start = p;
    if (!read_digits(&p, &whole))
        return err_set(err, ERR_INVALID, "time: invalid duration \"%s\"", text);
    bool has_digits = p > start;
    if (*p == '.') {
        const char *point = ++p;
        read_fraction(&p, &fraction);
        has_digits |= p > point;
    }
    if (!has_digits)
        return err_set(err, ERR_INVALID, "time: invalid duration \"%s\"", text);
    size_t n = strcspn(p, ".0123456789");
    if (n == 0)
        return err_set(err, ERR_INVALID, "time: missing unit in duration \"%s\"", text);
    const struct unit *unit = find_unit(p, n);
    if (unit == NULL)
        return err_set(err, ERR_INVALID, "time: unknown unit \"%.*s\" in duration \"%s\"", (int)n, p, text);
    if (whole > (uint64_t)INT64_MAX / unit->ns)
        return err_set(err, ERR_INVALID, "time: invalid duration \"%s\"", text);
    uint64_t term = whole * unit->ns + (uint64_t)(fraction * (double)unit->ns);
    if (term > (uint64_t)INT64_MAX - *sum)
        return err_set(err, ERR_INVALID, "time: invalid duration \"%s\"", text);
    *sum += term;
    *at = p + n;
    return 0;
}

int duration_parse(const char *text, int64_t *ns, struct err *err)
{
    const char *p = text;
    bool is_negative = *p == '-';
    uint64_t sum = 0;
    *ns = 0;
    if (*p == '-' || *p == '+')
        p++;
    if (strcmp(p, "0") == 0)
        return 0;
    if (*p == 0)
        return err_set(err, ERR_INVALID, "time: invalid duration \"%s\"", text);
    while (*p != 0)
        if (read_term(&p, &sum, text, err) != 0)
            return -1;
    *ns = is_negative ? -(int64_t)sum : (int64_t)sum;
    return 0;
}
