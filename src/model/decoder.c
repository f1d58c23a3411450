// SPDX-License-Identifier: MIT
// One function from top to bottom, decoder_pass(), run by all threads. Between barriers a thread works on its
// own share: of columns (norms), of output rows (products) or of (columns, KV head) items (attention). Shapes
// stand beside the buffers.
#include "model/decoder.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/rope.h"

enum {
    QUERY_POSITIONS = 16,   // positions of one prompt that attend together
    MAX_ITEM_QUERIES = 512, // queries of one attention item
};

// The input of products, in each form that a weight type of that place needs. Products that the answer is
// sensitive to (keys, values, attention's output: an eighth of the work) take `pair`: twice as many columns,
// the int8 form and then what it left out, whose products are added; this halves the whole model's error.
struct inputs {
    struct acts q8, pair, f32;
};

struct decoder {
    struct decoder_options o;
    const struct hparams *h;
    struct rope rope_global, rope_local;
    void *memory;
    size_t memory_bytes;
    uint32_t q_stride, kv_stride, embd_stride, ff_stride, vocab_stride; // floats per column, whole panels
    float *x[2];      // [max_tokens][embd_stride] residual stream; a region reads one and writes the other
    float *delta;     // [max_tokens][embd_stride] what a branch adds to it
    float *q, *k, *v; // [max_tokens][q_stride], [kv_stride]
    float *attended;  // [max_tokens][q_stride]
    float *gate, *up; // [max_tokens][ff_stride]
    float *angles[2]; // [max_tokens][n_rot] cos, sin: global, local layers
    float *pairs;     // [2 * max_tokens][widest of embd_stride, kv_stride] products of pairs
    float *local;     // [n_threads][embd_stride] scratch of one thread
    float *residual;  // [n_threads][widest of embd_stride, q_stride] what int8 left out of one column
    float *logits;    // [max_logits][vocab_stride]
    struct inputs in_embd, in_attended, in_ff; // widths n_embd, n_head * head_dim, n_ff
    const struct decoder_batch *batch;
};

void kv_layout_init(struct kv_layout *l, const struct hparams *h, enum kv_type type)
{
    l->type = type;
    l->keys_bytes = kv_keys_bytes(type, h->head_dim);
    l->head_bytes = l->keys_bytes + kv_values_bytes(type, h->head_dim);
    l->layer_bytes = l->head_bytes * h->n_head_kv;
    l->page_bytes = l->layer_bytes * h->n_layer;
}

// Hands out pieces of one block; with memory NULL it only counts.
struct carver {
    char *memory;
    size_t used;
};

static void *carve(struct carver *c, size_t bytes)
{
    void *at = c->memory ? c->memory + c->used : NULL;
    c->used += ROUND_UP(bytes, 64);
    return at;
}

static void carve_inputs(struct carver *c, struct inputs *in, uint32_t n_columns, uint32_t k)
{
    in->q8 = (struct acts){ACTS_Q8, n_columns, k, NULL};
    in->pair = (struct acts){ACTS_Q8, 2 * n_columns, k, NULL};
    in->f32 = (struct acts){ACTS_F32, n_columns, k, NULL};
    if (k % 32 == 0) {
        in->q8.data = carve(c, acts_bytes(ACTS_Q8, n_columns, k));
        in->pair.data = carve(c, acts_bytes(ACTS_Q8, 2 * n_columns, k));
    }
    in->f32.data = carve(c, acts_bytes(ACTS_F32, n_columns, k));
}

static void carve_all(struct carver *c, struct decoder *d, const struct hparams *h, uint32_t n,
                      uint32_t n_logits, int n_threads)
{
    size_t f = sizeof(float);
    d->q_stride = ROUND_UP(h->n_head * h->head_dim, PANEL_ROWS);
    d->kv_stride = ROUND_UP(h->n_head_kv * h->head_dim, PANEL_ROWS);
    d->embd_stride = ROUND_UP(h->n_embd, PANEL_ROWS);
    d->ff_stride = ROUND_UP(h->n_ff, PANEL_ROWS);
    d->vocab_stride = ROUND_UP(h->n_vocab, PANEL_ROWS);
    for (int i = 0; i < 2; i++) {
        d->x[i] = carve(c, f * n * d->embd_stride);
        d->angles[i] = carve(c, f * n * MAX(h->n_rot, 1));
    }
    d->delta = carve(c, f * n * d->embd_stride);
    d->q = carve(c, f * n * d->q_stride);
    d->k = carve(c, f * n * d->kv_stride);
    d->v = carve(c, f * n * d->kv_stride);
    d->attended = carve(c, f * n * d->q_stride);
    d->gate = carve(c, f * n * d->ff_stride);
    d->up = carve(c, f * n * d->ff_stride);
    d->pairs = carve(c, f * 2 * n * MAX(d->embd_stride, d->kv_stride));
    d->local = carve(c, f * (size_t)n_threads * d->embd_stride);
    d->residual = carve(c, f * (size_t)n_threads * MAX(d->embd_stride, d->q_stride));
    d->logits = carve(c, f * n_logits * d->vocab_stride);
    carve_inputs(c, &d->in_embd, MAX(n, n_logits), h->n_embd);
    carve_inputs(c, &d->in_attended, n, h->n_head * h->head_dim);
    carve_inputs(c, &d->in_ff, n, h->n_ff);
}

size_t decoder_scratch_bytes(const struct hparams *h, uint32_t max_tokens, uint32_t max_logits, int n_threads)
{
    struct decoder d = {0};
    struct carver c = {0};
    carve_all(&c, &d, h, max_tokens, max_logits, n_threads);
    return c.used;
}

int decoder_new(struct decoder **out, const struct decoder_options *o, struct err *err)
{
    struct decoder *d = xcalloc(1, sizeof *d);
    d->o = *o;
    d->h = &o->weights->h;
    d->memory_bytes = decoder_scratch_bytes(d->h, o->max_tokens, o->max_logits, pool_size(o->pool));
    d->memory = mem_map(d->memory_bytes);
    *out = NULL;
    if (d->memory == NULL) {
        err_set(err, ERR_NO_MEMORY, "cannot allocate %zu MiB of scratch memory", d->memory_bytes >> 20);
        free(d);
        return -1;
    }
    struct carver c = {.memory = d->memory};
    carve_all(&c, d, d->h, o->max_tokens, o->max_logits, pool_size(o->pool));
    rope_init(&d->rope_global, d->h->n_rot, (double)d->h->rope_base, (double)d->h->rope_scale,
              o->weights->rope_factors);
    rope_init(&d->rope_local, d->h->n_rot, (double)d->h->window_rope_base, 1.0, NULL);
    *out = d;
    return 0;
}

void decoder_free(struct decoder *d)
{
    if (d == NULL)
        return;
    rope_fini(&d->rope_global);
    rope_fini(&d->rope_local);
    mem_unmap(d->memory, d->memory_bytes);
    free(d);
}

float *decoder_logits(struct decoder *d, uint32_t i)
{
    return d->logits + (size_t)i * d->vocab_stride;
}

// ---- Shares of work ----

struct range {
    uint32_t begin, end;
};

static struct range share(uint32_t n, int thread_i, int n_threads)
{
    return (struct range){(uint32_t)((uint64_t)n * (uint64_t)thread_i / (uint64_t)n_threads),
                          (uint32_t)((uint64_t)n * (uint64_t)(thread_i + 1) / (uint64_t)n_threads)};
}

// Panels in pairs, so that a share of outputs is whole blocks of 32 as inputs of the next product.
static struct range share_panels(const struct matrix *m, int thread_i, int n_threads)
{
    uint32_t n_panels = matrix_panels(m);
    struct range pairs = share((n_panels + 1) / 2, thread_i, n_threads);
    return (struct range){MIN(pairs.begin * 2, n_panels), MIN(pairs.end * 2, n_panels)};
}

enum { NEED_Q8 = 1, NEED_F32 = 2, NEED_PAIR = 4 };

static int need_of(const struct matrix *m)
{
    return acts_kind_for(m->type) == ACTS_Q8 ? NEED_Q8 : NEED_F32;
}

static int precise_need_of(const struct matrix *m)
{
    return acts_kind_for(m->type) == ACTS_Q8 ? NEED_PAIR : NEED_F32;
}

static void store_input(const struct decoder *d, struct inputs *in, int need, uint32_t column, struct range k,
                        const float *values, int thread_i)
{
    if (k.begin >= k.end)
        return;
    if (need & NEED_Q8)
        acts_store(d->o.kernels, &in->q8, column, k.begin, k.end, values);
    if (need & NEED_PAIR) {
        float *rest = d->residual + (size_t)thread_i * MAX(d->embd_stride, d->q_stride);
        acts_store(d->o.kernels, &in->pair, column, k.begin, k.end, values);
        acts_residual(&in->pair, column, k.begin, k.end, values, rest);
        acts_store(d->o.kernels, &in->pair, column + in->pair.n_columns / 2, k.begin, k.end, rest);
    }
    if (need & NEED_F32)
        acts_store(d->o.kernels, &in->f32, column, k.begin, k.end, values);
}

// The share of a column's values that one thread stores when all threads share each column: whole blocks
// of 32.
static struct range share_values(uint32_t k, int thread_i, int n_threads)
{
    struct range blocks = share((k + 31) / 32, thread_i, n_threads);
    return (struct range){MIN(blocks.begin * 32, k), MIN(blocks.end * 32, k)};
}

// Where a product goes: [n_tokens][stride].
struct target {
    float *at;
    size_t stride;
};

static void product(const struct decoder *d, const struct matrix *m, const struct acts *a,
                    struct range panels, struct target out)
{
    if (panels.begin < panels.end)
        matmul(d->o.kernels, m, a, panels.begin, panels.end, out.at, out.stride);
}

static const struct acts *input_for(const struct matrix *m, const struct inputs *in)
{
    return acts_kind_for(m->type) == ACTS_Q8 ? &in->q8 : &in->f32;
}

// out += other, this thread's rows of every column; the other is one vector for all columns when its stride
// is 0.
static void add_rows(const struct decoder *d, const struct matrix *m, struct range panels, struct target out,
                     struct target other)
{
    uint32_t row = panels.begin * PANEL_ROWS, end = MIN(panels.end * PANEL_ROWS, m->n_rows);
    for (uint32_t c = 0; c < d->batch->n_tokens && row < end; c++)
        vec_add(d->o.kernels, out.at + c * out.stride + row, out.at + c * out.stride + row,
                other.at + c * other.stride + row, end - row);
}

// out[column][rows of this thread's panels] = m * in + bias
static void linear(const struct decoder *d, const struct matrix *m, float *bias, const struct inputs *in,
                   struct target out, int thread_i, int n_threads)
{
    struct range panels = share_panels(m, thread_i, n_threads);
    product(d, m, input_for(m, in), panels, out);
    if (bias != NULL)
        add_rows(d, m, panels, out, (struct target){bias, 0});
}

// The same over pairs: one product of twice as many columns, so that the weights are read once.
static void precise_linear(const struct decoder *d, const struct matrix *m, float *bias,
                           const struct inputs *in, struct target out, int thread_i, int n_threads)
{
    struct range panels = share_panels(m, thread_i, n_threads);
    if (acts_kind_for(m->type) != ACTS_Q8) {
        linear(d, m, bias, in, out, thread_i, n_threads);
        return;
    }
    struct target pairs = {d->pairs, MAX(d->embd_stride, d->kv_stride)};
    uint32_t n = d->batch->n_tokens, row = panels.begin * PANEL_ROWS;
    uint32_t end = MIN(panels.end * PANEL_ROWS, m->n_rows);
    product(d, m, &in->pair, panels, pairs);
    for (uint32_t c = 0; c < n && row < end; c++)
        vec_add(d->o.kernels, out.at + c * out.stride + row, pairs.at + c * pairs.stride + row,
                pairs.at + (n + c) * pairs.stride + row, end - row);
    if (bias != NULL)
        add_rows(d, m, panels, out, (struct target){bias, 0});
}

// ---- Regions ----

// What a region between two branches does for one column: residual sum (with the branch's own norm first),
// next norm, store as input.
struct join {
    const float *delta_norm; // norm of the branch's output before it is added; NULL: none
    bool has_delta;
    const float *norm; // of the next branch
    int need;
    const uint32_t *columns; // NULL: all of the batch; else input column i is made of columns[i]
    uint32_t n_columns;
};

static void join_column(struct decoder *d, const struct join *j, uint32_t i, int from, int thread_i,
                        struct range k, bool writes_x)
{
    const struct kernels *kn = d->o.kernels;
    size_t column = j->columns ? j->columns[i] : i, n = d->h->n_embd;
    float *mine = d->local + (size_t)thread_i * d->embd_stride;
    const float *x = d->x[from] + column * d->embd_stride;
    if (j->has_delta) {
        const float *delta = d->delta + column * d->embd_stride;
        if (j->delta_norm != NULL) {
            vec_rms_norm(kn, mine, delta, j->delta_norm, n, d->h->norm_eps);
            delta = mine;
        }
        vec_add(kn, mine, x, delta, n);
        x = mine;
    }
    if (writes_x)
        memcpy(d->x[1 - from] + column * d->embd_stride, x, n * sizeof *x);
    vec_rms_norm(kn, mine, x, j->norm, n, d->h->norm_eps);
    store_input(d, &d->in_embd, j->need, i, k, mine + k.begin, thread_i);
}

// Columns are shared; when there are fewer of them than threads every thread computes each (a norm is cheaper
// than a barrier) and stores its part.
static void join_branches(struct decoder *d, const struct join *j, int from, int thread_i, int n_threads)
{
    if (j->n_columns >= (uint32_t)n_threads) {
        struct range r = share(j->n_columns, thread_i, n_threads);
        for (uint32_t i = r.begin; i < r.end; i++)
            join_column(d, j, i, from, thread_i, (struct range){0, d->h->n_embd}, true);
    } else {
        struct range k = share_values(d->h->n_embd, thread_i, n_threads);
        for (uint32_t i = 0; i < j->n_columns; i++)
            join_column(d, j, i, from, thread_i, k, i % (uint32_t)n_threads == (uint32_t)thread_i);
    }
}

static const struct decoder_run *run_of(const struct decoder_batch *b, uint32_t column)
{
    uint32_t low = 0, high = b->n_runs - 1;
    while (low < high) {
        uint32_t middle = (low + high + 1) / 2;
        if (b->runs[middle].first_column <= column)
            low = middle;
        else
            high = middle - 1;
    }
    return &b->runs[low];
}

// Token rows and the positions' angles.
static void embed_columns(struct decoder *d, int thread_i, int n_threads)
{
    const struct decoder_batch *b = d->batch;
    struct range r = share(b->n_tokens, thread_i, n_threads);
    for (uint32_t c = r.begin; c < r.end; c++) {
        const struct decoder_run *run = run_of(b, c);
        uint32_t position = run->first_position + (c - run->first_column);
        float *x = d->x[0] + (size_t)c * d->embd_stride;
        weights_embed(d->o.weights, b->token_ids[c], x);
        if (d->h->embedding_scale != 1.0f)
            vec_scale(d->o.kernels, x, x, d->h->embedding_scale, d->h->n_embd);
        rope_angles(&d->rope_global, position, d->angles[0] + (size_t)c * d->h->n_rot);
        if (d->h->window > 0)
            rope_angles(&d->rope_local, position, d->angles[1] + (size_t)c * d->h->n_rot);
    }
}

static void norm_and_rotate(const struct decoder *d, float *head, const float *norm, const float *angles)
{
    if (norm != NULL)
        vec_rms_norm(d->o.kernels, head, head, norm, d->h->head_dim, d->h->norm_eps);
    if (d->h->arch->rope == ROPE_NEOX)
        vec_rope_neox(d->o.kernels, head, angles, d->h->n_rot);
    else
        vec_rope_norm(d->o.kernels, head, angles, d->h->n_rot);
}

static char *kv_at(const struct decoder *d, uint32_t page_id, uint32_t layer_i, uint32_t head)
{
    return d->o.kv_memory + page_id * d->o.kv.page_bytes + layer_i * d->o.kv.layer_bytes +
           head * d->o.kv.head_bytes;
}

// Rotates queries and keys, and puts keys and values into their pages. Items are (column, KV head).
static void rotate_and_store(struct decoder *d, uint32_t layer_i, int thread_i, int n_threads)
{
    const struct hparams *h = d->h;
    const struct layer *y = &d->o.weights->layers[layer_i];
    uint32_t group = h->n_head / h->n_head_kv;
    struct range r = share(d->batch->n_tokens * h->n_head_kv, thread_i, n_threads);
    for (uint32_t item = r.begin; item < r.end; item++) {
        uint32_t c = item / h->n_head_kv, head = item % h->n_head_kv;
        const struct decoder_run *run = run_of(d->batch, c);
        uint32_t position = run->first_position + (c - run->first_column);
        const float *angles = d->angles[h->is_local[layer_i]] + (size_t)c * h->n_rot;
        float *k = d->k + (size_t)c * d->kv_stride + (size_t)head * h->head_dim;
        const float *v = d->v + (size_t)c * d->kv_stride + (size_t)head * h->head_dim;
        for (uint32_t i = 0; i < group; i++)
            norm_and_rotate(d, d->q + (size_t)c * d->q_stride + (size_t)(head * group + i) * h->head_dim,
                            y->q_norm, angles);
        norm_and_rotate(d, k, y->k_norm, angles);
        char *at = kv_at(d, run->page_ids[position / KV_PAGE_TOKENS], layer_i, head);
        struct kv_place to = {.type = d->o.kv.type,
                              .head_dim = h->head_dim,
                              .keys = at,
                              .values = at + d->o.kv.keys_bytes,
                              .slot = position % KV_PAGE_TOKENS};
        kv_store(d->o.kernels, &to, k, v);
    }
}

// One item: some positions of one run, one KV head, query heads [first, first + n) of its group.
static void attend_item(struct decoder *d, uint32_t layer_i, const struct decoder_run *run, struct range at,
                        uint32_t head, struct range heads)
{
    const struct hparams *h = d->h;
    struct attention_query queries[MAX_ITEM_QUERIES];
    uint32_t n = 0, group = h->n_head / h->n_head_kv;
    for (uint32_t i = at.begin; i < at.end; i++) {
        uint32_t position = run->first_position + i;
        uint32_t begin = h->is_local[layer_i] && position + 1 > h->window ? position + 1 - h->window : 0;
        for (uint32_t g = heads.begin; g < heads.end; g++) {
            size_t offset =
                (size_t)(run->first_column + i) * d->q_stride + (size_t)(head * group + g) * h->head_dim;
            queries[n++] = (struct attention_query){d->q + offset, d->attended + offset, begin, position + 1};
        }
    }
    char *first = kv_at(d, 0, layer_i, head);
    struct attention a = {.type = d->o.kv.type,
                          .head_dim = h->head_dim,
                          .scale = h->attention_scale,
                          .page_ids = run->page_ids,
                          .keys = first,
                          .values = first + d->o.kv.keys_bytes,
                          .page_stride = d->o.kv.page_bytes};
    attention_run(d->o.kernels, &a, queries, n);
}

static void attend(struct decoder *d, uint32_t layer_i, int thread_i, int n_threads)
{
    const struct hparams *h = d->h;
    const struct decoder_batch *b = d->batch;
    uint32_t group = h->n_head / h->n_head_kv, item = 0;
    // A group is divided when there are too few items to keep all threads busy, or when it is very wide.
    uint32_t parts = (group + MAX_ITEM_QUERIES / QUERY_POSITIONS - 1) / (MAX_ITEM_QUERIES / QUERY_POSITIONS);
    if (b->n_tokens * h->n_head_kv < 4 * (uint32_t)n_threads && n_threads > 1)
        parts = MAX(parts, MIN(group, (uint32_t)n_threads));
    for (uint32_t r = 0; r < b->n_runs; r++) {
        const struct decoder_run *run = &b->runs[r];
        for (uint32_t i = 0; i < run->n; i += QUERY_POSITIONS)
            for (uint32_t head = 0; head < h->n_head_kv; head++)
                for (uint32_t p = 0; p < parts; p++, item++)
                    if (item % (uint32_t)n_threads == (uint32_t)thread_i)
                        attend_item(d, layer_i, run, (struct range){i, MIN(i + QUERY_POSITIONS, run->n)},
                                    head, share(group, (int)p, (int)parts));
    }
}

static void store_attended(struct decoder *d, int need, int thread_i, int n_threads)
{
    uint32_t k = d->h->n_head * d->h->head_dim;
    bool by_column = d->batch->n_tokens >= (uint32_t)n_threads;
    struct range columns =
        by_column ? share(d->batch->n_tokens, thread_i, n_threads) : (struct range){0, d->batch->n_tokens};
    struct range values = by_column ? (struct range){0, k} : share_values(k, thread_i, n_threads);
    for (uint32_t c = columns.begin; c < columns.end; c++)
        store_input(d, &d->in_attended, need, c, values, d->attended + (size_t)c * d->q_stride + values.begin,
                    thread_i);
}

// gate and up for this thread's rows, activation, stored as input of the down product.
static void feed_forward(struct decoder *d, const struct layer *y, int thread_i, int n_threads)
{
    struct range panels = share_panels(&y->gate, thread_i, n_threads);
    linear(d, &y->gate, y->gate_bias, &d->in_embd, (struct target){d->gate, d->ff_stride}, thread_i,
           n_threads);
    linear(d, &y->up, y->up_bias, &d->in_embd, (struct target){d->up, d->ff_stride}, thread_i, n_threads);
    struct range rows = {panels.begin * PANEL_ROWS, MIN(panels.end * PANEL_ROWS, d->h->n_ff)};
    if (rows.begin >= rows.end)
        return;
    for (uint32_t c = 0; c < d->batch->n_tokens; c++) {
        float *gate = d->gate + (size_t)c * d->ff_stride + rows.begin;
        const float *up = d->up + (size_t)c * d->ff_stride + rows.begin;
        if (d->h->arch->act == ACT_GELU)
            vec_gelu_mul(d->o.kernels, gate, gate, up, rows.end - rows.begin);
        else
            vec_silu_mul(d->o.kernels, gate, gate, up, rows.end - rows.begin);
        store_input(d, &d->in_ff, need_of(&y->down), c, rows, gate, thread_i);
    }
}

static void head_rows(struct decoder *d, int thread_i, int n_threads)
{
    const struct matrix *m = &d->o.weights->head;
    struct range panels = share_panels(m, thread_i, n_threads);
    product(d, m, input_for(m, &d->in_embd), panels, (struct target){d->logits, d->vocab_stride});
    if (d->h->final_softcap == 0 || panels.begin >= panels.end)
        return;
    uint32_t row = panels.begin * PANEL_ROWS, end = MIN(panels.end * PANEL_ROWS, m->n_rows);
    for (uint32_t i = 0; i < d->batch->n_logits; i++) {
        float *at = d->logits + (size_t)i * d->vocab_stride + row;
        vec_softcap(d->o.kernels, at, at, d->h->final_softcap, end - row);
    }
}

static void set_columns(struct inputs *in, uint32_t n)
{
    in->q8.n_columns = n;
    in->pair.n_columns = 2 * n;
    in->f32.n_columns = n;
}

static void decoder_pass(void *arg, int thread_i, int n_threads)
{
    struct decoder *d = arg;
    const struct weights *w = d->o.weights;
    struct pool *pool = d->o.pool;
    int from = 0; // which of x[] holds the residual stream
    const float *delta_norm = NULL;
    bool has_delta = false;

    embed_columns(d, thread_i, n_threads);
    pool_barrier(pool);
    for (uint32_t i = 0; i < d->h->n_layer; i++) {
        const struct layer *y = &w->layers[i];
        struct join before_attention = {
            delta_norm,   has_delta,
            y->attn_norm, need_of(&y->q) | precise_need_of(&y->k) | precise_need_of(&y->v),
            NULL,         d->batch->n_tokens};
        join_branches(d, &before_attention, from, thread_i, n_threads);
        from = 1 - from;
        pool_barrier(pool);
        linear(d, &y->q, y->q_bias, &d->in_embd, (struct target){d->q, d->q_stride}, thread_i, n_threads);
        precise_linear(d, &y->k, y->k_bias, &d->in_embd, (struct target){d->k, d->kv_stride}, thread_i,
                       n_threads);
        precise_linear(d, &y->v, y->v_bias, &d->in_embd, (struct target){d->v, d->kv_stride}, thread_i,
                       n_threads);
        pool_barrier(pool);
        rotate_and_store(d, i, thread_i, n_threads);
        pool_barrier(pool);
        attend(d, i, thread_i, n_threads);
        pool_barrier(pool);
        store_attended(d, precise_need_of(&y->o), thread_i, n_threads);
        pool_barrier(pool);
        precise_linear(d, &y->o, y->o_bias, &d->in_attended, (struct target){d->delta, d->embd_stride},
                       thread_i, n_threads);
        pool_barrier(pool);
        struct join before_ffn = {
            y->post_attn_norm, true, y->ffn_norm, need_of(&y->gate) | need_of(&y->up), NULL,
            d->batch->n_tokens};
        join_branches(d, &before_ffn, from, thread_i, n_threads);
        from = 1 - from;
        pool_barrier(pool);
        feed_forward(d, y, thread_i, n_threads);
        pool_barrier(pool);
        linear(d, &y->down, y->down_bias, &d->in_ff, (struct target){d->delta, d->embd_stride}, thread_i,
               n_threads);
        pool_barrier(pool);
        delta_norm = y->post_ffn_norm;
        has_delta = true;
    }
    if (d->batch->n_logits == 0)
        return;
    if (thread_i == 0)
        set_columns(&d->in_embd, d->batch->n_logits);
    pool_barrier(pool);
    struct join before_head = {
        delta_norm, has_delta, w->head_norm, need_of(&w->head), d->batch->logit_columns, d->batch->n_logits};
    join_branches(d, &before_head, from, thread_i, n_threads);
    pool_barrier(pool);
    head_rows(d, thread_i, n_threads);
}

void decoder_run_batch(struct decoder *d, const struct decoder_batch *batch)
{
    if (batch->n_tokens == 0)
        return;
    d->batch = batch;
    set_columns(&d->in_embd, batch->n_tokens);
    set_columns(&d->in_attended, batch->n_tokens);
    set_columns(&d->in_ff, batch->n_tokens);
    pool_run(d->o.pool, decoder_pass, d);
    d->batch = NULL;
}
