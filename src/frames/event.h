// SPDX-License-Identifier: MIT
// What a runner says about one request: prompt taken, tokens, the end. Plain data; slices are borrowed from
// the frame.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "base/strbuf.h"

enum event_kind {
    EVENT_PROMPT,  // the prompt is tokenised and accepted: its ids, once, before anything else
    EVENT_VECTOR,  // of one of the inputs of TASK_EMBED, in no order, after a crash perhaps once more
    EVENT_TOKENS,  // one or more new tokens with the text they make visible (may be empty)
    EVENT_DONE,    // the last event of a request that ended well
    EVENT_ERROR,   // the last event of one that did not
    EVENT_WAITING, // made by the front, never on the wire: it still waits; `text` says for what
    EVENT_KIND_COUNT
};

// How the answer is to be read (text/reply.h): what the template in use says of it, and where the prompt
// ended. The tags are borrowed.
struct reply_form {
    uint8_t family;
    bool in_thinking;                   // the answer begins inside thinking
    struct slice opening, closing, tag; // around thinking, empty: none is looked for; before calls of tools
};

enum done_reason { DONE_STOP, DONE_LENGTH, DONE_LOAD, DONE_UNLOAD };

struct logprob {
    uint32_t token_id;
    float logprob;      // natural log
    struct slice bytes; // of the token
};

struct token_logprobs {
    struct logprob chosen;
    uint32_t n_top;
    const struct logprob *top; // best first
};

struct event {
    enum event_kind kind;
    uint64_t request_id;
    // EVENT_PROMPT
    const uint32_t *prompt_ids;
    uint32_t n_prompt;    // tokens of the prompt, cached ones included
    uint32_t n_cached;    // of these, taken from the prefix tree (EVENT_DONE too: the final figure)
    uint32_t n_truncated; // dropped to make it fit
    struct reply_form reply;
    // EVENT_VECTOR; n_prompt and n_truncated are of that input
    uint32_t input_i;
    const float *vector;
    uint32_t n_vector;
    // EVENT_TOKENS
    const uint32_t *ids;
    uint32_t n_ids;
    struct slice text; // whole UTF-8 characters; stop strings already removed
    const struct token_logprobs
        *logprobs; // n_logprobs of them; those of a matched stop string are not reported
    uint32_t n_logprobs;
    // EVENT_DONE
    enum done_reason reason;
    uint32_t stop_i; // 1 + index of the stop string that was found; 0: none
    uint32_t n_generated;
    int64_t prompt_ns, generate_ns; // time spent on the prompt (what was evaluated) and on generating
    // EVENT_ERROR
    struct err error;
    // Put in by the front, never on the wire: how long the request waited for a slot, and for its model
    int64_t queue_ns, load_ns;
};

void event_encode(const struct event *e, struct strbuf *out);
// Slices and arrays point into `bytes` or into `scratch`, valid until either changes. ERR_FORMAT on broken
// input.
int event_decode(struct event *e, const void *bytes, size_t n, struct strbuf *scratch, struct err *err);
