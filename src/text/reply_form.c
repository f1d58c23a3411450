// SPDX-License-Identifier: MIT
// One row for each way to write calls, by the family's name. A family may have two: then the model chooses.
#include "text/reply_form.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

static const struct {
    const char *family;
    struct call_form form;
} rows[] = {
    {"hermes", {"", "<tool_call>\n{\"name\": \"", "\", \"arguments\": ", "}\n</tool_call>", "\n", ""}},
    {"json", {"", "<tool_call>\n{\"name\": \"", "\", \"arguments\": ", "}\n</tool_call>", "\n", ""}},
    {"llama-3", {"", "{\"name\": \"", "\", \"parameters\": ", "}", NULL, ""}},
    {"mistral", {"[TOOL_CALLS][", "{\"name\": \"", "\", \"arguments\": ", "}", ", ", "]"}},
    {"mistral", {"", "[TOOL_CALLS]", "[ARGS]", "", "", ""}},
    {"deepseek",
     {"<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>", "",
      "<｜tool▁calls▁end｜>"}},
    {"deepseek",
     {"<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>function<｜tool▁sep｜>", "\n```json\n",
      "\n```<｜tool▁call▁end｜>", "\n", "<｜tool▁calls▁end｜>"}},
    {"kimi-k2",
     {"<|tool_calls_section_begin|>", "<|tool_call_begin|>functions.", ":0<|tool_call_argument_begin|>",
      "<|tool_call_end|>", NULL, "<|tool_calls_section_end|>"}},
    {"functionary-3.1", {"", "<function=", ">", "</function>", "", ""}},
    {"functionary-3.2", {"", "", "\n", "", NULL, ""}},
    {"gigachat", {"", "function call<|role_sep|>\n{\"name\": \"", "\", \"arguments\": ", "}", NULL, ""}},
    {"cohere",
     {"<|START_ACTION|>[\n    ", "{\"tool_call_id\": \"0\", \"tool_name\": \"", "\", \"parameters\": ", "}",
      NULL, "\n]<|END_ACTION|>"}},
    {"command-r",
     {"Action: ```json\n[\n", "    {\n        \"tool_name\": \"", "\",\n        \"parameters\": ", "\n    }",
      ",\n", "\n]```"}},
    {"apertus", {"<|tools_prefix|>[", "{\"", "\": ", "}", ", ", "]<|tools_suffix|>"}},
    {"nemotron-nano-2", {"<TOOLCALL>[", "{\"name\": \"", "\", \"arguments\": ", "}", ", ", "]</TOOLCALL>"}},
    {"tool-calls", {"<tool_calls>\n", "{\"name\": \"", "\", \"arguments\": ", "}", "\n", "\n</tool_calls>"}},
    {"functools", {"functools[", "{\"name\": \"", "\", \"arguments\": ", "}", ", ", "]"}},
    {"phi-4-mini", {"<|tool_call|>[", "{\"name\": \"", "\", \"arguments\": ", "}", ", ", "]<|/tool_call|>"}},
    {"granite-3", {"<|tool_call|>[", "{\"name\": \"", "\", \"arguments\": ", "}", ", ", "]"}},
    {"qwen3-coder",
     {"", "<tool_call>\n<function=", ">\n", "</function>\n</tool_call>", "\n", "", "<parameter=", ">\n",
      "\n</parameter>\n"}},
    {"seed-oss",
     {"", "<seed:tool_call>\n<function=", ">\n", "</function>\n</seed:tool_call>", "\n", "",
      "<parameter=", ">", "</parameter>\n"}},
    {"minimax-m2",
     {"<minimax:tool_call>\n", "<invoke name=\"", "\">\n", "</invoke>\n", "", "</minimax:tool_call>",
      "<parameter name=\"", "\">", "</parameter>\n"}},
    {"glm",
     {"", "<tool_call>", "\n", "</tool_call>", "\n", "", "<arg_key>", "</arg_key>\n<arg_value>",
      "</arg_value>\n"}},
    {"minicpm-5",
     {"", "<function name=\"", "\">", "</function>", "\n", "", "<param name=\"", "\">", "</param>"}},
    {"harmony",
     {"<|channel|>commentary to=functions.", "", " <|constrain|>json<|message|>", "", NULL, "<|call|>"}},
};

// The tag of a Go template, then an object; after a line end or not. A bracket is the object's own, or begins
// a list.
static void add_tagged(struct reply_forms *out, const struct reply_spec *s)
{
    static const char *const between[] = {"", "\n"};
    bool is_brace = strcmp(s->tag, "{") == 0, is_list = strcmp(s->tag, "[") == 0;
    for (size_t i = 0; i < COUNT_OF(between) && !(i > 0 && (is_brace || is_list)); i++) {
        char *text = out->texts[out->n_forms];
        snprintf(text, REPLY_FORM_BYTES, "%s%s{\"name\": \"", is_brace || is_list ? "" : s->tag, between[i]);
        out->forms[out->n_forms++] = (struct call_form){.before_calls = is_list ? "[" : "",
                                                        .before_name = text,
                                                        .before_arguments = "\", \"arguments\": ",
                                                        .after_arguments = "}",
                                                        .between_calls = is_list    ? ", "
                                                                         : is_brace ? NULL
                                                                                    : "\n",
                                                        .after_calls = is_list ? "]" : ""};
    }
}

void reply_forms_of(struct reply_forms *out, const struct reply_spec *s)
{
    const char *family = reply_family_name(s->family);
    bool is_harmony = strcmp(family, "harmony") == 0, is_functionary = strcmp(family, "functionary-3.2") == 0;
    out->n_forms = 0;
    out->after_thinking = slice_of(is_harmony ? "<|start|>assistant" : "");
    out->before_content = slice_of(is_harmony       ? "<|channel|>final<|message|>"
                                   : is_functionary ? "all\n"
                                                    : "");
    if (s->tag[0] != 0)
        add_tagged(out, s);
    for (size_t i = 0; i < COUNT_OF(rows) && s->tag[0] == 0 && out->n_forms < REPLY_MAX_FORMS; i++)
        if (strcmp(rows[i].family, family) == 0)
            out->forms[out->n_forms++] = rows[i].form;
}
