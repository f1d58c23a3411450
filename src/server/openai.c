// SPDX-License-Identifier: MIT
// The parameters that both of OpenAI's routes take, and the members that both write. Every parameter of
// OpenAI's reference is in one of three groups: honoured, known to be only a hint or a label, or refused by
// name unless it asks for what happens anyway. What no reference knows is told in a header (ask_note_unread).
#include "server/openai.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

// ---- Refusals ----
enum idle { IDLE_EMPTY, IDLE_WORDS, IDLE_FALSE };

struct refused {
    const char *name;
    enum idle idle;       // which value asks for nothing
    const char *words[3]; // IDLE_WORDS
};

static const struct refused refused[] = {
    {"functions", IDLE_EMPTY, {0}},
    {"function_call", IDLE_WORDS, {"none", "auto"}},
    {"audio", IDLE_EMPTY, {0}},
    {"prediction", IDLE_EMPTY, {0}},
    {"web_search_options", IDLE_EMPTY, {0}},
    {"verbosity", IDLE_WORDS, {"medium"}},
    {"store", IDLE_FALSE, {0}},
    {"echo", IDLE_FALSE, {0}},
    {"service_tier", IDLE_WORDS, {"auto", "default"}},
};

// Labels, and hints for a cache that is always there.
static const char *const labels[] = {
    "user", "metadata", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", NULL};

static bool is_idle(const struct refused *r, const json_t *v)
{
    if (r->idle == IDLE_EMPTY)
        return fields_is_empty(v) && !json_is_false(v);
    if (r->idle == IDLE_FALSE)
        return json_is_false(v);
    for (size_t i = 0; i < COUNT_OF(r->words) && r->words[i]; i++)
        if (json_is_string(v) && strcmp(json_string_value(v), r->words[i]) == 0)
            return true;
    return false;
}

static void refuse_unhonoured(struct fields *f)
{
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        const json_t *v = fields_find(f, refused[i].name);
        if (v && !is_idle(&refused[i], v))
            err_set(fields_fail(f), ERR_INVALID, "drover does not support \"%s\" yet", refused[i].name);
    }
    const json_t *modalities = fields_find(f, "modalities");
    bool is_text =
        json_array_size(modalities) == 1 && slice_is(json_slice(json_array_get(modalities, 0)), "text");
    if (modalities && !is_text)
        err_set(fields_fail(f), ERR_INVALID,
                "drover does not support \"modalities\" other than [\"text\"] yet");
}

// ---- Parameters ----
static void read_number(struct ask *a, struct fields *f, const char *name, bool is_one_by_default)
{
    double value = 0;
    if (fields_double(f, name, &value))
        json_object_set_new(a->options, name, json_real(value));
    else if (is_one_by_default)
        json_object_set_new(a->options, name, json_real(1.0));
}

static void read_max_tokens(struct ask *a, struct fields *f)
{
    int64_t n = 0;
    const char *name = fields_find(f, "max_completion_tokens") ? "max_completion_tokens" : "max_tokens";
    int64_t other = 0;
    fields_int(f, "max_tokens", &other); // its type is checked in any case
    if (!fields_int(f, name, &n))
        return;
    if (n == 0)
        err_set(fields_fail(f), ERR_INVALID, "%s must be at least 1", name);
    json_object_set_new(a->options, "num_predict", json_integer(n));
}

static void read_stop(struct ask *a, struct fields *f)
{
    const json_t *v = fields_find(f, "stop");
    if (!v)
        return;
    bool is_list = json_is_array(v);
    for (size_t i = 0; i < json_array_size(v); i++)
        is_list &= json_is_string(json_array_get(v, i)) && json_string_length(json_array_get(v, i)) > 0;
    if (json_is_string(v)) {
        json_t *list = json_array();
        json_array_append(list, (json_t *)v);
        json_object_set_new(a->options, "stop", list);
    } else if (is_list) {
        json_object_set(a->options, "stop", (json_t *)v);
    } else {
        err_set(fields_fail(f), ERR_INVALID,
                "stop must be a string or an array of strings that are not empty");
    }
}

static void read_choices(struct ask *a, struct fields *f)
{
    int64_t n = 1, best_of = 0;
    fields_int(f, "n", &n);
    if (n < 1 || n > ASK_MAX_CHOICES)
        err_set(fields_fail(f), ERR_INVALID, "n must be between 1 and %d", ASK_MAX_CHOICES);
    if (fields_int(f, "best_of", &best_of) && best_of != n)
        err_set(fields_fail(f), ERR_INVALID, "drover does not support \"best_of\" other than \"n\" yet");
    a->n_choices = (uint32_t)n;
}

static bool is_token_id(const char *text)
{
    return text[0] && strlen(text) <= 9 && strspn(text, "0123456789") == strlen(text);
}

static void read_biases(struct ask *a, struct fields *f)
{
    const char *id;
    json_t *bias;
    json_t *all = (json_t *)fields_object(f, "logit_bias", "map[string]float64");
    if (!all || json_object_size(all) == 0)
        return;
    if (json_object_size(all) > REQUEST_MAX_BIASES)
        err_set(fields_fail(f), ERR_INVALID, "logit_bias has more than %d members", REQUEST_MAX_BIASES);
    json_object_foreach(all, id, bias)
    {
        double value = json_is_number(bias) ? json_number_value(bias) : 1000;
        if (!is_token_id(id))
            err_set(fields_fail(f), ERR_INVALID, "logit_bias: \"%.40s\" is no token id", id);
        if (!(value >= -100 && value <= 100))
            err_set(fields_fail(f), ERR_INVALID,
                    "logit_bias: the bias of \"%.40s\" must be between -100 and 100", id);
    }
    a->biases = json_incref(all);
}

void openai_read_stream_options(struct ask *a, struct fields *f)
{
    const json_t *options = fields_object(f, "stream_options", "openai.StreamOptions");
    bool obfuscates = false;
    if (!options)
        return;
    struct fields s = fields_open(options, "StreamOptions", f->err);
    fields_bool(&s, "include_usage", &a->include_usage);
    if (fields_bool(&s, "include_obfuscation", &obfuscates) && obfuscates)
        err_set(fields_fail(&s), ERR_INVALID, "drover does not support \"include_obfuscation\" yet");
    ask_note_unread(a, &s, "stream_options.");
    f->failed |= s.failed;
}

void openai_read_format(struct ask *a, struct fields *f, const char *name, const json_t *format, bool inner)
{
    struct slice type = json_slice(json_object_get(format, "type"));
    const json_t *holder = inner ? json_object_get(format, "json_schema") : format;
    const json_t *schema = json_object_get(holder, "schema");
    if (!format || slice_is(type, "text"))
        return;
    if (slice_is(type, "json_object")) {
        json_t *any = json_string("json");
        ask_set_format(a, f, name, any);
        json_decref(any);
    } else if (slice_is(type, "json_schema") && schema && !json_is_null(schema)) {
        ask_set_format(a, f, name, schema);
    } else if (slice_is(type, "json_schema")) {
        err_set(fields_fail(f), ERR_INVALID, "%s needs a schema: %s", name,
                inner ? "\"json_schema\": {\"schema\": {...}}" : "\"schema\": {...}");
    } else {
        err_set(fields_fail(f), ERR_INVALID, "%s.type must be \"text\", \"json_object\" or \"json_schema\"",
                name);
    }
}

void openai_read_effort(struct ask *a, struct fields *f, struct slice effort)
{
    static const struct {
        const char *effort, *level;
    } all[] = {{"minimal", "low"}, {"low", "low"},   {"medium", "medium"}, {"high", "high"},
               {"xhigh", "max"},   {"ultra", "max"}, {"max", "max"}};
    if (effort.n == 0)
        return;
    a->think = slice_is(effort, "none") ? THINK_OFF : THINK_UNSET;
    for (size_t i = 0; i < COUNT_OF(all) && a->think == THINK_UNSET; i++) {
        if (!slice_is(effort, all[i].effort))
            continue;
        a->think = THINK_ON;
        a->needs |= NEED_THINKING;
        snprintf(a->think_level, sizeof a->think_level, "%s", all[i].level);
    }
    if (a->think == THINK_UNSET)
        err_set(fields_fail(f), ERR_INVALID,
                "invalid reasoning value: \"%.*s\" (must be \"minimal\", \"low\", \"medium\", "
                "\"high\", \"xhigh\", \"ultra\", "
                "\"max\", or \"none\")",
                (int)MIN(effort.n, 64), effort.at);
}

void openai_read_common(struct ask *a, struct fields *f)
{
    int64_t seed = 0;
    a->options = json_object();
    a->truncate = TRUNCATE_REFUSE;
    ask_read_stream(a, f, false);
    openai_read_stream_options(a, f);
    read_choices(a, f);
    read_biases(a, f);
    read_max_tokens(a, f);
    if (fields_int(f, "seed", &seed))
        json_object_set_new(a->options, "seed", json_integer(seed));
    read_stop(a, f);
    read_number(a, f, "temperature", true); // a Modelfile's value never counts on these routes
    read_number(a, f, "top_p", true);
    read_number(a, f, "frequency_penalty", false);
    read_number(a, f, "presence_penalty", false);
    openai_read_format(a, f, "response_format", fields_object(f, "response_format", "openai.ResponseFormat"),
                       true);
    refuse_unhonoured(f);
    fields_accept(f, labels);
}

// ---- Replies ----
void openai_write_head(struct json_writer *w, const struct generation *g, const char *id_prefix,
                       const char *object)
{
    char id[64];
    snprintf(id, sizeof id, "%s-%" PRIu64, id_prefix, g->id);
    json_member_text(w, "id", id);
    json_member_text(w, "object", object);
    json_member_int(w, "created", g->created_s);
    json_member_text(w, "model", g->ask.model);
    json_member_text(w, "system_fingerprint", "fp_ollama"); // as clients of Ollama know it
}

void openai_write_reason(struct json_writer *w, const struct choice *c)
{
    json_member_text(w, "finish_reason",
                     !c                         ? NULL
                     : c->reason == DONE_LENGTH ? "length"
                     : c->n_calls > 0           ? "tool_calls"
                                                : "stop");
}

void openai_write_usage(struct json_writer *w, const struct generation *g)
{
    json_key(w, "usage");
    json_begin_object(w);
    json_member_int(w, "prompt_tokens", g->n_prompt);
    json_member_int(w, "completion_tokens", g->n_generated);
    json_member_int(w, "total_tokens", (int64_t)g->n_prompt + g->n_generated);
    json_key(w, "prompt_tokens_details");
    json_begin_object(w);
    json_member_int(w, "cached_tokens", g->n_cached);
    json_end_object(w);
    if (generate_count_thought(g) > 0) {
        json_key(w, "completion_tokens_details");
        json_begin_object(w);
        json_member_int(w, "reasoning_tokens", generate_count_thought(g));
        json_end_object(w);
    }
    json_end_object(w);
}

void openai_write_own(struct json_writer *w, const struct generation *g)
{
    if (g->has_drawn_seed)
        json_member_int(w, "seed", (int64_t)g->seed);
}

void openai_write_whole(struct strbuf *out, const struct generation *g, const char *id_prefix,
                        const char *object,
                        void (*write_choice)(struct json_writer *w, const struct choice *c))
{
    struct json_writer w = json_writer_make(out);
    json_begin_object(&w);
    openai_write_head(&w, g, id_prefix, object);
    json_key(&w, "choices");
    json_begin_array(&w);
    for (uint32_t i = 0; i < g->n_choices; i++)
        write_choice(&w, &g->choices[i]);
    json_end_array(&w);
    openai_write_usage(&w, g);
    openai_write_own(&w, g);
    json_end_object(&w);
    strbuf_push_char(out, '\n');
}

void openai_begin_event(struct strbuf *out)
{
    strbuf_push_text(out, "data: ");
}

void openai_end_event(struct strbuf *out)
{
    strbuf_push_text(out, "\n\n");
}

static void push_done(struct strbuf *out)
{
    strbuf_push_text(out, "data: [DONE]\n\n");
}

void openai_end_stream(struct strbuf *out, struct generation *g, const char *id_prefix, const char *object)
{
    if (g->ask.include_usage) {
        openai_begin_event(out);
        struct json_writer w = json_writer_make(out);
        json_begin_object(&w);
        openai_write_head(&w, g, id_prefix, object);
        json_key(&w, "choices");
        json_begin_array(&w);
        json_end_array(&w);
        openai_write_usage(&w, g);
        json_end_object(&w);
        openai_end_event(out);
    }
    push_done(out);
}

void openai_write_comment(struct slice text, struct strbuf *out)
{
    strbuf_printf(out, ": %.*s\n\n", (int)text.n, text.at);
}

void openai_write_error(struct generation *g, const struct err *err, struct strbuf *out)
{
    openai_begin_event(out);
    reply_write_error(out, ERRORS_OPENAI, err, reply_error_code(err));
    openai_end_event(out);
    push_done(out);
}
