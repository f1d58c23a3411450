// SPDX-License-Identifier: MIT
// Tokenizers: text to ids and ids to bytes. Kinds are rows (byte-level BPE, SPM); pre-tokenizers are rows.
// Immutable after tokenizer_new(), so any thread may use one. Follows llama.cpp's results (facts: special
// tokens split out first, longest first).
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "base/strbuf.h"

#define TOKEN_NONE UINT32_MAX

enum token_type {
    TOKEN_UNDEFINED,
    TOKEN_NORMAL,
    TOKEN_UNKNOWN,
    TOKEN_CONTROL,
    TOKEN_USER_DEFINED,
    TOKEN_UNUSED,
    TOKEN_BYTE
};

// Fill-in-the-middle tokens, in the order of vocab_spec.fim.
enum token_fim { FIM_PRE, FIM_SUF, FIM_MID, FIM_PAD, FIM_REP, FIM_SEP, FIM_COUNT };

// The vocabulary as a model file has it. Everything is copied: the file may be closed after tokenizer_new().
struct vocab_spec {
    struct slice model, pre; // "gpt2", "llama"; "qwen2", ...
    uint32_t n_tokens;
    const struct slice *tokens;
    const float *scores;  // NULL: all 0
    const int32_t *types; // NULL: all normal
    uint32_t n_merges;
    const struct slice *merges;
    uint32_t bos, eos, eot, eom, unk, pad;  // TOKEN_NONE when the file does not say
    const uint32_t *fim;                    // FIM_COUNT ids or TOKEN_NONE; NULL: the file says none
    int add_bos, add_eos, add_space_prefix; // -1: the kind's default
};

struct tokenizer;

// A growing list of ids.
struct tokens {
    uint32_t *at;
    size_t n, capacity;
};
void tokens_push(struct tokens *t, uint32_t id);
void tokens_fini(struct tokens *t);

// ERR_UNSUPPORTED names an unknown kind or pre-tokenizer; ERR_FORMAT a broken vocabulary.
int tokenizer_new(struct tokenizer **out, const struct vocab_spec *spec, struct err *err);
void tokenizer_free(struct tokenizer *t); // takes NULL
// Compiles what all kinds may need once for the process. For a process that enters a sandbox without
// executable memory before it reads a model; optional otherwise. Any thread.
int tokenizer_prepare(struct err *err);

// Appends the ids of text, without BOS or EOS. parse_special: control tokens spelled in the text become their
// ids. Any bytes are taken, up to 1 GiB; the time is near-linear in their number. BPE reads ill-formed bytes
// as U+FFFD, SPM keeps them as byte tokens.
void tokenizer_encode(const struct tokenizer *t, struct slice text, bool parse_special, struct tokens *out);
// The bytes of one token. with_special: control tokens as their text, else as nothing. An id outside the
// vocabulary: nothing.
struct slice tokenizer_piece(const struct tokenizer *t, uint32_t id, bool with_special);
struct slice tokenizer_text(const struct tokenizer *t, uint32_t id); // as written in the file; empty outside
uint32_t tokenizer_n_tokens(const struct tokenizer *t);
uint32_t tokenizer_bos(const struct tokenizer *t); // TOKEN_NONE: has none
uint32_t tokenizer_eos(const struct tokenizer *t);
bool tokenizer_adds_bos(const struct tokenizer *t);
bool tokenizer_adds_eos(const struct tokenizer *t);
bool tokenizer_is_eog(const struct tokenizer *t, uint32_t id);    // ends a generation
bool tokenizer_is_unused(const struct tokenizer *t, uint32_t id); // padding entries that must not be sampled
