// SPDX-License-Identifier: MIT
// GGUF files: the directory, the model card, the plan, the vocabulary.
#include "fuzz.h"

#include "engine/engine.h"
#include "gguf/gguf.h"
#include "json/json.h"
#include "model/vocab.h"
#include "model/weights.h"

static unsigned touched;

static void touch(const void *data, uint64_t n)
{
    const volatile unsigned char *at = data;
    if (n > 0)
        touched += at[0] + at[n - 1];
}

static void walk(const struct gguf *g)
{
    for (size_t i = 0; i < gguf_n_values(g); i++) {
        const struct gguf_value *v = gguf_value_at(g, i);
        const void *at = NULL;
        struct slice text;
        touch(v->data, v->size_bytes);
        while (v->elem_type == GGUF_STRING && gguf_next_string(v, &at, &text))
            touch(text.at, text.n);
    }
    for (size_t i = 0; i < gguf_n_tensors(g); i++)
        touch(gguf_tensor_at(g, i)->data, gguf_tensor_at(g, i)->size_bytes);
}

static void write_card(const struct gguf *g)
{
    struct err err = {0};
    struct strbuf json = STRBUF_INIT(64 << 20);
    if (engine_write_card(g, true, &json, &err) == 0 && !json.overflow) {
        json_t *card = json_parse(strbuf_slice(&json), &err);
        FUZZ_CHECK(card != NULL);
        json_decref(card);
    }
    strbuf_fini(&json);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    char path[64];
    struct err err = {0}, ignored = {0};
    struct gguf *g = NULL;
    struct tokenizer *t = NULL;
    struct hparams h;
    size_t memory_bytes = 0;
    int fd = fuzz_open_file(slice_make(bytes, n), path);
    fuzz_check_result(gguf_open(&g, fd, &err), &err);
    close(fd);
    if (g == NULL)
        return 0;
    walk(g);
    write_card(g);
    fuzz_check_result(weights_plan(g, true, &h, &memory_bytes, &err), &err);
    fuzz_check_result(vocab_load(&t, g, &ignored), &ignored);
    tokenizer_free(t);
    gguf_close(g);
    return 0;
}
