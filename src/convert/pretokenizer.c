// SPDX-License-Identifier: MIT
// The steps of "pre_tokenizer" are written one after the other as a text, which is looked up. A new one is a
// row here (and one in text/pretok_rows.h, where the same splitting is written for our own engine).
#include "convert/pretokenizer.h"

#include <string.h>

#include "base/mem.h"
#include "base/strbuf.h"

enum { MAX_TEXT = 16 << 10, MAX_STEPS = 16 };

#define CONTRACTION "(?i:'s|'t|'re|'ve|'m|'ll|'d)|"
#define REST        " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define WORD        "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
#define CASED                                                                                                \
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+|"             \
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*|"

static const struct {
    const char *steps;
    const char *name, *merging_all; // merging_all: without "ignore_merges"; NULL: the same
} rows[] = {
    {"split " CONTRACTION WORD "\\p{N}{1,3}|" REST "\nbytes\n", "llama-bpe", "smaug-bpe"},
    {"split " CONTRACTION WORD "\\p{N}|" REST "\nbytes\n", "qwen2", NULL},
    {"split " CASED "\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+\nbytes\n",
     "tekken", NULL},
    {"digits\nbytes gpt2\n", "smollm", NULL},
    {"bytes gpt2\n", "gpt-2", NULL},
};

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

static bool is_on(const json_t *object, const char *key, bool otherwise)
{
    const json_t *value = json_object_get(object, key);
    return json_is_boolean(value) ? json_is_true(value) : otherwise;
}

static void write_step(const json_t *step, struct strbuf *out)
{
    const char *type = text_of(step, "type");
    if (strcmp(type, "Split") == 0) {
        bool is_plain = strcmp(text_of(step, "behavior"), "Isolated") == 0 && !is_on(step, "invert", false);
        strbuf_printf(out, "split %s%s\n", is_plain ? "" : "?",
                      text_of(json_object_get(step, "pattern"), "Regex"));
    } else if (strcmp(type, "Digits") == 0) {
        strbuf_push_text(out, is_on(step, "individual_digits", false) ? "digits\n" : "digits together\n");
    } else if (strcmp(type, "ByteLevel") == 0) {
        strbuf_printf(out, "bytes%s%s\n", is_on(step, "use_regex", true) ? " gpt2" : "",
                      is_on(step, "add_prefix_space", true) ? " prefix" : "");
    } else {
        strbuf_printf(out, "%s\n", type[0] ? type : "none");
    }
}

int pretokenizer_name(const char **out, const json_t *tokenizer, struct err *err)
{
    struct strbuf steps = STRBUF_INIT(MAX_TEXT);
    const json_t *pre = json_object_get(tokenizer, "pre_tokenizer");
    const json_t *list = json_object_get(pre, "pretokenizers");
    bool merges_all = !is_on(json_object_get(tokenizer, "model"), "ignore_merges", false);
    *out = NULL;
    if (!json_is_array(list))
        write_step(pre, &steps);
    for (size_t i = 0; i < MIN(json_array_size(list), (size_t)MAX_STEPS); i++)
        write_step(json_array_get(list, i), &steps);
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (strcmp(rows[i].steps, strbuf_text(&steps)) == 0)
            *out = merges_all && rows[i].merging_all != NULL ? rows[i].merging_all : rows[i].name;
    if (*out == NULL)
        err_set(err, ERR_UNSUPPORTED, "tokenizer.json: unknown pre_tokenizer: %.400s", strbuf_text(&steps));
    strbuf_fini(&steps);
    return *out != NULL ? 0 : -1;
}
