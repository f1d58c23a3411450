// SPDX-License-Identifier: MIT
#include "frames/pack.h"

void unpack_text_into(struct cursor *c, char *out, size_t out_bytes)
{
    uint32_t n = cursor_u32(c);
    out[0] = 0;
    if (n >= out_bytes) {
        c->failed = true;
        return;
    }
    const void *bytes = cursor_take(c, n);
    if (bytes == NULL || memchr(bytes, 0, n) != NULL) {
        c->failed = true;
        return;
    }
    memcpy(out, bytes, n);
    out[n] = 0;
}
