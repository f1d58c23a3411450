// SPDX-License-Identifier: MIT
// Templates of Ollama's TEMPLATE layers: the template, 0xff, JSON. Run once on that JSON as it is, once as
// Ollama does with its messages and tools.
#include "fuzz.h"

#include "text/gotmpl.h"
#include "text/traits.h"

enum { MAX_OUT_BYTES = 4 << 20 };

static void run_plain(struct slice source, const json_t *data)
{
    struct err err = {0};
    struct strbuf out = STRBUF_INIT(MAX_OUT_BYTES);
    fuzz_check_result(gotmpl_run_plain(source, data, &out, &err), &err);
    strbuf_fini(&out);
}

static void render(const struct gotmpl *t, const json_t *data)
{
    struct err err = {0};
    struct strbuf out = STRBUF_INIT(MAX_OUT_BYTES);
    const json_t *messages = json_object_get(data, "messages"), *tools = json_object_get(data, "tools");
    struct gotmpl_input in = {.messages = json_is_array(messages) ? messages : NULL,
                              .tools = json_is_array(tools) ? tools : NULL,
                              .prompt = json_slice(json_object_get(data, "prompt")),
                              .suffix = json_slice(json_object_get(data, "suffix")),
                              .is_think_set = json_object_get(data, "think") != NULL,
                              .think = json_is_true(json_object_get(data, "think")),
                              .think_level = json_slice(json_object_get(data, "think")),
                              .now_s = 1767323045};
    fuzz_check_result(gotmpl_render(t, &in, &out, &err), &err);
    strbuf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct err err = {0}, ignored = {0};
    struct slice rest = slice_make(bytes, n), source = fuzz_take_part(&rest);
    struct gotmpl *t = NULL;
    fuzz_check_result(gotmpl_new(&t, source, &err), &err);
    if (t != NULL) {
        json_t *data = json_parse(rest, &ignored);
        traits_of_go(t);
        gotmpl_traits(t);
        if (data == NULL)
            data = json_object();
        run_plain(source, data);
        render(t, data);
        json_decref(data);
    }
    gotmpl_free(t);
    return 0;
}
