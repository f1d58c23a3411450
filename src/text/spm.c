// SPDX-License-Identifier: MIT
// SentencePiece's score-ranked merging ("llama"): Kudo and Richardson 2018, the BPE flavour. Any two
// neighbours whose texts together are a token may be joined; the highest score goes first. Spaces are U+2581;
// what is no token at the end is spelled in byte tokens.
//
// A fragment is one piece, however long, so it is cut into segments where no token could reach across: before
// a U+2581, unless some token of this vocabulary has it behind the byte that stands there. Exact, and memory
// then follows the longest segment.
#include "text/kinds.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

static const char SPACE_MARK[] = "\xE2\x96\x81"; // U+2581
enum { MARK_BYTES = 3 };

struct spm {
    uint32_t *ranks;       // by id: lower is merged first
    uint32_t byte_id[256]; // the token of a byte alone; TOKEN_NONE: there is none
    bool may_join[256];    // some token has a mark behind this byte
};

struct spm_text {
    const struct spm *spm;
    const struct vocabulary *vocab;
    const char *at;
};

// Descending order of floats as ascending order of u32.
static uint32_t rank_of_score(float score)
{
    uint32_t bits;
    score += 0.0f; // -0 becomes 0
    memcpy(&bits, &score, sizeof bits);
    return bits >> 31 ? bits : ~bits & 0x7FFFFFFFu;
}

static bool is_mark(struct slice text, size_t at)
{
    return text.n - at >= MARK_BYTES && memcmp(text.at + at, SPACE_MARK, MARK_BYTES) == 0;
}

static void note_token(struct spm *s, const struct vocabulary *v, uint32_t id)
{
    struct slice text = symbols_text(&v->symbols, id);
    for (size_t i = 1; i < text.n; i++)
        if (is_mark(text, i))
            s->may_join[(unsigned char)text.at[i - 1]] = true;
}

static void note_bytes(struct spm *s, const struct vocabulary *v)
{
    for (int byte = 0; byte < 256; byte++) {
        char c = (char)byte, name[8];
        snprintf(name, sizeof name, "<0x%02X>", (unsigned)byte);
        s->byte_id[byte] = vocabulary_find(v, slice_of(name));
        if (s->byte_id[byte] == TOKEN_NONE)
            s->byte_id[byte] = vocabulary_find(v, slice_make(&c, 1));
    }
}

static void spm_fini(void *state)
{
    struct spm *s = state;
    if (s != NULL)
        free(s->ranks);
    free(s);
}

static int spm_init(void **state, struct vocabulary *v, const struct vocab_spec *spec, bool *add_bos,
                    struct err *err)
{
    struct spm *s = xcalloc(1, sizeof *s);
    *state = s;
    (void)add_bos;
    s->ranks = mem_try_alloc(v->n_tokens, sizeof *s->ranks);
    if (s->ranks == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for %u scores", v->n_tokens);
    for (uint32_t id = 0; id < v->n_tokens; id++) {
        s->ranks[id] = rank_of_score(spec->scores ? spec->scores[id] : 0.0f);
        note_token(s, v, id);
    }
    note_bytes(s, v);
    return 0;
}

// ---- Encoding

static bool find_pair(const void *arg, const struct merge_symbol *left, const struct merge_symbol *right,
                      uint32_t *rank, uint32_t *sym)
{
    const struct spm_text *t = arg;
    *sym = vocabulary_find(t->vocab, slice_make(t->at + left->start, left->n + right->n));
    if (*sym == TOKEN_NONE)
        return false;
    *rank = t->spm->ranks[*sym];
    return true;
}

// As the first byte announces; ill-formed text is cut somehow, but never beyond its end.
static size_t character_bytes(struct slice text)
{
    static const uint8_t by_nibble[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 4};
    return MIN(by_nibble[(unsigned char)text.at[0] >> 4], text.n);
}

static void push_symbol(struct encoder *e, const struct spm_text *t, const struct merge_symbol *symbol)
{
    if (symbol->sym != TOKEN_NONE) {
        tokens_push(e->out, symbol->sym);
        return;
    }
    for (uint32_t i = 0; i < symbol->n; i++) {
        uint32_t id = t->spm->byte_id[(unsigned char)t->at[symbol->start + i]];
        id = id != TOKEN_NONE ? id : e->vocab->unk;
        if (id != TOKEN_NONE)
            tokens_push(e->out, id);
    }
}

static void encode_segment(struct encoder *e, struct slice segment)
{
    struct spm_text t = {e->state, e->vocab, segment.at};
    struct merger *m = &e->merger;
    merger_clear(m);
    for (size_t at = 0; at < segment.n;) {
        size_t n = character_bytes(slice_make(segment.at + at, segment.n - at));
        merger_push(m, (uint32_t)n, vocabulary_find(e->vocab, slice_make(segment.at + at, n)));
        at += n;
    }
    merger_run(m, find_pair, &t);
    for (uint32_t i = 0; i != MERGE_END; i = m->symbols[i].next)
        push_symbol(e, &t, &m->symbols[i]);
}

static void push_escaped(struct strbuf *out, struct slice text)
{
    while (text.n > 0) {
        const char *space = memchr(text.at, ' ', text.n);
        size_t n = space ? (size_t)(space - text.at) : text.n;
        strbuf_push(out, text.at, n);
        if (space != NULL)
            strbuf_push(out, SPACE_MARK, MARK_BYTES);
        n += space != NULL;
        text = slice_make(text.at + n, text.n - n);
    }
}

static void encode_escaped(struct encoder *e, struct slice text)
{
    const struct spm *s = e->state;
    size_t begin = 0;
    for (size_t i = 1; i < text.n; i++) {
        if (is_mark(text, i) && !s->may_join[(unsigned char)text.at[i - 1]]) {
            encode_segment(e, slice_make(text.at + begin, i - begin));
            begin = i;
        }
    }
    if (text.n > 0)
        encode_segment(e, slice_make(text.at + begin, text.n - begin));
}

// How much of a fragment to escape at once: up to the last place where it may be cut, if it is longer than a
// part.
static size_t part_bytes(const struct spm *s, struct slice fragment)
{
    if (fragment.n <= MERGE_MAX_BYTES)
        return fragment.n;
    for (size_t i = MERGE_MAX_BYTES; i > 0; i--) {
        unsigned char before =
            (unsigned char)(fragment.at[i - 1] == ' ' ? SPACE_MARK[2] : fragment.at[i - 1]);
        if (fragment.at[i] == ' ' && !s->may_join[before])
            return i;
    }
    size_t n = MERGE_MAX_BYTES;
    while (n > MERGE_MAX_BYTES - 3 && (fragment.at[n] & 0xC0) == 0x80)
        n--; // between characters
    return n;
}

static void spm_encode(struct encoder *e, struct slice fragment, bool is_after_special)
{
    bool has_prefix = e->add_space_prefix && is_after_special;
    for (size_t n; fragment.n > 0; fragment = slice_make(fragment.at + n, fragment.n - n)) {
        strbuf_reset(&e->text);
        if (has_prefix)
            strbuf_push(&e->text, SPACE_MARK, MARK_BYTES);
        has_prefix = false;
        n = part_bytes(e->state, fragment);
        push_escaped(&e->text, slice_make(fragment.at, n));
        encode_escaped(e, strbuf_slice(&e->text));
    }
}

// ---- Decoding

static void spm_decode(const void *state, struct slice text, struct strbuf *out)
{
    (void)state;
    for (size_t i = 0; i < text.n; i++) {
        if (is_mark(text, i)) {
            strbuf_push_char(out, ' ');
            i += MARK_BYTES - 1;
        } else {
            strbuf_push_char(out, text.at[i]);
        }
    }
}

const struct tokenizer_kind tokenizer_kind_spm = {
    .name = "llama",
    .bos = 1,
    .eos = 2,
    .unk = 0,
    .add_bos = true,
    .add_space_prefix = true,
    .init = spm_init,
    .fini = spm_fini,
    .encode = spm_encode,
    .decode = spm_decode,
};
