// SPDX-License-Identifier: MIT
// Byte-level byte-pair encoding ("gpt2"): Sennrich et al. 2016, with GPT-2's bytes as printable characters.
//
// Merging works on numbers: every text that can occur (a character for a byte, the sides and results of
// merges) is a symbol, so joining two neighbours is one look-up of (left, right). A symbol below n_tokens is
// a token; one beyond is spelled by its bytes at the end.
#include "text/kinds.h"

#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/utf8.h"

struct bpe_pair {
    uint32_t left, right;
    uint32_t rank; // + 1; 0: empty
    uint32_t joined;
};

struct bpe {
    struct pretok pretok;
    uint32_t byte_symbol[256];
    uint16_t byte_char[256];  // the character that stands for a byte
    int16_t char_byte[0x144]; // and back; -1: for none
    struct bpe_pair *pairs;   // open addressing, at most two thirds full
    size_t n_slots;
};

// Printable bytes stand for themselves; the others get characters from U+0100 on, in order.
static void map_bytes(struct bpe *b)
{
    uint16_t next = 0x100;
    memset(b->char_byte, -1, sizeof b->char_byte);
    for (int byte = 0; byte < 256; byte++) {
        bool is_printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
        b->byte_char[byte] = is_printable ? (uint16_t)byte : next++;
        b->char_byte[b->byte_char[byte]] = (int16_t)byte;
    }
}

static struct bpe_pair *slot_of(const struct bpe *b, uint32_t left, uint32_t right)
{
    uint32_t key[2] = {left, right};
    size_t i = map_hash(key, sizeof key) & (b->n_slots - 1);
    while (b->pairs[i].rank != 0 && (b->pairs[i].left != left || b->pairs[i].right != right))
        i = (i + 1) & (b->n_slots - 1);
    return &b->pairs[i];
}

// "left right", cut at the first space that is not the first byte.
static int add_merge(struct bpe *b, struct vocabulary *v, struct slice merge, uint32_t rank,
                     struct strbuf *joined, struct err *err)
{
    const char *space = merge.n > 1 ? memchr(merge.at + 1, ' ', merge.n - 1) : NULL;
    if (space == NULL || space + 1 == merge.at + merge.n)
        return err_set(err, ERR_FORMAT, "merge %u is not two texts with a space between", rank);
    struct slice left = slice_make(merge.at, (size_t)(space - merge.at));
    struct slice right = slice_make(space + 1, merge.n - left.n - 1);
    strbuf_reset(joined);
    strbuf_push_slice(joined, left);
    strbuf_push_slice(joined, right);
    uint32_t l = symbols_intern(&v->symbols, left), r = symbols_intern(&v->symbols, right);
    uint32_t j = symbols_intern(&v->symbols, strbuf_slice(joined));
    struct bpe_pair *slot = slot_of(b, l, r);
    if (slot->rank == 0) // the first of equal ones counts
        *slot = (struct bpe_pair){l, r, rank + 1, j};
    return 0;
}

static int add_merges(struct bpe *b, struct vocabulary *v, const struct vocab_spec *spec, struct err *err)
{
    struct strbuf joined = STRBUF_INIT(UINT32_MAX);
    int rc = 0;
    b->n_slots = 64;
    while (b->n_slots / 3 * 2 < spec->n_merges)
        b->n_slots *= 2;
    b->pairs = mem_try_alloc(b->n_slots, sizeof *b->pairs);
    if (b->pairs == NULL)
        rc = err_set(err, ERR_NO_MEMORY, "no memory for %u merges", spec->n_merges);
    for (uint32_t i = 0; i < spec->n_merges && rc == 0; i++)
        rc = add_merge(b, v, spec->merges[i], i, &joined, err);
    strbuf_fini(&joined);
    if (rc == 0 && v->symbols.failed)
        rc = err_set(err, ERR_NO_MEMORY, "no memory for the texts of %u merges", spec->n_merges);
    return rc;
}

static void bpe_fini(void *state)
{
    struct bpe *b = state;
    if (b != NULL)
        free(b->pairs);
    free(b);
}

static int bpe_init(void **state, struct vocabulary *v, const struct vocab_spec *spec, bool *add_bos,
                    struct err *err)
{
    struct bpe *b = xcalloc(1, sizeof *b);
    *state = b;
    if (pretok_init(&b->pretok, spec->pre.n > 0 ? spec->pre : slice_of("default"), err) != 0)
        return -1;
    *add_bos = pretok_adds_bos(&b->pretok);
    map_bytes(b);
    for (int byte = 0; byte < 256; byte++) {
        char text[4];
        b->byte_symbol[byte] =
            symbols_intern(&v->symbols, slice_make(text, utf8_encode(b->byte_char[byte], text)));
    }
    return add_merges(b, v, spec, err);
}

// ---- Encoding

static bool find_pair(const void *arg, const struct merge_symbol *left, const struct merge_symbol *right,
                      uint32_t *rank, uint32_t *sym)
{
    const struct bpe_pair *slot = slot_of(arg, left->sym, right->sym);
    *rank = slot->rank - 1;
    *sym = slot->joined;
    return slot->rank != 0;
}

// A symbol that is no token is spelled by those of its bytes that are tokens; the others vanish.
static void push_symbol(struct encoder *e, uint32_t sym)
{
    if (sym < e->vocab->n_tokens) {
        tokens_push(e->out, sym);
        return;
    }
    struct slice text = symbols_text(&e->vocab->symbols, sym);
    for (size_t i = 0; i < text.n; i++) {
        uint32_t id = vocabulary_find(e->vocab, slice_make(text.at + i, 1));
        if (id != TOKEN_NONE)
            tokens_push(e->out, id);
    }
}

static bool push_whole(struct encoder *e, const struct bpe *b, struct slice piece)
{
    if (piece.n > e->vocab->symbols.longest)
        return false;
    strbuf_reset(&e->piece);
    for (size_t i = 0; i < piece.n; i++) {
        char text[4];
        strbuf_push(&e->piece, text, utf8_encode(b->byte_char[(unsigned char)piece.at[i]], text));
    }
    uint32_t id = vocabulary_find(e->vocab, strbuf_slice(&e->piece));
    if (id != TOKEN_NONE)
        tokens_push(e->out, id);
    return id != TOKEN_NONE;
}

static void merge_piece(struct encoder *e, struct slice piece)
{
    const struct bpe *b = e->state;
    struct merger *m = &e->merger;
    merger_clear(m);
    for (size_t i = 0; i < piece.n; i++)
        merger_push(m, 1, b->byte_symbol[(unsigned char)piece.at[i]]);
    merger_run(m, find_pair, b);
    for (uint32_t i = 0; i != MERGE_END; i = m->symbols[i].next)
        push_symbol(e, m->symbols[i].sym);
}

static void encode_piece(void *arg, struct slice piece)
{
    struct encoder *e = arg;
    const struct bpe *b = e->state;
    if (pretok_ignores_merges(&b->pretok) && push_whole(e, b, piece))
        return;
    for (size_t n; piece.n > 0; piece = slice_make(piece.at + n, piece.n - n)) {
        n = MIN(piece.n, (size_t)MERGE_MAX_BYTES);
        merge_piece(e, slice_make(piece.at, n));
    }
}

static void bpe_encode(struct encoder *e, struct slice fragment, bool is_after_special)
{
    const struct bpe *b = e->state;
    (void)is_after_special;
    if (!utf8_is_valid(fragment)) {
        strbuf_reset(&e->text);
        utf8_push_valid(&e->text, fragment);
        fragment = strbuf_slice(&e->text);
    }
    pretok_split(&b->pretok, &e->pretok, fragment, encode_piece, e);
}

// ---- Decoding

static void bpe_decode(const void *state, struct slice text, struct strbuf *out)
{
    const struct bpe *b = state;
    for (size_t i = 0; i < text.n;) {
        uint32_t c;
        size_t n = utf8_decode(text.at + i, text.n - i, &c);
        if (c < COUNT_OF(b->char_byte) && b->char_byte[c] >= 0)
            strbuf_push_char(out, (char)b->char_byte[c]);
        else
            strbuf_push(out, text.at + i, n); // stands for no byte: as it is
        i += n;
    }
}

const struct tokenizer_kind tokenizer_kind_bpe = {
    .name = "gpt2",
    .bos = TOKEN_NONE,
    .eos = TOKEN_NONE,
    .unk = TOKEN_NONE,
    .init = bpe_init,
    .fini = bpe_fini,
    .encode = bpe_encode,
    .decode = bpe_decode,
};
