// SPDX-License-Identifier: MIT
// The tokenizer: special tokens are cut out of the text first, each rest is encoded by the kind on its own.
// The bytes of all tokens are worked out at load, so a piece is a look-up. Nothing changes after
// tokenizer_new(); scratch belongs to each call.
#include "text/tokenizer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/kinds.h"
#include "text/specials.h"

enum { MAX_TEXT_BYTES = 1 << 30 };

static const struct tokenizer_kind *const kinds[] = {&tokenizer_kind_bpe, &tokenizer_kind_spm};

struct tokenizer {
    const struct tokenizer_kind *kind;
    void *state;
    struct vocabulary vocab;
    struct specials specials;
    struct strbuf pieces;    // the bytes of all tokens
    uint32_t *piece_offsets; // n_tokens + 1
    bool add_bos, add_eos, add_space_prefix;
};

// ---- Lists of ids

void tokens_push(struct tokens *t, uint32_t id)
{
    if (t->n == t->capacity) {
        t->capacity = MAX((size_t)64, t->capacity * 2);
        t->at = xrealloc(t->at, t->capacity * sizeof *t->at);
    }
    t->at[t->n++] = id;
}

void tokens_fini(struct tokens *t)
{
    free(t->at);
    *t = (struct tokens){0};
}

// ---- Making

static void add_piece(struct tokenizer *t, uint32_t id)
{
    struct slice text = symbols_text(&t->vocab.symbols, id);
    uint8_t attrs = t->vocab.attrs[id];
    int byte = vocabulary_byte_value(text);
    if (attrs & (ATTR_CONTROL | ATTR_UNKNOWN | ATTR_USER_DEFINED))
        strbuf_push_slice(&t->pieces, text);
    else if (attrs & ATTR_NORMAL)
        t->kind->decode(t->state, text, &t->pieces);
    else if ((attrs & ATTR_BYTE) && byte >= 0)
        strbuf_push_char(&t->pieces, (char)byte);
}

static int add_pieces(struct tokenizer *t, struct err *err)
{
    uint32_t n = t->vocab.n_tokens;
    t->pieces = STRBUF_INIT(UINT32_MAX - 1);
    t->piece_offsets = mem_try_alloc((size_t)n + 1, sizeof *t->piece_offsets);
    if (t->piece_offsets == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for the pieces of %u tokens", n);
    strbuf_text(&t->pieces); // so that even an empty one has an address
    for (uint32_t id = 0; id < n; id++) {
        add_piece(t, id);
        t->piece_offsets[id + 1] = (uint32_t)t->pieces.n;
    }
    return 0;
}

static void add_specials(struct tokenizer *t)
{
    specials_init(&t->specials);
    for (uint32_t id = 0; id < t->vocab.n_tokens; id++) {
        uint8_t attrs = t->vocab.attrs[id];
        if (attrs & (ATTR_CONTROL | ATTR_UNKNOWN | ATTR_USER_DEFINED))
            specials_add(&t->specials, symbols_text(&t->vocab.symbols, id), id,
                         (attrs & (ATTR_CONTROL | ATTR_UNKNOWN)) == 0);
    }
}

static int find_kind(struct tokenizer *t, struct slice name, struct err *err)
{
    for (size_t i = 0; i < COUNT_OF(kinds) && t->kind == NULL; i++)
        if (slice_is(name, kinds[i]->name))
            t->kind = kinds[i];
    if (t->kind == NULL)
        return err_set(err, ERR_UNSUPPORTED, "tokenizer kind '%.*s' is not supported",
                       (int)MIN(name.n, (size_t)80), name.at ? name.at : "");
    return 0;
}

static uint32_t id_or(uint32_t id, uint32_t otherwise, uint32_t n_tokens)
{
    return id != TOKEN_NONE || otherwise >= n_tokens ? id : otherwise;
}

static int init(struct tokenizer *t, const struct vocab_spec *spec, struct err *err)
{
    struct vocabulary *v = &t->vocab;
    if (find_kind(t, spec->model, err) != 0 || vocabulary_init(v, spec, err) != 0)
        return -1;
    v->bos = id_or(v->bos, t->kind->bos, v->n_tokens);
    v->eos = id_or(v->eos, t->kind->eos, v->n_tokens);
    v->unk = id_or(v->unk, t->kind->unk, v->n_tokens);
    t->add_bos = t->kind->add_bos;
    if (t->kind->init(&t->state, v, spec, &t->add_bos, err) != 0)
        return -1;
    vocabulary_detect(v);
    t->add_bos = spec->add_bos >= 0 ? spec->add_bos != 0 : t->add_bos;
    t->add_eos = spec->add_eos >= 0 ? spec->add_eos != 0 : t->kind->add_eos;
    t->add_space_prefix =
        spec->add_space_prefix >= 0 ? spec->add_space_prefix != 0 : t->kind->add_space_prefix;
    add_specials(t);
    symbols_trim(&v->symbols);
    return add_pieces(t, err);
}

int tokenizer_new(struct tokenizer **out, const struct vocab_spec *spec, struct err *err)
{
    struct tokenizer *t = xcalloc(1, sizeof *t);
    int rc = init(t, spec, err);
    if (rc != 0) {
        tokenizer_free(t);
        t = NULL;
    }
    *out = t;
    return rc;
}

void tokenizer_free(struct tokenizer *t)
{
    if (t == NULL)
        return;
    if (t->kind != NULL)
        t->kind->fini(t->state);
    vocabulary_fini(&t->vocab);
    specials_fini(&t->specials);
    strbuf_fini(&t->pieces);
    free(t->piece_offsets);
    free(t);
}

int tokenizer_prepare(struct err *err)
{
    return pretok_prepare(err);
}

// ---- Encoding

static void encode_fragment(const struct tokenizer *t, struct encoder *e, struct slice text, size_t begin,
                            size_t end)
{
    if (end > begin) // whatever lies before is the start of the text or a special token
        t->kind->encode(e, slice_make(text.at + begin, end - begin), true);
}

void tokenizer_encode(const struct tokenizer *t, struct slice text, bool parse_special, struct tokens *out)
{
    struct special_scan scan;
    struct special_hit hit;
    struct encoder e = {.vocab = &t->vocab,
                        .state = t->state,
                        .out = out,
                        .add_space_prefix = t->add_space_prefix,
                        .text = STRBUF_INIT(UINT32_MAX - 1),
                        .piece = STRBUF_INIT(UINT32_MAX - 1)};
    assert(text.n <= MAX_TEXT_BYTES);
    size_t at = 0;
    for (specials_begin(&scan, &t->specials, text, parse_special); specials_next(&scan, &hit);
         at = hit.at + hit.n) {
        encode_fragment(t, &e, text, at, hit.at);
        tokens_push(out, hit.id);
    }
    encode_fragment(t, &e, text, at, text.n);
    specials_end(&scan);
    merger_fini(&e.merger);
    strbuf_fini(&e.text);
    strbuf_fini(&e.piece);
    pretok_scratch_fini(&e.pretok);
}

// ---- Looking up

struct slice tokenizer_piece(const struct tokenizer *t, uint32_t id, bool with_special)
{
    if (id >= t->vocab.n_tokens)
        return slice_make("", 0);
    if (!with_special && (t->vocab.attrs[id] & (ATTR_CONTROL | ATTR_UNKNOWN)) != 0)
        return slice_make("", 0);
    uint32_t begin = t->piece_offsets[id];
    return slice_make(t->pieces.at + begin, t->piece_offsets[id + 1] - begin);
}

struct slice tokenizer_text(const struct tokenizer *t, uint32_t id)
{
    return id < t->vocab.n_tokens ? symbols_text(&t->vocab.symbols, id) : slice_make("", 0);
}

uint32_t tokenizer_n_tokens(const struct tokenizer *t)
{
    return t->vocab.n_tokens;
}

uint32_t tokenizer_bos(const struct tokenizer *t)
{
    return t->vocab.bos;
}

uint32_t tokenizer_eos(const struct tokenizer *t)
{
    return t->vocab.eos;
}

bool tokenizer_adds_bos(const struct tokenizer *t)
{
    return t->add_bos && t->vocab.bos != TOKEN_NONE;
}

bool tokenizer_adds_eos(const struct tokenizer *t)
{
    return t->add_eos && t->vocab.eos != TOKEN_NONE;
}

bool tokenizer_is_eog(const struct tokenizer *t, uint32_t id)
{
    return id < t->vocab.n_tokens && (t->vocab.attrs[id] & ATTR_EOG) != 0;
}

bool tokenizer_is_unused(const struct tokenizer *t, uint32_t id)
{
    return id < t->vocab.n_tokens && (t->vocab.attrs[id] & ATTR_UNUSED) != 0;
}
