// SPDX-License-Identifier: MIT
// Values are copied as they are, but for those that say how the file is made; tensors go through the recipe.
#include "convert/quantize.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "gguf/gguf.h"
#include "gguf/gguf_write.h"

enum { FILE_TYPE_GUESSED = 1024, QUANTIZATION_VERSION = 2 };

// Files without the key are what their largest tensor is.
static uint32_t file_type_of_largest(const struct gguf *g)
{
    const struct gguf_tensor *largest = NULL;
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        if (largest == NULL || t->size_bytes > largest->size_bytes)
            largest = t;
    }
    const struct recipe *r = largest != NULL ? recipe_find(largest->type->name) : NULL;
    return r != NULL ? recipe_file_type(r) : UINT32_MAX;
}

static int read_file_type(const struct gguf *g, const struct recipe **out, struct err *err)
{
    uint32_t file_type = UINT32_MAX;
    if (gguf_get_u32(g, "general.file_type", &file_type, err) != 0)
        return -1;
    file_type = file_type == UINT32_MAX ? file_type_of_largest(g) : file_type & ~(uint32_t)FILE_TYPE_GUESSED;
    *out = recipe_of_file_type(file_type);
    if (*out == NULL || !recipe_is_float(*out))
        return err_set(err, ERR_INVALID, "quantization is only supported for F16, BF16 and F32 models");
    return 0;
}

static bool says_how_it_is_made(struct slice key)
{
    static const char *const keys[] = {"general.file_type", "general.quantization_version",
                                       "general.alignment"};
    for (size_t i = 0; i < COUNT_OF(keys); i++)
        if (slice_is(key, keys[i]))
            return true;
    return false;
}

static struct gguf_writer *copy_values(const struct gguf *g, const struct recipe *recipe)
{
    struct gguf_writer *w = gguf_writer_new(32);
    for (size_t i = 0; i < gguf_n_values(g); i++)
        if (!says_how_it_is_made(gguf_value_at(g, i)->key))
            gguf_writer_copy(w, gguf_value_at(g, i));
    gguf_writer_set_u32(w, "general.file_type", recipe_file_type(recipe));
    gguf_writer_set_u32(w, "general.quantization_version", QUANTIZATION_VERSION);
    return w;
}

static int add_tensor(struct tensors *tensors, const struct gguf_tensor *t, struct err *err)
{
    struct tensor *one = tensors_add(tensors);
    if (memchr(t->name.at, 0, t->name.n) != NULL || t->name.n >= sizeof one->name)
        return err_set(err, ERR_FORMAT, "a tensor with an impossible name");
    memcpy(one->name, t->name.at, t->name.n);
    one->from = t->type;
    one->n_dims = MAX(t->n_dims, 1u);
    memcpy(one->ne, t->ne, sizeof one->ne);
    one->data = t->data;
    return 0;
}

// After the recipe: what it changes must be floats.
static int check_types(const struct tensors *tensors, struct err *err)
{
    for (size_t i = 0; i < tensors->n; i++) {
        const struct tensor *t = &tensors->at[i];
        bool is_float = t->from->id == DTYPE_F32 || t->from->id == DTYPE_F16 || t->from->id == DTYPE_BF16;
        if (t->from != t->to && !is_float)
            return err_set(err, ERR_FORMAT,
                           "tensor '%s' is %s: quantization is only supported for F16, BF16 and F32", t->name,
                           t->from->name);
    }
    return 0;
}

static int read_tensors(const struct gguf *g, const struct recipe *recipe, struct tensors *tensors,
                        struct err *err)
{
    struct slice architecture = slice_of("");
    uint32_t n_layers = 0, n_parts = 1;
    char key[128];
    if (gguf_get_string(g, "general.architecture", &architecture, err) != 0 ||
        gguf_get_u32(g, "split.count", &n_parts, err) != 0)
        return -1;
    if (n_parts > 1)
        return err_set(err, ERR_FORMAT, "the model is split over %u files: merge them first", n_parts);
    snprintf(key, sizeof key, "%.*s.block_count", (int)MIN(architecture.n, sizeof key / 2), architecture.at);
    if (gguf_get_u32(g, key, &n_layers, err) != 0)
        return -1;
    for (size_t i = 0; i < gguf_n_tensors(g); i++)
        if (add_tensor(tensors, gguf_tensor_at(g, i), err) != 0)
            return -1;
    recipe_apply(recipe, tensors, n_layers);
    return check_types(tensors, err);
}

int quantize_gguf(const struct convert_job *job, const struct recipe *recipe,
                  const struct convert_output *out, struct err *err)
{
    struct gguf *g = NULL;
    struct gguf_writer *w = NULL;
    struct tensors tensors = {0};
    const struct recipe *old = NULL;
    char text[128];
    int rc = gguf_open(&g, job->files[0].fd, err);
    if (rc == 0)
        rc = read_file_type(g, &old, err);
    if (rc == 0 && old != recipe) {
        snprintf(text, sizeof text, "quantizing %s model to %s", recipe_name(old), recipe_name(recipe));
        rc = read_tensors(g, recipe, &tensors, err);
        if (rc == 0) {
            w = copy_values(g, recipe);
            rc = tensors_write(&tensors, w, text, job->n_threads, out, err);
        }
    }
    gguf_writer_free(w);
    tensors_fini(&tensors);
    gguf_close(g);
    return rc;
}
