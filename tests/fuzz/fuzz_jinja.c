// SPDX-License-Identifier: MIT
// Jinja templates of model files: the template, 0xff, a JSON object with messages, tools and other variables.
#include "fuzz.h"

#include "text/template.h"
#include "text/traits.h"

static const json_t *find(const json_t *data, const char *name)
{
    const json_t *value = json_object_get(data, name);
    return json_is_array(value) ? value : NULL;
}

static void render(const struct template *t, const json_t *data)
{
    struct err err = {0};
    struct strbuf out = STRBUF_INIT(4 << 20);
    json_t *none = json_array();
    const json_t *messages = find(data, "messages");
    struct template_input in = {.messages = messages != NULL ? messages : none,
                                .tools = find(data, "tools"),
                                .extra = data,
                                .add_generation_prompt = true,
                                .bos_token = slice_of("<s>"),
                                .eos_token = slice_of("</s>"),
                                .now_s = 1767323045};
    fuzz_check_result(template_render(t, &in, &out, &err), &err);
    json_decref(none);
    strbuf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct err err = {0}, ignored = {0};
    struct slice rest = slice_make(bytes, n), source = fuzz_take_part(&rest);
    struct template *t = NULL;
    traits_text_is_go(source);
    traits_of_jinja(source);
    fuzz_check_result(template_new(&t, source, &err), &err);
    if (t != NULL) {
        json_t *data = json_parse(rest, &ignored);
        if (!json_is_object(data)) {
            json_decref(data);
            data = json_object();
        }
        render(t, data);
        json_decref(data);
    }
    template_free(t);
    return 0;
}
