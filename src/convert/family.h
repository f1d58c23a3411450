// SPDX-License-Identifier: MIT
// Model families as checkpoints have them: a row says under which name config.json knows the family, what its
// tensors are called there, and what changes on the way into a GGUF file. Private to convert/.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "convert/tensors.h"
#include "gguf/gguf_write.h"
#include "json/json.h"

// What a dimension of a tensor must be.
enum dimension { DIM_NONE, DIM_WIDTH, DIM_FF, DIM_HEADS, DIM_KV_HEADS, DIM_HEAD };

struct rename {
    const char *from, *to;     // of a layer's tensor, without ".weight" and ".bias"
    enum dimension rows, cols; // a vector has rows only
};

struct family {
    const char *name; // in config.json's "architectures"
    const char *architecture;
    const struct rename *renames; // ends with from NULL
    bool pairs_halves;            // rows of Q and K: a head's halves become pairs
    float added_to_norms;
    bool is_tied;           // the default of tie_word_embeddings
    uint32_t head_dim;      // its default; 0: width / heads
    float rope_base;        // its default
    bool has_windows;       // writes the keys of sliding windows; else such a config is refused
    const char *activation; // what it must be
};

// ERR_UNSUPPORTED names the family of a config.json that there is no row for.
int family_find(const struct family **out, const json_t *config, struct err *err);

// What of config.json decides about shapes.
struct sizes {
    uint32_t n_ctx, n_embd, n_layers, n_ff, n_head, n_head_kv, head_dim, n_vocab;
    bool is_tied;
};
// Reads the sizes and writes the keys of the architecture. What the config asks for and is not supported is
// ERR_UNSUPPORTED. *rope_factors (the caller's to free): head_dim / 2 floats for rope_freqs.weight, or NULL.
int family_read_config(const struct family *f, const json_t *config, struct sizes *out, struct gguf_writer *w,
                       float **rope_factors, struct err *err);

// The name of a tensor in the GGUF file, how its rows go, and in `ne` what its sizes must be (0: any). false:
// not a tensor of this family. An empty name: known, and left out.
bool family_place(const struct family *f, const struct sizes *s, const char *name, struct tensor *out);
