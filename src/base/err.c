// SPDX-License-Identifier: MIT
// The one list of error codes and the two ways to fill an error.
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    int status;
    const char *text;
} codes[ERR_CODE_COUNT] = {
#define X(code, http, words) [code] = {http, words},
    ERR_LIST(X)
#undef X
};

int err_set(struct err *err, enum err_code code, const char *format, ...)
{
    if (err == NULL || err->code != ERR_NONE)
        return -1;
    va_list args;
    va_start(args, format);
    err->code = code;
    vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    return -1;
}

int err_prefix(struct err *err, const char *format, ...)
{
    if (err == NULL || err->code == ERR_NONE)
        return -1;
    char old[sizeof err->message];
    memcpy(old, err->message, sizeof old);
    va_list args;
    va_start(args, format);
    int n = vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    if (n >= 0 && (size_t)n + 2 < sizeof err->message) {
        int room = (int)sizeof err->message - n - 3; // what ": " and the final 0 leave
        snprintf(err->message + n, sizeof err->message - (size_t)n, ": %.*s", room, old);
    }
    return -1;
}

void err_clear(struct err *err)
{
    err->code = ERR_NONE;
    err->message[0] = 0;
}

int err_http_status(enum err_code code)
{
    return codes[code].status;
}

const char *err_text(enum err_code code)
{
    return codes[code].text;
}
