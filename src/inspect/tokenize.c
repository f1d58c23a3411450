// SPDX-License-Identifier: MIT
// `drover tokenize` and `drover detokenize`: a model's vocabulary at work, without weights and without a
// server. A file that holds only a vocabulary will do.
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/strbuf.h"
#include "inspect/inspect.h"
#include "gguf/gguf.h"
#include "json/writer.h"
#include "model/vocab.h"

enum { MAX_INPUT_BYTES = 1 << 28 };

static const char tokenize_usage[] =
    "Usage: drover tokenize MODEL|FILE [--plain] [--bos] < text\n\n"
    "Prints the ids of the text on standard input, as one JSON array.\n\n"
    "  --plain   read special tokens in the text as plain text\n"
    "  --bos     put the token in front that begins a prompt, if the model wants one\n";

static const char detokenize_usage[] =
    "Usage: drover detokenize MODEL|FILE < ids\n\n"
    "Prints the bytes of the ids on standard input, a JSON array. Special tokens are written out.\n";

struct tokenize_args {
    const char *model;
    bool plain, bos;
};

// 0: go on; otherwise the exit code + 1.
static int parse_args(int argc, char **argv, bool has_flags, const char *usage, struct tokenize_args *a)
{
    static const struct option options[] = {{"plain", no_argument, NULL, 'p'},
                                            {"bos", no_argument, NULL, 'b'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    int c;
    optind = 1;
    while ((c = getopt_long(argc, argv, "h", has_flags ? options : options + 2, NULL)) != -1) {
        a->plain |= c == 'p';
        a->bos |= c == 'b';
        if (c == 'h') {
            fputs(usage, stdout);
            return 1;
        }
        if (c == '?') {
            fputs(usage, stderr);
            return 3;
        }
    }
    if (optind + 1 != argc) {
        fprintf(stderr, "Error: %s needs one model\n%s", argv[0], usage);
        return 3;
    }
    a->model = argv[optind];
    return 0;
}

static int open_vocabulary(const char *model, struct tokenizer **out, struct err *err)
{
    struct gguf *g = NULL;
    int fd = -1, rc = -1;
    *out = NULL;
    if (inspect_open_model(model, &fd, err) == 0) {
        rc = gguf_open(&g, fd, err);
        if (rc == 0)
            rc = vocab_load(out, g, err);
        if (rc != 0)
            err_prefix(err, "%s", model);
        gguf_close(g);
        close(fd);
    }
    return rc;
}

static int print(struct strbuf *out, struct err *err)
{
    if (fwrite(out->at, 1, out->n, stdout) != out->n || fflush(stdout) != 0)
        return err_set(err, ERR_INTERNAL, "cannot write: %s", strerror(errno));
    return 0;
}

static int tokenize(const struct tokenizer *t, const struct tokenize_args *a, struct slice text,
                    struct err *err)
{
    struct tokens ids = {0};
    struct strbuf out = STRBUF_INIT(SIZE_MAX / 2);
    if (a->bos && tokenizer_adds_bos(t))
        tokens_push(&ids, tokenizer_bos(t));
    tokenizer_encode(t, text, !a->plain, &ids);
    struct json_writer w = json_writer_make(&out);
    json_begin_array(&w);
    for (size_t i = 0; i < ids.n; i++)
        json_put_uint(&w, ids.at[i]);
    json_end_array(&w);
    strbuf_push_char(&out, '\n');
    int rc = print(&out, err);
    tokens_fini(&ids);
    strbuf_fini(&out);
    return rc;
}

static int push_pieces(const struct tokenizer *t, const json_t *ids, struct strbuf *out, struct err *err)
{
    size_t i;
    json_t *id;
    if (!json_is_array(ids))
        return err_set(err, ERR_INVALID, "standard input is not a JSON array of ids");
    json_array_foreach(ids, i, id)
    {
        json_int_t value = json_is_integer(id) ? json_integer_value(id) : -1;
        if (value < 0 || value >= (json_int_t)tokenizer_n_tokens(t))
            return err_set(err, ERR_INVALID, "element %zu is not an id below %u", i, tokenizer_n_tokens(t));
        strbuf_push_slice(out, tokenizer_piece(t, (uint32_t)value, true));
    }
    return 0;
}

static int detokenize(const struct tokenizer *t, struct slice text, struct err *err)
{
    struct strbuf out = STRBUF_INIT(SIZE_MAX / 2);
    json_t *ids = json_parse(text, err);
    int rc = ids != NULL ? push_pieces(t, ids, &out, err) : -1;
    strbuf_text(&out);
    if (rc == 0)
        rc = print(&out, err);
    json_decref(ids);
    strbuf_fini(&out);
    return rc;
}

static int run(const struct tokenize_args *a, bool backwards)
{
    struct tokenizer *t = NULL;
    struct strbuf input = STRBUF_INIT(MAX_INPUT_BYTES);
    struct err err = {0};
    int rc = open_vocabulary(a->model, &t, &err);
    if (rc == 0)
        rc = inspect_read_input(&input, &err);
    if (rc == 0)
        rc = backwards ? detokenize(t, strbuf_slice(&input), &err)
                       : tokenize(t, a, strbuf_slice(&input), &err);
    if (rc != 0)
        fprintf(stderr, "Error: %s\n", err.message);
    tokenizer_free(t);
    strbuf_fini(&input);
    return rc == 0 ? 0 : 1;
}

int inspect_tokenize(int argc, char **argv)
{
    struct tokenize_args a = {0};
    int rc = parse_args(argc, argv, true, tokenize_usage, &a);
    return rc != 0 ? rc - 1 : run(&a, false);
}

int inspect_detokenize(int argc, char **argv)
{
    struct tokenize_args a = {0};
    int rc = parse_args(argc, argv, false, detokenize_usage, &a);
    return rc != 0 ? rc - 1 : run(&a, true);
}
