// SPDX-License-Identifier: MIT
// The shards are mapped, their tensors placed under their new names, the vocabulary and the config become
// keys; what a model of the family needs and what nobody knows is looked for before anything is written.
#include "convert/checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "convert/family.h"
#include "convert/input.h"
#include "convert/safetensors.h"
#include "convert/vocabulary.h"
#include "gguf/gguf_write.h"

enum { QUANTIZATION_VERSION = 2 };

struct checkpoint {
    const struct convert_job *job;
    json_t *config;
    const struct family *family;
    struct sizes sizes;
    struct safetensors **shards;
    size_t n_shards;
    struct tensors tensors;
    struct gguf_writer *w;
    float *rope_factors; // NULL: none
    struct err *err;
};

static bool ends_with(const char *text, const char *tail)
{
    size_t n = strlen(text), t = strlen(tail);
    return n > t && strcmp(text + n - t, tail) == 0;
}

// ---- Tensors ----

// Sizes may be any where the family says none, and are then taken over.
static int check_sizes(struct checkpoint *c, const struct safetensor *from, struct tensor *placed,
                       const char *file)
{
    bool fits = from->n_dims == placed->n_dims && from->size_bytes > 0;
    for (uint32_t i = 0; i < placed->n_dims && fits; i++) {
        uint64_t size = from->shape[placed->n_dims - 1 - i];
        fits = placed->ne[i] == 0 || placed->ne[i] == size;
        placed->ne[i] = size;
    }
    return fits ? 0
                : err_set(c->err, ERR_FORMAT, "%s: the shape of tensor '%.100s' is not what config.json says",
                          file, from->name);
}

static int add_tensor(struct checkpoint *c, const struct safetensor *from, const char *file)
{
    struct tensor placed = {.ne = {1, 1, 1, 1}};
    if (!family_place(c->family, &c->sizes, from->name, &placed))
        return err_set(c->err, ERR_UNSUPPORTED, "%s: tensor '%.100s' is not known in a %s", file, from->name,
                       c->family->name);
    if (placed.name[0] == 0)
        return 0;
    if (from->type == NULL)
        return err_set(c->err, ERR_UNSUPPORTED,
                       "%s: tensor '%.100s' has the dtype %s; F32, F16 and BF16 are supported", file,
                       from->name, from->kind);
    if (check_sizes(c, from, &placed, file) != 0)
        return -1;
    placed.from = from->type;
    placed.data = from->data;
    *tensors_add(&c->tensors) = placed;
    return 0;
}

static int add_shard(struct checkpoint *c, const struct convert_file *file)
{
    struct safetensors *s = NULL;
    if (safetensors_open(&s, file->fd, c->err) != 0)
        return err_prefix(c->err, "%s", file->name);
    c->shards[c->n_shards++] = s;
    for (size_t i = 0; i < safetensors_count(s); i++)
        if (add_tensor(c, safetensors_at(s, i), file->name) != 0)
            return -1;
    return 0;
}

static int by_layer(const void *a, const void *b)
{
    const struct tensor *x = a, *y = b;
    bool x_in_layer = strncmp(x->name, "blk.", 4) == 0, y_in_layer = strncmp(y->name, "blk.", 4) == 0;
    long x_layer = x_in_layer ? strtol(x->name + 4, NULL, 10) : -1;
    long y_layer = y_in_layer ? strtol(y->name + 4, NULL, 10) : -1;
    return x_layer != y_layer ? (x_layer < y_layer ? -1 : 1) : strcmp(x->name, y->name);
}

static int refuse_doubles(struct checkpoint *c)
{
    qsort(c->tensors.at, c->tensors.n, sizeof c->tensors.at[0], by_layer);
    for (size_t i = 1; i < c->tensors.n; i++)
        if (strcmp(c->tensors.at[i - 1].name, c->tensors.at[i].name) == 0)
            return err_set(c->err, ERR_FORMAT, "tensor '%s' is there twice", c->tensors.at[i].name);
    return 0;
}

// Among the sorted ones.
static const struct tensor *find(const struct checkpoint *c, const char *name)
{
    struct tensor key = {.n_dims = 0};
    snprintf(key.name, sizeof key.name, "%s", name);
    return bsearch(&key, c->tensors.at, c->tensors.n, sizeof key, by_layer);
}

static int missing(struct checkpoint *c, const char *name)
{
    return err_set(c->err, ERR_FORMAT, "no safetensors file has the tensor '%s' (in GGUF's names)", name);
}

static int check_all_there(struct checkpoint *c)
{
    char name[TENSOR_NAME_BYTES];
    const struct tensor *embedding = find(c, "token_embd.weight");
    if (embedding == NULL || find(c, "output_norm.weight") == NULL)
        return missing(c, embedding == NULL ? "token_embd.weight" : "output_norm.weight");
    if (!c->sizes.is_tied && find(c, "output.weight") == NULL)
        return missing(c, "output.weight");
    for (uint32_t i = 0; i < c->sizes.n_layers; i++) {
        for (const struct rename *r = c->family->renames; r->from != NULL; r++) {
            snprintf(name, sizeof name, "blk.%u.%s.weight", i, r->to);
            if (find(c, name) == NULL)
                return missing(c, name);
        }
    }
    const struct tensor *output = find(c, "output.weight");
    if (embedding->ne[1] > UINT32_MAX || (output != NULL && output->ne[1] != embedding->ne[1]))
        return err_set(c->err, ERR_FORMAT, "embedding and output have not the same number of tokens");
    c->sizes.n_vocab = (uint32_t)embedding->ne[1];
    return 0;
}

static int read_tensors(struct checkpoint *c)
{
    c->shards = xcalloc(c->job->n_files + 1, sizeof(struct safetensors *));
    for (size_t i = 0; i < c->job->n_files; i++)
        if (ends_with(c->job->files[i].name, ".safetensors") && add_shard(c, &c->job->files[i]) != 0)
            return -1;
    if (c->n_shards == 0)
        return err_set(c->err, ERR_UNSUPPORTED, "no safetensors file among the files");
    return refuse_doubles(c) != 0 ? -1 : check_all_there(c);
}

static void add_rope_factors(struct checkpoint *c)
{
    if (c->rope_factors == NULL)
        return;
    struct tensor *t = tensors_add(&c->tensors);
    snprintf(t->name, sizeof t->name, "rope_freqs.weight");
    t->from = dtype_find(DTYPE_F32);
    t->n_dims = 1;
    t->ne[0] = c->sizes.head_dim / 2;
    t->data = c->rope_factors;
}

// Without a recipe: vectors are F32, matrices keep their 16 bits, and F32 becomes F16. *made_of is the type
// of most of what came.
static const struct recipe *choose_types(struct checkpoint *c, const struct recipe *recipe,
                                         const struct recipe **made_of)
{
    uint64_t n_bytes[3] = {0};
    static const enum dtype types[3] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16};
    size_t most = 0;
    for (size_t i = 0; i < c->tensors.n; i++)
        for (size_t k = 0; k < COUNT_OF(types); k++)
            if (c->tensors.at[i].from->id == (int32_t)types[k])
                n_bytes[k] += tensor_n_elems(&c->tensors.at[i]);
    for (size_t k = 1; k < COUNT_OF(types); k++)
        most = n_bytes[k] > n_bytes[most] ? k : most;
    *made_of = recipe_find(dtype_find(types[most])->name);
    recipe = recipe != NULL ? recipe : recipe_find(types[most] == DTYPE_BF16 ? "BF16" : "F16");
    recipe_apply(recipe, &c->tensors, c->sizes.n_layers);
    for (size_t i = 0; i < c->tensors.n; i++)
        if (c->tensors.at[i].n_dims == 1)
            c->tensors.at[i].to = dtype_find(DTYPE_F32);
    return recipe;
}

// ---- The file ----

static void put_general(struct checkpoint *c)
{
    const char *name = json_string_value(json_object_get(c->config, "_name_or_path"));
    gguf_writer_set_string(c->w, "general.architecture", slice_of(c->family->architecture));
    gguf_writer_set_string(c->w, "general.type", slice_of("model"));
    if (name != NULL && name[0] != 0)
        gguf_writer_set_string(c->w, "general.name",
                               slice_of(strrchr(name, '/') != NULL ? strrchr(name, '/') + 1 : name));
}

static int read_all(struct checkpoint *c)
{
    char key[64];
    if (input_read_json(c->job, "config.json", &c->config, c->err) != 0)
        return -1;
    if (c->config == NULL)
        return err_set(c->err, ERR_UNSUPPORTED, "config.json is missing among the files");
    if (family_find(&c->family, c->config, c->err) != 0)
        return -1;
    put_general(c);
    if (family_read_config(c->family, c->config, &c->sizes, c->w, &c->rope_factors, c->err) != 0 ||
        read_tensors(c) != 0)
        return -1;
    snprintf(key, sizeof key, "%s.vocab_size", c->family->architecture);
    gguf_writer_set_u32(c->w, key, c->sizes.n_vocab);
    return vocabulary_convert(c->job, c->config, c->sizes.n_vocab, c->w, c->err);
}

static int write(struct checkpoint *c, const struct recipe *recipe, const struct convert_output *out)
{
    char text[128];
    const struct recipe *made_of, *chosen;
    add_rope_factors(c);
    chosen = choose_types(c, recipe, &made_of);
    gguf_writer_set_u32(c->w, "general.file_type", recipe_file_type(chosen));
    gguf_writer_set_u32(c->w, "general.quantization_version", QUANTIZATION_VERSION);
    if (recipe == NULL || recipe_is_float(recipe))
        snprintf(text, sizeof text, "converting model");
    else
        snprintf(text, sizeof text, "quantizing %s model to %s", recipe_name(made_of), recipe_name(chosen));
    return tensors_write(&c->tensors, c->w, text, c->job->n_threads, out, c->err);
}

int checkpoint_convert(const struct convert_job *job, const struct recipe *recipe,
                       const struct convert_output *out, struct err *err)
{
    struct checkpoint c = {.job = job, .w = gguf_writer_new(32), .err = err};
    int rc = out->tell(out->user, "converting model", 0, 0, err);
    if (rc == 0)
        rc = read_all(&c);
    if (rc == 0)
        rc = write(&c, recipe, out);
    tensors_fini(&c.tensors);
    for (size_t i = 0; i < c.n_shards; i++)
        safetensors_close(c.shards[i]);
    free(c.shards);
    free(c.rope_factors);
    gguf_writer_free(c.w);
    json_decref(c.config);
    return rc;
}
