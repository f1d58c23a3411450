// SPDX-License-Identifier: MIT
// POST /api/show: what the store and the file's card say of a model. Runs on a worker: the card may have to
// be read.
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "server/card.h"
#include "server/fields.h"
#include "server/memory.h"
#include "server/modelfile.h"
#include "server/models.h"
#include "server/ollama.h"

enum { MAX_SHOW_BYTES = 256 << 20, MAX_ARRAY = 1024 };

struct show {
    struct app *app;
    char *name;
    bool verbose;
    bool has_system;
    struct slice system;   // overlays: shown as if the Modelfile had them
    const json_t *options; // borrowed
    bool has_memory;       // how it would be loaded, with these slots and context (0: as configured)
    int64_t n_slots, num_ctx;
};

static void read_memory(struct show *s, struct fields *f, struct err *err)
{
    const json_t *wanted = fields_object(f, "memory", "MemoryRequest");
    if (wanted == NULL)
        return;
    struct fields inner = fields_open(wanted, "MemoryRequest", err);
    s->has_memory = true;
    fields_int(&inner, "slots", &s->n_slots);
    fields_int(&inner, "num_ctx", &s->num_ctx);
    if (s->n_slots < 0 || s->n_slots > UINT16_MAX || s->num_ctx < 0 || s->num_ctx > UINT32_MAX / 2)
        err_set(fields_fail(&inner), ERR_INVALID, "memory: slots or num_ctx is out of range");
    f->failed = f->failed || inner.failed;
}

static int read_body(struct show *s, const json_t *body, struct err *err)
{
    struct fields f = fields_open(body, "ShowRequest", err);
    struct slice name = slice_of(""), model = slice_of(""), ignored;
    fields_text(&f, "name", &name);
    fields_text(&f, "model", &model);
    fields_bool(&f, "verbose", &s->verbose);
    s->has_system = fields_text(&f, "system", &s->system) && s->system.n > 0;
    fields_text(&f, "template", &ignored);
    read_memory(s, &f, err);
    s->options = fields_object(&f, "options", "map[string]interface {}");
    struct slice text = model.n ? model : name;
    if (!f.failed && text.n == 0)
        err_set(fields_fail(&f), ERR_INVALID, "model is required");
    if (text.n && memchr(text.at, 0, text.n))
        err_set(fields_fail(&f), ERR_INVALID, "invalid model name");
    s->name = xstrndup(text.n ? text.at : "", text.n);
    return f.failed ? -1 : 0;
}

static void write_licenses(struct json_writer *w, const struct stored_model *m)
{
    struct strbuf text = STRBUF_INIT(16 << 20);
    for (size_t i = 0; i < m->n_licenses; i++) {
        if (i > 0)
            strbuf_push_char(&text, '\n');
        strbuf_push_text(&text, m->licenses[i]);
    }
    if (text.n > 0)
        json_member_slice(w, "license", strbuf_slice(&text));
    strbuf_fini(&text);
}

static int by_key(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool is_shown(const json_t *value, const char *key, bool verbose)
{
    if (verbose || !json_is_array(value))
        return true;
    return json_array_size(value) <= MAX_ARRAY && strncmp(key, "tokenizer.", 10) != 0;
}

// Sorted by key, as Go writes a map; arrays that are long or a vocabulary are null unless asked for.
static void write_info(struct json_writer *w, const json_t *card, bool verbose)
{
    json_t *info = json_object();
    const char *key;
    json_t *value;
    size_t n = 0;
    json_object_update(info, json_object_get(card, "model_info"));
    if (!json_object_get(info, "general.parameter_count") && json_object_get(card, "parameter_count"))
        json_object_set(info, "general.parameter_count", json_object_get(card, "parameter_count"));
    json_object_del(info, "general.name");
    json_object_del(info, "tokenizer.chat_template");
    const char **keys = xmalloc((json_object_size(info) + 1) * sizeof keys[0]);
    json_object_foreach(info, key, value) keys[n++] = key;
    qsort(keys, n, sizeof keys[0], by_key);
    json_key(w, "model_info");
    json_begin_object(w);
    for (size_t i = 0; i < n; i++) {
        value = json_object_get(info, keys[i]);
        json_key(w, keys[i]);
        if (is_shown(value, keys[i], verbose))
            json_put_value(w, value);
        else
            json_put_null(w);
    }
    json_end_object(w);
    free(keys);
    json_decref(info);
}

static void member_text_unless_empty(struct json_writer *w, const char *key, struct strbuf *text)
{
    if (text->n > 0)
        json_member_slice(w, key, strbuf_slice(text));
    strbuf_fini(text);
}

static void write_texts(struct json_writer *w, const struct modelfile *shown, const json_t *own_parameters,
                        const char *template_text)
{
    struct strbuf file = STRBUF_INIT(MAX_SHOW_BYTES), table = STRBUF_INIT(MAX_SHOW_BYTES);
    modelfile_write(&file, shown);
    modelfile_write_parameters(&table, own_parameters);
    member_text_unless_empty(w, "modelfile", &file);
    member_text_unless_empty(w, "parameters", &table);
    if (template_text && template_text[0])
        json_member_text(w, "template", template_text);
    if (shown->system_text && shown->system_text[0])
        json_member_text(w, "system", shown->system_text);
}

static void write_reply(struct strbuf *out, const struct show *s, const struct stored_model *m,
                        const json_t *card)
{
    struct err ignored = {0};
    char modified[40];
    char *system = s->has_system    ? xstrndup(s->system.at, s->system.n)
                   : m->system_text ? xstrdup(m->system_text)
                                    : NULL;
    json_t *own = m->params_json ? json_parse(slice_of(m->params_json), &ignored) : NULL;
    json_t *messages = m->messages_json ? json_parse(slice_of(m->messages_json), &ignored) : NULL;
    json_t *laid_over = own ? json_copy(own) : json_object();
    const char *jinja = json_string_value(json_object_get(card, "template"));
    const char *go = m->template_text ? m->template_text : jinja && jinja[0] ? NULL : "{{ .Prompt }}";
    bool shows_file = !go || models_prefer_file_template(m, card);
    struct json_writer w = json_writer_make(out);
    if (s->options)
        json_object_update(laid_over, (json_t *)s->options);
    struct modelfile shown = {m, go, system, laid_over, messages};
    clock_format_rfc3339(m->modified_ns, modified);
    json_begin_object(&w);
    write_licenses(&w, m);
    write_texts(&w, &shown, own, shows_file ? jinja : go);
    json_key(&w, "details");
    models_write_details(&w, m, card, false);
    if (json_array_size(messages) > 0) {
        json_key(&w, "messages");
        json_put_value(&w, messages);
    }
    write_info(&w, card, s->verbose);
    if (json_array_size(json_object_get(card, "tensors")) > 0) {
        json_key(&w, "tensors");
        json_put_value(&w, json_object_get(card, "tensors"));
    }
    json_key(&w, "capabilities");
    models_write_capabilities(&w, m, card);
    json_member_text(&w, "modified_at", modified);
    if (s->has_memory)
        memory_write(&w, s->app, m, card, (uint32_t)s->n_slots, (uint32_t)s->num_ctx);
    json_end_object(&w);
    json_decref(own);
    json_decref(messages);
    json_decref(laid_over);
    free(system);
}

// Ollama's `show` names the model in its display form, with the tag.
static void rename_not_found(const char *name, struct err *err)
{
    struct model_name parsed;
    struct err ignored = {0};
    char display[640];
    if (err->code != ERR_NOT_FOUND || name_parse(&parsed, name, &ignored) != 0)
        return;
    name_format(&parsed, display);
    err_clear(err);
    err_set(err, ERR_NOT_FOUND, "model '%s' not found", display);
}

void ollama_show(struct app *app, struct http_request *r)
{
    struct err err = {0};
    struct show s = {.app = app};
    struct stored_model m = {0};
    struct strbuf out = STRBUF_INIT(MAX_SHOW_BYTES);
    json_t *body = fields_parse(http_request_body(r), "api.ShowRequest", "missing request body", &err);
    json_t *card = NULL;
    if (body && read_body(&s, body, &err) == 0) {
        if (models_find(app, s.name, &m, &err) != 0)
            rename_not_found(s.name, &err);
        else
            card = card_read(app->cards, &m, s.verbose, &err);
    }
    if (card)
        write_reply(&out, &s, &m, card);
    if (err.code != ERR_NONE)
        reply_error(r, ERRORS_OLLAMA, &err, NULL);
    else
        reply_json(r, &out);
    strbuf_fini(&out);
    stored_model_fini(&m);
    json_decref(card);
    json_decref(body);
    free(s.name);
}
