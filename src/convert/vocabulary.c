// SPDX-License-Identifier: MIT
// Two kinds of tokenizer.json: byte-level BPE, whose merges are taken over, and BPE made of a SentencePiece
// model (spaces as U+2581, bytes as fallback), where the rank of the merge that makes a token becomes its
// score again. Rows of the embedding that no token names are unused tokens.
#include "convert/vocabulary.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/strbuf.h"
#include "convert/input.h"
#include "convert/pretokenizer.h"

enum {
    MAX_TOKENS = 1 << 22,
    MAX_MERGES = 1 << 23,
    MAX_TEXTS_BYTES = 256 << 20,
    NAME_BYTES = 16,
    MAX_NAME_BYTES = 60
};
enum { TYPE_NORMAL = 1, TYPE_UNKNOWN, TYPE_CONTROL, TYPE_USER_DEFINED, TYPE_UNUSED, TYPE_BYTE };

static const char template_key[] = "tokenizer.chat_template";

struct vocabulary {
    const json_t *tokenizer, *model; // tokenizer.json and its "model"
    json_t *settings;                // tokenizer_config.json; NULL: none
    const json_t *config;
    struct gguf_writer *w;
    uint32_t n;
    struct slice *texts; // into the JSON, or into `made`
    int32_t *types;
    float *scores; // NULL: byte-level
    char *made;    // names of unused tokens
    struct map ids;
    bool has_spaces_marked;
    struct err *err;
};

// ---- Tokens ----

static int add_token(struct vocabulary *v, const char *text, json_int_t id, int32_t type)
{
    if (id < 0 || id >= v->n)
        return type == TYPE_NORMAL
                   ? err_set(v->err, ERR_FORMAT,
                             "tokenizer.json: token %lld is beyond the %u rows of the embedding",
                             (long long)id, v->n)
                   : 0;
    v->texts[id] = slice_of(text);
    v->types[id] = type;
    map_set(&v->ids, v->texts[id], (uint32_t)id);
    return 0;
}

static bool is_byte_token(const char *text)
{
    unsigned byte;
    char end;
    return strlen(text) == 6 && sscanf(text, "<0x%2X%c", &byte, &end) == 2 && end == '>';
}

static int add_tokens(struct vocabulary *v)
{
    const json_t *vocab = json_object_get(v->model, "vocab");
    const char *unknown = json_string_value(json_object_get(v->model, "unk_token")), *text;
    json_t *id, *token;
    size_t i;
    if (!json_is_object(vocab))
        return err_set(v->err, ERR_FORMAT, "tokenizer.json: 'vocab' is missing");
    json_object_foreach((json_t *)vocab, text, id)
    {
        int32_t type = v->scores != NULL && is_byte_token(text) ? TYPE_BYTE : TYPE_NORMAL;
        if (!json_is_integer(id))
            return err_set(v->err, ERR_FORMAT, "tokenizer.json: a token without a number");
        if (add_token(v, text, json_integer_value(id), type) != 0)
            return -1;
    }
    json_array_foreach(json_object_get(v->tokenizer, "added_tokens"), i, token)
    {
        text = json_string_value(json_object_get(token, "content"));
        id = json_object_get(token, "id");
        bool is_special = json_is_true(json_object_get(token, "special"));
        if (text == NULL || !json_is_integer(id))
            return err_set(v->err, ERR_FORMAT, "tokenizer.json: an added token without text or number");
        int32_t type = v->scores != NULL && unknown != NULL && strcmp(unknown, text) == 0 ? TYPE_UNKNOWN
                       : is_special                                                       ? TYPE_CONTROL
                                                                                          : TYPE_USER_DEFINED;
        if (add_token(v, text, json_integer_value(id), type) != 0)
            return -1;
    }
    return 0;
}

static void name_unused(struct vocabulary *v)
{
    for (uint32_t i = 0; i < v->n; i++) {
        if (v->texts[i].at != NULL)
            continue;
        char *name = v->made + (size_t)i * NAME_BYTES;
        snprintf(name, NAME_BYTES, "[PAD%u]", i);
        v->texts[i] = slice_of(name);
        v->types[i] = TYPE_UNUSED;
    }
}

// ---- Merges ----

// "left right", as one text or as two.
static int write_merge(const struct vocabulary *v, const json_t *merge, struct strbuf *out)
{
    const json_t *left = json_array_get(merge, 0), *right = json_array_get(merge, 1);
    struct slice whole = json_slice(merge);
    if (json_is_string(merge) && memchr(whole.at, ' ', whole.n) != NULL) {
        strbuf_push_slice(out, whole);
    } else if (json_array_size(merge) == 2 && json_is_string(left) && json_is_string(right)) {
        strbuf_push_slice(out, json_slice(left));
        strbuf_push_char(out, ' ');
        strbuf_push_slice(out, json_slice(right));
    } else {
        return err_set(v->err, ERR_FORMAT, "tokenizer.json: a merge that is no pair of texts");
    }
    return 0;
}

static int put_merges(struct vocabulary *v, const json_t *merges)
{
    struct strbuf texts = STRBUF_INIT(MAX_TEXTS_BYTES);
    size_t n = json_array_size(merges), i;
    size_t *ends = xcalloc(n + 1, sizeof ends[0]);
    struct slice *list = xcalloc(n + 1, sizeof list[0]);
    json_t *merge;
    int rc = 0;
    json_array_foreach((json_t *)merges, i, merge)
    {
        if (rc == 0)
            rc = write_merge(v, merge, &texts);
        ends[i] = texts.n;
    }
    if (rc == 0 && texts.overflow)
        rc = err_set(v->err, ERR_FORMAT, "tokenizer.json: the merges are too long");
    for (i = 0; rc == 0 && i < n; i++) {
        size_t begin = i > 0 ? ends[i - 1] : 0;
        list[i] = slice_make(texts.at + begin, ends[i] - begin);
    }
    if (rc == 0)
        gguf_writer_set_strings(v->w, "tokenizer.ggml.merges", list, n);
    free(ends);
    free(list);
    strbuf_fini(&texts);
    return rc;
}

// The first merge that makes a token says when that token is made.
static int score_by_merges(struct vocabulary *v, const json_t *merges)
{
    struct strbuf text = STRBUF_INIT(1 << 20);
    size_t i;
    json_t *merge;
    int rc = 0;
    for (uint32_t id = 0; id < v->n; id++)
        v->scores[id] = v->types[id] == TYPE_NORMAL ? -(float)(MAX_MERGES + 1) : 0;
    json_array_foreach((json_t *)merges, i, merge)
    {
        uint32_t id;
        strbuf_reset(&text);
        rc = write_merge(v, merge, &text);
        if (rc != 0)
            break;
        char *space = memchr(text.at, ' ', text.n);
        if (text.overflow || space == NULL)
            continue; // longer than any token
        size_t left = (size_t)(space - text.at);
        memmove(space, space + 1, text.n - left - 1);
        if (map_find(&v->ids, slice_make(text.at, text.n - 1), &id) && v->types[id] == TYPE_NORMAL &&
            v->scores[id] < -(float)MAX_MERGES)
            v->scores[id] = -(float)i;
    }
    strbuf_fini(&text);
    return rc;
}

static int put_model(struct vocabulary *v)
{
    const json_t *merges = json_object_get(v->model, "merges");
    const char *pre = "default";
    if (!json_is_array(merges) || json_array_size(merges) > MAX_MERGES)
        return err_set(v->err, ERR_FORMAT, "tokenizer.json: 'merges' is missing or too long");
    if (v->scores == NULL && pretokenizer_name(&pre, v->tokenizer, v->err) != 0)
        return -1;
    gguf_writer_set_string(v->w, "tokenizer.ggml.model", slice_of(v->scores != NULL ? "llama" : "gpt2"));
    gguf_writer_set_string(v->w, "tokenizer.ggml.pre", slice_of(pre));
    gguf_writer_set_strings(v->w, "tokenizer.ggml.tokens", v->texts, v->n);
    gguf_writer_set_array(v->w, "tokenizer.ggml.token_type", GGUF_I32, v->types, v->n);
    if (v->scores == NULL)
        return put_merges(v, merges);
    if (score_by_merges(v, merges) != 0)
        return -1;
    gguf_writer_set_array(v->w, "tokenizer.ggml.scores", GGUF_F32, v->scores, v->n);
    return 0;
}

// ---- Which kind ----

static bool has_step(const json_t *steps, const char *list_key, const char *type)
{
    const json_t *list = json_object_get(steps, list_key), *own = json_object_get(steps, "type");
    size_t i;
    json_t *step;
    if (json_is_string(own) && strcmp(json_string_value(own), type) == 0)
        return true;
    json_array_foreach((json_t *)list, i, step)
    {
        own = json_object_get(step, "type");
        if (json_is_string(own) && strcmp(json_string_value(own), type) == 0)
            return true;
    }
    return false;
}

// Neither in the front of words nor cut at random, nor marked inside of words.
static int refuse_variants(const struct vocabulary *v)
{
    static const char *const members[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    double dropout = json_number_value(json_object_get(v->model, "dropout"));
    for (size_t i = 0; i < COUNT_OF(members); i++) {
        struct slice text = json_slice(json_object_get(v->model, members[i]));
        if (text.n > 0)
            return err_set(v->err, ERR_UNSUPPORTED, "tokenizer.json: '%s' is not supported", members[i]);
    }
    return dropout > 0 ? err_set(v->err, ERR_UNSUPPORTED, "tokenizer.json: 'dropout' is not supported") : 0;
}

static int read_kind(struct vocabulary *v, bool *is_sentencepiece)
{
    const char *type = json_string_value(json_object_get(v->model, "type"));
    const json_t *pre = json_object_get(v->tokenizer, "pre_tokenizer");
    const json_t *normalizer = json_object_get(v->tokenizer, "normalizer");
    if (type == NULL || strcmp(type, "BPE") != 0)
        return err_set(v->err, ERR_UNSUPPORTED,
                       "tokenizer.json: a model of type '%.40s' is not supported (only BPE)",
                       type != NULL ? type : "");
    *is_sentencepiece = json_is_true(json_object_get(v->model, "byte_fallback")) &&
                        !has_step(pre, "pretokenizers", "ByteLevel");
    if (*is_sentencepiece && !has_step(normalizer, "normalizers", "Replace") &&
        !has_step(pre, "pretokenizers", "Metaspace"))
        return err_set(v->err, ERR_UNSUPPORTED,
                       "tokenizer.json: a BPE that marks no spaces is not supported");
    return refuse_variants(v);
}

// ---- Special tokens, what is put around a text, templates ----

// A special token of tokenizer_config.json is a text, or an object with it.
static const char *setting_text(const struct vocabulary *v, const char *key)
{
    const json_t *value = json_object_get(v->settings, key);
    return json_string_value(json_is_object(value) ? json_object_get(value, "content") : value);
}

static void put_special(struct vocabulary *v, const char *setting, const char *member, const char *key)
{
    const char *text = setting_text(v, setting);
    const json_t *number = json_object_get(v->config, member);
    uint32_t id;
    if (json_is_array(number))
        number = json_array_get(number, 0);
    if (text != NULL && map_find(&v->ids, slice_of(text), &id))
        gguf_writer_set_u32(v->w, key, id);
    else if (json_is_integer(number) && json_integer_value(number) >= 0 && json_integer_value(number) < v->n)
        gguf_writer_set_u32(v->w, key, (uint32_t)json_integer_value(number));
}

// Where tokenizer_config.json says nothing, the template of the post-processor does.
static bool template_begins_with_special(const json_t *post)
{
    const json_t *list = json_object_get(post, "processors"), *single = json_object_get(post, "single");
    size_t i;
    json_t *step;
    if (json_object_get(json_array_get(single, 0), "SpecialToken") != NULL)
        return true;
    json_array_foreach((json_t *)list, i, step)
    {
        single = json_object_get(step, "single");
        if (json_object_get(json_array_get(single, 0), "SpecialToken") != NULL)
            return true;
    }
    return false;
}

static int put_around(struct vocabulary *v)
{
    bool add_bos = template_begins_with_special(json_object_get(v->tokenizer, "post_processor")),
         add_eos = false;
    const json_t *pre = json_object_get(v->tokenizer, "pre_tokenizer");
    const char *scheme = json_string_value(json_object_get(pre, "prepend_scheme"));
    if (input_get_bool(v->settings, "add_bos_token", &add_bos, v->err) != 0 ||
        input_get_bool(v->settings, "add_eos_token", &add_eos, v->err) != 0)
        return err_prefix(v->err, "tokenizer_config.json");
    gguf_writer_set_bool(v->w, "tokenizer.ggml.add_bos_token", add_bos);
    gguf_writer_set_bool(v->w, "tokenizer.ggml.add_eos_token", add_eos);
    if (v->scores != NULL) {
        bool prepends =
            has_step(json_object_get(v->tokenizer, "normalizer"), "normalizers", "Prepend") ||
            (has_step(pre, "pretokenizers", "Metaspace") && (scheme == NULL || strcmp(scheme, "never") != 0));
        gguf_writer_set_bool(v->w, "tokenizer.ggml.add_space_prefix", prepends);
    }
    return 0;
}

static void put_template(struct vocabulary *v, const char *name, const json_t *text)
{
    char key[128];
    bool is_main = name == NULL || strcmp(name, "default") == 0;
    if (!json_is_string(text))
        return;
    snprintf(key, sizeof key, is_main ? "%s" : "%s.%s", template_key, name);
    gguf_writer_set_string(v->w, key, json_slice(text));
}

static bool is_named_before(const json_t *templates, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        const char *other = json_string_value(json_object_get(json_array_get(templates, i), "name"));
        if (other != NULL && strcmp(other, name) == 0)
            return true;
    }
    return false;
}

// One text, or a list of named ones; a file of its own goes before.
static int put_templates(struct vocabulary *v, const struct convert_job *job)
{
    const struct convert_file *file;
    struct input in;
    const json_t *templates = json_object_get(v->settings, "chat_template");
    size_t i;
    json_t *one;
    if (input_find(job, "chat_template.jinja", &file, v->err) != 0)
        return -1;
    if (file != NULL) {
        if (input_map(&in, file->fd, 4 << 20, v->err) != 0)
            return err_prefix(v->err, "chat_template.jinja");
        gguf_writer_set_string(v->w, template_key, slice_make(in.at, in.n));
        input_unmap(&in);
        return 0;
    }
    put_template(v, NULL, templates);
    json_array_foreach((json_t *)templates, i, one)
    {
        const char *name = json_string_value(json_object_get(one, "name"));
        if (name == NULL || strlen(name) > MAX_NAME_BYTES || is_named_before(templates, i, name))
            return err_set(v->err, ERR_FORMAT,
                           "tokenizer_config.json: a chat template without a name of its own");
        put_template(v, name, json_object_get(one, "template"));
    }
    return 0;
}

static int put_all(struct vocabulary *v, const struct convert_job *job)
{
    if (add_tokens(v) != 0)
        return -1;
    name_unused(v);
    if (put_model(v) != 0)
        return -1;
    put_special(v, "bos_token", "bos_token_id", "tokenizer.ggml.bos_token_id");
    put_special(v, "eos_token", "eos_token_id", "tokenizer.ggml.eos_token_id");
    put_special(v, "unk_token", "", "tokenizer.ggml.unknown_token_id");
    put_special(v, "pad_token", "pad_token_id", "tokenizer.ggml.padding_token_id");
    return put_around(v) != 0 ? -1 : put_templates(v, job);
}

int vocabulary_convert(const struct convert_job *job, const json_t *config, uint32_t n_tokens,
                       struct gguf_writer *w, struct err *err)
{
    struct vocabulary v = {.config = config, .w = w, .n = n_tokens, .err = err};
    json_t *tokenizer = NULL;
    bool is_sentencepiece = false;
    int rc = input_read_json(job, "tokenizer.json", &tokenizer, err);
    if (rc == 0 && tokenizer == NULL)
        rc = err_set(err, ERR_UNSUPPORTED,
                     "tokenizer.json is missing (other files of tokenizers are not read)");
    if (rc == 0 && n_tokens > MAX_TOKENS)
        rc = err_set(err, ERR_FORMAT, "more than %d tokens", MAX_TOKENS);
    if (rc == 0)
        rc = input_read_json(job, "tokenizer_config.json", &v.settings, err);
    v.tokenizer = tokenizer;
    v.model = json_object_get(tokenizer, "model");
    map_init(&v.ids, rc == 0 ? n_tokens : 1);
    if (rc == 0)
        rc = read_kind(&v, &is_sentencepiece);
    if (rc == 0) {
        v.texts = xcalloc(n_tokens + 1, sizeof v.texts[0]);
        v.types = xcalloc(n_tokens + 1, sizeof v.types[0]);
        v.made = xcalloc(n_tokens + 1, NAME_BYTES);
        v.scores = is_sentencepiece ? xcalloc(n_tokens + 1, sizeof v.scores[0]) : NULL;
        rc = put_all(&v, job);
    }
    map_fini(&v.ids);
    free(v.texts);
    free(v.types);
    free(v.made);
    free(v.scores);
    json_decref(v.settings);
    json_decref(tokenizer);
    return rc;
}
