// SPDX-License-Identifier: MIT
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "inspect/inspect.h"

int inspect_read_input(struct strbuf *out, struct err *err)
{
    char buffer[65536];
    for (;;) {
        ssize_t n = read(STDIN_FILENO, buffer, sizeof buffer);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(err, ERR_INVALID, "cannot read standard input: %s", strerror(errno));
        if (n == 0)
            break;
        strbuf_push(out, buffer, (size_t)n);
    }
    strbuf_text(out);
    if (out->overflow)
        return err_set(err, ERR_TOO_LARGE, "standard input is longer than %zu bytes", out->cap);
    return 0;
}
