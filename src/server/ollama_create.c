// SPDX-License-Identifier: MIT
// POST /api/create: a model from a stored one (`from`) or from uploaded files (`files`: GGUF, or a checkpoint
// of safetensors), with layers of text put over it. What this server cannot honour is refused by name. Runs
// as a chore.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/options.h"
#include "host/host.h"
#include "json/writer.h"
#include "server/conversion.h"
#include "server/fields.h"
#include "server/ollama.h"
#include "server/transfer.h"
#include "store/draft.h"
#include "text/traits.h"

enum { MAX_LAYER_BYTES = 4 << 20 };

struct create {
    struct chore *chore;
    char *name, *from, *requires, *quantize;               // quantize: "" keeps the weights as they are
    const json_t *files, *parameters, *messages, *license; // borrowed from the body
    struct slice template_text, system;
    bool insecure;
    struct draft *draft;
};

// ---- Reading ----

// Paths must stay below where they are given: no empty, "." or ".." part.
static bool is_clean_path(const char *path)
{
    if (path[0] == '\0')
        return false;
    for (const char *part = path;; part++) {
        size_t n = strcspn(part, "/");
        if (n == 0 || (n == 1 && part[0] == '.') || (n == 2 && part[0] == '.' && part[1] == '.'))
            return false;
        part += n;
        if (*part == '\0')
            return true;
    }
}

static void check_files(struct fields *f, const json_t *files)
{
    const char *path;
    json_t *digest;
    json_object_foreach((json_t *)files, path, digest)
    {
        if (!json_is_string(digest))
            fields_refuse_type(f, "files", digest, "string");
        else if (!is_clean_path(path))
            err_set(fields_fail(f), ERR_INVALID, "file path must be relative");
    }
}

static void refuse_unsupported(struct fields *f)
{
    static const char *const names[] = {"adapters",    "draft_files", "draft_quantize", "renderer", "parser",
                                        "remote_host", "info",        "modelfile",      "path"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        const json_t *value = fields_find(f, names[i]);
        if (value && !fields_is_empty(value))
            err_set(fields_fail(f), ERR_INVALID, "%s: not supported by this server", names[i]);
    }
}

static int read_body(struct create *c, const json_t *body, struct err *err)
{
    struct fields f = fields_open(body, "CreateRequest", err);
    struct slice name = slice_of(""), model = slice_of(""), from = slice_of(""), requires = slice_of("");
    struct slice quantize = slice_of(""), quantization = slice_of("");
    bool streams = true;
    fields_text(&f, "name", &name);
    fields_text(&f, "model", &model);
    if (fields_bool(&f, "stream", &streams))
        c->chore->is_whole = !streams;
    fields_bool(&f, "insecure", &c->insecure);
    fields_text(&f, "from", &from);
    fields_text(&f, "template", &c->template_text);
    fields_text(&f, "system", &c->system);
    fields_text(&f, "requires", &requires);
    fields_text(&f, "quantization", &quantization); // its old name
    fields_text(&f, "quantize", &quantize);
    c->files = fields_object(&f, "files", "map[string]string");
    c->parameters = fields_object(&f, "parameters", "map[string]interface {}");
    c->messages = fields_array(&f, "messages", "[]api.Message");
    c->license = fields_find(&f, "license");
    c->name = transfer_name(model.n ? model : name);
    c->from = transfer_name(from);
    if (requires.n && requires.at[0] == 'v')
    requires = slice_make(requires.at + 1, requires.n - 1);
    c->requires = xstrndup(requires.at, requires.n);
    quantize = quantize.n ? quantize : quantization;
    c->quantize = xstrndup(quantize.at, quantize.n);
    struct model_name parsed;
    if (!f.failed && name_parse(&parsed, c->name, err) != 0)
        f.failed = true;
    check_files(&f, c->files);
    refuse_unsupported(&f);
    return f.failed ? -1 : 0;
}

// ---- What it is made from ----

static int begin_from_model(struct create *c, struct err *err)
{
    struct err why = {0};
    if (draft_inherit(c->draft, c->from, &why) == 0)
        return 0;
    if (why.code != ERR_NOT_FOUND)
        return err_set(err, why.code, "%s", why.message);
    if (transfer_pull(c->chore, c->from, c->insecure, err) != 0)
        return -1;
    return draft_inherit(c->draft, c->from, err);
}

static int check_card(const char *text, struct err *err)
{
    json_t *card = json_parse(slice_of(text), err);
    const json_t *info = json_object_get(card, "model_info");
    const char *type = json_string_value(json_object_get(info, "general.type"));
    const char *family = json_string_value(json_object_get(card, "architecture"));
    bool is_part = (type && (strcmp(type, "adapter") == 0 || strcmp(type, "mmproj") == 0)) ||
                   (family && strcmp(family, "clip") == 0);
    json_decref(card);
    if (is_part)
        return err_set(err, ERR_INVALID, "adapters and projectors are not supported by this server");
    return card ? 0 : -1;
}

static int read_card(int fd, const char *path, char **card, struct err *err)
{
    char magic[4] = "";
    struct err why = {0};
    if (pread(fd, magic, 4, 0) != 4 || memcmp(magic, "GGUF", 4) != 0) {
        size_t n = strlen(path);
        bool is_named = n > 5 && strcasecmp(path + n - 5, ".gguf") == 0;
        return err_set(err, ERR_INVALID, is_named ? "supplied file was not in GGUF format" : "unknown type");
    }
    if (host_read_card(fd, false, card, &why) != 0)
        return err_set(err, why.code == ERR_FORMAT || why.code == ERR_UNSUPPORTED ? ERR_INVALID : why.code,
                       "%s: %s", path, why.message);
    return check_card(*card, err);
}

static int begin_from_file(struct create *c, struct err *err)
{
    char *card = NULL, path[4096];
    uint64_t size = 0;
    struct err why = {0};
    void *first = json_object_iter((json_t *)c->files);
    const char *file = json_object_iter_key(first);
    const char *digest = json_string_value(json_object_iter_value(first));
    if (json_object_size(c->files) > 1)
        return err_set(err, ERR_INVALID,
                       "more than one file: split models and projectors are not supported by this server");
    chore_say(c->chore, "parsing GGUF");
    if (store_find_blob(c->chore->app->store, digest, path, &size, &why) != 0)
        return err_set(err, why.code == ERR_INVALID ? ERR_FORMAT : ERR_INVALID, "%s", why.message);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int rc = fd < 0 ? err_set(err, ERR_INTERNAL, "%s: %s", path, strerror(errno))
                    : read_card(fd, file, &card, err);
    if (rc == 0)
        rc = draft_set_weights(c->draft, digest, card, err);
    if (fd >= 0)
        close(fd);
    free(card);
    return rc;
}

static bool has_safetensors(const json_t *files)
{
    const char *path;
    json_t *digest;
    json_object_foreach((json_t *)files, path, digest)
    {
        size_t n = strlen(path);
        if (n > 12 && strcmp(path + n - 12, ".safetensors") == 0)
            return true;
    }
    return false;
}

// ---- What is put over it ----

static int check_template(struct slice text, struct err *err)
{
    struct gotmpl *t = NULL;
    struct err why = {0};
    if (traits_text_is_go(text) && gotmpl_new(&t, text, &why) != 0)
        return err_set(err, ERR_INVALID, "template error: %s", why.message);
    gotmpl_free(t);
    return 0;
}

static int put_text(struct create *c, const char *kind, struct slice text, struct err *err)
{
    return text.n > 0 ? draft_put(c->draft, kind, text, err) : 0;
}

static int put_licenses(struct create *c, struct err *err)
{
    size_t i;
    json_t *item;
    if (!c->license || fields_is_empty(c->license))
        return 0;
    if (json_is_string(c->license))
        return put_text(c, "license", json_slice(c->license), err);
    if (!json_is_array(c->license))
        return err_set(err, ERR_INVALID, "license: expected a string or an array of strings");
    json_array_foreach(c->license, i, item)
    {
        if (!json_is_string(item))
            return err_set(err, ERR_INVALID, "license: expected a string or an array of strings");
        if (put_text(c, "license", json_slice(item), err) != 0)
            return -1;
    }
    return 0;
}

static int put_json(struct create *c, const char *kind, const json_t *value, struct err *err)
{
    struct strbuf text = STRBUF_INIT(MAX_LAYER_BYTES);
    struct json_writer w = json_writer_make(&text);
    json_put_value(&w, value);
    strbuf_push_char(&text, '\n');
    int rc = text.overflow ? err_set(err, ERR_TOO_LARGE, "%s: more than %d MiB", kind, MAX_LAYER_BYTES >> 20)
                           : draft_put(c->draft, kind, strbuf_slice(&text), err);
    strbuf_fini(&text);
    return rc;
}

static int by_key(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static json_t *sorted_copy(json_t *object)
{
    const char **keys = xmalloc((json_object_size(object) + 1) * sizeof keys[0]), *key;
    json_t *out = json_object(), *value;
    size_t n = 0;
    json_object_foreach(object, key, value) keys[n++] = key;
    qsort(keys, n, sizeof keys[0], by_key);
    for (size_t i = 0; i < n; i++)
        json_object_set(out, keys[i], json_object_get(object, keys[i]));
    free(keys);
    return out;
}

// Those of the base stay where the request says nothing of them.
static int put_parameters(struct create *c, struct err *err)
{
    if (json_object_size(c->parameters) == 0)
        return 0;
    char *text = draft_read(c->draft, "params", err);
    json_t *merged = text ? json_parse(slice_of(text), err) : json_object();
    free(text);
    if (err->code != ERR_NONE || !json_is_object(merged)) {
        json_decref(merged);
        return err_set(err, ERR_FORMAT, "the parameters of the model are not a JSON object");
    }
    json_object_update(merged, (json_t *)c->parameters);
    json_t *sorted = sorted_copy(merged);
    int rc = put_json(c, "params", sorted, err);
    json_decref(sorted);
    json_decref(merged);
    return rc;
}

static int put_messages(struct create *c, struct err *err)
{
    bool has_images = false;
    json_t *out = ask_convert_messages(c->messages, &has_images, err);
    int rc = out ? 0 : -1;
    if (has_images)
        rc = err_set(err, ERR_INVALID, "messages with images: not supported in a stored model");
    if (rc == 0 && json_array_size(out) > 0)
        rc = put_json(c, "messages", out, err);
    json_decref(out);
    return rc;
}

static int put_layers(struct create *c, struct err *err)
{
    if (check_template(c->template_text, err) != 0 || put_text(c, "template", c->template_text, err) != 0 ||
        put_text(c, "system", c->system, err) != 0 || put_licenses(c, err) != 0 ||
        put_parameters(c, err) != 0 || put_messages(c, err) != 0)
        return -1;
    if (c->requires[0])
        json_object_set_new(draft_config(c->draft), "requires", json_string(c->requires));
    return 0;
}

static void tell_layers(struct create *c)
{
    for (size_t i = 0; i < draft_count_layers(c->draft); i++) {
        bool is_new;
        const char *digest = draft_layer(c->draft, i, &is_new);
        chore_say(c->chore, "%s layer %s", is_new ? "creating new" : "using existing", digest);
    }
}

static int create(struct create *c, struct err *err)
{
    if (!c->from[0] && json_object_size(c->files) == 0)
        return err_set(err, ERR_INVALID, "neither 'from' or 'files' was specified");
    if (c->from[0] && json_object_size(c->files) > 0)
        return err_set(err, ERR_INVALID, "'from' and 'files' together are not supported by this server");
    c->draft = draft_new(c->chore->app->store);
    bool is_checkpoint = !c->from[0] && has_safetensors(c->files);
    int rc = c->from[0]      ? begin_from_model(c, err)
             : is_checkpoint ? conversion_from_files(c->chore, c->draft, c->files, c->quantize, err)
                             : begin_from_file(c, err);
    if (rc == 0 && c->quantize[0] && !is_checkpoint)
        rc = conversion_quantize(c->chore, c->draft, c->quantize, err);
    if (rc != 0 || put_layers(c, err) != 0)
        return -1;
    tell_layers(c);
    if (chore_is_cancelled(c->chore))
        return err_set(err, ERR_CANCELLED, "request canceled");
    chore_say(c->chore, "writing manifest");
    return draft_commit(c->draft, c->name, !options_uint(OPT_NOPRUNE), err);
}

static void run(struct chore *chore)
{
    struct err err = {0};
    struct create c = {.chore = chore};
    chore->body =
        fields_parse(http_request_body(chore->request), "api.CreateRequest", "missing request body", &err);
    if (chore->body && read_body(&c, chore->body, &err) == 0)
        create(&c, &err);
    draft_free(c.draft);
    chore_end(chore, &err);
    free(c.name);
    free(c.from);
    free(c.requires);
    free(c.quantize);
}

void ollama_create(struct app *app, struct http_request *r)
{
    chore_start(app, r, run);
}
