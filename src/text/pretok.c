// SPDX-License-Identifier: MIT
// Runs the expressions of a row by PCRE2 with its JIT compiler. A compiled expression belongs to the process:
// it is compiled once, under a mutex, and kept. Where executable memory is refused (a sandbox), matching
// falls back to the interpreter. Patterns are our own and linear on runs of one kind of character; limits are
// set nevertheless, and a match that meets one leaves the rest of its chunk as one gap, so that any text is
// answered.
#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/pretok.h"

#include <pcre2.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/strbuf.h"

struct pretok_row {
    const char *names; // separated by spaces
    bool ignores_merges;
    bool adds_bos;
    const char *patterns[PRETOK_STAGES];
};

#include "text/pretok_rows.h"

enum { MAX_COMPILED = 64, MAX_PATTERN_BYTES = 16384 };

static pthread_mutex_t compiled_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    const char *pattern;
    pcre2_code *code;
} compiled[MAX_COMPILED]; // under compiled_lock
static size_t n_compiled;

#define WHITE_SPACE                                                                                          \
    "\\x{09}-\\x{0d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}"   \
    "\\x{3000}"

// Writes \s and \S out, inside and outside of classes.
static void expand(const char *pattern, struct strbuf *out)
{
    bool in_class = false;
    for (const char *p = pattern; *p != 0; p++) {
        if (p[0] == '\\' && p[1] == 's') {
            strbuf_push_text(out, in_class ? WHITE_SPACE : "[" WHITE_SPACE "]");
            p++;
        } else if (p[0] == '\\' && p[1] == 'S') { // never inside a class
            strbuf_push_text(out, "[^" WHITE_SPACE "]");
            p++;
        } else if (p[0] == '\\') {
            strbuf_push(out, p++, 2);
        } else {
            in_class = *p == '[' || (in_class && *p != ']');
            strbuf_push_char(out, *p);
        }
    }
}

static int compile(const char *pattern, pcre2_code **out, struct err *err)
{
    struct strbuf expanded = STRBUF_INIT(MAX_PATTERN_BYTES);
    int code = 0;
    PCRE2_SIZE at = 0;
    expand(pattern, &expanded);
    *out = pcre2_compile((PCRE2_SPTR)expanded.at, expanded.n, PCRE2_UTF | PCRE2_UCP | PCRE2_DOLLAR_ENDONLY,
                         &code, &at, NULL);
    strbuf_fini(&expanded);
    if (*out == NULL)
        return err_set(err, ERR_INTERNAL, "pattern %s does not compile (%d at %zu)", pattern, code,
                       (size_t)at);
    pcre2_jit_compile(*out, PCRE2_JIT_COMPLETE); // may fail: then the interpreter runs
    return 0;
}

static const void *compiled_get(const char *pattern, struct err *err)
{
    pcre2_code *code = NULL;
    pthread_mutex_lock(&compiled_lock);
    for (size_t i = 0; i < n_compiled && code == NULL; i++)
        if (strcmp(compiled[i].pattern, pattern) == 0)
            code = compiled[i].code;
    if (code == NULL && n_compiled == MAX_COMPILED)
        err_set(err, ERR_INTERNAL, "more than %d different patterns", MAX_COMPILED);
    else if (code == NULL && compile(pattern, &code, err) == 0) {
        compiled[n_compiled].pattern = pattern;
        compiled[n_compiled++].code = code;
    }
    pthread_mutex_unlock(&compiled_lock);
    return code;
}

static bool has_name(const char *names, struct slice wanted)
{
    for (const char *p = names; *p != 0;) {
        size_t n = strcspn(p, " ");
        if (slice_equals(slice_make(p, n), wanted))
            return true;
        p += n + (p[n] == ' ');
    }
    return false;
}

static int init_from_row(struct pretok *p, const struct pretok_row *row, struct err *err)
{
    *p = (struct pretok){.row = row};
    for (; p->n_stages < PRETOK_STAGES && row->patterns[p->n_stages] != NULL; p->n_stages++)
        if ((p->stages[p->n_stages] = compiled_get(row->patterns[p->n_stages], err)) == NULL)
            return -1;
    return 0;
}

int pretok_init(struct pretok *p, struct slice name, struct err *err)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (has_name(rows[i].names, name))
            return init_from_row(p, &rows[i], err);
    return err_set(err, ERR_UNSUPPORTED, "pre-tokenizer '%.*s' is not supported",
                   (int)MIN(name.n, (size_t)80), name.at);
}

int pretok_prepare(struct err *err)
{
    struct pretok ignored;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (init_from_row(&ignored, &rows[i], err) != 0)
            return -1;
    return 0;
}

bool pretok_ignores_merges(const struct pretok *p)
{
    return p->row->ignores_merges;
}

bool pretok_adds_bos(const struct pretok *p)
{
    return p->row->adds_bos;
}

// ---- Splitting

struct split {
    const struct pretok *p;
    pcre2_match_data *data;
    pcre2_match_context *context;
    pretok_piece_fn *piece;
    void *arg;
};

// The next match in chunk at or behind `from`; false: there is none.
static bool find_match(const struct split *s, size_t stage, struct slice chunk, size_t from, size_t *begin,
                       size_t *end)
{
    const pcre2_code *code = s->p->stages[stage];
    PCRE2_SPTR text = (PCRE2_SPTR)chunk.at;
    int rc = pcre2_match(code, text, chunk.n, from, PCRE2_NO_UTF_CHECK, s->data, s->context);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
        rc = pcre2_match(code, text, chunk.n, from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, s->data, s->context);
    if (rc < 0)
        return false;
    const PCRE2_SIZE *where = pcre2_get_ovector_pointer(s->data);
    *begin = where[0];
    *end = where[1];
    return *end > *begin && *begin >= from; // no row matches the empty string
}

static void split_chunk(const struct split *s, size_t stage, struct slice chunk)
{
    size_t at = 0, begin, end;
    if (stage == s->p->n_stages) {
        s->piece(s->arg, chunk);
        return;
    }
    while (at < chunk.n && find_match(s, stage, chunk, at, &begin, &end)) {
        if (begin > at)
            split_chunk(s, stage + 1, slice_make(chunk.at + at, begin - at));
        split_chunk(s, stage + 1, slice_make(chunk.at + begin, end - begin));
        at = end;
    }
    if (at < chunk.n)
        split_chunk(s, stage + 1, slice_make(chunk.at + at, chunk.n - at));
}

void pretok_split(const struct pretok *p, struct pretok_scratch *scratch, struct slice text,
                  pretok_piece_fn *piece, void *arg)
{
    if (scratch->match_data == NULL) {
        scratch->match_data = pcre2_match_data_create(1, NULL);
        scratch->match_context = pcre2_match_context_create(NULL);
    }
    if (scratch->match_data == NULL || scratch->match_context == NULL)
        abort(); // as every small allocation that fails
    uint64_t limit = 1000000 + (uint64_t)text.n * 16;
    pcre2_set_match_limit(scratch->match_context, (uint32_t)MIN(limit, (uint64_t)UINT32_MAX));
    struct split s = {p, scratch->match_data, scratch->match_context, piece, arg};
    split_chunk(&s, 0, text);
}

void pretok_scratch_fini(struct pretok_scratch *scratch)
{
    pcre2_match_data_free(scratch->match_data);
    pcre2_match_context_free(scratch->match_context);
    *scratch = (struct pretok_scratch){0};
}
