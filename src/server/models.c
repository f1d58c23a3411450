// SPDX-License-Identifier: MIT
// Details and capabilities of a stored model. A model file's card is asked where there is one; without it the
// manifest's config decides, so that no generation waits for a card.
#include "server/models.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/options.h"
#include "server/card.h"
#include "server/config.h"

static bool ends_with(const char *text, const char *tail)
{
    size_t n = strlen(text), t = strlen(tail);
    return n >= t && strcasecmp(text + n - t, tail) == 0;
}

static bool is_cloud_name(const char *name)
{
    const char *slash = strrchr(name, '/');
    const char *colon = strrchr(name, ':');
    return colon && (!slash || colon > slash) && (ends_with(name, ":cloud") || ends_with(name, "-cloud"));
}

int models_find(struct app *app, const char *name, struct stored_model *out, struct err *err)
{
    if (name[0] == '\0')
        return err_set(err, ERR_NOT_FOUND, "model '' not found");
    if (is_cloud_name(name))
        return err_set(err, ERR_FORBIDDEN, "ollama cloud is disabled: remote model is unavailable");
    return store_find(app->store, name, out, err);
}

static const char *text_or(const char *text, const char *otherwise)
{
    return text ? text : otherwise;
}

static uint64_t card_uint(const json_t *card, const char *key)
{
    const json_t *v = card ? json_object_get(card, key) : NULL;
    return v && json_is_integer(v) && json_integer_value(v) > 0 ? (uint64_t)json_integer_value(v) : 0;
}

void models_write_details(struct json_writer *w, const struct stored_model *m, const json_t *card,
                          bool has_lengths)
{
    uint64_t context = m->context_length ? m->context_length : card_uint(card, "context_length");
    uint64_t embedding = m->embedding_length ? m->embedding_length : card_uint(card, "embedding_length");
    json_begin_object(w);
    json_member_text(w, "parent_model", text_or(m->parent_model, ""));
    json_member_text(w, "format", text_or(m->format, ""));
    json_member_text(w, "family", text_or(m->family, ""));
    json_key(w, "families");
    if (m->n_families == 0) {
        json_put_null(w);
    } else {
        json_begin_array(w);
        for (size_t i = 0; i < m->n_families; i++)
            json_put_text(w, m->families[i]);
        json_end_array(w);
    }
    json_member_text(w, "parameter_size", text_or(m->parameter_size, ""));
    json_member_text(w, "quantization_level", text_or(m->file_type, ""));
    if (has_lengths && context) {
        json_key(w, "context_length");
        json_put_uint(w, context);
    }
    if (has_lengths && embedding) {
        json_key(w, "embedding_length");
        json_put_uint(w, embedding);
    }
    json_end_object(w);
}

struct host_model models_for_host(const struct stored_model *m, struct strbuf *details)
{
    struct json_writer w = json_writer_make(details);
    models_write_details(&w, m, NULL, false);
    return (struct host_model){.blob_digest = m->model_digest,
                               .blob_path = m->model_path,
                               .name = m->display_name,
                               .manifest_digest = m->manifest_digest,
                               .details_json = strbuf_text(details),
                               .settings = config_model_settings(m->display_name)};
}

bool models_can_complete(const struct stored_model *m, const json_t *card)
{
    static const char *const encoders[] = {
        "bert",        "nomic-bert", "nomic-bert-moe", "jina-bert-v2",    "jina-bert-v3",
        "modern-bert", "neo-bert",   "eurobert",       "gemma-embedding", "t5encoder"};
    const json_t *info = card ? json_object_get(card, "model_info") : NULL;
    if (info) {
        char key[128];
        snprintf(key, sizeof key, "%.80s.pooling_type",
                 json_string_value(json_object_get(card, "architecture")) ?: "");
        return json_object_get(info, key) == NULL;
    }
    for (size_t i = 0; m->family && i < COUNT_OF(encoders); i++)
        if (strcmp(m->family, encoders[i]) == 0)
            return false;
    return true;
}

enum go_template_use models_go_template(void)
{
    return traits_read_option(options_text(OPT_GO_TEMPLATE));
}

static bool has_go_template(const struct stored_model *m)
{
    return m->template_text && traits_text_is_go(slice_of(m->template_text));
}

struct template_traits models_stored_traits(const struct stored_model *m)
{
    struct template_traits traits = {0};
    struct gotmpl *t = NULL;
    struct err ignored = {0};
    if (!has_go_template(m))
        return m->template_text ? traits_of_jinja(slice_of(m->template_text)) : traits;
    if (gotmpl_new(&t, slice_of(m->template_text), &ignored) == 0)
        traits = traits_of_go(t);
    gotmpl_free(t);
    return traits;
}

struct template_traits models_traits(const struct stored_model *m, const struct template_traits *file)
{
    struct template_traits own = models_stored_traits(m);
    bool is_file_used =
        file &&
        (!m->template_text || (has_go_template(m) && traits_choose_jinja(models_go_template(), own, *file)));
    if (!is_file_used)
        return own;
    struct template_traits used = *file;
    used.takes_suffix = own.takes_suffix; // only Ollama's templates do
    return used;
}

bool models_need_file_traits(const struct stored_model *m)
{
    return !m->template_text || (has_go_template(m) && models_go_template() != GO_TEMPLATE_ALWAYS);
}

static struct slice file_template(const json_t *card)
{
    return json_slice(json_object_get(card, "template"));
}

bool models_prefer_file_template(const struct stored_model *m, const json_t *card)
{
    if (file_template(card).n == 0 || !has_go_template(m))
        return false;
    return traits_choose_jinja(models_go_template(), models_stored_traits(m),
                               traits_of_jinja(file_template(card)));
}

// In Ollama's order: what the template in the file gives, what the weights do, what a stored template gives.
void models_write_capabilities(struct json_writer *w, const struct stored_model *m, const json_t *card)
{
    struct template_traits file = card_traits(card), traits = models_traits(m, card ? &file : NULL);
    bool is_stored = m->template_text && !models_prefer_file_template(m, card);
    json_begin_array(w);
    if (is_stored)
        json_put_text(w, models_can_complete(m, card) ? "completion" : "embedding");
    if (traits.takes_tools)
        json_put_text(w, "tools");
    if (traits.takes_suffix)
        json_put_text(w, "insert");
    if (traits.takes_thinking)
        json_put_text(w, "thinking");
    if (!is_stored)
        json_put_text(w, models_can_complete(m, card) ? "completion" : "embedding");
    json_end_array(w);
}
