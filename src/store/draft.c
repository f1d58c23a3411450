// SPDX-License-Identifier: MIT
// Layers in their order, the config as JSON, pins on every blob. The manifest comes last, so what is cut
// short leaves no broken model.
#include "store/draft.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "json/writer.h"
#include "store/blobs.h"
#include "store/manifest.h"
#include "store/pins.h"
#include "store/prune.h"
#include "store/references.h"

enum { MAX_CONFIG_BYTES = 4 << 20, MAX_TYPE_BYTES = 128 };

static const char *const config_type = "application/vnd.docker.container.image.v1+json";
static const char *const type_prefix = "application/vnd.ollama.image.";

struct layer {
    char type[MAX_TYPE_BYTES], digest[BLOB_DIGEST_BYTES];
    uint64_t size_bytes;
    char *from; // NULL: none
    bool is_new;
};

struct draft {
    struct store *store;
    struct pins *pins;
    struct layer *layers;
    size_t n;
    json_t *config;
    struct blob_writer *weights; // being made; NULL: none
};

struct draft *draft_new(struct store *s)
{
    struct draft *d = xcalloc(1, sizeof *d);
    d->store = s;
    d->pins = pins_new(store_directory(s));
    d->config = json_object();
    return d;
}

void draft_free(struct draft *d)
{
    if (d == NULL)
        return;
    for (size_t i = 0; i < d->n; i++)
        free(d->layers[i].from);
    free(d->layers);
    blob_writer_drop(d->weights);
    pins_free(d->pins);
    json_decref(d->config);
    free(d);
}

static struct layer *add_layer(struct draft *d, const char *type)
{
    d->layers = xrealloc(d->layers, (d->n + 1) * sizeof d->layers[0]);
    struct layer *l = &d->layers[d->n++];
    *l = (struct layer){0};
    snprintf(l->type, sizeof l->type, "%s", type);
    return l;
}

static bool is_kind(const struct layer *l, const char *kind)
{
    const char *own =
        strncmp(l->type, type_prefix, strlen(type_prefix)) == 0 ? l->type + strlen(type_prefix) : "";
    return strcmp(own, kind) == 0 || (strcmp(kind, "template") == 0 && strcmp(own, "prompt") == 0);
}

static void drop_kind(struct draft *d, const char *kind)
{
    size_t kept = 0;
    for (size_t i = 0; i < d->n; i++) {
        if (is_kind(&d->layers[i], kind))
            free(d->layers[i].from);
        else
            d->layers[kept++] = d->layers[i];
    }
    d->n = kept;
}

// ---- From a stored model ----

static int inherit_layers(struct draft *d, const json_t *layers, const char *from, struct err *err)
{
    size_t i;
    json_t *entry;
    if (json_array_size(layers) > MANIFEST_MAX_LAYERS)
        return err_set(err, ERR_FORMAT, "a manifest with too many layers");
    json_array_foreach(layers, i, entry)
    {
        const char *type = json_string_value(json_object_get(entry, "mediaType"));
        const char *digest = json_string_value(json_object_get(entry, "digest"));
        json_int_t size = json_integer_value(json_object_get(entry, "size"));
        if (type == NULL || strlen(type) >= MAX_TYPE_BYTES || size < 0)
            return err_set(err, ERR_FORMAT, "a layer without a valid type and size");
        struct layer *l = add_layer(d, type);
        blob_parse_digest(digest, l->digest); // checked when it was pinned
        l->size_bytes = (uint64_t)size;
        l->from = xstrdup(from);
    }
    return 0;
}

static int inherit_config(struct draft *d, const json_t *entry, struct err *err)
{
    char path[BLOB_PATH_BYTES], digest[BLOB_DIGEST_BYTES];
    const char *named = json_string_value(json_object_get(entry, "digest"));
    char *text = NULL;
    size_t n = 0;
    if (named == NULL || !blob_parse_digest(named, digest))
        return err_set(err, ERR_FORMAT, "a manifest without a config");
    blob_path(store_directory(d->store), digest, path);
    if (file_read(path, MAX_CONFIG_BYTES, &text, &n, err) != 0)
        return -1;
    json_t *config = json_parse_first(slice_make(text, n), err);
    free(text);
    if (!json_is_object(config)) {
        json_decref(config);
        return err_set(err, ERR_FORMAT, "%s: not a JSON object", path);
    }
    json_decref(d->config);
    d->config = config;
    return 0;
}

int draft_inherit(struct draft *d, const char *from, struct err *err)
{
    struct model_name name;
    struct err why = {0};
    struct manifest_text m;
    char path[4096], display[640];
    if (name_parse(&name, from, err) != 0)
        return -1;
    store_adopt_name(d->store, &name);
    name_format(&name, display);
    manifest_path(store_directory(d->store), &name, path);
    int rc = manifest_open(store_directory(d->store), path, d->pins, &m, &why);
    if (rc == 0)
        rc = inherit_config(d, json_object_get(m.value, "config"), &why);
    if (rc == 0)
        rc = inherit_layers(d, json_object_get(m.value, "layers"), display, &why);
    manifest_text_fini(&m);
    if (rc == 0)
        return 0;
    return why.code == ERR_NOT_FOUND
               ? err_set(err, ERR_NOT_FOUND, "model '%s' not found", from)
               : err_set(err, ERR_FORMAT, "model '%s' is broken: %s", from, why.message);
}

// ---- From a file ----

// "7B", "1.2B", "134.52M", "90K", "12": Ollama's way to say how many parameters.
static void format_count(uint64_t n, char out[32])
{
    double billions = (double)n / 1e9, millions = (double)n / 1e6;
    if (n >= 1000000000)
        snprintf(out, 32, n % 1000000000 == 0 ? "%.0fB" : "%.1fB", billions);
    else if (n >= 1000000)
        snprintf(out, 32, n % 1000000 == 0 ? "%.0fM" : "%.2fM", millions);
    else if (n >= 1000)
        snprintf(out, 32, "%.0fK", (double)n / 1e3);
    else
        snprintf(out, 32, "%u", (unsigned)n);
}

static uint64_t number(const json_t *card, const char *key)
{
    const json_t *value = json_object_get(card, key);
    double real = json_number_value(value);
    if (json_is_integer(value))
        return json_integer_value(value) > 0 ? (uint64_t)json_integer_value(value) : 0;
    return real > 0 && real < 9e18 ? (uint64_t)real : 0;
}

static void set_length(json_t *config, const json_t *card, const char *key)
{
    if (number(card, key) > 0)
        json_object_set_new(config, key, json_integer((json_int_t)number(card, key)));
}

// The config, members in the order of Ollama's structure.
static void fill_config(json_t *config, const json_t *card)
{
    char count[32];
    const char *family = json_string_value(json_object_get(card, "architecture"));
    const char *file_type = json_string_value(json_object_get(card, "file_type"));
    if (family == NULL)
        family = "unknown";
    format_count(number(card, "parameter_count"), count);
    json_object_set_new(config, "model_format", json_string("gguf"));
    json_object_set_new(config, "model_family", json_string(family));
    json_object_set_new(config, "model_families", json_pack("[s]", family));
    json_object_set_new(config, "model_type", json_string(count));
    json_object_set_new(config, "file_type", json_string(file_type != NULL ? file_type : "unknown"));
    set_length(config, card, "context_length");
    set_length(config, card, "embedding_length");
    json_object_set_new(config, "architecture", json_string("amd64"));
    json_object_set_new(config, "os", json_string("linux"));
}

int draft_set_weights(struct draft *d, const char *digest, const char *card_json, struct err *err)
{
    char path[4096], parsed[BLOB_DIGEST_BYTES];
    uint64_t size = 0;
    if (store_find_blob(d->store, digest, path, &size, err) != 0)
        return -1;
    json_t *card = json_parse(slice_of(card_json), err);
    int rc = card != NULL && blob_parse_digest(digest, parsed) ? pins_add(d->pins, parsed, err) : -1;
    if (rc == 0) {
        char type[MAX_TYPE_BYTES];
        snprintf(type, sizeof type, "%smodel", type_prefix);
        struct layer *l = add_layer(d, type);
        memcpy(l->digest, parsed, sizeof parsed);
        l->size_bytes = size;
        fill_config(d->config, card);
    }
    json_decref(card);
    return rc;
}

// ---- Weights that are made here ----

int draft_weights_open(struct draft *d, struct err *err)
{
    return blob_writer_open(&d->weights, store_directory(d->store), err);
}

int draft_weights_push(struct draft *d, struct slice bytes, struct err *err)
{
    return blob_writer_push(d->weights, bytes, err);
}

int draft_weights_fd(const struct draft *d)
{
    return blob_writer_fd(d->weights);
}

// The first layer, whether it is there already or not.
static struct layer *weights_layer(struct draft *d)
{
    for (size_t i = 0; i < d->n; i++)
        if (is_kind(&d->layers[i], "model"))
            return &d->layers[i];
    add_layer(d, "");
    memmove(d->layers + 1, d->layers, (d->n - 1) * sizeof d->layers[0]);
    d->layers[0] = (struct layer){0};
    snprintf(d->layers[0].type, sizeof d->layers[0].type, "%smodel", type_prefix);
    return &d->layers[0];
}

int draft_weights_commit(struct draft *d, const char *card_json, struct err *err)
{
    char digest[BLOB_DIGEST_BYTES];
    struct stat st;
    bool is_new = false;
    struct blob_writer *writer = d->weights;
    json_t *card = json_parse(slice_of(card_json), err);
    if (card == NULL)
        return -1;
    d->weights = NULL;
    int rc = fstat(blob_writer_fd(writer), &st);
    if (rc != 0)
        err_set(err, ERR_INTERNAL, "the new weights cannot be looked at");
    if (rc == 0)
        rc = blob_writer_commit(writer, d->pins, digest, &is_new, err);
    else
        blob_writer_drop(writer);
    if (rc == 0) {
        struct layer *l = weights_layer(d);
        free(l->from);
        l->from = NULL;
        memcpy(l->digest, digest, sizeof digest);
        l->size_bytes = (uint64_t)st.st_size;
        l->is_new = is_new;
        if (json_object_get(d->config, "model_family") == NULL)
            fill_config(d->config, card);
        json_object_set(d->config, "file_type", json_object_get(card, "file_type"));
    }
    json_decref(card);
    return rc;
}

// ---- Layers of text ----

int draft_put(struct draft *d, const char *kind, struct slice bytes, struct err *err)
{
    char type[MAX_TYPE_BYTES], digest[BLOB_DIGEST_BYTES];
    bool is_new = false;
    if (blob_write(store_directory(d->store), bytes, d->pins, digest, &is_new, err) != 0)
        return -1;
    if (strcmp(kind, "license") != 0)
        drop_kind(d, kind);
    snprintf(type, sizeof type, "%s%s", type_prefix, kind);
    struct layer *l = add_layer(d, type);
    memcpy(l->digest, digest, sizeof digest);
    l->size_bytes = bytes.n;
    l->is_new = is_new;
    return 0;
}

char *draft_read(const struct draft *d, const char *kind, struct err *err)
{
    char path[BLOB_PATH_BYTES];
    char *text = NULL;
    size_t n = 0;
    for (size_t i = d->n; i-- > 0;) {
        if (!is_kind(&d->layers[i], kind))
            continue;
        blob_path(store_directory(d->store), d->layers[i].digest, path);
        file_read(path, MAX_CONFIG_BYTES, &text, &n, err);
        return text;
    }
    return NULL;
}

json_t *draft_config(struct draft *d)
{
    return d->config;
}

const char *draft_find_layer(const struct draft *d, const char *kind)
{
    for (size_t i = 0; i < d->n; i++)
        if (is_kind(&d->layers[i], kind))
            return d->layers[i].digest;
    return NULL;
}

size_t draft_count_layers(const struct draft *d)
{
    return d->n;
}

const char *draft_layer(const struct draft *d, size_t i, bool *is_new)
{
    *is_new = d->layers[i].is_new;
    return d->layers[i].digest;
}

// ---- The end ----

static int write_config(struct draft *d, struct manifest_layer *out, char digest[BLOB_DIGEST_BYTES],
                        struct err *err)
{
    struct strbuf text = STRBUF_INIT(MAX_CONFIG_BYTES);
    struct json_writer w = json_writer_make(&text);
    json_put_value(&w, d->config);
    strbuf_push_char(&text, '\n');
    int rc = text.overflow
                 ? err_set(err, ERR_TOO_LARGE, "the config is too large")
                 : blob_write(store_directory(d->store), strbuf_slice(&text), d->pins, digest, NULL, err);
    *out = (struct manifest_layer){config_type, digest, text.n, NULL};
    strbuf_fini(&text);
    return rc;
}

int draft_commit(struct draft *d, const char *text, bool prune, struct err *err)
{
    struct model_name name;
    struct manifest_layer config;
    struct store_pruned pruned = {0};
    struct err ignored = {0};
    char digest[BLOB_DIGEST_BYTES], path[4096];
    const char *directory = store_directory(d->store);
    if (name_parse(&name, text, err) != 0 || write_config(d, &config, digest, err) != 0)
        return -1;
    store_adopt_name(d->store, &name);
    manifest_path(directory, &name, path);
    json_t *before = json_object();
    references_of_file(path, before, &ignored);
    struct manifest_layer *layers = xcalloc(d->n + 1, sizeof layers[0]);
    for (size_t i = 0; i < d->n; i++)
        layers[i] = (struct manifest_layer){d->layers[i].type, d->layers[i].digest, d->layers[i].size_bytes,
                                            d->layers[i].from};
    int rc = manifest_write(directory, &name, &config, layers, d->n, err);
    if (rc == 0 && prune && json_object_size(before) > 0)
        prune_candidates(directory, before, &pruned);
    free(layers);
    json_decref(before);
    return rc;
}
