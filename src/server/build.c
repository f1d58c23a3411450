// SPDX-License-Identifier: MIT
// Builds the neutral request: parameters laid over each other, the conversation put together from Modelfile
// and request in Ollama's order.
#include "server/build.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/strbuf.h"
#include "server/knobs.h"
#include "server/models.h"

// Ollama's words for what a model must be able to do, in its order, several joined by line ends.
static int check_capabilities(const struct stored_model *m, const struct template_traits *traits,
                              unsigned needs, struct err *err)
{
    const struct {
        bool is_missing;
        const char *word;
    } all[] = {{(needs & NEED_TOOLS) && !traits->takes_tools, "tools"},
               {(needs & NEED_INSERT) && !traits->takes_suffix, "insert"},
               {needs & NEED_VISION, "vision"}};
    char full[640];
    struct strbuf text = STRBUF_INIT(2048);
    int rc = 0;
    name_format_full(&m->name, full);
    for (size_t i = 0; i < COUNT_OF(all); i++)
        if (all[i].is_missing)
            strbuf_printf(&text, "%s%s does not support %s", text.n ? "\n" : "", full, all[i].word);
    if (text.n > 0)
        rc = err_set(err, ERR_INVALID, "%s", strbuf_text(&text));
    strbuf_fini(&text);
    return rc;
}

int build_check(const struct ask *a, const struct stored_model *m, const struct template_traits *traits,
                const char *verb, struct err *err)
{
    if ((a->needs & NEED_THINKING) && !traits->takes_thinking)
        return err_set(err, ERR_INVALID, "\"%s\" does not support thinking", a->model);
    if (verb && !models_can_complete(m, NULL))
        return err_set(err, ERR_INVALID, "\"%s\" does not support %s", a->model, verb);
    return check_capabilities(m, traits, a->needs, err);
}

static json_t *parse_layer(const char *text, const char *what, const struct stored_model *m, struct err *err)
{
    json_t *value = json_parse(slice_of(text), err);
    if (!value)
        err_prefix(err, "%s of model '%s'", what, m->display_name);
    return value;
}

// What was stored by another program may be anything: what cannot be read is left out.
static void push_stored(json_t *out, const json_t *stored)
{
    struct err ignored = {0};
    bool has_images;
    json_t *messages = ask_convert_messages(stored, &has_images, &ignored);
    json_array_extend(out, messages);
    json_decref(messages);
}

static bool is_system(const json_t *message)
{
    return slice_is(json_slice(json_object_get(message, "role")), "system");
}

// Ollama's order: system text (the request's, else the model's), the model's messages, the request's.
static json_t *build_messages(const struct ask *a, const struct stored_model *m, const json_t *stored)
{
    json_t *out = json_array();
    size_t n = a->is_chat ? json_array_size(a->messages) : 0, i = 0;
    struct slice own_system = slice_of(m->system_text ? m->system_text : "");
    for (; i < n && is_system(json_array_get(a->messages, i)); i++)
        json_array_append(out, json_array_get(a->messages, i));
    if (a->has_system && a->system.n > 0)
        ask_push_message(out, slice_of("system"), a->system);
    else if (i == 0 && own_system.n > 0)
        ask_push_message(out, slice_of("system"), own_system);
    if (stored && (a->is_chat || !a->context))
        push_stored(out, stored);
    for (; i < n; i++)
        json_array_append(out, json_array_get(a->messages, i));
    if (!a->is_chat)
        ask_push_message(out, slice_of("user"), a->prompt);
    return out;
}

// Some templates take what the model thought in earlier turns from its words: these families are not told of
// it again, as Ollama has it.
static bool forgets_thoughts(const struct stored_model *m)
{
    return (m->family && strcmp(m->family, "qwen3") == 0) || strcmp(m->name.model, "deepseek-r1") == 0;
}

static void forget_thoughts(json_t *messages)
{
    static const char opening[] = "<think>", closing[] = "</think>";
    size_t i, last = json_array_size(messages);
    json_t *message;
    while (last > 0 &&
           !slice_is(json_slice(json_object_get(json_array_get(messages, last - 1), "role")), "user"))
        last--;
    json_array_foreach(messages, i, message)
    {
        struct slice text = json_slice(json_object_get(message, "content"));
        const char *from = text.n ? memmem(text.at, text.n, opening, sizeof opening - 1) : NULL;
        const char *to =
            from ? memmem(from, text.n - (size_t)(from - text.at), closing, sizeof closing - 1) : NULL;
        bool is_earlier = i < last && slice_is(json_slice(json_object_get(message, "role")), "assistant");
        if (!to || !is_earlier)
            continue;
        to += sizeof closing - 1;
        size_t n_head = (size_t)(from - text.at), n_tail = text.n - (size_t)(to - text.at);
        while (n_tail > 0 && (*to == '\n' || *to == ' ')) {
            to++;
            n_tail--;
        }
        json_t *kept = json_copy(message);
        char *rest = xmalloc(n_head + n_tail + 1);
        memcpy(rest, text.at, n_head);
        memcpy(rest + n_head, to, n_tail);
        json_object_set_new(kept, "content", json_stringn_nocheck(rest, n_head + n_tail));
        json_array_set_new(messages, i, kept);
        free(rest);
    }
}

static void set_context(struct request *r, const json_t *context)
{
    size_t n = context ? json_array_size(context) : 0;
    if (n == 0)
        return;
    r->context_ids = xmalloc(n * sizeof r->context_ids[0]);
    r->n_context_ids = n;
    for (size_t i = 0; i < n; i++)
        r->context_ids[i] = (uint32_t)json_integer_value(json_array_get(context, i));
}

static void set_inputs(struct request *r, const struct ask *a)
{
    for (size_t i = 0; i < json_array_size(a->inputs); i++) {
        struct slice text = json_slice(json_array_get(a->inputs, i));
        request_add_input(r, text.n ? text.at : "", text.n);
    }
}

static void set_biases(struct request *r, const struct ask *a)
{
    const char *id;
    json_t *bias;
    json_object_foreach(a->biases, id, bias)
        request_add_bias(r, (uint32_t)strtoul(id, NULL, 10), (float)json_number_value(bias));
}

// The request's template, else the stored one, unless the option or the model file's own stands against it.
static void set_template(struct request *r, const struct ask *a, const struct stored_model *m)
{
    struct slice stored = slice_of(m->template_text ? m->template_text : "");
    struct slice used = a->template_text.n ? a->template_text : stored;
    bool is_go = used.n > 0 && traits_text_is_go(used), is_stored = a->template_text.n == 0;
    enum go_template_use wanted = models_go_template();
    if (used.n == 0 || (is_go && is_stored && wanted == GO_TEMPLATE_NEVER && a->suffix.n == 0))
        return;
    r->template_text = xstrndup(used.at, used.n);
    r->template_kind = is_go ? TEMPLATE_GO : TEMPLATE_JINJA;
    r->template_yields = is_go && is_stored && wanted == GO_TEMPLATE_AUTOMATIC && a->suffix.n == 0;
}

// What templates get beside messages.
static void set_variables(struct request *r, const struct ask *a)
{
    json_t *variables = json_object();
    if (a->suffix.n > 0)
        json_object_set_new(variables, "suffix", json_stringn_nocheck(a->suffix.at, a->suffix.n));
    if (r->template_kind == TEMPLATE_GO && json_object_size(variables) > 0)
        r->variables_json = json_dumps(variables, JSON_COMPACT);
    if (a->tools)
        r->tools_json = json_dumps(a->tools, JSON_COMPACT);
    json_decref(variables);
}

static void set_prompt(struct request *r, const struct ask *a, const struct stored_model *m,
                       const json_t *stored)
{
    r->is_plain = a->is_plain;
    r->has_no_bos = a->has_no_bos;
    r->kind = a->is_raw ? PROMPT_RAW : PROMPT_MESSAGES;
    if (!a->is_chat) {
        r->prompt = xstrndup(a->prompt.n ? a->prompt.at : "", a->prompt.n);
        r->prompt_bytes = a->prompt.n;
        r->bare_without_template = true;
    }
    r->think = a->think;
    snprintf(r->think_level, sizeof r->think_level, "%s", a->think_level);
    set_template(r, a, m);
    if (a->is_raw) // its tags of thinking count
        return;
    json_t *messages = build_messages(a, m, stored);
    if (forgets_thoughts(m))
        forget_thoughts(messages);
    r->messages_json = json_dumps(messages, JSON_COMPACT);
    json_decref(messages);
    set_variables(r, a);
}

struct request *build_request(const struct ask *a, const struct stored_model *m, bool *seed_is_drawn,
                              struct err *err)
{
    struct request *r = xcalloc(1, sizeof *r);
    json_t *own = NULL, *stored = NULL;
    bool has_seed = false;
    int rc = -1;
    request_init(r);
    if (m->params_json && !(own = parse_layer(m->params_json, "parameters", m, err)))
        goto out;
    if (m->messages_json && !(stored = parse_layer(m->messages_json, "messages", m, err)))
        goto out;
    if (knobs_apply(r, &has_seed, own, err) != 0 || knobs_apply(r, &has_seed, a->options, err) != 0)
        goto out;
    *seed_is_drawn = !has_seed;
    if (!has_seed)
        r->params.seed = knobs_draw_seed();
    r->params.logprobs = a->logprobs;
    r->params.top_logprobs = a->logprobs ? a->top_logprobs : 0;
    r->truncate = a->truncate;
    r->now_s = clock_wall_ns() / NS_PER_S;
    r->task = a->task;
    set_context(r, a->context);
    set_inputs(r, a);
    set_biases(r, a);
    r->must_call = a->tools && a->tool_choice == TOOL_CHOICE_REQUIRED;
    r->one_call = a->one_call;
    if (r->must_call && a->tool_name.n > 0)
        r->one_tool = xstrndup(a->tool_name.at, a->tool_name.n);
    if (a->format)
        r->format_json = json_dumps(a->format, JSON_COMPACT | JSON_ENCODE_ANY);
    if (a->task != TASK_EMBED && a->task != TASK_DETOKENIZE)
        set_prompt(r, a, m, stored);
    if (r->kind == PROMPT_MESSAGES && !r->messages_json)
        err_set(err, ERR_INVALID, "the messages cannot be encoded");
    else
        rc = 0;
out:
    json_decref(own);
    json_decref(stored);
    if (rc != 0) {
        request_fini(r);
        free(r);
        r = NULL;
    }
    return r;
}
