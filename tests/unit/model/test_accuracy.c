// SPDX-License-Identifier: MIT
// The real models against float64: mean KL divergence (short form, see data/oracle/README.md) and the forced
// greedy test, beside the figures of llama.cpp b11434 on the same positions. With a half-precision cache, as
// served.
#include "session.h"

#include <math.h>

static const struct bar {
    const char *name, *file;
    double kl;       // llama.cpp's mean, half-precision cache
    int greedy_same; // its choices equal to the reference, of 576
} bars[] = {
    {"smollm2-135m", "smollm2-135m-instruct-q4_1.gguf", 4.35e-3, 557},
    {"gemma3-270m", "gemma3-270m-q4_k_m.gguf", 5.96e-3, 562},
    {"qwen2.5-coder-0.5b", "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf", 1.50e-3, 571},
};

static double kl_ratio_sum;
static int n_models, same_sum, bar_sum;

static const uint32_t *take(const char **at, size_t n)
{
    const uint32_t *p = (const uint32_t *)(const void *)*at;
    *at += n * sizeof *p;
    return p;
}

static double kl_of(const float *logits, uint32_t n_vocab, const char *record)
{
    const uint32_t *ids = (const uint32_t *)(const void *)record;
    const float *log_p = (const float *)(const void *)(record + 4096);
    double log_rest, max = -INFINITY, total = 0, rest, kl = 0;
    memcpy(&log_rest, record + 8192, sizeof log_rest);
    for (uint32_t i = 0; i < n_vocab; i++)
        max = fmax(max, (double)logits[i]);
    bool *listed = xcalloc(n_vocab, sizeof *listed);
    for (int i = 0; i < 1024; i++)
        listed[ids[i]] = true;
    rest = 0;
    for (uint32_t i = 0; i < n_vocab; i++) {
        double e = exp((double)logits[i] - max);
        total += e;
        rest += listed[i] ? 0 : e;
    }
    free(listed);
    for (int i = 0; i < 1024; i++)
        kl += exp((double)log_p[i]) * ((double)log_p[i] - ((double)logits[ids[i]] - max - log(total)));
    return kl + exp(log_rest) * (log_rest - log(rest / total));
}

static uint32_t best_of(const float *logits, uint32_t n)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < n; i++)
        if (logits[i] > logits[best])
            best = i;
    return best;
}

// Logits of some positions of a prompt, one chunk of at most 512 after the other.
static void run_prompt(struct session *s, const uint32_t *ids, uint32_t n_ids, const uint32_t *positions,
                       uint32_t n_positions, void (*take_row)(void *user, uint32_t i, const float *logits),
                       void *user)
{
    uint32_t next = 0;
    for (uint32_t at = 0; at < n_ids; at += 512) {
        uint32_t n = MIN(512, n_ids - at), columns[512], n_columns = 0, first = next;
        while (next < n_positions && positions[next] < at + n)
            columns[n_columns++] = positions[next++] - at;
        struct decoder_run run = {s->pages, at, 0, n};
        decoder_run_batch(s->decoder, &(struct decoder_batch){ids + at, n, &run, 1, columns, n_columns});
        for (uint32_t i = 0; i < n_columns; i++)
            take_row(user, first + i, decoder_logits(s->decoder, i));
    }
}

struct kl_sum {
    const char *records;
    uint32_t n_vocab, n, n_top;
    double sum;
};

static void add_kl(void *user, uint32_t i, const float *logits)
{
    struct kl_sum *k = user;
    uint32_t top;
    const char *record = k->records + (size_t)i * 8200;
    memcpy(&top, record, sizeof top);
    k->sum += kl_of(logits, k->n_vocab, record);
    k->n_top += best_of(logits, k->n_vocab) == top;
    k->n++;
}

static void check_kl(struct session *s, const struct bar *b)
{
    char path[512];
    size_t size;
    snprintf(path, sizeof path, TEST_DATA "/oracle/%s.logits.gz", b->name);
    char *bytes = read_gz(path, &size);
    const char *at = bytes, *records;
    uint32_t n_prompts = *take(&at, 1);
    const char *first = at;
    for (uint32_t p = 0; p < n_prompts; p++) {
        take(&at, *take(&at, 1));
        take(&at, *take(&at, 1));
    }
    records = at;
    at = first;
    struct kl_sum k = {.records = records, .n_vocab = s->weights.h.n_vocab};
    for (uint32_t p = 0; p < n_prompts; p++) {
        uint32_t n_ids = *take(&at, 1);
        const uint32_t *ids = take(&at, n_ids);
        uint32_t n_positions = *take(&at, 1);
        const uint32_t *positions = take(&at, n_positions);
        run_prompt(s, ids, n_ids, positions, n_positions, add_kl, &k);
        k.records += (size_t)n_positions * 8200;
    }
    double kl = k.sum / k.n;
    printf("%-20s mean KL %.3e (%.2f of llama.cpp's), same first choice %u of %u\n", b->name, kl, kl / b->kl,
           k.n_top, k.n);
    kl_ratio_sum += kl / b->kl;
    assert_true(kl <= 1.25 * b->kl);
    free(bytes);
}

struct forced {
    const uint32_t *ids;
    const float *margins;
    int same;
    float worst_margin;
};

static uint32_t forced_vocab;

static void add_choice(void *user, uint32_t i, const float *logits)
{
    struct forced *f = user;
    if (best_of(logits, forced_vocab) == f->ids[i])
        f->same++;
    else
        f->worst_margin = fmaxf(f->worst_margin, f->margins[i]);
}

static void check_greedy(struct session *s, const struct bar *b)
{
    char path[512];
    size_t size;
    snprintf(path, sizeof path, TEST_DATA "/oracle/%s.greedy.gz", b->name);
    char *bytes = read_gz(path, &size);
    const char *at = bytes;
    struct forced f = {0};
    forced_vocab = s->weights.h.n_vocab;
    uint32_t n_prompts = *take(&at, 1);
    for (uint32_t p = 0; p < n_prompts; p++) {
        uint32_t n_ids = *take(&at, 1), all[512], positions[48];
        memcpy(all, take(&at, n_ids), n_ids * sizeof *all);
        f.ids = take(&at, 48);
        f.margins = (const float *)(const void *)take(&at, 48);
        take(&at, 1);
        memcpy(all + n_ids, f.ids, 48 * sizeof *all);
        for (uint32_t i = 0; i < 48; i++)
            positions[i] = n_ids - 1 + i;
        run_prompt(s, all, n_ids + 47, positions, 48, add_choice, &f);
    }
    printf("%-20s same choices %d (llama.cpp %d) of %u, largest margin of another choice %.3f\n", b->name,
           f.same, b->greedy_same, n_prompts * 48, (double)f.worst_margin);
    same_sum += f.same;
    bar_sum += b->greedy_same;
    assert_true(f.worst_margin < 0.5f);
    free(bytes);
}

static void check_model(const struct bar *b)
{
    int fd = open_cached_model(b->file);
    if (fd < 0)
        return;
    struct session s;
    session_open_fd(&s, fd, &(struct session_options){cpu_best_level(), 2, KV_F16, 1024, 512, 64});
    check_kl(&s, b);
    check_greedy(&s, b);
    session_close(&s);
    close(fd);
    n_models++;
}

static void real_models_are_as_accurate_as_promised(void **state)
{
    for (size_t i = 0; i < COUNT_OF(bars); i++)
        check_model(&bars[i]);
    if (n_models == 0)
        return;
    printf("mean over %d models: %.3f of llama.cpp's KL; same choices in sum %d, llama.cpp %d\n", n_models,
           kl_ratio_sum / n_models, same_sum, bar_sum);
    assert_true(kl_ratio_sum / n_models <= 1.1);
    assert_true(same_sum >= bar_sum);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(real_models_are_as_accurate_as_promised)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return failed ? failed : n_models == 0 ? 77 : 0;
}
