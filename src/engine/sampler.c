// SPDX-License-Identifier: MIT
// Candidates are the k largest logits, sorted (a bounded heap over one pass, no sort of the vocabulary).
// Filters shorten the sorted list from its end; only typical_p reorders it.
#include "engine/sampler.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct candidate {
    float logit;
    uint32_t id;
    double p, key; // probability of the list; sort key of typical_p
};

double sampler_uniform(uint64_t seed, uint64_t index)
{
    // Two rounds of the splitmix64 finaliser (Steele et al. 2014) over a counter.
    uint64_t x = seed * 0xD1342543DE82EF95u + index * 0x9E3779B97F4A7C15u + 0x632BE59BD9B4E019u;
    for (int round = 0; round < 2; round++) {
        x ^= x >> 30;
        x *= 0xBF58476D1CE4E5B9u;
        x ^= x >> 27;
        x *= 0x94D049BB133111EBu;
        x ^= x >> 31;
    }
    return (double)(x >> 11) * 0x1p-53;
}

double sampler_exp(double x)
{
    if (!(x > -708.0))
        return 0.0; // also NaN
    if (x > 708.0)
        x = 708.0;
    double n = rint(x * 1.44269504088896340736);
    double r = x - n * 0x1.62e42fefa3800p-1; // ln 2 in two parts, the first with 11 trailing zero bits
    r -= n * 0x1.ef35793c76730p-45;
    static const double inverse_factorials[] = {1.0 / 87178291200.0,
                                                1.0 / 6227020800.0,
                                                1.0 / 479001600.0,
                                                1.0 / 39916800.0,
                                                1.0 / 3628800.0,
                                                1.0 / 362880.0,
                                                1.0 / 40320.0,
                                                1.0 / 5040.0,
                                                1.0 / 720.0,
                                                1.0 / 120.0,
                                                1.0 / 24.0,
                                                1.0 / 6.0,
                                                0.5,
                                                1.0,
                                                1.0};
    double sum = 0;
    for (size_t i = 0; i < COUNT_OF(inverse_factorials); i++)
        sum = sum * r + inverse_factorials[i];
    return ldexp(sum, (int)n);
}

// True when a is to be preferred over b.
static bool is_better(const struct candidate *a, const struct candidate *b)
{
    return a->logit > b->logit || (a->logit == b->logit && a->id < b->id);
}

static int by_preference(const void *a, const void *b)
{
    return is_better(a, b) ? -1 : 1;
}

static int by_key(const void *va, const void *vb)
{
    const struct candidate *a = va, *b = vb;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return is_better(a, b) ? -1 : 1;
}

// Restores the heap whose root is the worst candidate kept.
static void sift_down(struct candidate *heap, size_t n, size_t i)
{
    for (;;) {
        size_t worst = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < n; child++)
            if (is_better(&heap[worst], &heap[child]))
                worst = child;
        if (worst == i)
            return;
        struct candidate swap = heap[i];
        heap[i] = heap[worst];
        heap[worst] = swap;
        i = worst;
    }
}

// The k best of the logits, sorted; returns how many (NaN never gets in).
static size_t select_best(const float *logits, uint32_t n_vocab, size_t k, struct candidate *out)
{
    size_t n = 0;
    uint32_t i = 0;
    for (; i < n_vocab && n < k; i++)
        if (logits[i] > -INFINITY)
            out[n++] = (struct candidate){.logit = logits[i], .id = i};
    if (n == k && i < n_vocab) {
        for (size_t j = n / 2; j-- > 0;)
            sift_down(out, n, j);
        for (; i < n_vocab; i++) {
            if (!(logits[i] > out[0].logit)) // equal: the earlier id stays
                continue;
            out[0] = (struct candidate){.logit = logits[i], .id = i};
            sift_down(out, n, 0);
        }
    }
    qsort(out, n, sizeof *out, by_preference);
    return n;
}

static int by_id(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

// How many of the last tokens are penalised.
static size_t window_of(const struct sample_input *in)
{
    const struct params *p = in->params;
    if (p->repeat_penalty == 1.0f && p->presence_penalty == 0.0f && p->frequency_penalty == 0.0f)
        return 0;
    return p->repeat_last_n < 0 ? in->n_tokens : MIN((size_t)p->repeat_last_n, in->n_tokens);
}

uint32_t sampler_wants(const struct sample_input *in, uint32_t *ids, uint32_t *n_ids)
{
    const struct params *p = in->params;
    size_t window = window_of(in);
    bool is_greedy = !(p->temperature > 0), has_k = p->top_k > 0 && (uint32_t)p->top_k < in->n_vocab;
    *n_ids = 0;
    if (p->logprobs || in->matcher != NULL || !(is_greedy || has_k) ||
        window + in->n_biases > SAMPLER_MAX_APART)
        return 0;
    for (size_t i = 0; i < window; i++)
        ids[(*n_ids)++] = in->tokens[in->n_tokens - window + i];
    for (size_t i = 0; i < in->n_biases; i++)
        ids[(*n_ids)++] = in->biases[i].token_id;
    return is_greedy ? 1 : (uint32_t)p->top_k;
}

static void apply_penalties(const struct sample_input *in, struct sampler_scratch *s)
{
    const struct params *p = in->params;
    size_t n = window_of(in);
    if (n == 0)
        return;
    if (s->window_capacity < n) {
        s->window_capacity = n * 2;
        s->window = xrealloc(s->window, s->window_capacity * sizeof *s->window);
    }
    memcpy(s->window, in->tokens + in->n_tokens - n, n * sizeof *s->window);
    qsort(s->window, n, sizeof *s->window, by_id);
    for (size_t i = 0; i < n;) {
        uint32_t id = s->window[i];
        size_t count = 0;
        for (; i < n && s->window[i] == id; i++)
            count++;
        if (id >= in->n_vocab)
            continue;
        float *logit = &in->logits[id];
        *logit = *logit > 0 ? *logit / p->repeat_penalty : *logit * p->repeat_penalty;
        *logit -= (float)count * p->frequency_penalty + p->presence_penalty;
    }
}

static double sum_exp(const struct candidate *c, size_t n, double temperature)
{
    double total = 0;
    for (size_t i = 0; i < n; i++)
        total += sampler_exp(((double)c[i].logit - (double)c[0].logit) / temperature);
    return total;
}

// p of the first n, c[0] being the best, where the whole weighs `total`.
static void set_probabilities(struct candidate *c, size_t n, double temperature, double total)
{
    for (size_t i = 0; i < n; i++)
        c[i].p = sampler_exp(((double)c[i].logit - (double)c[0].logit) / temperature) / total;
}

// Locally typical sampling (Meister et al. 2022): closest to the entropy first. -ln p is (best logit - logit)
// plus a constant, which cancels.
static size_t keep_typical(struct candidate *c, size_t n, float typical_p)
{
    double best = (double)c[0].logit, entropy = 0, sum = 0;
    set_probabilities(c, n, 1.0, sum_exp(c, n, 1.0));
    for (size_t i = 0; i < n; i++)
        entropy += c[i].p * (best - (double)c[i].logit);
    for (size_t i = 0; i < n; i++)
        c[i].key = fabs(best - (double)c[i].logit - entropy);
    qsort(c, n, sizeof *c, by_key);
    size_t kept = 0;
    while (kept < n && sum <= (double)typical_p)
        sum += c[kept++].p;
    qsort(c, kept, sizeof *c, by_preference);
    return kept;
}

// The shortest front that weighs at least top_p; n + 1 when the first n do not reach it.
static size_t count_top_p(struct candidate *c, size_t n, float top_p, double total)
{
    double sum = 0;
    set_probabilities(c, n, 1.0, total);
    for (size_t i = 0; i < n; i++) {
        sum += c[i].p;
        if (sum >= (double)top_p)
            return i + 1;
    }
    return n + 1;
}

static size_t keep_min_p(const struct candidate *c, size_t n, float min_p)
{
    size_t kept = 1;
    while (kept < n && sampler_exp((double)c[kept].logit - (double)c[0].logit) >= (double)min_p)
        kept++;
    return kept;
}

static uint32_t draw(const struct candidate *c, size_t n, double u)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += c[i].p;
        if (sum > u)
            return c[i].id;
    }
    return c[n - 1].id;
}

static void take_logprobs(const struct kernels *kn, struct sampler_scratch *s, const struct sample_input *in,
                          struct sample *out, double *log_sum)
{
    *log_sum = vec_log_sum_exp(kn, in->logits, in->n_vocab);
    size_t n = select_best(in->logits, in->n_vocab,
                           (size_t)MIN(in->params->top_logprobs, PARAMS_MAX_TOP_LOGPROBS), s->candidates);
    out->n_top = (uint32_t)n;
    for (size_t i = 0; i < n; i++)
        out->top[i] =
            (struct sample_logprob){s->candidates[i].id, (float)((double)s->candidates[i].logit - *log_sum)};
}

// Without top_k, top_p or other filters: a walk over the logits in the order of ids.
static uint32_t draw_from_all(const struct kernels *kn, const struct sample_input *in, double u)
{
    uint32_t best = vec_argmax(kn, in->logits, in->n_vocab), last = best;
    double top = (double)in->logits[best], t = (double)in->params->temperature, total = 0, sum = 0;
    for (uint32_t i = 0; i < in->n_vocab; i++)
        total += sampler_exp(((double)in->logits[i] - top) / t);
    for (uint32_t i = 0; i < in->n_vocab; i++) {
        double p = sampler_exp(((double)in->logits[i] - top) / t) / total;
        sum += p;
        if (p > 0)
            last = i;
        if (sum > u)
            return i;
    }
    return last;
}

// The candidates that top_p leaves of the whole vocabulary, found without sorting it: as many of the best as
// are needed, four times more each try.
static size_t select_top_p_of_all(struct sampler_scratch *s, const struct sample_input *in, double top_logit)
{
    double total = 0;
    for (uint32_t i = 0; i < in->n_vocab; i++)
        total += sampler_exp((double)in->logits[i] - top_logit);
    for (size_t k = 256;; k *= 4) {
        size_t n = select_best(in->logits, in->n_vocab, MIN(k, in->n_vocab), s->candidates);
        size_t kept = count_top_p(s->candidates, n, in->params->top_p, total);
        if (kept <= n || n < k || k >= in->n_vocab)
            return MIN(kept, n);
    }
}

static uint32_t choose(const struct kernels *kn, struct sampler_scratch *s, const struct sample_input *in,
                       double u)
{
    const struct params *p = in->params;
    struct candidate *c = s->candidates;
    bool is_typical =
        p->typical_p > 0 && p->typical_p<1, has_k = p->top_k> 0 && (uint32_t)p->top_k < in->n_vocab;
    size_t n;
    uint32_t best = vec_argmax(kn, in->logits, in->n_vocab);
    if (!(p->temperature > 0) ||
        !(in->logits[best] > -INFINITY)) // nothing but NaN: the file is broken, the stream ends well
        return best;
    if (!has_k && !is_typical && p->top_p >= 1 && p->min_p <= 0)
        return draw_from_all(kn, in, u);
    if (!has_k && !is_typical && p->top_p < 1) {
        n = select_top_p_of_all(s, in, (double)in->logits[best]);
    } else {
        n = select_best(in->logits, in->n_vocab, has_k ? (size_t)p->top_k : in->n_vocab, c);
        if (is_typical)
            n = keep_typical(c, n, p->typical_p);
        if (p->top_p < 1)
            n = MIN(count_top_p(c, n, MAX(p->top_p, 0.0f), sum_exp(c, n, 1.0)), n);
    }
    if (p->min_p > 0)
        n = keep_min_p(c, n, p->min_p);
    set_probabilities(c, n, (double)p->temperature, sum_exp(c, n, (double)p->temperature));
    return draw(c, n, u);
}

// ---- Grammars ----

static bool may_come(const struct sample_input *in, uint32_t id)
{
    if (tokenizer_is_eog(in->tokenizer, id))
        return !in->params->ignore_eos && matcher_may_end(in->matcher);
    return matcher_takes_token(in->matcher, in->tokenizer, id);
}

// Leaves the logits of what may come.
static void apply_mask(const struct sample_input *in)
{
    const uint64_t *bits = matcher_mask(in->matcher, in->pieces);
    bool may_end = !in->params->ignore_eos && matcher_may_end(in->matcher);
    for (uint32_t id = 0; id < in->n_vocab; id++) {
        bool may = id < in->pieces->n_vocab && (bits[id / 64] >> (id % 64) & 1);
        if (!may && !(may_end && tokenizer_is_eog(in->tokenizer, id)))
            in->logits[id] = -INFINITY;
    }
}

// The second of two numbers that one index gives.
static double second_uniform(const struct sample_input *in)
{
    return sampler_uniform(in->params->seed ^ 0x5851F42D4C957F2Du, in->index);
}

static uint32_t choose_allowed(const struct kernels *kn, struct sampler_scratch *s,
                               const struct sample_input *in)
{
    uint32_t id = choose(kn, s, in, sampler_uniform(in->params->seed, in->index));
    if (in->matcher == NULL || may_come(in, id))
        return id;
    apply_mask(in);
    id = choose(kn, s, in, second_uniform(in));
    return may_come(in, id) ? id : TOKEN_NONE;
}

void sampler_draw(const struct kernels *kn, struct sampler_scratch *s, const struct sample_input *in,
                  struct sample *out)
{
    double log_sum = 0;
    memset(out, 0, sizeof *out);
    if (s->capacity < in->n_vocab) {
        s->capacity = in->n_vocab;
        s->candidates = xrealloc(s->candidates, s->capacity * sizeof *s->candidates);
    }
    float *raw = NULL;
    if (in->params->logprobs) {
        take_logprobs(kn, s, in, out, &log_sum);
        raw = xmalloc(in->n_vocab * sizeof *raw);
        memcpy(raw, in->logits, in->n_vocab * sizeof *raw);
    }
    for (size_t i = 0; i < in->n_biases; i++)
        if (in->biases[i].token_id < in->n_vocab)
            in->logits[in->biases[i].token_id] += in->biases[i].bias;
    apply_penalties(in, s);
    for (uint32_t i = 0; i < in->n_banned; i++)
        in->logits[in->banned[i]] = -INFINITY;
    out->token_id = choose_allowed(kn, s, in);
    if (raw != NULL && out->token_id != TOKEN_NONE)
        out->logprob = (float)((double)raw[out->token_id] - log_sum);
    free(raw);
}

void sampler_scratch_fini(struct sampler_scratch *s)
{
    free(s->candidates);
    free(s->window);
    memset(s, 0, sizeof *s);
}
