// SPDX-License-Identifier: MIT
// `token` is text (ill-formed bytes of a part of a character become U+FFFD), `bytes` is exact.
#include "server/logprobs.h"

static void write_members(struct json_writer *w, const struct logprob *p)
{
    json_member_slice(w, "token", p->bytes);
    json_key(w, "logprob");
    json_put_double(w, p->logprob > 0 ? 0 : (double)p->logprob);
    if (p->bytes.n == 0)
        return;
    json_key(w, "bytes");
    json_begin_array(w);
    for (size_t i = 0; i < p->bytes.n; i++)
        json_put_uint(w, (unsigned char)p->bytes.at[i]);
    json_end_array(w);
}

void logprobs_write(struct json_writer *w, const struct token_logprobs *items, size_t n, bool always_has_top)
{
    json_begin_array(w);
    for (size_t i = 0; i < n; i++) {
        json_begin_object(w);
        write_members(w, &items[i].chosen);
        if (items[i].n_top > 0 || always_has_top) {
            json_key(w, "top_logprobs");
            json_begin_array(w);
            for (uint32_t t = 0; t < items[i].n_top; t++) {
                json_begin_object(w);
                write_members(w, &items[i].top[t]);
                json_end_object(w);
            }
            json_end_array(w);
        }
        json_end_object(w);
    }
    json_end_array(w);
}
