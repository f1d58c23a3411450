// SPDX-License-Identifier: MIT
#include "text/detok.h"

#include <string.h>

#include "base/utf8.h"

void detok_push(struct detok *d, struct slice piece, struct strbuf *out)
{
    size_t start = out->n;
    strbuf_push(out, d->held, d->n_held);
    strbuf_push_slice(out, piece);
    struct slice added = slice_make(out->at + start, out->n - start);
    size_t tail = added.n > 0 ? utf8_incomplete_tail(added) : 0;
    if (tail > 0)
        memcpy(d->held, out->at + out->n - tail, tail);
    d->n_held = (uint32_t)tail;
    strbuf_truncate(out, out->n - tail);
}
