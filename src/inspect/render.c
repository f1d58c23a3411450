// SPDX-License-Identifier: MIT
// `drover render`: a conversation as the prompt that a model's chat template makes of it, without weights and
// without a server. The template is the one that the server would use: the stored one, or that of the model's
// file. Or it comes from a file of its own (`.jinja`, `.gotmpl`), which has no tokens: `bos_token` and
// `eos_token` may be members of the input then.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/options.h"
#include "base/strbuf.h"
#include "gguf/gguf.h"
#include "inspect/inspect.h"
#include "json/json.h"
#include "model/vocab.h"
#include "text/template.h"
#include "text/traits.h"

enum { MAX_CONVERSATION_BYTES = 32 << 20, MAX_SHOWN_BYTES = 64 << 20, MAX_SOURCE_BYTES = 4 << 20 };

static const char usage[] =
    "Usage: drover render MODEL|FILE < conversation\n\n"
    "Prints the prompt that the chat template makes of a conversation, a JSON object on standard input:\n"
    "{\"messages\": [...], \"tools\": [...], \"add_generation_prompt\": true}. Other members become "
    "variables;\n"
    "a Go template takes \"think\", and \"prompt\" with \"suffix\".\n"
    "MODEL's template is the stored one or that of its file, as the server would choose. FILE is a GGUF "
    "file\n"
    "or a template: Jinja (.jinja) or Go (.gotmpl).\n";

// A template and the tokens it may name.
struct source {
    struct gotmpl *go; // NULL: `template` is used
    struct template *template;
    struct tokenizer *tokenizer; // NULL: a template alone
};

static void source_fini(struct source *s)
{
    gotmpl_free(s->go);
    template_free(s->template);
    tokenizer_free(s->tokenizer);
}

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n > m && strcmp(name + n - m, end) == 0;
}

static int parse(struct source *s, struct slice text, bool is_go, struct err *err)
{
    return is_go ? gotmpl_new(&s->go, text, err) : template_new(&s->template, text, err);
}

static int read_template(const char *path, struct source *s, struct err *err)
{
    int rc = -1;
    FILE *f = fopen(path, "rbe");
    char *text = malloc(MAX_SOURCE_BYTES);
    if (f == NULL || text == NULL) {
        err_set(err, ERR_NOT_FOUND, "%s: %s", path, strerror(errno));
        goto out;
    }
    size_t n = fread(text, 1, MAX_SOURCE_BYTES, f);
    rc = ferror(f) ? err_set(err, ERR_INVALID, "%s: %s", path, strerror(errno))
                   : parse(s, slice_make(text, n), ends_with(path, ".gotmpl"), err);
out:
    if (f != NULL)
        fclose(f);
    free(text);
    return rc;
}

// The file's template for conversations with tools if it has one and there are tools, else the ordinary one,
// else ChatML.
static int choose_template(const struct gguf *g, bool has_tools, struct slice *out, struct err *err)
{
    *out = slice_make("", 0);
    if (has_tools && vocab_chat_template(g, "tool_use", out, err) != 0)
        return -1;
    if (out->n == 0 && vocab_chat_template(g, NULL, out, err) != 0)
        return -1;
    if (out->n == 0 || slice_is(*out, "chatml"))
        *out = slice_of(template_default());
    return 0;
}

// As the server does: a stored template goes before the file's, unless it is a Go template and that does
// more.
static int choose_stored(const struct gguf *g, struct slice stored, struct source *s, struct err *err)
{
    bool is_go = traits_text_is_go(stored);
    struct slice own;
    if (vocab_chat_template(g, NULL, &own, err) != 0 || parse(s, stored, is_go, err) != 0)
        return -1;
    if (!is_go || own.n == 0 ||
        !traits_choose_jinja(traits_read_option(options_text(OPT_GO_TEMPLATE)), traits_of_go(s->go),
                             traits_of_jinja(own)))
        return 0;
    gotmpl_free(s->go);
    s->go = NULL;
    return template_new(&s->template, own, err);
}

static int read_model(const char *model, bool has_tools, struct source *s, struct err *err)
{
    struct gguf *g = NULL;
    struct slice text;
    char *stored = NULL;
    int fd = -1, rc = -1;
    if (inspect_open_template(model, &fd, &stored, err) != 0)
        return -1;
    if (gguf_open(&g, fd, err) == 0 && vocab_load(&s->tokenizer, g, err) == 0) {
        if (stored != NULL)
            rc = choose_stored(g, slice_of(stored), s, err);
        else if (choose_template(g, has_tools, &text, err) == 0)
            rc = template_new(&s->template, text, err);
    }
    gguf_close(g);
    close(fd);
    free(stored);
    return rc;
}

static int check_input(const json_t *input, struct err *err)
{
    const json_t *tools = json_object_get(input, "tools"),
                 *add = json_object_get(input, "add_generation_prompt");
    size_t i;
    json_t *message;
    if (!json_is_array(json_object_get(input, "messages")))
        return err_set(err, ERR_INVALID, "standard input is not a JSON object with an array \"messages\"");
    json_array_foreach(json_object_get(input, "messages"), i, message)
    {
        if (!json_is_object(message))
            return err_set(err, ERR_INVALID, "message %zu is not an object", i);
    }
    if (tools != NULL && !json_is_array(tools) && !json_is_null(tools))
        return err_set(err, ERR_INVALID, "\"tools\" is not an array");
    if (add != NULL && !json_is_boolean(add))
        return err_set(err, ERR_INVALID, "\"add_generation_prompt\" is not true or false");
    return 0;
}

static struct slice token_text(const struct tokenizer *t, uint32_t id)
{
    return t == NULL || id == TOKEN_NONE ? slice_make("", 0) : tokenizer_text(t, id);
}

static int render_go(const struct source *s, const json_t *input, struct strbuf *out, struct err *err)
{
    const json_t *think = json_object_get(input, "think");
    struct gotmpl_input in = {
        .messages = json_object_get(input, "messages"),
        .tools = json_object_get(input, "tools"),
        .prompt = json_slice(json_object_get(input, "prompt")),
        .suffix = json_slice(json_object_get(input, "suffix")),
        .is_think_set = json_is_boolean(think) || json_is_string(think),
        .think = json_is_true(think) || json_is_string(think),
        .now_s = clock_wall_ns() / NS_PER_S,
    };
    in.think_level = json_is_string(think) ? json_slice(think) : slice_of(in.think ? "medium" : "");
    return gotmpl_render(s->go, &in, out, err);
}

static int render(const struct source *s, json_t *input, struct strbuf *out, struct err *err)
{
    if (s->go != NULL)
        return render_go(s, input, out, err);
    json_t *messages = json_incref(json_object_get(input, "messages"));
    json_t *tools = json_incref(json_object_get(input, "tools"));
    struct template_input in = {
        .messages = messages,
        .tools = json_is_array(tools) ? tools : NULL,
        .extra = input,
        .add_generation_prompt = json_is_true(json_object_get(input, "add_generation_prompt")),
        .bos_token = token_text(s->tokenizer, s->tokenizer ? tokenizer_bos(s->tokenizer) : TOKEN_NONE),
        .eos_token = token_text(s->tokenizer, s->tokenizer ? tokenizer_eos(s->tokenizer) : TOKEN_NONE),
        .now_s = clock_wall_ns() / NS_PER_S,
    };
    json_object_del(input, "messages");
    json_object_del(input, "tools");
    json_object_del(input, "add_generation_prompt");
    int rc = template_render(s->template, &in, out, err);
    json_decref(messages);
    json_decref(tools);
    return rc;
}

static int run(const char *model, struct strbuf *input_text, struct strbuf *out, struct err *err)
{
    struct source s = {0};
    json_t *input = NULL;
    int rc = inspect_read_input(input_text, err);
    if (rc == 0) {
        input = json_parse(strbuf_slice(input_text), err);
        rc = input != NULL ? check_input(input, err) : -1;
    }
    if (rc == 0) {
        bool has_tools = json_array_size(json_object_get(input, "tools")) > 0;
        rc = ends_with(model, ".jinja") || ends_with(model, ".gotmpl")
                 ? read_template(model, &s, err)
                 : read_model(model, has_tools, &s, err);
        if (rc != 0)
            err_prefix(err, "%s", model);
    }
    if (rc == 0)
        rc = render(&s, input, out, err);
    if (rc == 0 && (fwrite(strbuf_text(out), 1, out->n, stdout) != out->n || fflush(stdout) != 0))
        rc = err_set(err, ERR_INTERNAL, "cannot write: %s", strerror(errno));
    json_decref(input);
    source_fini(&s);
    return rc;
}

int inspect_render(int argc, char **argv)
{
    struct args a = {0};
    struct err err = {0};
    struct strbuf input = STRBUF_INIT(MAX_CONVERSATION_BYTES), out = STRBUF_INIT(MAX_SHOWN_BYTES);
    static const struct args_flag no_flags[] = {{NULL}};
    int code = 0;
    if (args_parse(&a, no_flags, false, argc, argv, &err) != 0 || (!a.wants_help && a.n_operands != 1)) {
        err_set(&err, ERR_INVALID, "render needs one model or template");
        fprintf(stderr, "Error: %s\n%s", err.message, usage);
        code = 2;
    } else if (a.wants_help) {
        fputs(usage, stdout);
    } else if (run(a.operands[0], &input, &out, &err) != 0) {
        fprintf(stderr, "Error: %s\n", err.message);
        code = 1;
    }
    args_fini(&a);
    strbuf_fini(&input);
    strbuf_fini(&out);
    return code;
}
