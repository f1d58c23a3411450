// SPDX-License-Identifier: MIT
// From a request to the ids that are computed: template, tokenizer, and what happens when they are too many.
#pragma once

#include "frames/request.h"
#include "text/reply.h"
#include "text/template.h"
#include "text/tokenizer.h"
#include "text/traits.h"

struct prompt_source {
    const struct tokenizer *tokenizer;
    const struct template *template;   // the model's own, or NULL
    const struct template *with_tools; // its own for conversations with tools, or NULL
    const struct template *fallback;   // ChatML
    struct template_traits traits;     // of the model's own
    struct reply_spec reply;           // of the model's own
};

struct prompt {
    struct tokens *tokens;
    struct strbuf *text;     // gets the prompt as text, what comes of context_ids in front; or NULL
    uint32_t n_truncated;    // tokens dropped
    struct reply_spec reply; // how the answer is to be read
};

// Fills `out`. A prompt that leaves no room for one token within `limit` is ERR_INVALID with both numbers, or
// is shortened as the request allows.
int prompt_build(const struct prompt_source *source, const struct request *r, uint32_t limit,
                 struct prompt *out, struct err *err);
// The bytes of r->context_ids, special tokens written out. ERR_INVALID names an id that is none.
int prompt_detokenize(const struct prompt_source *source, const struct request *r, struct strbuf *text,
                      struct err *err);
// A text whose vector is wanted: BOS and EOS around it as the model wants, at most `limit` tokens. `cuts`:
// the end of a longer one is cut off, else it is ERR_INVALID.
int prompt_encode_input(const struct prompt_source *source, struct slice text, uint32_t limit, bool cuts,
                        struct tokens *out, uint32_t *n_truncated, struct err *err);
