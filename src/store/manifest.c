// SPDX-License-Identifier: MIT
// A manifest is JSON that anybody may have written: types are checked, digests are parsed before they become
// paths, small blobs are read up to a cap, unknown layer types are passed over. Weights are never read here.
// Any thread.
#include "store/manifest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "json/json.h"
#include "json/writer.h"
#include "store/blobs.h"
#include "store/references.h"

enum { MAX_TEXT_BYTES = 4 << 20 };

static const char *const manifest_type = "application/vnd.docker.distribution.manifest.v2+json";

// ---- Reading ----

// A small blob as text; ERR_FORMAT whatever is wrong, since the manifest promised it.
static int read_text(const char *directory, const char *digest, char **text, size_t *n, struct err *err)
{
    char path[BLOB_PATH_BYTES];
    struct err why = {0};
    blob_path(directory, digest, path);
    if (file_read(path, MAX_TEXT_BYTES, text, n, &why) != 0)
        return err_set(err, ERR_FORMAT, "%s", why.message);
    return 0;
}

static int take_text(char **slot, char *text)
{
    free(*slot); // the last one of a kind counts
    *slot = text;
    return 0;
}

static int take_json(char **slot, char *text, size_t n, json_type type, const char *what, struct err *err)
{
    struct err why = {0};
    json_t *value = json_parse(slice_make(text, n), &why);
    bool is_right = value != NULL && json_typeof(value) == type;
    json_decref(value);
    if (!is_right) {
        free(text);
        return err_set(err, ERR_FORMAT, "%s layer is not %s", what,
                       type == JSON_OBJECT ? "a JSON object" : "a JSON array");
    }
    return take_text(slot, text);
}

static int take_license(struct stored_model *out, char *text)
{
    out->licenses = xrealloc(out->licenses, (out->n_licenses + 1) * sizeof *out->licenses);
    out->licenses[out->n_licenses++] = text;
    return 0;
}

static void take_model(const char *directory, const json_t *layer, const char *digest, uint64_t size,
                       struct stored_model *out)
{
    char path[BLOB_PATH_BYTES];
    if (out->model_digest != NULL)
        return; // the first one holds the weights, others are parts of a split file
    blob_path(directory, digest, path);
    out->model_digest = xstrdup(digest);
    out->model_path = xstrdup(path);
    out->model_bytes = size;
    const char *from = json_string_value(json_object_get(layer, "from"));
    if (from != NULL)
        out->parent_model = xstrdup(from);
}

static int take_small_layer(const char *directory, const char *kind, const char *digest,
                            struct stored_model *out, struct err *err)
{
    static const char *const kinds[] = {"template", "prompt", "system", "params", "messages", "license"};
    size_t which = 0, n = 0;
    char *text = NULL;
    while (which < COUNT_OF(kinds) && strcmp(kind, kinds[which]) != 0)
        which++;
    if (which == COUNT_OF(kinds))
        return 0; // unknown kinds are ignored, as Ollama does
    if (read_text(directory, digest, &text, &n, err) != 0)
        return -1;
    switch (which) {
    case 0:
    case 1:
        return take_text(&out->template_text, text);
    case 2:
        return take_text(&out->system_text, text);
    case 3:
        return take_json(&out->params_json, text, n, JSON_OBJECT, "params", err);
    case 4:
        return take_json(&out->messages_json, text, n, JSON_ARRAY, "messages", err);
    default:
        return take_license(out, text);
    }
}

// Digest and size of a layer or of the config.
static int read_reference(const json_t *entry, char digest[BLOB_DIGEST_BYTES], uint64_t *size,
                          struct err *err)
{
    const char *text = json_string_value(json_object_get(entry, "digest"));
    const json_t *number = json_object_get(entry, "size");
    if (text == NULL || !blob_parse_digest(text, digest))
        return err_set(err, ERR_FORMAT, "a layer without a valid digest");
    if (!json_is_integer(number) || json_integer_value(number) < 0)
        return err_set(err, ERR_FORMAT, "layer %s has no valid size", digest);
    *size = (uint64_t)json_integer_value(number);
    return 0;
}

static int read_layers(const char *directory, const json_t *layers, struct stored_model *out, struct err *err)
{
    static const char *const prefix = "application/vnd.ollama.image.";
    size_t i;
    json_t *layer;
    if (!json_is_array(layers) || json_array_size(layers) > MANIFEST_MAX_LAYERS)
        return err_set(err, ERR_FORMAT, "\"layers\" is not a list, or an absurd one");
    json_array_foreach(layers, i, layer)
    {
        char digest[BLOB_DIGEST_BYTES];
        uint64_t size = 0;
        const char *type = json_string_value(json_object_get(layer, "mediaType"));
        if (read_reference(layer, digest, &size, err) != 0)
            return -1;
        out->size_bytes += size;
        if (type == NULL || strncmp(type, prefix, strlen(prefix)) != 0)
            continue;
        const char *kind = type + strlen(prefix);
        if (strcmp(kind, "model") == 0)
            take_model(directory, layer, digest, size, out);
        else if (take_small_layer(directory, kind, digest, out, err) != 0)
            return -1;
    }
    return 0;
}

static void take_member(const json_t *object, const char *key, char **slot)
{
    const char *text = json_string_value(json_object_get(object, key));
    if (text != NULL && text[0] != 0)
        *slot = xstrdup(text);
}

static uint64_t read_number(const json_t *object, const char *key)
{
    json_int_t value = json_integer_value(json_object_get(object, key));
    return value > 0 ? (uint64_t)value : 0;
}

static int read_config(const char *directory, const json_t *entry, struct stored_model *out, struct err *err)
{
    char digest[BLOB_DIGEST_BYTES];
    uint64_t size = 0;
    char *text = NULL;
    size_t n = 0, i;
    json_t *family;
    if (read_reference(entry, digest, &size, err) != 0 || read_text(directory, digest, &text, &n, err) != 0)
        return -1;
    struct err why = {0};
    json_t *config = json_parse_first(slice_make(text, n), &why);
    free(text);
    if (!json_is_object(config)) {
        json_decref(config);
        return err_set(err, ERR_FORMAT, "config %s is not a JSON object", digest);
    }
    out->size_bytes += size;
    take_member(config, "model_format", &out->format);
    take_member(config, "model_family", &out->family);
    take_member(config, "model_type", &out->parameter_size);
    take_member(config, "file_type", &out->file_type);
    out->context_length = read_number(config, "context_length");
    out->embedding_length = read_number(config, "embedding_length");
    const json_t *families = json_object_get(config, "model_families");
    out->families = xcalloc(json_array_size(families), sizeof *out->families);
    json_array_foreach(families, i, family)
    {
        if (json_is_string(family))
            out->families[out->n_families++] = xstrdup(json_string_value(family));
    }
    json_decref(config);
    return 0;
}

int manifest_read(const char *directory, const char *path, struct stored_model *out, struct err *err)
{
    char *text = NULL;
    size_t n = 0;
    struct stat st;
    struct err why = {0};
    if (file_read(path, MANIFEST_MAX_BYTES, &text, &n, err) != 0)
        return -1;
    digest_of(slice_make(text, n), out->manifest_digest);
    out->modified_ns = stat(path, &st) == 0 ? (int64_t)st.st_mtim.tv_sec * NS_PER_S + st.st_mtim.tv_nsec : 0;
    name_format(&out->name, out->display_name);
    json_t *manifest = json_parse_first(slice_make(text, n), &why);
    free(text);
    int rc = -1;
    if (!json_is_object(manifest))
        err_set(err, ERR_FORMAT, "not a JSON object: %s", why.message);
    else if (read_config(directory, json_object_get(manifest, "config"), out, err) == 0)
        rc = read_layers(directory, json_object_get(manifest, "layers"), out, err);
    json_decref(manifest);
    return rc == 0 ? 0 : err_prefix(err, "%s", path);
}

void stored_model_fini(struct stored_model *m)
{
    char *const texts[] = {m->model_digest,   m->model_path,    m->template_text, m->system_text,
                           m->params_json,    m->messages_json, m->format,        m->family,
                           m->parameter_size, m->file_type,     m->parent_model};
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        free(texts[i]);
    for (size_t i = 0; i < m->n_licenses; i++)
        free(m->licenses[i]);
    for (size_t i = 0; i < m->n_families; i++)
        free(m->families[i]);
    free(m->licenses);
    free(m->families);
    *m = (struct stored_model){0};
}

// ---- Reading to go on with it ----

int manifest_pin(const char *directory, const json_t *manifest, struct pins *pins, struct err *err)
{
    json_t *set = json_object(), *value;
    const char *digest;
    int rc = references_of_manifest(manifest, set, err);
    json_object_foreach(set, digest, value)
    {
        if (rc == 0)
            rc = pins_add(pins, digest, err);
    }
    json_decref(set);
    return rc;
}

static int open_and_pin(const char *directory, const char *path, struct pins *pins, struct manifest_text *out,
                        struct err *err)
{
    struct err why = {0};
    if (file_read(path, MANIFEST_MAX_BYTES, &out->bytes, &out->n, &why) != 0)
        return err_set(err, why.code, "%s", why.message);
    out->value = json_parse_first(slice_make(out->bytes, out->n), &why);
    if (out->value == NULL || manifest_pin(directory, out->value, pins, &why) != 0)
        return err_set(err, ERR_FORMAT, "%s", why.message);
    return 0;
}

int manifest_open(const char *directory, const char *path, struct pins *pins, struct manifest_text *out,
                  struct err *err)
{
    *out = (struct manifest_text){0};
    int lock = pins_lock_store(directory, false, err);
    if (lock < 0)
        return -1;
    int rc = open_and_pin(directory, path, pins, out, err);
    close(lock);
    return rc;
}

void manifest_text_fini(struct manifest_text *m)
{
    free(m->bytes);
    json_decref(m->value);
    *m = (struct manifest_text){0};
}

// ---- Writing ----

void manifest_path(const char *directory, const struct model_name *name, char out[4096])
{
    snprintf(out, 4096, "%s/manifests/%s/%s/%s/%s", directory, name->host, name->ns, name->model, name->tag);
}

static void put_layer(struct json_writer *w, const struct manifest_layer *layer)
{
    json_begin_object(w);
    json_member_text(w, "mediaType", layer->media_type);
    json_member_text(w, "digest", layer->digest);
    json_member_int(w, "size", (int64_t)layer->size_bytes);
    if (layer->from != NULL)
        json_member_text(w, "from", layer->from);
    json_end_object(w);
}

int manifest_write(const char *directory, const struct model_name *name, const struct manifest_layer *config,
                   const struct manifest_layer *layers, size_t n_layers, struct err *err)
{
    struct strbuf text = STRBUF_INIT(MANIFEST_MAX_BYTES);
    struct json_writer w = json_writer_make(&text);
    char path[4096];
    json_begin_object(&w);
    json_member_int(&w, "schemaVersion", 2);
    json_member_text(&w, "mediaType", manifest_type);
    json_key(&w, "config");
    put_layer(&w, config);
    json_key(&w, "layers");
    json_begin_array(&w);
    for (size_t i = 0; i < n_layers; i++)
        put_layer(&w, &layers[i]);
    json_end_array(&w);
    json_end_object(&w);
    strbuf_push_char(&text, '\n');
    manifest_path(directory, name, path);
    int rc = file_write(path, strbuf_slice(&text), err);
    strbuf_fini(&text);
    return rc;
}
