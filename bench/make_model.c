// SPDX-License-Identifier: MIT
// Writes a GGUF file with random weights in the shape of a well-known size, mixed as Q4_K_M mixes types: what
// a speed depends on is real (sizes, types, memory), what the text says is not. Blocks are made while they
// are written, from a seed and their number, so a file of 4 GB needs no memory and is the same everywhere.
// usage: make_model SHAPE FILE
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "compute/half.h"
#include "gguf/gguf_write.h"

enum { N_VOCAB = 32000, N_SPECIAL = 3, MAX_BLOCK_BYTES = 256, PIECE_BYTES = 16, FILE_TYPE_Q4_K_M = 15 };

struct shape {
    const char *name;
    uint32_t n_layer, n_embd, n_ff, n_head, n_head_kv, n_ctx;
};

static const struct shape shapes[] = {
    {"1b", 22, 2048, 5632, 32, 4, 2048},  // TinyLlama
    {"7b", 32, 4096, 14336, 32, 8, 8192}, // Mistral
    {"small", 3, 256, 512, 4, 2, 2048},   // to try this program
};

struct random_tensor {
    int32_t type_id;
    uint64_t seed;
    float spread; // standard deviation of the weights
};

struct maker {
    const struct shape *shape;
    struct gguf_writer *w;
    struct random_tensor *tensors;
    size_t n_tensors;
};

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static void put_half(uint8_t *at, float value)
{
    uint16_t half = half_from_float(value);
    memcpy(at, &half, sizeof half);
}

// Codes are even over 0..15 (standard deviation 4.6), factors 8..15; the minimum centres each 32 on zero.
static void finish_q4_k(uint8_t *b, float spread)
{
    float d = spread / (4.6f * 11.7f);
    for (int i = 0; i < 4; i++) { // factors and minima of 6 bits, all below 16
        uint8_t low = 8 | (b[4 + i] & 7), high = 8 | (b[4 + i] >> 4 & 7);
        b[4 + i] = low;
        b[8 + i] = low;
        b[12 + i] = (uint8_t)(high | high << 4);
    }
    put_half(b, d);
    put_half(b + 2, 7.5f * d);
}

// Codes are even over -32..31 (standard deviation 18.5), factors -128..127 (74).
static void finish_q6_k(uint8_t *b, float spread)
{
    put_half(b + 208, spread / (18.5f * 74.0f));
}

static void finish_f32(uint8_t *b, float spread)
{
    float value = 1.0f + spread * (float)(b[0] - 128) / 74.0f;
    memcpy(b, &value, sizeof value);
}

static void make_block(const struct random_tensor *t, uint64_t block_i, uint32_t n_bytes, uint8_t *out)
{
    uint64_t x = mix(t->seed ^ block_i * 0x9e3779b97f4a7c15u) | 1;
    for (uint32_t i = 0; i < n_bytes; i += 8) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        memcpy(out + i, &x, 8);
    }
    if (t->type_id == DTYPE_Q4_K)
        finish_q4_k(out, t->spread);
    else if (t->type_id == DTYPE_Q6_K)
        finish_q6_k(out, t->spread);
    else
        finish_f32(out, t->spread);
}

static int fill_random(void *arg, uint64_t begin, void *buffer, size_t n, struct err *err)
{
    const struct random_tensor *t = arg;
    uint32_t block_bytes = dtype_find(t->type_id)->block_bytes;
    uint8_t block[MAX_BLOCK_BYTES], *out = buffer;
    uint64_t at = begin;
    while (at < begin + n) {
        uint64_t skip = at % block_bytes;
        size_t part = (size_t)MIN(block_bytes - skip, begin + n - at);
        make_block(t, at / block_bytes, block_bytes, block);
        memcpy(out + (at - begin), block + skip, part);
        at += part;
    }
    return 0;
}

// n_rows 0: a vector of weights around 1.
static void add(struct maker *m, const char *name, int32_t type_id, uint32_t n_cols, uint32_t n_rows)
{
    struct random_tensor *t = &m->tensors[m->n_tensors++];
    uint64_t ne[2] = {n_cols, n_rows};
    *t = (struct random_tensor){type_id, mix(m->n_tensors), n_rows > 0 ? 1.0f / sqrtf((float)n_cols) : 0.1f};
    gguf_writer_add_tensor_fill(m->w, name, type_id, n_rows > 0 ? 2 : 1, ne, fill_random, t);
}

static void add_of_layer(struct maker *m, uint32_t layer_i, const char *suffix, int32_t type_id,
                         uint32_t n_cols, uint32_t n_rows)
{
    char name[64];
    snprintf(name, sizeof name, "blk.%u.%s.weight", layer_i, suffix);
    add(m, name, type_id, n_cols, n_rows);
}

// Q4_K_M: values and ffn_down have more bits in the first and last eighth and in each third layer between.
static bool has_more_bits(uint32_t layer_i, uint32_t n_layer)
{
    return layer_i < n_layer / 8 || layer_i >= 7 * n_layer / 8 || (layer_i - n_layer / 8) % 3 == 2;
}

static void add_tensors(struct maker *m)
{
    const struct shape *s = m->shape;
    uint32_t n_kv = s->n_embd / s->n_head * s->n_head_kv;
    m->tensors = xcalloc(3 + 9 * (size_t)s->n_layer, sizeof *m->tensors);
    add(m, "token_embd.weight", DTYPE_Q4_K, s->n_embd, N_VOCAB);
    add(m, "output_norm.weight", DTYPE_F32, s->n_embd, 0);
    add(m, "output.weight", DTYPE_Q6_K, s->n_embd, N_VOCAB);
    for (uint32_t i = 0; i < s->n_layer; i++) {
        int32_t more = has_more_bits(i, s->n_layer) ? DTYPE_Q6_K : DTYPE_Q4_K;
        add_of_layer(m, i, "attn_norm", DTYPE_F32, s->n_embd, 0);
        add_of_layer(m, i, "attn_q", DTYPE_Q4_K, s->n_embd, s->n_embd);
        add_of_layer(m, i, "attn_k", DTYPE_Q4_K, s->n_embd, n_kv);
        add_of_layer(m, i, "attn_v", more, s->n_embd, n_kv);
        add_of_layer(m, i, "attn_output", DTYPE_Q4_K, s->n_embd, s->n_embd);
        add_of_layer(m, i, "ffn_norm", DTYPE_F32, s->n_embd, 0);
        add_of_layer(m, i, "ffn_gate", DTYPE_Q4_K, s->n_embd, s->n_ff);
        add_of_layer(m, i, "ffn_up", DTYPE_Q4_K, s->n_embd, s->n_ff);
        add_of_layer(m, i, "ffn_down", more, s->n_ff, s->n_embd);
    }
}

static void set_shape(struct maker *m)
{
    const struct shape *s = m->shape;
    char name[32];
    snprintf(name, sizeof name, "random %s", s->name);
    gguf_writer_set_string(m->w, "general.architecture", slice_of("llama"));
    gguf_writer_set_string(m->w, "general.name", slice_of(name));
    gguf_writer_set_u32(m->w, "general.file_type", FILE_TYPE_Q4_K_M);
    gguf_writer_set_u32(m->w, "general.quantization_version", 2);
    gguf_writer_set_u32(m->w, "llama.context_length", s->n_ctx);
    gguf_writer_set_u32(m->w, "llama.embedding_length", s->n_embd);
    gguf_writer_set_u32(m->w, "llama.block_count", s->n_layer);
    gguf_writer_set_u32(m->w, "llama.feed_forward_length", s->n_ff);
    gguf_writer_set_u32(m->w, "llama.attention.head_count", s->n_head);
    gguf_writer_set_u32(m->w, "llama.attention.head_count_kv", s->n_head_kv);
    gguf_writer_set_u32(m->w, "llama.rope.dimension_count", s->n_embd / s->n_head);
    gguf_writer_set_f32(m->w, "llama.rope.freq_base", 10000.0f);
    gguf_writer_set_f32(m->w, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    gguf_writer_set_u32(m->w, "llama.vocab_size", N_VOCAB);
}

// Three special tokens, all bytes, the mark of a space, and made-up words up to the usual number.
static void set_vocabulary(struct maker *m)
{
    enum { TYPE_NORMAL = 1, TYPE_UNKNOWN = 2, TYPE_CONTROL = 3, TYPE_BYTE = 6 };
    static const char *const special[N_SPECIAL] = {"<unk>", "<s>", "</s>"};
    static char text[N_VOCAB][PIECE_BYTES];
    static struct slice pieces[N_VOCAB];
    static float scores[N_VOCAB];
    static int32_t types[N_VOCAB];
    for (uint32_t i = 0; i < N_VOCAB; i++) {
        if (i < N_SPECIAL)
            snprintf(text[i], PIECE_BYTES, "%s", special[i]);
        else if (i < N_SPECIAL + 256)
            snprintf(text[i], PIECE_BYTES, "<0x%02X>", i - N_SPECIAL);
        else
            snprintf(text[i], PIECE_BYTES, i == N_SPECIAL + 256 ? "\u2581" : "\u2581w%u", i);
        pieces[i] = slice_of(text[i]);
        scores[i] = i < N_SPECIAL + 256 ? 0 : -(float)i;
        types[i] = i >= N_SPECIAL + 256 ? TYPE_NORMAL
                   : i >= N_SPECIAL     ? TYPE_BYTE
                   : i == 0             ? TYPE_UNKNOWN
                                        : TYPE_CONTROL;
    }
    gguf_writer_set_string(m->w, "tokenizer.ggml.model", slice_of("llama"));
    gguf_writer_set_string(m->w, "tokenizer.ggml.pre", slice_of("default"));
    gguf_writer_set_strings(m->w, "tokenizer.ggml.tokens", pieces, N_VOCAB);
    gguf_writer_set_array(m->w, "tokenizer.ggml.scores", GGUF_F32, scores, N_VOCAB);
    gguf_writer_set_array(m->w, "tokenizer.ggml.token_type", GGUF_I32, types, N_VOCAB);
    gguf_writer_set_u32(m->w, "tokenizer.ggml.unknown_token_id", 0);
    gguf_writer_set_u32(m->w, "tokenizer.ggml.bos_token_id", 1);
    gguf_writer_set_u32(m->w, "tokenizer.ggml.eos_token_id", 2);
    gguf_writer_set_bool(m->w, "tokenizer.ggml.add_bos_token", true);
    gguf_writer_set_bool(m->w, "tokenizer.ggml.add_eos_token", false);
}

// The file has its name only when it is whole.
static int write_file(const struct maker *m, const char *path, struct err *err)
{
    char part[4096];
    int fd = -1, rc = -1;
    if (snprintf(part, sizeof part, "%s.part", path) >= (int)sizeof part)
        return err_set(err, ERR_INVALID, "the path is too long");
    fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return err_set(err, ERR_INTERNAL, "%s: %s", part, strerror(errno));
    rc = gguf_writer_write(m->w, fd, err);
    if (close(fd) != 0 && rc == 0)
        rc = err_set(err, ERR_INTERNAL, "%s: %s", part, strerror(errno));
    if (rc == 0 && rename(part, path) != 0)
        rc = err_set(err, ERR_INTERNAL, "%s: %s", path, strerror(errno));
    if (rc != 0)
        unlink(part);
    return rc;
}

int main(int argc, char **argv)
{
    struct maker m = {0};
    struct err err = {0};
    for (size_t i = 0; i < COUNT_OF(shapes) && argc == 3; i++)
        if (strcmp(shapes[i].name, argv[1]) == 0)
            m.shape = &shapes[i];
    if (m.shape == NULL) {
        fputs("usage: make_model SHAPE FILE\nshapes:", stderr);
        for (size_t i = 0; i < COUNT_OF(shapes); i++)
            fprintf(stderr, " %s", shapes[i].name);
        fputs("\n", stderr);
        return 2;
    }
    m.w = gguf_writer_new(32);
    set_shape(&m);
    set_vocabulary(&m);
    add_tensors(&m);
    int rc = write_file(&m, argv[2], &err);
    if (rc != 0)
        fprintf(stderr, "make_model: %s\n", err.message);
    gguf_writer_free(m.w);
    free(m.tensors);
    return rc != 0;
}
