// SPDX-License-Identifier: MIT
// The seam between tokenizer.c and the kinds of tokenizers: a kind is one file and one row in tokenizer.c.
// Private to text/.
#pragma once

#include "base/strbuf.h"
#include "text/merge.h"
#include "text/pretok.h"
#include "text/tokenizer.h"
#include "text/vocabulary.h"

// Scratch of one call, used again for each fragment of its text.
struct encoder {
    const struct vocabulary *vocab;
    const void *state;
    struct tokens *out;
    bool add_space_prefix;
    struct merger merger;
    struct strbuf text; // the fragment as the kind reads it
    struct strbuf piece;
    struct pretok_scratch pretok;
};

struct tokenizer_kind {
    const char *name;       // tokenizer.ggml.model
    uint32_t bos, eos, unk; // when the file does not say; TOKEN_NONE: none
    bool add_bos, add_eos, add_space_prefix;
    // Makes the kind's state and may add symbols. *add_bos comes with the row's default.
    int (*init)(void **state, struct vocabulary *v, const struct vocab_spec *spec, bool *add_bos,
                struct err *err);
    void (*fini)(void *state); // takes NULL
    // Appends the ids of a fragment that holds no special token. is_after_special: also true for the first
    // fragment.
    void (*encode)(struct encoder *e, struct slice fragment, bool is_after_special);
    // Appends the bytes that a normal token stands for.
    void (*decode)(const void *state, struct slice text, struct strbuf *out);
};

extern const struct tokenizer_kind tokenizer_kind_bpe; // bpe.c
extern const struct tokenizer_kind tokenizer_kind_spm; // spm.c
