// SPDX-License-Identifier: MIT
// Each array is checked for its element type and length before it is read: a list of scores that is declared
// shorter or narrower than the list of tokens is the classic way to read beyond a buffer. Elements are
// unaligned in the file, so they are copied out.
#include "model/vocab.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"

#define KEY(name) "tokenizer.ggml." name

enum { MAX_TOKENS = 1 << 26 };

// What is read of the file before it goes into the tokenizer.
struct vocab {
    struct vocab_spec spec;
    struct slice *tokens, *merges;
    float *scores;
    int32_t *types;
    uint32_t fim[FIM_COUNT];
};

static void vocab_fini(struct vocab *v)
{
    free(v->tokens);
    free(v->merges);
    free(v->scores);
    free(v->types);
}

static int find_array(const struct gguf *g, const char *key, enum gguf_type elem_type,
                      const struct gguf_value **out, struct err *err)
{
    *out = gguf_find(g, key);
    if (*out == NULL || ((*out)->type == GGUF_ARRAY && (*out)->elem_type == elem_type))
        return 0;
    return err_set(err, ERR_FORMAT, "key '%s' is %s%s instead of an array of %s", key,
                   (*out)->type == GGUF_ARRAY ? "an array of " : "of type ",
                   gguf_type_name((*out)->elem_type), gguf_type_name(elem_type));
}

static int load_strings(const struct gguf *g, const char *key, struct slice **out, uint32_t *n,
                        struct err *err)
{
    const struct gguf_value *v;
    const void *at = NULL;
    if (find_array(g, key, GGUF_STRING, &v, err) != 0)
        return -1;
    if (v == NULL)
        return 0;
    if (v->count > MAX_TOKENS)
        return err_set(err, ERR_FORMAT, "key '%s' has %" PRIu64 " elements, more than %d", key, v->count,
                       MAX_TOKENS);
    *out = mem_try_alloc(v->count, sizeof **out);
    if (*out == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for the %" PRIu64 " elements of key '%s'", v->count,
                       key);
    *n = (uint32_t)v->count;
    for (uint32_t i = 0; i < *n && gguf_next_string(v, &at, &(*out)[i]); i++) {
    }
    return 0;
}

// Elements of four bytes, one for each token.
static int load_words(const char *key, const struct gguf_value *v, uint32_t n_tokens, void **out,
                      struct err *err)
{
    if (v->count != n_tokens)
        return err_set(err, ERR_FORMAT, "key '%s' has %" PRIu64 " elements for %u tokens", key, v->count,
                       n_tokens);
    *out = mem_try_alloc(n_tokens, 4);
    if (*out == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for the elements of key '%s'", key);
    memcpy(*out, v->data, (size_t)n_tokens * 4);
    return 0;
}

static int load_scores(const struct gguf *g, struct vocab *v, struct err *err)
{
    const char *key = KEY("scores");
    const struct gguf_value *value = gguf_find(g, key);
    bool is_integer = value != NULL && value->type == GGUF_ARRAY && value->elem_type == GGUF_I32;
    if (find_array(g, key, is_integer ? GGUF_I32 : GGUF_F32, &value, err) != 0)
        return -1;
    if (value == NULL)
        return 0;
    void *words = NULL;
    if (load_words(key, value, v->spec.n_tokens, &words, err) != 0)
        return -1;
    v->scores = words;
    assert(words != NULL || v->spec.n_tokens == 0);
    for (uint32_t i = 0; is_integer && i < v->spec.n_tokens; i++) {
        int32_t score;
        memcpy(&score, (const float *)words + i, sizeof score);
        v->scores[i] = (float)score;
    }
    return 0;
}

static int load_types(const struct gguf *g, struct vocab *v, struct err *err)
{
    const struct gguf_value *value;
    void *words = NULL;
    if (find_array(g, KEY("token_type"), GGUF_I32, &value, err) != 0)
        return -1;
    if (value == NULL)
        return 0;
    if (load_words(KEY("token_type"), value, v->spec.n_tokens, &words, err) != 0)
        return -1;
    v->types = words;
    return 0;
}

// One id; the first key that the file has counts.
static int load_id(const struct gguf *g, const char *key, uint32_t n_tokens, uint32_t *id, struct err *err)
{
    uint32_t read = TOKEN_NONE;
    if (*id != TOKEN_NONE)
        return 0;
    if (gguf_get_u32(g, key, &read, err) != 0)
        return -1;
    if (read < n_tokens)
        *id = read;
    else if (read != TOKEN_NONE)
        log_warn("model", "key '%s': token %u is beyond the vocabulary of %u tokens, ignored", key, read,
                 n_tokens);
    return 0;
}

static int load_ids(const struct gguf *g, struct vocab *v, struct err *err)
{
    const struct {
        const char *key;
        uint32_t *id;
    } rows[] = {
        {KEY("bos_token_id"), &v->spec.bos},         {KEY("eos_token_id"), &v->spec.eos},
        {KEY("eot_token_id"), &v->spec.eot},         {KEY("eom_token_id"), &v->spec.eom},
        {KEY("unknown_token_id"), &v->spec.unk},     {KEY("padding_token_id"), &v->spec.pad},
        {KEY("fim_pre_token_id"), &v->fim[FIM_PRE]}, {KEY("prefix_token_id"), &v->fim[FIM_PRE]},
        {KEY("fim_suf_token_id"), &v->fim[FIM_SUF]}, {KEY("suffix_token_id"), &v->fim[FIM_SUF]},
        {KEY("fim_mid_token_id"), &v->fim[FIM_MID]}, {KEY("middle_token_id"), &v->fim[FIM_MID]},
        {KEY("fim_pad_token_id"), &v->fim[FIM_PAD]}, {KEY("fim_rep_token_id"), &v->fim[FIM_REP]},
        {KEY("fim_sep_token_id"), &v->fim[FIM_SEP]},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        *rows[i].id = TOKEN_NONE;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (load_id(g, rows[i].key, v->spec.n_tokens, rows[i].id, err) != 0)
            return -1;
    v->spec.fim = v->fim;
    return 0;
}

static int load_flag(const struct gguf *g, const char *key, int *flag, struct err *err)
{
    bool value = false;
    *flag = -1;
    if (gguf_find(g, key) == NULL)
        return 0;
    if (gguf_get_bool(g, key, &value, err) != 0)
        return -1;
    *flag = value;
    return 0;
}

static int load_spec(const struct gguf *g, struct vocab *v, struct err *err)
{
    struct vocab_spec *s = &v->spec;
    if (gguf_get_string(g, KEY("model"), &s->model, err) != 0 ||
        gguf_get_string(g, KEY("pre"), &s->pre, err) != 0)
        return -1;
    if (gguf_find(g, KEY("model")) == NULL || gguf_find(g, KEY("tokens")) == NULL)
        return err_set(err, ERR_FORMAT, "the file has no vocabulary (key '%s' is missing)",
                       gguf_find(g, KEY("model")) == NULL ? KEY("model") : KEY("tokens"));
    if (slice_is(s->model, "gpt2") && s->pre.n == 0)
        log_warn("model",
                 "key '" KEY("pre") "' is missing: text is cut in the default way, which may be wrong");
    if (slice_is(s->model, "gpt2") && gguf_find(g, KEY("merges")) == NULL)
        return err_set(err, ERR_FORMAT, "key '" KEY("merges") "' is missing");
    if (load_strings(g, KEY("tokens"), &v->tokens, &s->n_tokens, err) != 0 ||
        load_strings(g, KEY("merges"), &v->merges, &s->n_merges, err) != 0 || load_scores(g, v, err) != 0 ||
        load_types(g, v, err) != 0 || load_ids(g, v, err) != 0)
        return -1;
    s->tokens = v->tokens;
    s->merges = v->merges;
    s->scores = v->scores;
    s->types = v->types;
    if (load_flag(g, KEY("add_bos_token"), &s->add_bos, err) != 0 ||
        load_flag(g, KEY("add_eos_token"), &s->add_eos, err) != 0)
        return -1;
    return load_flag(g, KEY("add_space_prefix"), &s->add_space_prefix, err);
}

int vocab_load(struct tokenizer **out, const struct gguf *g, struct err *err)
{
    struct vocab v = {0};
    int rc = -1;
    *out = NULL;
    if (load_spec(g, &v, err) == 0)
        rc = tokenizer_new(out, &v.spec, err);
    vocab_fini(&v);
    return rc;
}

int vocab_chat_template(const struct gguf *g, const char *variant, struct slice *out, struct err *err)
{
    char key[128];
    snprintf(key, sizeof key, "tokenizer.chat_template%s%s", variant ? "." : "", variant ? variant : "");
    *out = slice_make("", 0);
    return gguf_get_string(g, key, out, err);
}
