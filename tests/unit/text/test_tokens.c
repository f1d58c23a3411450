// SPDX-License-Identifier: MIT
// The vocabularies of the three real models against reference data: texts to ids, ids to bytes, bytes as a
// stream of whole characters. Skipped (77), saying so, for models that are not in the cache.
#include "../jsonl.h"
#include "../models.h"

#include <unistd.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "model/vocab.h"
#include "text/detok.h"

struct check {
    const struct tokenizer *t;
    const char *model;
    int n_compared, n_informative, n_differing;
};

static bool same_ids(const struct tokens *got, const json_t *wanted)
{
    if (got->n != json_array_size(wanted))
        return false;
    for (size_t i = 0; i < got->n; i++)
        if (got->at[i] != (uint32_t)json_integer_value(json_array_get(wanted, i)))
            return false;
    return true;
}

static void compare(struct check *c, struct slice text, bool parse_special, const json_t *line,
                    const char *member)
{
    const json_t *wanted = json_object_get(line, member);
    struct tokens got = {0};
    tokenizer_encode(c->t, text, parse_special, &got);
    if (wanted != NULL && !same_ids(&got, wanted)) {
        char *ids = json_dumps(wanted, JSON_COMPACT);
        printf("%s: %.*s\nwanted %s\ngot   ", c->model, (int)MIN(text.n, (size_t)200), text.at, ids);
        for (size_t i = 0; i < got.n; i++)
            printf(" %u", got.at[i]);
        fail_msg("%s: other %s", c->model, member);
    }
    tokens_fini(&got);
}

static void check_text(void *arg, const json_t *line)
{
    struct check *c = arg;
    const json_t *text = json_object_get(line, "text");
    const char *check = json_string_value(json_object_get(line, "check"));
    if (text == NULL || (check != NULL && strcmp(check, "informative") == 0)) { // no promise, but no crash
        struct slice bytes = base64_decode(json_string_value(json_object_get(line, "bytes")));
        compare(c, bytes, true, line, "no promise");
        free((char *)bytes.at);
        c->n_informative++;
    } else if (check != NULL) {
        // `</s>`: the file calls it plain text or user-defined, and drover believes the file.
        assert_string_equal(json_string_value(text), "</s>");
        compare(c, json_slice(text), true, line, "other_ids_special");
        c->n_differing++;
    } else {
        compare(c, json_slice(text), false, line, "ids");
        compare(c, json_slice(text), true, line, "ids_special");
        c->n_compared++;
    }
}

// Feeds ids one by one. Where the whole is well-formed, what has come out is whole characters after each.
static void stream(const struct tokenizer *t, const json_t *ids, bool with_special, bool is_valid,
                   struct strbuf *out)
{
    struct detok d = {0};
    size_t i;
    json_t *id;
    json_array_foreach(ids, i, id)
    {
        detok_push(&d, tokenizer_piece(t, (uint32_t)json_integer_value(id), with_special), out);
        assert_true(!is_valid || utf8_is_valid(strbuf_slice(out)));
    }
    strbuf_push(out, d.held, d.n_held);
}

static void check_bytes(struct check *c, const json_t *line, bool with_special, const char *member)
{
    const char *base64 = json_string_value(json_object_get(line, member));
    const json_t *ids = json_object_get(line, "ids");
    struct strbuf whole = STRBUF_INIT(1 << 20), streamed = STRBUF_INIT(1 << 20);
    struct slice wanted = base64_decode(base64);
    for (size_t i = 0; i < json_array_size(ids); i++)
        strbuf_push_slice(&whole, tokenizer_piece(c->t, (uint32_t)json_integer_value(json_array_get(ids, i)),
                                                  with_special));
    stream(c->t, ids, with_special, utf8_is_valid(wanted), &streamed);
    if (!slice_equals(strbuf_slice(&whole), wanted) || !slice_equals(strbuf_slice(&streamed), wanted)) {
        char *text = json_dumps(ids, JSON_COMPACT);
        fail_msg("%s: ids %s: got \"%s\", streamed \"%s\"", c->model, text, strbuf_text(&whole),
                 strbuf_text(&streamed));
    }
    free((char *)wanted.at);
    strbuf_fini(&whole);
    strbuf_fini(&streamed);
}

static void check_ids(void *arg, const json_t *line)
{
    struct check *c = arg;
    check_bytes(c, line, true, "bytes");
    check_bytes(c, line, false, json_object_get(line, "bytes_no_special") ? "bytes_no_special" : "bytes");
    c->n_compared++;
}

static void check_model(int fd, const char *model)
{
    struct gguf *g = NULL;
    struct tokenizer *t = NULL;
    struct err err = {0};
    char path[1000];
    if (gguf_open(&g, fd, &err) != 0 || vocab_load(&t, g, &err) != 0)
        fail_msg("%s: %s", model, err.message);
    gguf_close(g); // the tokenizer keeps nothing of it
    struct check c = {.t = t, .model = model};
    snprintf(path, sizeof path, TEST_DATA "/tokens/%s.jsonl.gz", model);
    assert_int_equal(jsonl_each(path, check_text, &c), 577 + 9);
    printf("%s: %d texts, %d differing, %d informative\n", model, c.n_compared, c.n_differing,
           c.n_informative);
    c = (struct check){.t = t, .model = model};
    snprintf(path, sizeof path, TEST_DATA "/detok/%s.jsonl.gz", model);
    assert_true(jsonl_each(path, check_ids, &c) > 180);
    printf("%s: %d lists of ids\n", model, c.n_compared);
    tokenizer_free(t);
}

static int n_skipped;

static void check_file(const char *file, const char *model)
{
    int fd = model_open(file);
    n_skipped += fd < 0;
    if (fd >= 0) {
        check_model(fd, model);
        close(fd);
    }
}

static void smollm2(void **state)
{
    check_file("smollm2-135m-instruct-q4_1.gguf", "smollm2-135m");
}

static void gemma3(void **state)
{
    check_file("gemma3-270m-q4_k_m.gguf", "gemma3-270m");
}

static void qwen2(void **state)
{
    check_file("qwen2.5-coder-0.5b-instruct-q4_k_m.gguf", "qwen2.5-coder-0.5b");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(smollm2),
        cmocka_unit_test(gemma3),
        cmocka_unit_test(qwen2),
    };
    int n_failed = cmocka_run_group_tests(tests, NULL, NULL);
    return n_failed == 0 && n_skipped > 0 ? 77 : n_failed;
}
