// SPDX-License-Identifier: MIT
// Renders one line of reference data: {"messages", "tools", "add_generation_prompt", "variables"?}.
#pragma once

#include "../test.h"

#include "text/template.h"

enum { TEMPLATE_CLOCK = 1767323045 }; // 2026-01-02 03:04:05 UTC

static inline int template_check_render(const struct template *t, const json_t *conversation,
                                        const json_t *extra, const json_t *head, struct strbuf *out,
                                        struct err *err)
{
    const json_t *tools = json_object_get(conversation, "tools");
    struct template_input in = {
        .messages = json_object_get(conversation, "messages"),
        .tools = json_is_array(tools) ? tools : NULL,
        .extra = extra,
        .add_generation_prompt = json_is_true(json_object_get(conversation, "add_generation_prompt")),
        .bos_token = json_slice(json_object_get(head, "bos_token")),
        .eos_token = json_slice(json_object_get(head, "eos_token")),
        .now_s = TEMPLATE_CLOCK,
    };
    return template_render(t, &in, out, err);
}

// The whole file; the caller's to free. NULL: there is none.
static inline char *template_check_read(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        return NULL;
    char *text = malloc(1 << 20);
    *n = fread(text, 1, 1 << 20, f);
    fclose(f);
    return text;
}
