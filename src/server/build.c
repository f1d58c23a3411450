// SPDX-License-Identifier: MIT
// Builds the neutral request: parameters laid over each other, the conversation put together from Modelfile
// and request in Ollama's order.
#include "server/build.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/knobs.h"
#include "server/models.h"

struct refusal {
    enum ask_need need;
    const char *capability; // Ollama's word; NULL: none
    const char *field;
};

static const struct refusal refusals[] = {
    {NEED_TOOLS, "tools", "tools"},
    {NEED_INSERT, "insert", "suffix"},
    {NEED_VISION, "vision", "images"},
    {NEED_FORMAT, NULL, "format"},
    {NEED_RENDER, NULL, "_debug_render_only"},
    {NEED_TEMPLATE, NULL, "template (a Go template)"},
};

int build_check(const struct ask *a, const struct stored_model *m, const char *verb, struct err *err)
{
    char full[640];
    if (a->needs & NEED_THINKING)
        return err_set(err, ERR_INVALID,
                       "\"%s\" does not support thinking: drover does not support \"think\" yet", a->model);
    if (!models_can_complete(m, NULL))
        return err_set(err, ERR_INVALID, "\"%s\" does not support %s", a->model, verb);
    name_format_full(&m->name, full);
    for (size_t i = 0; i < COUNT_OF(refusals); i++) {
        const struct refusal *r = &refusals[i];
        if ((a->needs & r->need) && r->capability)
            return err_set(err, ERR_INVALID, "%s does not support %s: drover does not support \"%s\" yet",
                           full, r->capability, r->field);
        if (a->needs & r->need)
            return err_set(err, ERR_INVALID, "drover does not support \"%s\" yet", r->field);
    }
    return 0;
}

// The last of the checks, as the template is the last thing that Ollama comes to.
static int check_template(const struct ask *a, const struct stored_model *m, struct err *err)
{
    if (a->is_raw || a->template_text.n > 0 || !m->template_text ||
        !ask_template_is_go(slice_of(m->template_text)))
        return 0;
    return err_set(err, ERR_UNSUPPORTED,
                   "model '%s' has a Go template, which drover does not support yet; send a Jinja "
                   "\"template\" or \"raw\": true",
                   a->model);
}

static json_t *parse_layer(const char *text, const char *what, const struct stored_model *m, struct err *err)
{
    json_t *value = json_parse(slice_of(text), err);
    if (!value)
        err_prefix(err, "%s of model '%s'", what, m->display_name);
    return value;
}

static void push_stored(json_t *out, const json_t *stored)
{
    size_t i;
    json_t *message;
    json_array_foreach(stored, i, message) ask_push_message(out, json_slice(json_object_get(message, "role")),
                                                            json_slice(json_object_get(message, "content")));
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

static void set_prompt(struct request *r, const struct ask *a, const struct stored_model *m,
                       const json_t *stored)
{
    struct slice own = slice_of(m->template_text ? m->template_text : "");
    struct slice template_text = a->template_text.n ? a->template_text : own;
    r->kind = a->is_raw ? PROMPT_RAW : PROMPT_MESSAGES;
    if (!a->is_chat) {
        r->prompt = xstrndup(a->prompt.n ? a->prompt.at : "", a->prompt.n);
        r->prompt_bytes = a->prompt.n;
        r->bare_without_template = true;
    }
    if (a->is_raw)
        return;
    json_t *messages = build_messages(a, m, stored);
    r->messages_json = json_dumps(messages, JSON_COMPACT);
    json_decref(messages);
    if (template_text.n)
        r->template_text = xstrndup(template_text.at, template_text.n);
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
    set_context(r, a->context);
    set_prompt(r, a, m, stored);
    if (!a->is_raw && !r->messages_json)
        err_set(err, ERR_INVALID, "the messages cannot be encoded");
    else
        rc = check_template(a, m, err);
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
