// SPDX-License-Identifier: MIT
#include "model/top.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"

// Where more than this share of the panels has to be computed exactly, the usual product is faster; now and
// then it is tried again.
#define MAX_EXACT_SHARE 0.2f
enum { PASSES_UNTIL_RETRY = 16, BEST_OF_COLUMN = 4 * DECODER_MAX_TOP };

// ---- The best of many ----

// The n largest values seen so far; the smallest of them is the root. NaN never gets in.
struct heap {
    uint32_t n, max;
    float value[DECODER_MAX_TOP];
    uint32_t row[DECODER_MAX_TOP];
};

static void heap_swap(struct heap *h, uint32_t i, uint32_t j)
{
    float value = h->value[i];
    uint32_t row = h->row[i];
    h->value[i] = h->value[j];
    h->row[i] = h->row[j];
    h->value[j] = value;
    h->row[j] = row;
}

static void heap_sink(struct heap *h, uint32_t i)
{
    for (;;) {
        uint32_t least = i;
        for (uint32_t child = 2 * i + 1; child <= 2 * i + 2 && child < h->n; child++)
            if (h->value[child] < h->value[least])
                least = child;
        if (least == i)
            return;
        heap_swap(h, i, least);
        i = least;
    }
}

// What a value must be above to get in.
static float heap_floor(const struct heap *h)
{
    return h->n < h->max ? -INFINITY : h->value[0];
}

static void heap_add(struct heap *h, float value, uint32_t row)
{
    if (!(value > heap_floor(h)))
        return;
    if (h->n == h->max) {
        h->value[0] = value;
        h->row[0] = row;
        heap_sink(h, 0);
        return;
    }
    uint32_t i = h->n++;
    h->value[i] = value;
    h->row[i] = row;
    for (; i > 0 && h->value[i] < h->value[(i - 1) / 2]; i = (i - 1) / 2)
        heap_swap(h, i, (i - 1) / 2);
}

// How many rows each thread takes for the best: more than its share, since they do not fall evenly; all
// threads together at least k.
static uint32_t n_best_of(uint32_t k, int n_threads)
{
    uint32_t n = (uint32_t)n_threads;
    return MIN(MIN(2 * k / n + 4, DECODER_MAX_TOP), BEST_OF_COLUMN / n);
}

// ---- Buffers ----

static void *take(char *memory, size_t *used, size_t bytes)
{
    void *at = memory ? memory + *used : NULL;
    *used += ROUND_UP(bytes, 64);
    return at;
}

size_t top_place(struct top *t, uint32_t max_logits, uint32_t n_vocab, uint32_t n_embd, int n_threads,
                 char *memory)
{
    size_t used = 0;
    t->max_logits = max_logits;
    t->n_threads = n_threads;
    t->n_panels = (n_vocab + PANEL_ROWS - 1) / PANEL_ROWS;
    t->columns = take(memory, &used, max_logits * sizeof *t->columns);
    t->is_exact = take(memory, &used, (size_t)max_logits * t->n_panels);
    t->best = take(memory, &used, (size_t)max_logits * BEST_OF_COLUMN * sizeof *t->best);
    for (uint32_t i = 0; i < max_logits; i++) {
        void *column = take(memory, &used, acts_bytes(ACTS_Q8, 1, n_embd));
        if (memory != NULL)
            t->columns[i] = (struct acts){ACTS_Q8, 1, n_embd, column};
    }
    return used;
}

// ---- Passes ----

static bool wants_top(const struct decoder_batch *b)
{
    if (b->tops == NULL || b->n_logits == 0)
        return false;
    for (uint32_t i = 0; i < b->n_logits; i++)
        if (b->tops[i].k == 0 || b->tops[i].k > DECODER_MAX_TOP)
            return false;
    return true;
}

bool top_begin(struct top *t, const struct decoder_batch *batch)
{
    if (t->coarse == NULL || t->n_threads > BEST_OF_COLUMN || !wants_top(batch))
        return false;
    if (t->exact_share > MAX_EXACT_SHARE && ++t->n_skipped < PASSES_UNTIL_RETRY)
        return false;
    atomic_store_explicit(&t->n_exact, 0, memory_order_relaxed);
    memset(t->is_exact, 0, (size_t)batch->n_logits * t->n_panels);
    return true;
}

void top_end(struct top *t, const struct decoder_batch *batch)
{
    float share = (float)atomic_load_explicit(&t->n_exact, memory_order_relaxed) /
                  ((float)t->n_panels * (float)batch->n_logits);
    t->exact_share = t->n_skipped > 0 ? share : t->exact_share + (share - t->exact_share) / 4;
    t->n_skipped = 0;
}

// ---- Rows ----

static bool is_mine(uint32_t panel, const struct worker *me)
{
    return panel % (uint32_t)me->n_threads == (uint32_t)me->thread_i;
}

static uint32_t compute_panel(const struct top *t, uint32_t i, uint32_t panel, const struct acts *x,
                              float *logits)
{
    uint8_t *is_exact = &t->is_exact[(size_t)i * t->n_panels + panel];
    if (*is_exact)
        return 0;
    *is_exact = 1;
    matmul(t->kernels, t->exact, x, panel, panel + 1, logits, (size_t)t->n_panels * PANEL_ROWS);
    return 1;
}

// By the lower bounds, so that rows that little is known of do not push others out.
static void find_best(const struct top *t, struct heap *h, uint32_t i, const struct acts *x, float *logits,
                      const struct worker *me)
{
    const uint8_t *is_exact = t->is_exact + (size_t)i * t->n_panels;
    struct coarse_norms norms;
    coarse_norms(&norms, x);
    for (uint32_t p = (uint32_t)me->thread_i; p < t->n_panels; p += (uint32_t)me->n_threads) {
        float floor = heap_floor(h), lower[PANEL_ROWS];
        uint32_t row = p * PANEL_ROWS;
        int n_above = 0;
        if (is_exact[p])
            continue;
        coarse_to_bounds(t->coarse, p, norms.whole, logits + row, lower);
        for (uint32_t r = 0; r < PANEL_ROWS; r++)
            n_above += lower[r] > floor;
        for (uint32_t r = 0; r < PANEL_ROWS && n_above > 0 && row + r < t->exact->n_rows; r++)
            heap_add(h, lower[r], row + r);
    }
}

static float *best_of(const struct top *t, uint32_t i, int thread_i)
{
    return t->best + (size_t)i * BEST_OF_COLUMN +
           (size_t)thread_i * (BEST_OF_COLUMN / (uint32_t)t->n_threads);
}

void top_rank(struct top *t, const struct decoder_top *want, uint32_t i, const struct acts *x, float *logits,
              const struct worker *me)
{
    struct heap h = {.max = n_best_of(want->k, me->n_threads)};
    float *best = best_of(t, i, me->thread_i);
    uint32_t n_exact = 0;
    for (uint32_t j = 0; j < want->n_apart; j++)
        if (want->apart[j] < t->exact->n_rows && is_mine(want->apart[j] / PANEL_ROWS, me))
            n_exact += compute_panel(t, i, want->apart[j] / PANEL_ROWS, x, logits);
    find_best(t, &h, i, x, logits, me);
    for (uint32_t j = 0; j < h.n; j++)
        n_exact += compute_panel(t, i, h.row[j] / PANEL_ROWS, x, logits);
    for (uint32_t j = 0; j < h.max; j++)
        best[j] = j < h.n ? logits[h.row[j]] : -INFINITY;
    atomic_fetch_add_explicit(&t->n_exact, n_exact, memory_order_relaxed);
}

// A lower bound of the k-th largest logit among those that are not apart.
static float lower_bound(const struct top *t, uint32_t i, uint32_t k)
{
    struct heap h = {.max = k};
    for (int thread_i = 0; thread_i < t->n_threads; thread_i++)
        for (uint32_t j = 0; j < n_best_of(k, t->n_threads); j++)
            heap_add(&h, best_of(t, i, thread_i)[j], 0);
    return heap_floor(&h);
}

// Whether a row of the panel can reach `least`.
static bool may_reach(const struct top *t, uint32_t panel, const struct coarse_norms *x, const float *bounds,
                      float least)
{
    int n_below = 0;
    for (int r = 0; r < PANEL_ROWS; r++)
        n_below += bounds[r] < least; // not of NaN
    for (uint32_t r = 0; r < PANEL_ROWS && n_below < PANEL_ROWS; r++) {
        uint32_t row = panel * PANEL_ROWS + r;
        if (row < t->exact->n_rows && !(bounds[r] < least) &&
            !(coarse_closer_bound(t->coarse, row, x, bounds[r]) < least))
            return true;
    }
    return false;
}

void top_refine(struct top *t, const struct decoder_top *want, uint32_t i, const struct acts *x,
                float *logits, const struct worker *me)
{
    const uint8_t *is_exact = t->is_exact + (size_t)i * t->n_panels;
    float least = lower_bound(t, i, want->k);
    uint32_t n_exact = 0;
    struct coarse_norms norms;
    coarse_norms(&norms, x);
    for (uint32_t p = (uint32_t)me->thread_i; p < t->n_panels; p += (uint32_t)me->n_threads) {
        float *bounds = logits + (size_t)p * PANEL_ROWS;
        if (is_exact[p])
            continue;
        if (may_reach(t, p, &norms, bounds, least))
            n_exact += compute_panel(t, i, p, x, logits);
        else
            for (int r = 0; r < PANEL_ROWS; r++)
                bounds[r] = -INFINITY;
    }
    atomic_fetch_add_explicit(&t->n_exact, n_exact, memory_order_relaxed);
}
