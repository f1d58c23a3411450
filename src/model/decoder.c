// SPDX-License-Identifier: MIT
// One function from top to bottom, decoder_pass(), run by all threads. Between barriers a thread works on its
// own share: of columns (norms), of output rows (products) or of (columns, KV head) items (attention). Shapes
// stand beside the buffers.
#include "model/decoder.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/rope.h"
#include "model/share.h"
#include "model/top.h"

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
    uint32_t q_stride, kv_stride, embd_stride, ff_stride, vocab_stride,
        pairs_stride;    // floats per column, whole panels
    float *x[2];         // [max_tokens][embd_stride] residual stream; a region reads one and writes the other
    const float *hidden; // that of x[] with the hidden states of the batch before
    float *delta;        // [max_tokens][embd_stride] what a branch adds to it
    float *q, *k, *v;    // [max_tokens][q_stride], [kv_stride]
    float *attended;     // [max_tokens][q_stride]
    float *gate, *up;    // [max_tokens][ff_stride]
    float *angles[2];    // [max_tokens][n_rot] cos, sin: global, local layers
    float *pairs; // [2 * max_tokens][pairs_stride] products of pairs: of keys and, behind them, values; or of
                  // outputs
    float *local; // [n_threads][embd_stride] scratch of one thread
    float *residual; // [n_threads][widest of embd_stride, q_stride] what int8 left out of one column
    float *logits;   // [max_logits][vocab_stride]
    struct inputs in_embd, in_attended, in_ff; // widths n_embd, n_head * head_dim, n_ff
    struct inputs *own;                        // [n_threads] in_embd of a thread of its own, one column
    struct top top;
    bool is_top; // only the largest logits of this batch are wanted
    const struct decoder_batch *batch;
    struct share_counters counters;
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
    d->own = carve(c, (size_t)n_threads * sizeof *d->own);
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
    d->pairs_stride = MAX(d->embd_stride, 2 * d->kv_stride);
    d->pairs = carve(c, f * 2 * n * d->pairs_stride);
    d->local = carve(c, f * (size_t)n_threads * d->embd_stride);
    d->residual = carve(c, f * (size_t)n_threads * MAX(d->embd_stride, d->q_stride));
    d->logits = carve(c, f * n_logits * d->vocab_stride);
    for (int i = 0; i < n_threads; i++) {
        struct inputs own;
        carve_inputs(c, &own, 1, h->n_embd);
        if (d->own != NULL)
            d->own[i] = own;
    }
    carve_inputs(c, &d->in_embd, MAX(n, n_logits), h->n_embd);
    carve_inputs(c, &d->in_attended, n, h->n_head * h->head_dim);
    carve_inputs(c, &d->in_ff, n, h->n_ff);
    size_t top_bytes = top_place(&d->top, n_logits, h->n_vocab, h->n_embd, n_threads, NULL);
    top_place(&d->top, n_logits, h->n_vocab, h->n_embd, n_threads, carve(c, top_bytes));
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
    d->top.kernels = o->kernels;
    d->top.exact = &o->weights->head;
    if (o->weights->coarse.matrix.data != NULL && d->h->final_softcap == 0)
        d->top.coarse = &o->weights->coarse;
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

const float *decoder_hidden(const struct decoder *d, uint32_t column)
{
    return d->hidden + (size_t)column * d->embd_stride;
}

// ---- Shares of work ----

// All threads have left the region before. Counters of panels taken: the one that is set back here was in use
// two regions ago, and will be in the next.
static void next_region(struct decoder *d, struct worker *me)
{
    pool_barrier(d->o.pool);
    me->region++;
    if (me->thread_i == 0)
        atomic_store_explicit(&me->counters->taken[(me->region + 1) % 3], 0, memory_order_relaxed);
}

static struct share_qkv qkv_of(const struct decoder *d, const struct layer *y, const struct worker *me)
{
    struct qkv_sizes sizes = {matrix_panels(&y->k), matrix_panels(&y->q), d->h->head_dim, d->batch->n_tokens};
    return share_qkv(&sizes, me);
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
                        const float *values, const struct worker *me)
{
    if (k.begin >= k.end)
        return;
    if (need & NEED_Q8)
        acts_store(d->o.kernels, &in->q8, column, k.begin, k.end, values);
    if (need & NEED_PAIR) {
        float *rest = d->residual + (size_t)me->thread_i * MAX(d->embd_stride, d->q_stride);
        acts_store(d->o.kernels, &in->pair, column, k.begin, k.end, values);
        acts_residual(d->o.kernels, &in->pair, column, k.begin, k.end, values, rest);
        acts_store(d->o.kernels, &in->pair, column + in->pair.n_columns / 2, k.begin, k.end, rest);
    }
    if (need & NEED_F32)
        acts_store(d->o.kernels, &in->f32, column, k.begin, k.end, values);
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

// out[column][rows of these panels] = m * in + bias
static void linear(const struct decoder *d, const struct matrix *m, float *bias, const struct inputs *in,
                   struct target out, struct range panels)
{
    product(d, m, input_for(m, in), panels, out);
    if (bias != NULL)
        add_rows(d, m, panels, out, (struct target){bias, 0});
}

// The same over pairs: one product of twice as many columns, so that the weights are read once. pairs_at:
// where in a column of d->pairs its rows begin.
static void precise_linear(const struct decoder *d, const struct matrix *m, float *bias,
                           const struct inputs *in, struct target out, struct range panels, uint32_t pairs_at)
{
    if (acts_kind_for(m->type) != ACTS_Q8) {
        linear(d, m, bias, in, out, panels);
        return;
    }
    struct target pairs = {d->pairs + pairs_at, d->pairs_stride};
    uint32_t n = d->batch->n_tokens, row = panels.begin * PANEL_ROWS;
    uint32_t end = MIN(panels.end * PANEL_ROWS, m->n_rows);
    product(d, m, &in->pair, panels, pairs);
    for (uint32_t c = 0; c < n && row < end; c++)
        vec_add(d->o.kernels, out.at + c * out.stride + row, pairs.at + c * pairs.stride + row,
                pairs.at + (n + c) * pairs.stride + row, end - row);
    if (bias != NULL)
        add_rows(d, m, panels, out, (struct target){bias, 0});
}

// What the next region reads first is fetched before the barrier in front of it.
static void fetch(const struct decoder *d, const struct matrix *m, struct range panels)
{
    matmul_fetch(m, d->batch->n_tokens, panels.begin, panels.end);
}

static void fetch_precise(const struct decoder *d, const struct matrix *m, struct range panels)
{
    matmul_fetch(m, 2 * d->batch->n_tokens, panels.begin, panels.end);
}

// ---- Regions ----

// What a region between two branches does for one column: residual sum (with the branch's own norm first),
// next norm, store as input.
struct join {
    int from;                // which of x[] holds the residual stream
    const float *delta_norm; // norm of the branch's output before it is added; NULL: none
    bool has_delta;
    const float *norm; // of the next branch
    int need;
    const uint32_t *columns; // NULL: all of the batch; else input column i is made of columns[i]
    uint32_t n_columns;
};

// The next branch's input, in this thread's scratch.
static const float *join_and_norm(struct decoder *d, const struct join *j, size_t column,
                                  const struct worker *me, bool writes_x)
{
    int from = j->from;
    const struct kernels *kn = d->o.kernels;
    size_t n = d->h->n_embd;
    float *mine = d->local + (size_t)me->thread_i * d->embd_stride;
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
    return mine;
}

static void join_column(struct decoder *d, const struct join *j, uint32_t i, const struct worker *me,
                        struct inputs *to, struct range k, bool writes_x)
{
    const float *joined = join_and_norm(d, j, j->columns ? j->columns[i] : i, me, writes_x);
    store_input(d, to, j->need, i, k, joined + k.begin, me);
    if (j->columns != NULL && d->is_top && d->batch->n_logits > 1 && k.begin < k.end)
        acts_store(d->o.kernels, &d->top.columns[i], 0, k.begin, k.end, joined + k.begin);
}

// Where the residual stream is not read: into the other buffer, in columns that the head does not write.
static void store_hidden(struct decoder *d, const struct join *j, struct worker *me)
{
    struct range r = share(d->batch->n_hidden, me);
    for (uint32_t i = r.begin; i < r.end; i++) {
        size_t column = d->batch->hidden_columns[i];
        const float *joined = join_and_norm(d, j, column, me, false);
        memcpy(d->x[1 - j->from] + column * d->embd_stride, joined, d->h->n_embd * sizeof *joined);
    }
    if (me->thread_i == 0)
        d->hidden = d->x[1 - j->from];
}

// Returns what the next products take. A single column is computed by every thread for itself: a norm is
// cheaper than a barrier. Else columns are shared; when there are fewer of them than threads every thread
// computes each and stores its part.
static const struct inputs *join_branches(struct decoder *d, const struct join *j, struct worker *me)
{
    struct range all = {0, d->h->n_embd};
    if (j->n_columns == 1) {
        join_column(d, j, 0, me, &d->own[me->thread_i], all, me->thread_i == 0);
        return &d->own[me->thread_i];
    }
    if (j->n_columns >= (uint32_t)me->n_threads) {
        struct range r = share(j->n_columns, me);
        for (uint32_t i = r.begin; i < r.end; i++)
            join_column(d, j, i, me, &d->in_embd, all, true);
    } else {
        struct range k = share_values(d->h->n_embd, me);
        for (uint32_t i = 0; i < j->n_columns; i++)
            join_column(d, j, i, me, &d->in_embd, k, i % (uint32_t)me->n_threads == (uint32_t)me->thread_i);
    }
    next_region(d, me);
    return &d->in_embd;
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
static void embed_columns(struct decoder *d, struct worker *me)
{
    const struct decoder_batch *b = d->batch;
    struct range r = share(b->n_tokens, me);
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

// The KV heads whose rows these panels are.
static struct range heads_of(const struct hparams *h, struct range panels)
{
    if (panels.begin == panels.end)
        return (struct range){h->n_head_kv, h->n_head_kv};
    return (struct range){panels.begin * PANEL_ROWS / h->head_dim,
                          MIN(panels.end * PANEL_ROWS / h->head_dim, h->n_head_kv)};
}

static char *kv_at(const struct decoder *d, uint32_t page_id, uint32_t layer_i, uint32_t head)
{
    return d->o.kv_memory + page_id * d->o.kv.page_bytes + layer_i * d->o.kv.layer_bytes +
           head * d->o.kv.head_bytes;
}

static const float *angles_of(const struct decoder *d, uint32_t layer_i, uint32_t column)
{
    return d->angles[d->h->is_local[layer_i]] + (size_t)column * d->h->n_rot;
}

// Puts the keys and values of these panels, whole heads, into their pages; keys are rotated before.
static void store_keys_values(struct decoder *d, uint32_t layer_i, struct range k_panels,
                              struct range v_panels)
{
    const struct hparams *h = d->h;
    const struct layer *y = &d->o.weights->layers[layer_i];
    struct range keys = heads_of(h, k_panels), values = heads_of(h, v_panels);
    for (uint32_t c = 0; c < d->batch->n_tokens; c++) {
        const struct decoder_run *run = run_of(d->batch, c);
        uint32_t position = run->first_position + (c - run->first_column);
        for (uint32_t head = MIN(keys.begin, values.begin); head < h->n_head_kv; head++) {
            char *at = kv_at(d, run->page_ids[position / KV_PAGE_TOKENS], layer_i, head);
            size_t offset = (size_t)c * d->kv_stride + (size_t)head * h->head_dim;
            struct kv_place to = {.type = d->o.kv.type,
                                  .head_dim = h->head_dim,
                                  .keys = at,
                                  .values = at + d->o.kv.keys_bytes,
                                  .slot = position % KV_PAGE_TOKENS};
            if (head >= keys.begin && head < keys.end) {
                norm_and_rotate(d, d->k + offset, y->k_norm, angles_of(d, layer_i, c));
                kv_store_key(d->o.kernels, &to, d->k + offset);
            }
            if (head >= values.begin && head < values.end)
                kv_store_value(d->o.kernels, &to, d->v + offset);
        }
    }
}

// Queries; keys and values in their pages.
static void project(struct decoder *d, uint32_t layer_i, const struct inputs *in, struct worker *me)
{
    const struct layer *y = &d->o.weights->layers[layer_i];
    struct share_qkv share = qkv_of(d, y, me);
    precise_linear(d, &y->k, y->k_bias, in, (struct target){d->k, d->kv_stride}, share.k, 0);
    precise_linear(d, &y->v, y->v_bias, in, (struct target){d->v, d->kv_stride}, share.v, d->kv_stride);
    store_keys_values(d, layer_i, share.k, share.v);
    linear(d, &y->q, y->q_bias, in, (struct target){d->q, d->q_stride}, share.q);
}

static void fetch_projections(const struct decoder *d, const struct layer *y, struct worker *me)
{
    struct share_qkv share = qkv_of(d, y, me);
    fetch_precise(d, &y->k, share.k);
    fetch_precise(d, &y->v, share.v);
    fetch(d, &y->q, share.q);
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
            uint32_t column = run->first_column + i;
            size_t offset = (size_t)column * d->q_stride + (size_t)(head * group + g) * h->head_dim;
            norm_and_rotate(d, d->q + offset, d->o.weights->layers[layer_i].q_norm,
                            angles_of(d, layer_i, column));
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

static int attended_need(const struct decoder *d, uint32_t layer_i)
{
    return precise_need_of(&d->o.weights->layers[layer_i].o);
}

// Blocks of 32 values do not reach from one head into the next, so an item can store what it computed.
static bool heads_are_blocks(const struct hparams *h)
{
    return h->head_dim % 32 == 0;
}

static void store_item(struct decoder *d, uint32_t layer_i, const struct decoder_run *run, struct range at,
                       struct range values, const struct worker *me)
{
    for (uint32_t i = at.begin; i < at.end; i++) {
        uint32_t column = run->first_column + i;
        store_input(d, &d->in_attended, attended_need(d, layer_i), column, values,
                    d->attended + (size_t)column * d->q_stride + values.begin, me);
    }
}

// Heads [heads.begin, heads.end) of all query heads, one item for each KV head among them.
static void attend_heads(struct decoder *d, uint32_t layer_i, const struct decoder_run *run, struct range at,
                         struct range heads, const struct worker *me)
{
    uint32_t group = d->h->n_head / d->h->n_head_kv, dim = d->h->head_dim;
    for (uint32_t first = heads.begin, end; first < heads.end; first = end) {
        uint32_t head = first / group;
        end = MIN(MIN((head + 1) * group, heads.end), first + MAX_ITEM_QUERIES / QUERY_POSITIONS);
        attend_item(d, layer_i, run, at, head, (struct range){first - head * group, end - head * group});
        if (heads_are_blocks(d->h))
            store_item(d, layer_i, run, at, (struct range){first * dim, end * dim}, me);
    }
}

// Work of one query head at positions `at` of a run: query and key pairs.
static uint64_t head_work(const struct hparams *h, uint32_t layer_i, const struct decoder_run *run,
                          struct range at)
{
    uint32_t n_keys = run->first_position + at.end;
    if (h->is_local[layer_i])
        n_keys = MIN(n_keys, h->window + (at.end - at.begin));
    return (uint64_t)(at.end - at.begin) * n_keys;
}

static struct range positions_at(const struct decoder_run *run, uint32_t i)
{
    return (struct range){i, MIN(i + QUERY_POSITIONS, run->n)};
}

static uint64_t attention_work(const struct decoder *d, uint32_t layer_i)
{
    uint64_t work = 0;
    for (uint32_t r = 0; r < d->batch->n_runs; r++) {
        const struct decoder_run *run = &d->batch->runs[r];
        for (uint32_t i = 0; i < run->n; i += QUERY_POSITIONS)
            work += d->h->n_head * head_work(d->h, layer_i, run, positions_at(run, i));
    }
    return work;
}

// How many of n_head pieces of `work` each, the first at `at`, begin before `limit`.
static uint32_t n_heads_before(uint64_t limit, uint64_t at, uint64_t work, uint32_t n_head)
{
    return limit <= at ? 0 : (uint32_t)MIN((limit - at + work - 1) / work, n_head);
}

// The query heads of all positions lie on a line of work, which is cut evenly; neighbours on it share the
// keys that they load.
static void attend(struct decoder *d, uint32_t layer_i, struct worker *me)
{
    uint32_t n_head = d->h->n_head;
    uint64_t total = attention_work(d, layer_i), line = 0;
    uint64_t begin = total * (uint64_t)me->thread_i / (uint64_t)me->n_threads;
    uint64_t end = total * (uint64_t)(me->thread_i + 1) / (uint64_t)me->n_threads;
    for (uint32_t r = 0; r < d->batch->n_runs; r++) {
        const struct decoder_run *run = &d->batch->runs[r];
        for (uint32_t i = 0; i < run->n; i += QUERY_POSITIONS) {
            struct range at = positions_at(run, i);
            uint64_t work = head_work(d->h, layer_i, run, at);
            struct range heads = {n_heads_before(begin, line, work, n_head),
                                  n_heads_before(end, line, work, n_head)};
            attend_heads(d, layer_i, run, at, heads, me);
            line += work * n_head;
        }
    }
}

static void store_attended(struct decoder *d, int need, struct worker *me)
{
    uint32_t k = d->h->n_head * d->h->head_dim;
    bool by_column = d->batch->n_tokens >= (uint32_t)me->n_threads;
    struct range columns = by_column ? share(d->batch->n_tokens, me) : (struct range){0, d->batch->n_tokens};
    struct range values = by_column ? (struct range){0, k} : share_values(k, me);
    for (uint32_t c = columns.begin; c < columns.end; c++)
        store_input(d, &d->in_attended, need, c, values, d->attended + (size_t)c * d->q_stride + values.begin,
                    me);
}

// gate and up of these panels, activation, stored as input of the down product.
static void feed_panels(struct decoder *d, const struct layer *y, const struct inputs *in,
                        struct range panels, const struct worker *me)
{
    struct range rows = {panels.begin * PANEL_ROWS, MIN(panels.end * PANEL_ROWS, d->h->n_ff)};
    linear(d, &y->gate, y->gate_bias, in, (struct target){d->gate, d->ff_stride}, panels);
    fetch(d, &y->up, panels);
    linear(d, &y->up, y->up_bias, in, (struct target){d->up, d->ff_stride}, panels);
    for (uint32_t c = 0; c < d->batch->n_tokens; c++) {
        float *gate = d->gate + (size_t)c * d->ff_stride + rows.begin;
        const float *up = d->up + (size_t)c * d->ff_stride + rows.begin;
        if (d->h->arch->act == ACT_GELU)
            vec_gelu_mul(d->o.kernels, gate, gate, up, rows.end - rows.begin);
        else
            vec_silu_mul(d->o.kernels, gate, gate, up, rows.end - rows.begin);
        store_input(d, &d->in_ff, need_of(&y->down), c, rows, gate, me);
    }
}

static void feed_forward(struct decoder *d, const struct layer *y, const struct inputs *in, struct worker *me)
{
    struct share_panels s = share_begin(&y->gate, me);
    for (struct range panels; share_next(&s, &panels);)
        feed_panels(d, y, in, panels, me);
}

static void output_rows(struct decoder *d, const struct layer *y, struct target out, struct worker *me)
{
    struct share_panels s = share_begin(&y->o, me);
    for (struct range panels; share_next(&s, &panels);)
        precise_linear(d, &y->o, y->o_bias, &d->in_attended, out, panels, 0);
}

static void down_rows(struct decoder *d, const struct layer *y, struct target out, struct worker *me)
{
    struct share_panels s = share_begin(&y->down, me);
    for (struct range panels; share_next(&s, &panels);)
        linear(d, &y->down, y->down_bias, &d->in_ff, out, panels);
}

// The matrix that is read whole.
static const struct matrix *head_matrix(const struct decoder *d)
{
    return d->is_top ? &d->o.weights->coarse.matrix : &d->o.weights->head;
}

static void head_panels(struct decoder *d, const struct inputs *in, struct range panels)
{
    const struct matrix *m = &d->o.weights->head;
    product(d, m, input_for(m, in), panels, (struct target){d->logits, d->vocab_stride});
    if (d->h->final_softcap == 0)
        return;
    uint32_t row = panels.begin * PANEL_ROWS, end = MIN(panels.end * PANEL_ROWS, m->n_rows);
    for (uint32_t i = 0; i < d->batch->n_logits; i++) {
        float *at = d->logits + (size_t)i * d->vocab_stride + row;
        vec_softcap(d->o.kernels, at, at, d->h->final_softcap, end - row);
    }
}

static void head_rows(struct decoder *d, const struct inputs *in, struct worker *me)
{
    struct share_panels s = share_begin(&d->o.weights->head, me);
    for (struct range panels; share_next(&s, &panels);)
        head_panels(d, in, panels);
}

// Column i of the head's input, alone.
static const struct acts *head_column(const struct decoder *d, const struct inputs *in, uint32_t i)
{
    return d->batch->n_logits == 1 ? &in->q8 : &d->top.columns[i];
}

static void head_top(struct decoder *d, const struct inputs *in, struct worker *me)
{
    uint32_t n = d->batch->n_logits;
    struct share_panels s = share_begin(head_matrix(d), me);
    for (struct range panels; share_next(&s, &panels);)
        product(d, head_matrix(d), &in->q8, panels, (struct target){d->logits, d->vocab_stride});
    next_region(d, me);
    for (uint32_t i = 0; i < n; i++)
        top_rank(&d->top, &d->batch->tops[i], i, head_column(d, in, i), decoder_logits(d, i), me);
    next_region(d, me);
    for (uint32_t i = 0; i < n; i++)
        top_refine(&d->top, &d->batch->tops[i], i, head_column(d, in, i), decoder_logits(d, i), me);
}

static void set_columns(struct inputs *in, uint32_t n)
{
    in->q8.n_columns = n;
    in->pair.n_columns = 2 * n;
    in->f32.n_columns = n;
}

// Region by region; barriers stand where what follows reads what another thread wrote.
static void decoder_pass(void *arg, int thread_i, int n_threads)
{
    struct decoder *d = arg;
    const struct weights *w = d->o.weights;
    struct worker self = {thread_i, n_threads, 0, &d->counters}, *me = &self;
    uint32_t n_tokens = d->batch->n_tokens;
    struct target delta = {d->delta, d->embd_stride};
    struct join join = {.norm = NULL}; // what the last branch left to be added

    embed_columns(d, me);
    next_region(d, me);
    for (uint32_t i = 0; i < d->h->n_layer; i++) {
        const struct layer *y = &w->layers[i];
        join.norm = y->attn_norm;
        join.need = need_of(&y->q) | precise_need_of(&y->k) | precise_need_of(&y->v);
        join.n_columns = n_tokens;
        const struct inputs *in = join_branches(d, &join, me);
        project(d, i, in, me);
        next_region(d, me);
        attend(d, i, me);
        fetch_precise(d, &y->o, share_first(&y->o, me));
        next_region(d, me);
        if (!heads_are_blocks(d->h)) {
            store_attended(d, attended_need(d, i), me);
            next_region(d, me);
        }
        output_rows(d, y, delta, me);
        fetch(d, &y->gate, share_first(&y->gate, me));
        next_region(d, me);
        join = (struct join){.from = 1 - join.from,
                             .has_delta = true,
                             .delta_norm = y->post_attn_norm,
                             .norm = y->ffn_norm,
                             .need = need_of(&y->gate) | need_of(&y->up),
                             .n_columns = n_tokens};
        in = join_branches(d, &join, me);
        feed_forward(d, y, in, me);
        fetch(d, &y->down, share_first(&y->down, me));
        next_region(d, me);
        down_rows(d, y, delta, me);
        if (i + 1 < d->h->n_layer)
            fetch_projections(d, y + 1, me);
        else if (d->batch->n_logits > 0)
            fetch(d, head_matrix(d), share_first(head_matrix(d), me));
        next_region(d, me);
        join = (struct join){.from = 1 - join.from, .has_delta = true, .delta_norm = y->post_ffn_norm};
    }
    join.norm = w->head_norm;
    if (d->batch->n_hidden > 0)
        store_hidden(d, &join, me);
    if (d->batch->n_logits == 0)
        return;
    if (d->batch->n_logits > 1) {
        if (thread_i == 0)
            set_columns(&d->in_embd, d->batch->n_logits);
        next_region(d, me);
    }
    join.need = need_of(&w->head);
    join.columns = d->batch->logit_columns;
    join.n_columns = d->batch->n_logits;
    const struct inputs *in = join_branches(d, &join, me);
    if (d->is_top)
        head_top(d, in, me);
    else
        head_rows(d, in, me);
}

void decoder_run_batch(struct decoder *d, const struct decoder_batch *batch)
{
    if (batch->n_tokens == 0)
        return;
    d->batch = batch;
    set_columns(&d->in_embd, batch->n_tokens);
    set_columns(&d->in_attended, batch->n_tokens);
    set_columns(&d->in_ff, batch->n_tokens);
    for (size_t i = 0; i < COUNT_OF(d->counters.taken); i++)
        atomic_store_explicit(&d->counters.taken[i], 0, memory_order_relaxed);
    d->is_top = top_begin(&d->top, batch);
    pool_run(d->o.pool, decoder_pass, d);
    if (d->is_top)
        top_end(&d->top, batch);
    d->batch = NULL;
}
