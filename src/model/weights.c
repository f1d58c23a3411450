// SPDX-License-Identifier: MIT
// Loading in three passes over one list of items: describe (names, shapes, sizes: also the memory plan),
// place (one block of memory, each item at a 64-byte boundary), fill (pack or decode with all threads). A
// tensor of a layer that no item asks for is refused by name: a file with parts that are not computed would
// give wrong text.
#include "model/weights.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum item_kind { ITEM_MATRIX, ITEM_VECTOR, ITEM_ROWS, ITEM_COARSE };

struct item {
    enum item_kind kind;
    const struct gguf_tensor *tensor;
    uint64_t first_row;    // of the tensor, for fused ones
    struct matrix *matrix; // ITEM_MATRIX
    void **target;         // ITEM_VECTOR, ITEM_ROWS
    size_t bytes, offset;
};

struct loader {
    const struct gguf *g;
    struct weights *w;
    struct item *items;
    size_t n_items, capacity;
    size_t total_bytes;
    bool with_coarse;
    struct err *err;
};

static int add_item(struct loader *l, struct item item)
{
    if (l->n_items == l->capacity) {
        l->capacity = MAX(64, l->capacity * 2);
        l->items = xrealloc(l->items, l->capacity * sizeof *l->items);
    }
    item.offset = l->total_bytes;
    if (!mem_add(l->total_bytes, ROUND_UP(item.bytes, 64), &l->total_bytes))
        return err_set(l->err, ERR_FORMAT, "the tensors' sizes overflow");
    l->items[l->n_items++] = item;
    return 0;
}

static int shape_error(struct loader *l, const struct gguf_tensor *t, uint64_t n_cols, uint64_t n_rows)
{
    return err_set(l->err, ERR_FORMAT, "tensor '%.*s' is %llu x %llu, expected %llu x %llu", (int)t->name.n,
                   t->name.at, (unsigned long long)t->ne[0], (unsigned long long)t->ne[1],
                   (unsigned long long)n_cols, (unsigned long long)n_rows);
}

static bool has_shape(const struct gguf_tensor *t, uint64_t n_cols, uint64_t n_rows)
{
    return t->ne[0] == n_cols && t->ne[1] == n_rows && t->ne[2] == 1 && t->ne[3] == 1;
}

static const struct gguf_tensor *find(struct loader *l, int layer_i, const char *suffix)
{
    char name[96];
    if (layer_i < 0)
        snprintf(name, sizeof name, "%s", suffix);
    else
        snprintf(name, sizeof name, "blk.%d.%s", layer_i, suffix);
    return gguf_find_tensor(l->g, name);
}

static int missing(struct loader *l, int layer_i, const char *suffix)
{
    if (layer_i < 0)
        return err_set(l->err, ERR_FORMAT, "tensor '%s' is missing", suffix);
    return err_set(l->err, ERR_FORMAT, "tensor 'blk.%d.%s' is missing", layer_i, suffix);
}

// Rows [first_row, first_row + n_rows) of a tensor as a matrix.
static int add_matrix(struct loader *l, const struct gguf_tensor *t, struct matrix *m, uint64_t first_row,
                      uint64_t n_rows)
{
    size_t bytes = matrix_packed_bytes((enum dtype)t->type->id, n_rows, t->ne[0]);
    if (t->type->decode == NULL || bytes == 0)
        return err_set(l->err, ERR_UNSUPPORTED, "tensor '%.*s' has type %s, which is not supported",
                       (int)t->name.n, t->name.at, t->type->name);
    *m = (struct matrix){(enum dtype)t->type->id, (uint32_t)n_rows, (uint32_t)t->ne[0], NULL};
    return add_item(
        l,
        (struct item){.kind = ITEM_MATRIX, .tensor = t, .first_row = first_row, .matrix = m, .bytes = bytes});
}

static int add_whole_matrix(struct loader *l, int layer_i, const char *suffix, struct matrix *m,
                            uint64_t n_cols, uint64_t n_rows)
{
    const struct gguf_tensor *t = find(l, layer_i, suffix);
    if (t == NULL)
        return missing(l, layer_i, suffix);
    if (!has_shape(t, n_cols, n_rows))
        return shape_error(l, t, n_cols, n_rows);
    return add_matrix(l, t, m, 0, n_rows);
}

// n values from `first` on of a one-dimensional tensor; absent is fine unless required.
static int add_vector(struct loader *l, int layer_i, const char *suffix, float **target, uint64_t n,
                      bool required)
{
    const struct gguf_tensor *t = find(l, layer_i, suffix);
    *target = NULL;
    if (t == NULL)
        return required ? missing(l, layer_i, suffix) : 0;
    if (!has_shape(t, n, 1))
        return shape_error(l, t, n, 1);
    if (t->type->decode == NULL)
        return err_set(l->err, ERR_UNSUPPORTED, "tensor '%.*s' has type %s, which is not supported",
                       (int)t->name.n, t->name.at, t->type->name);
    return add_item(
        l, (struct item){
               .kind = ITEM_VECTOR, .tensor = t, .target = (void **)target, .bytes = n * sizeof(float)});
}

// Q, K and V, alone or fused as the rows of attn_qkv.
static int add_qkv(struct loader *l, int i, struct layer *y)
{
    const struct hparams *h = &l->w->h;
    uint64_t n_q = (uint64_t)h->n_head * h->head_dim, n_kv = (uint64_t)h->n_head_kv * h->head_dim;
    const struct gguf_tensor *fused = find(l, i, "attn_qkv.weight");
    if (fused == NULL) {
        if (add_whole_matrix(l, i, "attn_q.weight", &y->q, h->n_embd, n_q) != 0 ||
            add_whole_matrix(l, i, "attn_k.weight", &y->k, h->n_embd, n_kv) != 0 ||
            add_whole_matrix(l, i, "attn_v.weight", &y->v, h->n_embd, n_kv) != 0)
            return -1;
    } else {
        if (!has_shape(fused, h->n_embd, n_q + 2 * n_kv))
            return shape_error(l, fused, h->n_embd, n_q + 2 * n_kv);
        if (add_matrix(l, fused, &y->q, 0, n_q) != 0 || add_matrix(l, fused, &y->k, n_q, n_kv) != 0 ||
            add_matrix(l, fused, &y->v, n_q + n_kv, n_kv) != 0)
            return -1;
    }
    if (add_vector(l, i, "attn_q.bias", &y->q_bias, n_q, false) != 0 ||
        add_vector(l, i, "attn_k.bias", &y->k_bias, n_kv, false) != 0)
        return -1;
    return add_vector(l, i, "attn_v.bias", &y->v_bias, n_kv, false);
}

static int add_layer(struct loader *l, int i)
{
    const struct hparams *h = &l->w->h;
    struct layer *y = &l->w->layers[i];
    uint64_t n_q = (uint64_t)h->n_head * h->head_dim;
    bool norms = h->arch->qk_norm, post = h->arch->post_norms;
    if (add_vector(l, i, "attn_norm.weight", &y->attn_norm, h->n_embd, true) != 0 || add_qkv(l, i, y) != 0 ||
        add_whole_matrix(l, i, "attn_output.weight", &y->o, n_q, h->n_embd) != 0 ||
        add_vector(l, i, "attn_output.bias", &y->o_bias, h->n_embd, false) != 0)
        return -1;
    if (norms && (add_vector(l, i, "attn_q_norm.weight", &y->q_norm, h->head_dim, true) != 0 ||
                  add_vector(l, i, "attn_k_norm.weight", &y->k_norm, h->head_dim, true) != 0))
        return -1;
    if (post && (add_vector(l, i, "post_attention_norm.weight", &y->post_attn_norm, h->n_embd, true) != 0 ||
                 add_vector(l, i, "post_ffw_norm.weight", &y->post_ffn_norm, h->n_embd, true) != 0))
        return -1;
    if (add_vector(l, i, "ffn_norm.weight", &y->ffn_norm, h->n_embd, true) != 0 ||
        add_whole_matrix(l, i, "ffn_gate.weight", &y->gate, h->n_embd, h->n_ff) != 0 ||
        add_whole_matrix(l, i, "ffn_up.weight", &y->up, h->n_embd, h->n_ff) != 0 ||
        add_whole_matrix(l, i, "ffn_down.weight", &y->down, h->n_ff, h->n_embd) != 0)
        return -1;
    if (add_vector(l, i, "ffn_gate.bias", &y->gate_bias, h->n_ff, false) != 0 ||
        add_vector(l, i, "ffn_up.bias", &y->up_bias, h->n_ff, false) != 0)
        return -1;
    return add_vector(l, i, "ffn_down.bias", &y->down_bias, h->n_embd, false);
}

// The head, and its coarse copy where its type has one.
static int add_head(struct loader *l, const struct gguf_tensor *t)
{
    struct weights *w = l->w;
    if (add_matrix(l, t, &w->head, 0, w->h.n_vocab) != 0)
        return -1;
    size_t bytes = l->with_coarse ? coarse_bytes(w->head.type, w->head.n_rows, w->head.n_cols) : 0;
    return bytes > 0 ? add_item(l, (struct item){.kind = ITEM_COARSE, .tensor = t, .bytes = bytes}) : 0;
}

static int add_embedding_and_head(struct loader *l)
{
    struct weights *w = l->w;
    struct hparams *h = &w->h;
    const struct gguf_tensor *embedding = find(l, -1, "token_embd.weight"),
                             *output = find(l, -1, "output.weight");
    if (embedding == NULL)
        return missing(l, -1, "token_embd.weight");
    if (embedding->ne[1] == 0 || embedding->ne[1] > UINT32_MAX / 2 ||
        !has_shape(embedding, h->n_embd, embedding->ne[1]))
        return shape_error(l, embedding, h->n_embd, embedding->ne[1]);
    h->n_vocab = (uint32_t)embedding->ne[1];
    if (add_vector(l, -1, "output_norm.weight", &w->head_norm, h->n_embd, true) != 0 ||
        add_vector(l, -1, "rope_freqs.weight", &w->rope_factors, h->n_rot / 2, false) != 0)
        return -1;
    if (output == NULL)
        return add_head(l, embedding);
    if (!has_shape(output, h->n_embd, h->n_vocab))
        return shape_error(l, output, h->n_embd, h->n_vocab);
    if (embedding->type->decode == NULL)
        return err_set(l->err, ERR_UNSUPPORTED,
                       "tensor 'token_embd.weight' has type %s, which is not supported",
                       embedding->type->name);
    w->embedding_type = embedding->type;
    w->embedding_row_bytes = embedding->size_bytes / h->n_vocab;
    if (add_item(l, (struct item){.kind = ITEM_ROWS,
                                  .tensor = embedding,
                                  .target = &w->embedding_rows,
                                  .bytes = embedding->size_bytes}) != 0)
        return -1;
    return add_head(l, output);
}

static int check_nothing_is_left(struct loader *l)
{
    for (size_t i = 0; i < gguf_n_tensors(l->g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(l->g, i);
        bool used = false;
        for (size_t k = 0; k < l->n_items && !used; k++)
            used = l->items[k].tensor == t;
        if (!used)
            return err_set(l->err, ERR_UNSUPPORTED,
                           "tensor '%.*s' is not part of what drover computes for architecture %s",
                           (int)t->name.n, t->name.at, l->w->h.arch->name);
    }
    return 0;
}

static int describe(struct loader *l)
{
    struct weights *w = l->w;
    if (hparams_read(&w->h, l->g, l->err) != 0)
        return -1;
    w->layers = xcalloc(w->h.n_layer, sizeof *w->layers);
    if (add_embedding_and_head(l) != 0)
        return -1;
    for (uint32_t i = 0; i < w->h.n_layer; i++)
        if (add_layer(l, (int)i) != 0)
            return -1;
    return check_nothing_is_left(l);
}

int weights_plan(const struct gguf *g, bool with_coarse, struct hparams *h, size_t *memory_bytes,
                 struct err *err)
{
    struct weights w = {0};
    struct loader l = {.g = g, .w = &w, .with_coarse = with_coarse, .err = err};
    int rc = describe(&l);
    *h = w.h;
    *memory_bytes = l.total_bytes;
    free(l.items);
    free(w.layers);
    return rc;
}

// ---- Filling ----

struct pack_job {
    struct matrix *m;
    struct coarse *coarse; // not NULL: pack it instead
    const char *rows;
    uint64_t row_bytes;
};

static void pack_share(void *arg, int thread_i, int n_threads)
{
    const struct pack_job *job = arg;
    uint64_t n_panels = matrix_panels(job->m);
    uint32_t begin = (uint32_t)(n_panels * (uint64_t)thread_i / (uint64_t)n_threads);
    uint32_t end = (uint32_t)(n_panels * (uint64_t)(thread_i + 1) / (uint64_t)n_threads);
    const char *rows = job->rows + (uint64_t)begin * PANEL_ROWS * job->row_bytes;
    if (begin < end && job->coarse != NULL)
        coarse_pack(job->coarse, job->m->type, rows, begin, end);
    else if (begin < end)
        matrix_pack(job->m, rows, begin, end);
}

static void fill(struct loader *l, const struct item *item, struct pool *pool)
{
    char *at = (char *)l->w->memory + item->offset;
    const struct gguf_tensor *t = item->tensor;
    switch (item->kind) {
    case ITEM_MATRIX: {
        item->matrix->data = at;
        uint64_t row_bytes = t->size_bytes / t->ne[1];
        struct pack_job job = {item->matrix, NULL, (const char *)t->data + item->first_row * row_bytes,
                               row_bytes};
        pool_run(pool, pack_share, &job);
        break;
    }
    case ITEM_COARSE: {
        coarse_place(&l->w->coarse, &l->w->head, at);
        struct pack_job job = {&l->w->head, &l->w->coarse, t->data, t->size_bytes / t->ne[1]};
        pool_run(pool, pack_share, &job);
        break;
    }
    case ITEM_VECTOR:
        *item->target = at;
        dtype_decode_row(t->type, t->data, t->ne[0], (float *)(void *)at);
        break;
    case ITEM_ROWS:
        *item->target = at;
        memcpy(at, t->data, t->size_bytes);
        break;
    }
}

// Items of one tensor follow each other; its pages of the file go when the last of them is filled.
static bool is_last_of_tensor(const struct loader *l, size_t i)
{
    return i + 1 == l->n_items || l->items[i + 1].tensor != l->items[i].tensor;
}

int weights_load(struct weights *w, const struct gguf *g, struct pool *pool, bool with_coarse,
                 weights_progress_fn *progress, void *user, struct err *err)
{
    memset(w, 0, sizeof *w);
    struct loader l = {.g = g, .w = w, .with_coarse = with_coarse, .err = err};
    int rc = describe(&l);
    if (rc != 0)
        goto out;
    w->memory_bytes = l.total_bytes;
    w->memory = mem_map(l.total_bytes);
    if (w->memory == NULL) {
        rc = err_set(err, ERR_NO_MEMORY, "cannot allocate %zu MiB for the weights", l.total_bytes >> 20);
        goto out;
    }
    for (size_t i = 0; i < l.n_items && rc == 0; i++) {
        fill(&l, &l.items[i], pool);
        if (is_last_of_tensor(&l, i))
            gguf_forget_tensor(g, l.items[i].tensor);
        if (progress != NULL && !progress(user, l.items[i].offset + l.items[i].bytes, l.total_bytes))
            rc = err_set(err, ERR_CANCELLED, "loading was cancelled");
    }
out:
    free(l.items);
    if (rc != 0)
        weights_fini(w);
    return rc;
}

void weights_fini(struct weights *w)
{
    free(w->layers);
    mem_unmap(w->memory, w->memory_bytes);
    memset(w, 0, sizeof *w);
}

void weights_ban_rows(struct weights *w, const uint32_t *rows, size_t n)
{
    for (size_t i = 0; i < n && w->coarse.matrix.data != NULL; i++)
        w->coarse.errors[rows[i]] = -INFINITY;
}

void weights_embed(const struct weights *w, uint32_t token_id, float *out)
{
    if (w->embedding_rows == NULL) {
        matrix_decode_row(&w->head, token_id, out);
        return;
    }
    const char *row = (const char *)w->embedding_rows + (size_t)token_id * w->embedding_row_bytes;
    dtype_decode_row(w->embedding_type, row, w->h.n_embd, out);
}
