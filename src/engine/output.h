// SPDX-License-Identifier: MIT
// From sampled tokens to the text a client sees: whole characters only, stop strings searched across tokens
// and never sent, what could become one held back. Logprobs are released with the text of their token; those
// of a matched stop string are dropped.
#pragma once

#include "base/strbuf.h"
#include "engine/sampler.h"
#include "text/detok.h"

enum { OUTPUT_MAX_HELD = 4096 }; // tokens whose text is held back

struct output_token {
    uint64_t end; // offset in the whole answer's text after this token
    struct sample sample;
};

struct output {
    struct detok detok;
    struct strbuf pending; // text not sent yet
    uint64_t n_sent;       // bytes sent before it
    char **stops;          // borrowed
    size_t n_stops;
    uint32_t stop_i; // 1 + index of the one that was found; 0: none
    bool keeps_logprobs;
    struct output_token *held; // tokens not released yet
    size_t n_held, held_capacity;
};

void output_init(struct output *o, char **stops, size_t n_stops, bool keeps_logprobs);
void output_fini(struct output *o);
// Takes a token's bytes. Appends to `text` what may be sent now; sets *n_released to how many held tokens
// (from the front) belong to it: read them from o->held, then output_drop_released(). Returns true when a
// stop string was found: nothing follows.
bool output_push(struct output *o, struct slice piece, const struct sample *sample, struct strbuf *text,
                 size_t *n_released);
// The end of an answer that no stop string ended: everything held but an incomplete character.
void output_finish(struct output *o, struct strbuf *text, size_t *n_released);
void output_drop_released(struct output *o, size_t n);
