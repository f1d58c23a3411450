// SPDX-License-Identifier: MIT
// A Modelfile is read line by line; a value that begins with a quote goes on until a line ends with the same
// quote. Nothing is escaped.
#include "cli/modelfile.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/strbuf.h"
#include "base/utf8.h"

enum { MAX_BYTES = 64 << 20 };

static const char *const names[] = {"from",     "license", "template",  "system",  "adapter", "draft",
                                    "renderer", "parser",  "parameter", "message", "requires"};

// ---- Bytes ----

static void push_utf16(struct strbuf *out, struct slice text, bool is_big)
{
    uint32_t high = 0;
    for (size_t i = 0; i + 1 < text.n; i += 2) {
        unsigned char a = (unsigned char)text.at[i], b = (unsigned char)text.at[i + 1];
        uint32_t unit = is_big ? (uint32_t)a << 8 | b : (uint32_t)b << 8 | a;
        char bytes[8];
        if (unit >= 0xd800 && unit < 0xdc00) {
            high = unit;
            continue;
        }
        if (unit >= 0xdc00 && unit < 0xe000)
            unit = high ? 0x10000 + ((high - 0xd800) << 10) + (unit - 0xdc00) : 0xfffd;
        high = 0;
        strbuf_push(out, bytes, utf8_encode(unit, bytes));
    }
}

// Without marks of the encoding, and without what cannot be printed; an ill-formed byte becomes U+FFFD.
static void clean(struct slice text, struct strbuf *out)
{
    struct strbuf wide = STRBUF_INIT(MAX_BYTES), valid = STRBUF_INIT(MAX_BYTES);
    if (text.n >= 2 && (memcmp(text.at, "\xff\xfe", 2) == 0 || memcmp(text.at, "\xfe\xff", 2) == 0)) {
        push_utf16(&wide, slice_make(text.at + 2, text.n - 2), text.at[0] == '\xfe');
        text = strbuf_slice(&wide);
    } else if (text.n >= 3 && memcmp(text.at, "\xef\xbb\xbf", 3) == 0) {
        text = slice_make(text.at + 3, text.n - 3);
    }
    utf8_push_valid(&valid, text);
    for (size_t i = 0; i < valid.n; i++) {
        unsigned char c = (unsigned char)valid.at[i];
        if ((c >= 0x20 && c != 0x7f) || c == '\n' || c == '\t')
            strbuf_push_char(out, (char)c);
    }
    strbuf_fini(&wide);
    strbuf_fini(&valid);
}

// ---- Values ----

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n';
}

static struct slice trim(struct slice s)
{
    while (s.n > 0 && is_blank(s.at[0]))
        s = slice_make(s.at + 1, s.n - 1);
    while (s.n > 0 && is_blank(s.at[s.n - 1]))
        s.n--;
    return s;
}

// False: a quote is open, the value goes on in the next line.
static bool unquote(struct slice *s)
{
    const char *quotes[] = {"\"\"\"", "\""};
    for (size_t i = 0; i < 2; i++) {
        size_t n = strlen(quotes[i]);
        if (s->n < n || memcmp(s->at, quotes[i], n) != 0)
            continue;
        if (s->n < 2 * n || memcmp(s->at + s->n - n, quotes[i], n) != 0)
            return false;
        *s = slice_make(s->at + n, s->n - 2 * n);
        return true;
    }
    return true;
}

struct reader {
    struct slice rest;
    int line;
};

static struct slice take_line(struct reader *r)
{
    const char *end = memchr(r->rest.at, '\n', r->rest.n);
    size_t n = end != NULL ? (size_t)(end - r->rest.at) : r->rest.n;
    struct slice line = slice_make(r->rest.at, n);
    size_t used = n + (end != NULL);
    r->rest = slice_make(r->rest.at + used, r->rest.n - used);
    r->line++;
    return line;
}

// `first` is what stands behind the command; further lines follow it in memory.
static int take_value(struct reader *r, struct slice first, struct slice *out, struct err *err)
{
    struct slice all = first;
    for (;;) {
        *out = trim(all);
        if (unquote(out))
            return out->n > 0 || all.n > 0 ? 0 : err_set(err, ERR_INVALID, "unexpected EOF");
        if (r->rest.n == 0)
            return err_set(err, ERR_INVALID, "unexpected EOF");
        struct slice more = take_line(r);
        all.n = (size_t)(more.at + more.n - all.at);
    }
}

static struct slice take_word(struct slice *s)
{
    *s = trim(*s);
    size_t n = 0;
    while (n < s->n && !is_blank(s->at[n]))
        n++;
    struct slice word = slice_make(s->at, n);
    *s = slice_make(s->at + n, s->n - n);
    return word;
}

// ---- Commands ----

static const char *find_name(struct slice word)
{
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (strlen(names[i]) == word.n && strncasecmp(names[i], word.at, word.n) == 0)
            return names[i];
    return NULL;
}

static int check_key(const char *name, struct slice key, int line, struct err *err)
{
    if (strcmp(name, "message") == 0 && !slice_is(key, "system") && !slice_is(key, "user") &&
        !slice_is(key, "assistant"))
        return err_set(err, ERR_INVALID,
                       "(line %d): message role must be one of \"system\", \"user\", or \"assistant\"", line);
    for (size_t i = 0; i < key.n; i++) {
        char c = key.at[i];
        bool is_word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
        if (!is_word)
            return err_set(err, ERR_INVALID, "(line %d): parameter names have letters, digits and _", line);
    }
    return key.n > 0 ? 0 : err_set(err, ERR_INVALID, "unexpected EOF");
}

static int take_command(struct reader *r, struct slice line, struct modelfile *out, struct err *err)
{
    struct modelfile_command c = {.line = r->line};
    struct slice key = slice_of(""), value, word = take_word(&line);
    const char *name = find_name(word);
    if (name == NULL)
        return err_set(err, ERR_INVALID,
                       "(line %d): command must be one of \"from\", \"license\", \"template\", \"system\", "
                       "\"adapter\", \"draft\", \"renderer\", \"parser\", \"parameter\", \"message\", or "
                       "\"requires\"",
                       r->line);
    bool has_key = strcmp(name, "parameter") == 0 || strcmp(name, "message") == 0;
    if (has_key) {
        key = take_word(&line);
        if (check_key(name, key, r->line, err) != 0)
            return -1;
    }
    if (take_value(r, line, &value, err) != 0)
        return -1;
    c.name = xstrdup(name);
    c.key = has_key ? xstrndup(key.at, key.n) : NULL;
    c.value = xstrndup(value.at, value.n);
    out->commands = xrealloc(out->commands, (out->n + 1) * sizeof out->commands[0]);
    out->commands[out->n++] = c;
    return 0;
}

static bool has_from(const struct modelfile *m)
{
    for (size_t i = 0; i < m->n; i++)
        if (strcmp(m->commands[i].name, "from") == 0)
            return true;
    return false;
}

int modelfile_parse(struct slice text, struct modelfile *out, struct err *err)
{
    struct strbuf cleaned = STRBUF_INIT(MAX_BYTES);
    int rc = 0;
    *out = (struct modelfile){0};
    clean(text, &cleaned);
    struct reader r = {strbuf_slice(&cleaned), 0};
    if (cleaned.overflow)
        rc = err_set(err, ERR_TOO_LARGE, "the Modelfile is larger than %d MiB", MAX_BYTES >> 20);
    while (rc == 0 && r.rest.n > 0) {
        struct slice line = take_line(&r);
        if (trim(line).n > 0 && line.at[0] != '#')
            rc = take_command(&r, line, out, err);
    }
    strbuf_fini(&cleaned);
    if (rc == 0 && !has_from(out))
        rc = err_set(err, ERR_INVALID, "no FROM line");
    return rc;
}

void modelfile_fini(struct modelfile *m)
{
    for (size_t i = 0; i < m->n; i++) {
        free(m->commands[i].name);
        free(m->commands[i].key);
        free(m->commands[i].value);
    }
    free(m->commands);
    *m = (struct modelfile){0};
}

// ---- To a request ----

enum kind { KIND_INT, KIND_FLOAT, KIND_BOOL, KIND_LIST, KIND_GONE };

static const struct {
    const char *name;
    enum kind kind;
} parameters[] = {
    {"num_ctx", KIND_INT},
    {"num_batch", KIND_INT},
    {"num_gpu", KIND_INT},
    {"main_gpu", KIND_INT},
    {"num_thread", KIND_INT},
    {"draft_num_predict", KIND_INT},
    {"num_keep", KIND_INT},
    {"seed", KIND_INT},
    {"num_predict", KIND_INT},
    {"top_k", KIND_INT},
    {"repeat_last_n", KIND_INT},
    {"top_p", KIND_FLOAT},
    {"min_p", KIND_FLOAT},
    {"typical_p", KIND_FLOAT},
    {"temperature", KIND_FLOAT},
    {"repeat_penalty", KIND_FLOAT},
    {"presence_penalty", KIND_FLOAT},
    {"frequency_penalty", KIND_FLOAT},
    {"use_mmap", KIND_BOOL},
    {"stop", KIND_LIST},
    {"penalize_newline", KIND_GONE},
    {"low_vram", KIND_GONE},
    {"f16_kv", KIND_GONE},
    {"logits_all", KIND_GONE},
    {"vocab_only", KIND_GONE},
    {"use_mlock", KIND_GONE},
    {"mirostat", KIND_GONE},
    {"mirostat_tau", KIND_GONE},
    {"mirostat_eta", KIND_GONE},
};

// Go's words for true and false. -1: neither.
static int read_bool(const char *text)
{
    static const char *const yes[] = {"1", "t", "T", "TRUE", "true", "True"}, *const no[] = {
                                                                                  "0",     "f",     "F",
                                                                                  "FALSE", "false", "False"};
    for (size_t i = 0; i < COUNT_OF(yes); i++) {
        if (strcmp(text, yes[i]) == 0)
            return 1;
        if (strcmp(text, no[i]) == 0)
            return 0;
    }
    return -1;
}

static json_t *read_value(enum kind kind, const char *text, struct err *err)
{
    static const char *const words[] = {"int", "float", "bool"};
    char *end = NULL;
    bool is_plain = text[0] != 0 && text[0] != ' ' && strpbrk(text, "xXpP") == NULL;
    json_t *value = NULL;
    errno = 0;
    if (kind == KIND_INT) {
        long long n = strtoll(text, &end, 10);
        value = is_plain && *end == 0 && errno == 0 ? json_integer(n) : NULL;
    } else if (kind == KIND_FLOAT) {
        double x = strtod(text, &end);
        value = is_plain && *end == 0 && errno == 0 ? json_real(x) : NULL; // NULL for what JSON has not
    } else {
        int is = read_bool(text);
        value = is >= 0 ? json_boolean(is) : NULL;
    }
    if (value == NULL)
        err_set(err, ERR_INVALID, "invalid %s value [%s]", words[kind], text);
    return value;
}

static int add_parameter(json_t *out, const struct modelfile_command *c, struct strbuf *warnings,
                         struct err *err)
{
    size_t i = 0;
    while (i < COUNT_OF(parameters) && strcmp(parameters[i].name, c->key) != 0)
        i++;
    if (i == COUNT_OF(parameters))
        return err_set(err, ERR_INVALID, "unknown parameter '%s'", c->key);
    if (parameters[i].kind == KIND_GONE) {
        strbuf_printf(warnings, "PARAMETER %s does nothing any more and is left out\n", c->key);
        return 0;
    }
    if (parameters[i].kind == KIND_LIST) {
        json_t *list = json_object_get(out, c->key);
        if (list == NULL) {
            list = json_array();
            json_object_set_new(out, c->key, list);
        }
        json_array_append_new(list, json_string(c->value));
        return 0;
    }
    json_t *value = read_value(parameters[i].kind, c->value, err);
    if (value == NULL)
        return -1;
    json_object_set_new(out, c->key, value);
    return 0;
}

static void append_to(json_t *body, const char *key, json_t *value)
{
    json_t *list = json_object_get(body, key);
    if (list == NULL) {
        list = json_array();
        json_object_set_new(body, key, list);
    }
    json_array_append_new(list, value);
}

int modelfile_fill(const struct modelfile *m, json_t *body, struct strbuf *warnings, struct err *err)
{
    int rc = 0;
    json_t *own = json_object();
    for (size_t i = 0; i < m->n && rc == 0; i++) {
        const struct modelfile_command *c = &m->commands[i];
        if (strcmp(c->name, "from") == 0 || strcmp(c->name, "adapter") == 0)
            continue;
        if (strcmp(c->name, "draft") == 0)
            rc = err_set(err, ERR_INVALID, "(line %d): DRAFT is not supported", c->line);
        else if (strcmp(c->name, "parameter") == 0)
            rc = add_parameter(own, c, warnings, err);
        else if (strcmp(c->name, "license") == 0)
            append_to(body, "license", json_string(c->value));
        else if (strcmp(c->name, "message") == 0)
            append_to(body, "messages", json_pack("{s:s, s:s}", "role", c->key, "content", c->value));
        else
            json_object_set_new(body, c->name, json_string(c->value)); // the last one counts
    }
    if (rc == 0 && json_object_size(own) > 0)
        json_object_set(body, "parameters", own);
    json_decref(own);
    return rc;
}
