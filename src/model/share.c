// SPDX-License-Identifier: MIT
// Who computes what in a region. Everything here only decides; the bits of a result do not depend on it.
#include "model/share.h"

#include "base/mem.h"

// Work of a panel of queries, of keys or values (pairs, and stored) while a product waits for memory, and of
// these when it does not.
enum { Q_WORK = 4, KV_WORK_ALONE = 6, KV_WORK = 9 };

enum { CHUNKS_OF_THREAD = 4 }; // pieces in which the part that is not shared evenly is taken

struct range share_values(uint32_t k, const struct worker *me)
{
    struct range blocks = share((k + 31) / 32, me);
    return (struct range){MIN(blocks.begin * 32, k), MIN(blocks.end * 32, k)};
}

struct share_panels share_begin(const struct matrix *m, struct worker *me)
{
    uint32_t n_panels = matrix_panels(m), n_pairs = (n_panels + 1) / 2, n_threads = (uint32_t)me->n_threads;
    uint32_t each = n_threads == 1 ? n_pairs : n_pairs * 3 / 4 / n_threads,
             first = each * (uint32_t)me->thread_i;
    uint32_t chunk = (n_pairs - each * n_threads) / (CHUNKS_OF_THREAD * n_threads);
    return (struct share_panels){.me = me,
                                 .n_panels = n_panels,
                                 .chunk_pairs = MAX(chunk, 1),
                                 .even = {first, first + each},
                                 .rest = each * n_threads};
}

static struct range panels_of(const struct share_panels *s, struct range pairs)
{
    return (struct range){MIN(pairs.begin * 2, s->n_panels), MIN(pairs.end * 2, s->n_panels)};
}

bool share_next(struct share_panels *s, struct range *panels)
{
    struct range pairs = s->even;
    if (s->has_begun || pairs.begin == pairs.end) {
        atomic_uint *taken = &s->me->counters->taken[s->me->region % 3];
        pairs.begin = s->rest + atomic_fetch_add_explicit(taken, s->chunk_pairs, memory_order_relaxed);
        pairs.end = pairs.begin + s->chunk_pairs;
    }
    s->has_begun = true;
    *panels = panels_of(s, pairs);
    return panels->begin < panels->end;
}

struct range share_first(const struct matrix *m, struct worker *me)
{
    struct share_panels s = share_begin(m, me);
    return panels_of(&s, s.even);
}

// The panel at `at` of the line, moved to where it may be cut. unit: panels of keys or values that stay
// together.
static uint32_t cut(uint32_t at, uint32_t kv_panels, uint32_t kv_work, uint32_t unit)
{
    uint32_t kv_end = 2 * kv_panels * kv_work;
    if (at >= kv_end)
        return 2 * kv_panels + (at - kv_end) / (2 * Q_WORK) * 2;
    return (at + unit * kv_work / 2) / (unit * kv_work) * unit;
}

static struct range part_of(struct range all, uint32_t begin, uint32_t end)
{
    uint32_t from = MAX(all.begin, begin), to = MIN(all.end, end);
    return from < to ? (struct range){from - begin, to - begin} : (struct range){0, 0};
}

struct share_qkv share_qkv(const struct qkv_sizes *sizes, const struct worker *me)
{
    uint32_t kv = sizes->kv_panels, end = 2 * kv + sizes->q_panels;
    uint32_t work = sizes->n_tokens == 1 ? KV_WORK_ALONE : KV_WORK;
    // A head is cut from the next where a panel ends there; else all heads stay together.
    uint32_t unit = sizes->head_dim % PANEL_ROWS == 0 ? sizes->head_dim / PANEL_ROWS : kv;
    struct range part = share(2 * kv * work + sizes->q_panels * Q_WORK, me);
    struct range panels = {cut(part.begin, kv, work, unit),
                           me->thread_i + 1 == me->n_threads ? end : cut(part.end, kv, work, unit)};
    return (struct share_qkv){part_of(panels, 0, kv), part_of(panels, kv, 2 * kv),
                              part_of(panels, 2 * kv, end)};
}
