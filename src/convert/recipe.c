// SPDX-License-Identifier: MIT
// The tables. A matrix gets the recipe's type; the output matrix (or the embedding, where that serves as
// output too), and of some layers the values and the way down of the feed-forward part, get a better one:
// errors there cost the most. Norms and other vectors stay as they are. A row that is no whole number of
// blocks falls back to a type with shorter blocks.
#include "convert/recipe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"

// Of which layers the values and the way down are better.
enum better { BETTER_NONE, BETTER_FIRST, BETTER_SPREAD };

struct recipe {
    const char *name, *alias;
    uint32_t file_type;
    enum dtype matrix, output;
    enum better better;
    enum dtype better_type;
};

static const struct recipe recipes[] = {
    {"F32", NULL, 0, DTYPE_F32, DTYPE_F32},
    {"F16", NULL, 1, DTYPE_F16, DTYPE_F16},
    {"BF16", NULL, 32, DTYPE_BF16, DTYPE_BF16},
    {"Q8_0", NULL, 7, DTYPE_Q8_0, DTYPE_Q8_0},
    {"Q6_K", NULL, 18, DTYPE_Q6_K, DTYPE_Q6_K},
    {"Q5_K_M", "Q5_K", 17, DTYPE_Q5_K, DTYPE_Q6_K, BETTER_SPREAD, DTYPE_Q6_K},
    {"Q5_K_S", NULL, 16, DTYPE_Q5_K, DTYPE_Q6_K},
    {"Q5_1", NULL, 9, DTYPE_Q5_1, DTYPE_Q6_K},
    {"Q5_0", NULL, 8, DTYPE_Q5_0, DTYPE_Q6_K},
    {"Q4_K_M", "Q4_K", 15, DTYPE_Q4_K, DTYPE_Q6_K, BETTER_SPREAD, DTYPE_Q6_K},
    {"Q4_K_S", NULL, 14, DTYPE_Q4_K, DTYPE_Q6_K, BETTER_FIRST, DTYPE_Q5_K},
    {"Q4_1", NULL, 3, DTYPE_Q4_1, DTYPE_Q6_K},
    {"Q4_0", NULL, 2, DTYPE_Q4_0, DTYPE_Q6_K},
};

// For rows that are no multiple of 256, of 32.
static const struct {
    enum dtype type, shorter;
} fallbacks[] = {
    {DTYPE_Q4_K, DTYPE_Q5_0}, {DTYPE_Q5_K, DTYPE_Q5_1}, {DTYPE_Q6_K, DTYPE_Q8_0}, {DTYPE_Q4_0, DTYPE_F16},
    {DTYPE_Q4_1, DTYPE_F16},  {DTYPE_Q5_0, DTYPE_F16},  {DTYPE_Q5_1, DTYPE_F16},  {DTYPE_Q8_0, DTYPE_F16},
};

const struct recipe *recipe_find(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(recipes); i++)
        if (strcasecmp(recipes[i].name, name) == 0 ||
            (recipes[i].alias != NULL && strcasecmp(recipes[i].alias, name) == 0))
            return &recipes[i];
    return NULL;
}

const struct recipe *recipe_of_file_type(uint32_t file_type)
{
    for (size_t i = 0; i < COUNT_OF(recipes); i++)
        if (recipes[i].file_type == file_type)
            return &recipes[i];
    return NULL;
}

const char *recipe_names(void)
{
    static char names[256];
    if (names[0] == 0)
        for (size_t i = 0, n = 0; i < COUNT_OF(recipes); i++)
            n += (size_t)snprintf(names + n, sizeof names - n, "%s%s", i ? ", " : "", recipes[i].name);
    return names;
}

const char *recipe_name(const struct recipe *r)
{
    return r->name;
}

uint32_t recipe_file_type(const struct recipe *r)
{
    return r->file_type;
}

bool recipe_is_float(const struct recipe *r)
{
    return dtype_find(r->matrix)->block_elems == 1;
}

// ---- One tensor ----

static bool is_matrix(const struct tensor *t)
{
    size_t n = strlen(t->name);
    return t->n_dims >= 2 && n > 7 && strcmp(t->name + n - 7, ".weight") == 0 &&
           strstr(t->name, "norm") == NULL && strstr(t->name, "ffn_gate_inp") == NULL &&
           strcmp(t->name, "position_embd.weight") != 0 && strcmp(t->name, "token_types.weight") != 0;
}

// The number in "blk.7.attn_v.weight" when the rest is `suffix`; else -1.
static int layer_of(const struct tensor *t, const char *suffix)
{
    char *rest = NULL;
    if (strncmp(t->name, "blk.", 4) != 0)
        return -1;
    long layer = strtol(t->name + 4, &rest, 10);
    return layer >= 0 && layer < 1 << 20 && strcmp(rest, suffix) == 0 ? (int)layer : -1;
}

// Both ends of the model, and every third layer between.
static bool is_spread(uint32_t layer, uint32_t n_layers)
{
    uint32_t eighth = n_layers / 8;
    return layer < eighth || layer >= 7 * n_layers / 8 || (layer - eighth) % 3 == 2;
}

static bool is_better(const struct recipe *r, const struct tensor *t, uint32_t n_layers)
{
    int v = layer_of(t, ".attn_v.weight"), down = layer_of(t, ".ffn_down.weight");
    if (v < 0 && down < 0)
        return false;
    if (r->better == BETTER_SPREAD)
        return is_spread((uint32_t)MAX(v, down), n_layers);
    return r->better == BETTER_FIRST && (v >= 0 ? v < 4 : (uint32_t)down < n_layers / 8);
}

static enum dtype fit_row(enum dtype type, uint64_t n_cols)
{
    for (size_t i = 0; i < COUNT_OF(fallbacks); i++)
        if (fallbacks[i].type == type && n_cols % dtype_find(type)->block_elems != 0)
            return fit_row(fallbacks[i].shorter, n_cols);
    return type;
}

void recipe_apply(const struct recipe *r, struct tensors *tensors, uint32_t n_layers)
{
    bool is_tied = true;
    for (size_t i = 0; i < tensors->n; i++)
        if (strcmp(tensors->at[i].name, "output.weight") == 0)
            is_tied = false;
    for (size_t i = 0; i < tensors->n; i++) {
        struct tensor *t = &tensors->at[i];
        const char *head = is_tied ? "token_embd.weight" : "output.weight";
        enum dtype type = strcmp(t->name, head) == 0  ? r->output
                          : is_better(r, t, n_layers) ? r->better_type
                                                      : r->matrix;
        if (!is_matrix(t))
            type = r->matrix == DTYPE_F32 ? DTYPE_F32 : (enum dtype)t->from->id;
        t->to = dtype_find(fit_row(type, t->ne[0]));
    }
}
